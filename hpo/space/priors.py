"""Expected values: `prior: {best: 1e-2, confidence: medium}` on a key of the space.

The first proposals of a study are the point of all `best` values and a few points around it; keys without a prior are
left to the sampler. From then on, the sampler only uses the results, so a wrong prior costs these trials and nothing
else. πBO (Hvarfner et al., ICLR 2022) multiplies the acquisition function by the prior instead, with a decaying weight;
PriorBand (Mallik et al., NeurIPS 2023) draws a fraction of all configurations from the prior, and lowers that fraction
if the prior does not help. Both need a special sampler, whereas the first proposals work with all samplers of Optuna.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from hpo.space.hyperparameter import Hyperparameter, Prior

SWITCH = "_enabled"  # suffix of the second parameter of an optional strength, next to its magnitude


@dataclass(frozen=True)
class _Around:
    """The meaning of a confidence: the number of trials after the point of all best values, the standard deviation of
    their values as a fraction of the range on its own scale, and the probability that choices and "off" stay as
    expected."""

    trials: int
    spread: float
    stays: float


_AROUND = {"low": _Around(2, 0.3, 0.5), "medium": _Around(4, 0.15, 0.7), "high": _Around(8, 0.07, 0.9)}


def prior_point(hyperparameters: Mapping[str, Hyperparameter], seed: int, number: int) -> dict[str, Any]:
    """Return the parameters of proposal `number` that follow from the priors, by the sampler's names; {} if none do.

    They depend only on the study's seed and the number, so an interrupted search proposes the same ones again.
    """
    priors = {key: values.prior for key, values in hyperparameters.items() if values.prior is not None}
    if number > max((_AROUND[prior.confidence].trials for prior in priors.values()), default=-1):
        return {}
    rng = np.random.default_rng((seed, number, 1))
    params: dict[str, Any] = {}
    for key, prior in priors.items():
        around = _AROUND[prior.confidence] if number else _Around(0, 0.0, 1.0)
        params |= _draw(key, hyperparameters[key], prior, around, rng)
    return params


def _draw(key: str, values: Hyperparameter, prior: Prior, around: _Around, rng: np.random.Generator) -> dict[str, Any]:
    """Return the magnitude and the switch of one key.

    Three random numbers are drawn for each key, needed or not, so that no key influences another.
    """
    shift, change, choice = rng.normal(), rng.random(), rng.random()
    params: dict[str, Any] = {}
    off = values.optional and prior.best == "off"
    if values.optional:
        params[key + SWITCH] = off != bool(change < around.stays)
    if off or len(values.choices) == 1:
        return params
    if not values.choices:
        params[key] = values.clip(
            values.from_unit(min(max(values.to_unit(prior.best) + shift * around.spread, 0.0), 1.0))
        )
    elif change < around.stays or values.optional:
        params[key] = prior.best
    else:
        params[key] = values.choices[int(choice * len(values.choices))]
    return params
