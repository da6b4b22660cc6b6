"""The last training: the selected configuration, and what it is compared with, on training and validation rows together."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from hpo import evidence, selection
from hpo.data import Dataset
from hpo.dataset import Fold, Samples
from hpo.finals import Finalist
from hpo.metrics import METRICS, measure
from hpo.networks import Networks
from hpo.space import Space
from hpo.study import Study
from hpo.trial import Trial
from hpo.weights import Vault


@dataclass(frozen=True)
class Final:
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
        networks: Networks,
        study: Study,
        vault: Vault,
        train: Callable[[Sequence[Trial], Samples], None],
    ) -> None:
        self._space, self._data, self._networks = space, data, networks
        self._study, self._vault, self._train = study, vault, train

    def ways(self) -> tuple[str, ...]:
        """Those that the data allow: what was trained on folds has no single network to keep."""
        return ("scaled", "keep", "average") if len(self._data.folds) == 1 else ("scaled", "average")

    def compare(self, finalist: Finalist) -> dict[str, dict[str, float]]:
        """The ways beside each other, for one configuration: of every fold of the first draw, the training rows are split once
        more, and its validation rows judge. The followed metric's mean, its gain over `scaled` and the paired error of it.

        Remembered with the study, since the networks behind it are not kept."""
        label = f"{finalist.label}-nested"
        known: dict[str, dict[str, float]] | None = self._study.recall(f"compared:{label}")
        if known is None:
            trial = Trial(label, "nested", finalist.searched.trial.params, selection.fresh_seed(self._space, "nested"))
            known = self._compared(finalist, trial)
            self._study.remember(f"compared:{label}", known)
        return known

    def _compared(self, finalist: Finalist, trial: Trial) -> dict[str, dict[str, float]]:
        samples = self._data.nested(1)
        self._train([trial], samples)
        inner = self._study.outcomes[trial.label]
        if inner.state != "complete":
            return {}
        sign, key = METRICS[self._space.train.metric].sign, self._space.train.metric_key
        outer = np.array(finalist.fresh[0].fold_curves[key])
        curves = np.array(inner.fold_curves[key])
        each = len(samples.folds) // outer.shape[1]
        found: dict[str, list[float]] = {way: [] for way in self.ways()}
        logits = self._judged(trial, samples)
        for fold in range(outer.shape[1]):
            mine = range(fold * each, (fold + 1) * each)
            epoch = evidence.best_epoch([curves[:, mine.start : mine.stop]], sign)
            found["scaled"].append(outer[min(epoch, len(outer)) - 1, fold])
            alone = [self._score(samples, samples.folds[i], logits[i]) for i in mine]
            if "keep" in found:
                found["keep"].append(float(np.mean(alone)))
            found["average"].append(self._score(samples, samples.folds[mine[0]], averaged([logits[i] for i in mine], samples)))
        overlap = sum(len(f.test) for f in samples.folds) / sum(len(f.train) + len(f.valid) for f in samples.folds)
        lower = {way: sign * np.array(scores) for way, scores in found.items()}
        gains = {way: evidence.gain(scores, lower["scaled"], overlap) for way, scores in lower.items()}
        return {
            way: {self._space.train.metric: float(np.mean(scores)), "gain": gains[way][0], "standard_error": gains[way][1]}
            for way, scores in found.items()
        }

    def final(self, way: str, finalists: Sequence[Finalist]) -> dict[str, Final]:
        """The final networks of some configurations, by label; one that diverged has none. From the seed that a trial had, `keep`
        comes to the very network that the search has seen."""
        stop: dict[str, int | None] = {f.label: None for f in finalists}
        if way == "scaled":
            stop = {f.label: self._space.refit.epochs or f.epochs for f in finalists}
        data = {"keep": lambda: self._data, "scaled": self._data.whole, "average": self._bag}[way]()
        trials = {f.label: replace(f.searched.trial, label=f"{f.label}-{way}", role="refit", epochs=stop[f.label]) for f in finalists}
        self._train(list(trials.values()), data.samples())
        done = {label: self._study.outcomes[trial.label] for label, trial in trials.items()}
        return {label: Final(o.trial.label, data, stop[label]) for label, o in done.items() if o.state == "complete"}

    def logits(self, final: Final, params: Mapping[str, Any]) -> Tensor:
        """What a final network says of the test part, (1, rows, outputs)."""
        weights = self._vault.get(final.label)
        fits = len(next(iter(weights.values())))
        said = self._networks.of(params).predict(weights, final.data.test_x.expand(fits, -1, -1))
        return averaged(list(said), final.data).unsqueeze(0)

    def _bag(self) -> Dataset:
        """All development rows under one encoding, in the folds of the first draw."""
        whole = self._data.whole()
        rows = len(whole.x)
        folds = (Fold(f.number, f.train % rows, f.valid % rows) for f in self._data.fresh(1).folds)
        return replace(whole, folds=tuple(folds))

    def _judged(self, trial: Trial, samples: Samples) -> list[Tensor]:
        """Of each fit its logits (rows, outputs) on the rows that it is judged on."""
        weights, network = self._vault.get(trial.label), self._networks.of(trial.params)
        return [
            network.predict({name: w[i : i + 1] for name, w in weights.items()}, samples.inputs(fold.test.unsqueeze(0)))[0]
            for i, fold in enumerate(samples.folds)
        ]

    def _score(self, samples: Samples, fold: Fold, logits: Tensor) -> float:
        metric = self._space.train.metric
        y, weight = samples.targets(fold.test.unsqueeze(0))
        return float(measure((metric,), samples.task, logits.unsqueeze(0), y, weight, samples.target_scale)[metric])


def averaged(logits: Sequence[Tensor], data: Samples) -> Tensor:
    """What several networks say together, each (rows, outputs): the mean of numbers, or of probabilities, as logits."""
    if len(logits) == 1:
        return logits[0]
    said = torch.stack(list(logits))
    return said.mean(0) if data.task == "regression" else said.log_softmax(2).logsumexp(0) - float(np.log(len(said)))

