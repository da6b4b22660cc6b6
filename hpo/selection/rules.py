"""Which of the finalists is selected: pure functions of their scores on fresh splits."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from hpo.core import statistics

DEFAULT = "defaults"  # the candidate that is selected where nothing beats it
_DOUBT = 0.05  # that a candidate is said to beat the defaults although it does not


@dataclass(frozen=True)
class Candidate:
    """A configuration as it did on fresh splits.

    `scores` (fits,): lower is better; the same place is the same split and seed for all candidates, and who dropped out has
    fewer. `amount`: how regularized it is, 0 to 1. `work`: what training it takes. `nonzero`: weights that are not zero.
    """

    label: str
    scores: np.ndarray
    amount: float = 0.0
    work: float = 0.0
    nonzero: float = 0.0

    @property
    def sound(self) -> bool:
        """Whether it was scored, and did not diverge on any split."""
        return len(self.scores) > 0 and bool(np.isfinite(self.scores).all())

    @property
    def mean(self) -> float:
        return float(self.scores.mean()) if self.sound else math.inf


# What each rule prefers among those that are within one standard error of the best; smaller comes first.
_ORDER: dict[str, Callable[[Candidate], float]] = {
    "best": lambda c: c.mean,
    "one_se": lambda c: -c.amount,
    "fastest": lambda c: c.work,
    "sparsest": lambda c: c.nonzero,
}


def in_contention(candidates: Sequence[Candidate]) -> list[Candidate]:
    """Those that have been through every split, and did not diverge on any."""
    most = max(len(c.scores) for c in candidates)
    return [c for c in candidates if len(c.scores) == most and c.sound]


def dropped(candidates: Sequence[Candidate], test_train_ratio: float) -> set[str]:
    """The labels of those that need no further split: worse than the best by more than a paired standard error."""
    left = in_contention(candidates)
    if not left:
        return {c.label for c in candidates}
    best = min(left, key=_order)
    staying = {c.label for c in left if _behind(c, best, test_train_ratio) <= 1}
    return {c.label for c in candidates} - staying


def better_than_default(candidates: Sequence[Candidate], test_train_ratio: float) -> list[Candidate]:
    """Those in contention that beat the defaults beyond noise."""
    default = next((c for c in candidates if c.label == DEFAULT), None)
    rivals = [c for c in in_contention(candidates) if c.label != DEFAULT]
    if default is None or not default.sound:
        return rivals
    return [c for c in rivals if statistics.significantly_better(c.scores, default.scores, test_train_ratio, _DOUBT)]


def choose(rule: str, candidates: Sequence[Candidate], test_train_ratio: float) -> str:
    """The label of the selected candidate.

    Only who beats the defaults beyond noise can be selected in their place. Of those, `best` has the best mean; the other
    rules take, among all within one standard error of it (Breiman et al., CART, 1984; here the paired error), the most
    regularized, the fastest to train, or the one with the fewest weights.
    """
    pool = better_than_default(candidates, test_train_ratio)
    if not pool:
        known = {c.label for c in candidates}
        return DEFAULT if DEFAULT in known else min(candidates, key=_order).label
    best = min(pool, key=_order)
    near = pool if rule == "best" else [c for c in pool if _behind(c, best, test_train_ratio) <= 1]
    return min(near, key=lambda c: (_ORDER[rule](c), *_order(c))).label


def _order(c: Candidate) -> tuple[float, str]:
    return (c.mean, c.label)


def _behind(c: Candidate, best: Candidate, overlap: float) -> float:
    """By how many paired standard errors a candidate is worse than the best."""
    if c is best:
        return 0.0
    better, error = statistics.paired_gain(best.scores, c.scores, overlap)
    return 0.0 if better <= 0 else better / error if error else math.inf
