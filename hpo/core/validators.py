"""Validators: metrics for another domain that need no target labels; vectorized over fits, one value per fit.

`source_loss` assumes that a network that is good on the source is good on the target as well; `iwv` and `dev`
weight the source loss by the density ratio of the two domains; the others evaluate the predictions for target rows,
with a confidence that is calibrated on the source. Their reliability was measured by Musgrave, Belongie & Lim, Three
New Validators and a Large-Scale Benchmark Ranking for Unsupervised Domain Adaptation, 2022.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from hpo.core.metrics import Task, losses, row_losses

NEED_SOURCE_LABELS = ("source_loss", "iwv", "dev")
SND_TEMPERATURE = 0.05  # as in the paper
MAX_NEIGHBORS = 500  # the number of rows that are searched for neighbors; the cost is quadratic in it
# The range of the log inverse temperature, and the number of bisections that determine it with an error of 0.002.
_MAX_LOG_SHARPNESS, _BISECTIONS = 4.0, 12
MAX_RATIO = 100.0  # density ratios are clipped to this, and to its inverse


@dataclass(frozen=True)
class LabelledOutputs:
    """Labelled source rows that were not used for training, and the outputs of the networks for them."""

    logits: Tensor  # (fit, n, outputs)
    features: Tensor | None  # (fit, n, width)
    y: Tensor  # (fit, n)
    weight: Tensor | None  # (fit, n)
    density_ratio: Tensor | None  # (fit, n), of target over source, estimated from the inputs


def compute_validators(
    names: Sequence[str], task: Task, source: LabelledOutputs, logits: Tensor, features: Tensor | None, scale: float
) -> dict[str, Tensor]:
    """Return the values of each named validator, (fit,), by name.

    `logits` (fit, m, outputs) and `features` (fit, m, width) are those of target rows. Regression targets were
    divided by `scale`; losses are returned in the original units.
    """
    units, values = scale**2 if task == "regression" else 1.0, {}
    entropies = {"target_entropy": target_entropy, "infomax": infomax}
    calibrated = logits.double() * inverse_temperature(source) if entropies.keys() & set(names) else None
    for name in names:
        if name == "source_loss":
            values[name] = losses(task, source.logits, source.y, source.weight).double() * units
        elif name == "iwv":
            values[name] = iwv(task, source) * units
        elif name == "dev":
            assert features is not None
            values[name] = dev(task, source, features) * units
        elif name == "snd":
            values[name] = snd(logits.double())
        else:
            assert calibrated is not None
            values[name] = entropies[name](calibrated)
    return values


def inverse_temperature(source: LabelledOutputs) -> Tensor:
    """Return the factor for the logits with which the loss on source rows is lowest, (fit, 1, 1).

    This is temperature scaling (Guo et al., ICML 2017). The overall confidence of a network depends on learning
    rate, epochs and noise, and is unrelated to its accuracy: without calibration, an entropy would prefer overconfident
    networks. Labels are smoothed by 1 / (rows + 1), as in Platt (1999); otherwise, the optimal confidence would be
    unbounded if all rows are predicted correctly.
    """
    logits, y = source.logits.double(), source.y.unsqueeze(2)
    weight = torch.ones_like(source.y, dtype=logits.dtype) if source.weight is None else source.weight.double()
    smoothing = 1 / (1 + logits.shape[1])
    target = (1 - smoothing) * logits.gather(2, y).squeeze(2) + smoothing * logits.mean(2)
    low = logits.new_full((len(logits), 1, 1), -_MAX_LOG_SHARPNESS)
    high = -low
    for _ in range(_BISECTIONS):  # the loss is convex, so the sign of its slope shows on which side the minimum lies
        middle = (low + high) / 2
        expected = ((logits * middle.exp()).softmax(2) * logits).sum(2)
        too_sharp = (((expected - target) * weight).sum(1) > 0).view(-1, 1, 1)
        low, high = torch.where(too_sharp, low, middle), torch.where(too_sharp, middle, high)
    factor: Tensor = ((low + high) / 2).exp()
    return factor


def iwv(task: Task, source: LabelledOutputs) -> Tensor:
    """Return importance-weighted validation: the source loss weighted by the density ratio, (fit,).

    Sugiyama, Krauledat & Müller, JMLR 2007.
    """
    ratio = source.density_ratio
    assert ratio is not None
    weight = ratio if source.weight is None else ratio * source.weight
    return losses(task, source.logits, source.y, weight).double()


def dev(task: Task, source: LabelledOutputs, features: Tensor) -> Tensor:
    """Return deep embedded validation (You, Wang, Long & Jordan, ICML 2019), (fit,).

    It is the source loss weighted by the density ratio of the network's features. The ratio serves as a control
    variate, because its mean should be 1.

    The ratio is that of two Gaussians with a common covariance, in closed form. It is fitted on one half of the
    source rows and applied to the other half, because the features of training rows differ from those of new rows of
    any domain.
    """
    assert source.features is not None
    row_loss = row_losses(task, source.logits, source.y).double()
    if source.weight is not None:
        row_loss = row_loss * source.weight / source.weight.mean(1, keepdim=True)
    ratio = torch.empty_like(row_loss)
    for half in (0, 1):
        fitted_on, evaluated_on = source.features[:, 1 - half :: 2], source.features[:, half::2]
        ratio[:, half::2] = gaussian_ratio(fitted_on, features, evaluated_on)
    weighted, mean = row_loss * ratio, ratio.mean(1, keepdim=True)
    variance = (ratio - mean).square().mean(1)
    covariance = ((weighted - weighted.mean(1, keepdim=True)) * (ratio - mean)).mean(1)
    slope = torch.where(variance > 0, covariance / variance, 0.0)
    return weighted.mean(1) - slope * (mean.squeeze(1) - 1)


def gaussian_ratio(source: Tensor, target: Tensor, x: Tensor) -> Tensor:
    """Return the density ratio of target over source at `x` (fit, n, width) for Gaussian domains, (fit, n).

    Both domains have a common covariance, as in linear discriminant analysis; it is shrunk by the amount that is
    optimal for Gaussians (Chen et al., IEEE TSP 2010).
    """
    mean_s, mean_t = source.mean(1, keepdim=True), target.mean(1, keepdim=True)
    centered = torch.cat([source - mean_s, target - mean_t], dim=1)
    covariance = (centered.transpose(1, 2) @ centered).double() / centered.shape[1]
    shrunk = _shrink_covariance(covariance, centered.shape[1])
    difference = (mean_t - mean_s).transpose(1, 2).double()
    direction = torch.linalg.solve_ex(shrunk, difference).result  # nan for a fit that has diverged
    middle = (mean_s + mean_t).double() / 2
    # Multiply and sum: for a single fit, a matrix product uses another kernel, which rounds differently.
    log_ratio = ((x.double() - middle) * direction.transpose(1, 2)).sum(2)
    bound = math.log(MAX_RATIO)
    ratio: Tensor = log_ratio.clamp(-bound, bound).exp()
    return ratio


def _shrink_covariance(covariance: Tensor, rows: int) -> Tensor:
    """Return covariances (fit, width, width) shrunk towards a multiple of the identity."""
    width = covariance.shape[1]
    mean = covariance.diagonal(dim1=1, dim2=2).mean(1)
    alpha = covariance.square().mean((1, 2))
    denominator = (rows + 1) * (alpha - mean.square() / width)
    share = torch.where(denominator > 0, (alpha + mean.square()) / denominator, 1.0).clamp(max=1.0)
    tiny = torch.finfo(covariance.dtype).tiny  # keeps the matrix invertible if all features are 0; the ratio is then 1
    added = (share * mean + tiny).view(-1, 1, 1) * torch.eye(width, dtype=covariance.dtype, device=covariance.device)
    return (1 - share).view(-1, 1, 1) * covariance + added


def snd(logits: Tensor) -> Tensor:
    """Return soft neighborhood density (Saito et al., ICCV 2021), (fit,); higher is better.

    It is the entropy of the similarities of a row's prediction to those of other rows: in a dense
    neighborhood, many rows are similar. At most `MAX_NEIGHBORS` evenly spaced rows are used.
    """
    step = -(-logits.shape[1] // MAX_NEIGHBORS)
    predictions = torch.nn.functional.normalize(logits[:, ::step].softmax(2).float(), dim=2)
    similarity = predictions @ predictions.transpose(1, 2) / SND_TEMPERATURE
    similarity.diagonal(dim1=1, dim2=2).fill_(-1e4)  # a row is not its own neighbor; exp of this is zero
    # The entropy of softmax(a) is logsumexp(a) minus the mean of a under it, which avoids a logarithm of each element.
    largest = similarity.amax(2, keepdim=True)
    probability = (similarity - largest).exp_()
    total = probability.sum(2)
    mean = (probability * similarity).sum(2) / total
    return (total.log() + largest.squeeze(2) - mean).mean(1).double()


def target_entropy(logits: Tensor) -> Tensor:
    """Return the mean entropy of the predictions (Morerio, Cavazza & Murino, ICLR 2018), (fit,).

    Lower is more certain. It is lowest for a network that predicts a single class for all rows.
    """
    return _entropy(logits.softmax(2)).mean(1)


def infomax(logits: Tensor) -> Tensor:
    """Return the mean entropy of the predictions minus the entropy of their mean, (fit,).

    It is low if each prediction is certain and all classes occur (Musgrave et al., 2022, after Krause, Perona &
    Gomes, NIPS 2010).
    """
    probabilities = logits.softmax(2)
    return _entropy(probabilities).mean(1) - _entropy(probabilities.mean(1))


def _entropy(probabilities: Tensor) -> Tensor:
    entropy: Tensor = torch.special.entr(probabilities).sum(-1)
    return entropy
