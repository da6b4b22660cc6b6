"""Load the initial weights of networks (`network.init`) from a network that was trained earlier."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError
from safetensors.torch import load
from torch import Tensor

from hpo.core.errors import InputError, truncate
from hpo.core.yaml_document import format_value
from hpo.data.preprocess import Preprocessor
from hpo.export import configuration, network_json
from hpo.export.state_dicts import of_network
from hpo.nn.network import BatchedNetwork
from hpo.space import loader
from hpo.space.network import WIDTHS
from hpo.space.space import Space

RUNS = "runs:/"
_FILES = ("weights.safetensors", "network.json", "preprocess.json")
_COUNTER = "num_batches_tracked"  # a buffer of torch's batch normalization that hpo's networks do not have


@dataclass(frozen=True)
class Pretrained:
    """A state dict in the names and shapes of plain torch.

    If it comes from an exported directory, `network` is the section that describes the network, `encoder` encodes its
    inputs, and `classes` are those of its outputs. If the directory holds several networks whose predictions are
    averaged, it is the first of them. `name` is the value of `network.init`, `content` a hash of all its files.
    """

    name: str
    state: Mapping[str, Tensor]
    network: Mapping[str, Any]
    encoder: Preprocessor | None
    classes: Sequence[Any] | None
    content: str

    def adopted(self, space: Space) -> Space:
        """Return the space, with this architecture filled in for the keys that the space does not set.

        Raises SpaceError if the combination is invalid.
        """
        specified, raw = space.network.model_fields_set, configuration.space_dict(space)
        same_kind = "kind" not in specified or space.network.kind == self.network.get("kind")
        section = {
            key: value
            for key, value in self.network.items()
            if same_kind and key not in specified and key not in space.search
        }
        depth = section.pop("depth", None)
        kind = section.get("kind", space.network.kind)
        if kind in WIDTHS and not {"width"} & (specified | space.search.keys()):
            section = {"width": WIDTHS[kind], **section}
        raw["network"] = section | raw["network"]
        if depth is not None:
            raw["search"] = raw["search"] | {"depth": depth}
        return loader.parse(raw)

    def fit(self, network: BatchedNetwork, classes: Sequence[Any], space: Space) -> tuple[dict[str, Tensor], str]:
        """Return the initial weights of a network of the space, and a note for the user.

        The output layer is left out if it was trained for other classes. Raises InputError if anything else does not
        fit.
        """
        expected = network.state_dict(network.init(np.random.default_rng(0)))
        state = {name: tensor for name, tensor in self.state.items() if name in expected or not name.endswith(_COUNTER)}
        mismatched = self._check(expected, state, network.output_names, space)
        json_classes = json.loads(json.dumps(list(classes)))  # `self.classes` have been through JSON as well
        if not mismatched and (self.classes is None or list(self.classes) == json_classes):
            return state, self._activation_note(space)
        kept = {name: tensor for name, tensor in state.items() if name not in network.output_names}
        note = f"The output layer is initialized at random, because that of {self.name} is for another target."
        return kept, f"{note} {self._activation_note(space)}".rstrip()

    def _check(
        self, expected: Mapping[str, Tensor], state: Mapping[str, Tensor], outputs: Sequence[str], space: Space
    ) -> list[str]:
        """Return the names of output weights with another shape. Raises InputError for any other difference."""
        for name in (*expected, *state):
            if name not in state and not name.endswith(_COUNTER):
                raise self._mismatch(f"{self.name} lacks {name}, which this network has", space)
            if name not in expected:
                raise self._mismatch(f"{self.name} holds {name}, which this network does not have", space)
        mismatched = [name for name in expected if name in state and expected[name].shape != state[name].shape]
        for name in mismatched:
            if name not in outputs:
                stored, needed = tuple(state[name].shape), tuple(expected[name].shape)
                raise self._mismatch(
                    f"{name} of {self.name} has the shape {stored}, and this network needs {needed}", space
                )
        return mismatched

    def _activation_note(self, space: Space) -> str:
        """Return a note if the activation differs, which cannot be seen from the shapes; "" otherwise."""
        trained, current = self.network.get("activation"), space.network.activation
        if trained in (None, current):
            return ""
        return f"The weights of {self.name} were trained with activation: {trained}, which is {current} here."

    def _mismatch(self, what: str, space: Space) -> InputError:
        """Return an error that ends with the keys that the space must set."""
        if not self.network:
            return InputError(
                f"network.init: {what}; give the network the kind, width and depth of the weights. If its inputs "
                f"differ, name the exported directory, which describes how they are encoded."
            )
        different = {
            key: value
            for key, value in self.network.items()
            if key in space.search or getattr(space.network, key, None) != value
        }
        depth = space.hyperparameters.get("depth")
        if depth is not None and depth.choices == (different.get("depth"),):
            del different["depth"]
        keys = ", ".join(
            f"{'search' if key == 'depth' else 'network'}.{key}: {format_value(value)}"
            for key, value in different.items()
        )
        return InputError(f"network.init: {what}; {f'set {keys}, as in {self.name}' if keys else 'export it again'}.")


def load_from(space: Space, base: Path, fetch_run: Callable[[str], Path]) -> Pretrained | None:
    """Load the initial weights that `network.init` names; None if networks are initialized at random.

    A relative path starts at `base`; `fetch_run` downloads the network of `runs:/RUN_ID` and returns its directory.
    Raises InputError.
    """
    name = space.network.init
    if name is None:
        return None
    path = fetch_run(name) if name.startswith(RUNS) else base / name
    if path.is_dir():
        return _from_directory(name, path)
    if not path.is_file() or path.suffix != ".safetensors":
        raise InputError(
            f"network.init: {truncate(name, 300)} must be an exported directory, a .safetensors file or runs:/RUN_ID; "
            f"write a directory with: hpo export --weights {truncate(str(path), 300)}"
        )
    content = path.read_bytes()
    try:
        return Pretrained(name, load(content), {}, None, None, hashlib.sha256(content).hexdigest())
    except SafetensorError as error:
        raise InputError(f"network.init: {name} is not a safetensors file, or damaged ({truncate(error)}).") from error


def _from_directory(name: str, folder: Path) -> Pretrained:
    if missing := [file for file in _FILES if not (folder / file).is_file()]:
        raise InputError(f"network.init: {name} lacks {missing[0]}; write it with: hpo export --weights {folder}")
    weights, *texts = ((folder / file).read_bytes() for file in _FILES)
    content = hashlib.sha256(b"".join((weights, *texts))).hexdigest()
    try:
        description, preprocess = map(json.loads, texts)
        state = load(weights)
        if isinstance(description, Mapping) and "ensemble" in description:
            raise InputError(
                f"network.init: {name} must hold the final network of a search, and holds an ensemble; "
                f"export it again without --ensemble."
            )
        if isinstance(description, Mapping) and "average" in description:
            description, state = description["network"], of_network(state, 0)
        encoder = Preprocessor(tuple(preprocess["features"]), tuple(preprocess.get("documents", ())))
        _ = encoder.groups  # raises KeyError if a feature has no column
        section, classes = network_json.network_section(description), list(preprocess["classes"])
        return Pretrained(name, state, section, encoder, classes, content)
    except (ValueError, TypeError, LookupError, StopIteration, SafetensorError) as error:
        raise InputError(
            f"network.init: the files in {name} do not belong together or are damaged "
            f"({truncate(str(error).partition(chr(10))[0])}); write them again with: hpo export --weights {folder}"
        ) from error
