"""Stacked generalization: Wolpert (Neural Networks, 1992), by a linear function as in Ting & Witten (JAIR 1999)."""

from __future__ import annotations

import numpy as np
import torch
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.model_selection import KFold
from torch import Tensor

from hpo.core.metrics import METRICS
from hpo.nn.combination import Combination, display_outputs
from hpo.selection.ensemble.held_out import OutOfFoldPredictions

_STRENGTHS = (
    1.0,
    1e-1,
    1e-2,
    1e-3,
    1e-4,
)  # of the L2 penalty beside the mean loss of a row, the most regularized first
_NEVER = -20.0  # the bias of a class that has no row to learn from


def fit(unseen: OutOfFoldPredictions, metric: str, size: int) -> Combination:
    """A linear function of the `size` members that are best by `metric`; the weights of all others are zero. Of the strengths of
    its L2 penalty it has the one with the least loss on rows that it was not fitted on."""
    best = _best(unseen, metric, size)
    if len(unseen.fold) < 2:  # too few to choose by
        return _fitted(unseen, best, _STRENGTHS[0])
    cuts = _cuts(unseen.fold)
    losses = [np.mean([_loss(unseen, best, strength, valid) for valid in cuts]) for strength in _STRENGTHS]
    return _fitted(unseen, best, _STRENGTHS[int(np.argmin(losses))])


def _best(unseen: OutOfFoldPredictions, metric: str, size: int) -> list[int]:
    scores = METRICS[metric].sign * unseen.scores((metric,), unseen.logits)[metric].double().nan_to_num(
        nan=float("inf")
    )
    return sorted(scores.argsort(stable=True)[:size].tolist())


def _cuts(fold: Tensor) -> list[Tensor]:
    """Truth values (rows,) of the rows that judge: a fold after another, or five parts of a single one."""
    numbers = sorted(set(fold.tolist()))
    if len(numbers) > 1:
        return [fold == number for number in numbers]
    rows = torch.arange(len(fold))
    return [torch.isin(rows, torch.from_numpy(valid)) for _, valid in KFold(min(5, len(fold))).split(rows)]


def _loss(unseen: OutOfFoldPredictions, best: list[int], strength: float, valid: Tensor) -> float:
    judged = unseen.part(valid)
    said = _fitted(unseen.part(~valid), best, strength).combine(unseen.task, judged.logits)
    return float(judged.scores(("loss",), said.unsqueeze(0))["loss"])


def _fitted(unseen: OutOfFoldPredictions, best: list[int], strength: float) -> Combination:
    members, rows, outputs = unseen.logits.shape
    x = display_outputs(unseen.task, unseen.logits[best].double()).numpy()
    weight, bias = torch.zeros(outputs, members, outputs), torch.zeros(outputs)
    sample = None if unseen.weight is None else unseen.weight.numpy() / float(unseen.weight.mean())
    if unseen.task == "regression":
        ridge = Ridge(alpha=strength * rows).fit(x, unseen.y.double().numpy())
        weight[:, best], bias[0] = torch.from_numpy(ridge.coef_).view(1, len(best), 1).float(), float(ridge.intercept_)
        return Combination("linear", weight.flatten(1), bias)
    classes = torch.tensor(sorted(set(unseen.y.tolist())))
    bias.fill_(_NEVER)
    if len(classes) == 1:
        bias[classes] = 0.0
        return Combination("linear", weight.flatten(1), bias)
    # Not by Newton's method: its Hessian has (members × classes²)² numbers, at 26 classes a minute a fit in place of half a second.
    learner = LogisticRegression(C=1 / (strength * rows), max_iter=1000, tol=1e-6).fit(x, unseen.y.numpy(), sample)
    coefficients, intercept = torch.from_numpy(learner.coef_).float(), torch.from_numpy(learner.intercept_).float()
    if len(classes) == 2:  # of two it has one row, for the difference
        coefficients, intercept = torch.cat([-coefficients, coefficients]) / 2, torch.cat([-intercept, intercept]) / 2
    rearranged = weight[classes]
    rearranged[:, best] = coefficients.view(len(classes), len(best), outputs)
    weight[classes], bias[classes] = rearranged, intercept
    return Combination("linear", weight.flatten(1), bias)
