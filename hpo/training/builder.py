"""The networks of a space: which function makes them, and one for each configuration."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from hpo import nets
from hpo.core.errors import InputError
from hpo.core.importing import Factory, import_object, match_arguments, qualified_name
from hpo.nn.mlp import Mlp
from hpo.nn.module import VmappedModule
from hpo.nn.network import BatchedNetwork, Tensors
from hpo.space.network import OF_AN_MLP
from hpo.space.space import Space

_SHIPPED: dict[str, Factory] = {"resnet": nets.resnet, "cnn": nets.cnn}


def factory(space: Space, base: Path) -> Factory | None:
    """The function that makes the networks of a space, imported if it is somebody's; None for an mlp."""
    kind, name = space.network.kind, space.network.factory
    if kind == "module":
        if name is None:
            raise InputError("network.factory is missing: kind: module needs it, as in my_package.nets:build.")
        return import_object(name, base)
    return _SHIPPED.get(kind)


@dataclass(frozen=True)
class NetworkBuilder:
    """What makes a network of a configuration: a space, the function that it names (None: an mlp), the shape of the data, and what it
    begins with, as plain torch has it."""

    space: Space
    build: Factory | None
    n_inputs: int
    n_outputs: int
    state: Tensors = field(default_factory=dict, repr=False)

    def network_for(self, params: Mapping[str, Any]) -> BatchedNetwork:
        """The network of a configuration. Raises InputError if it does not fit the data or its factory."""
        made = self._made(params)
        return replace(made, init_weights=made.load_state(self.state)) if self.state else made

    def _made(self, params: Mapping[str, Any]) -> Mlp | VmappedModule:
        said = self.space.network
        image = self._image()
        if self.build is None:
            shape = {key: params.get(key, getattr(said, key)) for key in ("width", *OF_AN_MLP)}
            return Mlp(self.n_inputs, self.n_outputs, int(params["depth"]), activation=said.activation, **shape)
        own = {key: params[key] for key in said.search}
        offered = {"n_inputs": self.n_inputs, "n_outputs": self.n_outputs, **({"image": image} if image else {}), **own}
        asked = {key: f"network.search.{key}" for key in own}
        if said.width is not None:
            offered["width"], asked["width"] = said.width, "network.width"
        for key in ("width", "depth"):
            if key in params:
                offered[key], asked[key] = params[key], f"search.{key}"
        name = said.factory or qualified_name(self.build)
        return VmappedModule(
            self.build, name, match_arguments(self.build, offered, asked), self.n_inputs, self.n_outputs, image
        )

    def _image(self) -> tuple[int, ...]:
        """The shape in which a network wants a row: channels, height and width; () for a plain row, as an mlp and a resnet
        take it also from an image."""
        said, side = self.space.network.image, math.isqrt(self.n_inputs)
        if said is None and self.space.network.kind == "cnn":
            if side**2 != self.n_inputs:
                raise InputError(
                    f"network.image is missing: kind: cnn needs [channels, height, width], and {self.n_inputs} inputs are not a square."
                )
            return (1, side, side)
        if said is not None and math.prod(said) != self.n_inputs:
            raise InputError(
                f"network.image: {said} holds {math.prod(said):,} numbers, but the data have {self.n_inputs:,} inputs."
            )
        return tuple(said or ()) if self.space.network.kind in ("cnn", "module") else ()
