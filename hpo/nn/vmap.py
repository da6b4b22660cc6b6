"""Run one module for all fits of an architecture: torch's `vmap` calls it with the tensors of each fit."""

from __future__ import annotations

import functools
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call, vmap
from torch.nn.attention import SDPBackend, sdpa_kernel

from hpo.nn.hook_points import batch_norm_by, contiguous, identity, insert_hook_points, on_stack
from hpo.nn.network import HiddenHook, Outputs, Tensors

# Layers for which torch.func folds the fit axis into the channels.
_CHANNEL_LAYERS = (
    nn.modules.conv._ConvNd,  # noqa: SLF001 -- these base classes have no public names
    nn.modules.batchnorm._NormBase,  # noqa: SLF001 -- likewise
    nn.GroupNorm,
)


class VmapProgram:
    """A module whose own tensors are replaced by those of each fit."""

    def __init__(self, module: nn.Module, image: tuple[int, ...], n_outputs: int) -> None:
        self.module = module
        self.hook_points, self.feature_tap = insert_hook_points(module), FeatureTap(module, n_outputs)
        self._image = image
        self.trained, self.buffers = list(module.named_parameters()), list(module.named_buffers())
        self.exclude_from_training([name for name, p in self.trained if not p.requires_grad])
        self.sequential_reason = ""
        self._batched = False
        self._labelled: tuple[int, int] | None = None  # the numbers of labelled samples and of all samples
        for part in module.modules():
            if isinstance(part, _CHANNEL_LAYERS):
                part.forward = functools.partial(self._run_layer, part, part.forward)  # type: ignore[method-assign]  # on this instance

    def exclude_from_training(self, names: Collection[str]) -> None:
        """Treat these parameters as buffers."""
        self.buffers += [(name, p) for name, p in self.trained if name in names]
        self.trained = [(name, p) for name, p in self.trained if name not in names]

    def run(
        self,
        params: Tensors,
        buffers: Tensors,
        x: Tensor,
        hidden: HiddenHook,
        training: bool,
        batched: bool,
        labelled: int | None = None,
    ) -> Outputs:
        """Compute the outputs as `BatchedNetwork.forward` does; fits that are not `batched` are run without `vmap`."""
        rows, self._batched = len(x), batched
        self._labelled = None if labelled is None else (labelled, x.shape[1])
        # Buffers are stored among floats, but a module may need them as integers or booleans. They are copied, because
        # vmap's rule for batch normalization loses updates to tensors that are not contiguous.
        typed = {
            name: buffers[name].to(b.dtype if not b.is_floating_point() else x.dtype, copy=training).contiguous()
            for name, b in self.buffers
        }
        tensors = {name: params[name] for name, _ in self.trained} | typed
        x = x.reshape(*x.shape[:2], *self._image) if self._image else x
        self.module.train(training)
        for point in self.hook_points:
            point.hidden, point.rows, point.batched = hidden, rows, batched
        try:
            return self._run(tensors, buffers, x, training, batched)
        finally:
            for point in self.hook_points:
                point.hidden = identity  # programs are cached and must not keep their stacks alive

    def _run(self, tensors: dict[str, Tensor], buffers: Tensors, x: Tensor, training: bool, batched: bool) -> Outputs:
        rows = len(x)
        if not batched:
            assert rows == 1, "a network that is not batched is the only one in its stack"
            outputs, after = self._run_single({name: t[0] for name, t in tensors.items()}, x[0])
            outputs, after = [t.unsqueeze(0) for t in outputs], {name: b.unsqueeze(0) for name, b in after.items()}
        else:
            if rows == 1:  # a single fit would use other kernels, which round differently, so it is duplicated
                tensors = {name: torch.cat([t, t.detach()]) for name, t in tensors.items()}
                x = x.expand(2, *x.shape[1:])
            with _plain_attention():
                outputs, after = vmap(self._run_single, randomness="error")(tensors, x)
            outputs = [contiguous(t) for t in outputs]
        if training:
            with torch.no_grad():
                for name, b in after.items():
                    buffers[name].copy_(b[:rows])
        logits, *features = (t[:rows] for t in outputs)
        return Outputs(logits, features[0] if features else None)

    def _run_single(self, tensors: dict[str, Tensor], x: Tensor) -> tuple[list[Tensor], dict[str, Tensor]]:
        """Return the outputs of one fit, with its features if available, and its buffers after the pass.

        The module may have changed its buffers in place or replaced them.
        """
        tensors = dict(tensors)
        out = functional_call(self.module, tensors, (x,))
        if not isinstance(out, Tensor):
            raise TypeError(f"it must return one tensor, got a {type(out).__name__}")
        return [out, *self.feature_tap.pop(len(x))], {name: tensors[name] for name, _ in self.buffers}

    def _run_layer(self, layer: nn.Module, forward: Callable[..., Tensor], h: Tensor, *more: Any) -> Tensor:
        """Run a channel layer; batch normalization uses the statistics of the labelled samples only."""
        uses_batch = layer.training and isinstance(layer, nn.modules.batchnorm._BatchNorm)  # noqa: SLF001 -- no public name
        if self._labelled is None or not uses_batch:
            return self._run_fitwise(layer, forward, h, *more)
        labelled, total = self._labelled
        first = len(h) * labelled // total  # the module may have split each sample into several
        reference = on_stack(h[:first], contiguous) if self._batched else h[:first]
        return torch.cat([self._run_fitwise(layer, forward, reference), batch_norm_by(layer, reference, h[first:])])

    def _run_fitwise(self, layer: nn.Module, forward: Callable[..., Tensor], h: Tensor, *more: Any) -> Tensor:
        """Run a channel layer on contiguous tensors.

        A norm of vectors, one per row, is given the rows as the last axis: torch's kernel is then four times faster.
        """
        if not self._batched:
            return forward(h, *more)
        h = on_stack(h, contiguous)
        rows_last = isinstance(layer, nn.BatchNorm1d) and h.dim() == 2
        return on_stack(forward(h.T.unsqueeze(0)).squeeze(0).T if rows_last else forward(h, *more), contiguous)


@contextmanager
def _plain_attention() -> Iterator[None]:
    """Context manager: attention without its fused kernels, which vmap would call fit by fit."""
    fast_path = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        with sdpa_kernel(SDPBackend.MATH):
            yield
    finally:
        torch.backends.mha.set_fastpath_enabled(fast_path)


class FeatureTap:
    """Records the input of the last nn.Linear with `n_outputs` outputs that a module calls in a forward pass.

    A module may have no such layer, or may pass it something other than one vector per sample.
    """

    width: int | None = None  # the size of the vectors; None before the first pass, or if there are none

    def __init__(self, module: nn.Module, n_outputs: int) -> None:
        self._last: Tensor | None = None
        for part in module.modules():
            if isinstance(part, nn.Linear) and part.out_features == n_outputs:
                part.register_forward_pre_hook(self._record, with_kwargs=True)

    def _record(self, layer: nn.Module, args: tuple[Tensor, ...], kwargs: dict[str, Tensor]) -> None:
        del layer
        self._last = args[0] if args else kwargs["input"]

    def pop(self, rows: int) -> list[Tensor]:
        """Return and forget the input recorded in the last pass, as [(rows, width)]; [] if it has another shape."""
        last, self._last = self._last, None
        if last is None or last.dim() != 2 or len(last) != rows:
            return []
        self.width = last.shape[1]
        return [last]
