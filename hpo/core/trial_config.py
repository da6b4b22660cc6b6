"""The configuration of a trial: the value of every hyperparameter, by the part of the training that uses it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

Part = Literal["learning_rate", "strength", "structure", "schedule", "argument"]


@dataclass(frozen=True, eq=False)
class Config(Mapping[str, Any]):
    """The values of all hyperparameters by key, also available by part.

    It is a read-only mapping, equal to every mapping with the same keys and values. `by_key` has the values in the
    order in which they are shown; `parts` has the part of each key. `hpo.regularizers.configs` builds configurations.
    """

    by_key: Mapping[str, Any]
    parts: Mapping[str, Part]

    def __getitem__(self, key: str) -> Any:
        return self.by_key[key]

    def __iter__(self) -> Iterator[str]:
        return iter(self.by_key)

    def __len__(self) -> int:
        return len(self.by_key)

    @property
    def learning_rate(self) -> float:
        return float(self.by_key["learning_rate"])

    @cached_property
    def strengths(self) -> Mapping[str, float]:
        """The strength of each regularizer; a regularizer whose strength has its default value is off."""
        return self._part("strength")

    @cached_property
    def structure(self) -> Mapping[str, Any]:
        """The structure of the network: depth, width, skip connections, normalization."""
        return self._part("structure")

    @cached_property
    def schedule(self) -> Mapping[str, Any]:
        """The settings of the training loop that replace those of the section `train`: epochs, batch size, …"""
        return self._part("schedule")

    @cached_property
    def arguments(self) -> Mapping[str, Any]:
        """The arguments of the network's factory, from `network.search`."""
        return self._part("argument")

    def with_values(self, values: Mapping[str, Any]) -> Config:
        """Return a copy with other values for some of its keys. Raises KeyError if one of the keys does not exist."""
        if unknown := values.keys() - self.by_key.keys():
            raise KeyError(*sorted(unknown))
        return Config({**self.by_key, **values}, self.parts)

    def _part(self, part: Part) -> dict[str, Any]:
        return {key: value for key, value in self.by_key.items() if self.parts[key] == part}
