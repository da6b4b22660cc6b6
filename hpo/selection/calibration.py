"""Temperature scaling, which calibrates the probabilities of a classifier.

Guo, Pleiss, Sun & Weinberger, On Calibration of Modern Neural Networks (ICML 2017): the logits are divided by one
number T, which leaves the predicted classes as they are. Berta, Holzmüller, Jordan & Bach, Rethinking Early Stopping:
Refine, Then Calibrate (2025, arXiv 2501.19195): with such a temperature, models should be compared by their calibrated
loss, because the error that it corrects costs almost nothing to remove.
"""

from __future__ import annotations

import math

import torch
from scipy.optimize import minimize_scalar
from torch import Tensor
from torch.nn.functional import cross_entropy

# The standard deviation of log T before any rows are seen: small, because the average of networks that stopped early is
# nearly calibrated, and a temperature from few rows does more harm than good (docs/decisions/refit.md).
_PRIOR_SD = 0.1
_LARGEST_LOG = math.log(100)  # T lies between 1/100 and 100


def fit_temperature(logits: Tensor, y: Tensor, weight: Tensor | None) -> float:
    """Return the temperature T > 0 that calibrates `logits` (rows, classes), given the classes `y` (rows,) and the
    weights of the rows in the loss, `weight` (rows,) or None.

    T minimizes the negative log likelihood of softmax(logits / T) plus (log T)² / (2 · 0.1²), which is the prior that
    log T is normal around 0 with standard deviation 0.1. The prior matters if there are few rows: the likelihood alone
    has no finite maximum if all rows are predicted correctly. Weighted rows count as (Σ weight)² / Σ weight² rows
    (Kish's effective sample size). The rows must not be training rows of the network. Without rows, T is 1.
    """
    if not len(y):
        return 1.0
    logits = logits.double()
    shares = torch.ones(len(y), dtype=torch.float64) if weight is None else weight.double()
    shares = shares / shares.sum()
    rows = 1 / float(shares.square().sum())

    def objective(log_temperature: float) -> float:
        penalty = log_temperature**2 / (2 * _PRIOR_SD**2 * rows)
        row_losses = cross_entropy(logits / math.exp(log_temperature), y, reduction="none")
        return float(shares @ row_losses) + penalty

    return math.exp(minimize_scalar(objective, bounds=(-_LARGEST_LOG, _LARGEST_LOG), method="bounded").x)
