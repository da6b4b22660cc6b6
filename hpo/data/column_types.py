"""The columns of a table: which are numbers, which categories and which text, and what none of these can be."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from hpo.core.errors import InputError, truncate
from hpo.core.yaml_document import format_value
from hpo.data.config import DataConfig
from hpo.data.svmlight import LARGEST

_SENTENCE = 3  # words of letters that half of a column's values have at least, if it is text
_WORD = r"[^\W\d_]{2,}"
# What pandas calls the values of a column that is neither numbers nor text, and what a person calls them.
_STRANGE = {
    **dict.fromkeys(("datetime64", "datetime", "date"), "dates"),
    **dict.fromkeys(("time", "timedelta64", "timedelta", "period", "interval"), "times"),
    **dict.fromkeys(("mixed", "mixed-integer"), "lists or objects"),
    "bytes": "bytes",
    "complex": "complex numbers",
}


class ColumnError(InputError):
    """A column that nothing can be learned from, so that it must be dropped."""

    def __init__(self, name: str, column: str, why: str, otherwise: str = "") -> None:
        super().__init__(f"{name}: the column {truncate(column)} {why}; add it to data.drop{otherwise}.")
        self.column, self.why = column, why


@dataclass(frozen=True)
class ColumnTypes:
    """The columns of a table by kind, in its order; `named`: those that the space itself says are categories or text."""

    numeric: tuple[str, ...]
    categorical: tuple[str, ...]
    text: tuple[str, ...]
    named: frozenset[str]
    notes: tuple[str, ...]


def sort(data: DataConfig, frame: pd.DataFrame, name: str) -> ColumnTypes:
    """Text and truth values are categories, unless they are sentences or the space overrules. Raises InputError."""
    said_by = {"categorical": data.categorical, "numeric": data.numeric, "text": data.text.columns}
    for key, columns in said_by.items():
        named(columns, key, frame, name)
    for one, other in (("numeric", "categorical"), ("text", "categorical"), ("text", "numeric")):
        for both in (c for c in said_by[one] if c in said_by[other]):
            raise InputError(
                f"data.{one}: the column {truncate(both)} is also in data.{other}; name it in one of them."
            )
    known = {column: kind for kind, columns in said_by.items() for column in columns}
    found = {c: known.get(c) or _kind(frame[c]) for c in frame.columns}
    notes = filter(None, (_doubtful(frame[c], kind) for c, kind in found.items() if c not in known))
    numeric, categorical, text = (
        tuple(c for c, own in found.items() if own == kind) for kind in ("numeric", "categorical", "text")
    )
    return ColumnTypes(numeric, categorical, text, frozenset((*data.categorical, *data.text.columns)), tuple(notes))


def _doubtful(values: pd.Series, kind: str) -> str:
    """What somebody should know who has not said of a column what it is; "" if it is plain."""
    what, given = f"The column {truncate(values.name)}", values.dropna()
    if kind == "text":
        return f"{what} holds sentences, so it is read as text; data.categorical or data.drop overrule that."
    if kind == "numeric" or is_bool(given) or strange(values):
        return ""
    words = given[pd.to_numeric(given, errors="coerce").isna()]
    if 0 < len(words) < len(given) / 20:
        return f"{what} holds numbers but for {len(words):,} of {len(given):,} values, such as {format_value(words.iloc[0])}, so it is read as categories; mend them."
    if given.nunique() > len(given) / 2:
        return f"{what} has {given.nunique():,} categories in {len(given):,} rows, so little is learned from it; add it to data.drop, or to data.categorical if it is to stay."
    return ""


def _kind(values: pd.Series) -> str:
    if pd.api.types.is_numeric_dtype(values) and not is_bool(values):
        return "numeric"
    return "text" if _sentences(values) else "categorical"


def _sentences(values: pd.Series) -> bool:
    """Whether most values of a column are there once, and have a few words."""
    given = values.dropna()
    if not len(given) or pd.api.types.infer_dtype(given) != "string" or given.nunique() <= len(given) / 2:
        return False
    return bool(given.str.count(_WORD).median() >= _SENTENCE)


def clean(frame: pd.DataFrame, kinds: ColumnTypes, name: str) -> pd.DataFrame:
    """Columns of float64 and of text; those that are `named` are what they are said to be, whatever they hold."""
    columns = {}
    for column in frame.columns:
        values = frame[column]
        if values.isna().all():
            raise ColumnError(name, column, "has no value in any row")
        if (found := strange(values)) and column not in kinds.named:
            raise ColumnError(name, column, f"holds {found}", ", or turn it into numbers or text")
        made = _number if column in kinds.numeric else _category if column in kinds.categorical else _written
        columns[column] = made(values, name)
    return pd.DataFrame(columns)


def _written(values: pd.Series, name: str) -> pd.Series:
    del name
    return as_text(values)


def _category(values: pd.Series, name: str) -> pd.Series:
    text = as_text(values)
    given = text[text != ""]
    if len(given) > 1 and given.is_unique:
        words = given[pd.to_numeric(given, errors="coerce").isna()]
        if 0 < len(words) < len(given) / 2:
            why = f"holds numbers, but {place(words.index[0])} holds {format_value(words.iloc[0])}"
            raise ColumnError(name, str(values.name), why, ", or leave such cells empty")
        raise ColumnError(
            name,
            str(values.name),
            "holds no value twice, so nothing is learned from it",
            ", or to data.text if it is text",
        )
    return text


def _number(values: pd.Series, name: str) -> pd.Series:
    numbers = pd.to_numeric(values, errors="coerce").astype("float64")
    what = f"{name}: the column {truncate(values.name)}"
    for row in numbers.index[numbers.isna() & values.notna()]:
        raise InputError(
            f"{what} is in data.numeric, but {place(row)} holds {truncate(values[row])}; "
            f"mend the row or take the column out of data.numeric."
        )
    check_finite(numbers, what)
    return numbers


def as_text(column: pd.Series) -> pd.Series:
    """A categorical column as text, missing as "". A code is the same with and without the `.0` that pandas adds where
    some are missing."""
    text = column.astype(object).where(column.notna(), "").map(str)
    return text.str.replace(r"^(-?\d+)\.0+$", r"\1", regex=True).astype(object)


def named(columns: list[str], key: str, frame: pd.DataFrame, name: str) -> list[str]:
    for column in columns:
        if column not in frame.columns:
            known = listed(frame.columns)
            raise InputError(
                f"data.{key}: {name} has no column {truncate(column)} besides the target. It has: {known}."
            )
    return columns


def is_bool(column: pd.Series) -> bool:
    return bool(pd.api.types.is_bool_dtype(column))


def strange(column: pd.Series) -> str | None:
    """What a column holds, if that is neither numbers nor text nor truth values."""
    return _STRANGE.get(pd.api.types.infer_dtype(column, skipna=True))


def place(row: Any) -> str:
    """A row of the index that `reading.py` makes, as a person counts it."""
    return f"row {row[1] + 1} of {row[0]}" if isinstance(row, tuple) else f"row {row + 1}"


def check_finite(numbers: pd.Series, what: str) -> None:
    for row in numbers.index[numbers.abs() > LARGEST]:
        found = "infinite" if np.isinf(numbers[row]) else f"{numbers[row]:.3g}, beyond {LARGEST:g},"
        raise InputError(f"{what} is {found} in {place(row)}; mend or remove that row.")


def listed(columns: Iterable[str]) -> str:
    return truncate(", ".join(columns), 300)
