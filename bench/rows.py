"""Measure training without study and recorder by number of rows, relative to the peak of matrix products.

`python -m bench.rows` reads its task from standard input. It runs in hpo's environment: one thread, and MKL as
`hpo/__init__.py` configures it.
"""

from __future__ import annotations

import json
import math
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from bench.judge import MIXED
from hpo.core.trial import Trial
from hpo.core.trial_key import TrialKey
from hpo.data import dataset as data_module
from hpo.data.dataset import Dataset
from hpo.nn.mlp import Mlp
from hpo.nn.network import BatchedNetwork
from hpo.regularizers.configs import make_config
from hpo.space import loader
from hpo.space.space import Space
from hpo.training.builder import NetworkBuilder
from hpo.training.population import Population

SQUARE = 2048  # size of the product that defines the peak
CASES = {MIXED: (3, 1, 5, 2, 4), "3": (3,)}  # depths of the networks, cyclic
_VALUES = {"learning_rate": 1e-3, "weight_decay": 1e-2, "l1": 1e-4, "dropout": 0.3}
_ENOUGH = 0.4  # seconds of measurement per cell
_SLOW = 1.0  # seconds of an epoch, above which larger numbers of rows are skipped


def flops(network: Mlp, trained: int, scored: int) -> int:
    """Return the operations of the matrix products of one epoch.

    For a training row, three products per layer (forward, gradient of the weights, gradient of the input) but two for
    the first layer, whose input needs no gradient; for a scored row, one per layer.
    """
    weights = sum(math.prod(p.shape) for p in network.parameters if p.role == "weight")
    first = network.n_inputs * network.width
    return 2 * (trained * (3 * weights - first) + scored * weights)


def fastest(work: Callable[[], object], seconds: float) -> float:
    """Return the shortest of at least three times after a warm-up; repeat for `seconds`."""
    work()
    times: list[float] = []
    while len(times) < 3 or sum(times) < seconds:
        began = time.perf_counter()
        work()
        times.append(time.perf_counter() - began)
    return min(times)


def peak() -> dict[str, float]:
    """Return the GFLOP/s of a large square product in float32, by library."""
    a, b = torch.randn(2, SQUARE, SQUARE)
    x, y = a.numpy(), b.numpy()
    products: dict[str, Callable[[], object]] = {"torch": lambda: torch.mm(a, b), "numpy": lambda: np.matmul(x, y)}
    return {name: 2e-9 * SQUARE**3 / fastest(product, 1.0) for name, product in products.items()}


def cell(space: Space, data: Dataset, depths: Sequence[int], rows: int) -> tuple[float, float]:
    """Return the seconds and GFLOP of one epoch with this number of rows."""

    def build(trial: Trial) -> BatchedNetwork:
        return NetworkBuilder(space, None, data.n_inputs, data.n_outputs).network_for(trial.params)

    population = Population(data, build, space.train, rows)
    by_trial = [_VALUES | {"depth": depths[i % len(depths)]} for i in range(rows)]
    trials = [Trial(TrialKey(i), "search", make_config(values), i) for i, values in enumerate(by_trial)]
    for trial in trials:
        population.admit(trial)
    fold = data.folds[0]
    trained, valid = len(fold.train), len(fold.valid)
    work = sum(flops(build(trial), trained, valid + min(trained, valid)) for trial in trials)
    return fastest(lambda: list(population.train_epoch()), _ENOUGH), 1e-9 * work


def measure(spaces: Sequence[Space], rows: Sequence[int]) -> dict[str, Any]:
    """Return the peak before and after, and each cell that is not too slow."""
    peaks, cells = [peak()], []
    for space in spaces:
        data = data_module.prepare(space.data, Path())
        for case, depths in CASES.items():
            seconds = 0.0
            for n in rows:
                if seconds > _SLOW:
                    break
                seconds, work = cell(space, data, depths, n)
                each, speed = 1000 * seconds / n, work / seconds
                cells.append({"width": space.network.width, "depth": case, "rows": n, "ms": each, "gflops": speed})
    peaks.append(peak())
    return {"square": SQUARE, "peak": {name: max(p[name] for p in peaks) for name in peaks[0]}, "cells": cells}


def main() -> None:
    torch.set_num_threads(1)
    told = json.load(sys.stdin)
    print(json.dumps(measure([loader.parse(space) for space in told["spaces"]], told["rows"])))


if __name__ == "__main__":
    main()
