"""Write the tables, the picture and docs/honesty.json from records.

`python -m bench.honesty.page` writes the tables and the picture again from docs/honesty.json.
"""

from __future__ import annotations

import argparse
import json
import math
from collections.abc import Mapping
from itertools import pairwise
from pathlib import Path
from typing import Any

from bench.honesty import cost, numbers, picture, reported, summary
from bench.honesty.numbers import CHOICES, TRIMMED, WORSE, Records
from bench.honesty.text import MODES, NAMES, OF_METRIC, mean_text, percent, share_text
from bench.page import markdown, publish
from hpo.cli.space_template import MOST_ROWS_FOR_FOLDS

_DOCS = Path(__file__).parent.parent.parent / "docs"


def write(records: Records, about: Mapping[str, Any], folder: Path) -> str:
    """Write honesty.json and honesty.png to `folder`, and the tables to its honesty.md if it exists; return these."""
    found = tables(records, about)
    picture.draw(records, folder / "honesty.png")
    publish(folder, "honesty", found, records, about)
    return found


def tables(records: Records, about: Mapping[str, Any]) -> str:
    """Return the summary and all tables as Markdown. `records` are of searches by hold-out and by folds."""
    measured = (
        f"{len(records)} searches of {len(numbers.names(records))} sets, {about['date']}, {about['cores']} cores of "
        f"{about['cpu']}, torch {about['torch']}, Optuna {about['optuna']}."
    )
    records = numbers.with_auto(records)
    parts = ["## In short", summary.sentences(records), _PICTURE, measured]
    parts += ["## The answer: gain over the usual defaults", _GAIN]
    for metric in numbers.followed(records):
        some = numbers.of_metric(records, metric)
        parts += [f"### Searches that follow {OF_METRIC[metric]}", gains(some)]
        if metric != "loss":
            parts += [f"In points of {OF_METRIC[metric]}; *worse* is by more than one point:", gains(some, points=True)]
    parts += ["## The numbers that are reported", "### Scores", scores(records)]
    parts += ["### Probability and expected gain", _VERDICT, verdicts(records)]
    parts += ["## The cost", costs(records)]
    if cost.pairs(records):
        parts += ["Five folds against hold-out:", folds(records)]
        parts += ["Worse than the usual defaults by more than 1 %, by the size of the table:", worse_by_size(records)]
    parts += ["## Set by set", _BY_SET, by_set(numbers.of_mode(records, numbers.modes(records)[-1])), losses(records)]
    return "\n\n".join(parts)


_PICTURE = (
    "![Gain over the usual defaults by metric and by set, stated probability against what came true, and the time "
    "after the last proposal](honesty.png)"
)
_GAIN = (
    f"Mean reduction of the error on the test rows, as a share of that of the usual defaults; {TRIMMED:.0%} of the "
    f"searches are left out at each end. *Worse* is the share of searches with an error more than {WORSE:.0%} larger. "
    "*New tables* chose no rule."
).replace("%", " %")
_VERDICT = (
    "The verdict compares one configuration with the defaults: the selected one or, if the defaults are kept, the best "
    "other one. It states the probability that this configuration is better on new rows."
)
_BY_SET = (
    "The split is that of `hpo init`. The gain is in % of the error of the defaults, *worse* in searches, *in "
    "interval* is the followed metric."
)


def gains(records: Records, *, points: bool = False) -> str:
    """Return the gain of each choice and how often it is worse, by mode, and by `auto` on tables that chose nothing.

    With `points`, gains are in hundredths of the metric instead of shares of the error of the defaults.
    """
    groups = {MODES[mode]: numbers.of_mode(records, mode) for mode in numbers.modes(records)}
    groups["as hpo init, new tables"] = numbers.unseen(numbers.of_mode(records, "auto"))
    groups = {name: some for name, some in groups.items() if some}
    rows = [["", *(cell for name in groups for cell in (name, "worse"))]]
    for who in CHOICES:
        cells = [_gain_cells(some, who, points) for some in groups.values()]
        rows.append([NAMES[who], *(cell for pair in cells for cell in pair)])
    if points:
        return markdown(rows)
    for what, value in (
        ("head-room taken", lambda some: _ratio(numbers.headroom(some, "ours"))),
        ("kept the defaults", lambda some: percent(numbers.kept_defaults(some))),
        ("searches (sets)", lambda some: f"{len(some)} ({len(numbers.names(some))})"),
    ):
        rows.append([what, *(cell for some in groups.values() for cell in (value(some), ""))])
    return markdown(rows)


def _gain_cells(records: Records, who: str, points: bool) -> tuple[str, str]:
    mean = numbers.mean_gain(records, who, points=points)
    return mean_text(mean, unit="" if points else " %"), percent(numbers.worse(records, who, points=points))


def scores(records: Records) -> str:
    """Return by metric and mode how far reported scores are from test scores, and how often the interval is right."""
    rows = [["", "searches", "in the 90 % interval", "hpo: reported minus test", "plain tuner"]]
    for metric in numbers.tracked(records):
        scale, unit = (1, "") if metric == "r2" else (100, " %" if metric == "loss" else " points")
        for mode in numbers.modes(records):
            some = [r for r in numbers.of_mode(records, mode) if metric in r["metrics"]]
            surprises = (
                mean_text(numbers.mean(some, reported.surprise(who, metric)), scale, unit) for who in ("ours", "argmax")
            )
            inside = share_text(reported.coverage(some, metric))
            rows.append([f"{OF_METRIC[metric]}, {MODES[mode]}", str(len(some)), inside, *surprises])
    return markdown(rows)


def verdicts(records: Records) -> str:
    """Compare stated probabilities with how often the statement was right, and expected gains with test gains."""
    modes = numbers.modes(records)
    bins = {mode: {b.low: b for b in reported.reliability(numbers.of_mode(records, mode))} for mode in modes}
    rows = [["stated probability", *(cell for mode in modes for cell in (f"{MODES[mode]}: stated", "right"))]]
    for low, high in pairwise(reported.BINS):
        found = [bins[mode].get(low) for mode in modes]
        cells = [(f"{b.stated:.0%}".replace("%", " %"), share_text(b.right)) if b else ("–", "–") for b in found]
        rows.append([f"{low:.0%} to {high:.0%}".replace("%", " %"), *(cell for pair in cells for cell in pair)])
    cells = []
    for mode in modes:
        stated, real = (
            numbers.trimmed(numbers.per_set(numbers.of_mode(records, mode), value))
            for value in (reported.stated_gain, reported.rival_gain)
        )
        cells += [mean_text(stated), mean_text(real)]
    rows.append(["expected gain, and gain on test", *cells])
    return markdown(rows)


def costs(records: Records) -> str:
    """Return how much of a search comes after its last proposal, by mode."""
    modes = numbers.modes(records)
    rows = [["median of the searches", *(MODES[mode] for mode in modes)]]
    share, count = (lambda x: f"{x:.0%}".replace("%", " %")), (lambda x: f"{x:.1f}")
    for what, value, text in (
        ("wall time after the last proposal", cost.after_last_proposal, share),
        ("of that time, networks are trained in", cost.training_share, share),
        ("networks in training during these", cost.rows_in_flight, count),
        ("fit-epochs after the search, relative to its own", cost.extra_epochs, share),
        *((f"wall time of the {stage}", cost.seconds(stage), share) for stage in records[0]["seconds"]),
        ("seconds", lambda r: r["wall"], count),
    ):
        rows.append([what, *(text(numbers.median(numbers.of_mode(records, mode), value)) for mode in modes)])
    return markdown(rows)


def folds(records: Records) -> str:
    """Return the cost of folds relative to hold-out, and the gain of their answer."""
    epochs, seconds = (cost.folds_cost(records, total) for total in (cost.total_epochs, lambda r: r["wall"]))
    rows = [["pairs", "epochs, times", "seconds, times", "less error of the answer by folds"]]
    rows.append([str(epochs.n), f"{epochs.value:.2f}", f"{seconds.value:.2f}", mean_text(cost.folds_gain(records))])
    return markdown(rows)


def worse_by_size(records: Records) -> str:
    """Return how often the answer is worse than the defaults, by whether `hpo init` writes folds for a table."""
    modes = [mode for mode in numbers.modes(records) if mode != "auto"]
    rows = [["development rows", *(MODES[mode] for mode in modes)]]
    for title, small in ((f"up to {MOST_ROWS_FOR_FOLDS:,}", True), ("more", False)):
        some = [r for r in records if (r["rows"]["dev"] <= MOST_ROWS_FOR_FOLDS) is small]
        rows.append([title, *(share_text(numbers.worse(numbers.of_mode(some, mode), "ours")) for mode in modes)])
    return markdown(rows)


def by_set(records: Records) -> str:
    """Return a row per set."""
    rows = [
        ["set", "metric", "rows", "test rows", "in interval", "worse", "kept defaults", *(NAMES[who] for who in _SHOWN)]
    ]
    for name in numbers.names(records):
        some = [r for r in records if r["set"] == name]
        metric, inside = some[0]["metric"], reported.coverage(some, some[0]["metric"])
        counts = (f"{inside.hits} of {inside.n}", str(numbers.worse(some, "ours").hits))
        means = (mean_text(numbers.mean(some, numbers.gain(who)), unit="") for who in _SHOWN)
        sizes = (f"{some[0]['rows'][part]:,}" for part in ("dev", "test"))
        rows.append([name, OF_METRIC[metric], *sizes, *counts, str(numbers.kept_defaults(some).hits), *means])
    return markdown(rows)


_SHOWN = ("ours", "today", "argmax_average", "oracle")


def losses(records: Records) -> str:
    """Name the sets where the answer is worse than the defaults, with the mean gain and its standard error."""
    lines = []
    for mode in numbers.modes(records):
        means = {
            name: numbers.mean([r for r in numbers.of_mode(records, mode) if r["set"] == name], numbers.gain("ours"))
            for name in numbers.names(numbers.of_mode(records, mode))
        }
        lost = sorted((m.value, name) for name, m in means.items() if m.value < 0)
        named = ", ".join(f"{name} {mean_text(means[name])}" for _, name in lost)
        sure = [name for value, name in lost if value < -2 * means[name].error]
        lines.append(
            f"- {MODES[mode].capitalize()}, on average worse than the defaults: {named or 'none'}"
            + (f"; beyond two standard errors: {', '.join(sure) or 'none'}." if lost else ".")
        )
    return "\n".join(lines)


def _ratio(value: float) -> str:
    return "–" if math.isnan(value) else f"{100 * value:.0f} %"


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.honesty.page", description=__doc__)
    parser.add_argument("--out", type=Path, default=_DOCS, help="folder of honesty.json, .png and .md; default: docs")
    out = parser.parse_args().out
    stored = json.loads((out / "honesty.json").read_text())
    print(write(stored["records"], stored["about"], out))


if __name__ == "__main__":
    main()
