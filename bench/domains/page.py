"""Write the tables and docs/domains.json from records.

`python -m bench.domains.page` writes the tables again from docs/domains.json.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import fmean, stdev
from typing import Any

from bench.domains import sets
from bench.page import markdown, publish

Records = Sequence[Mapping[str, Any]]
_DOCS = Path(__file__).parent.parent.parent / "docs"


def write(records: Records, about: Mapping[str, Any], folder: Path) -> str:
    """Write domains.json to `folder`, and the tables to its domains.md if it exists; return the tables."""
    found = tables(records, about)
    publish(folder, "domains", found, records, about)
    return found


def tables(records: Records, about: Mapping[str, Any]) -> str:
    """Return all tables as Markdown."""
    seeds = sorted({r["seed"] for r in records})
    longest = max(r["seconds"] for r in records)
    reviews = (
        f" (on reviews, {about['seconds']:g} seconds of sampling)"
        if any(r["task"] in sets.REVIEWS for r in records)
        else ""
    )
    head = (
        f"{len(records)} searches with {len(seeds)} seed{'s' * (len(seeds) > 1)}, in {about['workers']} "
        f"process{'es' * (about['workers'] > 1)}: {about['trials']} trials each{reviews}; "
        f"the longest took {longest:.0f} seconds from start to end on "
        f"{about['cores']} core{'s' * (about['cores'] > 1)} of {about['cpu']}; "
        f"{about['date']}, torch {about['torch']}, Optuna {about['optuna']}, scikit-learn {about['scikit-learn']}. "
        "Accuracy on the target's test rows in percent; a ± is a standard error over seeds."
    )
    parts = [head]
    for title, part, others in (
        ("Adapting without a label of the target", "adapting", True),
        ("Few labelled rows", "tuning", False),
    ):
        if own := [r for r in records if r["part"] == part]:
            parts += [f"### {title}", table(own, others)]
    if own := [r for r in records if r["part"] == "ranking"]:
        parts += ["### How validators rank random trials", rankings(own)]
    return "\n\n".join([*parts, *goals(records)])


def table(records: Records, others: bool) -> str:
    """Return a row per method and a column per task; `others` adds the scores of other methods."""
    tasks = list(dict.fromkeys(r["task"] for r in records))
    rows = [["", *tasks]]
    if others and set(tasks) & set(sets.REVIEWS):
        rows += [
            [c.title, *(f"{c.scores[task]:.1f}" if task in c.scores else "–" for task in tasks)] for c in sets.OTHERS
        ]
    ways = dict.fromkeys(r["way"] for r in sorted(records, key=lambda r: r["task"] in sets.REVIEWS))
    return markdown([*rows, *([way, *(mean_text(scores(records, task, way)) for task in tasks)] for way in ways)])


def rankings(records: Records) -> str:
    """Return a row per validator, the best first.

    For each task: Spearman's correlation with the accuracy on labelled target rows, and by how many points of that the
    trial that it would choose is worse than the best one.
    """
    tasks = list(dict.fromkeys(r["task"] for r in records))
    found = {
        (one["validator"], r["task"], r["seed"]): one
        for r in records
        for one in r["validators"]
        if one["spearman"] is not None
    }
    names = dict.fromkeys(name for name, *_ in found)
    mean = {name: fmean(one["spearman"] for (own, *_), one in found.items() if own == name) for name in names}
    rows = [["", *(text for task in tasks for text in (task, "behind"))]]
    for name in sorted(names, key=lambda name: -mean[name]):
        own = [[one for (of, where, _), one in found.items() if (of, where) == (name, task)] for task in tasks]
        rows.append(
            [f"`{name}`", *(text for of in own for text in (_mean(of, "spearman", 1, 2), _mean(of, "regret", 100, 1)))]
        )
    return markdown(rows)


def _mean(ranked: Records, what: str, times: int, digits: int) -> str:
    return f"{times * fmean(one[what] for one in ranked):.{digits}f}" if ranked else "–"


def scores(records: Records, task: str, way: str) -> list[float]:
    """Return the scores in percent, by seed."""
    own = sorted((r for r in records if r["task"] == task and r["way"] == way), key=lambda r: r["seed"])
    return [100 * r["test"]["selected"] for r in own]


def mean_text(values: Sequence[float]) -> str:
    """Format their mean and its standard error."""
    if not values:
        return "–"
    return f"{fmean(values):.1f}" + (f" ± {stdev(values) / math.sqrt(len(values)):.1f}" if len(values) > 1 else "")


def goals(records: Records) -> list[str]:
    """Return the goals and the results."""
    found = []
    for task in (task for task in sets.REVIEWS if scores(records, task, sets.TOGETHER)):
        best = max(column.scores[task] for column in sets.OTHERS)
        ours = fmean(scores(records, task, sets.TOGETHER))
        found.append(
            f"- {task}: {ours:.1f}, the best of the others {best:.1f} (aim: above all of them; "
            f"{'met' if ours > best else 'missed'})."
        )
    tuned = [r for r in records if r["part"] == "tuning"]
    for task in dict.fromkeys(r["task"] for r in tuned):
        searched, *extremes = (fmean(scores(tuned, task, way)) for way in (sets.SEARCHED, sets.SCRATCH, sets.FROZEN))
        verdict = "met" if searched > max(extremes) else "missed"
        found.append(
            f"- {task}, {sets.FEW} labelled rows a class: {searched:.1f}, the better extreme {max(extremes):.1f} (aim: "
            f"above both; {verdict})."
        )
    return ["\n".join(found)] if found else []


def main() -> None:
    known = json.loads((_DOCS / "domains.json").read_text())
    print(write(known["records"], known["about"], _DOCS))


if __name__ == "__main__":
    main()
