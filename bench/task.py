"""The work that is given to all three: the same rows, network, configurations and epochs."""

from __future__ import annotations

import json
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from hpo import data, space_file
from hpo.space import Space


@dataclass(frozen=True)
class Task:
    """What a sequential contender reads from standard input."""

    space: Space
    train: tuple[Tensor, Tensor]  # x (rows, inputs), y (rows,)
    valid: tuple[Tensor, Tensor]
    configurations: list[dict[str, float]]  # what hpo's search has trained

    def network(self, depth: int, dropout: float) -> nn.Sequential:
        """The network of the space, as torch's tutorials write it."""
        layers: list[nn.Module] = []
        width = self.space.network.width
        for fan_in in (self.train[0].shape[1], *[width] * (depth - 1)):
            layers += [nn.Linear(fan_in, width), nn.ReLU(), nn.Dropout(dropout)]
        return nn.Sequential(*layers, nn.Linear(width, int(self.train[1].max()) + 1))


def read() -> Task:
    torch.set_num_threads(1)
    told = json.load(sys.stdin)
    space = space_file.parse(told["space"])
    rows = data.prepare(space.data, Path())
    train, valid = ((rows.x[part], rows.y[part]) for part in (rows.folds[0].train, rows.folds[0].valid))
    # "Off" lies outside a log range, where Optuna refuses it: it becomes the low end.
    inside = [{key: space.search[key].clip(value) for key, value in c.items()} for c in told["configurations"]]
    task = Task(space, train, valid, inside)
    _warm_up(task)
    return task


def _warm_up(task: Task) -> None:
    """One step before the clock starts: torch imports for most of a second when it first makes an optimizer, and a
    contender that trains fewer trials would bear more of that in each."""
    network = task.network(1, 0.0)
    optimizer = torch.optim.AdamW(network.parameters())
    nn.functional.cross_entropy(network(task.train[0]), task.train[1]).backward()
    optimizer.step()


def answer(began: float, best: list[float | None]) -> None:
    """Tells the time since `began`, and the best validation loss of each configuration."""
    print(json.dumps({"seconds": time.perf_counter() - began, "best": best}))
