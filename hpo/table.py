"""A table as it came: loaded from a file or scikit-learn, its target apart, its columns sorted into numbers and categories.

Everything that cannot be trained on is refused here, in a sentence.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from hpo.errors import InputError, cut
from hpo.metrics import Task
from hpo.space import DATASETS, Data

_MAX_CLASSES = 20  # a numeric target with more distinct values is regression


@dataclass(frozen=True)
class Table:
    """Rows with a target. `features` holds float columns (`numeric`) and text columns (`categorical`, missing as "")."""

    name: str
    features: pd.DataFrame
    numeric: tuple[str, ...]
    categorical: tuple[str, ...]
    image: bool  # all columns are pixels of one scale
    target: pd.Series
    target_name: str
    task: Task
    fingerprint: str
    notes: tuple[str, ...]


def load(data: Data, base: Path) -> Table:
    """The table that `data` describes; a relative path starts at `base`. Raises InputError in one sentence."""
    name, frame, target_name, image = _read(data, base)
    if target_name not in frame.columns:
        columns = cut(", ".join(map(str, frame.columns)), 300)
        raise InputError(f"data.target: {name} has no column {cut(target_name)}; set data.target to one of: {columns}.")
    if frame.empty:
        raise InputError(f"{name} has a header and no rows: there is nothing to learn from.")
    notes = []
    known = frame[target_name].notna()
    if not known.all():
        notes.append(f"{int((~known).sum()):,} rows without a target were left out.")
        frame = frame[known].reset_index(drop=True)
    if frame.empty:
        raise InputError(f"{name}: every row lacks its target {target_name}: there is nothing to learn from.")
    target = frame.pop(target_name)
    frame = frame.drop(columns=_named(data.drop, "drop", frame, name))
    if not len(frame.columns):
        raise InputError(f"{name} has no column left to learn from besides the target {target_name}.")
    categorical = _categorical(data, frame, name)
    features = _clean(frame, categorical, name)
    task = data.task or _infer(target)
    return Table(
        name=name,
        features=features,
        numeric=tuple(c for c in features.columns if c not in categorical),
        categorical=tuple(c for c in features.columns if c in categorical),
        image=image,
        target=_check_target(target, target_name, task),
        target_name=target_name,
        task=task,
        fingerprint=_fingerprint(features, target),
        notes=tuple(notes),
    )


def read_file(path: Path, text: tuple[str, ...] = ()) -> pd.DataFrame:
    """A .csv or .parquet as it is; the columns `text` are read as text. Raises InputError in one sentence."""
    readers: dict[str, Callable[[Path], pd.DataFrame]] = {
        ".csv": lambda p: pd.read_csv(p, dtype=dict.fromkeys(text, str), low_memory=False),
        ".parquet": pd.read_parquet,
    }
    if path.is_dir():
        raise InputError(f"{path} is a directory; name a .csv or .parquet file in it.")
    if path.suffix.lower() not in readers:
        raise InputError(f"{path} must be a .csv or .parquet file.")
    if not path.is_file():
        raise InputError(f"{path} does not exist; a relative path starts at the folder of the space file.")
    try:
        frame = readers[path.suffix.lower()](path)
    except (ValueError, OSError) as error:  # pandas' own parser, decoding and empty-file errors are ValueErrors
        raise InputError(f"{path} cannot be read: {cut(str(error).strip() or type(error).__name__, 160)}.") from error
    frame.columns = frame.columns.map(str)
    return frame


def as_text(column: pd.Series) -> pd.Series:
    """A categorical column as text, missing as "": whole numbers are written as such also where some are missing."""
    if pd.api.types.is_float_dtype(column) and (column.dropna() % 1 == 0).all():
        column = column.astype("Int64")
    return column.astype(object).where(column.notna(), "").map(str)


def _read(data: Data, base: Path) -> tuple[str, pd.DataFrame, str, bool]:
    """(name, frame with target, the target's name, whether it is an image)."""
    kind, _, dataset = data.source.partition(":")
    if kind == "sklearn":
        import sklearn.datasets

        bunch: Any = getattr(sklearn.datasets, DATASETS[dataset])(as_frame=True)
        return dataset, bunch.frame, "target", dataset == "digits"
    path = base / data.source
    return path.stem, read_file(path, tuple(data.categorical)), data.target, False


def _named(columns: list[str], key: str, frame: pd.DataFrame, name: str) -> list[str]:
    for column in columns:
        if column not in frame.columns:
            known = cut(", ".join(frame.columns), 300)
            raise InputError(f"data.{key}: {name} has no column {cut(column)} besides the target. It has: {known}.")
    return columns


def _categorical(data: Data, frame: pd.DataFrame, name: str) -> set[str]:
    """The columns to encode as categories: those of text and truth values, unless the space overrules."""
    named = set(_named(data.categorical, "categorical", frame, name))
    numeric = set(_named(data.numeric, "numeric", frame, name))
    if both := sorted(named & numeric):
        raise InputError(f"data.numeric: the column {both[0]} is also in data.categorical; name it in one of them.")
    for column in frame.columns:
        if pd.api.types.is_datetime64_any_dtype(frame[column]) and column not in named:
            raise InputError(f"{name}: the column {column} holds dates; add it to data.drop or turn it into numbers.")
    text = {c for c in frame.columns if not pd.api.types.is_numeric_dtype(frame[c]) or _is_bool(frame[c])}
    return (text | named) - numeric


def _is_bool(column: pd.Series) -> bool:
    return bool(pd.api.types.is_bool_dtype(column))


def _clean(frame: pd.DataFrame, categorical: set[str], name: str) -> pd.DataFrame:
    columns = {}
    for column in frame.columns:
        values = frame[column]
        if values.isna().all():
            raise InputError(f"{name}: the column {column} has no value in any row; add it to data.drop.")
        columns[column] = _text(values, name) if column in categorical else _number(values, name)
    return pd.DataFrame(columns)


def _text(values: pd.Series, name: str) -> pd.Series:
    text = as_text(values)
    given = text[text != ""]
    if len(given) > _MAX_CLASSES and given.is_unique and not pd.api.types.is_numeric_dtype(values):
        raise InputError(
            f"{name}: the column {values.name} is text and no value occurs twice, so nothing can be learned from it; "
            f"add it to data.drop."
        )
    return text


def _number(values: pd.Series, name: str) -> pd.Series:
    numbers = pd.to_numeric(values, errors="coerce").astype("float64")
    broken = numbers.isna() & values.notna()
    if broken.any():
        row = int(np.flatnonzero(broken)[0])
        raise InputError(
            f"{name}: the column {values.name} is in data.numeric, but row {row + 1} holds {cut(values.iloc[row])}; "
            f"mend the row or take the column out of data.numeric."
        )
    _check_finite(numbers, f"{name}: the column {values.name}")
    return numbers


def _check_finite(numbers: pd.Series, what: str) -> None:
    infinite = np.isinf(numbers.to_numpy(dtype="float64", na_value=np.nan))
    if infinite.any():
        raise InputError(f"{what} is infinite in row {int(np.flatnonzero(infinite)[0]) + 1}; mend or remove that row.")


def _infer(target: pd.Series) -> Task:
    numeric = pd.api.types.is_numeric_dtype(target) and not _is_bool(target)
    return "regression" if numeric and target.nunique() > _MAX_CLASSES else "classification"


def _check_target(target: pd.Series, name: str, task: Task) -> pd.Series:
    if task == "regression":
        if not pd.api.types.is_numeric_dtype(target) or _is_bool(target):
            raise InputError(f"data.task: regression needs a numeric target, but {name} holds {cut(target.iloc[0])}.")
        _check_finite(target, f"The target {name}")
        if target.nunique() < 2:
            raise InputError(f"The target {name} is {target.iloc[0]} in every row: there is nothing to learn.")
        return target.astype("float64")
    counts = target.value_counts()
    if len(counts) < 2:
        raise InputError(f"The target {name} has one class only, {cut(target.iloc[0])}: there is nothing to learn.")
    if counts.min() < 2:
        hint = "; if it is a number to predict, set data.task to regression" if len(counts) > _MAX_CLASSES else ""
        raise InputError(
            f"The class {cut(counts.idxmin())} of the target {name} has a single row, so it cannot be both learned and "
            f"checked; add rows of it or remove that row{hint}."
        )
    return target


def _fingerprint(features: pd.DataFrame, target: pd.Series) -> str:
    """Sixteen hexadecimal digits of the content: the same rows and columns give the same."""
    import hashlib

    digest = hashlib.sha256("\0".join([*features.columns, str(target.name)]).encode())
    for column in (*(features[c] for c in features.columns), target):
        digest.update(pd.util.hash_pandas_object(column, index=False).to_numpy().tobytes())
    return digest.hexdigest()[:16]
