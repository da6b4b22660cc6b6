"""Ensemble selection from a library of models: Caruana, Niculescu-Mizil, Crew & Ksikes (ICML 2004)."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from hpo.core.metrics import METRICS
from hpo.nn.combination import Combination
from hpo.selection.ensemble.held_out import OutOfFoldPredictions


def fit(predictions: OutOfFoldPredictions, metric: str, size: int) -> Combination:
    """Return the mean of the members that `choose` selects, weighted by how often it selects them."""
    counts = choose(predictions, metric, size)
    return Combination("mean", counts / size, torch.zeros(predictions.logits.shape[2]))


def choose(predictions: OutOfFoldPredictions, metric: str, size: int) -> Tensor:
    """Return how often each member is selected, (members,); the sum is `size`.

    The selection starts with the n best members, where n (at most half of `size`) is the number that gives the best
    mean. It then adds the member that improves the mean most, with replacement, until `size` are selected. This sorted
    initialization and the replacement keep the greedy selection from overfitting the rows that it is made on. Ties are
    broken by loss, then by position.
    """
    outputs = _averaged_outputs(predictions)
    order = _ranked(predictions, metric, outputs)
    most = min(len(order), max(1, size // 2))
    starts = torch.stack([outputs[order[: n + 1]].mean(0) for n in range(most)])
    n_first = _ranked(predictions, metric, starts)[0] + 1
    counts = torch.bincount(torch.tensor(order[:n_first]), minlength=len(outputs))
    for n_selected in range(n_first, size):
        total = outputs[counts > 0].mul(counts[counts > 0].view(-1, 1, 1)).sum(0)
        counts[_ranked(predictions, metric, (total + outputs) / (n_selected + 1))[0]] += 1
    return counts


def _averaged_outputs(predictions: OutOfFoldPredictions) -> Tensor:
    """Return the outputs that the ensemble averages, probabilities or numbers: (members, rows, outputs)."""
    logits = predictions.logits.double()
    return logits.softmax(2) if predictions.task == "classification" else logits


def _ranked(predictions: OutOfFoldPredictions, metric: str, means: Tensor) -> list[int]:
    """Return the positions of `means` (candidates, rows, outputs), best first."""
    logits = means.clamp(min=1e-30).log() if predictions.task == "classification" else means
    scores = predictions.scores((metric,) if metric == "loss" else (metric, "loss"), logits)
    followed = METRICS[metric].minimized(scores[metric].numpy()).round(12)  # differences due to rounding are ties
    order: list[int] = np.lexsort((scores["loss"].numpy(), np.nan_to_num(followed, nan=np.inf))).tolist()
    return order
