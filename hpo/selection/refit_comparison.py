"""Compare the kinds of refit by nested cross-validation."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

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
from hpo.study import seeds
from hpo.study.study import Study
from hpo.study.weights import WeightStore, weights_of_fit
from hpo.training.builder import NetworkBuilder


@dataclass(frozen=True)
class _FoldResult:
    """The score of each kind of refit on one outer fold, and the averaged predictions for its rows.

    `rows` is (n,); `predictions` are the logits (n, classes) or, in a regression, the errors (n, 1) in the unit of the
    target.
    """

    scores: Mapping[str, float]
    rows: Tensor
    predictions: Tensor


class RefitComparison:
    """Estimates the score of each kind of refit for one configuration by nested cross-validation.

    The outer folds are those of the first draw of new splits. The training rows of each outer fold are split again into
    inner folds. Three kinds are scored on the validation rows of the outer fold: the network of one inner fold
    (`keep`), the averaged networks of all inner folds (`average`), and the network that the re-evaluation trained on
    the outer fold, after the number of epochs that was best in the inner folds (`scaled`).

    The averaged predictions of the inner networks are saved for the report, since these networks have used the outer
    validation rows neither for training nor for early stopping.
    """

    def __init__(
        self,
        space: Space,
        data: Dataset,
        networks: NetworkBuilder,
        study: Study,
        weights: WeightStore,
        oof_predictions: WeightStore,
        train: TrainFixed,
        device: torch.device,
    ) -> None:
        self._space, self._data, self._networks = space, data, networks
        self._study, self._weights, self._oof_predictions, self._train = study, weights, oof_predictions, train
        self._device = device
        self._followed = METRICS[space.train.metric]
        self._metric = METRICS[labelled_metric(space.train.metric)]  # the outer validation rows have labels
        # A search on folds has no single network to keep.
        self._kinds = ("scaled", "keep", "average") if len(data.folds) == 1 else ("scaled", "average")

    def compare(self, finalist: Finalist) -> dict[str, dict[str, float]]:
        """Return the mean score of each kind of refit, its gain over `scaled`, and the paired error of the gain.

        The score is the followed metric or, if the followed metric needs no labels, the loss. Returns {} if a network
        diverged. Raises InputError if inner folds cannot be drawn, do not fit into memory, or leave a minibatch of one
        row on which the network cannot be trained.

        The result is stored with the study, because the networks are not kept.
        """
        key = f"compared:{finalist.label}"
        comparison: dict[str, dict[str, float]] | None = self._study.get_attr(key)
        if comparison is None:
            comparison = self._compare(finalist)
            self._study.set_attr(key, comparison)
        return comparison

    def _compare(self, finalist: Finalist) -> dict[str, dict[str, float]]:
        params = finalist.searched.trial.params
        batch_size = self._space.train.of(params).batch_size
        outer_curves = np.array(finalist.reevaluations[0].fold_curves[f"valid_{self._metric.name}"])  # (epochs, folds)
        results, test_train_ratios = [], []
        for fold in range(outer_curves.shape[1]):
            samples = self._data.nested_folds(1, fold)
            if any(len(inner.train) % batch_size == 1 for inner in samples.folds):
                self._networks.network_for(params).check(1, self._device)
            result = self._run_fold(finalist, fold, samples, outer_curves[:, fold])
            if result is None:
                return {}
            results.append(result)
            first = samples.folds[0]
            test_train_ratios.append(len(first.test) / (len(first.train) + len(first.valid)))
        self._save_predictions(finalist, results)
        return self._summarize(results, float(np.mean(test_train_ratios)))

    def _save_predictions(self, finalist: Finalist, results: Sequence[_FoldResult]) -> None:
        rows, predictions = (torch.cat([getattr(r, name) for r in results]) for name in ("rows", "predictions"))
        self._oof_predictions.save(finalist.label, {"rows": rows, "predictions": predictions})

    def _summarize(self, results: Sequence[_FoldResult], test_train_ratio: float) -> dict[str, dict[str, float]]:
        scores = {kind: [result.scores[kind] for result in results] for kind in self._kinds}
        minimized = {kind: self._metric.minimized(np.array(values)) for kind, values in scores.items()}
        summary = {}
        for kind, values in scores.items():
            gain, error = statistics.paired_gain(minimized[kind], minimized["scaled"], test_train_ratio)
            summary[kind] = {self._metric.name: float(np.mean(values)), "gain": gain, "standard_error": error}
        return summary

    def _run_fold(self, finalist: Finalist, fold: int, samples: Samples, outer_curve: np.ndarray) -> _FoldResult | None:
        """Train the inner folds of one outer fold and score each kind of refit; None if a network diverged.

        `outer_curve` (epochs,) is the curve of the network that the re-evaluation trained on the outer fold.
        """
        searched = finalist.searched.trial
        seed = seeds.derived_seed(self._space, f"nested-{fold}")
        trial = Trial(searched.key.nested(fold), "nested", searched.params, seed)
        self._train([trial], lambda: samples)
        inner = self._study.outcomes[trial.label]
        if inner.state != "complete":
            return None
        epoch = statistics.best_epoch([np.array(inner.fold_curves[self._space.train.metric_key])], self._followed)
        logits = self._inner_logits(trial, samples)
        average, rows = average_predictions(samples.task, torch.stack(logits)), samples.folds[0].test
        scores = {
            "scaled": float(outer_curve[min(epoch, len(outer_curve)) - 1]),
            "keep": float(np.mean([self._score(samples, fold_logits) for fold_logits in logits])),
            "average": self._score(samples, average),
        }
        if samples.task == "regression":
            average = (average - samples.y[rows].unsqueeze(1)) * samples.target_scale
        return _FoldResult(scores, rows, average)

    def _inner_logits(self, trial: Trial, samples: Samples) -> list[Tensor]:
        """Predict the outer validation rows with the network of each inner fold, each (rows, outputs)."""
        weights, network = self._weights.load(trial.label), self._networks.network_for(trial.params)
        inputs = [samples.inputs(fold.test.unsqueeze(0)) for fold in samples.folds]
        return [network.predict(weights_of_fit(weights, i), x)[0] for i, x in enumerate(inputs)]

    def _score(self, samples: Samples, logits: Tensor) -> float:
        y, weight = samples.targets(samples.folds[0].test.unsqueeze(0))  # the same rows in every inner encoding
        name, scale = self._metric.name, samples.target_scale
        return float(compute_metrics((name,), samples.task, logits.unsqueeze(0), y, weight, scale)[name])
