"""The work of each sequential contender: the same rows, network, configurations and epochs.

`python -m bench.task CONTENDER` runs `bench.CONTENDER.run` on a task from standard input.
"""

from __future__ import annotations

import importlib
import json
import os
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from hpo.data import dataset
from hpo.space import loader
from hpo.space.space import Space


@dataclass(frozen=True)
class Task:
    """The work of a contender."""

    space: Space
    train: tuple[Tensor, Tensor]  # x (rows, inputs), y (rows,)
    valid: tuple[Tensor, Tensor]
    configurations: list[dict[str, float]]  # the configurations of hpo's search
    cores: int  # cores that it may use

    def network(self, depth: int, dropout: float) -> nn.Sequential:
        """Return the network of the space, as torch's tutorials write it."""
        layers: list[nn.Module] = []
        width = self.space.network.width
        for fan_in in (self.train[0].shape[1], *[width] * (depth - 1)):
            layers += [nn.Linear(fan_in, width), nn.ReLU(), nn.Dropout(dropout)]
        return nn.Sequential(*layers, nn.Linear(width, int(self.train[1].max()) + 1))

    def warm_up(self) -> None:
        """Take one step before the clock starts.

        torch imports for most of a second when it creates its first optimizer. A contender that trains fewer trials
        would bear more of that per trial.
        """
        torch.set_num_threads(1)
        network = self.network(1, 0.0)
        optimizer = torch.optim.AdamW(network.parameters())
        nn.functional.cross_entropy(network(self.train[0]), self.train[1]).backward()
        optimizer.step()


@dataclass(frozen=True)
class Answer:
    """The result of a contender."""

    seconds: float  # from the first proposal to the last record
    best: list[float]  # best validation loss, in the order of `Task.configurations`


def read(told: dict[str, Any]) -> Task:
    """Parse the task and load its rows."""
    space = loader.parse(told["space"])
    rows = dataset.prepare(space.data, Path())
    train, valid = ((rows.x[part], rows.y[part]) for part in (rows.folds[0].train, rows.folds[0].valid))
    # Optuna refuses "off", which is outside a log range; it is replaced by the lower end.
    inside = [{key: space.search[key].clip(value) for key, value in c.items()} for c in told["configurations"]]
    return Task(space, train, valid, inside, len(os.sched_getaffinity(0)))


def main() -> None:
    contender = importlib.import_module(f"bench.{sys.argv[1]}")
    task = read(json.load(sys.stdin))
    task.warm_up()
    answer = contender.run(task)
    print(json.dumps({"seconds": answer.seconds, "best": answer.best}))


if __name__ == "__main__":
    main()
