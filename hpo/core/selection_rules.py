"""The selection rules: pure functions of what is known about the finalists after the re-evaluation."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from hpo.core import statistics
from hpo.core.posterior import Gain

DEFAULT = "defaults"
# The usual defaults at the usual learning rate and, if they needed more epochs, at higher ones. Gains are measured over
# the best of them, which is the only one that can be selected.
DEFAULTS = (DEFAULT, "defaults_fast", "defaults_faster")
# Candidates whose expected errors differ by less than this share are practically equal: the region of practical
# equivalence. Chosen by replaying searches (docs/decisions/selection.md).
PRACTICALLY_EQUAL = 0.01
_ALPHA = 0.05  # the level of the test of the rule `safe`


@dataclass(frozen=True)
class Candidate:
    """What the rules know about a finalist.

    `gain` is the posterior of its gain over the usual defaults; `sound` is false if a fit diverged. `scores` (fits,)
    are those of the re-evaluation: lower is better, and NaN means that the rows do not define the metric. The same
    position belongs to the same split and seed in all candidates; one that dropped out has fewer scores. `amount` is
    the amount of regularization from 0 to 1, `work` the training effort, `nonzero` the number of weights that are not
    zero.
    """

    label: str
    gain: Gain
    scores: np.ndarray
    sound: bool = True
    amount: float = 0.0
    work: float = 0.0
    nonzero: float = 0.0


# The value that each rule minimizes among the candidates that are practically equal to the best.
_PREFERENCES: dict[str, Callable[[Candidate], float]] = {
    "one_se": lambda c: -c.amount,
    "fastest": lambda c: c.work,
    "sparsest": lambda c: c.nonzero,
}
SELECTION_RULES = ("expected", "best", "safe", *_PREFERENCES)
# The rules that keep the usual defaults unless a candidate is more than practically equal to them. `best` needs any
# expected gain, `safe` a significant one.
RULES_WITH_REGION = ("expected", *_PREFERENCES)


def choose(
    rule: str, candidates: Sequence[Candidate], test_train_ratio: float, region: float = PRACTICALLY_EQUAL
) -> str:
    """Return the label of the selected candidate; `region` is the region of practical equivalence.

    `expected` selects the largest expected gain. The usual defaults are kept if no candidate is expected to be better
    than practically equal to them. `best` also selects a gain that is practically equal to the defaults; it keeps them
    only if no candidate is expected to be better at all. `one_se`, `fastest` and `sparsest` begin with the choice of
    `expected`, and select the most regularized, the fastest to train, or the one with the fewest nonzero weights among
    all candidates that are practically equal to it. `safe` selects the largest expected gain among the candidates that
    are significantly better than the defaults by a paired one-sided t-test at level 0.05. If all candidates diverged,
    the usual defaults are selected.
    """
    sound = [c for c in candidates if c.sound]
    if not sound:
        return min(candidates, key=lambda c: (c.label != DEFAULT, c.label)).label
    default = min((c for c in sound if c.label in DEFAULTS), key=lambda c: (abs(c.gain.mean), c.label), default=None)
    pool = [c for c in sound if c.label not in DEFAULTS]
    if default is not None and rule == "safe":
        pool = [c for c in pool if significantly_better(c, default, test_train_ratio)]
    elif default is not None:
        pool = [
            c
            for c in pool
            if _order(c) < _order(default) and (rule == "best" or not practically_equal(c, default, region))
        ]
    if default is not None and not pool:
        return default.label
    best = min(pool, key=_order)
    if rule not in _PREFERENCES:
        return best.label
    near = [c for c in pool if c is best or practically_equal(best, c, region)]
    return min(near, key=lambda c: (_PREFERENCES[rule](c), *_order(c))).label


def practically_equal(better: Candidate, worse: Candidate, region: float = PRACTICALLY_EQUAL) -> bool:
    """Return whether the expected error of `better` is below that of `worse` by less than the share `region`."""
    return better.gain.mean - worse.gain.mean < -math.log1p(-region)


def significantly_better(candidate: Candidate, default: Candidate, test_train_ratio: float) -> bool:
    """Return whether a candidate is better than the defaults by a paired one-sided t-test at level 0.05."""
    return statistics.significantly_better(candidate.scores, default.scores, test_train_ratio, _ALPHA)


def _order(c: Candidate) -> tuple[float, str]:
    return (-c.gain.mean, c.label)
