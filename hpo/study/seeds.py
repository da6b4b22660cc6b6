"""The random seeds of trials, derived from the study's seed and the trial's key."""

from __future__ import annotations

import zlib

import numpy as np

from hpo.core.trial_key import TrialKey
from hpo.space.space import Space


def fit_seed(space: Space, key: TrialKey) -> int:
    """The seed for the fits of a trial: `train.seed` if the space sets it, else derived from the key."""
    if space.train.seed is not None:
        return space.train.seed
    return derived_seed(space, key.number if key.is_searched else str(key))


def derived_seed(space: Space, name: int | str) -> int:
    """A seed that differs for each number and name, even if the space sets `train.seed`."""
    key = name if isinstance(name, int) else zlib.crc32(name.encode()) + 2**32
    base = space.seed if space.train.seed is None else space.train.seed
    return int(np.random.SeedSequence((base, key)).generate_state(1)[0])
