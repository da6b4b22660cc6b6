"""Write the tables, the picture and docs/cocktail.json from records.

`python -m bench.cocktail.page` writes the tables and the picture again from docs/cocktail.json.
"""

from __future__ import annotations

import argparse
import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from bench.cocktail import numbers, picture
from bench.cocktail.numbers import OURS, RIVALS, Goal, Mean, Records
from bench.cocktail.sets import COLUMNS, PUBLISHED_SPLIT
from bench.page import markdown, publish

_DOCS = Path(__file__).parent.parent.parent / "docs"
TITLES = {
    "selected": "hpo",
    "ensemble": "hpo, ensemble of 10",
    "defaults": "usual defaults",
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
    splits = sorted({r["split"] for r in records})
    asked = ", ".join(f"{s:g}" for s in sorted({r["asked"] for r in records}))
    head = (
        f"{len(records)} searches of {len(numbers.names(records))} sets and {len(splits)} splits, {asked} seconds of "
        "sampling each, with all that "
        f"follows and the ensemble at most {numbers.longest(records):.0f} seconds on {about['cores']} "
        f"core{'s' * (about['cores'] > 1)} of {about['cpu']}; "
        f"{about['date']}, torch {about['torch']}, Optuna {about['optuna']}, scikit-learn {about['scikit-learn']}."
    )
    parts = [head]
    if PUBLISHED_SPLIT in splits:
        parts += [
            "### The split of the published numbers",
            one_split(records),
            goals(records),
            "### Where others are ahead",
            losses(records),
        ]
    return "\n\n".join(
        [*parts, "### All splits", all_splits(records), ensemble(records), "### What was selected", selected(records)]
    )


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


def goals(records: Records) -> str:
    """Return the goals and the results for the single network and the ensemble."""
    lines = [_goal(TITLES[who], goal) for who in ("selected", "ensemble") for goal in numbers.goals(records, who)]
    return "\n".join(lines)


def _goal(who: str, goal: Goal) -> str:
    failed = f"; not on {', '.join(goal.failed)}" if goal.failed else ""
    verdict = "met" if goal.met else "missed"
    return f"- {who}: {goal.what} on {goal.reached} of {goal.of} sets{failed} (aim: {goal.aim}, {verdict})."


def losses(records: Records) -> str:
    """Return each set on which others are better than the single network, by how much, and the noise of a split."""
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
    for over in ("none", "defaults", *RIVALS):
        title = TITLES[over] if over in TITLES else COLUMNS[over].title
        rows.append(
            [f"hpo above {title}", *(_mean(numbers.gain(records, "selected", over, name), "+") for name in names)]
        )
    return markdown(rows)


def ensemble(records: Records) -> str:
    """Return the gain of the greedy ensemble over the single network."""
    names = numbers.names(records)
    row = ["ensemble above hpo", *(_mean(numbers.gain(records, "ensemble", "selected", name), "+") for name in names)]
    return f"{markdown([['', *names], row])}\n\n{_goal(TITLES['ensemble'], numbers.ensemble_goal(records))}"


def selected(records: Records) -> str:
    """Return a row per search: the best trial, its score in the search, and its score on the test rows."""
    rows = [["set", "split", "selected", "trials", "in the search", "test", "ensemble"]]
    for r in records:
        scores = [r["valid"], r["test"]["selected"], r["test"]["ensemble"]]
        said = ["–" if score is None else f"{100 * score:.1f}" for score in scores]
        rows.append([r["set"], str(r["split"]), r["trial"], str(sum(r["trials"].values())), *said])
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
