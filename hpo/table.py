"""A table as it came: from a file or scikit-learn, its target apart, its columns sorted into numbers, categories and text.

Everything that cannot be trained on is refused here, in a sentence.
"""

from __future__ import annotations

import stat
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from hpo import columns
from hpo.columns import as_text, check_finite, is_bool, listed, named, strange
from hpo.document import said
from hpo.errors import InputError, cut
from hpo.metrics import Task
from hpo.source import DATASETS, Data

_MAX_CLASSES = 20  # a numeric target with more distinct values is regression
@dataclass(frozen=True)
class Table:
    """Rows with a target. `features` holds columns of floats (`numeric`), of names (`categorical`) and of sentences (`text`); where
    one of the latter two is missing, it is "".

    `groups` (rows,), whole numbers, and `time` (rows,), something that can be sorted, are there if the split names them.
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
    groups: np.ndarray | None = None
    time: np.ndarray | None = None


def load(data: Data, base: Path) -> Table:
    """The table that `data` describes; a relative path starts at `base`. Raises InputError in one sentence."""
    name, frame = _read(data, base)
    if data.target not in frame.columns:
        raise InputError(f"data.target: {name} has no column {said(data.target)}. It has: {listed(frame.columns)}.")
    if frame.empty:
        raise InputError(f"{name} has a header and no rows: there is nothing to learn from.")
    known = frame[data.target].notna()
    frame = frame[known]  # its index still counts the rows of the file, for sentences
    if frame.empty:
        raise InputError(f"{name}: every row lacks its target {cut(data.target)}: there is nothing to learn from.")
    target = frame.pop(data.target)
    aside = {key: column for key in ("groups", "time") if (column := getattr(data.split, key)) is not None}
    known_by = {key: frame[named([column], f"split.{key}", frame, name)[0]] for key, column in aside.items()}
    frame = frame.drop(columns=[*named(data.drop, "drop", frame, name), *aside.values()])  # no inputs of a network
    if not len(frame.columns):
        raise InputError(f"{name} has no column left to learn from besides the target {cut(data.target)}.")
    kinds = columns.sort(data, frame, name)
    features = columns.clean(frame, kinds, name).reset_index(drop=True)
    groups = _groups(known_by["groups"], name) if "groups" in aside else None
    time = _time(known_by["time"], name) if "time" in aside else None
    task = data.task or _infer(target)
    checked = _check_target(target, task).reset_index(drop=True)
    return Table(
        name=name,
        features=features,
        numeric=kinds.numeric,
        categorical=kinds.categorical,
        text=kinds.text,
        image=data.source == "sklearn:digits" and data.target == "target" and len(kinds.numeric) == len(features.columns),
        target=checked,
        target_name=data.target,
        task=task,
        fingerprint=_fingerprint(features, checked, *(part for part in (groups, time) if part is not None)),
        notes=(*(() if known.all() else (f"Rows without a target, left out: {(~known).sum():,}.",)), *kinds.notes),
        groups=groups,
        time=time,
    )


def read_file(path: Path, text: tuple[str, ...] = ()) -> pd.DataFrame:
    """A .csv or .parquet as it is; the columns `text` are read as text. Raises InputError in one sentence."""
    check_file(path)
    shown = cut(str(path), 300)
    try:
        frame = _read_csv(path, text) if path.suffix.lower() == ".csv" else pd.read_parquet(path)
    except UnicodeDecodeError as error:
        byte = error.object[error.start]
        raise InputError(f"{shown} must be text in UTF-8, but holds the byte {byte:#04x}.") from error
    except pd.errors.EmptyDataError as error:
        raise InputError(f"{shown} is empty; it needs a header with the names of its columns, and rows.") from error
    except pd.errors.ParserWarning as error:
        raise InputError(f"{shown} cannot be read: its rows hold more values than its header has names.") from error
    except (ValueError, OSError) as error:  # pandas' and pyarrow's own errors among them
        reason = str(error).strip().removeprefix("Error tokenizing data. C error: ").rstrip(".")
        raise InputError(f"{shown} cannot be read: {cut(reason or type(error).__name__, 160)}.") from error
    frame.columns = frame.columns.map(str)
    if len(frame.columns) == 1 and {";", "\t"} & {*frame.columns[0]}:
        raise InputError(f"{shown} must be separated by commas, but its header is {cut(frame.columns[0])}.")
    for column in (c for c in frame.columns if pd.api.types.is_object_dtype(frame[c])):
        if pd.api.types.infer_dtype(frame[column], skipna=True) == "decimal":  # what data bases write into .parquet
            frame[column] = frame[column].astype("float64")
    return frame.reset_index(drop=True)


def check_file(path: Path) -> None:
    """Raises InputError if `path` is not an existing .csv or .parquet."""
    shown = cut(str(path), 300)
    if path.suffix.lower() not in (".csv", ".parquet"):
        raise InputError(f"{shown} must be a .csv or .parquet file.")
    try:
        folder = stat.S_ISDIR(path.stat().st_mode)
    except (OSError, ValueError) as error:
        raise InputError(f"{shown} does not exist; name a .csv or .parquet file.") from error
    if folder:
        raise InputError(f"{shown} is a directory; name a .csv or .parquet file in it.")


def _read_csv(path: Path, text: tuple[str, ...]) -> pd.DataFrame:
    # pandas renames the second of two columns of one name, and takes the first column of rows that are too long for an
    # index: both would train on something else than the file says.
    header = pd.read_csv(path, header=None, nrows=1, dtype=str, index_col=False).iloc[0].dropna()
    for column in header[header.duplicated()]:
        raise InputError(f"{cut(str(path), 300)}: the column {cut(column)} occurs twice; rename or remove one of them.")
    with warnings.catch_warnings():
        warnings.simplefilter("error", pd.errors.ParserWarning)
        return pd.read_csv(path, dtype=dict.fromkeys(text, str), index_col=False, low_memory=False)


def _read(data: Data, base: Path) -> tuple[str, pd.DataFrame]:
    """(name, frame with target)."""
    kind, _, dataset = data.source.partition(":")
    if kind == "sklearn":
        import sklearn.datasets

        bunch: Any = getattr(sklearn.datasets, DATASETS[dataset])(as_frame=True)
        return dataset, bunch.frame
    path = base / data.source
    try:
        return path.stem, read_file(path, (*data.categorical, *data.text.columns))
    except InputError as error:
        raise InputError(f"data.source: {error}") from error


def _groups(values: pd.Series, name: str) -> np.ndarray:
    """To which group each row belongs, as a whole number."""
    _check_known(values, f"data.split.groups: {name}: the column {cut(values.name)}")
    return np.unique(as_text(values).to_numpy(dtype=str), return_inverse=True)[1]


def _time(values: pd.Series, name: str) -> np.ndarray:
    """When each row was, as numbers or dates."""
    what = f"data.split.time: {name}: the column {cut(values.name)}"
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
            f"{what} must hold numbers or ISO dates (2026-01-31), but row {row + 1} holds {cut(values[row])}; mend it, "
            f"or name another column."
        )
    return dates.to_numpy()


def _check_known(values: pd.Series, what: str) -> None:
    for row in values.index[values.isna()]:
        raise InputError(f"{what} has no value in row {row + 1}; fill it in or remove that row.")


def _infer(target: pd.Series) -> Task:
    numeric = pd.api.types.is_numeric_dtype(target) and not is_bool(target)
    return "regression" if numeric and target.nunique() > _MAX_CLASSES else "classification"


def _check_target(target: pd.Series, task: Task) -> pd.Series:
    """The target as float64, or as plain class labels."""
    name, first = f"the target {cut(target.name)}", cut(_plain(target.iloc[0]))
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
        hint = "; if it is a number to predict, set data.task to regression" if len(counts) > _MAX_CLASSES else ""
        raise InputError(
            f"data.target: the class {cut(_plain(counts.idxmin()))} of {name} has a single row, so it cannot be both "
            f"learned and checked; add rows of it or remove that row{hint}."
        )
    return labels


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
