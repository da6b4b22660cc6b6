"""Infer which columns of a table are numeric, categorical or text, convert them, and reject all other columns."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from hpo.core.errors import InputError, truncate
from hpo.core.samples import MAX_VALUE
from hpo.core.yaml_document import format_value
from hpo.data.config import DataConfig

_MIN_TEXT_WORDS = 3  # a column is text if the median number of words of its values is at least this
_WORD = r"[^\W\d_]{2,}"
_STRAY_DIVISOR = 20  # if fewer than 1 in 20 values are not numbers, these values are probably mistakes
# The names of unsupported types, by the type that pandas infers.
_UNSUPPORTED = {
    **dict.fromkeys(("datetime64", "datetime", "date"), "dates"),
    **dict.fromkeys(("time", "timedelta64", "timedelta", "period", "interval"), "times"),
    **dict.fromkeys(("mixed", "mixed-integer"), "lists or objects"),
    "bytes": "bytes",
    "complex": "complex numbers",
}


class ColumnError(InputError):
    """A column that cannot be an input and must be dropped."""

    def __init__(self, name: str, column: str, reason: str, alternative: str = "") -> None:
        super().__init__(f"{name}: the column {truncate(column)} {reason}; add it to data.drop{alternative}.")
        self.column, self.reason = column, reason


@dataclass(frozen=True)
class ColumnTypes:
    """Columns by type, in the order of the table; `declared`: those that the space names as categorical or text."""

    numeric: tuple[str, ...]
    categorical: tuple[str, ...]
    text: tuple[str, ...]
    declared: frozenset[str]
    notes: tuple[str, ...]


def infer_column_types(data: DataConfig, frame: pd.DataFrame, name: str) -> ColumnTypes:
    """Return the declared type of each column, or else the type of its values. Raises InputError.

    Strings and truth values are categorical, unless they are sentences.
    """
    declared = {"categorical": data.categorical, "numeric": data.numeric, "text": data.text.columns}
    for key, columns in declared.items():
        check_columns(columns, key, frame, name)
    for key, other_key in (("numeric", "categorical"), ("text", "categorical"), ("text", "numeric")):
        for column in (c for c in declared[key] if c in declared[other_key]):
            raise InputError(
                f"data.{key}: the column {truncate(column)} is also in data.{other_key}; name it in one of them."
            )
    declared_type = {column: key for key, columns in declared.items() for column in columns}
    types = {c: declared_type.get(c) or _infer_type(frame[c]) for c in frame.columns}
    notes = (_type_note(frame[c], kind) for c, kind in types.items() if c not in declared_type)
    numeric, categorical, text = (
        tuple(c for c, kind in types.items() if kind == key) for key in ("numeric", "categorical", "text")
    )
    names = frozenset((*data.categorical, *data.text.columns))
    return ColumnTypes(numeric, categorical, text, names, tuple(filter(None, notes)))


def _type_note(values: pd.Series, kind: str) -> str:
    """Return a note if the inferred type of a column may be wrong, else ""."""
    column, present = f"The column {truncate(values.name)}", values.dropna()
    if kind == "text":
        return f"{column} holds sentences, so it is read as text; data.categorical or data.drop overrule that."
    if kind == "numeric" or is_bool(present) or unsupported_type(values):
        return ""
    not_numbers = present[pd.to_numeric(present, errors="coerce").isna()]
    if 0 < len(not_numbers) < len(present) / _STRAY_DIVISOR:
        return (
            f"{column} is read as categories, because {len(not_numbers):,} of {len(present):,} values are not numbers, "
            f"such as {format_value(not_numbers.iloc[0])}; fix them."
        )
    if present.nunique() > len(present) / 2:
        return (
            f"{column} has {present.nunique():,} categories in {len(present):,} rows, so networks learn little from "
            f"it; add it to data.drop, or to data.categorical to keep it."
        )
    return ""


def _infer_type(values: pd.Series) -> str:
    if pd.api.types.is_numeric_dtype(values) and not is_bool(values):
        return "numeric"
    return "text" if _holds_sentences(values) else "categorical"


def _holds_sentences(values: pd.Series) -> bool:
    """Whether most values of a column are unique and have several words."""
    present = values.dropna()
    if not len(present) or pd.api.types.infer_dtype(present) != "string" or present.nunique() <= len(present) / 2:
        return False
    return bool(present.str.count(_WORD).median() >= _MIN_TEXT_WORDS)


def convert_columns(frame: pd.DataFrame, types: ColumnTypes, name: str) -> pd.DataFrame:
    """Convert numeric columns to float64 and all others to strings. Raises InputError.

    Declared columns are converted even if their values have another type.
    """
    columns = {}
    for column in frame.columns:
        values = frame[column]
        if values.isna().all():
            raise ColumnError(name, column, "has no value in any row")
        if (unsupported := unsupported_type(values)) and column not in types.declared:
            raise ColumnError(name, column, f"holds {unsupported}", ", or turn it into numbers or text")
        if column in types.numeric:
            columns[column] = _to_numbers(values, name)
        elif column in types.categorical:
            columns[column] = _to_categories(values, name)
        else:
            columns[column] = as_text(values)
    return pd.DataFrame(columns)


def _to_categories(values: pd.Series, name: str) -> pd.Series:
    text = as_text(values)
    present = text[text != ""]
    if len(present) < 2 or not present.is_unique:
        return text
    not_numbers = present[pd.to_numeric(present, errors="coerce").isna()]
    if 0 < len(not_numbers) < len(present) / 2:
        reason = f"holds numbers, but {row_name(not_numbers.index[0])} holds {format_value(not_numbers.iloc[0])}"
        raise ColumnError(name, str(values.name), reason, ", or leave such cells empty")
    reason = "holds no value twice, so networks learn nothing from it"
    raise ColumnError(name, str(values.name), reason, ", or to data.text if it is text")


def _to_numbers(values: pd.Series, name: str) -> pd.Series:
    numbers = pd.to_numeric(values, errors="coerce").astype("float64")
    what = f"{name}: the column {truncate(values.name)}"
    for row in numbers.index[numbers.isna() & values.notna()]:
        raise InputError(
            f"{what} is in data.numeric, but {row_name(row)} holds {truncate(values[row])}; "
            f"fix the row or take the column out of data.numeric."
        )
    check_finite(numbers, what)
    return numbers


def as_text(column: pd.Series) -> pd.Series:
    """Convert a column to strings, missing values to "".

    Removes the `.0` that pandas adds to whole numbers in a column with missing values.
    """
    text = column.astype(object).where(column.notna(), "").map(str)
    return text.str.replace(r"^(-?\d+)\.0+$", r"\1", regex=True).astype(object)


def check_columns(columns: list[str], key: str, frame: pd.DataFrame, name: str) -> list[str]:
    """Return the columns that `data.key` names. Raises InputError if the table lacks one."""
    for column in columns:
        if column not in frame.columns:
            raise InputError(
                f"data.{key}: {name} has no column {truncate(column)} other than the target. "
                f"It has: {join_names(frame.columns)}."
            )
    return columns


def is_bool(column: pd.Series) -> bool:
    return bool(pd.api.types.is_bool_dtype(column))


def unsupported_type(column: pd.Series) -> str | None:
    """Return the name of the type of the values, or None if they are numbers, strings or truth values."""
    return _UNSUPPORTED.get(pd.api.types.infer_dtype(column, skipna=True))


def row_name(row: Any) -> str:
    """Return the name of a row for messages, which count rows from 1.

    `row` is its entry in the index of `SourceRows.frame`.
    """
    return f"row {row[1] + 1} of {row[0]}" if isinstance(row, tuple) else f"row {row + 1}"


def check_finite(numbers: pd.Series, what: str) -> None:
    """Raise InputError for the first number that is infinite or too large to be squared; the message names `what`."""
    for row in numbers.index[numbers.abs() > MAX_VALUE]:
        value = "infinite" if np.isinf(numbers[row]) else f"{numbers[row]:.3g}, beyond {MAX_VALUE:g},"
        raise InputError(f"{what} is {value} in {row_name(row)}; fix or remove that row.")


def join_names(columns: Iterable[str]) -> str:
    return truncate(", ".join(columns), 300)
