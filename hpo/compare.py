"""Two searches side by side: whether what they selected differs beyond noise."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from hpo import evidence
from hpo.errors import InputError
from hpo.finished import Finished
from hpo.metrics import METRICS

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


def compare(first: Finished, second: Finished) -> list[Difference]:
    """The difference in each metric that both have on fresh splits. Raises InputError if the two cannot be compared."""
    a, b = first.result, second.result
    for name, result in ((first.place.name, a), (second.place.name, b)):
        if not result.get("fresh_scores"):
            raise InputError(f"The study {name} is a single configuration, which was not scored on fresh splits; search a space.")
    if a["fingerprint"] != b["fingerprint"]:
        raise InputError(
            f"{first.place.name} and {second.place.name} were searched on different rows, so their scores have nothing in common; "
            f"search both on the same file."
        )
    alike = first.space.data.class_weight == second.space.data.class_weight  # it is a part of what loss means
    shared = [name for name in a["fresh_scores"] if name in b["fresh_scores"] and (alike or name not in _LOSSES)]
    paired = first.space.data.split == second.space.data.split
    found = [_difference(name, a, b, paired=paired) for name in shared]
    return [difference for difference in found if difference]


def _difference(metric: str, a: Mapping[str, Any], b: Mapping[str, Any], *, paired: bool) -> Difference | None:
    """None where no fresh fit has a score."""
    sign = METRICS[metric].sign
    one, two = (sign * np.array(result["fresh_scores"][metric], dtype=float) for result in (a, b))
    one, two = evidence.pairs(one, two) if paired else (one[np.isfinite(one)], two[np.isfinite(two)])
    if not min(len(one), len(two)):
        return None
    overlap = max(a["overlap"], b["overlap"])
    if paired:
        gain, error = evidence.gain(two, one, overlap)
        clear = evidence.differ(one, two, overlap, _DOUBT)
    else:
        gain, error = float(one.mean() - two.mean()), math.hypot(*(evidence.standard_error(x, overlap) for x in (one, two)))
        clear = abs(gain) > error * evidence.quantile(min(len(one), len(two)) - 1, 1 - _DOUBT / 2)
    means = (float(sign * one.mean()), float(sign * two.mean()))
    return Difference(metric, means, gain, error, min(len(one), len(two)), paired, clear)
