"""Draw the picture of docs/honesty.md, readable without color: hollow squares are the plain tuner, circles hpo."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from bench.honesty import cost, numbers, reported
from bench.honesty.numbers import Records
from bench.honesty.text import MODES, NAMES, OF_METRIC

_MARKS: Mapping[str, Mapping[str, Any]] = {
    "ours": {"marker": "o", "mfc": "black", "mec": "black", "ms": 5},
    "today": {"marker": "o", "mfc": "0.75", "mec": "0.35", "ms": 5},
    "argmax": {"marker": "s", "mfc": "none", "mec": "0.35", "ms": 5},
    "argmax_average": {"marker": "s", "mfc": "0.75", "mec": "0.35", "ms": 5},
    "oracle": {"marker": "D", "mfc": "none", "mec": "0.35", "ms": 4},
}


def draw(records: Records, path: Path) -> None:
    """Draw the gains by metric, those by set, the reliability of the stated probability, and the time after the last
    proposal; the first three are of the split that `hpo init` writes."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    records = numbers.with_auto(records)
    auto = numbers.of_mode(records, "auto")
    figure = Figure(figsize=(11, 10), layout="constrained")
    FigureCanvasAgg(figure)
    panels = figure.subplots(2, 2)
    _gains(panels[0, 0], auto)
    _by_set(panels[0, 1], auto)
    _reliability(panels[1, 0], auto)
    _after(panels[1, 1], records)
    for axes in panels.flat:
        axes.spines[["top", "right"]].set_visible(False)
        axes.title.set_size(10)
    figure.savefig(path, dpi=110)


def _gains(axes: Any, records: Records) -> None:
    """Draw a line per followed metric with the trimmed mean gain of each choice and its standard error."""
    metrics = numbers.followed(records)
    for shift, who in zip((-0.3, -0.15, 0, 0.15, 0.3), _MARKS, strict=True):
        means = [numbers.mean_gain(numbers.of_metric(records, metric), who) for metric in metrics]
        axes.errorbar(
            [100 * m.value for m in means],
            [i + shift for i in range(len(metrics))],
            xerr=[_length(m.error) for m in means],
            ls="none",
            lw=0.8,
            ecolor="0.5",
            label=NAMES[who].replace("`", ""),
            **_MARKS[who],
        )
    _rows(axes, [OF_METRIC[metric] for metric in metrics])
    axes.set_xlabel("gain over the usual defaults, % of their error (± standard error)")
    axes.legend(frameon=False, fontsize=8)
    axes.set_title("(a) the gain on test rows, by followed metric (trimmed mean)")


def _by_set(axes: Any, records: Records) -> None:
    names = numbers.names(records)
    for shift, who in zip((-0.15, 0.15), ("ours", "argmax_average"), strict=True):
        means = [numbers.mean([r for r in records if r["set"] == name], numbers.gain(who)) for name in names]
        axes.errorbar(
            [100 * m.value for m in means],
            [i + shift for i in range(len(names))],
            xerr=[_length(m.error) for m in means],
            ls="none",
            lw=0.8,
            ecolor="0.5",
            **_MARKS[who],
        )
    _rows(axes, names)
    axes.tick_params(axis="y", labelsize=7)
    axes.set_xscale("symlog", linthresh=20)
    ticks = [x for x in (-1000, -100, -20, -10, 0, 10, 20, 100) if axes.get_xlim()[0] <= x <= axes.get_xlim()[1]]
    axes.set_xticks(ticks, [f"{x:+d}" if x else "0" for x in ticks])
    axes.minorticks_off()
    axes.set_xlabel("gain over the usual defaults, % of their error (± standard error)")
    axes.set_title("(b) the same by set: right of the line is better")


def _reliability(axes: Any, records: Records) -> None:
    bins = reported.reliability(records)
    axes.plot([0, 1], [0, 1], color="0.6", lw=0.8, zorder=0)
    for one in bins:
        low, high = one.right.interval
        around = [[one.right.value - low], [high - one.right.value]]
        axes.errorbar(one.stated, one.right.value, yerr=around, lw=0.8, ecolor="0.5", **_MARKS["ours"])
        axes.annotate(str(one.right.n), (one.stated, high), (0, 3), textcoords="offset points", ha="center", fontsize=8)
    axes.set(
        xlim=(0, 1.03),
        ylim=(0, 1.08),
        xlabel="stated probability of being better than the defaults",
        ylabel="share that was better on test rows (95 % interval)",
    )
    axes.set_title("(c) the stated probability; numbers of searches")


def _after(axes: Any, records: Records) -> None:
    modes = numbers.modes(records)
    shares = [[100 * cost.after_last_proposal(r) for r in numbers.of_mode(records, mode)] for mode in modes]
    axes.boxplot(shares, orientation="horizontal", medianprops={"color": "black"}, flierprops={"ms": 3})
    axes.set_yticks(range(1, len(modes) + 1), [MODES[mode] for mode in modes])
    axes.invert_yaxis()
    axes.set(xlim=(0, 100), xlabel="% of the wall time of a search")
    axes.set_title("(d) the time after the last proposal")


def _rows(axes: Any, labels: list[str]) -> None:
    axes.axvline(0, color="0.6", lw=0.8, zorder=0)
    axes.set_yticks(range(len(labels)), labels)
    axes.set_ylim(len(labels) - 0.4, -0.6)


def _length(error: float) -> float:
    return 0.0 if math.isnan(error) else 100 * error
