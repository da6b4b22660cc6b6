"""One module for all rows of an architecture: torch's `vmap` calls it with each row's tensors in place of its own.

The features of anyone's network: what its last linear layer is given, seen from outside."""

from __future__ import annotations

import functools
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call, vmap
from torch.nn.attention import SDPBackend, sdpa_kernel

from hpo.nn.hook_points import even, identity, insert_hook_points, normed_by, stacked
from hpo.nn.network import Hidden, Outputs, Tensors

# Layers that torch.func computes with the fits among the channels.
_MIXING = (nn.modules.conv._ConvNd, nn.modules.batchnorm._NormBase, nn.GroupNorm)  # noqa: SLF001 -- the only names they have


class VmapProgram:
    """One module for all rows of an architecture: its own tensors give way to theirs."""

    def __init__(self, module: nn.Module, image: tuple[int, ...], n_outputs: int) -> None:
        self.module, self.sites, self.head = module, insert_hook_points(module), FeatureTap(module, n_outputs)
        self._image = image
        self.trained, self.buffer_names = list(module.named_parameters()), list(module.named_buffers())
        self.keep_buffers([name for name, p in self.trained if not p.requires_grad])
        self.sequential_reason = ""
        self._batched = False
        self._labelled: tuple[int, int] | None = (
            None  # how many rows, and of how many: batch normalisation goes by these
        )
        for part in module.modules():
            if isinstance(part, _MIXING):
                part.forward = functools.partial(self._mix, part, part.forward)  # type: ignore[method-assign]

    def _mix(self, part: nn.Module, forward: Callable[..., Tensor], h: Tensor, *more: Any) -> Tensor:
        """One of those layers."""
        if self._labelled is None or not part.training or not isinstance(part, nn.modules.batchnorm._BatchNorm):  # noqa: SLF001
            return self._apart(part, forward, h, *more)
        rows, every = self._labelled
        first = len(h) * rows // every  # they may come as several each
        some = stacked(h[:first], even) if self._batched else h[:first]
        return torch.cat([self._apart(part, forward, some), normed_by(part, some, h[first:])])

    def _apart(self, part: nn.Module, forward: Callable[..., Tensor], h: Tensor, *more: Any) -> Tensor:
        """A norm of plain rows gets them as the last axis, where torch's kernel is four times faster."""
        if not self._batched:
            return forward(h, *more)
        h = stacked(h, even)
        rows_last = isinstance(part, nn.BatchNorm1d) and h.dim() == 2
        return stacked(forward(h.T.unsqueeze(0)).squeeze(0).T if rows_last else forward(h, *more), even)

    def run(
        self,
        params: Tensors,
        buffers: Tensors,
        x: Tensor,
        hidden: Hidden,
        training: bool,
        batched: bool,
        labelled: int | None = None,
    ) -> Outputs:
        rows, self._batched = len(x), batched
        self._labelled = None if labelled is None else (labelled, x.shape[1])
        # Buffers lie among floats; a module may want them whole or as truth values. They are copied, because vmap's rule of
        # batch normalisation loses what it should write into a tensor that is not contiguous.
        typed = {
            name: buffers[name].to(b.dtype if not b.is_floating_point() else x.dtype, copy=training).contiguous()
            for name, b in self.buffer_names
        }
        tensors = {name: params[name] for name, _ in self.trained} | typed
        x = x.reshape(*x.shape[:2], *self._image) if self._image else x
        self.module.train(training)
        for site in self.sites:
            site.hidden, site.rows, site.batched = hidden, rows, batched
        try:
            return self._run(tensors, buffers, x, training, batched)
        finally:
            for site in self.sites:
                site.hidden = identity  # plans live on, stacks shall not

    def _run(self, tensors: dict[str, Tensor], buffers: Tensors, x: Tensor, training: bool, batched: bool) -> Outputs:
        rows = len(x)
        if not batched:
            assert rows == 1, "a network that is not batched has a stack for itself"
            said, after = self._one({name: t[0] for name, t in tensors.items()}, x[0])
            said, after = [t.unsqueeze(0) for t in said], {name: b.unsqueeze(0) for name, b in after.items()}
        else:
            if rows == 1:  # alone it would take other kernels, which round otherwise: it is computed twice
                tensors = {name: torch.cat([t, t.detach()]) for name, t in tensors.items()}
                x = x.expand(2, *x.shape[1:])
            with _plain_kernels():
                said, after = vmap(self._one, randomness="error")(tensors, x)
            said = [even(t) for t in said]
        if training:
            with torch.no_grad():
                for name, b in after.items():
                    buffers[name].copy_(b[:rows])
        out, *features = (t[:rows] for t in said)
        return Outputs(out, features[0] if features else None)

    def _one(self, tensors: dict[str, Tensor], x: Tensor) -> tuple[list[Tensor], dict[str, Tensor]]:
        """One row's outputs, and its features if it tells; and its buffers afterwards, whether they were changed in place or replaced."""
        tensors = dict(tensors)
        out = functional_call(self.module, tensors, (x,))
        if not isinstance(out, Tensor):
            raise TypeError(f"it must return one tensor, got a {type(out).__name__}")
        return [out, *self.head.given(len(x))], {name: tensors[name] for name, _ in self.buffer_names}

    def keep_buffers(self, names: Collection[str]) -> None:
        """Takes parameters from those that are trained."""
        self.buffer_names += [(name, p) for name, p in self.trained if name in names]
        self.trained = [(name, p) for name, p in self.trained if name not in names]


@contextmanager
def _plain_kernels() -> Iterator[None]:
    """Attention without its fused kernels, which vmap would call row by row."""
    fast = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        with sdpa_kernel(SDPBackend.MATH):
            yield
    finally:
        torch.backends.mha.set_fastpath_enabled(fast)


class FeatureTap:
    """Of a module, the nn.Linear with `n_outputs` outputs that was called last in a pass, and what it was given; a module may have
    none, or give it something else than a vector a row."""

    width: int | None = None  # of a vector; None if nothing was seen yet, or there is nothing

    def __init__(self, module: nn.Module, n_outputs: int) -> None:
        self._last: Tensor | None = None
        for part in module.modules():
            if isinstance(part, nn.Linear) and part.out_features == n_outputs:
                part.register_forward_pre_hook(self._see, with_kwargs=True)

    def _see(self, part: nn.Module, args: tuple[Tensor, ...], named: dict[str, Tensor]) -> None:
        del part
        self._last = args[0] if args else named["input"]

    def given(self, rows: int) -> list[Tensor]:
        """What it was given in the pass that has just ended, (rows, width), which is forgotten here; [] if it is not that."""
        last, self._last = self._last, None
        if last is None or last.dim() != 2 or len(last) != rows:
            return []
        self.width = last.shape[1]
        return [last]
