"""Device backends (CPU fit by fit, other devices batched) and their selection."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor

from hpo.core.trial import Fit
from hpo.nn.adamw import BatchedAdamW, BatchedWeights, FitwiseWeights, FusedAdamW, OptimizerState
from hpo.nn.parameter import WeightMatrices
from hpo.nn.rng import Noise
from hpo.nn.rng_hashed import HashedNoise

Stream = Any  # a generator with a state, or the integer key of a hashed stream, which can be read at any position


class Optimizer(Protocol):
    def set_lr(self, lr: Sequence[float]) -> None: ...
    def step(self) -> None: ...


class Backend(Protocol):
    """The operations of training whose implementation depends on the device."""

    block: int  # rows of data per batch in evaluation

    def product(self, a: Tensor, b: Tensor, out: Tensor) -> Tensor:
        """Write the product of a (fit, n, m) and b (fit, m, k) into `out` (fit, n, k), and return it."""

    def stream(self, fit: Fit, use: str) -> Stream:
        """Return the fit's own stream of random numbers for one use."""

    def noise(
        self, streams: Sequence[Stream], epochs: Sequence[int], dtype: torch.dtype, device: torch.device
    ) -> Noise:
        """Return the noise of one epoch from the streams of one use; `epochs` counts those completed by each fit."""

    def optimizer(self, state: OptimizerState) -> Optimizer: ...
    def weights(self, state: OptimizerState) -> WeightMatrices: ...


class CpuBackend:
    """Computes fit by fit on the CPU, so that the bits of a fit cannot depend on the other fits of its stack."""

    block = 128  # small enough to keep the activations of 16 fits in the cache

    def product(self, a: Tensor, b: Tensor, out: Tensor) -> Tensor:
        """Write the product into `out` with numpy, which calls BLAS once per fit."""
        np.matmul(a.numpy(), b.numpy(), out=out.numpy())
        return out

    def stream(self, fit: Fit, use: str) -> Stream:
        return fit.stream(use)

    def noise(
        self, streams: Sequence[Stream], epochs: Sequence[int], dtype: torch.dtype, device: torch.device
    ) -> Noise:
        del epochs, device
        return Noise(streams, dtype)

    def optimizer(self, state: OptimizerState) -> Optimizer:
        return FusedAdamW(state)

    def weights(self, state: OptimizerState) -> WeightMatrices:
        return FitwiseWeights(state)


class BatchedBackend:
    """Computes all fits in one operation on a GPU or another device."""

    block = 1024

    def product(self, a: Tensor, b: Tensor, out: Tensor) -> Tensor:
        return torch.bmm(a, b, out=out)

    def stream(self, fit: Fit, use: str) -> Stream:
        return int(fit.stream(use).integers(2**63))

    def noise(
        self, streams: Sequence[Stream], epochs: Sequence[int], dtype: torch.dtype, device: torch.device
    ) -> Noise:
        return HashedNoise(streams, epochs, dtype, device)

    def optimizer(self, state: OptimizerState) -> Optimizer:
        return BatchedAdamW(state)

    def weights(self, state: OptimizerState) -> WeightMatrices:
        return BatchedWeights(state)


BACKENDS: dict[str, Backend] = {"cpu": CpuBackend()}  # by device type
_DEFAULT_BACKEND: Backend = BatchedBackend()


def backend_for(device: torch.device) -> Backend:
    """Return the backend of a device."""
    return BACKENDS.get(device.type, _DEFAULT_BACKEND)
