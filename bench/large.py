"""Measure how far a search of a large table comes in 30 processor seconds, for docs/decisions/training-step.md.

The tables are a made one (300,000 rows, 20 columns, 4 classes) and adult (48,842 rows, 14 columns) of the folder
`--data`. The search has the five hyperparameters of search_spaces/reg.yaml. It is stopped at the limit, in the middle
of trials. Processor time is that of the process, so other processes of the machine do not matter.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import pandas as pd
from sklearn.datasets import make_classification

from bench.page import markdown
from hpo.core.trial import Outcome, Score
from hpo.nn import device
from hpo.space import loader
from hpo.study.directory import StudyDirectory
from hpo.workflows import prepare, search
from hpo.workflows.callbacks import Watcher

Json = dict[str, Any]
HEADS = ("table", "batch size", "trials ended", "trial-epochs", "best validation loss of an epoch")


def made(folder: Path) -> Path:
    """Write a table of 300,000 rows and 20 columns with four overlapping classes of four clusters each."""
    x, y = make_classification(
        300_000, 20, n_informative=12, n_redundant=4, n_classes=4, n_clusters_per_class=4, flip_y=0.05, random_state=0
    )
    table = pd.DataFrame(x.round(4), columns=[f"x{i}" for i in range(20)]).assign(target=y)
    table.to_csv(path := folder / "made.csv", index=False)
    return path


def space(table: Path, train: Json) -> Json:
    """Return a space of the keys of search_spaces/reg.yaml for a table."""
    strength = {"low": 1e-4, "high": 3.0, "log": True, "optional": True}
    return {
        "study": table.stem,
        "data": {"source": str(table.resolve()), "target": "target"},
        "search": {
            "learning_rate": {"low": 1e-4, "high": 1e-1, "log": True},
            "depth": {"low": 1, "high": 4},
            "weight_decay": strength,
            "l1": strength | {"low": 1e-5, "high": 0.3},
            "dropout": {"low": 0.0, "high": 0.6},
        },
        "train": train,
        "budget": {"trials": 1000},
    }


class Progress(Watcher):
    """Counts epochs, keeps the best validation loss, and interrupts the search at the limit of processor seconds."""

    def __init__(self, seconds: float) -> None:
        self._end = time.process_time() + seconds
        self.epochs, self.best = 0, float("inf")

    def epoch(self, score: Score) -> None:
        self.epochs += 1
        self.best = min(self.best, score.means["valid_loss"])
        if time.process_time() > self._end:
            raise KeyboardInterrupt


class Counter:
    """A recorder that counts the trials that ended."""

    ids: Mapping[str, str] = {"run_id": "", "experiment_id": ""}

    def __init__(self, *_: object) -> None:
        self.ended = 0

    def record(self, outcome: Outcome) -> None:
        self.ended += outcome.trial.in_budget

    def close(self, status: str, **finish: Any) -> None: ...

    def abandon(self, status: str) -> None: ...


def measured(table: Path, seconds: float, train: Json) -> list[str]:
    """Search a table on the CPU and return the cells of its line."""
    experiment = prepare.prepare(loader.parse(space(table, train)), Path(), device=device.CPU)
    counter, progress = Counter(), Progress(seconds)
    with tempfile.TemporaryDirectory() as folder:
        directory = StudyDirectory(Path(folder), table.stem)
        with suppress(KeyboardInterrupt):
            search.search(experiment, directory, watcher=progress, recorder=lambda *_: counter)
    size = experiment.space.train.batch_size
    return [table.stem, f"{size}", f"{counter.ended}", f"{progress.epochs}", f"{progress.best:.4f}"]


def tables(folder: Path, data: Path) -> Iterator[Path]:
    yield made(folder)
    if (adult := data / "adult.csv").exists():
        yield adult


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, default=Path("../shared/data"), help="the folder of adult.csv")
    parser.add_argument("--seconds", type=float, default=30.0, help="processor seconds of each search")
    parser.add_argument("--batch-size", type=int, help="default: that of hpo")
    options = parser.parse_args()
    train = {"batch_size": options.batch_size} if options.batch_size else {}
    with tempfile.TemporaryDirectory() as folder:
        lines = [measured(table, options.seconds, train) for table in tables(Path(folder), options.data)]
    print(markdown([HEADS, *lines]))


if __name__ == "__main__":
    main()
