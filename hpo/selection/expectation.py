"""The scores to expect on new rows: of a single network of a configuration, and of the average of several."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import reduce

import numpy as np
import torch
from scipy.special import ndtri

from hpo.core import posterior
from hpo.core.metrics import METRICS, average_predictions
from hpo.core.statistics import LEVEL
from hpo.selection import evidence
from hpo.selection.calibration import fit_temperature
from hpo.selection.out_of_fold import DrawPredictions

# The variance of the logarithm of an error from the evaluated rows and trainings, relative to its bootstrap variance.
# Learned from earlier searches (docs/decisions/selection.md).
_OWN_VARIANCE = 3.0


@dataclass(frozen=True)
class Expectation:
    """The expected scores of a configuration by metric: of a `single` network, of the `average` of several, and the
    `interval` that contains the score of that average on the test rows with a probability of 90 %.

    `temperature` calibrates the predictor of as many networks (1 in a regression).
    """

    single: Mapping[str, float]
    average: Mapping[str, float]
    interval: Mapping[str, tuple[float, float]]
    temperature: float


def expect(
    draws: Sequence[DrawPredictions], label: str, metrics: Sequence[str], networks: int, test_rows: int, seed: int
) -> Expectation:
    """Estimate the scores of a configuration from the out-of-fold predictions of one or more draws.

    With two draws, every row has two predictions by independent networks. The error of the average of `networks`
    networks is extrapolated from the errors of one and of the average of n: the part of the error that averaging
    removes is inversely proportional to the number of networks (exact for squared errors of independent networks; the
    average of K networks has at least a K-th of the error of one). With one draw, the average is expected to be as good
    as a single network. A metric that the rows do not define is left out.
    """
    own = [draw.only(label) for draw in draws if label in draw.logits]
    temperature, share = evidence.single_temperature(own, label), _removable_share(len(own), networks)
    aligned = common_rows(own)
    averaged, average_temperature = average_of_draws(aligned, label)
    counts = evidence.bootstrap_counts(own, seed)
    single, average, interval = {}, {}, {}
    for name in metrics:
        one, one_aligned = (_mean_error(part, label, temperature, name) for part in (own, aligned))
        errors = evidence.resampled_errors(averaged, averaged.logits[label] / average_temperature, name, counts)
        if not (one > 0 and one_aligned > 0 and errors[0] > 0):  # or NaN
            continue
        center = math.log(one * max(1 + share * (errors[0] / one_aligned - 1), 1 / networks))
        variance = evidence.variance(np.log(errors[1:][errors[1:] > 0])) * (
            _OWN_VARIANCE + len(averaged.row) / test_rows
        )
        half = math.sqrt(variance) * float(ndtri((1 + LEVEL) / 2))
        logs = (math.log(one), center, center - half, center + half)
        values = (_score(name, value, len(own[0].row)) for value in logs)
        single[name], average[name], *ends = values
        if math.isfinite(variance):
            interval[name] = (min(ends), max(ends))
    return Expectation(single, average, interval, average_temperature if networks > 1 else temperature)


def _removable_share(draws: int, networks: int) -> float:
    """Return by how much more the average of `networks` networks reduces an error than the average of `draws`."""
    return (1 - 1 / networks) / (1 - 1 / draws) if draws > 1 else 0.0


def _mean_error(draws: Sequence[DrawPredictions], label: str, temperature: float, metric: str) -> float:
    no_samples = np.zeros((0, 1 + max(int(draw.row.max()) for draw in draws)), dtype=np.int32)
    errors = [
        evidence.resampled_errors(draw, draw.logits[label] / temperature, metric, no_samples)[0] for draw in draws
    ]
    return float(np.mean(errors))


def common_rows(draws: Sequence[DrawPredictions]) -> list[DrawPredictions]:
    """Return the rows that all draws have, in the same order; on large tables, a draw has only a part of the rows."""
    common = reduce(np.intersect1d, [draw.row.numpy() for draw in draws])
    return [draw.part(torch.from_numpy(_positions(draw.row.numpy(), common))) for draw in draws]


def average_of_draws(aligned: Sequence[DrawPredictions], label: str) -> tuple[DrawPredictions, float]:
    """Average the predictions of a configuration over draws with the same rows, and return them with the temperature
    that calibrates them (1 in a regression). In a regression, they are in the units of the first draw: the targets of
    different draws may be standardized differently."""
    first = aligned[0]
    if first.task == "regression":
        errors = [(draw.logits[label] - draw.y.unsqueeze(1)) * (draw.scale / first.scale) for draw in aligned]
        return replace(first, logits={label: first.y.unsqueeze(1) + torch.stack(errors).mean(0)}), 1.0
    logits = average_predictions(first.task, torch.stack([draw.logits[label] for draw in aligned]))
    return replace(first, logits={label: logits}), fit_temperature(logits, first.y, first.weight)


def _positions(rows: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    """Return the position in `rows` of each of the sorted rows `wanted`."""
    order = rows.argsort()
    return np.asarray(order[np.searchsorted(rows, wanted, sorter=order)])


def _score(metric: str, log_error: float, rows: int) -> float:
    """Return the score whose error has this logarithm, within the bounds of the metric."""
    low, high = METRICS[metric].bounds
    return float(np.clip(posterior.score(METRICS[metric], math.exp(log_error), rows), low, high))
