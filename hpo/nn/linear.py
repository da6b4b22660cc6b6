"""Linear layers of stacked networks, (fit, batch, in), whose gradients are written directly into given buffers.

On the CPU the products are computed by numpy: it calls BLAS once per fit, so that the bits of a fit cannot
depend on other fits; it writes into the rows of a flat buffer, whereas torch would allocate a new tensor and copy
it; and its BLAS uses the full vector units of every processor, whereas on some processors torch's BLAS uses only half
of them.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from threadpoolctl import threadpool_limits
from torch import Tensor

from hpo.nn.backends import backend_for


@contextmanager
def one_thread() -> Iterator[None]:
    """Context manager: limit torch and numpy's BLAS to one thread.

    While another process is busy, two threads that wait for each other are ten times slower. Besides, the way in which
    a product is divided among threads could change its last bit.
    """
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with threadpool_limits(1):
            yield
    finally:
        torch.set_num_threads(threads)


def ignore_overflow() -> np.errstate:
    """Return a context manager that silences numpy's overflow warnings; a diverging fit is detected by its loss."""
    return np.errstate(over="ignore", invalid="ignore")


def _product(a: Tensor, b: Tensor, out: Tensor) -> Tensor:
    return backend_for(a.device).product(a, b, out)


def _grad_buffer(parameter: Tensor) -> Tensor:
    """Return the tensor to write the gradient of `parameter` into: its `grad` if that is set, else a new one."""
    return torch.empty_like(parameter) if parameter.grad is None else parameter.grad


class _Linear(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, h: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        ctx.inputs = h, weight, bias
        return _product(h, weight, h.new_empty((*h.shape[:2], weight.shape[2]))).add_(bias.unsqueeze(1))

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, Tensor, Tensor]:
        h, weight, bias = ctx.inputs
        input_grad = _product(grad, weight.transpose(1, 2), torch.empty_like(h)) if ctx.needs_input_grad[0] else None
        weight_grad = _product(h.transpose(1, 2), grad, _grad_buffer(weight))
        return input_grad, weight_grad, torch.sum(grad, 1, out=_grad_buffer(bias))


class _Output(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, h: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        ctx.inputs = h, weight, bias
        out = h.new_empty((len(h), weight.shape[1], h.shape[1]))
        return _product(weight, h.transpose(1, 2), out).add_(bias.unsqueeze(2))

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        h, weight, bias = ctx.inputs
        input_grad = _product(grad.transpose(1, 2), weight, torch.empty_like(h))
        return input_grad, _product(grad, h, _grad_buffer(weight)), torch.sum(grad, 2, out=_grad_buffer(bias))


def linear(h: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """Apply a hidden layer: h (fit, batch, in), weight (fit, in, out), bias (fit, out) → (fit, batch, out)."""
    result: Tensor = _Linear.apply(h, weight, bias)  # type: ignore[no-untyped-call]  # torch has no type for `apply`
    return result


def output(h: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """Apply the output layer: h (fit, batch, in), weight (fit, out, in), bias (fit, out) → (fit, out, batch).

    In the result, classes come before rows, because the loss needs this order, and because a product with ten columns
    is slower than one with ten rows.
    """
    result: Tensor = _Output.apply(h, weight, bias)  # type: ignore[no-untyped-call]  # torch has no type for `apply`
    return result
