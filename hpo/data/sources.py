"""All rows that a space names, of both domains if there are two, one below the other."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from hpo.core.errors import InputError, truncate
from hpo.data.column_types import as_text, listed
from hpo.data.config import DATASETS, DataConfig
from hpo.data.readers import read_file

SOURCE, TARGET, TEST = 0, 1, 2  # where a row is from; the last is a file of the target's own, to test on
_WHERE = ("the source", "the target", "data.target.test")  # the same in words


@dataclass(frozen=True)
class SourceRows:
    """`domain` (rows,): where each row is from. A row of another domain may lack its target. The index of `frame` says of each row which
    one of which file it is, if there are several."""

    name: str
    frame: pd.DataFrame
    domain: np.ndarray
    notes: tuple[str, ...] = ()


def read(data: DataConfig, base: Path) -> SourceRows:
    """What `data` names; a relative path starts at `base`. Raises InputError in one sentence."""
    name, frame = _sources(data, base)
    if data.target.source is None:
        return SourceRows(name, frame, np.full(len(frame), SOURCE))
    aside = [column for column in (data.split.groups, data.split.time, data.auxiliary) if column is not None]
    needed = [c for c in frame.columns if c not in (data.target.column, *data.drop, *aside)]
    parts, names, notes = [frame], dict[str, str](), []
    for key, file in data.target.files.items():
        names[key], part = _one(file, data, base, f"data.target.{key}")
        if part.empty:
            raise InputError(
                f"data.target.{key}: {names[key]} has a header and no rows: there is nothing to adapt to or to test on; leave it out."
            )
        if missing := [c for c in needed if c not in part.columns]:
            raise InputError(
                f"data.target.{key}: {names[key]} lacks the column {truncate(missing[0])}, which {name} has; both domains need the same columns."
            )
        if key == "test" and data.target.column not in part.columns:
            raise InputError(
                f"data.target.test: {names[key]} lacks the column {truncate(data.target.column)}: without labels nothing can be tested; leave it out."
            )
        if more := [c for c in part.columns if c not in frame.columns]:
            notes.append(f"Columns of {names[key]} that {name} does not have, left out: {listed(more)}.")
        parts.append(_spelled(part[[c for c in frame.columns if c in part.columns]], _strings(frame)))
    domain = np.repeat(np.arange(len(parts)), list(map(len, parts)))
    return SourceRows(f"{name} → {names['source']}", _below(parts, _WHERE[: len(parts)]), domain, tuple(notes))


def _sources(data: DataConfig, base: Path) -> tuple[str, pd.DataFrame]:
    (first, *others) = [_one(source, data, base, "data.source") for source in data.sources]
    for other, frame in others:
        for (a, mine), (b, theirs) in (((other, frame), first), (first, (other, frame))):
            if missing := [c for c in theirs.columns if c not in mine.columns]:
                raise InputError(
                    f"data.source: {a} lacks the column {truncate(missing[0])}, which {b} has; all sources need the same columns."
                )
    if not others:
        return first
    names, frames = [name for name, _ in (first, *others)], [frame for _, frame in (first, *others)]
    text = [_strings(frame) for frame in frames]
    for i, j in product(range(len(frames)), repeat=2):
        for column in (
            c for c in _numbers(frames[j], text[i]) if c not in (*data.categorical, *data.drop, data.split.groups)
        ):
            given = frames[i][column].dropna()
            words = given[pd.to_numeric(given, errors="coerce").isna()]
            row = (given if words.empty else words).index[0]
            raise InputError(
                f"data.source: the column {truncate(column)} holds numbers in {data.sources[j]}, but row {row + 1} of {data.sources[i]} holds "
                f"{truncate(given[row])}; mend the row, or add the column to data.categorical."
            )
    return " + ".join(names), _below([_spelled(frame, set().union(*text)) for frame in frames], data.sources)


def _strings(frame: pd.DataFrame) -> set[str]:
    """The columns of strings."""
    return {c for c in frame.columns if pd.api.types.infer_dtype(frame[c], skipna=True) == "string"}


def _spelled(frame: pd.DataFrame, text: set[str]) -> pd.DataFrame:
    """With numbers as they are spelled wherever another file has strings in that column."""
    return frame.assign(**{c: as_text(frame[c]).where(frame[c].notna(), None) for c in _numbers(frame, text)})


def _numbers(frame: pd.DataFrame, text: set[str]) -> list[str]:
    """Which of the columns `text` hold something else here."""
    return [
        c for c in frame.columns if c in text and pd.api.types.is_numeric_dtype(frame[c]) and frame[c].notna().any()
    ]


def _one(source: str, data: DataConfig, base: Path, key: str) -> tuple[str, pd.DataFrame]:
    """(name, frame with target)."""
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


def _below(frames: Sequence[pd.DataFrame], where: Sequence[str]) -> pd.DataFrame:
    """One below the other, with the columns of the first; the index says `where` each row is from, unless it does already."""
    indexed = [
        frame
        if isinstance(frame.index, pd.MultiIndex)
        else frame.set_index(pd.MultiIndex.from_product([[name], frame.index]))
        for name, frame in zip(where, frames, strict=True)
    ]
    filled = [frame.dropna(axis=1, how="all") for frame in indexed]  # an empty column has no kind of its own
    return pd.concat(filled).reindex(columns=frames[0].columns)
