"""The selection rules: pure functions of the finalists' scores in the re-evaluation."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from hpo.core import statistics

DEFAULT = "defaults"  # the candidate that is selected unless another one is significantly better
_ALPHA = 0.05  # the level of the test against the defaults


@dataclass(frozen=True)
class Candidate:
    """The values of a finalist that the rules use.

    `scores` (fits,) are those of the re-evaluation: lower is better, and infinity means that the fit diverged. The
    same position belongs to the same split and seed in all candidates; one that dropped out has fewer scores. `amount`
    is the amount of regularization from 0 to 1, `work` the training effort, `nonzero` the number of weights that are
    not zero.
    """

    label: str
    scores: np.ndarray
    amount: float = 0.0
    work: float = 0.0
    nonzero: float = 0.0

    @property
    def sound(self) -> bool:
        """Whether it has scores and did not diverge on any split."""
        return len(self.scores) > 0 and bool(np.isfinite(self.scores).all())

    @property
    def mean(self) -> float:
        """The mean score, or infinity if the candidate is not sound."""
        return float(self.scores.mean()) if self.sound else math.inf


# The value that each rule minimizes among the candidates within one standard error of the best.
SELECTION_RULES: dict[str, Callable[[Candidate], float]] = {
    "best": lambda c: c.mean,
    "one_se": lambda c: -c.amount,
    "fastest": lambda c: c.work,
    "sparsest": lambda c: c.nonzero,
}


def in_contention(candidates: Sequence[Candidate]) -> list[Candidate]:
    """Return the candidates that were evaluated on every split and did not diverge."""
    most = max(len(c.scores) for c in candidates)
    return [c for c in candidates if len(c.scores) == most and c.sound]


def dropped(candidates: Sequence[Candidate], test_train_ratio: float) -> set[str]:
    """Return the labels of the candidates that are worse than the best by more than one paired standard error."""
    contenders = in_contention(candidates)
    if not contenders:
        return {c.label for c in candidates}
    best = min(contenders, key=_order)
    staying = {c.label for c in contenders if _errors_behind(c, best, test_train_ratio) <= 1}
    return {c.label for c in candidates} - staying


def better_than_default(candidates: Sequence[Candidate], test_train_ratio: float) -> list[Candidate]:
    """Return the contenders that are significantly better than the defaults (all of them if the defaults diverged)."""
    default = next((c for c in candidates if c.label == DEFAULT), None)
    rivals = [c for c in in_contention(candidates) if c.label != DEFAULT]
    if default is None or not default.sound:
        return rivals
    return [c for c in rivals if statistics.significantly_better(c.scores, default.scores, test_train_ratio, _ALPHA)]


def choose(rule: str, candidates: Sequence[Candidate], test_train_ratio: float) -> str:
    """Return the label of the selected candidate.

    Only candidates that are significantly better than the defaults can be selected in their place. Of these, `best`
    selects the best mean. The other rules consider all within one standard error of the best (Breiman et al., CART,
    1984; here the paired error) and select the most regularized (`one_se`), the fastest to train (`fastest`), or the
    one with the fewest nonzero weights (`sparsest`).
    """
    pool = better_than_default(candidates, test_train_ratio)
    if not pool:
        labels = {c.label for c in candidates}
        return DEFAULT if DEFAULT in labels else min(candidates, key=_order).label
    best = min(pool, key=_order)
    near = pool if rule == "best" else [c for c in pool if _errors_behind(c, best, test_train_ratio) <= 1]
    return min(near, key=lambda c: (SELECTION_RULES[rule](c), *_order(c))).label


def _order(c: Candidate) -> tuple[float, str]:
    return (c.mean, c.label)


def _errors_behind(c: Candidate, best: Candidate, test_train_ratio: float) -> float:
    """Return by how many paired standard errors a candidate is worse than the best."""
    if c is best:
        return 0.0
    gain, error = statistics.paired_gain(best.scores, c.scores, test_train_ratio)
    return 0.0 if gain <= 0 else gain / error if error else math.inf
