"""Pareto fronts."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np


def front(values: Sequence[Sequence[float]], signs: Sequence[int]) -> list[int]:
    """The indices, in order, of the rows of `values` (points, objectives) that no other row dominates: is at least as good in
    every objective and better in one. `signs` are 1 where less is better, -1 where more is. Equal rows dominate neither."""
    points = np.asarray(values, dtype=float).reshape(len(values), len(signs)) * np.asarray(signs)
    return [
        index
        for index, point in enumerate(points)
        if not ((points <= point).all(axis=1) & (points < point).any(axis=1)).any()
    ]
