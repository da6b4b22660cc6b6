"""From raw columns to a matrix: scikit-learn's transformers, fitted once, then written as plain numbers for export."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from sklearn.compose import ColumnTransformer
from sklearn.impute import SimpleImputer
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from hpo.core.errors import InputError, truncate
from hpo.data import text_features as text
from hpo.data.column_types import as_text
from hpo.data.table import Table
from hpo.data.text_features import Counted

_MOST_NUMBERS = 250_000_000  # of a matrix: two gigabytes while it is made


@dataclass(frozen=True)
class Preprocessor:
    """`features`: how each input of the network is made from a raw column.

    A number: `{column, median, mean, scale}` is (value or median - mean) / scale.
    A category: `{column, equals}` is 1 where the text equals it, else 0; a missing value is the text "".
    `documents`: further inputs, as many as `terms` (or `features`, of hashes), made of a column of text: see `text.py`.
    """

    features: tuple[dict[str, Any], ...]
    documents: tuple[dict[str, Any], ...] = ()

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns that a table must have."""
        return tuple(dict.fromkeys(one["column"] for one in (*self.features, *self.documents)))

    @property
    def groups(self) -> tuple[tuple[str, str], ...]:
        """What each input is of: a column, and where that is text a term, each of which is a group of its own; else ""."""
        terms = ((d["column"], term) for d in self.documents for term in text.terms(d))
        return (*((f["column"], "") for f in self.features), *terms)

    @property
    def text(self) -> tuple[str, ...]:
        """The columns to be read as text: sentences and categories, but not truth values, which a table spells as it likes."""
        values: dict[str, set[str]] = {}
        for feature in self.features:
            if "equals" in feature:
                values.setdefault(feature["column"], set()).add(feature["equals"])
        names = [column for column, known in values.items() if not known <= {"", "True", "False"}]
        return (*names, *(document["column"] for document in self.documents))

    def encode(self, frame: pd.DataFrame) -> np.ndarray:
        """Raw columns as a matrix (rows, inputs), float32."""
        names = {f["column"]: as_text(frame[f["column"]]) for f in self.features if "equals" in f}
        made = [
            names[f["column"]].eq(f["equals"])
            if "equals" in f
            else (frame[f["column"]].astype("float64").fillna(f["median"]) - f["mean"]) / f["scale"]
            for f in self.features
        ]
        weighed = (text.weigh(d, text.counts(d, as_text(frame[d["column"]]).tolist())) for d in self.documents)
        return np.column_stack([np.empty((len(frame), 0)), *made, *weighed]).astype(np.float32)


def fit(
    table: Table, train: np.ndarray, listed: np.ndarray, counted: Sequence[Counted], beside: np.ndarray
) -> tuple[Preprocessor, np.ndarray]:
    """Fits on the rows `train`, with categories as listed in the rows `listed`, and with columns of text as they were counted; how
    much a term weighs is fitted on the rows `beside` of another domain, too.

    Returns the fitted preprocessing and the matrix (rows, inputs), float32, of all rows.
    """
    numeric, categorical = list(table.numeric), list(table.categorical)
    categories = [np.unique(table.features[c].to_numpy(dtype=object)[listed].astype(str)) for c in categorical]
    _check_size(table, {c: len(listing) for c, listing in zip(categorical, categories, strict=True)}, counted)
    numbers = Pipeline(
        [
            ("impute", SimpleImputer(strategy="median", keep_empty_features=True)),
            ("scale", StandardScaler()),
        ]
    )
    one_hot = OneHotEncoder(categories=categories, handle_unknown="ignore", sparse_output=False)
    encoder = ColumnTransformer([("numeric", numbers, numeric), ("categorical", one_hot, categorical)])
    encoder.fit(table.features.iloc[train])
    features: list[dict[str, Any]] = []
    if numeric:
        steps = encoder.named_transformers_["numeric"]
        median, scaler = steps["impute"].statistics_, steps["scale"]
        mean, scale = scaler.mean_, scaler.scale_
        if table.image:
            pixels = steps["impute"].transform(table.features.iloc[train])
            mean, scale = np.full_like(mean, pixels.mean()), np.full_like(scale, pixels.std() or 1.0)
        features += [
            {"column": c, "median": float(a), "mean": float(b), "scale": float(s)}
            for c, a, b, s in zip(numeric, np.nan_to_num(median), mean, scale, strict=True)
        ]
    for column, listing in zip(categorical, categories, strict=True):
        features += [{"column": column, "equals": str(value)} for value in listing]
    preprocess = Preprocessor(tuple(features), tuple(text.fit(one, train, beside) for one in counted))
    if table.image:  # scikit-learn has no scaler with one mean for all columns
        return preprocess, preprocess.encode(table.features)
    weighed = (text.weigh(d, one.counts) for d, one in zip(preprocess.documents, counted, strict=True))
    return preprocess, np.hstack([encoder.transform(table.features).astype(np.float32), *weighed])


def given(preprocess: Preprocessor, table: Table) -> np.ndarray:
    """The matrix (rows, inputs) of all rows, as the preprocessing of a network has it that was trained elsewhere. Raises InputError if the
    table lacks a column, or if one holds something else."""
    wanted = {
        **dict.fromkeys((f["column"] for f in preprocess.features), ("categorical", table.categorical)),
        **dict.fromkeys((f["column"] for f in preprocess.features if "median" in f), ("numeric", table.numeric)),
        **dict.fromkeys((d["column"] for d in preprocess.documents), ("text", table.text)),
    }
    for column, (kind, there) in wanted.items():
        if column not in table.features.columns:
            known = truncate(", ".join(preprocess.columns), 300)
            raise InputError(
                f"network.init: {table.name} lacks the column {truncate(column)}, which these weights need; they need: {known}."
            )
        if kind != "categorical" and column not in there:
            raise InputError(
                f"network.init: to these weights the column {truncate(column)} of {table.name} is {kind}; name it in data.{kind}."
            )
    try:
        return preprocess.encode(table.features)
    except InputError as error:
        raise InputError(f"network.init: {table.name}: {error}") from error


def far(preprocess: Preprocessor, x: np.ndarray) -> list[str]:
    """The columns of numbers of which one row in a hundred lies more than ten deviations from what the preprocessing was fitted on."""
    shares = (np.abs(x) > 10).mean(0)
    return [
        f["column"] for f, share in zip(preprocess.features, shares, strict=False) if "median" in f and share > 0.01
    ]


def altered(
    preprocess: Preprocessor, x: np.ndarray, counted: Sequence[Counted], member: str, variant: int
) -> np.ndarray:
    """The rows `x` (listed rows, inputs) with a variant of their texts in place of these."""
    documents = zip(preprocess.documents, counted, strict=True)
    return np.hstack(
        [x[:, : len(preprocess.features)], *(text.weigh(d, one.variants[member][variant]) for d, one in documents)]
    )


def _check_size(table: Table, categories: Mapping[str, int], counted: Sequence[Counted]) -> None:
    terms = {one.document["column"]: one.width for one in counted}
    rows, inputs = len(table.features), len(table.numeric) + sum(categories.values()) + sum(terms.values())
    if rows * inputs <= _MOST_NUMBERS:
        return
    widest, width = max({**categories, **terms}.items(), key=lambda pair: pair[1])
    what, do = f"{width:,} categories", "add it to data.drop, or merge the rare ones."
    if widest in terms:
        what, do = f"{width:,} terms", "lower data.text.features."
    raise InputError(
        f"{table.name}: {rows:,} rows with {inputs:,} inputs are too many to keep in memory; the column {truncate(widest)} has {what}: {do}"
    )
