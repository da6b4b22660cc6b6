"""Draw the picture of docs/honesty.md, readable without color: hollow squares are the plain tuner, circles hpo."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from bench.honesty import numbers
from bench.honesty.numbers import WHO, Records

_LEAST = 0.03  # smaller shares of the defaults' test loss are drawn here
_NAMES = {"argmax": "plain tuner", "ours": "hpo"}
_MARKS: Mapping[str, Mapping[str, Any]] = {
    "argmax": {"marker": "s", "mfc": "none", "mec": "0.35", "ms": 5},
    "ours": {"marker": "o", "mfc": "black", "mec": "black", "ms": 4},
}


def draw(records: Records, path: Path) -> None:
    """Draw reported against test score, the difference by set, how often ours is worse than the defaults, and the cost
    of folds.

    The first three are of hold-out searches, if there are any.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(11, 9), layout="constrained")
    FigureCanvasAgg(figure)
    panels = figure.subplots(2, 2)
    mode = numbers.modes(records)[0]
    some = numbers.of_mode(records, mode)
    _reported(panels[0, 0], some)
    _bias(panels[0, 1], some)
    _worse(panels[1, 0], records)
    _folds(panels[1, 1], records)
    for axes in (panels[0, 0], panels[1, 1]):
        for axis in (axes.xaxis, axes.yaxis):
            axis.set_major_formatter("{x:g}")
            axis.set_minor_formatter("")
    for axes in panels.flat:
        axes.spines[["top", "right"]].set_visible(False)
        axes.title.set_size(10)
    figure.savefig(path, dpi=110)


def _reported(axes: Any, records: Records) -> None:
    """Draw a mark per search: above the line, the reported score was too optimistic."""
    for who in WHO:
        points = [
            [max(r[who][key]["loss"] / r[who]["default_test"]["loss"], _LEAST) for key in ("reported", "test")]
            for r in records
        ]
        axes.plot(*zip(*points, strict=True), ls="none", label=_NAMES[who], alpha=0.6, **_MARKS[who])
    axes.set(
        xscale="log",
        yscale="log",
        xlabel=f"reported loss ÷ the defaults' test loss (at least {_LEAST})",
        ylabel="test loss ÷ the defaults'",
    )
    ends = [min(axes.get_xlim()[0], axes.get_ylim()[0]), max(axes.get_xlim()[1], axes.get_ylim()[1])]
    axes.plot(ends, ends, color="0.6", lw=0.8, zorder=0)
    axes.legend(frameon=False, loc="lower right")
    axes.set_title("(a) the loss reported, and the one that one gets")


def _bias(axes: Any, records: Records) -> None:
    """Draw a line per set with its standard error."""
    names = numbers.names(records)
    for shift, who in zip((-0.15, 0.15), WHO, strict=True):
        means = [numbers.bias([r for r in records if r["set"] == name], who, "loss") for name in names]
        axes.errorbar(
            [100 * m.value for m in means],
            [i + shift for i in range(len(names))],
            ls="none",
            lw=0.8,
            ecolor="0.5",
            xerr=[0.0 if m.n < 2 else 100 * m.error for m in means],
            **_MARKS[who],
        )
    axes.axvline(0, color="0.6", lw=0.8, zorder=0)
    axes.set_yticks(range(len(names)), names)
    axes.invert_yaxis()
    axes.set_xscale("symlog", linthresh=20)
    ticks = [x for x in (-1000, -100, -20, 0, 20, 100, 1000) if axes.get_xlim()[0] <= x <= axes.get_xlim()[1]]
    axes.set_xticks(ticks, [f"{x:+d}" if x else "0" for x in ticks])
    axes.minorticks_off()
    axes.set_xlabel("reported minus test loss, % of the defaults' (± standard error)")
    axes.set_title("(b) left of the line, the reported loss was too good")


def _worse(axes: Any, records: Records) -> None:
    """Draw a line per mode and threshold, with Wilson's interval."""
    labels = []
    for mode in numbers.modes(records):
        some = numbers.of_mode(records, mode)
        for errors, text in ((0, "at all"), (2, "by two\nstandard errors")):
            for shift, who in zip((-0.12, 0.12), WHO, strict=True):
                share = numbers.worse(some, who, errors)
                if share.n:
                    low, high = share.interval
                    around = [[100 * (share.value - low)], [100 * (high - share.value)]]
                    axes.errorbar(
                        100 * share.value, len(labels) + shift, xerr=around, lw=0.8, ecolor="0.5", **_MARKS[who]
                    )
                    axes.annotate(
                        f"{share.value:.0%}",
                        (100 * high, len(labels) + shift),
                        (4, 0),
                        textcoords="offset points",
                        va="center",
                    )
            labels.append(f"{mode},\n{text}")
    axes.set_yticks(range(len(labels)), labels)
    axes.set_ylim(len(labels) - 0.4, -0.6)
    axes.set(xlim=(0, None), xlabel="% of searches (and 95 % interval)")
    axes.set_title("(c) how often the selection is worse on test than the defaults")


def _folds(axes: Any, records: Records) -> None:
    """Draw a mark per search that was made both ways."""
    pairs = numbers.pairs(records)
    axes.set_title("(d) epochs trained, all in all")
    if not pairs:
        axes.set_axis_off()
        axes.text(0.5, 0.5, "no search was made by folds", ha="center", transform=axes.transAxes)
        return
    axes.plot(
        [numbers.total(one) for one, _ in pairs],
        [numbers.total(folds) for _, folds in pairs],
        ls="none",
        alpha=0.6,
        **_MARKS["ours"],
    )
    axes.set(xscale="log", yscale="log", xlabel="by hold-out", ylabel="by folds")
    ends = [numbers.total(one) for one, _ in pairs]
    low, high = min(ends) / 1.3, max(ends) * 1.3
    for times in (1, 2, 5):
        axes.plot([low, high], [times * low, times * high], color="0.6", lw=0.8, zorder=0)
        axes.annotate(f"{times} ×", (high, times * high), (3, 0), textcoords="offset points", va="center", color="0.4")
