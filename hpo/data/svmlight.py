"""Read svmlight files, as LIBSVM and scikit-learn write them: each row has a label and its nonzero `index:value` pairs.

The pairs of a row stay text, in one column; `text_features.py` turns them into inputs. An index is only a name.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from scipy.sparse import csr_matrix

from hpo.core.errors import InputError, truncate
from hpo.core.samples import MAX_VALUE

SUFFIXES = (".svmlight", ".libsvm")
COLUMN = "features"  # the name of the column of pairs
_PAIR = r"\d{1,15}:[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d{1,3})?"
_PAIRS = re.compile(rf"(?:{_PAIR}(?:\s+|$))*")


def read(path: Path, text_columns: Sequence[str], label: str) -> pd.DataFrame:
    """Read two columns: `label`, which is NaN in rows without a label, and `features`. Raises InputError."""
    del text_columns
    labels, rows = [], []
    shown = truncate(str(path), 300)
    for number, line in enumerate(path.read_text(encoding="utf-8").split("\n"), 1):
        if not (content := line.partition("#")[0].strip()):
            continue
        first, *rest = content.split(maxsplit=1)
        first, pairs = ("nan", content) if ":" in first else (first, "".join(rest))
        try:
            labels.append(float(first))
        except ValueError as error:
            raise InputError(
                f"{shown}: line {number} must begin with its label, a number, but begins with {truncate(first)}."
            ) from error
        if invalid := _first_invalid(pairs):
            raise InputError(
                f"{shown}: line {number} must hold index:value after its label, as in 3:1.5, but holds "
                f"{truncate(invalid)}."
            )
        rows.append(pairs)
    if not rows:
        raise InputError(f"{shown} is empty; it needs rows of a label and index:value.")
    y = np.array(labels)
    is_whole = bool(np.isfinite(y).all()) and bool((y % 1 == 0).all())
    return pd.DataFrame({label: y.astype(np.int64) if is_whole else y, COLUMN: pd.Series(rows, dtype=object)})


@dataclass(frozen=True, eq=False)
class Pairs:
    """All pairs in a column of `n_texts` texts: the row of the text, the index and the value of each pair, (pairs,)."""

    n_texts: int
    row: np.ndarray
    index: np.ndarray
    value: np.ndarray

    def matrix(self, indices: np.ndarray) -> csr_matrix:
        """Return the values of the sorted `indices`, (texts, indices)."""
        column = np.searchsorted(indices, self.index).clip(max=len(indices) - 1)
        kept = (indices[column] == self.index) & (self.value != 0)
        return csr_matrix((self.value[kept], (self.row[kept], column[kept])), shape=(self.n_texts, len(indices)))


def parse(texts: Sequence[str]) -> Pairs:
    """Parse a column of `index:value` pairs. Raises InputError."""
    for text in texts:
        if invalid := _first_invalid(text):
            raise InputError(f"every row must hold index:value, as in 3:1.5, but one holds {truncate(invalid)}.")
    joined = " ".join(texts).replace(":", " ").strip()
    numbers = np.fromstring(joined, sep=" ") if joined else np.empty(0)  # numpy reads an empty string as -1
    index, value = numbers.reshape(-1, 2).T
    if (too_large := np.abs(value) > MAX_VALUE).any():
        raise InputError(
            f"no value may be beyond {MAX_VALUE:g}, but that of {index[too_large][0]:.0f} is {value[too_large][0]:g}."
        )
    counts = [text.count(":") for text in texts]
    return Pairs(len(texts), np.repeat(np.arange(len(texts)), counts), index.astype(np.int64), value)


def _first_invalid(text: str) -> str:
    """Return the first token that is not `index:value`, or ""."""
    if _PAIRS.fullmatch(text.strip()):
        return ""
    return next(token for token in text.split() if not re.fullmatch(_PAIR, token))
