"""The final networks: the selected configuration and its references, trained once more."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from torch import Tensor

from hpo.core.metrics import average_predictions
from hpo.core.trial import Trial
from hpo.core.trial_config import Config
from hpo.core.trial_key import RefitKind
from hpo.data.dataset import Dataset
from hpo.selection.finals import Finalist, TrainFixed
from hpo.space.space import Space
from hpo.study.study import Study
from hpo.study.weights import WeightStore
from hpo.training.builder import NetworkBuilder


@dataclass(frozen=True)
class FinalNetwork:
    """A final network, or several whose predictions are averaged.

    `label` names its weights in the store, `data` is the data set in the encoding that it was trained on, and `epochs`
    is the fixed number of epochs (None: early stopping determined the number).
    """

    label: str
    data: Dataset
    epochs: int | None


class Refit:
    """Trains final networks.

    `scaled` trains one network on all development rows, for the number of epochs that was best in the re-evaluation.
    More rows mean more updates per epoch, so the number of updates grows with the number of rows. `keep` takes the
    network of the search. `average` trains one network per fold of new splits and averages their predictions.
    """

    def __init__(
        self,
        space: Space,
        data: Dataset,
        networks: NetworkBuilder,
        study: Study,
        weights: WeightStore,
        train: TrainFixed,
    ) -> None:
        self._space, self._data, self._networks = space, data, networks
        self._study, self._weights, self._train = study, weights, train

    def final(self, kind: RefitKind, finalists: Sequence[Finalist]) -> dict[str, FinalNetwork]:
        """Train the final networks of some configurations; return them by label, without those that diverged.

        Because it uses the seed of the searched trial, `keep` reproduces the network of the search exactly.
        """
        epochs: dict[str, int | None] = {f.label: None for f in finalists}
        if kind == "scaled":
            epochs = {f.label: self._space.refit.epochs or f.epochs for f in finalists}
        data = {"keep": lambda: self._data, "scaled": self._data.without_validation, "average": self._folds}[kind]()
        trials = {f.label: _refit_trial(f, kind, epochs[f.label]) for f in finalists}
        self._train(list(trials.values()), lambda: data)
        outcomes = {label: self._study.outcomes[trial.label] for label, trial in trials.items()}
        return {
            label: FinalNetwork(outcome.trial.label, data, epochs[label])
            for label, outcome in outcomes.items()
            if outcome.state == "complete"
        }

    def logits(self, final: FinalNetwork, config: Config) -> Tensor:
        """Predict the test part and return the logits (1, rows, outputs)."""
        weights = self._weights.load(final.label)
        fits = len(next(iter(weights.values())))
        network = self._networks.network_for(config)
        logits = final.data.test.predict(lambda x: network.predict(weights, x.expand(fits, -1, -1)))
        return average_predictions(final.data.task, logits).unsqueeze(0)

    def _folds(self) -> Dataset:
        """Return all development rows in one encoding, with the folds of the first draw of new splits."""
        all_rows = self._data.without_validation()
        n_rows = len(all_rows.x)
        folds = (fold.remap(lambda rows: rows % n_rows) for fold in self._data.new_folds(1).folds)
        data = replace(all_rows, folds=tuple(folds))
        return replace(data, **vars(data.training_samples()))


def _refit_trial(finalist: Finalist, kind: RefitKind, epochs: int | None) -> Trial:
    trial = finalist.searched.trial
    return replace(trial, key=trial.key.refitted(kind, epochs), role="refit", epochs=epochs)
