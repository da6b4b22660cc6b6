"""Small trainings that many tests share: a data set in float64, and populations of chosen trials."""

from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import torch

from hpo.data import Dataset, prepare
from hpo.network import Mlp
from hpo.population import Population
from hpo.space import Data, Train
from hpo.trial import Released, Trial

torch.set_num_threads(1)  # two that wait for each other are slower than one

TRAIN = Train(epochs=5, batch_size=32, patience=5)


@cache
def dataset(source: str = "sklearn:wine", **more: object) -> Dataset:
    return prepare(Data(source=source, **more), Path(), torch.float64)


def trial(label: str = "0", seed: int | None = None, **params: float) -> Trial:
    seed = int(label) + 100 if seed is None else seed
    return Trial(label, "search", {"learning_rate": 1e-2, "depth": 2, **params}, seed)


def population(data: Dataset, train: Train = TRAIN, rows: int = 64, **network: object) -> Population:
    def build(of: Trial) -> Mlp:
        return Mlp(data.n_inputs, data.n_outputs, int(of.params["depth"]), **{"width": 8, **network})

    return Population(data, build, train, rows)


def run(pop: Population, epochs: int) -> dict[str, dict[str, list[float]]]:
    """Trains all rows for some epochs; the curves by trial."""
    curves: dict[str, dict[str, list[float]]] = {}
    for _ in range(epochs):
        for score in pop.train_epoch():
            for name, value in score.values.items():
                curves.setdefault(score.trial.label, {}).setdefault(name, []).append(float(value.mean()))
    return curves


def trained(data: Dataset, trials: list[Trial], train: Train = TRAIN, epochs: int = 3, **network: object) -> dict[str, Released]:
    """The trials trained together; what each leaves behind."""
    pop = population(data, train, **network)
    for of in trials:
        pop.admit(of)
    run(pop, epochs)
    return {of.label: pop.release(of) for of in trials}


def same(a: Released, b: Released) -> bool:
    """Bit for bit, with nan equal to nan."""
    tensors = all(torch.equal(a.weights[n].nan_to_num(7e77), b.weights[n].nan_to_num(7e77)) for n in a.weights)
    return tensors and np.array_equal(list(a.valid.values()), list(b.valid.values()), equal_nan=True)


def shifted(of: Trial, **params: float) -> Trial:
    return replace(of, params={**of.params, **params})
