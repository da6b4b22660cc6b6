"""Fit scikit-learn's transformers to raw columns, and write them as plain numbers that can be exported."""

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
from hpo.data import text_features
from hpo.data.column_types import as_text, join_names
from hpo.data.table import Table
from hpo.data.text_features import TermCounts

MAX_MATRIX_NUMBERS = 250_000_000  # two gigabytes while the matrix is computed
_FAR = 10  # standard deviations
_FAR_SHARE = 0.01  # of rows


@dataclass(frozen=True)
class Preprocessor:
    """Computes the inputs of a network from raw columns.

    `features`: one entry per input that is made of a number or a category.
    A number `{column, median, mean, scale}` becomes (value - mean) / scale; the median replaces a missing value.
    A category `{column, equals}` becomes 1 if the text equals it, else 0; a missing value is the text "".
    `documents`: one entry per text column, which has one input for each of its `terms`, or for each of its hashes
    (`features` is their number); see `text_features.py`.
    """

    features: tuple[dict[str, Any], ...]
    documents: tuple[dict[str, Any], ...] = ()

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns that a table must have."""
        return tuple(dict.fromkeys(entry["column"] for entry in (*self.features, *self.documents)))

    @property
    def groups(self) -> tuple[tuple[str, str], ...]:
        """The column and the term of each input; the term is "" if the column is not text."""
        terms = ((d["column"], term) for d in self.documents for term in text_features.terms(d))
        return (*((f["column"], "") for f in self.features), *terms)

    @property
    def text_columns(self) -> tuple[str, ...]:
        """The columns to read as text: text and categories, but not truth values, whose spelling differs by file."""
        categories: dict[str, set[str]] = {}
        for feature in self.features:
            if "equals" in feature:
                categories.setdefault(feature["column"], set()).add(feature["equals"])
        names = [column for column, values in categories.items() if not values <= {"", "True", "False"}]
        return (*names, *(document["column"] for document in self.documents))

    def encode(self, frame: pd.DataFrame) -> np.ndarray:
        """Encode raw columns as a matrix (rows, inputs), float32."""
        text = {f["column"]: as_text(frame[f["column"]]) for f in self.features if "equals" in f}
        inputs = [
            text[f["column"]].eq(f["equals"])
            if "equals" in f
            else (frame[f["column"]].astype("float64").fillna(f["median"]) - f["mean"]) / f["scale"]
            for f in self.features
        ]
        text_inputs = (
            text_features.weight_terms(d, text_features.term_matrix(d, as_text(frame[d["column"]]).tolist()))
            for d in self.documents
        )
        return np.column_stack([np.empty((len(frame), 0)), *inputs, *text_inputs]).astype(np.float32)


def fit(
    table: Table, train: np.ndarray, development: np.ndarray, term_counts: Sequence[TermCounts], target: np.ndarray
) -> tuple[Preprocessor, np.ndarray]:
    """Fit a preprocessor on the rows `train`, with all categories that occur in the rows `development`.

    Term weights are fitted on the rows `train` and on the rows `target` of the target domain.
    Returns the fitted preprocessor and the matrix (table rows, inputs), float32.
    """
    numeric, categorical = list(table.numeric), list(table.categorical)
    categories = {
        column: np.unique(table.features[column].to_numpy(dtype=object)[development].astype(str))
        for column in categorical
    }
    _check_size(table, {column: len(values) for column, values in categories.items()}, term_counts)
    scaling = Pipeline(
        [("impute", SimpleImputer(strategy="median", keep_empty_features=True)), ("scale", StandardScaler())]
    )
    one_hot = OneHotEncoder(categories=list(categories.values()), handle_unknown="ignore", sparse_output=False)
    transformer = ColumnTransformer([("numeric", scaling, numeric), ("categorical", one_hot, categorical)])
    transformer.fit(table.features.iloc[train])
    features = _numeric_features(table, train, transformer.named_transformers_["numeric"]) if numeric else []
    for column, values in categories.items():
        features += [{"column": column, "equals": str(value)} for value in values]
    documents = tuple(text_features.fit(counts, train, target) for counts in term_counts)
    preprocess = Preprocessor(tuple(features), documents)
    if table.image:  # scikit-learn has no scaler with one mean for all columns
        return preprocess, preprocess.encode(table.features)
    text_inputs = (
        text_features.weight_terms(document, counts.matrix)
        for document, counts in zip(documents, term_counts, strict=True)
    )
    return preprocess, np.hstack([transformer.transform(table.features).astype(np.float32), *text_inputs])


def _numeric_features(table: Table, train: np.ndarray, scaling: Pipeline) -> list[dict[str, Any]]:
    """Read the fitted medians, means and scales; images have one mean and scale for all pixels."""
    imputer, scaler = scaling["impute"], scaling["scale"]
    mean, scale = scaler.mean_, scaler.scale_
    if table.image:
        pixels = imputer.transform(table.features.iloc[train])
        mean, scale = np.full_like(mean, pixels.mean()), np.full_like(scale, pixels.std() or 1.0)
    medians = np.nan_to_num(imputer.statistics_)
    return [
        {"column": column, "median": float(median), "mean": float(m), "scale": float(s)}
        for column, median, m, s in zip(table.numeric, medians, mean, scale, strict=True)
    ]


def encode_pretrained(preprocess: Preprocessor, table: Table) -> np.ndarray:
    """Encode all rows (table rows, inputs) with a preprocessor that was fitted elsewhere.

    Raises InputError if the table lacks a column, or if a column has another type.
    """
    required = {
        **dict.fromkeys((f["column"] for f in preprocess.features), ("categorical", table.categorical)),
        **dict.fromkeys((f["column"] for f in preprocess.features if "median" in f), ("numeric", table.numeric)),
        **dict.fromkeys((d["column"] for d in preprocess.documents), ("text", table.text)),
    }
    for column, (kind, columns_of_kind) in required.items():
        if column not in table.features.columns:
            raise InputError(
                f"network.init: {table.name} lacks the column {truncate(column)}, which these weights need; "
                f"they need: {join_names(preprocess.columns)}."
            )
        if kind != "categorical" and column not in columns_of_kind:
            raise InputError(
                f"network.init: these weights need the column {truncate(column)} of {table.name} to be {kind}; "
                f"name it in data.{kind}."
            )
    try:
        return preprocess.encode(table.features)
    except InputError as error:
        raise InputError(f"network.init: {table.name}: {error}") from error


def far_columns(preprocess: Preprocessor, x: np.ndarray) -> list[str]:
    """Return the numeric columns in which over 1 % of the rows lie more than ten standard deviations from the mean."""
    shares = (np.abs(x) > _FAR).mean(0)
    return [
        feature["column"]
        for feature, share in zip(preprocess.features, shares, strict=False)
        if "median" in feature and share > _FAR_SHARE
    ]


def replace_texts(
    preprocess: Preprocessor, x: np.ndarray, term_counts: Sequence[TermCounts], regularizer: str, variant: int
) -> np.ndarray:
    """Replace the text inputs of the encoded rows `x` (development rows, inputs) by those of an augmented variant."""
    text_inputs = (
        text_features.weight_terms(document, counts.variants[regularizer][variant])
        for document, counts in zip(preprocess.documents, term_counts, strict=True)
    )
    return np.hstack([x[:, : len(preprocess.features)], *text_inputs])


def _check_size(table: Table, n_categories: Mapping[str, int], term_counts: Sequence[TermCounts]) -> None:
    """Raise InputError if the matrix would be too large, naming the column with the most inputs."""
    n_terms = {counts.document["column"]: counts.n_terms for counts in term_counts}
    n_inputs = len(table.numeric) + sum(n_categories.values()) + sum(n_terms.values())
    n_rows = len(table.features)
    if n_rows * n_inputs <= MAX_MATRIX_NUMBERS:
        return
    widest, width = max({**n_categories, **n_terms}.items(), key=lambda pair: pair[1])
    size, remedy = f"{width:,} categories", "add it to data.drop, or merge the rare ones."
    if widest in n_terms:
        size, remedy = f"{width:,} terms", "lower data.text.features."
    raise InputError(
        f"{table.name}: {n_rows:,} rows with {n_inputs:,} inputs are too many to keep in memory; the column "
        f"{truncate(widest)} has {size}: {remedy}"
    )
