"""The rows of a table, as the tests of this package take them."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from itertools import pairwise

import numpy as np
import pandas as pd

from hpo.shift.domains import Column

_PARTS = 3


def columns(source: pd.DataFrame, target: pd.DataFrame, numeric: Collection[str], categorical: Collection[str]) -> list[Column]:
    """Numbers and categories in the order of the table, each in its own units."""
    found = []
    for name in source.columns:
        if name in numeric:
            found.append(Column(str(name), "number", *(frame[name].to_numpy(dtype=float) for frame in (source, target))))
        elif name in categorical:
            found.append(Column(str(name), "category", *(frame[name].to_numpy(dtype=str) for frame in (source, target))))
    return found


def thirds(y_s: np.ndarray, *others: np.ndarray) -> tuple[list[np.ndarray], Sequence[str]]:
    """A number to predict as classes: low, middle and high, each a third of the source's rows, and what these are called."""
    limits = np.unique(np.quantile(y_s, np.linspace(0, 1, _PARTS + 1)[1:-1]))
    limits = limits[limits > y_s.min()]
    names = [f"below {limits[0]:.3g}", *(f"{a:.3g} to {b:.3g}" for a, b in pairwise(limits)), f"from {limits[-1]:.3g}"]
    return [np.searchsorted(limits, y, side="right") for y in (y_s, *others)], names
