"""Compare the selections of two studies, and test whether their re-evaluated scores differ significantly."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from hpo.core import statistics
from hpo.core.errors import InputError
from hpo.core.metrics import METRICS
from hpo.selection.result import SearchResult
from hpo.workflows.completed import CompletedStudy

_LOSSES = ("loss", "source_loss", "iwv", "dev")  # metrics that depend on class weights
_ALPHA = 0.05  # level of the two-sided test


@dataclass(frozen=True)
class Difference:
    """The advantage of the second selection over the first in `metric`, and its standard error.

    `scores` are the mean scores of both selections; `paired` says whether both were scored on the same splits.
    """

    metric: str
    scores: tuple[float, float]
    gain: float
    standard_error: float
    fits: int
    paired: bool
    significant: bool


def compare(first: CompletedStudy, second: CompletedStudy) -> list[Difference]:
    """Return the difference in each metric that both studies have re-evaluated.

    Raises InputError if the studies cannot be compared.
    """
    a, b = first.result, second.result
    _check(first, second)
    first_data, second_data = first.space.data, second.space.data
    same_weights = first_data.class_weight == second_data.class_weight
    shared = [
        name for name in a.reevaluated_scores if name in b.reevaluated_scores and (same_weights or name not in _LOSSES)
    ]
    paired = first_data.split == second_data.split and first_data.target == second_data.target
    differences = [_difference(name, a, b, paired=paired) for name in shared]
    return [difference for difference in differences if difference]


def _check(first: CompletedStudy, second: CompletedStudy) -> None:
    for study in (first, second):
        if not study.result.reevaluated_scores:
            raise InputError(f"The study {study.directory.name} {_why_not_reevaluated(study)}")
    if first.result.fingerprint != second.result.fingerprint:
        raise InputError(
            f"{first.directory.name} and {second.directory.name} were searched on different rows or columns, so their "
            f"scores cannot be compared; search both on the same file, with the same columns read in the same way."
        )
    by_target, by_source = sorted((first, second), key=lambda study: study.result.test_domain_differs)
    if by_target.result.test_domain_differs != by_source.result.test_domain_differs:
        raise InputError(
            f"{by_source.directory.name} is validated on rows of the source and {by_target.directory.name} on rows of "
            f"the target, so their re-evaluated scores cannot be compared; compare their test scores."
        )


def _why_not_reevaluated(study: CompletedStudy) -> str:
    if study.space.is_point:
        return "is a single configuration, which was not re-evaluated; search a space."
    return "was searched with finalists: 0, so nothing was re-evaluated; search it with finalists: 1 or more."


def _difference(metric: str, a: SearchResult, b: SearchResult, *, paired: bool) -> Difference | None:
    """Compare two results in one metric; None if one of them has no finite score."""
    minimized = METRICS[metric].minimized
    first, second = (minimized(np.array(result.reevaluated_scores[metric], dtype=float)) for result in (a, b))
    if paired:
        first, second = statistics.finite_pairs(first, second)
    else:
        first, second = first[np.isfinite(first)], second[np.isfinite(second)]
    fits = min(len(first), len(second))
    if not fits:
        return None
    ratio = max(result.test_train_ratio for result in (a, b) if result.test_train_ratio is not None)
    if paired:
        gain, error = statistics.paired_gain(second, first, ratio)
        significant = statistics.significantly_different(first, second, ratio, _ALPHA)
    else:
        gain = float(first.mean() - second.mean())
        error = math.hypot(*(statistics.standard_error(scores, ratio) for scores in (first, second)))
        significant = abs(gain) > error * statistics.t_quantile(fits - 1, 1 - _ALPHA / 2)
    means = (minimized(float(first.mean())), minimized(float(second.mean())))
    return Difference(metric, means, gain, error, fits, paired, significant)
