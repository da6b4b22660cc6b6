"""The evidence about finalists: their errors on rows that their networks were not trained on, with uncertainty."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from hpo.core import posterior, statistics
from hpo.core.metrics import METRICS, compute_metrics, row_losses
from hpo.core.posterior import Measurement
from hpo.selection.calibration import fit_temperature
from hpo.selection.out_of_fold import DrawPredictions

_RESAMPLES = 200
_SMALLEST_ERROR = 1e-8  # smaller errors count as this one, so that perfect predictions have a logarithm and are equal


@dataclass(frozen=True)
class Evidence:
    """The errors of configurations in the re-evaluation, by label.

    `errors` holds the error in each draw of new splits, (draws,); `resampled` the same for bootstrap samples of the
    development rows, (resamples, draws), with the same samples for all configurations, so that differences are paired.
    """

    errors: Mapping[str, np.ndarray]
    resampled: Mapping[str, np.ndarray]

    def measurement(self, label: str, reference: str) -> Measurement:
        """Return the mean log ratio of the error of `reference` to that of `label`, over the draws that both have."""
        draws = min(len(self.errors[label]), len(self.errors[reference]))
        measured = np.log(self.errors[reference][:draws] / self.errors[label][:draws])
        resampled = np.log(self.resampled[reference][:, :draws] / self.resampled[label][:, :draws]).mean(1)
        return Measurement.from_bootstrap(float(measured.mean()), variance(resampled), draws)


def measure(draws: Sequence[DrawPredictions], metric: str, seed: int) -> Evidence:
    """Measure the errors of all configurations in `metric`; the logits of classes are calibrated first.

    A configuration may miss the later draws, but not an earlier one.
    """
    counts = bootstrap_counts(draws, seed)
    errors: dict[str, np.ndarray] = {}
    resampled: dict[str, np.ndarray] = {}
    for label in draws[0].logits:
        own = [draw.only(label) for draw in draws if label in draw.logits]
        temperature = single_temperature(own, label)
        scores = [resampled_errors(draw, draw.logits[label] / temperature, metric, counts) for draw in own]
        errors[label] = np.array([values[0] for values in scores])
        resampled[label] = np.stack([values[1:] for values in scores], axis=1)
    return Evidence(errors, resampled)


def measurement_by_folds(scores: np.ndarray, reference: np.ndarray, test_train_ratio: float) -> Measurement:
    """Return the gain in a metric that is not computed row by row, relative to the mean of the reference.

    `scores` and `reference` (fits,) are paired, and better if lower.
    """
    difference, error = statistics.paired_gain(scores, reference, test_train_ratio)
    references = np.abs(statistics.finite_pairs(scores, reference)[1])
    unit = (float(references.mean()) if len(references) else math.nan) or 1.0
    return Measurement(difference / unit, (error / unit) ** 2)


def variance(resampled: np.ndarray) -> float:
    """Return the variance of bootstrap results (resamples,), NaN if fewer than two samples define the metric: one
    without a row of a rare class may not."""
    defined = resampled[np.isfinite(resampled)]
    return float(defined.var(ddof=1)) if len(defined) > 1 else math.nan


def single_temperature(draws: Sequence[DrawPredictions], label: str) -> float:
    """Return the temperature that calibrates the single networks of a configuration, 1 in a regression."""
    if draws[0].task == "regression":
        return 1.0
    weights = [draw.weight for draw in draws if draw.weight is not None]
    return fit_temperature(
        torch.cat([draw.logits[label] for draw in draws]),
        torch.cat([draw.y for draw in draws]),
        torch.cat(weights) if weights else None,
    )


def bootstrap_counts(draws: Sequence[DrawPredictions], seed: int) -> np.ndarray:
    """Return how often each development row occurs in each bootstrap sample, (resamples, development rows)."""
    present = np.unique(torch.cat([draw.row for draw in draws]).numpy())
    counts = np.zeros((_RESAMPLES, 1 + int(present.max())), dtype=np.int32)
    shares = np.full(len(present), 1 / len(present))
    counts[:, present] = np.random.default_rng(seed).multinomial(len(present), shares, _RESAMPLES)
    return counts


def resampled_errors(draw: DrawPredictions, logits: Tensor, metric: str, counts: np.ndarray) -> np.ndarray:
    """Return the error of `logits` (rows, outputs) on all rows of a draw, and then on each bootstrap sample of them."""
    rows = draw.row.numpy()
    samples = np.concatenate([np.ones((1, len(rows)), dtype=np.int32), counts[:, rows]])
    if metric == "loss":
        loss = row_losses(draw.task, logits.double().unsqueeze(0), draw.y.unsqueeze(0))[0].numpy()
        weights = samples if draw.weight is None else samples * draw.weight.double().numpy()
        total = weights.sum(1)
        means = np.maximum(weights @ loss / np.where(total > 0, total, np.nan), _SMALLEST_ERROR)
        return np.asarray(means * (draw.scale**2 if draw.task == "regression" else 1))
    picked = (torch.from_numpy(np.repeat(np.arange(len(rows)), count)) for count in samples)
    scores = [
        float(compute_metrics((metric,), draw.task, logits[None, i], draw.y[None, i], None, draw.scale)[metric])
        for i in picked
    ]
    errors = posterior.errors(METRICS[metric], np.array(scores), len(rows))
    return np.asarray(np.maximum(errors, _SMALLEST_ERROR))
