"""Statistics of the records of searches. Pure functions of lists of records.

A gain is the reduction of the error on the test rows by a choice instead of the usual defaults, as a share of the error
of the defaults. The error is the followed metric if that is a loss, 1 - R², or 1 - balanced accuracy. The defaults have
the learning rate at which the re-evaluation expects least error of them. In each comparison they are trained like the
choice: as one network or as the average of as many, calibrated or not.

Searches of one set are alike, so all standard errors are clustered by set.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Iterable, Mapping, Sequence
from statistics import fmean
from typing import Any, NamedTuple

from bench.honesty.sets import is_unseen, modes_of
from hpo.core.selection_rules import DEFAULTS

Json = dict[str, Any]
Records = Sequence[Mapping[str, Any]]
Value = Callable[[Mapping[str, Any]], float | None]
CHOICES = ("ours", "single", "today", "argmax", "argmax_average", "argmax_direct", "argmax_average_direct", "oracle")
TRIMMED = 0.05  # the share of the searches that is left out at each end
WORSE = 0.01  # a larger loss of error counts as worse than the defaults
MODES = ("holdout", "folds", "auto")
_Z = 1.959964  # the 97.5 % quantile of the normal distribution


class Mean(NamedTuple):
    """A mean of `n` searches and its standard error, NaN for a single set."""

    value: float
    error: float
    n: int


class Share(NamedTuple):
    """A number of hits of `n`, and Wilson's 95 % interval of the share (JASA 22, 1927)."""

    hits: int
    n: int

    @property
    def value(self) -> float:
        return self.hits / self.n if self.n else math.nan

    @property
    def interval(self) -> tuple[float, float]:
        if not self.n:
            return 0.0, 1.0
        p, z, n = self.value, _Z, self.n
        middle, half = p + z**2 / (2 * n), z * math.sqrt(p * (1 - p) / n + z**2 / (4 * n**2))
        return max(0.0, (middle - half) / (1 + z**2 / n)), min(1.0, (middle + half) / (1 + z**2 / n))


# ---- means


def per_set(records: Records, value: Value) -> dict[str, list[float]]:
    """Return the value of each search by set, without those for which it is None."""
    found: dict[str, list[float]] = {}
    for record in records:
        if (x := value(record)) is not None:
            found.setdefault(record["set"], []).append(x)
    return found


def trimmed(values: Mapping[str, Sequence[float]], share: float = TRIMMED) -> Mean:
    """Return the mean of all values by set without the share of the least and the same share of the largest.

    Its standard error is that of the winsorized values (Tukey & McLaughlin, Sankhyā A 25, 1963), clustered by set
    (Liang & Zeger, Biometrika 73, 1986). For a single set, it is that of independent values.
    """
    every = sorted(x for v in values.values() for x in v)
    n, cut = len(every), int(share * len(every))
    if not n:
        return Mean(math.nan, math.nan, 0)
    kept = every[cut : n - cut]
    low, high = kept[0], kept[-1]
    clusters = [[min(max(x, low), high) for x in v] for v in values.values()]
    center = fmean(x for v in clusters for x in v)
    sums = [sum(x - center for x in v) for v in (clusters if len(clusters) > 1 else [[x] for x in clusters[0]])]
    if len(sums) < 2:
        return Mean(fmean(kept), math.nan, n)
    variance = sum(s * s for s in sums) * len(sums) / (len(sums) - 1)
    return Mean(fmean(kept), math.sqrt(variance) / (n * (1 - 2 * cut / n)), n)


def mean(records: Records, value: Value) -> Mean:
    """Return the mean over searches, with a standard error that is clustered by set."""
    return trimmed(per_set(records, value), 0.0)


def median(records: Records, value: Value) -> float:
    """Return the median over all searches, NaN without any."""
    every = [x for record in records if (x := value(record)) is not None]
    return statistics.median(every) if every else math.nan


# ---- groups of records


def with_auto(records: Records) -> list[Mapping[str, Any]]:
    """Add the records of the mode `auto`: for each set and seed, that of the mode that it resolves to."""
    auto = [r | {"mode": "auto"} for r in records if r["mode"] == modes_of("auto", r["rows"]["dev"])]
    return [*records, *auto]


def of_mode(records: Records, mode: str) -> list[Mapping[str, Any]]:
    return [r for r in records if r["mode"] == mode]


def of_metric(records: Records, metric: str) -> list[Mapping[str, Any]]:
    return [r for r in records if r["metric"] == metric]


def unseen(records: Records) -> list[Mapping[str, Any]]:
    """Return the searches of tables that no rule was chosen on."""
    return [r for r in records if is_unseen(r["set"])]


def names(records: Records) -> list[str]:
    """Return the sets in the order of their first record."""
    return list(dict.fromkeys(r["set"] for r in records))


def followed(records: Records) -> list[str]:
    """Return the followed metrics, the loss first."""
    known = {r["metric"] for r in records}
    return [metric for metric in ("loss", "balanced_accuracy", "r2") if metric in known]


def tracked(records: Records) -> list[str]:
    """Return the metrics of all records, the loss first."""
    return list(dict.fromkeys(m for r in records for m in r["metrics"]))


def modes(records: Iterable[Mapping[str, Any]]) -> list[str]:
    known = {r["mode"] for r in records}
    return [mode for mode in MODES if mode in known]


# ---- gains on the test rows


def error(metric: str, score: float, rows: int) -> float:
    """Return a score as an error, which is positive; without a wrong row, it is half a row."""
    return score if metric == "loss" else 1 - score + 0.5 / rows


def gain(who: str, *, points: bool = False) -> Value:
    """Return the gain of a choice over the defaults: positive is better. None if one of them diverged.

    With `points`, it is the difference of the errors instead of its share of the error of the defaults.
    """

    def value(record: Mapping[str, Any]) -> float | None:
        if who == "oracle":
            return fmean(_reduced(pair, points) for pair in _oracle_errors(record))
        scores = scores_of(record, who)
        if scores is None:
            return None
        metric = record["metric"]
        ours, theirs = (error(metric, s[metric], record["rows"]["test"]) for s in scores)
        return _reduced((ours, theirs), points)

    return value


def _reduced(errors: tuple[float, float], points: bool) -> float:
    """Return how much smaller the first error is than the second."""
    ours, theirs = errors
    return theirs - ours if points else 1 - ours / theirs


def scores_of(record: Mapping[str, Any], who: str) -> tuple[Json, Json] | None:
    """Return the test scores of a choice and those of the defaults that it is compared with.

    `ours` is the handed-over average and `single` its first network. `argmax` is the single network of a plain tuner
    and `argmax_average` the average of as many as ours; `argmax_direct` and `argmax_average_direct` are the same
    networks, compared with the defaults of ours. `today` is the rule `safe`; other rules have their own name.
    """
    if who.startswith("argmax"):
        said = record["argmax"]["average" if "average" in who else "single"]
        if said is not None and who.endswith("direct"):
            said = {"test": said["test"], "default_test": record["ours"]["default_test"]}
    elif who in ("ours", "single"):
        said = record["ours"] if who == "ours" else record["ours"]["single"]
    else:
        chosen, pool = record["rules"]["safe" if who == "today" else who], record["pool"]
        default_test = pool[record["default"]]["test"]
        said = {"test": pool[chosen]["test"], "default_test": default_test} if chosen in pool else None
    return None if said is None else (said["test"], said["default_test"])


def split_half_choices(errors: Mapping[str, Sequence[float]]) -> tuple[str, str]:
    """Return the configuration with the least error on the second half of the rows, then that on the first half.

    `errors` holds the error on each half by configuration. So each choice is scored on the half that did not make it.
    """
    return min(errors, key=lambda label: errors[label][1]), min(errors, key=lambda label: errors[label][0])


def _oracle_errors(record: Mapping[str, Any]) -> list[tuple[float, float]]:
    """Return the errors of the oracle and of the defaults on each half of the test rows."""
    rows = record["rows"]["test"] / 2
    errors = {
        label: [error(record["metric"], score, rows) for score in one["halves"]]
        for label, one in record["pool"].items()
    }
    choices = split_half_choices(errors)
    return [(errors[label][half], errors[record["default"]][half]) for half, label in enumerate(choices)]


def mean_gain(records: Records, who: str, *, points: bool = False) -> Mean:
    """Return the trimmed mean gain."""
    return trimmed(per_set(records, gain(who, points=points)))


def headroom(records: Records, who: str) -> float:
    """Return the trimmed mean gain as a share of that of the oracle, NaN if the oracle gains nothing."""
    oracle = mean_gain(records, "oracle").value
    return mean_gain(records, who).value / oracle if oracle > 0 else math.nan


def worse(records: Records, who: str, by: float = WORSE, *, points: bool = False) -> Share:
    """Return how often the error is larger than that of the defaults by more than a share of it, or by more points."""
    gains = [g for v in per_set(records, gain(who, points=points)).values() for g in v]
    return Share(sum(g < -by for g in gains), len(gains))


def kept_defaults(records: Records, rule: str | None = None) -> Share:
    """Return how often the defaults were handed over, or would have been by another rule."""
    chosen = [r["rules"][rule] if rule else r["ours"]["trial"] for r in records]
    return Share(sum(label in DEFAULTS for label in chosen), len(chosen))
