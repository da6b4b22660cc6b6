"""Memory layout of a stack: all tensors of a fit in one flat row, so that optimizers work in one pass."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from hpo.nn.parameter import Parameter

_ANY_DEPTH = 10**9
_SEGMENTS = {"weight": 0, "buffer": 2, "regularizer": 3}  # all other roles are in segment 1


class Layout:
    """The position of each named tensor in a row of a flat buffer (fit, size).

    The order is: weights, other parameters, buffers, each sorted by depth, so that the tensors of a shallower
    network come first in each segment. The parameters of regularizers begin at `network_size`; flat tensors that
    lack these parameters end there.
    """

    def __init__(self, entries: Sequence[Parameter]) -> None:
        self._entries = sorted(entries, key=lambda p: (_segment(p), p.depth))
        self._lengths = [math.prod(p.shape) for p in self._entries]
        self.size = sum(self._lengths)
        self._n_extra = sum(p.role == "regularizer" for p in self._entries)
        self.network_size = self.size - sum(self._lengths[len(self._entries) - self._n_extra :])
        self.buffers = slice(self.trained_segments(_ANY_DEPTH)[1].stop, self.network_size)

    def views(self, flat: Tensor, depths: Sequence[int]) -> dict[str, Tensor]:
        """Return `flat` (fit, size) as `{name: (fit, *shape)}` in the same memory; the `depths` of the fits descend.

        The tensors of a layer contain only the fits that have it; a layer that no fit has is left out.
        """
        count = len(self._entries) - (self._n_extra if flat.shape[1] == self.network_size else 0)
        views = {}
        for p, part in zip(self._entries[:count], torch.split(flat, self._lengths[:count], dim=1), strict=True):
            if fits := sum(depth >= p.depth for depth in depths):
                views[p.name] = part[:fits].view(fits, *p.shape)
        return views

    def trained_segments(self, depth: int) -> tuple[slice, slice, slice]:
        """Return the slices of the weights, other parameters and regularizers' parameters at this network `depth`."""
        starts, sizes = [0, 0], [0, 0]
        for p, length in zip(self._entries, self._lengths, strict=True):
            if (segment := _segment(p)) < 2:
                starts[1] += length * (segment == 0)
                sizes[segment] += length * (p.depth <= depth)
        weights, others = (slice(start, start + size) for start, size in zip(starts, sizes, strict=True))
        return weights, others, slice(self.network_size, self.size)

    def pack(self, tensors: Mapping[str, Tensor], dtype: torch.dtype) -> Tensor:
        """Return the tensors of one fit as a flat row (1, size), with zeros for missing ones."""
        row = torch.zeros((1, self.size), dtype=dtype)
        for name, view in self.views(row, [_ANY_DEPTH]).items():
            if name in tensors:
                view[0] = tensors[name]
        return row

    def convert(self, flat: Tensor, other: Layout) -> Tensor:
        """Return `flat` (fit, size) in the layout `other`, with zeros for tensors that this layout lacks."""
        result = flat.new_zeros((len(flat), other.size))
        depths = [_ANY_DEPTH] * len(flat)
        targets = other.views(result, depths)
        for name, part in self.views(flat, depths).items():
            if name in targets:
                targets[name].copy_(part)
        return result


def _segment(p: Parameter) -> int:
    return _SEGMENTS.get(p.role, 1)
