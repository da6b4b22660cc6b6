"""What the records of searches say, as numbers: pure functions on lists of records.

A record has one search: the set, its seed, what a plain tuner would have reported and got (`argmax`: the best validation
score and the weights that had it), and the same of hpo (`ours`). Losses of different sets are compared as shares of the test
loss of the unsearched defaults on the same rows.

Searches of one set are alike, so a standard error over several sets is that of the sets' means (clustered by set); over the
searches of one set it is the ordinary one.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from statistics import fmean, median, stdev
from typing import Any, NamedTuple

Json = dict[str, Any]
Records = Sequence[Mapping[str, Any]]
Value = Callable[[Mapping[str, Any]], float | None]
WHO = ("argmax", "ours")
RULES = ("best", "one_se", "fastest", "sparsest")
_Z = 1.959964  # of a normal 95 % interval


class Mean(NamedTuple):
    """A mean and its standard error, NaN where a single value or set has none; `n` searches."""

    value: float
    error: float
    n: int


class Share(NamedTuple):
    """How many of how many, and Wilson's 95 % interval for the share (JASA 22, 1927)."""

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
    """The value of every search by its set; searches of which it is None are left out."""
    found: dict[str, list[float]] = {}
    for record in records:
        if (x := value(record)) is not None:
            found.setdefault(record["set"], []).append(x)
    return found


def clustered(values: Mapping[str, Sequence[float]]) -> Mean:
    """The mean over sets of their means, each set counting alike, with a standard error from how these differ; of a single
    set, from how its searches do."""
    means = [fmean(v) for v in values.values()]
    spread = means if len(means) > 1 else [x for v in values.values() for x in v]
    error = stdev(spread) / math.sqrt(len(spread)) if len(spread) > 1 else math.nan
    return Mean(fmean(means) if means else math.nan, error, sum(map(len, values.values())))


def middle(values: Mapping[str, Sequence[float]]) -> float:
    """The median over all searches: a mean of shares is ruled by the few sets whose defaults have hardly any loss."""
    return median(every) if (every := [x for v in values.values() for x in v]) else math.nan


def of_mode(records: Records, mode: str) -> list[Mapping[str, Any]]:
    return [r for r in records if r["mode"] == mode]


# ---- the number that is reported, and the one that one gets


def surprise(who: str, metric: str) -> Value:
    """Reported minus test; a loss as a share of the defaults' test loss. Of a loss, below zero is too good to be true; of a
    metric where more is better, above zero."""

    def value(record: Mapping[str, Any]) -> float | None:
        if metric not in record["metrics"]:
            return None
        said = record[who]
        return (said["reported"][metric] - said["test"][metric]) / _unit(record, who, metric)

    return value


def bias(records: Records, who: str, metric: str) -> Mean:
    """The mean surprise."""
    return clustered(per_set(records, surprise(who, metric)))


def rmse(records: Records, who: str, metric: str) -> Mean:
    """The root of the mean squared surprise; its error is that of the square, by the delta method."""
    squares = {name: [x**2 for x in values] for name, values in per_set(records, surprise(who, metric)).items()}
    mean = clustered(squares)
    root = math.sqrt(mean.value)
    return Mean(root, mean.error / (2 * root) if root else 0.0, mean.n)


def coverage(records: Records, metric: str) -> Share:
    """How often the interval that hpo gives for a test score contains it."""
    inside = [
        low <= r["ours"]["test"][metric] <= high
        for r in records
        if metric in r["ours"]["interval"]
        for low, high in [r["ours"]["interval"][metric]]
    ]
    return Share(sum(inside), len(inside))


# ---- what is selected


def is_worse(record: Mapping[str, Any], who: str, errors: float = 0.0) -> bool:
    """Whether the selection has a larger test loss than the defaults, by more than so many paired standard errors. The
    defaults are not worse than themselves."""
    said = record[who]
    if said["trial"] == "defaults" or said.get("is_default", False):
        return False
    beyond = errors * said["error"]["loss"] if errors else 0.0
    return bool(said["test"]["loss"] - said["default_test"]["loss"] > beyond)


def worse(records: Records, who: str, errors: float = 0.0) -> Share:
    """How often that is so; with `errors`, among the searches whose records have standard errors."""
    known = [r for r in records if not errors or "error" in r[who]]
    return Share(sum(is_worse(r, who, errors) for r in known), len(known))


def kept_defaults(records: Records) -> Share:
    return Share(sum(bool(r["ours"]["is_default"]) for r in records), len(records))


def gain(who: str) -> Value:
    """Test loss of the selection minus that of the defaults, as a share of the latter: below zero, the search paid."""
    return lambda r: (r[who]["test"]["loss"] - r[who]["default_test"]["loss"]) / _unit(r, who, "loss")


def against_argmax(record: Mapping[str, Any]) -> float:
    """Test loss of ours minus that of the plain tuner, as a share of the defaults' that ours names."""
    return (record["ours"]["test"]["loss"] - record["argmax"]["test"]["loss"]) / _unit(record, "ours", "loss")


def regret(what: str) -> Value:
    """Test loss of a rule's choice, of `ours` or of `argmax`, minus the least in the pool, as a share of the defaults'. The
    pool is what was refitted; the plain tuner's weights are not in it, so its regret can be below zero."""

    def value(record: Mapping[str, Any]) -> float | None:
        said = record[what] if what in WHO else record["rules"].get(what)
        if said is None:
            return None
        least = min(one["test"]["loss"] for one in record["pool"].values())
        return (said["test"]["loss"] - least) / _unit(record, "ours", "loss")

    return value


# ---- what it costs


def total(record: Mapping[str, Any], of: str = "epochs") -> float:
    return float(sum(record[of].values()))


def extra(of: str) -> Value:
    """Training after the search (fresh seeds and refits) by that of the search; `of` is epochs or seconds."""
    return lambda r: (r[of]["fresh"] + r[of]["refit"]) / r[of]["search"]


def pairs(records: Records) -> list[tuple[Mapping[str, Any], Mapping[str, Any]]]:
    """The searches that were made both ways, same set and seed, so with the same test rows: by hold-out and by folds."""
    by = {(r["set"], r["seed"], r["mode"]): r for r in records}
    return [
        (r, by[name, seed, "folds"])
        for (name, seed, mode), r in by.items()
        if mode == "holdout" and (name, seed, "folds") in by
    ]


def folds_cost(records: Records, of: str = "epochs") -> Mean:
    """How many times as much folds train as a hold-out part, or as long; the geometric mean, its error of the logarithm."""
    logs = _paired(records, lambda one, folds: math.log(total(folds, of) / total(one, of)))
    mean = clustered(logs)
    return Mean(math.exp(mean.value), mean.error, mean.n)


def folds_gain(records: Records, name: str | None = None) -> Mean:
    """Test loss of ours by folds minus by hold-out, as a share of the defaults' by hold-out: below zero, folds are better.
    Of all sets or of one."""
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


# ---- where ours is worse


def lost(values: Mapping[str, Sequence[float]]) -> dict[str, Mean]:
    """The sets whose mean is above zero (a loss), the largest first."""
    means = {name: clustered({name: v}) for name, v in values.items()}
    return dict(sorted(((n, m) for n, m in means.items() if m.value > 0), key=lambda item: -item[1].value))


def names(records: Records) -> list[str]:
    """Sets in the order in which they first occur."""
    return list(dict.fromkeys(r["set"] for r in records))


def metrics(records: Records) -> list[str]:
    """Of all tasks, the loss first."""
    return list(dict.fromkeys(m for r in records for m in r["metrics"]))


def modes(records: Iterable[Mapping[str, Any]]) -> list[str]:
    known = {r["mode"] for r in records}
    return [mode for mode in ("holdout", "folds") if mode in known]


def _unit(record: Mapping[str, Any], who: str, metric: str) -> float:
    """What a difference of a metric is divided by."""
    return float(record[who]["default_test"]["loss"]) if metric == "loss" else 1.0
