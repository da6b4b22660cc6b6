"""Write the tables, the picture and docs/honesty.json from records.

`python -m bench.honesty.page` writes the tables and the picture again from docs/honesty.json.
"""

from __future__ import annotations

import argparse
import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from bench.honesty import numbers, picture
from bench.honesty.numbers import RULES, WHO, Mean, Records, Share
from bench.page import markdown, publish

_DOCS = Path(__file__).parent.parent.parent / "docs"
_MODES = {"holdout": "By hold-out", "folds": "By folds"}
_RULES = {"best": "best", "one_se": "one standard error", "fastest": "fastest", "sparsest": "sparsest"}


def write(records: Records, about: Mapping[str, Any], folder: Path) -> str:
    """Write honesty.json and honesty.png to `folder`, and the tables to its honesty.md if it exists; return these."""
    found = tables(records, about)
    picture.draw(records, folder / "honesty.png")
    publish(folder, "honesty", found, records, about)
    return found


def tables(records: Records, about: Mapping[str, Any]) -> str:
    """Return all tables as Markdown."""
    parts = [
        f"{len(records)} searches of {len(numbers.names(records))} sets, {about['date']}, {about['cores']} cores of "
        f"{about['cpu']}, "
        f"torch {about['torch']}, Optuna {about['optuna']}."
    ]
    for mode in numbers.modes(records):
        some = numbers.of_mode(records, mode)
        parts += [f"### {_MODES[mode]}", summary(some), rules(some), by_set(some)]
    if numbers.pairs(records):
        parts += ["### Folds against hold-out", folds(records)]
    return "\n\n".join([*parts, "### Losses", losses(records)])


def summary(records: Records) -> str:
    """Compare the plain tuner with ours."""
    rows = [["", "plain tuner", "hpo"]]

    def row(what: str, *cells: str) -> None:
        rows.append([what, *cells])

    for metric in numbers.metrics(records):
        scale, unit = (100, " %") if metric == "loss" else (100, " points") if metric == "accuracy" else (1, "")
        of = "loss, by the defaults' test loss" if metric == "loss" else metric
        row(f"reported minus test: {of}", *(_mean(numbers.bias(records, w, metric), scale, unit) for w in WHO))
        row("median", *(_median(records, numbers.surprise(w, metric), scale, unit) for w in WHO))
        row("root mean square", *(_mean(numbers.rmse(records, w, metric), scale, unit, sign="") for w in WHO))
        row("the 90 % interval has the test score", "", _share(numbers.coverage(records, metric)))
    row("worse on test than the defaults", *(_share(numbers.worse(records, w)) for w in WHO))
    row("so by two paired standard errors", *(_share(numbers.worse(records, w, 2)) for w in WHO))
    row("test loss against the defaults'", *(_mean(_over(records, numbers.gain(w)), 100, " %") for w in WHO))
    row("median", *(_median(records, numbers.gain(w), 100, " %") for w in WHO))
    row(
        "test loss above the least in the pool",
        *(_mean(_over(records, numbers.regret(w)), 100, " %", sign="") for w in WHO),
    )
    row("kept the defaults", "", _share(numbers.kept_defaults(records)))
    row(
        "training after the search, of its epochs",
        "",
        _mean(_over(records, numbers.extra("epochs")), 100, " %", sign=""),
    )
    row("and of its seconds", "", _mean(_over(records, numbers.extra("seconds")), 100, " %", sign=""))
    return markdown(rows)


def rules(records: Records) -> str:
    """Compare the choice of each rule from the same pool."""
    rows = [["rule", "test loss above the least in the pool", "searches"]]
    for rule in RULES:
        mean = _over(records, numbers.regret(rule))
        if mean.n:
            rows.append([_RULES[rule], _mean(mean, 100, " %", sign=""), str(mean.n)])
    return markdown(rows)


def by_set(records: Records) -> str:
    """Return a row per set: reported minus test score, and loss minus that of the defaults, in percent of the
    latter."""
    rows = [
        [
            "set",
            "rows",
            "test rows",
            "searches",
            "surprise: plain",
            "hpo",
            "in the interval",
            "worse: plain",
            "hpo",
            "kept",
            "gain: plain",
            "hpo",
        ]
    ]
    for name in numbers.names(records):
        some = [r for r in records if r["set"] == name]
        inside = numbers.coverage(some, "loss")
        rows.append(
            [
                name,
                f"{some[0]['rows']['dev']:,}",
                f"{some[0]['rows']['test']:,}",
                str(len(some)),
                *(_mean(numbers.bias(some, w, "loss"), 100) for w in WHO),
                f"{inside.hits} of {inside.n}" if inside.n else "–",
                *(str(numbers.worse(some, w).hits) for w in WHO),
                str(numbers.kept_defaults(some).hits),
                *(_mean(_over(some, numbers.gain(w)), 100) for w in WHO),
            ]
        )
    return markdown(rows)


def folds(records: Records) -> str:
    """Return the cost and the gain of folds, by set and over all."""
    rows = [["set", "epochs, times", "seconds, times", "test loss by folds, against hold-out"]]
    for name in [*dict.fromkeys(one["set"] for one, _ in numbers.pairs(records)), None]:
        some = records if name is None else [r for r in records if r["set"] == name]
        cost = [f"{numbers.folds_cost(some, of).value:.2f}" for of in ("epochs", "seconds")]
        rows.append([name or "**all**", *cost, _mean(numbers.folds_gain(some), 100, " %")])
    return markdown(rows)


def losses(records: Records) -> str:
    """Return the sets where ours is worse, with the difference and its standard error."""
    lines = []
    for mode in numbers.modes(records):
        some = numbers.of_mode(records, mode)
        against = {
            "the unsearched defaults": numbers.gain("ours"),
            "what a plain tuner gives": numbers.against_argmax,
        }
        for what, value in against.items():
            lines.append(
                _named(f"{_MODES[mode]}, larger test loss than {what}", numbers.lost(numbers.per_set(some, value)))
            )
        flattered = {
            name: [-x for x in values]
            for name, values in numbers.per_set(some, numbers.surprise("ours", "loss")).items()
        }
        lines.append(_named(f"{_MODES[mode]}, larger test loss than reported", numbers.lost(flattered)))
    worse = {
        name: numbers.folds_gain(records, name)
        for name in dict.fromkeys(one["set"] for one, _ in numbers.pairs(records))
    }
    if worse:
        lines.append(
            _named("Larger test loss by folds than by hold-out", {n: m for n, m in worse.items() if m.value > 0})
        )
    return "\n".join(lines)


def _named(what: str, sets: Mapping[str, Mean]) -> str:
    named = ", ".join(f"{name} {_mean(mean, 100, ' %')}" for name, mean in sets.items())
    sure = [name for name, mean in sets.items() if mean.value > 2 * mean.error]
    return f"- {what}: {named or 'none'}" + (
        f"; beyond two standard errors: {', '.join(sure) or 'none'}." if sets else "."
    )


def _over(records: Records, value: numbers.Value) -> Mean:
    return numbers.clustered(numbers.per_set(records, value))


def _median(records: Records, value: numbers.Value, scale: float, unit: str) -> str:
    return f"{scale * numbers.median(numbers.per_set(records, value)):+.{_digits(scale)}f}{unit}"


def _digits(scale: float) -> int:
    return 1 if scale == 100 else 3


def _mean(mean: Mean, scale: float, unit: str = "", sign: str = "+") -> str:
    if not mean.n:
        return "–"
    digits = _digits(scale)
    error = "" if math.isnan(mean.error) else f" ± {scale * mean.error:.{digits}f}"
    return f"{scale * mean.value:{sign}.{digits}f}{error}{unit}"


def _share(share: Share) -> str:
    if not share.n:
        return "–"
    low, high = share.interval
    return f"{share.value:.0%} ({low:.0%} to {high:.0%}), {share.hits} of {share.n}".replace("%", " %")


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.honesty.page", description=__doc__)
    parser.add_argument("--out", type=Path, default=_DOCS, help="folder of honesty.json, .png and .md; default: docs")
    out = parser.parse_args().out
    stored = json.loads((out / "honesty.json").read_text())
    print(write(stored["records"], stored["about"], out))


if __name__ == "__main__":
    main()
