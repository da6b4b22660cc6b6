"""The final networks: the selected configuration and its references, trained once more."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple, Protocol

import torch
from torch import Tensor

from hpo.core.metrics import average_predictions
from hpo.core.samples import Samples
from hpo.core.trial import Trial
from hpo.core.trial_config import Config
from hpo.core.trial_key import RefitKind
from hpo.data.dataset import Dataset
from hpo.selection.finalist import Finalist
from hpo.space.settings import RefitConfig
from hpo.space.space import Space
from hpo.study.study import Study
from hpo.study.weights import WeightStore, weights_of_fit
from hpo.training.builder import NetworkBuilder


class TrainNetworks(Protocol):
    """Trains trials that are never pruned, except those whose outcome and weights of `n_fits` fits are stored."""

    def __call__(self, trials: Sequence[Trial], samples: Callable[[], Samples], n_fits: int = 1) -> None: ...


@dataclass(frozen=True)
class FinalNetwork:
    """The final networks of a configuration, whose predictions are averaged: one for each fold of `data`.

    `label` names their weights in the store, `data` is the data set in the encoding that they were trained on, and
    `epochs` is the fixed number of epochs (None: early stopping determined the number). The logits of the average of a
    classification are divided by `temperature`.
    """

    label: str
    data: Dataset
    epochs: int | None
    temperature: float = 1.0

    @property
    def networks(self) -> int:
        """The number of networks."""
        return len(self.data.folds)

    @property
    def average_label(self) -> str:
        """The name of the average of the networks; `label` is that of the first network."""
        return self.label if self.networks == 1 else f"{self.label}-mean-of-{self.networks}"


class FinalLogits(NamedTuple):
    """Calibrated logits of the average of the final networks, and of the first of them, each (1, rows, outputs)."""

    average: Tensor
    single: Tensor


def n_networks(refit: RefitConfig, data: Dataset) -> int:
    """Return the number of final networks of each configuration, 0 without a refit."""
    if refit.kind == "average":
        return len(data.new_fold_sizes(1))
    return {"scaled": refit.networks, "keep": 1, "none": 0}[refit.kind]


class Refit:
    """Trains final networks.

    `scaled` trains several networks, with different seeds, on all development rows, for the number of epochs that was
    best in the re-evaluation. More rows mean more updates per epoch, so the number of updates grows with the number of
    rows, up to the rows of an epoch (see `epoch_rows`). `average` trains one network per fold of new splits. Both
    average the predictions of their networks. `keep` takes the network of the search.
    """

    def __init__(
        self,
        space: Space,
        data: Dataset,
        networks: NetworkBuilder,
        study: Study,
        weights: WeightStore,
        train: TrainNetworks,
    ) -> None:
        self._space, self._data, self._networks = space, data, networks
        self._study, self._weights, self._train = study, weights, train

    def final(
        self, kind: RefitKind, finalists: Sequence[Finalist], temperatures: Mapping[str, float]
    ) -> dict[str, FinalNetwork]:
        """Train the final networks of some configurations; return them by label, without those that diverged.

        `temperatures` are by label; a configuration without one is not calibrated. Because it uses the seed of the
        searched trial, `keep` reproduces the network of the search exactly.
        """
        epochs: dict[str, int | None] = {f.label: None for f in finalists}
        if kind == "scaled":
            epochs = {f.label: self._space.refit.epochs or f.epochs for f in finalists}
        data = {"keep": lambda: self._data, "scaled": self._copies, "average": self._folds}[kind]()
        trials = {f.label: _refit_trial(f, kind, epochs[f.label]) for f in finalists}
        self._train(list(trials.values()), lambda: data, n_fits=len(data.folds))
        outcomes = {label: self._study.outcomes[trial.label] for label, trial in trials.items()}
        return {
            label: FinalNetwork(outcome.trial.label, data, epochs[label], temperatures.get(label, 1.0))
            for label, outcome in outcomes.items()
            if outcome.state == "complete"
        }

    def logits(self, final: FinalNetwork, config: Config) -> FinalLogits:
        """Predict the test part."""
        weights, task = self._weights.load(final.label, final.networks), final.data.task
        network = self._networks.network_for(config)

        def predict(x: Tensor) -> Tensor:  # one network after the other, because a test part may be large
            each = [network.predict(weights_of_fit(weights, i), x.unsqueeze(0)) for i in range(final.networks)]
            return torch.cat(each)

        logits = final.data.test.predict(predict)
        scale = final.temperature if task == "classification" else 1.0
        return FinalLogits(average_predictions(task, logits).unsqueeze(0) / scale, logits[:1] / scale)

    def _copies(self) -> Dataset:
        """Return all development rows, with one fold of all training rows for each network.

        The seeds of a fit depend on the number of its fold. The folds share one encoding.
        """
        data = self._data.without_validation()
        folds = tuple(replace(data.folds[0], number=number) for number in range(self._space.refit.networks))
        return replace(data, folds=folds)

    def _folds(self) -> Dataset:
        """Return all development rows in one encoding, with the folds of the first draw of new splits."""
        all_rows = self._data.without_validation()
        n_rows = len(all_rows.x)
        folds = (fold.remap(lambda rows: rows % n_rows) for fold in self._data.new_folds(1).folds)
        data = replace(all_rows, folds=tuple(folds))
        return replace(data, **vars(data.training_samples()))


def _refit_trial(finalist: Finalist, kind: RefitKind, epochs: int | None) -> Trial:
    trial = finalist.trial
    return replace(trial, key=trial.key.refitted(kind, epochs), role="refit", epochs=epochs)
