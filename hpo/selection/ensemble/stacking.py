"""Stacked generalization: Wolpert (Neural Networks, 1992), with a linear model as in Ting & Witten (JAIR 1999)."""

from __future__ import annotations

import numpy as np
import torch
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.model_selection import KFold
from torch import Tensor

from hpo.core.metrics import METRICS
from hpo.nn.combination import Combination, stacking_inputs
from hpo.selection.ensemble.held_out import OutOfFoldPredictions

_PENALTIES = (1.0, 1e-1, 1e-2, 1e-3, 1e-4)  # L2 penalties, relative to the mean loss per row; strongest first
_MISSING_CLASS = -20.0  # the bias of a class without rows


def fit(predictions: OutOfFoldPredictions, metric: str, size: int) -> Combination:
    """Fit a linear model on the outputs of the `size` best members by `metric`; all other members get weight zero.

    The L2 penalty is the one with the lowest cross-validated loss.
    """
    best = _best_members(predictions, metric, size)
    if len(predictions.fold) < 2:  # too few rows to choose a penalty
        return fit_linear(predictions, best, _PENALTIES[0])
    masks = _validation_masks(predictions.fold)
    losses = [np.mean([_loss(predictions, best, penalty, mask) for mask in masks]) for penalty in _PENALTIES]
    return fit_linear(predictions, best, _PENALTIES[int(np.argmin(losses))])


def _best_members(predictions: OutOfFoldPredictions, metric: str, size: int) -> list[int]:
    scores = predictions.scores((metric,), predictions.logits)[metric].double()
    scores = METRICS[metric].minimized(scores).nan_to_num(nan=float("inf"))
    return sorted(scores.argsort(stable=True)[:size].tolist())


def _validation_masks(fold: Tensor) -> list[Tensor]:
    """Return boolean masks (rows,) for cross-validation: one per fold; a single fold is cut into up to five parts."""
    numbers = sorted(set(fold.tolist()))
    if len(numbers) > 1:
        return [fold == number for number in numbers]
    rows = torch.arange(len(fold))
    return [torch.isin(rows, torch.from_numpy(valid)) for _, valid in KFold(min(5, len(fold))).split(rows)]


def _loss(predictions: OutOfFoldPredictions, best: list[int], penalty: float, valid: Tensor) -> float:
    held_out = predictions.part(valid)
    logits = fit_linear(predictions.part(~valid), best, penalty).combine(predictions.task, held_out.logits)
    return float(held_out.scores(("loss",), logits.unsqueeze(0))["loss"])


def fit_linear(predictions: OutOfFoldPredictions, best: list[int], penalty: float) -> Combination:
    """Fit a ridge or a logistic regression on the outputs of the members `best`."""
    members, rows, outputs = predictions.logits.shape
    x = stacking_inputs(predictions.task, predictions.logits[best].double()).numpy()
    weight, bias = torch.zeros(outputs, members, outputs), torch.zeros(outputs)
    if predictions.task == "regression":
        ridge = Ridge(alpha=penalty * rows).fit(x, predictions.y.double().numpy())
        weight[:, best], bias[0] = torch.from_numpy(ridge.coef_).view(1, len(best), 1).float(), float(ridge.intercept_)
        return Combination("linear", weight.flatten(1), bias)
    classes = torch.tensor(sorted(set(predictions.y.tolist())))
    bias.fill_(_MISSING_CLASS)
    if len(classes) == 1:
        bias[classes] = 0.0
        return Combination("linear", weight.flatten(1), bias)
    coefficients, intercept = _logistic_regression(predictions, x, penalty)
    class_weight = weight[classes]
    class_weight[:, best] = coefficients.view(len(classes), len(best), outputs)
    weight[classes], bias[classes] = class_weight, intercept
    return Combination("linear", weight.flatten(1), bias)


def _logistic_regression(predictions: OutOfFoldPredictions, x: np.ndarray, penalty: float) -> tuple[Tensor, Tensor]:
    """Return the coefficients (classes, inputs) and intercepts (classes,) of the classes that have rows."""
    weight = None if predictions.weight is None else predictions.weight.numpy() / float(predictions.weight.mean())
    # Newton's method is not used: its Hessian has (members × classes²)² numbers, and with 26 classes a fit takes a
    # minute instead of the half second that the default solver takes.
    model = LogisticRegression(C=1 / (penalty * len(x)), max_iter=1000, tol=1e-6)
    model.fit(x, predictions.y.numpy(), weight)
    coefficients, intercept = torch.from_numpy(model.coef_).float(), torch.from_numpy(model.intercept_).float()
    if len(model.classes_) == 2:  # scikit-learn returns one row, for the difference of the two classes
        coefficients, intercept = torch.cat([-coefficients, coefficients]) / 2, torch.cat([-intercept, intercept]) / 2
    return coefficients, intercept
