"""A small conditional variational autoencoder with a learned standard deviation for each input.

Kingma & Welling, Auto-Encoding Variational Bayes, ICLR 2014; conditional: Sohn, Lee & Yan, NeurIPS 2015.
"""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor, nn

STEPS, _BATCH, _LR = 500, 128, 1e-2
_HIDDEN, _MAX_CODES = 64, 8
_MAX_LOG_VARIANCE = 10.0  # of a code: usually about 0, but so large for some outliers that exp would overflow


class Autoencoder(nn.Module):
    """Encodes rows of `inputs` numbers and decodes them, given `conditions` numbers per row such as its class."""

    def __init__(self, inputs: int, conditions: int) -> None:
        super().__init__()
        self.codes = min(_MAX_CODES, inputs)
        self.encoder = nn.Sequential(
            nn.Linear(inputs + conditions, _HIDDEN), nn.ReLU(), nn.Linear(_HIDDEN, 2 * self.codes)
        )
        self.decoder = nn.Sequential(nn.Linear(self.codes + conditions, _HIDDEN), nn.ReLU(), nn.Linear(_HIDDEN, inputs))
        self.log_deviation = nn.Parameter(torch.zeros(inputs))

    def loss(self, x: Tensor, condition: Tensor, noise: Tensor) -> Tensor:
        """Return the negative evidence lower bound, averaged over the rows; `noise` gives one sample of each code."""
        mean, log_variance = self.encoder(torch.cat([x, condition], 1)).chunk(2, 1)
        log_variance = log_variance.clamp(max=_MAX_LOG_VARIANCE)
        decoded = self.decoder(torch.cat([mean + (log_variance / 2).exp() * noise, condition], 1))
        scaled_error = (x - decoded) / self.log_deviation.exp()
        reconstruction = scaled_error.square() / 2 + self.log_deviation + math.log(2 * math.pi) / 2
        divergence = (mean.square() + log_variance.exp() - 1 - log_variance) / 2
        loss: Tensor = reconstruction.sum(1).mean() + divergence.sum(1).mean()
        return loss


def generate(x: np.ndarray, condition: np.ndarray, variants: int, seed: int) -> np.ndarray:
    """Train an autoencoder on the rows `x` and generate rows with the same conditions, (variants, rows, inputs)."""
    rng = torch.Generator().manual_seed(seed)
    rows, conditions = (torch.from_numpy(np.asarray(values, dtype=np.float32)) for values in (x, condition))
    model = _train(rows, conditions, rng)
    with torch.no_grad():
        codes = torch.randn(variants, len(rows), model.codes, generator=rng)
        decoded = model.decoder(torch.cat([codes, conditions.expand(variants, -1, -1)], 2))
        noise = torch.randn(decoded.shape, generator=rng)
        generated: np.ndarray = (decoded + model.log_deviation.exp() * noise).numpy()
    return generated


def _train(x: Tensor, condition: Tensor, rng: torch.Generator) -> Autoencoder:
    model = Autoencoder(x.shape[1], condition.shape[1])
    with torch.no_grad():
        for parameter in model.parameters():  # torch initializes them from its global generator
            if parameter.dim() == 2:
                nn.init.kaiming_uniform_(parameter, nonlinearity="relu", generator=rng)
            else:
                parameter.zero_()
    parameters = list(model.parameters())
    optimizer = torch.optim.Adam(parameters, lr=_LR)
    for _ in range(STEPS):
        index = torch.randint(len(x), (min(_BATCH, len(x)),), generator=rng)
        noise = torch.randn(len(index), model.codes, generator=rng)
        grads = torch.autograd.grad(model.loss(x[index], condition[index], noise), parameters)
        for parameter, grad in zip(parameters, grads, strict=True):
            parameter.grad = grad
        optimizer.step()
    return model
