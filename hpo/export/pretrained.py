"""What networks begin with, where that is not drawn: the weights of another, which was trained before (`network.init`)."""

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
from hpo.export import files, network_json
from hpo.nn.network import BatchedNetwork
from hpo.space import loader
from hpo.space.network import WIDTHS
from hpo.space.space import Space

RUNS = "runs:/"
_FILES = ("weights.safetensors", "network.json", "preprocess.json")
_COUNTER = "num_batches_tracked"  # of torch's own batch normalisation, which we have not


@dataclass(frozen=True)
class Pretrained:
    """A network's tensors as plain torch has them. Of an exported directory also the section `network` that makes it, how its inputs
    are made, and the classes of its outputs. `content` is a hash of all."""

    name: str  # as the space says it
    state: Mapping[str, Tensor]
    network: Mapping[str, Any]
    encoder: Preprocessor | None
    classes: Sequence[Any] | None
    content: str

    def adopted(self, space: Space) -> Space:
        """The space with the architecture of this network, as far as it says nothing else. Raises SpaceError if these do not go together."""
        own, raw = space.network.model_fields_set, files.space_dict(space)
        same = "kind" not in own or space.network.kind == self.network.get("kind")
        known = {
            key: value for key, value in self.network.items() if same and key not in own and key not in space.search
        }
        depth = known.pop("depth", None)
        kind = known.get("kind", space.network.kind)
        if kind in WIDTHS and not {"width"} & (own | space.search.keys()):
            known = {"width": WIDTHS[kind], **known}
        raw["network"] = known | raw["network"]
        if depth is not None:
            raw["search"] = raw["search"] | {"depth": depth}
        return loader.parse(raw)

    def fit(self, network: BatchedNetwork, classes: Sequence[Any], space: Space) -> tuple[dict[str, Tensor], str]:
        """What a network of the space begins with, and what is to be known of it: an output layer for other classes is not this one. Raises
        InputError if anything else does not fit."""
        wanted = network.state_dict(network.init(np.random.default_rng(0)))
        state = {name: tensor for name, tensor in self.state.items() if name in wanted or not name.endswith(_COUNTER)}
        for name in (*wanted, *state):
            if name not in state and not name.endswith(_COUNTER):
                raise self._refusal(f"{self.name} lacks {name}, which this network has", space)
            if name not in wanted:
                raise self._refusal(f"{self.name} holds {name}, which this network has not", space)
        other = [name for name in wanted if name in state and wanted[name].shape != state[name].shape]
        for name in other:
            if name not in network.output_names:
                was, wants = (tuple(one[name].shape) for one in (state, wanted))
                raise self._refusal(f"{name} of {self.name} has the shape {was}, and this network wants {wants}", space)
        here = json.loads(json.dumps(list(classes)))  # as the exported ones are
        if not other and (self.classes is None or list(self.classes) == here):
            return state, self._unlike(space)
        kept = {name: tensor for name, tensor in state.items() if name not in network.output_names}
        return kept, " ".join(
            [f"The output layer begins anew, because that of {self.name} is for another target.", self._unlike(space)]
        ).rstrip()

    def _unlike(self, space: Space) -> str:
        """What no shape tells."""
        was, now = self.network.get("activation"), space.network.activation
        return (
            f"The weights of {self.name} were trained with activation: {was}, which is {now} here."
            if was not in (None, now)
            else ""
        )

    def _refusal(self, what: str, space: Space) -> InputError:
        """A sentence that ends with what the space must say."""
        if not self.network:
            do = "give the network the kind, width and depth that the weights have"
            return InputError(
                f"network.init: {what}; {do}, and if its inputs differ, name the exported directory, which says how they are made."
            )
        there = {
            key: value
            for key, value in self.network.items()
            if key in space.search or getattr(space.network, key, None) != value
        }
        depth = space.hyperparameters.get("depth")
        if depth is not None and depth.choices == (there.get("depth"),):
            del there["depth"]
        known = ", ".join(
            f"{'search' if key == 'depth' else 'network'}.{key}: {format_value(value)}" for key, value in there.items()
        )
        return InputError(f"network.init: {what}; {f'set {known}, as there' if known else 'export it again'}.")


def load_from(space: Space, base: Path, fetch_run: Callable[[str], Path]) -> Pretrained | None:
    """The initial weights that `network.init` names; None if networks are initialized at random.

    A relative path starts at `base`; `fetch_run` downloads the network of `runs:/RUN_ID` and returns its directory. Raises InputError.
    """
    name = space.network.init
    if name is None:
        return None
    place = fetch_run(name) if name.startswith(RUNS) else base / name
    if place.is_dir():
        return _directory(name, place)
    if not place.is_file() or place.suffix != ".safetensors":
        raise InputError(
            f"network.init: {truncate(name, 300)} must be an exported directory, a .safetensors file or runs:/RUN_ID; "
            f"write a directory with: hpo export --weights {truncate(str(place), 300)}"
        )
    content = place.read_bytes()
    try:
        return Pretrained(name, load(content), {}, None, None, hashlib.sha256(content).hexdigest())
    except SafetensorError as error:
        raise InputError(
            f"network.init: {name} is not a file of safetensors, or damaged ({truncate(error)})."
        ) from error


def _directory(name: str, folder: Path) -> Pretrained:
    if missing := [file for file in _FILES if not (folder / file).is_file()]:
        raise InputError(f"network.init: {name} lacks {missing[0]}; write it with: hpo export --weights {folder}")
    weights, *texts = ((folder / file).read_bytes() for file in _FILES)
    try:
        network, preprocess = map(json.loads, texts)
        if isinstance(network, Mapping) and {"average", "ensemble"} & network.keys():
            raise InputError(
                f"network.init: {name} holds several networks; export a single one: of a search with --refit scaled, without --ensemble."
            )
        encoder = Preprocessor(tuple(preprocess["features"]), tuple(preprocess.get("documents", ())))
        _ = encoder.groups  # every feature has a column
        made, classes = network_json.network(network), list(preprocess["classes"])
        return Pretrained(
            name, load(weights), made, encoder, classes, hashlib.sha256(b"".join((weights, *texts))).hexdigest()
        )
    except (ValueError, TypeError, LookupError, StopIteration, SafetensorError) as error:
        raise InputError(
            f"network.init: the files in {name} do not belong together or are damaged ({truncate(str(error).partition(chr(10))[0])}); "
            f"write them again with: hpo export --weights {folder}"
        ) from error
