"""What is computed in another way on another device, and the one place where that way is chosen."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor

from hpo.core.trial import Fit
from hpo.nn import adamw as optimizer
from hpo.nn import adamw_batched
from hpo.nn.adamw import OptimizerState
from hpo.nn.parameter import WeightMatrices
from hpo.nn.rng import Noise
from hpo.nn.rng_hashed import HashedNoise

Stream = Any  # a generator, which knows how far it is, or the key of numbers that can be asked for at any position


class Optimizer(Protocol):
    def set_lr(self, lr: Sequence[float]) -> None: ...
    def step(self) -> None: ...


class Backend(Protocol):
    """One way to train a stack."""

    block: int  # rows of data that an evaluation takes at a time

    def product(self, a: Tensor, b: Tensor, out: Tensor) -> Tensor:
        """a (fit, n, m) times b (fit, m, k), written into `out` (fit, n, k)."""

    def stream(self, fit: Fit, use: str) -> Stream:
        """The fit's own stream of random numbers for one use."""

    def noise(
        self, streams: Sequence[Stream], epochs: Sequence[int], dtype: torch.dtype, device: torch.device
    ) -> Noise:
        """What streams of one use give in the coming epoch; `epochs` are those that each row has behind it."""

    def optimizer(self, memory: OptimizerState) -> Optimizer: ...
    def weights(self, memory: OptimizerState) -> WeightMatrices: ...


class CpuBackend:
    """For the CPU. A fit's bits cannot depend on its neighbours, since a call computes one fit."""

    block = 128  # the activations of 16 fits stay in the cache

    def product(self, a: Tensor, b: Tensor, out: Tensor) -> Tensor:
        """numpy's, whose library is called once a fit."""
        np.matmul(a.numpy(), b.numpy(), out=out.numpy())
        return out

    def stream(self, fit: Fit, use: str) -> Stream:
        return fit.stream(use)

    def noise(
        self, streams: Sequence[Stream], epochs: Sequence[int], dtype: torch.dtype, device: torch.device
    ) -> Noise:
        del epochs, device
        return Noise(streams, dtype)

    def optimizer(self, memory: OptimizerState) -> Optimizer:
        return optimizer.AdamW(memory)

    def weights(self, memory: OptimizerState) -> WeightMatrices:
        return optimizer.Weights(memory)


class BatchedBackend:
    """For every other device: one operation for all rows."""

    block = 1024

    def product(self, a: Tensor, b: Tensor, out: Tensor) -> Tensor:
        return adamw_batched.product(a, b, out)

    def stream(self, fit: Fit, use: str) -> Stream:
        return int(fit.stream(use).integers(2**63))

    def noise(
        self, streams: Sequence[Stream], epochs: Sequence[int], dtype: torch.dtype, device: torch.device
    ) -> Noise:
        return HashedNoise(streams, epochs, dtype, device)

    def optimizer(self, memory: OptimizerState) -> Optimizer:
        return adamw_batched.AdamW(memory)

    def weights(self, memory: OptimizerState) -> WeightMatrices:
        return adamw_batched.Weights(memory)


CPU_BACKEND: dict[str, Backend] = {"cpu": CpuBackend()}  # by type of device
_OTHERS: Backend = BatchedBackend()


def backend_for(device: torch.device) -> Backend:
    """How a device computes what is computed in another way elsewhere."""
    return CPU_BACKEND.get(device.type, _OTHERS)
