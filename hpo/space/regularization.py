"""How regularized a configuration is."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from hpo.regularizers import FAMILY, STRENGTHS
from hpo.space.hyperparameter import Hyperparameter

_ON = 0.1  # where the least value of a strength stands that can be off


def amount(domains: Mapping[str, Hyperparameter], params: Mapping[str, Any]) -> float:
    """How regularized a configuration is: the mean of its places in the ranges that are searched, 0 the least, 1 the most.

    "More" has the direction that each member of the family gives itself, so it cannot be sorted the wrong way; off is 0. A key
    without a direction does not count.
    """
    places = []
    for key, domain in domains.items():
        if key in FAMILY and FAMILY[key].direction and domain.sampled:
            can_be_off = domain.optional or (key in STRENGTHS and bool(domain.when))
            place = domain.to_unit(params[key])
            place = place if FAMILY[key].direction > 0 else 1 - place
            off = key in STRENGTHS and params[key] == FAMILY[key].default_value
            places.append(0.0 if off else _ON + (1 - _ON) * place if can_be_off else place)
    return float(np.mean(places)) if places else 0.0
