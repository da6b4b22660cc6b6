"""From raw columns to a matrix: scikit-learn's transformers, fitted once, then written as plain numbers for export."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from sklearn.compose import ColumnTransformer
from sklearn.impute import SimpleImputer
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from hpo.errors import InputError, cut
from hpo.table import Table, as_text

_MOST_NUMBERS = 250_000_000  # of a matrix: two gigabytes while it is made


@dataclass(frozen=True)
class Preprocess:
    """`features`: how each input of the network is made from a raw column.

    A number: `{column, median, mean, scale}` is (value or median - mean) / scale.
    A category: `{column, equals}` is 1 where the text equals it, else 0; a missing value is the text "".
    """

    features: tuple[dict[str, Any], ...]

    @property
    def text(self) -> tuple[str, ...]:
        """The columns to be read as text: categories, but not truth values, which a table spells as it likes."""
        values: dict[str, set[str]] = {}
        for feature in self.features:
            if "equals" in feature:
                values.setdefault(feature["column"], set()).add(feature["equals"])
        return tuple(column for column, known in values.items() if not known <= {"", "True", "False"})

    def encode(self, frame: pd.DataFrame) -> np.ndarray:
        """Raw columns as a matrix (rows, inputs), float32."""
        text = {f["column"]: as_text(frame[f["column"]]) for f in self.features if "equals" in f}
        made = [
            text[f["column"]].eq(f["equals"])
            if "equals" in f
            else (frame[f["column"]].astype("float64").fillna(f["median"]) - f["mean"]) / f["scale"]
            for f in self.features
        ]
        return np.column_stack(made).astype(np.float32)


def fit(table: Table, train: np.ndarray, listed: np.ndarray) -> tuple[Preprocess, np.ndarray]:
    """Fits on the rows `train`, with categories as listed in the rows `listed`.

    Returns the fitted preprocessing and the matrix (rows, inputs), float32, of all rows.
    """
    numeric, categorical = list(table.numeric), list(table.categorical)
    categories = [np.unique(table.features[c].to_numpy(dtype=object)[listed].astype(str)) for c in categorical]
    _check_size(table, categories)
    numbers = Pipeline([
        ("impute", SimpleImputer(strategy="median", keep_empty_features=True)),
        ("scale", StandardScaler()),
    ])
    one_hot = OneHotEncoder(categories=categories, handle_unknown="ignore", sparse_output=False)
    encoder = ColumnTransformer([("numeric", numbers, numeric), ("categorical", one_hot, categorical)])
    encoder.fit(table.features.iloc[train])
    features: list[dict[str, Any]] = []
    if numeric:
        steps = encoder.named_transformers_["numeric"]
        median, scaler = steps["impute"].statistics_, steps["scale"]
        mean, scale = scaler.mean_, scaler.scale_
        if table.image:
            pixels = table.features.iloc[train].to_numpy()
            mean, scale = np.full_like(mean, pixels.mean()), np.full_like(scale, pixels.std())
        features += [
            {"column": c, "median": float(a), "mean": float(b), "scale": float(s)}
            for c, a, b, s in zip(numeric, np.nan_to_num(median), mean, scale, strict=True)
        ]
    for column, listing in zip(categorical, categories, strict=True):
        features += [{"column": column, "equals": str(value)} for value in listing]
    preprocess = Preprocess(tuple(features))
    if table.image:  # scikit-learn has no scaler with one mean for all columns
        return preprocess, preprocess.encode(table.features)
    return preprocess, encoder.transform(table.features).astype(np.float32)


def _check_size(table: Table, categories: list[np.ndarray]) -> None:
    rows, inputs = len(table.features), len(table.numeric) + sum(map(len, categories))
    if rows * inputs > _MOST_NUMBERS:
        widest = max(zip(table.categorical, categories, strict=True), key=lambda pair: len(pair[1]))
        raise InputError(
            f"{table.name}: {rows:,} rows with {inputs:,} inputs are too many to keep in memory; the column "
            f"{cut(widest[0])} has {len(widest[1]):,} categories: add it to data.drop, or merge the rare ones."
        )
