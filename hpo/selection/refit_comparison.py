"""What each way to a final network is worth: by folds within folds, for one configuration."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from hpo.core import statistics
from hpo.core.metrics import METRICS, average_predictions, compute_metrics, labelled_metric
from hpo.core.samples import Samples
from hpo.core.trial import Trial
from hpo.data.dataset import Dataset
from hpo.selection.finals import Finalist, TrainFixed
from hpo.space.space import Space
from hpo.study import ranking
from hpo.study.study import Study
from hpo.study.weights import WeightStore, weights_of_fit
from hpo.training.builder import NetworkBuilder


class RefitComparison:
    """Of every fold of the first draw the training rows are split once more, and its validation rows judge: the network of a split
    (`keep`), all of them together (`average`), and the fold's own, trained on all these rows for as many epochs as the splits
    found best (`scaled`). What the splits' networks say together of the rows that judge them is kept for the report: they have
    seen these neither to learn nor to stop."""

    def __init__(
        self,
        space: Space,
        data: Dataset,
        networks: NetworkBuilder,
        study: Study,
        vault: WeightStore,
        unseen: WeightStore,
        train: TrainFixed,
        device: torch.device,
    ) -> None:
        self._space, self._data, self._networks = space, data, networks
        self._study, self._vault, self._unseen, self._train = study, vault, unseen, train
        self._device = device
        self._followed = METRICS[space.train.metric]
        self._metric = METRICS[
            labelled_metric(space.train.metric)
        ]  # by which the rows that judge are, which have labels
        # What was trained on folds has no single network to keep.
        self._names = ("scaled", "keep", "average") if len(data.folds) == 1 else ("scaled", "average")

    def compare(self, finalist: Finalist) -> dict[str, dict[str, float]]:
        """The mean of each way in the followed metric (in the loss, where that needs no labels), its gain over `scaled`, and the paired error of that; nothing where a network
        diverged. Raises InputError if such splits cannot be drawn, have no place in memory, or leave a minibatch of a
        single row that the network does not bear.

        Remembered with the study, since the networks behind it are not kept."""
        known: dict[str, dict[str, float]] | None = self._study.get_attr(f"compared:{finalist.label}")
        if known is None:
            known = self._compared(finalist)
            self._study.set_attr(f"compared:{finalist.label}", known)
        return known

    def _compared(self, finalist: Finalist) -> dict[str, dict[str, float]]:
        params = finalist.searched.trial.params
        batch_size = self._space.train.of(params).batch_size
        outer = np.array(finalist.fresh[0].fold_curves[f"valid_{self._metric.name}"])
        found: dict[str, list[float]] = {name: [] for name in self._names}
        overlaps, unseen = [], []
        for fold in range(outer.shape[1]):
            samples = self._data.nested(1, fold)
            if any(len(one.train) % batch_size == 1 for one in samples.folds):
                self._networks.network_for(params).check(1, self._device)
            judged = self._fold(finalist, fold, samples, outer[:, fold])
            if judged is None:
                return {}
            scores, said = judged
            unseen.append(said)
            for name in self._names:
                found[name].append(scores[name])
            first = samples.folds[0]
            overlaps.append(len(first.test) / (len(first.train) + len(first.valid)))
        self._unseen.save(
            finalist.label, {name: torch.cat([said[name] for said in unseen]) for name in ("rows", "said")}
        )
        lower = {name: self._metric.sign * np.array(scores) for name, scores in found.items()}
        gains = {
            name: statistics.paired_gain(scores, lower["scaled"], float(np.mean(overlaps)))
            for name, scores in lower.items()
        }
        return {
            name: {self._metric.name: float(np.mean(scores)), "gain": gains[name][0], "standard_error": gains[name][1]}
            for name, scores in found.items()
        }

    def _fold(
        self, finalist: Finalist, fold: int, samples: Samples, whole: np.ndarray
    ) -> tuple[dict[str, float], dict[str, Tensor]] | None:
        """What each way scores on one fold, whose own network had the curve `whole` (epochs,); and its `rows` (n,), with what was
        `said` of them: logits (n, classes), or by how much a number was missed, (n, 1), in its own units."""
        params = finalist.searched.trial.params
        trial = Trial(
            f"{finalist.label}-nested-{fold}", "nested", params, ranking.fresh_seed(self._space, f"nested-{fold}")
        )
        self._train([trial], lambda: samples)
        inner = self._study.outcomes[trial.label]
        if inner.state != "complete":
            return None
        epoch = statistics.best_epoch([np.array(inner.fold_curves[self._space.train.metric_key])], self._followed.sign)
        said = self._logits(trial, samples)
        together, rows = average_predictions(samples.task, torch.stack(said)), samples.folds[0].test
        scores = {
            "scaled": float(whole[min(epoch, len(whole)) - 1]),
            "keep": float(np.mean([self._score(samples, one) for one in said])),
            "average": self._score(samples, together),
        }
        if samples.task == "regression":
            together = (together - samples.y[rows].unsqueeze(1)) * samples.target_scale
        return scores, {"rows": rows, "said": together}

    def _logits(self, trial: Trial, samples: Samples) -> list[Tensor]:
        """Of each fit what it says, (rows, outputs), of the rows that it is judged on."""
        weights, network = self._vault.load(trial.label), self._networks.network_for(trial.params)
        x = [samples.inputs(fold.test.unsqueeze(0)) for fold in samples.folds]
        return [network.predict(weights_of_fit(weights, i), x[i])[0] for i in range(len(x))]

    def _score(self, samples: Samples, logits: Tensor) -> float:
        y, weight = samples.targets(samples.folds[0].test.unsqueeze(0))  # the same rows in every encoding
        return float(
            compute_metrics((self._metric.name,), samples.task, logits.unsqueeze(0), y, weight, samples.target_scale)[
                self._metric.name
            ]
        )
