"""The features of anyone's network: what its last linear layer is given, seen from outside."""

from __future__ import annotations

from torch import Tensor, nn


class Head:
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
