"""Build the networks of a space: find its factory, and make a network for each configuration."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from pathlib import Path

from hpo import nets
from hpo.core.errors import InputError
from hpo.core.importing import Factory, import_object, match_arguments, qualified_name
from hpo.core.trial_config import Config
from hpo.nn.mlp import Mlp
from hpo.nn.module import VmappedModule
from hpo.nn.network import BatchedNetwork, Tensors
from hpo.space.network import MLP_KEYS
from hpo.space.space import Space

_FACTORIES: dict[str, Factory] = {"resnet": nets.resnet, "cnn": nets.cnn}


def factory(space: Space, base: Path) -> Factory | None:
    """Return the function that makes the networks of a space, or None for an MLP.

    A function of the user's is imported. Raises InputError if the space names no function or it cannot be imported.
    """
    kind, name = space.network.kind, space.network.factory
    if kind == "module":
        if name is None:
            raise InputError("network.factory is missing: kind: module needs it, as in my_package.nets:build.")
        return import_object(name, base)
    return _FACTORIES.get(kind)


@dataclass(frozen=True)
class NetworkBuilder:
    """Builds the network of any configuration of a space.

    `build` is the factory (None: an MLP). `state` holds the initial weights, named as in plain torch; it may be empty.
    """

    space: Space
    build: Factory | None
    n_inputs: int
    n_outputs: int
    state: Tensors = field(default_factory=dict, repr=False)

    def network_for(self, config: Config) -> BatchedNetwork:
        """Build the network of a configuration. Raises InputError if it does not fit the data or its factory."""
        network = self._initialized_at_random(config)
        return replace(network, init_weights=network.load_state(self.state)) if self.state else network

    def _initialized_at_random(self, config: Config) -> Mlp | VmappedModule:
        section, structure, image = self.space.network, config.structure, self._image_shape()
        if self.build is None:
            shape = {key: structure.get(key, getattr(section, key)) for key in ("width", *MLP_KEYS)}
            return Mlp(self.n_inputs, self.n_outputs, int(structure["depth"]), activation=section.activation, **shape)
        arguments = {"n_inputs": self.n_inputs, "n_outputs": self.n_outputs} | ({"image": image} if image else {})
        arguments |= {key: config.arguments[key] for key in section.search}
        required = {key: f"network.search.{key}" for key in section.search}  # the factory must take these
        if section.width is not None:
            arguments["width"], required["width"] = section.width, "network.width"
        for key in ("width", "depth"):
            if key in structure:
                arguments[key], required[key] = structure[key], f"search.{key}"
        name = section.factory or qualified_name(self.build)
        matched = match_arguments(self.build, arguments, required)
        return VmappedModule(self.build, name, matched, self.n_inputs, self.n_outputs, image)

    def _image_shape(self) -> tuple[int, ...]:
        """Return (channels, height, width) if the network takes images, () if it takes plain rows."""
        kind, image, side = self.space.network.kind, self.space.network.image, math.isqrt(self.n_inputs)
        if image is None and kind == "cnn":
            if side**2 != self.n_inputs:
                raise InputError(
                    f"network.image is missing: kind: cnn needs [channels, height, width], and {self.n_inputs} inputs "
                    f"are not a square."
                )
            return (1, side, side)
        if image is not None and math.prod(image) != self.n_inputs:
            raise InputError(
                f"network.image: {image} holds {math.prod(image):,} numbers, "
                f"but the data have {self.n_inputs:,} inputs."
            )
        return tuple(image or ()) if kind in ("cnn", "module") else ()
