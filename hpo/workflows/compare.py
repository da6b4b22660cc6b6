"""Two searches side by side: whether what they selected differs beyond noise."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from hpo.core import statistics
from hpo.core.errors import InputError
from hpo.core.metrics import METRICS
from hpo.workflows.completed import CompletedStudy

_LOSSES = ("loss", "source_loss", "iwv", "dev")
_DOUBT = 0.05  # that a difference is called one although there is none


@dataclass(frozen=True)
class Difference:
    """By how much the second selection is better than the first in `metric`, and the standard error of it; `paired` if both were
    scored on the same splits."""

    metric: str
    scores: tuple[float, float]
    gain: float
    standard_error: float
    fits: int
    paired: bool
    beyond_noise: bool


def compare(first: CompletedStudy, second: CompletedStudy) -> list[Difference]:
    """The difference in each metric that both have on fresh splits. Raises InputError if the two cannot be compared."""
    a, b = first.result, second.result
    for search in (first, second):
        if not search.result.get("fresh_scores"):
            point = "is a single configuration, which was not scored on fresh splits; search a space."
            unproved = "was searched with finalists: 0, so nothing of it was scored on fresh splits; search it with finalists: 1 or more."
            raise InputError(f"The study {search.place.name} {point if search.space.is_point else unproved}")
    if a["fingerprint"] != b["fingerprint"]:
        raise InputError(
            f"{first.place.name} and {second.place.name} were searched on different rows or columns, so their scores cannot be compared; "
            f"search both on the same file, with the same columns read in the same way."
        )
    by_target, by_source = sorted((first, second), key=_judged_by_source)
    if _judged_by_source(by_target) != _judged_by_source(by_source):
        raise InputError(
            f"{by_source.place.name} is judged by rows of the source and {by_target.place.name} by rows of the target, so fresh scores have "
            f"nothing in common; compare their test scores."
        )
    one, two = first.space.data, second.space.data
    alike = one.class_weight == two.class_weight  # it is a part of what loss means
    shared = [name for name in a["fresh_scores"] if name in b["fresh_scores"] and (alike or name not in _LOSSES)]
    paired = one.split == two.split and one.target == two.target
    found = [_difference(name, a, b, paired=paired) for name in shared]
    return [difference for difference in found if difference]


def _judged_by_source(search: CompletedStudy) -> bool:
    """Whether its fresh scores are of another domain than its test scores."""
    return bool(search.result.get("unpromised"))  # an older hpo did not say


def _difference(metric: str, a: Mapping[str, Any], b: Mapping[str, Any], *, paired: bool) -> Difference | None:
    """None where no fresh fit has a score."""
    sign = METRICS[metric].sign
    one, two = (sign * np.array(result["fresh_scores"][metric], dtype=float) for result in (a, b))
    one, two = statistics.finite_pairs(one, two) if paired else (one[np.isfinite(one)], two[np.isfinite(two)])
    if not min(len(one), len(two)):
        return None
    overlap = max(a["overlap"], b["overlap"])
    if paired:
        gain, error = statistics.paired_gain(two, one, overlap)
        clear = statistics.significantly_different(one, two, overlap, _DOUBT)
    else:
        gain, error = (
            float(one.mean() - two.mean()),
            math.hypot(*(statistics.standard_error(x, overlap) for x in (one, two))),
        )
        clear = abs(gain) > error * statistics.t_quantile(min(len(one), len(two)) - 1, 1 - _DOUBT / 2)
    means = (float(sign * one.mean()), float(sign * two.mean()))
    return Difference(metric, means, gain, error, min(len(one), len(two)), paired, clear)
