"""Convert a data set with two domains to the inputs of the shift tests; rows of the test part are never included."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pandas as pd

from hpo.core.errors import InputError
from hpo.data import text_features
from hpo.data.column_types import as_text
from hpo.data.config import DataConfig
from hpo.data.dataset import Dataset
from hpo.data.preprocess import Preprocessor
from hpo.data.sources import SOURCE, TARGET
from hpo.shift.domains import Column, Domains, Terms, as_sparse

_TARGET_BINS = 3
_MIN_ROWS = 20  # rows that each domain needs


def build_domains(spec: DataConfig, data: Dataset) -> Domains:
    """Return all development rows, with the labels that the space allows.

    Raises InputError if there are not two domains, or if one of them has too few rows.
    """
    if spec.target.source is None:
        raise InputError(
            "hpo shift compares two domains, but the space has one; name the other as data.target: {source: FILE}."
        )
    x, y = data.x[: data.n_development].numpy(), data.y[: data.n_development].numpy()
    source, target = (np.flatnonzero(data.origin.domain == domain) for domain in (SOURCE, TARGET))
    for name, rows in (("source", source), ("target", target)):
        if len(rows) < _MIN_ROWS:
            raise InputError(
                f"hpo shift needs at least {_MIN_ROWS} development rows of each domain, "
                f"but the {name} has {len(rows)}; add rows."
            )
    labelled = np.flatnonzero(y[target] >= 0 if data.classes else np.isfinite(y[target]))
    y_s, y_t, classes = y[source], y[target][labelled], [str(label) for label in data.classes]
    if not classes:
        (y_s, y_t), classes = target_thirds(*(part * data.target_scale + data.target_mean for part in (y_s, y_t)))
    source_table, target_table = (data.table_rows(rows.tolist()) for rows in (source, target))
    inputs = as_sparse(x)
    return Domains(
        inputs[source],
        y_s,
        inputs[target],
        classes,
        labelled,
        y_t,
        bool(data.classes) and (spec.target.labels == "few" or spec.target.few is not None),
        build_columns(source_table, target_table, data.preprocess),
        build_terms(source_table, target_table, data.preprocess),
    )


def build_columns(source: pd.DataFrame, target: pd.DataFrame, preprocess: Preprocessor) -> list[Column]:
    """Return the numeric and categorical columns in their own units."""
    is_category = {feature["column"]: "equals" in feature for feature in preprocess.features}
    columns = []
    for name, category in is_category.items():
        if category:
            names = (as_text(table[name]).to_numpy(dtype=str) for table in (source, target))
            columns.append(Column(name, "category", *names))
        else:
            columns.append(Column(name, "number", *(table[name].to_numpy(dtype=float) for table in (source, target))))
    return columns


def build_terms(source: pd.DataFrame, target: pd.DataFrame, preprocess: Preprocessor) -> list[Terms]:
    """Return, for each text column, which rows of the two domains contain each term."""
    columns = []
    for document in preprocess.documents:
        name = document["column"]
        occurs = (text_features.term_matrix(document, as_text(table[name]).tolist()) != 0 for table in (source, target))
        columns.append(Terms(name, text_features.terms(document), *occurs))
    return columns


def target_thirds(y_s: np.ndarray, *others: np.ndarray) -> tuple[list[np.ndarray], list[str]]:
    """Bin a numeric target into three classes, each a third of the source rows; return the classes and their names."""
    limits = np.unique(np.quantile(y_s, np.linspace(0, 1, _TARGET_BINS + 1)[1:-1]))
    limits = limits[limits > y_s.min()] if (limits > y_s.min()).any() else np.array([y_s.max()])
    names = [f"below {limits[0]:.3g}", *(f"{a:.3g} to {b:.3g}" for a, b in pairwise(limits)), f"from {limits[-1]:.3g}"]
    return [np.searchsorted(limits, y, side="right") for y in (y_s, *others)], names
