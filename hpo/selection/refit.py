"""The last training: the selected configuration, and what it is compared with, on training and validation rows together."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from torch import Tensor

from hpo.core.metrics import average_predictions
from hpo.core.trial import Trial
from hpo.data.dataset import Dataset
from hpo.selection.finals import Finalist, TrainFixed
from hpo.space.space import Space
from hpo.study.study import Study
from hpo.study.weights import WeightStore
from hpo.training.builder import NetworkBuilder


@dataclass(frozen=True)
class FinalNetwork:
    """A network, or several whose predictions are averaged, as it is tested and exported: where its weights lie, on what it
    was trained, and for how long (None: until its own validation rows stopped it)."""

    label: str  # in the vault
    data: Dataset  # encoded as the network wants it
    epochs: int | None


class Refit:
    """Makes final networks in one of these ways: `scaled`, on all rows but the test part, for as many epochs as the fresh fits
    found best, so that the updates grow with the rows; `keep`, as the search left it; `average`, one network a fold."""

    def __init__(
        self,
        space: Space,
        data: Dataset,
        networks: NetworkBuilder,
        study: Study,
        vault: WeightStore,
        train: TrainFixed,
    ) -> None:
        self._space, self._data, self._networks = space, data, networks
        self._study, self._vault, self._train = study, vault, train

    def final(self, way: str, finalists: Sequence[Finalist]) -> dict[str, FinalNetwork]:
        """The final networks of some configurations, by label; one that diverged has none. From the seed that a trial had, `keep`
        comes to the very network that the search has seen."""
        stop: dict[str, int | None] = {f.label: None for f in finalists}
        if way == "scaled":
            stop = {f.label: self._space.refit.epochs or f.epochs for f in finalists}
        data = {"keep": lambda: self._data, "scaled": self._data.whole, "average": self._bag}[way]()
        trials = {f.label: self._trial(f, way, stop[f.label]) for f in finalists}
        self._train(list(trials.values()), lambda: data)
        done = {label: self._study.outcomes[trial.label] for label, trial in trials.items()}
        return {
            label: FinalNetwork(o.trial.label, data, stop[label]) for label, o in done.items() if o.state == "complete"
        }

    def _trial(self, finalist: Finalist, way: str, epochs: int | None) -> Trial:
        label = f"{finalist.label}-{way}" if epochs is None else f"{finalist.label}-{way}-{epochs}"
        return replace(finalist.searched.trial, label=label, role="refit", epochs=epochs)

    def logits(self, final: FinalNetwork, params: Mapping[str, Any]) -> Tensor:
        """What a final network says of the test part, (1, rows, outputs)."""
        weights = self._vault.load(final.label)
        fits = len(next(iter(weights.values())))
        said = self._networks.network_for(params).predict(weights, final.data.test_x.expand(fits, -1, -1))
        return average_predictions(final.data.task, said).unsqueeze(0)

    def _bag(self) -> Dataset:
        """All development rows under one encoding, in the folds of the first draw."""
        whole = self._data.whole()
        rows = len(whole.x)
        folds = (f.remap(lambda own: own % rows) for f in self._data.fresh(1).folds)
        data = replace(whole, folds=tuple(folds))
        return replace(data, **vars(data.to_train()))
