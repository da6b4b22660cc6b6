"""Write the tables, the picture and docs/cocktail.json from records.

`python -m bench.cocktail.page` writes the tables and the picture again from docs/cocktail.json.
"""

from __future__ import annotations

import argparse
import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from bench.cocktail import numbers, picture
from bench.cocktail.numbers import OURS, RIVALS, Goal, Mean, Records
from bench.cocktail.sets import COLUMNS, PUBLISHED_SPLIT
from bench.page import markdown, publish

_DOCS = Path(__file__).parent.parent.parent / "docs"
TITLES = {
    "selected": "hpo",
    "defaults": "usual defaults",
    "argmax": "best search score",
    "none": "no regularization",
}


def write(records: Records, about: Mapping[str, Any], folder: Path) -> str:
    """Write cocktail.json and cocktail.png to `folder`, and the tables to its cocktail.md if it exists; return the
    tables."""
    found = tables(records, about)
    picture.draw(records, folder / "cocktail.png")
    publish(folder, "cocktail", found, records, about)
    return found


def tables(records: Records, about: Mapping[str, Any]) -> str:
    """Return all tables as Markdown."""
    parts = [
        _head(records, about),
        "### Compared with the usual defaults",
        gains(records),
        _goals(numbers.goals(records)),
        "### All models",
        all_splits(records),
    ]
    if any(r["split"] == PUBLISHED_SPLIT for r in records):
        parts += [
            "### The split of the published numbers",
            one_split(records),
            _goals(numbers.published_goals(records)),
            "### Where others are ahead",
            losses(records),
        ]
    return "\n\n".join([*parts, "### What was selected", selected(records)])


def _head(records: Records, about: Mapping[str, Any]) -> str:
    splits, took = {r["split"] for r in records}, numbers.seconds(records)
    budgets = sorted({_budget(r["budget"]) for r in records})
    networks = ", ".join(map(str, sorted({r["networks"] for r in records})))
    return (
        f"Searches: {len(records)} ({len(numbers.names(records))} sets, {len(splits)} splits), with "
        f"{' or '.join(budgets)} each. Networks averaged: {networks}. A search took {min(took):.0f} to "
        f"{max(took):.0f} seconds with all that follows it, and all of them took {sum(took) / 3600:.1f} hours, on "
        f"{about['cores']} core{'s' * (about['cores'] > 1)} of {about['cpu']}; "
        f"{about['date']}, torch {about['torch']}, Optuna {about['optuna']}, scikit-learn {about['scikit-learn']}."
    )


def _budget(budget: Mapping[str, float]) -> str:
    return " and at most ".join(f"{value:g} {unit}" for unit, value in budget.items())


def gains(records: Records) -> str:
    """Return by how much networks of ours are better than the usual defaults, averaged over as many networks."""
    names = numbers.names(records)
    rows = [
        [TITLES[who], *(_mean(numbers.gain(records, who, "defaults", name), "+") for name in names)]
        for who in ("selected", "argmax", "none")
    ]
    return markdown([["points above the usual defaults", *names], *rows])


def one_split(records: Records) -> str:
    """Return our scores and all columns of others on the same test rows; the best of a row is bold."""
    names = numbers.names(records)
    rows = [["", *names]]
    ours = {who: {name: numbers.published(records, who, name) for name in names} for who in OURS}
    for title, scores in [
        *((c.title, c.scores) for c in COLUMNS.values()),
        *((TITLES[who], ours[who]) for who in OURS),
    ]:
        rows.append([title, *(_best(scores[name], name, ours) for name in names)])
    return markdown(rows)


def _best(score: float | None, name: str, ours: Mapping[str, Mapping[str, float | None]]) -> str:
    if score is None:
        return "–"
    top = max(numbers.best_of_others(name), *(found[name] or 0.0 for found in ours.values()))
    return f"**{score:.1f}**" if score >= top else f"{score:.1f}"


def _goals(goals: Sequence[Goal]) -> str:
    """Return a line per goal, with the sets on which what is handed over misses it."""
    return "\n".join(_goal(goal) for goal in goals)


def _goal(goal: Goal) -> str:
    failed = f"; not on {', '.join(goal.failed)}" if goal.failed else ""
    verdict = "met" if goal.met else "missed"
    return (
        f"- {TITLES['selected']}: {goal.what} on {goal.reached} of {goal.of} sets{failed} (aim: {goal.aim}, {verdict})."
    )


def losses(records: Records) -> str:
    """Return each set on which others are better than what is handed over, by how much, and the noise of a split."""
    lines = []
    for name in numbers.names(records):
        score = numbers.published(records, "selected", name)
        if score is None:
            continue
        ahead = {c.title: c.scores[name] - score for c in COLUMNS.values() if c.scores[name] > score}
        if ahead:
            named = ", ".join(f"{title} by {by:.1f}" for title, by in sorted(ahead.items(), key=lambda pair: -pair[1]))
            off = numbers.noise(records, "selected", name)
            lines.append(
                f"- {name}: {named}."
                + (
                    ""
                    if math.isnan(off)
                    else f" Our own score varies by {off:.1f} from split to split (standard deviation)."
                )
            )
    return "\n".join(lines) or "Nowhere."


def all_splits(records: Records) -> str:
    """Return means over splits; differences are paired by split."""
    names = numbers.names(records)
    rows = [["", *names]]
    rows += [[TITLES[who], *(_mean(numbers.over_splits(records, who, name)) for name in names)] for who in OURS]
    rows += [
        [COLUMNS[who].title, *(_mean(numbers.over_splits(records, who, name)) for name in names)] for who in RIVALS
    ]
    for over in RIVALS:
        above = (_mean(numbers.gain(records, "selected", over, name), "+") for name in names)
        rows.append([f"hpo above {COLUMNS[over].title}", *above])
    return markdown(rows)


def selected(records: Records) -> str:
    """Return a row per search: the selected trial with its scores, and the test scores of what it is compared with."""
    titles = [TITLES[who] for who in OURS[1:]]
    rows = [
        [
            "set",
            "split",
            "selected",
            "best search score",
            "trials",
            "networks",
            "in the search",
            "expected",
            "test",
            *titles,
        ]
    ]
    for r in records:
        scores = [r["searched"], r["expected"], *(r["test"][who] for who in OURS)]
        said = ["–" if score is None else f"{100 * score:.1f}" for score in scores]
        rows.append(
            [
                r["set"],
                str(r["split"]),
                r["trial"],
                r["argmax"],
                str(sum(r["trials"].values())),
                str(r["networks"]),
                *said,
            ]
        )
    return markdown(rows)


def _mean(mean: Mean, sign: str = "") -> str:
    if not mean.n:
        return "–"
    error = "" if math.isnan(mean.error) else f" ± {mean.error:.1f}"
    return f"{mean.value:{sign}.1f}{error}"


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.cocktail.page", description=__doc__)
    parser.add_argument("--out", type=Path, default=_DOCS, help="folder of cocktail.json, .png and .md; default: docs")
    out = parser.parse_args().out
    stored = json.loads((out / "cocktail.json").read_text())
    print(write(stored["records"], stored["about"], out))


if __name__ == "__main__":
    main()
