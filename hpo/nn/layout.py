"""Where a stack keeps its tensors: all of a row in one piece of memory, for optimizers that work in one pass."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from hpo.nn.parameter import Parameter

_DEEPEST = 10**9


class Layout:
    """Where each named tensor lies in a row of a flat buffer (fit, size): the weights first, then what else is trained, then
    buffers, each in order of depth, so that what a shallower network has of them lies at their beginning. Behind these, from
    `network` on, is what regularizers have of their own; a flat tensor may end there."""

    def __init__(self, entries: Sequence[Parameter]) -> None:
        self._entries = sorted(entries, key=lambda p: (_part(p), p.depth))
        self._lengths = [math.prod(p.shape) for p in self._entries]
        self.size = sum(self._lengths)
        self._own = sum(p.role == "own" for p in self._entries)
        self.network = self.size - sum(self._lengths[len(self._entries) - self._own :])
        self.buffers = slice(self.trained(_DEEPEST)[1].stop, self.network)  # where buffers lie

    def views(self, flat: Tensor, depths: Sequence[int]) -> dict[str, Tensor]:
        """`flat` (fit, size) as `{name: (fit, *shape)}` on the same memory, for fits of these depths in falling order; a layer's
        tensors have the rows that are deep enough, and are left out where there is none."""
        found, there = {}, len(self._entries) - (self._own if flat.shape[1] == self.network else 0)
        for p, part in zip(self._entries[:there], torch.split(flat, self._lengths[:there], dim=1), strict=True):
            if having := sum(depth >= p.depth for depth in depths):
                found[p.name] = part[:having].view(having, *p.shape)
        return found

    def trained(self, depth: int) -> tuple[slice, slice, slice]:
        """Where in its row a network of this depth has what it trains: its weights, all else, and what regularizers have."""
        starts, sizes = [0, 0], [0, 0]
        for p, length in zip(self._entries, self._lengths, strict=True):
            if (part := _part(p)) < 2:
                starts[1] += length * (part == 0)
                sizes[part] += length * (p.depth <= depth)
        weights, rest = (slice(start, start + size) for start, size in zip(starts, sizes, strict=True))
        return weights, rest, slice(self.network, self.size)

    def pack(self, tensors: Mapping[str, Tensor], dtype: torch.dtype) -> Tensor:
        """One fit's tensors as one flat row (1, size); zero where it has none."""
        row = torch.zeros((1, self.size), dtype=dtype)
        for name, place in self.views(row, [_DEEPEST]).items():
            if name in tensors:
                place[0] = tensors[name]
        return row

    def moved(self, flat: Tensor, other: Layout) -> Tensor:
        """`flat` (fit, size) as the layout `other` has it: the tensors that both know, and zeros."""
        result = flat.new_zeros((len(flat), other.size))
        everywhere = [_DEEPEST] * len(flat)
        places = other.views(result, everywhere)
        for name, part in self.views(flat, everywhere).items():
            if name in places:
                places[name].copy_(part)
        return result


def _part(p: Parameter) -> int:
    return {"weight": 0, "buffer": 2, "own": 3}.get(p.role, 1)
