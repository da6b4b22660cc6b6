"""The weights of the selected network: how they are distributed, which are zero, which columns of the table they do not use."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from hpo.report.inputs import ReportInputs

_BINS = 40
_OUTER = 0.995  # of the weights lie in the histogram's range; the rest stand in its last bins


@dataclass(frozen=True)
class Layer:
    """A weight matrix of the final network (all of them together, where several are averaged): how many weights it has, how many
    are exactly zero, and a histogram of the others."""

    name: str
    weights: int
    zeros: int
    edges: Sequence[float]  # (bins + 1,)
    counts: Sequence[int]  # (bins,)


def layers(material: ReportInputs) -> list[Layer]:
    if material.network is None or not material.weights:
        return []
    found = []
    for parameter in material.network.parameters:
        if parameter.role == "weight":
            values = material.weights[parameter.name].double().flatten().numpy()
            rest = values[values != 0]
            bound = float(np.quantile(np.abs(rest), _OUTER)) if len(rest) else 1.0
            counts, edges = np.histogram(np.clip(rest, -bound, bound), _BINS, (-bound, bound))
            found.append(Layer(parameter.name, len(values), len(values) - len(rest), edges.tolist(), counts.tolist()))
    return found


def columns(material: ReportInputs) -> int:
    """How many columns of the table, or terms of its texts, the final network could look at; 0 where that is not known."""
    if (
        material.network is None
        or material.data is None
        or not any(p.inputs is not None for p in material.network.parameters)
    ):
        return 0
    return len(set(material.data.preprocess.groups))


def unused(material: ReportInputs) -> list[str]:
    """Those of them that the final network does not look at: all weights that they meet are zero."""
    if material.network is None or material.data is None or not material.weights:
        return []
    meeting = [p for p in material.network.parameters if p.role == "weight" and p.inputs is not None]
    if not meeting:
        return []
    used = np.zeros(material.data.n_inputs, dtype=bool)
    for parameter in meeting:
        assert parameter.inputs is not None
        nonzero = (material.weights[parameter.name] != 0).numpy()
        used |= np.moveaxis(nonzero, parameter.inputs + 1, -1).reshape(-1, len(used)).any(0)
    groups = material.data.preprocess.groups
    looked_at = {group for group, one in zip(groups, used, strict=True) if one}
    return [": ".join(filter(None, group)) for group in dict.fromkeys(groups) if group not in looked_at]
