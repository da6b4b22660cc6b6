"""Ensemble selection from a library of models: Caruana, Niculescu-Mizil, Crew & Ksikes (ICML 2004)."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from hpo.core.metrics import METRICS
from hpo.nn.combination import Combination
from hpo.selection.ensemble.held_out import OutOfFoldPredictions


def fit(unseen: OutOfFoldPredictions, metric: str, size: int) -> Combination:
    """The mean of those that `choose` takes, as often as it takes them."""
    counts = choose(unseen, metric, size)
    return Combination("mean", counts / size, torch.zeros(unseen.logits.shape[2]))


def choose(unseen: OutOfFoldPredictions, metric: str, size: int) -> Tensor:
    """How often each member is taken, (members,) in `size` all together.

    The best ones come first, as many as are best together of the first, the first two and so on, at most half of the size. From there
    on whoever helps the mean most is taken, again and again if need be: a strong start and replacement are what keeps a greedy choice
    from fitting the rows that it is made on. Equals are ordered by loss, then by place.
    """
    said = _averaging(unseen)
    order = _ranked(unseen, metric, said)
    starts = torch.stack([said[order[: n + 1]].mean(0) for n in range(min(len(order), max(1, size // 2)))])
    first = _ranked(unseen, metric, starts)[0] + 1
    counts = torch.bincount(torch.tensor(order[:first]), minlength=len(said))
    for taken in range(first, size):
        together = said[counts > 0].mul(counts[counts > 0].view(-1, 1, 1)).sum(0)
        counts[_ranked(unseen, metric, (together + said) / (taken + 1))[0]] += 1
    return counts


def _averaging(unseen: OutOfFoldPredictions) -> Tensor:
    """What is averaged: probabilities or numbers, (members, rows, outputs)."""
    logits = unseen.logits.double()
    return logits.softmax(2) if unseen.task == "classification" else logits


def _ranked(unseen: OutOfFoldPredictions, metric: str, means: Tensor) -> list[int]:
    """The places of `means` (some, rows, outputs), the best first."""
    logits = means.clamp(min=1e-30).log() if unseen.task == "classification" else means
    scores = unseen.scores((metric,) if metric == "loss" else (metric, "loss"), logits)
    followed = (METRICS[metric].sign * scores[metric].numpy()).round(12)  # what is equal but for rounding is equal
    order: list[int] = np.lexsort((scores["loss"].numpy(), np.nan_to_num(followed, nan=np.inf))).tolist()
    return order
