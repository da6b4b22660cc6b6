"""Load a table: read its files, separate the target, sort the columns by type, and reject unusable data."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from hpo.core.errors import InputError, truncate
from hpo.core.metrics import Task
from hpo.core.yaml_document import format_value
from hpo.data import auxiliary_target, column_types, sources
from hpo.data.column_types import (
    as_text,
    check_columns,
    check_finite,
    is_bool,
    join_names,
    row_name,
    unsupported_type,
)
from hpo.data.config import DataConfig
from hpo.data.sources import SOURCE, TARGET, TEST, SourceRows


@dataclass(frozen=True)
class Table:
    """Rows with a target, of one domain or two.

    `features` holds float columns (`numeric`) and string columns (`categorical` and `text`); missing strings are "".
    `domain` (rows,): the domain of each row (see `sources.py`). Rows of the target domain may lack a target.
    `groups` (rows,), integers, and `time` (rows,), sortable values, are set if the split names these columns; they
    cover only the first rows if later domains lack the column.
    `auxiliary` (rows, outputs): a second column to predict (see `auxiliary_target.py`).
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
    """Load the table that `data` describes; relative paths start at `base`. Raises InputError."""
    source = sources.read(data, base)
    name, target_name = source.name, data.target.column
    has_target = _check_targets_exist(data, source)
    kept = has_target | (source.domain == TARGET)
    frame, domain = source.frame[kept], source.domain[kept]  # the index keeps the row numbers of the files
    target = frame.pop(target_name)
    split_columns = _split_columns(data, frame, domain, name)
    auxiliary = None if data.auxiliary is None else _auxiliary(data.auxiliary, frame, name)
    frame = _input_columns(data, frame, name)
    types = column_types.infer_column_types(data, frame[domain == SOURCE].infer_objects(), name)
    if domain.any():
        frame = _target_domain_numbers(frame, types.numeric, domain, name)
    features = column_types.convert_columns(frame, types, name).reset_index(drop=True)
    groups = _groups(split_columns["groups"], name) if "groups" in split_columns else None
    time = _time(split_columns["time"], name) if "time" in split_columns else None
    target, task = _convert_target(target, domain, data.task)
    hashed = (groups, time, domain if domain.any() else None, *(() if auxiliary is None else auxiliary.T))
    left_out = [] if kept.all() else [f"Rows without a target, left out: {(~kept).sum():,}."]
    is_digits = data.sources == ["sklearn:digits"] and target_name == "target"
    return Table(
        name=name,
        features=features,
        numeric=types.numeric,
        categorical=types.categorical,
        text=types.text,
        image=is_digits and len(types.numeric) == len(features.columns),
        target=target,
        target_name=target_name,
        task=task,
        fingerprint=_fingerprint(features, target, *(values for values in hashed if values is not None)),
        notes=(*left_out, *source.notes, *types.notes),
        domain=domain,
        groups=groups,
        time=time,
        auxiliary=auxiliary,
    )


def _check_targets_exist(data: DataConfig, source: SourceRows) -> np.ndarray:
    """Return which rows have a target. Raises InputError if the column or all its values are missing."""
    name, frame, domain, column = source.name, source.frame, source.domain, data.target.column
    if column not in frame.columns:
        raise InputError(
            f"data.target: {name} has no column {format_value(column)}. It has: {join_names(frame.columns)}."
        )
    if frame.empty:
        raise InputError(f"{name} has a header and no rows: there is nothing to learn from.")
    has_target = frame[column].notna().to_numpy()
    if not has_target[domain == SOURCE].any():
        raise InputError(f"{name}: every row lacks its target {truncate(column)}: there is nothing to learn from.")
    if (domain == TEST).any() and not has_target[domain == TEST].any():
        raise InputError(
            f"data.target.test: no row of {data.target.test} has a label, and without labels nothing can be tested; "
            f"leave it out."
        )
    return np.asarray(has_target)


def _split_columns(data: DataConfig, frame: pd.DataFrame, domain: np.ndarray, name: str) -> Mapping[str, pd.Series]:
    """Return the columns `groups` and `time` of the split, without the rows of domains that lack them."""
    columns = {}
    for key in ("groups", "time"):
        column = getattr(data.split, key)
        if column is not None:
            check_columns([column], f"split.{key}", frame, name)
            target_lacks_it = frame[column][domain == TARGET].isna().all()
            columns[key] = frame[column][domain == SOURCE if target_lacks_it else domain != TEST]
    return columns


def _auxiliary(column: str, frame: pd.DataFrame, name: str) -> np.ndarray:
    check_columns([column], "auxiliary", frame, name)
    return auxiliary_target.encode(frame[column], name)


def _input_columns(data: DataConfig, frame: pd.DataFrame, name: str) -> pd.DataFrame:
    """Remove the columns that are not inputs. Raises InputError if none is left or if the first counts the rows."""
    others = [c for c in (data.split.groups, data.split.time, data.auxiliary) if c is not None]
    frame = frame.drop(columns=[*check_columns(data.drop, "drop", frame, name), *others])
    if not len(frame.columns):
        raise InputError(f"{name} has no input column left, only the target {truncate(data.target.column)}.")
    first = frame.columns[0]
    if first == "Unnamed: 0" and first not in data.numeric and (frame[first] == frame.index.get_level_values(-1)).all():
        # In a table that is sorted by its target, the row number reveals the target.
        raise InputError(
            f"{name}: the first column has no name and counts the rows; write the file without it (pandas: "
            f'index=False), add "Unnamed: 0" to data.drop, or to data.numeric if it is an input.'
        )
    return frame


def _target_domain_numbers(
    frame: pd.DataFrame, numeric: tuple[str, ...], domain: np.ndarray, name: str
) -> pd.DataFrame:
    """Convert the columns that are numeric in the source to numbers, in the rows of all domains."""
    converted = {}
    for column in (c for c in numeric if pd.api.types.is_object_dtype(frame[c])):
        numbers = pd.to_numeric(frame[column], errors="coerce")
        is_invalid = (numbers.isna() & frame[column].notna()).to_numpy()
        for row in frame.index[is_invalid & (domain != SOURCE)]:
            raise InputError(
                f"{name}: the column {truncate(column)} holds numbers, but {row_name(row)} holds "
                f"{truncate(frame[column][row])}; fix the row."
            )
        if not is_invalid.any():  # invalid values of the source are reported by convert_columns
            converted[column] = numbers
    return frame.assign(**converted)


def _groups(values: pd.Series, name: str) -> np.ndarray:
    """Number the groups of a column, (rows,)."""
    _check_present(values, f"data.split.groups: {name}: the column {truncate(values.name)}")
    return np.unique(as_text(values).to_numpy(dtype=str), return_inverse=True)[1]


def _time(values: pd.Series, name: str) -> np.ndarray:
    """Convert a column to numbers or dates, (rows,)."""
    what = f"data.split.time: {name}: the column {truncate(values.name)}"
    _check_present(values, what)
    if pd.api.types.is_numeric_dtype(values) and not is_bool(values):
        numbers = values.astype("float64")
        check_finite(numbers, what)
        return numbers.to_numpy()
    if pd.api.types.is_datetime64_any_dtype(values):
        return pd.to_datetime(values, utc=True).to_numpy()
    dates = pd.to_datetime(values.map(str), format="ISO8601", errors="coerce", utc=True)
    for row in values.index[dates.isna()]:
        raise InputError(
            f"{what} must hold numbers or ISO dates (2026-01-31), but {row_name(row)} holds {truncate(values[row])}; "
            f"fix it, or name another column."
        )
    return dates.to_numpy()


def _check_present(values: pd.Series, what: str) -> None:
    for row in values.index[values.isna()]:
        raise InputError(f"{what} has no value in {row_name(row)}; fill it in or remove that row.")


def _convert_target(target: pd.Series, domain: np.ndarray, task: Task | None) -> tuple[pd.Series, Task]:
    """Return the target as float64 or class labels, and the task, inferred from the source if `task` is None."""
    of_source = target[domain == SOURCE].infer_objects()  # other domains may hold other types
    if task is None:
        is_number = pd.api.types.is_numeric_dtype(of_source) and not is_bool(of_source)
        is_regression = is_number and of_source.nunique() > auxiliary_target.MAX_CLASSES
        task = "regression" if is_regression else "classification"
    converted = _convert_source_target(of_source, task)
    if len(converted) < len(target):
        of_others = target[domain != SOURCE]
        _check_target_domain(of_others, task)
        both = pd.concat([converted.astype(object), of_others.astype(object)])
        converted = both if task == "classification" else pd.to_numeric(both)
    return converted.reset_index(drop=True), task


def _convert_source_target(target: pd.Series, task: Task) -> pd.Series:
    """Return the target of the source as float64 or class labels. Raises InputError."""
    name, first = f"the target {truncate(target.name)}", truncate(_python_value(target.iloc[0]))
    if pd.api.types.is_numeric_dtype(target):
        check_finite(target.astype("float64"), f"data.target: {name}")
    if task == "regression":
        if not pd.api.types.is_numeric_dtype(target) or is_bool(target):
            raise InputError(f"data.task: regression needs a numeric target, but {name} holds {first}.")
        if target.nunique() < 2:
            raise InputError(f"data.target: {name} is {first} in every row: there is nothing to learn.")
        return target.astype("float64")
    labels = target.astype(object).infer_objects()
    if unsupported := unsupported_type(labels):
        raise InputError(f"data.target: {name} holds {unsupported}; turn it into numbers or text.")
    if pd.api.types.is_float_dtype(labels) and (labels % 1 == 0).all():  # integers, some of which were missing
        labels = labels.astype("int64")
    counts = labels.value_counts()
    if len(counts) < 2:
        raise InputError(f"data.target: {name} has one class only, {first}: there is nothing to learn.")
    if counts.min() < 2:
        is_number = len(counts) > auxiliary_target.MAX_CLASSES
        hint = "; if it is a number to predict, set data.task to regression" if is_number else ""
        raise InputError(
            f"data.target: the class {truncate(_python_value(counts.idxmin()))} of {name} has only one row, too few "
            f"for training and validation; add rows of it or remove that row{hint}."
        )
    return labels


def _check_target_domain(target: pd.Series, task: Task) -> None:
    """Check the targets, where present, of domains other than the source. Raises InputError."""
    present = target.dropna()
    if bool(pd.api.types.is_numeric_dtype(present.infer_objects())) and not is_bool(present):
        check_finite(present.astype("float64"), f"data.target: the target {truncate(target.name)}")
    elif task == "regression" and len(present):
        raise InputError(
            f"data.target: {truncate(target.name)} is a number, but the target domain has "
            f"{truncate(_python_value(present.iloc[0]))}; fix it."
        )


def _python_value(value: Any) -> Any:
    """Convert a numpy scalar to a Python value."""
    return value.item() if isinstance(value, np.generic) else value


def _fingerprint(features: pd.DataFrame, target: pd.Series, *others: np.ndarray) -> str:
    """Hash all values and column names to sixteen hexadecimal digits; `others` are further arrays (rows,)."""
    import hashlib

    digest = hashlib.sha256("\0".join([*features.columns, str(target.name)]).encode())
    for column in (*(features[c] for c in features.columns), target, *map(pd.Series, others)):
        digest.update(pd.util.hash_pandas_object(column, index=False).to_numpy().tobytes())
    return digest.hexdigest()[:16]
