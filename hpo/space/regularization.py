"""The amount of regularization of a configuration."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from hpo.regularizers import FAMILY, STRENGTHS, is_off
from hpo.space.hyperparameter import Hyperparameter

_ON = 0.1  # the position of the smallest value of a strength that can be off


def amount(hyperparameters: Mapping[str, Hyperparameter], params: Mapping[str, Any]) -> float:
    """The amount of regularization of a configuration: the mean position of its values in the searched ranges,
    from 0 (least) to 1.

    Each key of the family defines in which direction regularization increases; a key that is off counts as 0. Keys
    without a direction do not count.
    """
    positions = []
    for key, values in hyperparameters.items():
        if key in FAMILY and FAMILY[key].direction and values.sampled:
            can_be_off = values.optional or (key in STRENGTHS and bool(values.when))
            position = values.to_unit(params[key])
            position = position if FAMILY[key].direction > 0 else 1 - position
            off = is_off(key, params[key])
            positions.append(0.0 if off else _ON + (1 - _ON) * position if can_be_off else position)
    return float(np.mean(positions)) if positions else 0.0
