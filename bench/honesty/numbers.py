"""Statistics of the records of searches. Pure functions of lists of records.

A record has one search: the set, its seed, the reported and the test score of a plain tuner (`argmax`: the best
validation score and the weights with it), and those of hpo (`ours`). Losses of different sets are compared as shares of
the test loss of the defaults without search on the same rows.

Searches of one set are alike, so a standard error over several sets is that of the means by set (clustered by set);
over the searches of one set it is the ordinary one.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Iterable, Mapping, Sequence
from statistics import fmean, stdev
from typing import Any, NamedTuple

Json = dict[str, Any]
Records = Sequence[Mapping[str, Any]]
Value = Callable[[Mapping[str, Any]], float | None]
WHO = ("argmax", "ours")
RULES = ("best", "one_se", "fastest", "sparsest")
_Z = 1.959964  # the 97.5 % quantile of the normal distribution


class Mean(NamedTuple):
    """A mean of `n` searches and its standard error, NaN for a single value or set."""

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


def per_set(records: Records, value: Value) -> dict[str, list[float]]:
    """Return the value of each search by set, without those for which it is None."""
    found: dict[str, list[float]] = {}
    for record in records:
        if (x := value(record)) is not None:
            found.setdefault(record["set"], []).append(x)
    return found


def clustered(values: Mapping[str, Sequence[float]]) -> Mean:
    """Return the mean over the means of the sets, with a standard error from their differences.

    For a single set, the error is that of its searches.
    """
    means = [fmean(v) for v in values.values()]
    spread = means if len(means) > 1 else [x for v in values.values() for x in v]
    error = stdev(spread) / math.sqrt(len(spread)) if len(spread) > 1 else math.nan
    return Mean(fmean(means) if means else math.nan, error, sum(map(len, values.values())))


def median(values: Mapping[str, Sequence[float]]) -> float:
    """Return the median over all searches, since the few sets with tiny losses of the defaults dominate a mean of
    shares."""
    return statistics.median(every) if (every := [x for v in values.values() for x in v]) else math.nan


def of_mode(records: Records, mode: str) -> list[Mapping[str, Any]]:
    return [r for r in records if r["mode"] == mode]


# ---- the reported score and the test score


def surprise(who: str, metric: str) -> Value:
    """Return the reported minus the test score; a loss as a share of the test loss of the defaults.

    Too optimistic is below zero for a loss, and above zero for a metric that is better if higher.
    """

    def value(record: Mapping[str, Any]) -> float | None:
        if metric not in record["metrics"]:
            return None
        said = record[who]
        return (said["reported"][metric] - said["test"][metric]) / _unit(record, who, metric)

    return value


def bias(records: Records, who: str, metric: str) -> Mean:
    """Return the mean surprise."""
    return clustered(per_set(records, surprise(who, metric)))


def rmse(records: Records, who: str, metric: str) -> Mean:
    """Return the root mean squared surprise; its error is that of the square, by the delta method."""
    squares = {name: [x**2 for x in values] for name, values in per_set(records, surprise(who, metric)).items()}
    mean = clustered(squares)
    root = math.sqrt(mean.value)
    return Mean(root, mean.error / (2 * root) if root else 0.0, mean.n)


def coverage(records: Records, metric: str) -> Share:
    """Return how often the interval that hpo gives for a test score contains it."""
    inside = [
        low <= r["ours"]["test"][metric] <= high
        for r in records
        if metric in r["ours"]["interval"]
        for low, high in [r["ours"]["interval"][metric]]
    ]
    return Share(sum(inside), len(inside))


# ---- the selection


def is_worse(record: Mapping[str, Any], who: str, errors: float = 0.0) -> bool:
    """Return whether the selection has a larger test loss than the defaults, by more than this many paired standard
    errors.

    The defaults are not worse than themselves.
    """
    said = record[who]
    if said["trial"] == "defaults" or said.get("is_default", False):
        return False
    beyond = errors * said["error"]["loss"] if errors else 0.0
    return bool(said["test"]["loss"] - said["default_test"]["loss"] > beyond)


def worse(records: Records, who: str, errors: float = 0.0) -> Share:
    """Return how often that is so; with `errors`, among the searches whose records have standard errors."""
    known = [r for r in records if not errors or "error" in r[who]]
    return Share(sum(is_worse(r, who, errors) for r in known), len(known))


def kept_defaults(records: Records) -> Share:
    return Share(sum(bool(r["ours"]["is_default"]) for r in records), len(records))


def gain(who: str) -> Value:
    """Return the test loss of the selection minus that of the defaults, relative to the latter: negative is a gain."""
    return lambda r: (r[who]["test"]["loss"] - r[who]["default_test"]["loss"]) / _unit(r, who, "loss")


def against_argmax(record: Mapping[str, Any]) -> float:
    """Return the test loss of ours minus that of the plain tuner, relative to the defaults that ours names."""
    return (record["ours"]["test"]["loss"] - record["argmax"]["test"]["loss"]) / _unit(record, "ours", "loss")


def regret(what: str) -> Value:
    """Return the test loss of the choice of a rule, `ours` or `argmax`, minus the least in the pool, relative to the
    defaults.

    The pool is the refitted configurations. The weights of the plain tuner are not in it, so its regret can be below
    zero.
    """

    def value(record: Mapping[str, Any]) -> float | None:
        said = record[what] if what in WHO else record["rules"].get(what)
        if said is None:
            return None
        least = min(one["test"]["loss"] for one in record["pool"].values())
        return (said["test"]["loss"] - least) / _unit(record, "ours", "loss")

    return value


# ---- the cost


def total(record: Mapping[str, Any], of: str = "epochs") -> float:
    return float(sum(record[of].values()))


def extra(of: str) -> Value:
    """Return the training after the search (re-evaluation and refits) relative to the search; `of` is epochs or
    seconds."""
    return lambda r: (r[of]["fresh"] + r[of]["refit"]) / r[of]["search"]


def pairs(records: Records) -> list[tuple[Mapping[str, Any], Mapping[str, Any]]]:
    """Return the searches by hold-out and by folds with the same set and seed, and so the same test rows."""
    by = {(r["set"], r["seed"], r["mode"]): r for r in records}
    return [
        (r, by[name, seed, "folds"])
        for (name, seed, mode), r in by.items()
        if mode == "holdout" and (name, seed, "folds") in by
    ]


def folds_cost(records: Records, of: str = "epochs") -> Mean:
    """Return the cost of folds relative to a hold-out part: the geometric mean, with the error of its logarithm."""
    logs = _paired(records, lambda one, folds: math.log(total(folds, of) / total(one, of)))
    mean = clustered(logs)
    return Mean(math.exp(mean.value), mean.error, mean.n)


def folds_gain(records: Records, name: str | None = None) -> Mean:
    """Return the test loss of ours by folds minus that by hold-out, relative to the defaults: below zero, folds are
    better.

    Of all sets or of one.
    """
    change = _paired(
        records,
        lambda one, folds: (folds["ours"]["test"]["loss"] - one["ours"]["test"]["loss"]) / _unit(one, "ours", "loss"),
    )
    return clustered(change if name is None else {name: change[name]})


def _paired(records: Records, value: Callable[[Mapping[str, Any], Mapping[str, Any]], float]) -> dict[str, list[float]]:
    found: dict[str, list[float]] = {}
    for one, folds in pairs(records):
        found.setdefault(one["set"], []).append(value(one, folds))
    return found


# ---- sets where ours is worse


def lost(values: Mapping[str, Sequence[float]]) -> dict[str, Mean]:
    """Return the sets whose mean is above zero (a loss), the largest first."""
    means = {name: clustered({name: v}) for name, v in values.items()}
    return dict(sorted(((n, m) for n, m in means.items() if m.value > 0), key=lambda item: -item[1].value))


def names(records: Records) -> list[str]:
    """Return the sets in the order of their first record."""
    return list(dict.fromkeys(r["set"] for r in records))


def metrics(records: Records) -> list[str]:
    """Return the metrics of all tasks, the loss first."""
    return list(dict.fromkeys(m for r in records for m in r["metrics"]))


def modes(records: Iterable[Mapping[str, Any]]) -> list[str]:
    known = {r["mode"] for r in records}
    return [mode for mode in ("holdout", "folds") if mode in known]


def _unit(record: Mapping[str, Any], who: str, metric: str) -> float:
    """Return the divisor of a difference of a metric."""
    return float(record[who]["default_test"]["loss"]) if metric == "loss" else 1.0
