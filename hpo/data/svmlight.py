"""Files of svmlight, as LIBSVM and scikit-learn have them: of each row its label, then `index:value` of what is not zero.

What follows the label is read as a text, whose tokens are counted by `text.py`; an index is the name of an input and no more.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from hpo.core.errors import InputError, truncate

COLUMN = "features"  # its only one besides the label
LARGEST = 1e100  # what can be squared and summed
_PAIR = r"\d{1,15}:[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d{1,3})?"
_ROW = re.compile(rf"(?:{_PAIR}(?:\s+|$))*")


def read(path: Path, label: str) -> pd.DataFrame:
    """The columns `label`, missing where a row has none, and `features`. Raises InputError in one sentence."""
    labels, rows = [], []
    shown = truncate(str(path), 300)
    for number, line in enumerate(path.read_text(encoding="utf-8").split("\n"), 1):
        if not (content := line.partition("#")[0].strip()):
            continue
        first, *rest = content.split(maxsplit=1)
        first, tokens = ("nan", content) if ":" in first else (first, "".join(rest))  # no label is a missing one
        try:
            labels.append(float(first))
        except ValueError as error:
            raise InputError(
                f"{shown}: line {number} must begin with its label, a number, but begins with {truncate(first)}."
            ) from error
        if wrong := _strange(tokens):
            raise InputError(
                f"{shown}: line {number} must hold index:value behind its label, as in 3:1.5, but holds {truncate(wrong)}."
            )
        rows.append(tokens)
    if not rows:
        raise InputError(f"{shown} is empty; it needs rows of a label and index:value.")
    found = np.array(labels)
    whole = bool(np.isfinite(found).all()) and bool((found % 1 == 0).all())
    return pd.DataFrame({label: found.astype(np.int64) if whole else found, COLUMN: pd.Series(rows, dtype=object)})


def parse(texts: Sequence[str]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Of all tokens their row, their index and their value, each (tokens,). Raises InputError in one sentence."""
    for text in texts:
        if wrong := _strange(text):
            raise InputError(f"every row must hold index:value, as in 3:1.5, but one holds {truncate(wrong)}.")
    written = " ".join(texts).replace(":", " ").strip()
    numbers = (np.fromstring(written, sep=" ") if written else np.empty(0)).reshape(
        -1, 2
    )  # of nothing, numpy makes a -1
    if (large := np.abs(numbers[:, 1]) > LARGEST).any():
        raise InputError(
            f"no value may be beyond {LARGEST:g}, but that of {numbers[large][0, 0]:.0f} is {numbers[large][0, 1]:g}."
        )
    counts = [text.count(":") for text in texts]
    return np.repeat(np.arange(len(texts)), counts), numbers[:, 0].astype(np.int64), numbers[:, 1]


def _strange(text: str) -> str:
    """The first token that is none, or ""."""
    if _ROW.fullmatch(text.strip()):
        return ""
    return next(token for token in text.split() if not re.fullmatch(_PAIR, token))
