"""Operations that leave `vmap` to work on the whole stack: regularizers at hook points, and contiguous memory."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from hpo.nn.network import HiddenHook

# Maps each kind of dropout to an index into the shape (fit, batch, channels, …). The noise is independent along the
# axes before this index, and shared along the others. None means that it is independent along all axes.
_DROPOUTS: dict[type[nn.Module], int | None] = {nn.Dropout: None, nn.Dropout1d: -1, nn.Dropout2d: 3, nn.Dropout3d: 3}


def identity(h: Tensor, *_: object) -> Tensor:
    """Return `h` unchanged. This is the hook of a hook point outside training."""
    return h


class HookPoint(nn.Module):
    """Replaces a dropout module of a network. Its attributes are set before each forward pass."""

    hidden: HiddenHook
    rows: int  # the number of fits; the tensors have more rows only if a single fit is duplicated
    batched: bool

    def __init__(self, number: int, noise_axes: int | None) -> None:
        super().__init__()
        self._number, self._noise_axes = number, noise_axes

    def forward(self, h: Tensor) -> Tensor:
        if not self.training:
            return h
        if not self.batched:
            return self.apply_hook(h.unsqueeze(0)).squeeze(0)
        return on_stack(h, self.apply_hook)

    def apply_hook(self, h: Tensor) -> Tensor:
        """Return the output of the hook for h (fit, …) of all fits."""
        fits = h[: self.rows]
        if self._noise_axes:
            ones = fits.new_ones(fits.shape[: self._noise_axes])
            factor = self.hidden(ones, ones, self._number)
            out = fits * factor.view(*ones.shape, *[1] * (fits.dim() - ones.dim()))
        else:
            out = self.hidden(fits, fits, self._number)
        return out if len(out) == len(h) else torch.cat([out, h[self.rows :]])


class _OnStack(torch.autograd.Function):
    """Leaves `vmap` for one operation, which gets the tensors of all fits, fit axis first."""

    @staticmethod
    def forward(h: Tensor, operation: Callable[[Tensor], Tensor]) -> Tensor:
        raise NotImplementedError  # only called under vmap

    @staticmethod
    def setup_context(ctx: Any, inputs: Any, output: Any) -> None: ...

    @staticmethod
    def vmap(
        info: Any, in_dims: tuple[int | None, None], h: Tensor, operation: Callable[[Tensor], Tensor]
    ) -> tuple[Tensor, int]:
        axis = in_dims[0]
        return operation(h.expand(info.batch_size, *h.shape) if axis is None else h.movedim(axis, 0)), 0


def on_stack(h: Tensor, operation: Callable[[Tensor], Tensor]) -> Tensor:
    """Apply `operation` to the tensor (fit, …) of all fits, from within `vmap`."""
    out: Tensor = _OnStack.apply(h, operation)  # type: ignore[no-untyped-call]  # torch has no type for `apply`
    return out


class _Contiguous(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, h: Tensor) -> Tensor:
        del ctx
        return h.contiguous()

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Tensor:
        del ctx
        return grad.contiguous()


def contiguous(h: Tensor) -> Tensor:
    """Return `h` in contiguous memory, and make its gradient contiguous, too.

    The order in which a strided tensor is summed along an axis depends on the number of fits, and convolutions and
    norms return such tensors: they leave the fit axis between batch and channels.
    """
    out: Tensor = _Contiguous.apply(h)  # type: ignore[no-untyped-call]  # torch has no type for `apply`
    return out


def batch_norm_by(norm: nn.Module, reference: Tensor, h: Tensor) -> Tensor:
    """Batch-normalize `h` by the mean and variance of `reference`, both (rows, channels, …).

    Method: Ioffe & Szegedy, ICML 2015.
    """
    axes = [axis for axis in range(reference.dim()) if axis != 1]
    var, mean = torch.var_mean(reference, axes, correction=0, keepdim=True)
    normed = (h - mean) * torch.rsqrt(var + norm.eps)  # type: ignore[operator]  # a batch norm of any dimension
    shape = [-1 if axis == 1 else 1 for axis in range(reference.dim())]
    scale, shift = norm.weight, norm.bias
    return normed if scale is None else normed * scale.view(shape) + shift.view(shape)  # type: ignore[operator]  # likewise


def insert_hook_points(module: nn.Module) -> list[HookPoint]:
    """Replace every dropout of `module` in place, and return the hook points.

    A dropout that is used in several places becomes a single hook point in all of them.
    """
    hook_points: dict[nn.Module, HookPoint] = {}
    for path, child in list(module.named_modules(remove_duplicate=False)):
        if type(child) in _DROPOUTS:
            point = hook_points.setdefault(child, HookPoint(len(hook_points), _DROPOUTS[type(child)]))
            module.set_submodule(path, point)
    return list(hook_points.values())
