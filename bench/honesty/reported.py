"""How far the numbers that a search reports are from those on the test rows. Pure functions of records."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise
from statistics import fmean
from typing import Any, NamedTuple

from bench.honesty.numbers import Records, Share, Value, error, scores_of

BINS = (0.0, 0.5, 0.7, 0.8, 0.9, 0.95, 1.0)  # of stated probabilities


class Bin(NamedTuple):
    """The searches whose stated probability is in a bin: its mean, and how often the statement was right."""

    low: float
    high: float
    stated: float
    right: Share


def surprise(who: str, metric: str) -> Value:
    """Return the reported minus the test score; a loss as a share of the test loss of the defaults.

    Too optimistic is below zero for a loss, and above zero for a metric that is better if higher. `argmax` reports the
    validation score of one network; `ours` and `single` report what they expect.
    """

    def value(record: Mapping[str, Any]) -> float | None:
        scores = scores_of(record, who)
        reported = (record["ours"]["single"] if who == "single" else record[who])["reported"]
        if scores is None or reported.get(metric) is None:
            return None
        return (reported[metric] - scores[0][metric]) / (scores[1]["loss"] if metric == "loss" else 1.0)

    return value


def coverage(records: Records, metric: str) -> Share:
    """Return how often the interval that hpo gives for a test score contains it."""
    ours = [r["ours"] for r in records if r["ours"]["interval"].get(metric, [None])[0] is not None]
    inside = [o["interval"][metric][0] <= o["test"][metric] <= o["interval"][metric][1] for o in ours]
    return Share(sum(inside), len(inside))


def reliability(records: Records) -> list[Bin]:
    """Compare the stated probability that the verdict's rival is better than the defaults with how often it was."""
    stated = [(r["verdict"]["gain"]["probability"], right) for r in records if (right := is_right(r)) is not None]
    found = []
    for low, high in pairwise(BINS):
        inside = [(p, right) for p, right in stated if low <= p < high or p == high == 1]
        if inside:
            share = Share(sum(right for _, right in inside), len(inside))
            found.append(Bin(low, high, fmean(p for p, _ in inside), share))
    return found


def is_right(record: Mapping[str, Any]) -> bool | None:
    """Return whether the verdict's rival is better than the defaults on the test rows; None without a verdict."""
    found = rival_gain(record)
    return None if found is None else found > 0


def rival_gain(record: Mapping[str, Any]) -> float | None:
    """Return the gain of the verdict's rival on the test rows; None without a verdict or if it diverged."""
    verdict, pool, metric = record["verdict"], record["pool"], record["metric"]
    if not verdict or verdict["gain"] is None:
        return None
    pair = verdict["rival"], verdict["reference"]
    if pair[0] == pair[1] or not pool.keys() >= {*pair}:
        return None
    ours, theirs = (error(metric, pool[name]["test"][metric], record["rows"]["test"]) for name in pair)
    return 1 - ours / theirs


def stated_gain(record: Mapping[str, Any]) -> float | None:
    """Return the expected gain of the verdict's rival; None where `rival_gain` is None."""
    return None if rival_gain(record) is None else float(record["verdict"]["gain"]["relative"])
