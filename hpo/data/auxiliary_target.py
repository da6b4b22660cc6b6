"""Encode the auxiliary target, a second column that networks predict, as numbers or class memberships."""

from __future__ import annotations

import numpy as np
import pandas as pd

from hpo.core.errors import InputError, truncate
from hpo.data.column_types import as_text, check_finite, is_bool, unsupported_type

MAX_CLASSES = 20  # a numeric column with more distinct values is predicted as a number; same limit as for the target


def encode(values: pd.Series, name: str) -> np.ndarray:
    """Encode a column of the table `name` as numbers (rows, 1) or one-hot classes (rows, classes); NaN where missing.

    Raises InputError if there is nothing to learn from it.
    """
    column = f"data.auxiliary: {name}: the column {truncate(values.name)}"
    is_present = values.notna().to_numpy()
    if values.nunique() < 2:
        raise InputError(
            f"{column} has fewer than two different values: there is nothing to learn; name another, or leave it out."
        )
    if unsupported := unsupported_type(values):
        raise InputError(f"{column} holds {unsupported}; turn it into numbers or text.")
    if pd.api.types.is_numeric_dtype(values) and not is_bool(values) and values.nunique() > MAX_CLASSES:
        numbers = values.astype("float64")
        check_finite(numbers, column)
        return np.asarray(numbers)[:, None]
    text = as_text(values)
    classes = np.unique(text[is_present].astype(str))
    if len(classes) > is_present.sum() / 2:
        raise InputError(
            f"{column} holds {len(classes):,} classes in {is_present.sum():,} rows, so networks learn nothing from it; "
            f"name another, or leave it out."
        )
    one_hot = (text.to_numpy(dtype=str)[:, None] == classes).astype(float)
    one_hot[~is_present] = np.nan
    return np.asarray(one_hot)


def standardize(values: np.ndarray, train: np.ndarray) -> np.ndarray:
    """Scale numbers (rows, 1) to mean 0 and standard deviation 1 on the rows `train`; leave classes as they are."""
    known = values[train]
    known = known[np.isfinite(known)]
    if values.shape[1] > 1 or not len(known):
        return values
    return np.asarray((values - known.mean()) / (known.std() or 1.0))
