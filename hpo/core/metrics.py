"""What a fit is trained on and judged by: vectorised over fits, one value a fit. Tested against scikit-learn's."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

Task = Literal["classification", "regression"]


@dataclass(frozen=True)
class Metric:
    name: str
    better: Literal["lower", "higher"]
    tasks: tuple[Task, ...]
    bounds: tuple[float, float]
    judges: Literal["labels", "target"] = (
        "labels"  # the validation rows, or how rows of another domain are met, which have no labels
    )

    @property
    def sign(self) -> int:
        """Multiply a value with it, and lower is better."""
        return 1 if self.better == "lower" else -1


_BINS = 15  # of confidence, as Guo et al. have them
_BOTH: tuple[Task, ...] = ("classification", "regression")
METRICS = {
    m.name: m
    for m in (
        Metric("loss", "lower", _BOTH, (0, math.inf)),
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
        Metric("source_loss", "lower", _BOTH, (0, math.inf), "target"),
        Metric("iwv", "lower", _BOTH, (0, math.inf), "target"),
        Metric("dev", "lower", _BOTH, (-math.inf, math.inf), "target"),
        Metric("snd", "higher", ("classification",), (0, math.inf), "target"),
        Metric("target_entropy", "lower", ("classification",), (0, math.inf), "target"),
        Metric("infomax", "lower", ("classification",), (-math.inf, 0), "target"),
    )
}
VALIDATORS = tuple(m.name for m in METRICS.values() if m.judges == "target")  # see hpo/criteria.py


def reported_metrics(task: Task, followed: str) -> tuple[str, ...]:
    """The metrics of labelled rows that every result of a task names, and the one that the search follows."""
    usual = ("loss", "accuracy", "balanced_accuracy") if task == "classification" else ("loss", "r2", "mae")
    return usual if followed in (*usual, *VALIDATORS) else (*usual, followed)


def labelled_metric(followed: str) -> str:
    """By which metric rows with labels are judged where nothing else can be: the followed one, or the loss if that asks for no
    labels."""
    return "loss" if followed in VALIDATORS else followed


def test_metrics(task: Task, followed: str) -> tuple[str, ...]:
    """The metrics of a test part, which is measured once: all that results name, and of classes every other view of the same rows."""
    more = ("roc_auc", "f1_macro", "precision", "recall", "ece", "brier") if task == "classification" else ()
    return tuple(dict.fromkeys((*reported_metrics(task, followed), *more)))


def tracked_metrics(task: Task, followed: str) -> tuple[str, ...]:
    """The metrics of every epoch: the loss, one that is bounded and can be compared, and the followed one."""
    return tuple(dict.fromkeys(("loss", display_metric(task, "loss"), followed)))


def losses(task: Task, logits: Tensor, y: Tensor, weight: Tensor | None) -> Tensor:
    """Cross entropy or squared error, averaged over the batch (weighted, as torch does it); returns (fit,).

    `logits` (fit, batch, outputs); `y` (fit, batch), of classes also their shares (fit, batch, classes); `weight` (fit, batch) or None.
    """
    each = row_losses(task, logits, y)
    return each.mean(1) if weight is None else (each * weight).sum(1) / weight.sum(1)


def row_losses(task: Task, logits: Tensor, y: Tensor) -> Tensor:
    """The same of every row, (fit, batch)."""
    if task == "regression":
        return (logits.squeeze(-1) - y).square()
    # Classes before rows: over contiguous rows the kernel is vectorised, over ten classes it is not (54 against 182 µs).
    y = y if y.dim() == 2 else y.transpose(1, 2)
    return torch.nn.functional.cross_entropy(logits.transpose(1, 2), y, reduction="none")


def average_predictions(task: Task, logits: Tensor) -> Tensor:
    """What several networks say together, `logits` (networks, rows, outputs): the mean of numbers, or of probabilities, as logits
    (rows, outputs)."""
    if len(logits) == 1:
        return logits[0]
    return logits.mean(0) if task == "regression" else logits.log_softmax(2).logsumexp(0) - math.log(len(logits))


def display_metric(task: Task, followed: str) -> str:
    """The metric of labelled rows that a person sees beside the loss: the followed one, or one that is bounded and can be compared."""
    if labelled_metric(followed) != "loss":
        return followed
    return "accuracy" if task == "classification" else "r2"


def compute_metrics(
    names: Sequence[str], task: Task, logits: Tensor, y: Tensor, weight: Tensor | None, scale: float
) -> dict[str, Tensor]:
    """Each named metric for each fit; shapes as in `losses`.

    A regression target was divided by `scale` for training; loss and mae are returned in its own units.
    """
    values: dict[str, Tensor] = {}
    counted = task == "classification" and not {"loss", *_OF_CHANCES}.issuperset(names)
    confusion = _confusion(logits, y) if counted else None
    for name in names:
        if name == "loss":
            values[name] = losses(task, logits, y, weight).double() * (scale**2 if task == "regression" else 1)
        elif name in _OF_CHANCES:
            values[name] = _OF_CHANCES[name](logits, y)
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
    """Counts (fit, true class, predicted class)."""
    fits, _, classes = logits.shape
    predicted = (
        logits.transpose(1, 2).max(1).indices
    )  # over contiguous rows fourteen times as fast as argmax over classes
    cell = y * classes + predicted
    # Not by bincount: for its result a GPU would have to be waited for, and on the CPU it takes half as long again.
    counts = cell.new_zeros((fits, classes**2)).scatter_add_(1, cell, torch.ones_like(cell))
    return counts.view(fits, classes, classes).double()


def _from_confusion(name: str, confusion: Tensor) -> Tensor:
    """accuracy, balanced_accuracy, f1_macro, precision or recall (of each class, and averaged); classes that occur in neither truth
    nor prediction do not count. Precision of a class that is never predicted is 0, and so is recall of one that never occurs, as
    scikit-learn has it; it leaves the latter out of balanced accuracy."""
    hits, true, predicted = confusion.diagonal(dim1=1, dim2=2), confusion.sum(2), confusion.sum(1)
    if name == "accuracy":
        return hits.sum(1) / true.sum(1)
    if name == "balanced_accuracy":
        return (hits / true).nanmean(1)
    if name in ("precision", "recall"):
        each = (hits / (predicted if name == "precision" else true)).nan_to_num(0)
        return torch.where(true + predicted > 0, each, torch.nan).nanmean(1)
    return (2 * hits / (true + predicted)).nanmean(1)


def _roc_auc(logits: Tensor, y: Tensor) -> Tensor:
    """Area under the ROC curve (one against the rest, mean over classes): the share of pairs in the right order."""
    if logits.shape[2] == 2:
        return _pairs_in_order((logits[..., 1] - logits[..., 0]), y == 1)
    chance = logits.softmax(2)
    return torch.stack([_pairs_in_order(chance[..., c], y == c) for c in range(logits.shape[2])]).nanmean(0)


def _pairs_in_order(score: Tensor, positive: Tensor) -> Tensor:
    """Mann–Whitney's statistic with ties counted half; `score` and `positive` (fit, n), returns (fit,)."""
    ordered = score.sort(1).values.contiguous()
    below = torch.searchsorted(ordered, score.contiguous(), right=False)
    up_to = torch.searchsorted(ordered, score.contiguous(), right=True)
    rank = (below + up_to + 1).double() / 2
    n_positive = positive.sum(1).double()
    n_negative = positive.shape[1] - n_positive
    wins = (rank * positive).sum(1) - n_positive * (n_positive + 1) / 2
    return wins / (n_positive * n_negative)


def _ece(logits: Tensor, y: Tensor) -> Tensor:
    """The expected calibration error (Guo et al., On Calibration of Modern Neural Networks, ICML 2017): by how much confidence and the share
    that is right differ, in bins of equal width, on average over the rows."""
    confidence, predicted = logits.double().softmax(2).max(2)
    off = confidence - (predicted == y).double()
    place = (confidence * _BINS).ceil().sub(1).clamp(0, _BINS - 1)  # a bin holds its upper end
    bins = torch.arange(_BINS, device=y.device).view(-1, 1)
    inside = (place.unsqueeze(1) == bins).double()  # times, so that what is not a number stays it
    return (inside * off.unsqueeze(1)).sum(2).abs().sum(1) / y.shape[1]


def _brier(logits: Tensor, y: Tensor) -> Tensor:
    """The squared distance of probabilities and truth (Brier, Monthly Weather Review 1950), summed over classes, as scikit-learn has it: of
    two classes half of it, which is that of the second one's probability."""
    chances = logits.double().softmax(2)
    missed = (chances - torch.nn.functional.one_hot(y, logits.shape[2])).square().sum(2).mean(1)
    return missed / 2 if logits.shape[2] == 2 else missed


_OF_CHANCES = {"roc_auc": _roc_auc, "ece": _ece, "brier": _brier}  # that take more than what is counted
