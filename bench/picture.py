"""Draw the picture of docs/bench.md: readable when small and without color, with marks and labels at the lines."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from bench.judge import MIXED, SHARE_OF_PEAK, TIMES_AS_LONG, faster, peak

_MARKS = {"recipe": "s", "ray": "D", "joblib": "^", "tight": "o"}
_WIDTH_MARKS = ("o", "^", "s", "D")
_APART = 0.07  # of the height: the smallest distance of two labels


def draw(result: Mapping[str, Any], path: Path) -> None:
    """Draw the times of the peers relative to hpo (left), and the share of the peak in training (right)."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 3.4), layout="constrained")
    FigureCanvasAgg(figure)
    left, right = figure.subplots(1, 2)
    _peers(left, result)
    _shares(right, result)
    for axes in (left, right):
        axes.spines[["top", "right"]].set_visible(False)
        axes.title.set_size(10)
    figure.savefig(path, dpi=120)


def _peers(axes: Any, result: Mapping[str, Any]) -> None:
    """Draw a line per peer; a large hollow mark is a goal."""
    runs, widths = faster(result), result["widths"]
    lines = {}
    for what in _MARKS:
        ratios = {run["width"]: run["ratio_ms"] for run in runs if run["what"] == what}
        lines[what] = [(widths.index(width), ratio) for width, ratio in ratios.items()]
    for (what, width), aim in TIMES_AS_LONG.items():
        if width in widths:
            axes.plot(widths.index(width), aim, marker=_MARKS[what], mfc="none", mec="0.5", ms=10, ls="none")
    axes.axhline(1, color="0.6", lw=0.8)
    axes.set_yscale("log")
    axes.set_yticks(ticks := [1, 2, 5, 10, 20, 50], [str(tick) for tick in ticks])
    axes.set_xticks(range(len(widths)), [str(width) for width in widths])
    axes.set(xlabel="width", xlim=(-0.2, len(widths) - 0.4), title="times as long as hpo (large hollow marks: goals)")
    _plot(axes, lines, tuple(_MARKS.values()))


def _shares(axes: Any, result: Mapping[str, Any]) -> None:
    """Draw a line per width, for mixed depths."""
    lines: dict[str, list[tuple[float, float]]] = {}
    for c in result["rows"]["cells"]:
        if c["depth"] == MIXED:
            lines.setdefault(str(c["width"]), []).append((c["rows"], 100 * c["gflops"] / peak(result)))
    aim = 100 * min(SHARE_OF_PEAK.values())
    axes.axhline(aim, color="0.6", lw=0.8, ls="--")
    axes.annotate(f"goal from width {min(SHARE_OF_PEAK)} on", (1, aim), (0, 3), textcoords="offset points", color="0.4")
    axes.set_xscale("log", base=2)
    ticks = sorted({c["rows"] for c in result["rows"]["cells"]})
    axes.set_xticks(ticks, [str(tick) for tick in ticks])
    axes.set(xlabel="fits trained together", ylim=(0, 100), title="% of this machine's matrix peak, by width")
    _plot(axes, lines, _WIDTH_MARKS)


def _plot(axes: Any, lines: Mapping[str, list[tuple[float, float]]], marks: tuple[str, ...]) -> None:
    """Draw black lines with marks, and their names at their ends, moved apart if they would overlap."""
    for points, mark in zip(lines.values(), marks, strict=False):
        axes.plot(*zip(*points, strict=True), marker=mark, color="black", lw=1, ms=5)
    axes.minorticks_off()
    axes.set_ylim(axes.get_ylim())
    to_share = axes.transData + axes.transAxes.inverted()
    ends = sorted((*to_share.transform(points[-1]), name) for name, points in lines.items())
    for x in {x for x, _, _ in ends}:
        here = [(y, name) for at, y, name in ends if at == x]
        places: list[float] = []
        for y, _ in here:
            places.append(max(y, places[-1] + _APART) if places else y)
        shift = sum(place - y for place, (y, _) in zip(places, here, strict=True)) / len(here)
        for place, (_, name) in zip(places, here, strict=True):
            axes.annotate(name, (x, place - shift), (8, 0), "axes fraction", textcoords="offset points", va="center")
