"""Read and stack the rows of all files that a space names, from both domains if there are two."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from hpo.core.errors import InputError, truncate
from hpo.data.column_types import as_text, join_names
from hpo.data.config import DATASETS, DataConfig
from hpo.data.readers import read_file

SOURCE, TARGET, TEST = 0, 1, 2  # the domain of a row; TEST marks target rows from a file that is only used for the test
_DOMAIN_NAMES = ("the source", "the target", "data.target.test")  # for messages
NamedFrame = tuple[str, pd.DataFrame]


@dataclass(frozen=True)
class SourceRows:
    """All rows with their targets; rows of domains other than the source may lack a target.

    `domain` (rows,): the domain of each row. With several files, the index of `frame` holds the file and the row in it.
    """

    name: str
    frame: pd.DataFrame
    domain: np.ndarray
    notes: tuple[str, ...] = ()


def read(data: DataConfig, base: Path) -> SourceRows:
    """Read the files that `data` names; relative paths start at `base`. Raises InputError."""
    name, frame = _read_source_domain(data, base)
    if data.target.source is None:
        return SourceRows(name, frame, np.full(len(frame), SOURCE))
    frames, names, notes = [frame], dict[str, str](), []
    for key, file in data.target.files.items():
        names[key], rows = _read_one(file, data, base, f"data.target.{key}")
        _check_target_file(data, key, (names[key], rows), (name, frame))
        if extra := [c for c in rows.columns if c not in frame.columns]:
            notes.append(f"Columns of {names[key]} that {name} does not have, left out: {join_names(extra)}.")
        shared = [c for c in frame.columns if c in rows.columns]
        frames.append(_numbers_as_text(rows[shared], _string_columns(frame)))
    domain = np.repeat(np.arange(len(frames)), list(map(len, frames)))
    stacked = _stack(frames, _DOMAIN_NAMES[: len(frames)])
    return SourceRows(f"{name} → {names['source']}", stacked, domain, tuple(notes))


def _check_target_file(data: DataConfig, key: str, target: NamedFrame, source: NamedFrame) -> None:
    """Raise InputError if a file of the target domain, `data.target.key`, has no rows or lacks a column."""
    (name, rows), (source_name, frame) = target, source
    optional = [data.target.column, *data.drop, data.split.groups, data.split.time, data.auxiliary]
    if rows.empty:
        raise InputError(
            f"data.target.{key}: {name} has a header and no rows: there is nothing to adapt to or to test on; "
            f"leave it out."
        )
    if missing := [c for c in frame.columns if c not in optional and c not in rows.columns]:
        raise InputError(
            f"data.target.{key}: {name} lacks the column {truncate(missing[0])}, which {source_name} has; "
            f"both domains need the same columns."
        )
    if key == "test" and data.target.column not in rows.columns:
        raise InputError(
            f"data.target.test: {name} lacks the column {truncate(data.target.column)}: without labels nothing can "
            f"be tested; leave it out."
        )


def _read_source_domain(data: DataConfig, base: Path) -> NamedFrame:
    """Read `data.source`; several files must have the same columns."""
    files = [_read_one(source, data, base, "data.source") for source in data.sources]
    (first_name, first), *others = files
    for name, frame in others:
        _check_same_columns((name, frame), (first_name, first))
        _check_same_columns((first_name, first), (name, frame))
    if not others:
        return first_name, first
    frames = [frame for _, frame in files]
    string_columns = [_string_columns(frame) for frame in frames]
    for i, j in product(range(len(frames)), repeat=2):
        categories = (*data.categorical, *data.drop, data.split.groups)
        for column in (c for c in _numeric_columns(frames[j], string_columns[i]) if c not in categories):
            present = frames[i][column].dropna()
            not_numbers = present[pd.to_numeric(present, errors="coerce").isna()]
            row = (present if not_numbers.empty else not_numbers).index[0]
            raise InputError(
                f"data.source: the column {truncate(column)} holds numbers in {data.sources[j]}, but row {row + 1} of "
                f"{data.sources[i]} holds {truncate(present[row])}; fix the row, or add the column to data.categorical."
            )
    all_string_columns = set[str]().union(*string_columns)
    converted = [_numbers_as_text(frame, all_string_columns) for frame in frames]
    return " + ".join(name for name, _ in files), _stack(converted, data.sources)


def _check_same_columns(file: NamedFrame, other: NamedFrame) -> None:
    """Raise InputError if `file` lacks a column of `other`."""
    if missing := [c for c in other[1].columns if c not in file[1].columns]:
        raise InputError(
            f"data.source: {file[0]} lacks the column {truncate(missing[0])}, which {other[0]} has; "
            f"all sources need the same columns."
        )


def _string_columns(frame: pd.DataFrame) -> set[str]:
    return {c for c in frame.columns if pd.api.types.infer_dtype(frame[c], skipna=True) == "string"}


def _numeric_columns(frame: pd.DataFrame, candidates: set[str]) -> list[str]:
    """Return the columns of `candidates` that hold numbers in `frame`."""
    return [
        c
        for c in frame.columns
        if c in candidates and pd.api.types.is_numeric_dtype(frame[c]) and frame[c].notna().any()
    ]


def _numbers_as_text(frame: pd.DataFrame, columns: set[str]) -> pd.DataFrame:
    """Convert numbers to strings in those `columns`, which hold strings in another file."""
    converted = {c: as_text(frame[c]).where(frame[c].notna(), None) for c in _numeric_columns(frame, columns)}
    return frame.assign(**converted)


def _read_one(source: str, data: DataConfig, base: Path, key: str) -> NamedFrame:
    """Read a file or a data set of scikit-learn, with its target; `key` names the source in errors."""
    kind, _, dataset = source.partition(":")
    if kind == "sklearn":
        import sklearn.datasets

        bunch: Any = getattr(sklearn.datasets, DATASETS[dataset])(as_frame=True)
        return dataset, bunch.frame
    path = base / source
    try:
        return path.stem, read_file(path, (*data.categorical, *data.text.columns), data.target.column)
    except InputError as error:
        raise InputError(f"{key}: {error}") from error


def _stack(frames: Sequence[pd.DataFrame], names: Sequence[str]) -> pd.DataFrame:
    """Stack frames, with the columns of the first; the index holds the name of each row's frame and its row in it."""
    indexed = [
        frame
        if isinstance(frame.index, pd.MultiIndex)
        else frame.set_index(pd.MultiIndex.from_product([[name], frame.index]))
        for name, frame in zip(names, frames, strict=True)
    ]
    filled = [frame.dropna(axis=1, how="all") for frame in indexed]  # an empty column would change the common dtype
    return pd.concat(filled).reindex(columns=frames[0].columns)
