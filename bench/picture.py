"""The picture of docs/bench.md: readable small and without colour, told apart by marks and by labels beside the lines."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from bench.judge import SHARE_OF_PEAK, TIMES_AS_LONG, faster, peak

_MARKS = {"recipe": "s", "ray": "D", "joblib": "^", "tight": "o"}
_WIDTH_MARKS = ("o", "^", "s", "D")


def draw(result: Mapping[str, Any], path: Path) -> None:
    """Left: the peers' times by hpo's, on as many cores; right: how near to the peak training comes."""
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
    """A line a peer, a short bar with its mark a goal."""
    runs, widths = faster(result), result["widths"]
    for what, mark in _MARKS.items():
        mine = {run["width"]: run["ratio_ms"] for run in runs if run["what"] == what}
        places = [i for i, width in enumerate(widths) if width in mine]
        axes.plot(places, [mine[widths[i]] for i in places], marker=mark, color="black", lw=1, ms=5)
        axes.annotate(what, (places[-1], mine[widths[places[-1]]]), (8, 0), textcoords="offset points", va="center")
    for (what, width), aim in TIMES_AS_LONG.items():
        if width in widths:
            axes.plot(widths.index(width), aim, marker=_MARKS[what], mfc="none", mec="0.5", ms=9, ls="none")
    axes.axhline(1, color="0.6", lw=0.8)
    axes.set_yscale("log")
    axes.set_yticks(ticks := [1, 2, 5, 10, 20], [str(tick) for tick in ticks])
    axes.minorticks_off()
    axes.set_xticks(range(len(widths)), [str(width) for width in widths])
    axes.set(xlabel="width", xlim=(-0.2, len(widths) - 0.3), title="times as long as hpo (large hollow marks: goals)")


def _shares(axes: Any, result: Mapping[str, Any]) -> None:
    """A line a width, of mixed depths."""
    for width, mark in zip(result["widths"], _WIDTH_MARKS, strict=False):
        cells = [c for c in result["rows"]["cells"] if (c["width"], c["depth"]) == (width, "1–5")]
        shares = [100 * c["gflops"] / peak(result) for c in cells]
        axes.plot([c["rows"] for c in cells], shares, marker=mark, color="black", lw=1, ms=5)
        axes.annotate(f"{width}", (cells[-1]["rows"], shares[-1]), (8, 0), textcoords="offset points", va="center")
    aim = 100 * min(SHARE_OF_PEAK.values())
    axes.axhline(aim, color="0.6", lw=0.8, ls="--")
    axes.annotate(f"goal from width {min(SHARE_OF_PEAK)} on", (1, aim), (0, 3), textcoords="offset points", color="0.4")
    axes.set_xscale("log", base=2)
    ticks = sorted({c["rows"] for c in result["rows"]["cells"]})
    axes.set_xticks(ticks, [str(tick) for tick in ticks])
    axes.minorticks_off()
    axes.set(xlabel="rows trained together", ylim=(0, 100), title="% of this machine's matrix peak, by width")
