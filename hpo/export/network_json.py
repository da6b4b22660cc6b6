"""From the `network.json` of an exported directory back to the keys of a space."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from hpo import nets
from hpo.core.importing import qualified_name
from hpo.nn.mlp import ACTIVATIONS

_KINDS = {qualified_name(nets.resnet): "resnet", qualified_name(nets.cnn): "cnn"}
_OFFERED = (
    "n_inputs",
    "n_outputs",
    "depth",
    "width",
    "image",
)  # what a factory is called with besides `network.search`


def network(said: Any) -> dict[str, Any]:
    """The section `network` that makes the described network, without its inputs and outputs, and where it has one its `depth`, which
    stands under `search`. Raises KeyError, IndexError, TypeError or ValueError if this is not what we write."""
    if not isinstance(said, Mapping):
        return _layers(said)
    arguments, factory = dict(said["arguments"]), said["factory"]
    if factory == qualified_name(nets.residual):
        kept = {key: arguments[key] for key in ("depth", "width", "skip", "batch_norm", "layer_norm")}
        return {"kind": "mlp", "activation": _activation(arguments["activation"]), **kept}
    found = {key: arguments[key] for key in ("depth", "width") if key in arguments} | (
        {"image": said["image"]} if said["image"] else {}
    )
    if factory in _KINDS:
        return {"kind": _KINDS[factory], **found}
    search = {key: value for key, value in arguments.items() if key not in _OFFERED}
    return {"kind": "module", "factory": factory, **found, **({"search": search} if search else {})}


def _layers(said: Sequence[Sequence[Any]]) -> dict[str, Any]:
    """A plain `torch.nn.Sequential`, as `Mlp.layers` writes it."""
    names = [name for name, *_ in said]
    activation = next(name for name in names if name in {plain for _, plain in ACTIVATIONS.values()})
    return {
        "kind": "mlp",
        "depth": names.count("Linear") - 1,
        "width": said[0][2],
        "activation": _activation(activation),
        "skip": "none",
        "batch_norm": "BatchNorm1d" in names,
        "layer_norm": "LayerNorm" in names,
    }


def _activation(plain: str) -> str:
    """Our name of a class of torch.nn."""
    return next(name for name, (_, known) in ACTIVATIONS.items() if known == plain)
