"""Linear layers of stacked networks: (fit, batch, in) times a weight for each fit, with gradients written where they are wanted.

On the CPU the products are numpy's. Its library is called once a fit, so a fit's bits cannot depend on its neighbours; it writes
into the rows of a flat buffer, where torch would make a fresh tensor and copy; and it uses the vector units of every processor,
where torch's uses half of them on some.
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
    """One thread for torch and for numpy's products: two that wait for each other beside a busy neighbour are ten times slower,
    and how a product is divided among them could show in its last bit."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with threadpool_limits(1):
            yield
    finally:
        torch.set_num_threads(before)


def diverging() -> np.errstate:
    """Within it, products may overflow in silence: a fit that diverges is seen by its loss."""
    return np.errstate(over="ignore", invalid="ignore")


def _product(a: Tensor, b: Tensor, out: Tensor) -> Tensor:
    return backend_for(a.device).product(a, b, out)


def _place(parameter: Tensor) -> Tensor:
    """Where a parameter's gradient belongs: in its `grad`, if it was given one."""
    return torch.empty_like(parameter) if parameter.grad is None else parameter.grad


class _Linear(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, h: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        ctx.inputs = h, weight, bias
        return _product(h, weight, h.new_empty((*h.shape[:2], weight.shape[2]))).add_(bias.unsqueeze(1))

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, Tensor, Tensor]:
        h, weight, bias = ctx.inputs
        before = _product(grad, weight.transpose(1, 2), torch.empty_like(h)) if ctx.needs_input_grad[0] else None
        return before, _product(h.transpose(1, 2), grad, _place(weight)), torch.sum(grad, 1, out=_place(bias))


class _Output(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, h: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        ctx.inputs = h, weight, bias
        out = h.new_empty((len(h), weight.shape[1], h.shape[1]))
        return _product(weight, h.transpose(1, 2), out).add_(bias.unsqueeze(2))

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        h, weight, bias = ctx.inputs
        before = _product(grad.transpose(1, 2), weight, torch.empty_like(h))
        return before, _product(grad, h, _place(weight)), torch.sum(grad, 2, out=_place(bias))


def linear(h: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """h (fit, batch, in), weight (fit, in, out), bias (fit, out) → (fit, batch, out)."""
    result: Tensor = _Linear.apply(h, weight, bias)  # type: ignore[no-untyped-call]
    return result


def output(h: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """h (fit, batch, in), weight (fit, out, in), bias (fit, out) → (fit, out, batch): classes before rows, as the loss wants
    them. Ten columns are slow to multiply, ten rows are not."""
    result: Tensor = _Output.apply(h, weight, bias)  # type: ignore[no-untyped-call]
    return result
