"""The data sets: real tables, and synthetic ones whose test part can be as large as needed.

A set and a seed define one search. The seed draws the test part of a real table, and all rows of a synthetic one.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from sklearn import datasets

Json = dict[str, Any]
Draw = Callable[
    [int], tuple[Json, pd.DataFrame]
]  # for a seed: the space of a search without its file, and the rows of the file

TRIALS, EPOCHS = 50, 60
_DEVELOP, _SHARE = 600, 0.7  # development rows of a real table: at most this number, and at most this share
_VALID = 0.25  # share of these that is validation in a hold-out search
_TEST = 6000  # test rows of a synthetic set: enough that the error of the test score is negligible
_SHIPPED = {
    "breast_cancer": "classification",
    "wine": "classification",
    "iris": "classification",
    "digits": "classification",
    "diabetes": "regression",
}
_FILES = {
    "sonar": "classification",
    "ionosphere": "classification",
    "pima": "classification",
    "glass": "classification",
    "vehicle": "classification",
    "credit-g": "classification",
    "phoneme": "classification",
    "housing": "regression",
    "winequality-red": "regression",
    "abalone": "regression",
}


def sets(folder: Path) -> tuple[dict[str, Draw], list[str]]:
    """Return all sets by name, and the names of those whose CSV (with the column `target`) is not in `folder`."""
    found: dict[str, Draw] = {
        name: partial(_real, name, task, partial(_shipped, name)) for name, task in _SHIPPED.items()
    }
    here = {name: task for name, task in _FILES.items() if (folder / f"{name}.csv").is_file()}
    found |= {
        name: partial(_real, name, task, partial(pd.read_csv, folder / f"{name}.csv")) for name, task in here.items()
    }
    found |= {name: partial(_made, name, *about) for name, about in _MADE.items()}
    return found, [name for name in _FILES if name not in here]


def space(name: str, task: str, seed: int, rows: int, develop: int) -> Json:
    """Return the search, the same for all sets: it uses `develop` of `rows` rows, and the others are the test part."""
    test = (rows - develop - 0.5) / rows  # plus a half, because the number of test rows is rounded up
    return {
        "study": f"{name}-{seed}",
        "seed": seed,
        "data": {"task": task, "split": {"test": test, "valid": _VALID * (1 - test), "seed": seed}},
        "network": {"kind": "mlp", "width": 64},
        "search": {
            "learning_rate": {"low": 1e-4, "high": 1e-1, "log": True},
            "depth": {"low": 1, "high": 3},
            "weight_decay": {"low": 1e-4, "high": 3.0, "log": True, "optional": True},
            "l1": {"low": 1e-5, "high": 0.3, "log": True, "optional": True},
            "dropout": {"low": 0.0, "high": 0.6},
        },
        "train": {"epochs": EPOCHS, "batch_size": 32 if develop < 500 else 64, "patience": 10, "metric": "loss"},
        "budget": {"trials": TRIALS},
    }


def _real(name: str, task: str, load: Callable[[], pd.DataFrame], seed: int) -> tuple[Json, pd.DataFrame]:
    frame = load()
    return space(name, task, seed, len(frame), min(_DEVELOP, int(_SHARE * len(frame)))), frame


def _shipped(name: str) -> pd.DataFrame:
    return getattr(datasets, f"load_{name}")(as_frame=True).frame


def _made(
    name: str, task: str, develop: int, make: Callable[..., tuple[np.ndarray, np.ndarray]], seed: int
) -> tuple[Json, pd.DataFrame]:
    rng = np.random.default_rng((zlib.crc32(name.encode()), seed))
    x, y = make(rng, develop + _TEST)
    frame = pd.DataFrame(x.round(4), columns=[f"x{i}" for i in range(x.shape[1])])
    return space(name, task, seed, len(frame), develop), frame.assign(target=y)


def _labels(rng: np.random.Generator, log_odds: np.ndarray) -> np.ndarray:
    return (rng.random(len(log_odds)) < 1 / (1 + np.exp(-log_odds))).astype(int)


def _linear(rng: np.random.Generator, rows: int) -> tuple[np.ndarray, np.ndarray]:
    """Return a sum of five of 50 columns; the best possible network is wrong on 15 of 100 rows."""
    x = rng.normal(size=(rows, 50))
    return x, _labels(rng, 1.5 * x[:, :5].sum(1))


def _interaction(rng: np.random.Generator, rows: int) -> tuple[np.ndarray, np.ndarray]:
    """Return whether two of ten columns have the same sign, with a tenth of labels flipped; no single column helps."""
    x = rng.normal(size=(rows, 10))
    return x, ((x[:, 0] * x[:, 1] > 0) ^ (rng.random(rows) < 0.1)).astype(int)


def _moons(rng: np.random.Generator, rows: int) -> tuple[np.ndarray, np.ndarray]:
    """Return two slightly overlapping moons, rotated into 20 dimensions, each with noise."""
    plane, y = datasets.make_moons(rows, noise=0.25, random_state=int(rng.integers(2**32)))
    return plane @ rng.normal(size=(2, 20)) / 2 + 0.3 * rng.normal(size=(rows, 20)), y


def _nothing(rng: np.random.Generator, rows: int) -> tuple[np.ndarray, np.ndarray]:
    """Return random labels: nothing can be learned, so no configuration is better than predicting one half."""
    return rng.normal(size=(rows, 20)), rng.integers(0, 2, rows)


def _wide(rng: np.random.Generator, rows: int) -> tuple[np.ndarray, np.ndarray]:
    """Return as many columns as development rows, of which five are summed, with noise of half their variance."""
    x = rng.normal(size=(rows, 200))
    return x, x[:, :5].sum(1) + np.sqrt(2.5) * rng.normal(size=rows)


_MADE = {
    "made-linear": ("classification", 400, _linear),
    "made-interaction": ("classification", 600, _interaction),
    "made-moons": ("classification", 300, _moons),
    "made-nothing": ("classification", 400, _nothing),
    "made-wide": ("regression", 200, _wide),
}
