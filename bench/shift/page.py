"""Write the tables and docs/shift.json from records; `python -m bench.shift.page` writes the tables again."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from bench.honesty.numbers import Share
from bench.page import markdown, publish
from bench.shift import made

Records = Sequence[Mapping[str, Any]]
_DOCS = Path(__file__).parent.parent.parent / "docs"
GOAL = 0.95


def write(records: Records, about: Mapping[str, Any], folder: Path) -> str:
    """Write shift.json to `folder`, and the tables to its shift.md if it exists; return the tables."""
    found = tables(records, about)
    publish(folder, "shift", found, records, about)
    return found


def tables(records: Records, about: Mapping[str, Any]) -> str:
    """Return all tables as Markdown."""
    seconds = [r["seconds"] for r in records]
    head = (
        f"{len(records)} pairs of domains, {sum(seconds) / max(1, len(seconds)):.1f} seconds of a core each, "
        f"{about['date']}, "
        f"{about['cores']} cores of {about['cpu']}, scikit-learn {about['scikit-learn']}, scipy {about['scipy']}."
    )
    parts = [head]
    for part, title, table in (
        ("planted", "Planted shifts", planted),
        ("real", "Real tables split at random", real),
        ("sizes", "Smaller shifts", sizes),
        ("hard", "Hard ones", hard),
    ):
        if some := of(records, part):
            parts += [f"### {title}", table([*some, *of(records, "planted")] if part == "sizes" else some)]
    return "\n\n".join(parts)


def of(records: Records, part: str) -> list[Mapping[str, Any]]:
    return [r for r in records if r["part"] == part]


def truth(name: str, labels: str) -> tuple[str, ...]:
    """Return the right verdict; a concept shift is undetectable without labels."""
    kinds = made.HARD.get(name, (name,) if name in made.KINDS[1:] else ())
    return tuple(kind for kind in kinds if kind != "concept" or labels != "none")


def right(records: Records, labels: str) -> Share:
    return Share(sum(tuple(r["said"][labels]) == truth(r["name"], labels) for r in records), len(records))


def planted(records: Records) -> str:
    rows = [["shift", *(f"labels: {labels}" for labels in made.LABELS), "said instead"]]
    reached = []
    for kind in made.KINDS:
        some = [r for r in records if r["name"] == kind]
        shares = [right(some, labels) for labels in made.LABELS]
        reached += [(kind, labels, share.value >= GOAL) for labels, share in zip(made.LABELS, shares, strict=True)]
        cells = [
            _share(share) if kind == "none" or truth(kind, m) else f"none said: {_share(share)}"
            for m, share in zip(made.LABELS, shares, strict=True)
        ]
        rows.append([kind, *cells, wrong_verdicts(some)])
    missed = [f"{kind} with labels: {labels}" for kind, labels, held in reached if not held]
    return f"{markdown(rows)}\n\n{_goal('each cell', missed)}"


def real(records: Records) -> str:
    names = list(dict.fromkeys(r["name"] for r in records))
    rows = [["table", *(f"labels: {labels}" for labels in made.LABELS), "said instead"]]
    for name in names:
        some = [r for r in records if r["name"] == name]
        rows.append(
            [name, *(f"{right(some, labels).hits} of {len(some)}" for labels in made.LABELS), wrong_verdicts(some)]
        )
    shares = [right(records, labels) for labels in made.LABELS]
    rows.append(["**all**", *map(_share, shares), ""])
    missed = [labels for labels, share in zip(made.LABELS, shares, strict=True) if share.value < GOAL]
    return f"{markdown(rows)}\n\n{_goal('all tables', missed)}"


def sizes(records: Records) -> str:
    """Return how often a shift is named by its size; the planted shifts have size 1."""
    every = sorted({r["size"] for r in records})
    rows = [["shift", "labels", *(f"size {size:g}" for size in every)]]
    for kind in made.KINDS[1:]:
        for labels in made.LABELS:
            if truth(kind, labels):
                found = (
                    right([r for r in records if r["name"] == kind and r["size"] == size], labels) for size in every
                )
                rows.append([kind, labels, *map(_share, found)])
    return markdown(rows)


def hard(records: Records) -> str:
    rows = [["shift", *(f"labels: {labels}" for labels in made.LABELS), "said instead"]]
    for kind in made.HARD:
        some = [r for r in records if r["name"] == kind]
        rows.append([kind, *(_share(right(some, labels)) for labels in made.LABELS), wrong_verdicts(some)])
    return markdown(rows)


def wrong_verdicts(records: Records) -> str:
    """Return the wrong verdicts and their numbers, by amount of labels."""
    found = []
    for labels in made.LABELS:
        wrong = Counter(
            " and ".join(r["said"][labels]) or "none"
            for r in records
            if tuple(r["said"][labels]) != truth(r["name"], labels)
        )
        if wrong:
            found.append(f"{labels}: {', '.join(f'{what} {times}' for what, times in wrong.most_common())}")
    return "; ".join(found) or "–"


def _share(share: Share) -> str:
    low, high = share.interval
    return f"{100 * share.value:.0f} % ({100 * low:.0f}–{100 * high:.0f})"


def _goal(what: str, missed: Sequence[str]) -> str:
    result = f"missed in {'; '.join(missed)}" if missed else "reached"
    return f"Aim: right in at least {100 * GOAL:.0f} % of draws, in {what}: {result}."


if __name__ == "__main__":
    stored = json.loads((_DOCS / "shift.json").read_text())
    print(write(stored["records"], stored["about"], _DOCS))
