"""The names of the weights of several networks in one file: those of network N start with "N."."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from torch import Tensor


def numbered(states: Sequence[Mapping[str, Tensor]]) -> dict[str, Tensor]:
    """Return the tensors of all state dicts as one mapping."""
    return {f"{i}.{name}": tensor for i, state in enumerate(states) for name, tensor in state.items()}


def of_network(weights: Mapping[str, Tensor], number: int) -> dict[str, Tensor]:
    """Return the state dict of network `number` from a mapping that `numbered` returned."""
    return {name.partition(".")[2]: tensor for name, tensor in weights.items() if name.partition(".")[0] == str(number)}
