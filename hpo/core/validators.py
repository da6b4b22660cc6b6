"""By what networks are chosen for another domain whose rows have no labels: vectorised over fits, one value a fit.

None of these reads a label of the other domain. `source_loss` trusts that what is good for the source is good elsewhere; `iwv` and `dev`
weigh it by how much more common rows like those of the source are in the other domain; the others look at what a network says
of the other domain's rows, as sure as it has reason to be by the source's. Which of them to
believe, and how far: Musgrave, Belongie & Lim, Three New Validators and a Large-Scale Benchmark Ranking for Unsupervised Domain
Adaptation, 2022.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from hpo.core.metrics import Task, losses, row_losses

NEED_SOURCE_LABELS = ("source_loss", "iwv", "dev")  # what needs labelled rows of the source
TEMPERATURE = 0.05  # of the neighbourhoods, as its authors have it
NEIGHBOURS = 500  # rows at most among which neighbours are looked for: their number counts squared
_SHARPEST, _HALVINGS = 4.0, 12  # the logarithm of the largest sharpness, to two thousandths
FURTHEST = 100.0  # times: what a row of the source counts at most, and one through it at least


@dataclass(frozen=True)
class LabelledOutputs:
    """Rows of the source that were not learned from, and what networks say of them."""

    logits: Tensor  # (fit, n, outputs)
    features: Tensor | None  # (fit, n, width)
    y: Tensor  # (fit, n)
    weight: Tensor | None  # (fit, n)
    ratio: Tensor | None  # (fit, n), by which the other domain is denser there, as the inputs tell


def compute_validators(
    names: Sequence[str], task: Task, source: LabelledOutputs, logits: Tensor, features: Tensor | None, scale: float
) -> dict[str, Tensor]:
    """Each named criterion for each fit, (fit,); `logits` (fit, m, outputs) and `features` (fit, m, width) are of rows of the other
    domain. A regression target was divided by `scale`; the losses are in its own units."""
    units, found = scale**2 if task == "regression" else 1.0, {}
    entropies = {"target_entropy": target_entropy, "infomax": infomax}
    calibrated = logits.double() * sharpness(source) if entropies.keys() & set(names) else None
    for name in names:
        if name == "source_loss":
            found[name] = losses(task, source.logits, source.y, source.weight).double() * units
        elif name == "iwv":
            found[name] = iwv(task, source) * units
        elif name == "dev":
            assert features is not None
            found[name] = dev(task, source, features) * units
        elif name == "snd":
            found[name] = snd(logits.double())
        else:
            assert calibrated is not None
            found[name] = entropies[name](calibrated)
    return found


def sharpness(source: LabelledOutputs) -> Tensor:
    """What logits are multiplied by so that the source's rows are least surprising, (fit, 1, 1): temperature scaling (Guo et al., ICML 2017).

    How sure a network is in general, which learning rate, epochs and noise decide, says nothing of how right it is: without this, an
    entropy prefers whoever boasts most. One label in as many as there are rows counts as drawn at random, as Platt (1999) has it: else of rows that are all
    right, nothing would be sure enough.
    """
    logits, y = source.logits.double(), source.y.unsqueeze(2)
    weight = torch.ones_like(source.y, dtype=logits.dtype) if source.weight is None else source.weight.double()
    chance = 1 / (1 + logits.shape[1])
    wanted = (1 - chance) * logits.gather(2, y).squeeze(2) + chance * logits.mean(2)
    low = logits.new_full((len(logits), 1, 1), -_SHARPEST)
    high = -low
    for _ in range(_HALVINGS):  # the loss is convex in it, so that its slope tells on which side the best one lies
        middle = (low + high) / 2
        said = ((logits * middle.exp()).softmax(2) * logits).sum(2)
        too_sharp = (((said - wanted) * weight).sum(1) > 0).view(-1, 1, 1)
        low, high = torch.where(too_sharp, low, middle), torch.where(too_sharp, middle, high)
    found: Tensor = ((low + high) / 2).exp()
    return found


def iwv(task: Task, source: LabelledOutputs) -> Tensor:
    """Importance-weighted validation (Sugiyama, Krauledat & Müller, JMLR 2007): the source's loss, weighed by the density ratio."""
    assert source.ratio is not None
    weight = source.ratio if source.weight is None else source.ratio * source.weight
    return losses(task, source.logits, source.y, weight).double()


def dev(task: Task, source: LabelledOutputs, features: Tensor) -> Tensor:
    """Deep embedded validation (You, Wang, Long & Jordan, ICML 2019): the same with the ratio of a network's own features, and with
    the ratio itself, whose mean should be 1, as a control variate.

    The ratio is that of two Gaussians with one covariance, in closed form. It is fitted on one half of the source's rows for the
    other: rows that were learned from look different to a network than new ones, whatever domain they are of.
    """
    assert source.features is not None
    each = row_losses(task, source.logits, source.y).double()
    if source.weight is not None:
        each = each * source.weight / source.weight.mean(1, keepdim=True)
    ratio = torch.empty_like(each)
    for half in (0, 1):
        fitted_on, asked = source.features[:, 1 - half :: 2], source.features[:, half::2]
        ratio[:, half::2] = gaussian_ratio(fitted_on, features, asked)
    weighed, mean = each * ratio, ratio.mean(1, keepdim=True)
    variance = (ratio - mean).square().mean(1)
    covariance = ((weighed - weighed.mean(1, keepdim=True)) * (ratio - mean)).mean(1)
    slope = torch.where(variance > 0, covariance / variance, 0.0)
    return weighed.mean(1) - slope * (mean.squeeze(1) - 1)


def gaussian_ratio(source: Tensor, target: Tensor, x: Tensor) -> Tensor:
    """By how much the target is denser than the source at x (fit, n, width), if both are Gaussian with one covariance, (fit, n): linear
    discriminant analysis, its covariance shrunk by as much as is best for Gaussians (Chen et al., IEEE TSP 2010)."""
    mean_s, mean_t = source.mean(1, keepdim=True), target.mean(1, keepdim=True)
    centred = torch.cat([source - mean_s, target - mean_t], dim=1)
    shrunk = _shrunk((centred.transpose(1, 2) @ centred).double() / centred.shape[1], centred.shape[1])
    apart = (mean_t - mean_s).transpose(1, 2).double()
    direction = torch.linalg.solve_ex(shrunk, apart).result  # of a fit that has diverged it is not a number
    middle = (mean_s + mean_t).double() / 2
    # Not a product of matrices: for a lone fit that is another kernel, which rounds otherwise.
    log_ratio = ((x.double() - middle) * direction.transpose(1, 2)).sum(2)
    bound = math.log(FURTHEST)
    found: Tensor = log_ratio.clamp(-bound, bound).exp()
    return found


def _shrunk(covariance: Tensor, rows: int) -> Tensor:
    """Pulled towards a multiple of the identity, (fit, width, width)."""
    width = covariance.shape[1]
    mean = covariance.diagonal(dim1=1, dim2=2).mean(1)
    alpha = covariance.square().mean((1, 2))
    denominator = (rows + 1) * (alpha - mean.square() / width)
    share = torch.where(denominator > 0, (alpha + mean.square()) / denominator, 1.0).clamp(max=1.0)
    tiny = torch.finfo(covariance.dtype).tiny  # features that are all zero, of which the ratio is 1
    added = (share * mean + tiny).view(-1, 1, 1) * torch.eye(width, dtype=covariance.dtype, device=covariance.device)
    return (1 - share).view(-1, 1, 1) * covariance + added


def snd(logits: Tensor) -> Tensor:
    """Soft neighbourhood density (Saito et al., ICCV 2021): the entropy of who is a row's neighbour, by how alike predictions are. In
    dense neighbourhoods many are; higher is better. Among `NEIGHBOURS` rows, taken evenly."""
    step = -(-logits.shape[1] // NEIGHBOURS)
    said = torch.nn.functional.normalize(logits[:, ::step].softmax(2).float(), dim=2)
    alike = said @ said.transpose(1, 2) / TEMPERATURE
    alike.diagonal(dim1=1, dim2=2).fill_(-1e4)  # nobody is a neighbour of its own; exp of this is zero
    # The entropy of softmax(a) is logsumexp(a) minus the mean of a under it: no logarithm of so many numbers.
    top = alike.amax(2, keepdim=True)
    chance = (alike - top).exp_()
    total = chance.sum(2)
    mean = (chance * alike).sum(2) / total
    return (total.log() + top.squeeze(2) - mean).mean(1).double()


def target_entropy(logits: Tensor) -> Tensor:
    """The mean entropy of predictions (Morerio, Cavazza & Murino, ICLR 2018): lower is surer. It is lowest of a network that says one
    class of everything."""
    return _entropy(logits.softmax(2)).mean(1)


def infomax(logits: Tensor) -> Tensor:
    """The same minus the entropy of the mean prediction (Musgrave et al., 2022, after Krause, Perona & Gomes, NIPS 2010): sure of
    each row, and of all classes over all rows."""
    chance = logits.softmax(2)
    return _entropy(chance).mean(1) - _entropy(chance.mean(1))


def _entropy(chance: Tensor) -> Tensor:
    found: Tensor = torch.special.entr(chance).sum(-1)
    return found
