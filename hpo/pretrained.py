"""What networks begin with, where that is not drawn: the weights of another, which was trained before (`network.init`)."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError
from safetensors.torch import load
from torch import Tensor

from hpo import described, export, space_file
from hpo.architecture import WIDTHS
from hpo.errors import InputError, cut
from hpo.network import Network
from hpo.preprocess import Preprocess
from hpo.space import Space

RUNS = "runs:/"
_FILES = ("weights.safetensors", "network.json", "preprocess.json")
_COUNTER = "num_batches_tracked"  # of torch's own batch normalisation, which we have not


@dataclass(frozen=True)
class Pretrained:
    """A network's tensors as plain torch has them. Of an exported directory also the section `network` that makes it, how its inputs
    are made, and the classes of its outputs. `content` is a hash of all."""

    said: str  # as the space says it
    state: Mapping[str, Tensor]
    network: Mapping[str, Any]
    encoder: Preprocess | None
    classes: Sequence[Any] | None
    content: str

    def adopted(self, space: Space) -> Space:
        """The space with the architecture of this network, as far as it says nothing else. Raises SpaceError if these do not go together."""
        own, raw = space.network.model_fields_set, export.space_dict(space)
        same = "kind" not in own or space.network.kind == self.network.get("kind")
        known = {key: value for key, value in self.network.items() if same and key not in own and key not in space.search}
        depth = known.pop("depth", None)
        kind = known.get("kind", space.network.kind)
        if kind in WIDTHS and not {"width"} & (own | space.search.keys()):
            known = {"width": WIDTHS[kind], **known}
        raw["network"] = known | raw["network"]
        if depth is not None:
            raw["search"] = raw["search"] | {"depth": depth}
        return space_file.parse(raw)

    def fit(self, network: Network, classes: Sequence[Any]) -> tuple[dict[str, Tensor], str]:
        """What a network of that shape begins with, and what is to be known of it: an output layer for other classes is not this one.
        Raises InputError if anything else does not fit."""
        wanted = network.state_dict(network.init(np.random.default_rng(0)))
        state = {name: tensor for name, tensor in self.state.items() if name in wanted or not name.endswith(_COUNTER)}
        for name in (*wanted, *state):
            if name not in state and not name.endswith(_COUNTER):
                raise self._refuse(f"{self.said} lacks {name}, which this network has")
            if name not in wanted:
                raise self._refuse(f"{self.said} holds {name}, which this network has not")
        other = [name for name in wanted if name in state and wanted[name].shape != state[name].shape]
        for name in other:
            if name not in network.head:
                was, wants = (tuple(one[name].shape) for one in (state, wanted))
                raise self._refuse(f"{name} of {self.said} has the shape {was}, and this network wants {wants}")
        here = json.loads(json.dumps(list(classes)))
        if not other and (self.classes is None or list(self.classes) == here):
            return state, ""
        kept = {name: tensor for name, tensor in state.items() if name not in network.head}
        return kept, f"The output layer begins anew, because {self.said} tells other classes apart."

    def _refuse(self, what: str) -> InputError:
        keys = ("kind", "factory", "width", "depth", "skip", "batch_norm", "layer_norm")
        known = (f"{'search' if key == 'depth' else 'network'}.{key}: {self.network[key]}" for key in keys if key in self.network)
        do = f"set {', '.join(known)}, as there" if self.network else "give it the kind, width and depth that the other was trained with"
        text = "; if its columns are others, name the exported directory, which says how inputs are made" if not self.encoder else ""
        return InputError(f"network.init: {what}; {do}{text}.")


def load_from(space: Space, base: Path, tracking_uri: str) -> Pretrained | None:
    """What the networks of a space begin with; None if they begin at random. A relative path starts at `base`; runs are MLflow's at
    `tracking_uri`. Raises InputError."""
    said = space.network.init
    if said is None:
        return None
    if said.startswith(RUNS):
        from hpo import mirror  # with MLflow, whose import takes more than a second

        place = mirror.fetched(tracking_uri, said)
    else:
        place = base / said
    if place.is_dir():
        return _directory(said, place)
    if not place.is_file() or place.suffix != ".safetensors":
        raise InputError(
            f"network.init: {cut(said, 300)} must be an exported directory, a .safetensors file or runs:/RUN_ID; "
            f"write a directory with: hpo export --weights {cut(said, 300)}"
        )
    content = place.read_bytes()
    try:
        return Pretrained(said, load(content), {}, None, None, hashlib.sha256(content).hexdigest())
    except SafetensorError as error:
        raise InputError(f"network.init: {said} is not a file of safetensors, or damaged ({cut(error)}).") from error


def _directory(said: str, folder: Path) -> Pretrained:
    if missing := [name for name in _FILES if not (folder / name).is_file()]:
        raise InputError(f"network.init: {said} lacks {missing[0]}; write it with: hpo export --weights {said}")
    weights, *texts = ((folder / name).read_bytes() for name in _FILES)
    try:
        network, preprocess = map(json.loads, texts)
        if isinstance(network, Mapping) and {"average", "ensemble"} & network.keys():
            raise InputError(f"network.init: {said} holds several networks; export a single one: of a search with --refit scaled, without --ensemble.")
        encoder = Preprocess(tuple(preprocess["features"]), tuple(preprocess.get("documents", ())))
        made, classes = described.network(network), list(preprocess["classes"])
        return Pretrained(said, load(weights), made, encoder, classes, hashlib.sha256(b"".join((weights, *texts))).hexdigest())
    except (ValueError, TypeError, LookupError, StopIteration, SafetensorError) as error:
        raise InputError(
            f"network.init: the files in {said} do not belong together or are damaged ({cut(str(error).partition(chr(10))[0])}); "
            f"write them again with: hpo export --weights {said}"
        ) from error
