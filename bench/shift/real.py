"""Random halves of a real table, between which there is no shift."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from bench.shift.made import labelled
from hpo.data.config import DataConfig
from hpo.data.dataset import Dataset, prepare
from hpo.shift.domains import Domains
from hpo.shift.inputs import build_columns, target_thirds

SETS = {
    "breast_cancer": "sklearn:breast_cancer",
    "wine": "sklearn:wine",
    "digits": "sklearn:digits",
    "diabetes": "sklearn:diabetes",
    "credit-g": "credit-g.csv",
    "vehicle": "vehicle.csv",
    "phoneme": "phoneme.csv",
    "car": "car.csv",
    "pima": "pima.csv",
    "abalone": "abalone.csv",
}
_MOST = 1600  # rows of both halves


def load(name: str, folder: Path) -> Dataset:
    return prepare(DataConfig(source=SETS[name]), folder)


def split(data: Dataset, seed: int, labels: str) -> Domains:
    """Split the rows into two halves of at most 800 each."""
    rng = np.random.default_rng(seed)
    order = rng.permutation(len(data.x))[:_MOST]
    halves = order[: len(order) // 2], order[len(order) // 2 :]
    y_s, y_t = (data.y.numpy()[rows] for rows in halves)
    x_s, x_t = (data.x.numpy()[rows].astype(float) for rows in halves)
    names = [str(label) for label in data.classes]
    if not names:
        (y_s, y_t), names = target_thirds(y_s, y_t)
    raw = build_columns(*(data.table_rows(rows.tolist()) for rows in halves), data.preprocess)
    known = labelled(labels, y_t, rng)
    return Domains(x_s, y_s, x_t, names, known, y_t[known], labels == "20 a class", raw)
