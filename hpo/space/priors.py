"""Where somebody expects good values: `prior: {best: 1e-2, confidence: medium}` on a key of the space.

The first proposals of a study are the point of all `best` values, and a few around it; what has no prior is left to the sampler.
From then on the sampler goes by results alone, so a wrong prior costs these trials and nothing else. πBO (Hvarfner et al., ICLR
2022) multiplies the acquisition function by the prior instead, and forgets it slowly; PriorBand (Mallik et al., NeurIPS 2023) draws
a share of all configurations from the prior, a shrinking one while it does not help. Both need a sampler of their own; these
trials work with each of Optuna's, whose models learn from them what the prior is worth.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from hpo.space.hyperparameter import Hyperparameter, Prior

SWITCH = "_enabled"  # an optional strength is two parameters: a magnitude, and this one


@dataclass(frozen=True)
class _Around:
    """What a confidence means: how many trials follow that of all best values, the standard deviation of their values as a share
    of the range on its own scale, and how often choices and "off" stay as expected."""

    trials: int
    spread: float
    stays: float


_AROUND = {"low": _Around(2, 0.3, 0.5), "medium": _Around(4, 0.15, 0.7), "high": _Around(8, 0.07, 0.9)}


def expected(domains: Mapping[str, Hyperparameter], seed: int, number: int) -> dict[str, Any]:
    """The parameters that proposal `number` of a study is to have, by the names that samplers know; {} if none.

    It follows from the study's seed and the number, so a search that was cut off proposes the same.
    """
    priors = {key: domain.prior for key, domain in domains.items() if domain.prior is not None}
    if number > max((_AROUND[prior.confidence].trials for prior in priors.values()), default=-1):
        return {}
    stream = np.random.default_rng((seed, number, 1))
    found: dict[str, Any] = {}
    for key, prior in priors.items():
        around = _AROUND[prior.confidence] if number else _Around(0, 0.0, 1.0)
        found |= _drawn(key, domains[key], prior, around, stream)
    return found


def _drawn(
    key: str, domain: Hyperparameter, prior: Prior, around: _Around, stream: np.random.Generator
) -> dict[str, Any]:
    """The magnitude and the switch of one key. All keys draw alike, so that none changes what another gets."""
    shift, change, other = stream.normal(), stream.random(), stream.random()
    found: dict[str, Any] = {}
    off = domain.optional and prior.best == "off"
    if domain.optional:
        found[key + SWITCH] = off != bool(change < around.stays)
    if off or len(domain.choices) == 1:
        return found
    if not domain.choices:
        found[key] = domain.clip(
            domain.from_unit(min(max(domain.to_unit(prior.best) + shift * around.spread, 0.0), 1.0))
        )
    elif change < around.stays or domain.optional:
        found[key] = prior.best
    else:
        found[key] = domain.choices[int(other * len(domain.choices))]
    return found
