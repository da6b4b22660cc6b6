"""What searches cost, and how that of folds compares with that of a hold-out part. Pure functions of records."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

from bench.honesty.numbers import Mean, Records, Value, error, trimmed


def after_last_proposal(record: Mapping[str, Any]) -> float:
    """Return the share of the wall time after the last proposal of the search."""
    return float(record["after_last_proposal"]["seconds"] / record["wall"])


def rows_in_flight(record: Mapping[str, Any]) -> float | None:
    """Return the mean number of networks in training after the last proposal, while any is."""
    after = record["after_last_proposal"]
    return after["fit_seconds"] / after["training"] if after["training"] else None


def training_share(record: Mapping[str, Any]) -> float:
    """Return the share of the time after the last proposal in which networks are trained."""
    after = record["after_last_proposal"]
    return float(after["training"] / after["seconds"])


def extra_epochs(record: Mapping[str, Any]) -> float:
    """Return the fit-epochs after the search (re-evaluation and final networks) relative to those of the search."""
    epochs = record["epochs"]
    return float((epochs["fresh"] + epochs["refit"]) / epochs["search"])


def seconds(stage: str) -> Value:
    """Return the share of the wall time that a stage takes."""
    return lambda record: record["seconds"][stage] / record["wall"]


def total_epochs(record: Mapping[str, Any]) -> float:
    return float(sum(record["epochs"].values()))


def pairs(records: Records) -> list[tuple[Mapping[str, Any], Mapping[str, Any]]]:
    """Return the searches by hold-out and by folds with the same set and seed, and so the same test rows."""
    by = {(r["set"], r["seed"], r["mode"]): r for r in records}
    return [
        (r, by[name, seed, "folds"])
        for (name, seed, mode), r in by.items()
        if mode == "holdout" and (name, seed, "folds") in by
    ]


def folds_cost(records: Records, total: Callable[[Mapping[str, Any]], float]) -> Mean:
    """Return the cost of folds relative to a hold-out part: the geometric mean, with the error of its logarithm."""
    found = trimmed(_paired(records, lambda one, folds: math.log(total(folds) / total(one))), 0.0)
    return Mean(math.exp(found.value), found.error, found.n)


def folds_gain(records: Records) -> Mean:
    """Return by how much less error the answer by folds has than that by hold-out, relative to the latter (trimmed)."""

    def value(one: Mapping[str, Any], folds: Mapping[str, Any]) -> float:
        metric, rows = one["metric"], one["rows"]["test"]
        before, after = (error(metric, r["ours"]["test"][metric], rows) for r in (one, folds))
        return 1 - after / before

    return trimmed(_paired(records, value))


def _paired(records: Records, value: Callable[[Mapping[str, Any], Mapping[str, Any]], float]) -> dict[str, list[float]]:
    found: dict[str, list[float]] = {}
    for one, folds in pairs(records):
        found.setdefault(one["set"], []).append(value(one, folds))
    return found
