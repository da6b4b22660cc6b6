"""Losses and metrics of stacked networks: vectorized over fits, one value per fit. Tested against scikit-learn."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, TypeVar

import numpy as np
import torch
from torch import Tensor

Task = Literal["classification", "regression"]
_Values = TypeVar("_Values", float, np.ndarray, Tensor)


@dataclass(frozen=True)
class Metric:
    """A metric that a search can follow, that is, use for early stopping, pruning and ranking (`train.metric`)."""

    name: str
    better: Literal["lower", "higher"]
    tasks: tuple[Task, ...]
    bounds: tuple[float, float]
    is_validator: bool = False  # computed on unlabelled rows of another domain, see `hpo/core/validators.py`

    def minimized(self, values: _Values) -> _Values:
        """Return `values`, negated if higher values of the metric are better, so that lower is better.

        Applying it twice returns the original values.
        """
        return values if self.better == "lower" else -values


_ECE_BINS = 15  # as in Guo et al.
_ALL_TASKS: tuple[Task, ...] = ("classification", "regression")
METRICS = {
    m.name: m
    for m in (
        Metric("loss", "lower", _ALL_TASKS, (0, math.inf)),
        Metric("accuracy", "higher", ("classification",), (0, 1)),
        Metric("balanced_accuracy", "higher", ("classification",), (0, 1)),
        Metric("roc_auc", "higher", ("classification",), (0, 1)),
        Metric("f1_macro", "higher", ("classification",), (0, 1)),
        Metric("precision", "higher", ("classification",), (0, 1)),
        Metric("recall", "higher", ("classification",), (0, 1)),
        Metric("ece", "lower", ("classification",), (0, 1)),
        Metric("brier", "lower", ("classification",), (0, 2)),
        Metric("r2", "higher", ("regression",), (-math.inf, 1)),
        Metric("mae", "lower", ("regression",), (0, math.inf)),
        Metric("source_loss", "lower", _ALL_TASKS, (0, math.inf), is_validator=True),
        Metric("iwv", "lower", _ALL_TASKS, (0, math.inf), is_validator=True),
        Metric("dev", "lower", _ALL_TASKS, (-math.inf, math.inf), is_validator=True),
        Metric("snd", "higher", ("classification",), (0, math.inf), is_validator=True),
        Metric("target_entropy", "lower", ("classification",), (0, math.inf), is_validator=True),
        Metric("infomax", "lower", ("classification",), (-math.inf, 0), is_validator=True),
    )
}
BALANCED_METRICS = ("balanced_accuracy", "f1_macro")  # metrics that count all classes alike, whatever their size
VALIDATORS = tuple(m.name for m in METRICS.values() if m.is_validator)


def reported_metrics(task: Task, followed: str) -> tuple[str, ...]:
    """Return the metrics of labelled rows that every result of a task contains, including the followed metric."""
    default = ("loss", "accuracy", "balanced_accuracy") if task == "classification" else ("loss", "r2", "mae")
    return default if followed in (*default, *VALIDATORS) else (*default, followed)


def labelled_metric(followed: str) -> str:
    """Return the metric for comparisons on labelled rows: the followed one, or the loss if that is a validator."""
    return "loss" if followed in VALIDATORS else followed


def test_metrics(task: Task, followed: str) -> tuple[str, ...]:
    """Return the metrics of a test part: those that all results contain and, for classification, several others.

    The test part is evaluated once, so all its metrics are computed together.
    """
    others = ("roc_auc", "f1_macro", "precision", "recall", "ece", "brier") if task == "classification" else ()
    return tuple(dict.fromkeys((*reported_metrics(task, followed), *others)))


def tracked_metrics(task: Task, followed: str) -> tuple[str, ...]:
    """Return the metrics that are tracked in every epoch: the loss, a bounded metric, and the followed metric."""
    return tuple(dict.fromkeys(("loss", display_metric(task, "loss"), followed)))


def losses(task: Task, logits: Tensor, y: Tensor, weight: Tensor | None) -> Tensor:
    """Return the cross entropy or squared error, weighted as in torch and averaged over the batch, (fit,).

    `logits` is (fit, batch, outputs), `y` (fit, batch) or class probabilities (fit, batch, classes), `weight` (fit,
    batch) or None.
    """
    row_loss = row_losses(task, logits, y)
    return row_loss.mean(1) if weight is None else (row_loss * weight).sum(1) / weight.sum(1)


def row_losses(task: Task, logits: Tensor, y: Tensor) -> Tensor:
    """Return the loss of each row, (fit, batch); arguments as in `losses`."""
    if task == "regression":
        return (logits.squeeze(-1) - y).square()
    # Put classes before rows: the kernel vectorizes contiguous rows, but not ten classes (54 instead of 182 µs).
    y = y if y.dim() == 2 else y.transpose(1, 2)
    return torch.nn.functional.cross_entropy(logits.transpose(1, 2), y, reduction="none")


def average_predictions(task: Task, logits: Tensor) -> Tensor:
    """Return the averaged prediction of several networks, (rows, outputs), from `logits` (networks, rows, outputs).

    In a regression, the predicted numbers are averaged; in a classification, the probabilities, which are returned as
    logits.
    """
    if len(logits) == 1:
        return logits[0]
    return logits.mean(0) if task == "regression" else logits.log_softmax(2).logsumexp(0) - math.log(len(logits))


def display_metric(task: Task, followed: str) -> str:
    """Return the metric of labelled rows to show next to the loss: the followed metric, or a bounded metric."""
    if labelled_metric(followed) != "loss":
        return followed
    return "accuracy" if task == "classification" else "r2"


def compute_metrics(
    names: Sequence[str], task: Task, logits: Tensor, y: Tensor, weight: Tensor | None, scale: float
) -> dict[str, Tensor]:
    """Return the values of each named metric, (fit,), by name; the arguments have the same shapes as in `losses`.

    For training, regression targets were divided by `scale`; loss and mae are returned in the original units.
    """
    values: dict[str, Tensor] = {}
    needs_counts = task == "classification" and not {"loss", *_PROBABILITY_METRICS}.issuperset(names)
    confusion = _confusion(logits, y) if needs_counts else None
    for name in names:
        if name == "loss":
            values[name] = losses(task, logits, y, weight).double() * (scale**2 if task == "regression" else 1)
        elif name in _PROBABILITY_METRICS:
            values[name] = _PROBABILITY_METRICS[name](logits, y)
        elif confusion is not None:
            values[name] = _from_confusion(name, confusion)
        else:
            error = logits.squeeze(-1) - y
            if name == "mae":
                values[name] = error.abs().mean(1).double() * scale
            else:
                total = (y - y.mean(1, keepdim=True)).square().sum(1)
                values[name] = torch.where(total > 0, 1 - error.square().sum(1) / total, torch.nan)
    return values


def _confusion(logits: Tensor, y: Tensor) -> Tensor:
    """Return counts (fit, true class, predicted class)."""
    fits, _, classes = logits.shape
    # Over contiguous rows, this is fourteen times as fast as argmax over classes.
    predicted = logits.transpose(1, 2).max(1).indices
    cell = y * classes + predicted
    # Not bincount: it would wait for the GPU, and on the CPU it takes 1.5 times as long.
    counts = cell.new_zeros((fits, classes**2)).scatter_add_(1, cell, torch.ones_like(cell))
    return counts.view(fits, classes, classes).double()


def _from_confusion(name: str, confusion: Tensor) -> Tensor:
    """Return accuracy, balanced_accuracy, f1_macro, precision or recall, the last three averaged over classes.

    As in scikit-learn, a class that is neither a true nor a predicted class of any row does not count; the precision of
    a class that is never predicted is 0; and the recall of a class without true rows is 0, but balanced accuracy
    excludes that class.
    """
    hits, true, predicted = confusion.diagonal(dim1=1, dim2=2), confusion.sum(2), confusion.sum(1)
    if name == "accuracy":
        return hits.sum(1) / true.sum(1)
    if name == "balanced_accuracy":
        return (hits / true).nanmean(1)
    if name in ("precision", "recall"):
        per_class = (hits / (predicted if name == "precision" else true)).nan_to_num(0)
        return torch.where(true + predicted > 0, per_class, torch.nan).nanmean(1)
    return (2 * hits / (true + predicted)).nanmean(1)


def _roc_auc(logits: Tensor, y: Tensor) -> Tensor:
    """Return the area under the ROC curve; for several classes, the mean over classes of one against the rest."""
    if logits.shape[2] == 2:
        return _pairs_in_order((logits[..., 1] - logits[..., 0]), y == 1)
    probabilities = logits.softmax(2)
    return torch.stack([_pairs_in_order(probabilities[..., c], y == c) for c in range(logits.shape[2])]).nanmean(0)


def _pairs_in_order(score: Tensor, positive: Tensor) -> Tensor:
    """Return the share of (positive, negative) pairs in the right order, (fit,): the Mann–Whitney statistic.

    `score` and `positive` are (fit, n); ties count half.
    """
    ordered = score.sort(1).values.contiguous()
    below = torch.searchsorted(ordered, score.contiguous(), right=False)
    up_to = torch.searchsorted(ordered, score.contiguous(), right=True)
    rank = (below + up_to + 1).double() / 2
    n_positive = positive.sum(1).double()
    n_negative = positive.shape[1] - n_positive
    wins = (rank * positive).sum(1) - n_positive * (n_positive + 1) / 2
    return wins / (n_positive * n_negative)


def _ece(logits: Tensor, y: Tensor) -> Tensor:
    """Return the expected calibration error (Guo et al., On Calibration of Modern Neural Networks, ICML 2017).

    It is the difference between confidence and accuracy within bins of equal width, averaged over the rows.
    """
    confidence, predicted = logits.double().softmax(2).max(2)
    difference = confidence - (predicted == y).double()
    bin_index = (confidence * _ECE_BINS).ceil().sub(1).clamp(0, _ECE_BINS - 1)  # a bin includes its upper end
    bins = torch.arange(_ECE_BINS, device=y.device).view(-1, 1)
    inside = (bin_index.unsqueeze(1) == bins).double()  # multiplied instead of selected, so that nan stays nan
    return (inside * difference.unsqueeze(1)).sum(2).abs().sum(1) / y.shape[1]


def _brier(logits: Tensor, y: Tensor) -> Tensor:
    """Return the Brier score: the squared distance between probabilities and truth, summed over classes.

    For two classes, as in scikit-learn, it is half of that: the squared error of the second class's probability.
    (Brier, Monthly Weather Review 1950.)
    """
    errors = logits.double().softmax(2) - torch.nn.functional.one_hot(y, logits.shape[2])
    score = errors.square().sum(2).mean(1)
    return score / 2 if logits.shape[2] == 2 else score


_PROBABILITY_METRICS = {
    "roc_auc": _roc_auc,
    "ece": _ece,
    "brier": _brier,
}  # metrics that need more than the confusion matrix
