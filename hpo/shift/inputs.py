"""The rows of a data set, as the tests of this package take them; never those of its test part."""

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
from hpo.shift.domains import Column, Domains, Terms, sparse

_PARTS = 3
_LEAST = 20  # rows of a domain


def domains(spec: DataConfig, data: Dataset) -> Domains:
    """All rows but the test part, with the labels that the space allows. Raises InputError if there are not two domains."""
    if spec.target.source is None:
        raise InputError(
            "hpo shift compares two domains, and the space has one; name another as data.target: {source: FILE}."
        )
    x, y = data.x[: data.development].numpy(), data.y[: data.development].numpy()
    source, target = (np.flatnonzero(data.domain == own) for own in (SOURCE, TARGET))
    for name, rows in (("source", source), ("target", target)):
        if len(rows) < _LEAST:
            raise InputError(
                f"hpo shift needs {_LEAST} rows of each domain besides the test part, and the {name} has {len(rows)}; give it more."
            )
    labelled = np.flatnonzero(y[target] >= 0 if data.classes else np.isfinite(y[target]))
    y_s, y_t, names = y[source], y[target][labelled], [str(label) for label in data.classes]
    if not names:
        (y_s, y_t), names = thirds(*(part * data.target_scale + data.target_mean for part in (y_s, y_t)))
    frames = [data.raw(rows.tolist()) for rows in (source, target)]
    chosen = bool(data.classes) and (spec.target.labels == "few" or spec.target.few is not None)
    both = sparse(x)
    return Domains(
        both[source],
        y_s,
        both[target],
        names,
        labelled,
        y_t,
        chosen,
        columns(frames[0], frames[1], data.preprocess),
        terms(frames[0], frames[1], data.preprocess),
    )


def columns(source: pd.DataFrame, target: pd.DataFrame, preprocess: Preprocessor) -> list[Column]:
    """Numbers and categories, each in its own units."""
    kinds = {f["column"]: "equals" in f for f in preprocess.features}
    found = []
    for name, category in kinds.items():
        if category:
            found.append(
                Column(name, "category", *(as_text(frame[name]).to_numpy(dtype=str) for frame in (source, target)))
            )
        else:
            found.append(Column(name, "number", *(frame[name].to_numpy(dtype=float) for frame in (source, target))))
    return found


def terms(source: pd.DataFrame, target: pd.DataFrame, preprocess: Preprocessor) -> list[Terms]:
    """Which terms of each column of text are in which rows."""
    found = []
    for document in preprocess.documents:
        name = document["column"]
        there = (text_features.counts(document, as_text(frame[name]).tolist()) != 0 for frame in (source, target))
        found.append(Terms(name, text_features.terms(document), *there))
    return found


def thirds(y_s: np.ndarray, *others: np.ndarray) -> tuple[list[np.ndarray], list[str]]:
    """A number to predict as classes: low, middle and high, each a third of the source's rows, and what these are called."""
    limits = np.unique(np.quantile(y_s, np.linspace(0, 1, _PARTS + 1)[1:-1]))
    limits = limits[limits > y_s.min()] if (limits > y_s.min()).any() else np.array([y_s.max()])
    names = [f"below {limits[0]:.3g}", *(f"{a:.3g} to {b:.3g}" for a, b in pairwise(limits)), f"from {limits[-1]:.3g}"]
    return [np.searchsorted(limits, y, side="right") for y in (y_s, *others)], names
