"""A small variational autoencoder that is told to which class a row belongs (Kingma & Welling, Auto-Encoding Variational Bayes, ICLR 2014;
told: Sohn, Lee & Yan, NeurIPS 2015), with a deviation for each input, which is learned."""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor, nn

_STEPS, _BATCH, _LR = 500, 128, 1e-2
_HIDDEN, _MOST_CODES = 64, 8
_WIDEST = 10.0  # of a code's log variance, which is about 0: what lies far out shall not make it overflow


class Autoencoder(nn.Module):
    """Rows of so many `inputs`, of which `told` numbers are told."""

    def __init__(self, inputs: int, told: int) -> None:
        super().__init__()
        self.codes = min(_MOST_CODES, inputs)
        self.encoder = nn.Sequential(nn.Linear(inputs + told, _HIDDEN), nn.ReLU(), nn.Linear(_HIDDEN, 2 * self.codes))
        self.decoder = nn.Sequential(nn.Linear(self.codes + told, _HIDDEN), nn.ReLU(), nn.Linear(_HIDDEN, inputs))
        self.log_deviation = nn.Parameter(torch.zeros(inputs))

    def loss(self, x: Tensor, told: Tensor, draws: Tensor) -> Tensor:
        """The negative evidence lower bound of a row, on average, by one draw of its code."""
        mean, log_variance = self.encoder(torch.cat([x, told], 1)).chunk(2, 1)
        log_variance = log_variance.clamp(max=_WIDEST)
        said = self.decoder(torch.cat([mean + (log_variance / 2).exp() * draws, told], 1))
        off = ((x - said) / self.log_deviation.exp()).square() / 2 + self.log_deviation + math.log(2 * math.pi) / 2
        divergence = (mean.square() + log_variance.exp() - 1 - log_variance) / 2
        found: Tensor = off.sum(1).mean() + divergence.sum(1).mean()
        return found


def generated(x: np.ndarray, told: np.ndarray, variants: int, seed: int) -> np.ndarray:
    """For each row that is `told` (rows, …) as many generated ones, (variants, rows, inputs), by an autoencoder of the rows `x`."""
    random = torch.Generator().manual_seed(seed)
    rows, beside = (torch.from_numpy(np.asarray(one, dtype=np.float32)) for one in (x, told))
    model = _trained(rows, beside, random)
    with torch.no_grad():
        codes = torch.randn(variants, len(rows), model.codes, generator=random)
        said = model.decoder(torch.cat([codes, beside.expand(variants, -1, -1)], 2))
        found: np.ndarray = (said + model.log_deviation.exp() * torch.randn(said.shape, generator=random)).numpy()
    return found


def _trained(x: Tensor, told: Tensor, random: torch.Generator) -> Autoencoder:
    model = Autoencoder(x.shape[1], told.shape[1])
    with torch.no_grad():
        for parameter in model.parameters():  # torch would draw from its own generator, which is not ours
            if parameter.dim() == 2:
                nn.init.kaiming_uniform_(parameter, nonlinearity="relu", generator=random)
            else:
                parameter.zero_()
    parameters = list(model.parameters())
    optimizer = torch.optim.Adam(parameters, lr=_LR)
    for _ in range(_STEPS):
        index = torch.randint(len(x), (min(_BATCH, len(x)),), generator=random)
        draws = torch.randn(len(index), model.codes, generator=random)
        for parameter, grad in zip(
            parameters, torch.autograd.grad(model.loss(x[index], told[index], draws), parameters), strict=True
        ):
            parameter.grad = grad
        optimizer.step()
    return model
