"""The weights of the final network: their distribution, how many are zero, and which columns they ignore."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from hpo.report.inputs import ReportInputs

_BINS = 40
_SHOWN = 0.995  # the share of weights within the histogram; the others are counted in its outer bins


@dataclass(frozen=True)
class Layer:
    """A weight matrix of the final network: the number of its weights and zeros, and a histogram of the others.

    If several networks are averaged, it covers all of them.
    """

    name: str
    weights: int
    zeros: int
    edges: Sequence[float]  # (bins + 1,)
    counts: Sequence[int]  # (bins,)


def layers(inputs: ReportInputs) -> list[Layer]:
    """Return the weight matrices of the final network, in its order; none without a final network."""
    if inputs.network is None or not inputs.weights:
        return []
    matrices = []
    for parameter in inputs.network.parameters:
        if parameter.role == "weight":
            values = inputs.weights[parameter.name].double().flatten().numpy()
            nonzero = values[values != 0]
            bound = float(np.quantile(np.abs(nonzero), _SHOWN)) if len(nonzero) else 1.0
            counts, edges = np.histogram(np.clip(nonzero, -bound, bound), _BINS, (-bound, bound))
            zeros = len(values) - len(nonzero)
            matrices.append(Layer(parameter.name, len(values), zeros, edges.tolist(), counts.tolist()))
    return matrices


def n_input_columns(inputs: ReportInputs) -> int:
    """Return the number of columns and terms that the network takes; 0 if its parameters do not declare their
    inputs."""
    if inputs.network is None or inputs.data is None:
        return 0
    if not any(parameter.inputs is not None for parameter in inputs.network.parameters):
        return 0
    return len(set(inputs.data.preprocess.groups))


def unused_columns(inputs: ReportInputs) -> list[str]:
    """Return the columns and terms that the final network ignores, because all weights on them are zero."""
    if inputs.network is None or inputs.data is None or not inputs.weights:
        return []
    first_weights = [p for p in inputs.network.parameters if p.role == "weight" and p.inputs is not None]
    if not first_weights:
        return []
    is_used = np.zeros(inputs.data.n_inputs, dtype=bool)
    for parameter in first_weights:
        assert parameter.inputs is not None
        nonzero = (inputs.weights[parameter.name] != 0).numpy()
        is_used |= np.moveaxis(nonzero, parameter.inputs + 1, -1).reshape(-1, len(is_used)).any(0)
    groups = inputs.data.preprocess.groups
    used = {group for group, used in zip(groups, is_used, strict=True) if used}
    return [": ".join(filter(None, group)) for group in dict.fromkeys(groups) if group not in used]
