"""Ways out of `vmap`, for what must see all rows of a stack: the sites where regularizers act, and the layout of tensors."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from hpo.nn.network import Hidden

# Up to which axis of (fit, batch, channels, …) each place has a draw of its own; after it, one is shared.
_DROPOUTS: dict[type[nn.Module], int | None] = {nn.Dropout: None, nn.Dropout1d: -1, nn.Dropout2d: 3, nn.Dropout3d: 3}


def identity(h: Tensor, *_: object) -> Tensor:
    """What a site does while nothing runs: nothing."""
    return h


class HookPoint(nn.Module):
    """Stands where a dropout was. What it does in a pass is set before that pass."""

    hidden: Hidden
    rows: int  # of a stack; more of them are computed only where a lone one is doubled
    batched: bool

    def __init__(self, number: int, own: int | None) -> None:
        super().__init__()
        self._number, self._own = number, own

    def forward(self, h: Tensor) -> Tensor:
        if not self.training:
            return h
        if not self.batched:
            return self.act(h.unsqueeze(0)).squeeze(0)
        return stacked(h, self.act)

    def act(self, h: Tensor) -> Tensor:
        """h (fit, …) of all rows at once."""
        mine = h[: self.rows]
        if self._own:
            ones = mine.new_ones(mine.shape[: self._own])
            out = mine * self.hidden(ones, ones, self._number).view(*ones.shape, *[1] * (mine.dim() - ones.dim()))
        else:
            out = self.hidden(mine, mine, self._number)
        return out if len(out) == len(h) else torch.cat([out, h[self.rows :]])


class _Stacked(torch.autograd.Function):
    """Leaves `vmap` for one operation, which sees the whole stack, fit axis first, as the regularizers want it."""

    @staticmethod
    def forward(h: Tensor, operation: Callable[[Tensor], Tensor]) -> Tensor:
        raise NotImplementedError  # always under vmap

    @staticmethod
    def setup_context(ctx: Any, inputs: Any, output: Any) -> None: ...

    @staticmethod
    def vmap(
        info: Any, in_dims: tuple[int | None, None], h: Tensor, operation: Callable[[Tensor], Tensor]
    ) -> tuple[Tensor, int]:
        axis = in_dims[0]
        return operation(h.expand(info.batch_size, *h.shape) if axis is None else h.movedim(axis, 0)), 0


def stacked(h: Tensor, operation: Callable[[Tensor], Tensor]) -> Tensor:
    out: Tensor = _Stacked.apply(h, operation)  # type: ignore[no-untyped-call]
    return out


class _Even(torch.autograd.Function):
    """Contiguous, and its gradient, too: the sum over an axis of anything else is taken in an order that depends on the
    number of rows, and convolutions and norms leave the fits between batch and channels."""

    @staticmethod
    def forward(ctx: Any, h: Tensor) -> Tensor:
        del ctx
        return h.contiguous()

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Tensor:
        del ctx
        return grad.contiguous()


def even(h: Tensor) -> Tensor:
    out: Tensor = _Even.apply(h)  # type: ignore[no-untyped-call]
    return out


def normed_by(part: nn.Module, some: Tensor, others: Tensor) -> Tensor:
    """What a batch normalisation (Ioffe & Szegedy, ICML 2015) makes of `others` by the mean and the variance of `some`, both (rows,
    channels, …)."""
    axes = [axis for axis in range(some.dim()) if axis != 1]
    var, mean = torch.var_mean(some, axes, correction=0, keepdim=True)
    normed = (others - mean) * torch.rsqrt(var + part.eps)  # type: ignore[operator]
    shape = [-1 if axis == 1 else 1 for axis in range(some.dim())]
    scale, shift = part.weight, part.bias
    return normed if scale is None else normed * scale.view(shape) + shift.view(shape)  # type: ignore[operator]


def insert_hook_points(module: nn.Module) -> list[HookPoint]:
    """Replaces every dropout of `module`; one that stands in several places becomes one site there."""
    sites: dict[nn.Module, HookPoint] = {}
    for path, child in list(module.named_modules(remove_duplicate=False)):
        if type(child) in _DROPOUTS:
            module.set_submodule(path, sites.setdefault(child, HookPoint(len(sites), _DROPOUTS[type(child)])))
    return list(sites.values())
