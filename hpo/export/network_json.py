"""Convert the `network.json` of an exported directory to the section `network` of a space."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from hpo import nets
from hpo.core.importing import qualified_name
from hpo.nn.mlp import ACTIVATIONS

_KINDS = {qualified_name(nets.resnet): "resnet", qualified_name(nets.cnn): "cnn"}
_FACTORY_ARGUMENTS = ("n_inputs", "n_outputs", "depth", "width", "image")  # all others are keys of network.search


def network_section(description: Any) -> dict[str, Any]:
    """Return the section of the described network, without the numbers of inputs and outputs.

    If the network has a `depth`, the section includes it, although a space has that key under `search`. Raises
    KeyError, IndexError, TypeError or ValueError if the description was not written by `hpo export`.
    """
    if not isinstance(description, Mapping):
        return _mlp_section(description)
    arguments, factory = dict(description["arguments"]), description["factory"]
    if factory == qualified_name(nets.residual):
        kept = {key: arguments[key] for key in ("depth", "width", "skip", "batch_norm", "layer_norm")}
        return {"kind": "mlp", "activation": _activation(arguments["activation"]), **kept}
    section = {key: arguments[key] for key in ("depth", "width") if key in arguments}
    if description["image"]:
        section["image"] = description["image"]
    if factory in _KINDS:
        return {"kind": _KINDS[factory], **section}
    search = {key: value for key, value in arguments.items() if key not in _FACTORY_ARGUMENTS}
    return {"kind": "module", "factory": factory, **section, **({"search": search} if search else {})}


def _mlp_section(layers: Sequence[Sequence[Any]]) -> dict[str, Any]:
    """Return the section of an MLP from the layers of its `torch.nn.Sequential`, as `Mlp.layers` describes them."""
    names = [name for name, *_ in layers]
    activation = next(name for name in names if name in {plain for _, plain in ACTIVATIONS.values()})
    return {
        "kind": "mlp",
        "depth": names.count("Linear") - 1,
        "width": layers[0][2],
        "activation": _activation(activation),
        "skip": "none",
        "batch_norm": "BatchNorm1d" in names,
        "layer_norm": "LayerNorm" in names,
    }


def _activation(class_name: str) -> str:
    """Return the space's name of an activation class of torch.nn."""
    return next(name for name, (_, torch_name) in ACTIVATIONS.items() if torch_name == class_name)
