"""Measure the lowest validation loss after equal processor time by batch size, for docs/decisions/training-step.md.

For each batch size, four networks of depth 3 and width 128, one for each learning rate, train together on the CPU
without early stopping.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from bench import large
from bench.page import markdown
from hpo.core.trial import Trial
from hpo.core.trial_key import TrialKey
from hpo.nn import device
from hpo.nn.linear import one_thread
from hpo.space import loader
from hpo.training.experiment import Experiment
from hpo.training.population import Population
from hpo.workflows import prepare

_LEARNING_RATES = (5e-4, 1.5e-3, 5e-3, 1.5e-2)
_FIXED = {"depth": 3, "weight_decay": 0.01, "l1": 1e-5, "dropout": 0.1}


def lowest_losses(experiment: Experiment, size: int, seconds: Sequence[float]) -> list[str]:
    """Train with one batch size; return the lowest validation loss after each of these processor seconds."""
    space = experiment.space.model_copy(
        update={"train": experiment.space.train.model_copy(update={"batch_size": size})}
    )
    population = Population.from_space(space, None, experiment.data.as_samples(), rows=len(_LEARNING_RATES))
    for number, learning_rate in enumerate(_LEARNING_RATES):
        params = space.middle(_FIXED | {"learning_rate": learning_rate})
        population.admit(Trial(TrialKey.parse(str(number)), "search", params, seed=number))
    began, best, cells = time.process_time(), float("inf"), []
    for limit in seconds:
        while time.process_time() - began < limit:
            best = min(best, *(score.means["valid_loss"] for score in population.train_epoch()))
        cells.append(f"{best:.4f}")
    return cells


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("table", type=Path, nargs="?", help="a CSV file with a column target; default: a made table")
    parser.add_argument("--sizes", type=int, nargs="+", default=[32, 64, 128, 256, 512, 1024])
    parser.add_argument("--seconds", type=float, nargs="+", default=[12.0, 48.0], help="ascending processor seconds")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, one_thread():
        made = large.space(options.table or large.made(Path(folder)), {"epochs": 100_000, "patience": 100_000})
        experiment = prepare.prepare(loader.parse(made), Path(), device=device.CPU)
        rows = [[f"{size}", *lowest_losses(experiment, size, options.seconds)] for size in options.sizes]
    print(markdown([["batch size", *(f"{limit:g} s" for limit in options.seconds)], *rows]))


if __name__ == "__main__":
    main()
