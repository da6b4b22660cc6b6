"""Draw the picture of docs/cocktail.md, which is readable without color."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from bench.cocktail import numbers
from bench.cocktail.numbers import Records

_ROWS: Mapping[str, tuple[float, str, str]] = {  # the place in the band of a set, the title, and the mark
    "selected": (-0.25, "hpo", "o"),
    "argmax": (0.0, "best search score", "s"),
    "none": (0.25, "no regularization", "^"),
}


def draw(records: Records, path: Path) -> None:
    """Draw a band per set: the differences from the usual defaults on each split, and their means with errors."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 6), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots()
    names = numbers.names(records)
    axes.axvline(0, color="0.5", lw=0.8)
    for i, name in enumerate(names):
        for who in _ROWS:
            _row(axes, records, who, name, i)
        axes.axhline(i + 0.5, color="0.85", lw=0.8)
    axes.set_yticks(range(len(names)), names)
    axes.set_ylim(len(names) - 0.5, -0.5)
    axes.set_xlabel(
        "points of balanced accuracy on the test rows above the usual defaults, averaged over as many networks"
    )
    axes.spines[["top", "right"]].set_visible(False)
    handles = dict(zip(*reversed(axes.get_legend_handles_labels()), strict=True))
    figure.legend(handles.values(), handles.keys(), loc="outside lower center", ncols=len(_ROWS), frameon=False)
    figure.savefig(path, dpi=110)


def _row(axes: Any, records: Records, who: str, name: str, band: int) -> None:
    """Draw the differences of one configuration: hollow for a split, filled for the mean."""
    shift, title, mark = _ROWS[who]
    found, mean = numbers.differences(records, who, "defaults", name), numbers.gain(records, who, "defaults", name)
    if not found:
        return
    hollow = {"marker": mark, "mfc": "none", "mec": "0.55", "ms": 5}
    axes.plot(found, [band + shift] * len(found), ls="none", label=f"{title}, a split", **hollow)
    axes.errorbar(
        mean.value,
        band + shift,
        xerr=0.0 if math.isnan(mean.error) else mean.error,
        label=f"{title}, mean ± standard error",
        marker=mark,
        mfc="black",
        mec="black",
        ms=7,
        ls="none",
        lw=1.2,
        capsize=3,
        color="0.2",
    )
