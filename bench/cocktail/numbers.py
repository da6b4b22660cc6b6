"""Statistics of the records. Pure functions of lists of records; scores are balanced accuracies in percent."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from statistics import fmean, stdev
from typing import Any, NamedTuple

from bench.cocktail.sets import COCKTAIL, COLUMNS, NAMES, PUBLISHED_SPLIT

Records = Sequence[Mapping[str, Any]]
OURS = ("selected", "defaults", "argmax", "none")
RIVALS = ("logistic", "boosting", "forest")
_ROUNDED = 1  # decimals of published scores, and so of the scores compared with them


class Mean(NamedTuple):
    """A mean over splits and its standard error, NaN for a single split."""

    value: float
    error: float
    n: int


class Goal(NamedTuple):
    """A goal: the number of sets that meet it, and those that do not."""

    what: str
    aim: int
    reached: int
    of: int
    failed: tuple[str, ...]

    @property
    def met(self) -> bool:
        return self.reached >= self.aim


def mean(values: Sequence[float]) -> Mean:
    """Return the mean over splits. Their test parts overlap, so the error is slightly too small."""
    error = stdev(values) / math.sqrt(len(values)) if len(values) > 1 else math.nan
    return Mean(fmean(values) if values else math.nan, error, len(values))


def names(records: Records) -> list[str]:
    return list(dict.fromkeys(r["set"] for r in records))


def by_split(records: Records, who: str, name: str) -> dict[int, float]:
    """Return the score on each split of a set for `who`, one of OURS or RIVALS; a diverged network has none."""
    part = "test" if who in OURS else "rivals"
    return {r["split"]: 100 * r[part][who] for r in records if r["set"] == name and r[part][who] is not None}


def over_splits(records: Records, who: str, name: str) -> Mean:
    return mean(list(by_split(records, who, name).values()))


def noise(records: Records, who: str, name: str) -> float:
    """Return the standard deviation of the score over splits; NaN for a single split."""
    scores = list(by_split(records, who, name).values())
    return stdev(scores) if len(scores) > 1 else math.nan


def differences(records: Records, who: str, over: str, name: str) -> list[float]:
    """Return by how many points `who` is better than `over` on each split that has both scores."""
    ours, theirs = by_split(records, who, name), by_split(records, over, name)
    return [ours[split] - theirs[split] for split in ours if split in theirs]


def gain(records: Records, who: str, over: str, name: str) -> Mean:
    """Return by how many points `who` is better than `over`, split by split."""
    return mean(differences(records, who, over, name))


def published(records: Records, who: str, name: str) -> float | None:
    """Return the score on the published split, rounded like published scores."""
    found = by_split(records, who, name).get(PUBLISHED_SPLIT)
    return None if found is None else round(found, _ROUNDED)


def reaches(records: Records, who: str, column: str) -> dict[str, bool]:
    """Return for each set whether `who` reaches a column of others on the published split."""
    found = {name: published(records, who, name) for name in names(records)}
    return {name: score >= COLUMNS[column].scores[name] for name, score in found.items() if score is not None}


def best_of_others(name: str) -> float:
    return max(column.scores[name] for column in COLUMNS.values())


def published_goals(records: Records) -> list[Goal]:
    """Return the goals of the published split: what is handed over, compared with the scores of others."""
    cocktail = reaches(records, "selected", COCKTAIL)
    best = {name: all(reaches(records, "selected", column)[name] for column in COLUMNS) for name in cocktail}
    return [
        _goal("at or above the published cocktail", 5, cocktail),
        _goal("at or above the best of all columns", 3, best),
    ]


def goals(records: Records) -> list[Goal]:
    """Return the goals over splits: what is handed over, compared with the usual defaults. Sets with a single split
    have no standard error, and are left out."""
    gains = {name: gain(records, "selected", "defaults", name) for name in names(records)}
    gains = {name: g for name, g in gains.items() if g.n > 1}
    return [
        _goal("above the usual defaults, mean over splits", 4, {name: g.value > 0 for name, g in gains.items()}),
        _goal(
            "not below them by more than the standard error",
            len(NAMES),
            {name: g.value >= -g.error for name, g in gains.items()},
        ),
    ]


def _goal(what: str, aim: int, reached: Mapping[str, bool]) -> Goal:
    return Goal(what, aim, sum(reached.values()), len(reached), tuple(name for name, yes in reached.items() if not yes))


def seconds(records: Records) -> list[float]:
    """Return the seconds of each search with all that follows it, without the models of others."""
    return [sum(r["seconds"].values()) for r in records]
