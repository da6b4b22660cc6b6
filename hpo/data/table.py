"""A table as it came: from a file or scikit-learn, its target apart, its columns sorted into numbers, categories and text.

Everything that cannot be trained on is refused here, in a sentence.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from hpo.core.errors import InputError, truncate
from hpo.core.metrics import Task
from hpo.core.yaml_document import format_value
from hpo.data import auxiliary_target as auxiliary
from hpo.data import column_types, sources
from hpo.data.column_types import as_text, check_finite, is_bool, listed, named, place, strange
from hpo.data.config import DataConfig
from hpo.data.sources import SOURCE, TARGET, TEST


@dataclass(frozen=True)
class Table:
    """Rows with a target. `features` holds columns of floats (`numeric`), of names (`categorical`) and of sentences (`text`); where
    one of the latter two is missing, it is "".

    `domain` (rows,): where a row is from (see `reading.py`); without another domain all are of the source. A row of another one may
    lack its target. `groups` (rows,), whole numbers, and `time` (rows,), something that can be sorted, are there if the split names
    them: of as many of the first rows as have them. `auxiliary` (rows, outputs): another column to predict, if one is named (see
    `auxiliary.py`).
    """

    name: str
    features: pd.DataFrame
    numeric: tuple[str, ...]
    categorical: tuple[str, ...]
    text: tuple[str, ...]
    image: bool  # all columns are pixels of one scale
    target: pd.Series
    target_name: str
    task: Task
    fingerprint: str
    notes: tuple[str, ...]
    domain: np.ndarray
    groups: np.ndarray | None = None
    time: np.ndarray | None = None
    auxiliary: np.ndarray | None = None


def load(data: DataConfig, base: Path) -> Table:
    """The table that `data` describes; a relative path starts at `base`. Raises InputError in one sentence."""
    found, wanted = sources.read(data, base), data.target.column
    name, frame, domain = found.name, found.frame, found.domain
    if wanted not in frame.columns:
        raise InputError(f"data.target: {name} has no column {format_value(wanted)}. It has: {listed(frame.columns)}.")
    if frame.empty:
        raise InputError(f"{name} has a header and no rows: there is nothing to learn from.")
    known = frame[wanted].notna().to_numpy()
    if not known[domain == SOURCE].any():
        raise InputError(f"{name}: every row lacks its target {truncate(wanted)}: there is nothing to learn from.")
    if (domain == TEST).any() and not known[domain == TEST].any():
        raise InputError(
            f"data.target.test: no row of {data.target.test} has a label, and without labels nothing can be tested; leave it out."
        )
    kept = known | (domain == TARGET)
    frame, domain = frame[kept], domain[kept]  # its index still counts the rows of the files, for sentences
    target = frame.pop(wanted)
    aside = {key: column for key in ("groups", "time") if (column := getattr(data.split, key)) is not None}
    known_by = {key: frame[named([column], f"split.{key}", frame, name)[0]] for key, column in aside.items()}
    known_by = {key: values[_split(values, domain)] for key, values in known_by.items()}
    other = (
        None
        if data.auxiliary is None
        else auxiliary.encoded(frame[named([data.auxiliary], "auxiliary", frame, name)[0]], name)
    )
    beside = [*aside.values(), *([] if data.auxiliary is None else [data.auxiliary])]
    frame = frame.drop(columns=[*named(data.drop, "drop", frame, name), *beside])  # no inputs of a network
    if not len(frame.columns):
        raise InputError(f"{name} has no column left to learn from besides the target {truncate(wanted)}.")
    _check_index(data, frame, name)
    kinds = column_types.sort(data, frame[domain == SOURCE].infer_objects(), name)
    if domain.any():
        frame = _numbers(frame, kinds.numeric, domain, name)
    features = column_types.clean(frame, kinds, name).reset_index(drop=True)
    groups = _groups(known_by["groups"], name) if "groups" in aside else None
    time = _time(known_by["time"], name) if "time" in aside else None
    own = target[domain == SOURCE].infer_objects()  # whatever another domain has in its place
    task = data.task or _infer(own)
    checked = _check_target(own, task)
    if len(checked) < len(target):
        both = pd.concat([checked.astype(object), _check_other(target[domain != SOURCE], task).astype(object)])
        checked = both if task == "classification" else pd.to_numeric(both)
    checked = checked.reset_index(drop=True)
    more = (groups, time, domain if domain.any() else None, *(() if other is None else other.T))
    return Table(
        name=name,
        features=features,
        numeric=kinds.numeric,
        categorical=kinds.categorical,
        text=kinds.text,
        image=data.sources == ["sklearn:digits"] and wanted == "target" and len(kinds.numeric) == len(features.columns),
        target=checked,
        target_name=wanted,
        task=task,
        fingerprint=_fingerprint(features, checked, *(part for part in more if part is not None)),
        notes=(
            *(() if kept.all() else (f"Rows without a target, left out: {(~kept).sum():,}.",)),
            *found.notes,
            *kinds.notes,
        ),
        domain=domain,
        groups=groups,
        time=time,
        auxiliary=other,
    )


def _check_index(data: DataConfig, frame: pd.DataFrame, name: str) -> None:
    """Refuses the number of a row as an input, unless it is asked for: in a sorted table it tells the label."""
    first = frame.columns[0]
    if first == "Unnamed: 0" and first not in data.numeric and (frame[first] == frame.index.get_level_values(-1)).all():
        do = 'write the file without it (pandas: index=False), add "Unnamed: 0" to data.drop, or to data.numeric if it is an input'
        raise InputError(f"{name}: the first column has no name and counts the rows; {do}.")


def _numbers(frame: pd.DataFrame, numeric: tuple[str, ...], domain: np.ndarray, name: str) -> pd.DataFrame:
    """With numbers in another domain, too, wherever the source has them."""
    found = {}
    for column in (c for c in numeric if pd.api.types.is_object_dtype(frame[c])):
        numbers = pd.to_numeric(frame[column], errors="coerce")
        wrong = (numbers.isna() & frame[column].notna()).to_numpy()
        for row in frame.index[wrong & (domain != SOURCE)]:
            raise InputError(
                f"{name}: the column {truncate(column)} holds numbers, but {place(row)} holds {truncate(frame[column][row])}; mend the row."
            )
        if not wrong.any():  # else the source has something to be told of
            found[column] = numbers
    return frame.assign(**found)


def _split(values: pd.Series, domain: np.ndarray) -> np.ndarray:
    """Of which rows something tells how to split them: the source's, and the other domain's if it has that column."""
    rows: np.ndarray = domain == SOURCE if values[domain == TARGET].isna().all() else domain != TEST
    return rows


def _groups(values: pd.Series, name: str) -> np.ndarray:
    """To which group each row belongs, as a whole number."""
    _check_known(values, f"data.split.groups: {name}: the column {truncate(values.name)}")
    return np.unique(as_text(values).to_numpy(dtype=str), return_inverse=True)[1]


def _time(values: pd.Series, name: str) -> np.ndarray:
    """When each row was, as numbers or dates."""
    what = f"data.split.time: {name}: the column {truncate(values.name)}"
    _check_known(values, what)
    if pd.api.types.is_numeric_dtype(values) and not is_bool(values):
        numbers = values.astype("float64")
        check_finite(numbers, what)
        return numbers.to_numpy()
    if pd.api.types.is_datetime64_any_dtype(values):
        return pd.to_datetime(values, utc=True).to_numpy()
    dates = pd.to_datetime(values.map(str), format="ISO8601", errors="coerce", utc=True)
    for row in values.index[dates.isna()]:
        raise InputError(
            f"{what} must hold numbers or ISO dates (2026-01-31), but {place(row)} holds {truncate(values[row])}; mend it, "
            f"or name another column."
        )
    return dates.to_numpy()


def _check_known(values: pd.Series, what: str) -> None:
    for row in values.index[values.isna()]:
        raise InputError(f"{what} has no value in {place(row)}; fill it in or remove that row.")


def _infer(target: pd.Series) -> Task:
    numeric = pd.api.types.is_numeric_dtype(target) and not is_bool(target)
    return "regression" if numeric and target.nunique() > auxiliary.MAX_CLASSES else "classification"


def _check_target(target: pd.Series, task: Task) -> pd.Series:
    """The target as float64, or as plain class labels."""
    name, first = f"the target {truncate(target.name)}", truncate(_plain(target.iloc[0]))
    if pd.api.types.is_numeric_dtype(target):
        check_finite(target.astype("float64"), f"data.target: {name}")
    if task == "regression":
        if not pd.api.types.is_numeric_dtype(target) or is_bool(target):
            raise InputError(f"data.task: regression needs a numeric target, but {name} holds {first}.")
        if target.nunique() < 2:
            raise InputError(f"data.target: {name} is {first} in every row: there is nothing to learn.")
        return target.astype("float64")
    labels = target.astype(object).infer_objects()
    if found := strange(labels):
        raise InputError(f"data.target: {name} holds {found}; turn it into numbers or text.")
    if pd.api.types.is_float_dtype(labels) and (labels % 1 == 0).all():  # whole numbers, some of which were missing
        labels = labels.astype("int64")
    counts = labels.value_counts()
    if len(counts) < 2:
        raise InputError(f"data.target: {name} has one class only, {first}: there is nothing to learn.")
    if counts.min() < 2:
        hint = (
            "; if it is a number to predict, set data.task to regression" if len(counts) > auxiliary.MAX_CLASSES else ""
        )
        raise InputError(
            f"data.target: the class {truncate(_plain(counts.idxmin()))} of {name} has a single row, so it cannot be both "
            f"learned and checked; add rows of it or remove that row{hint}."
        )
    return labels


def _check_other(target: pd.Series, task: Task) -> pd.Series:
    """The target of rows of another domain, as far as they have one."""
    given = target.dropna()
    numeric = bool(pd.api.types.is_numeric_dtype(given.infer_objects())) and not is_bool(given)
    if numeric:
        check_finite(given.astype("float64"), f"data.target: the target {truncate(target.name)}")
    elif task == "regression" and len(given):
        raise InputError(
            f"data.target: {truncate(target.name)} is a number, but another domain has {truncate(_plain(given.iloc[0]))}; mend it."
        )
    return target


def _plain(value: Any) -> Any:
    """A number of numpy's as Python's."""
    return value.item() if isinstance(value, np.generic) else value


def _fingerprint(features: pd.DataFrame, target: pd.Series, *more: np.ndarray) -> str:
    """Sixteen hexadecimal digits of the content: the same rows and columns, and `more` of each row, give the same."""
    import hashlib

    digest = hashlib.sha256("\0".join([*features.columns, str(target.name)]).encode())
    for column in (*(features[c] for c in features.columns), target, *map(pd.Series, more)):
        digest.update(pd.util.hash_pandas_object(column, index=False).to_numpy().tobytes())
    return digest.hexdigest()[:16]
