"""Another column to predict beside the target: numbers, or the shares of classes."""

from __future__ import annotations

import numpy as np
import pandas as pd

from hpo.core.errors import InputError, truncate
from hpo.data.column_types import as_text, check_finite, is_bool, strange

MAX_CLASSES = 20  # a number with more distinct values is predicted as a number, as the target is


def encoded(values: pd.Series, name: str) -> np.ndarray:
    """The values of a column as (rows, 1) numbers, or one of as many as there are classes, (rows, classes); not a number where they are
    missing. Raises InputError if there is nothing to learn from it."""
    what, known = f"data.auxiliary: {name}: the column {truncate(values.name)}", values.notna().to_numpy()
    if values.nunique() < 2:
        raise InputError(
            f"{what} has fewer than two different values: there is nothing to learn; name another, or leave it out."
        )
    if found := strange(values):
        raise InputError(f"{what} holds {found}; turn it into numbers or text.")
    if pd.api.types.is_numeric_dtype(values) and not is_bool(values) and values.nunique() > MAX_CLASSES:
        numbers = values.astype("float64")
        check_finite(numbers, what)
        return np.asarray(numbers)[:, None]
    text = as_text(values)
    classes = np.unique(text[known].astype(str))
    if len(classes) > known.sum() / 2:
        raise InputError(
            f"{what} holds {len(classes):,} classes in {known.sum():,} rows, so nothing is learned from it; name another, or leave it out."
        )
    shares = (text.to_numpy(dtype=str)[:, None] == classes).astype(float)
    shares[~known] = np.nan
    return np.asarray(shares)


def standardised(values: np.ndarray, train: np.ndarray) -> np.ndarray:
    """Numbers (rows, 1) with the mean 0 and the deviation 1 among those known at `train`; shares as they are."""
    own = values[train]
    own = own[np.isfinite(own)]
    if values.shape[1] > 1 or not len(own):
        return values
    return np.asarray((values - own.mean()) / (own.std() or 1.0))
