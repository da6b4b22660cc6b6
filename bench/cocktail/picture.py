"""Draw the picture of docs/cocktail.md: readable without color. Hollow marks are others, filled ones hpo."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from bench.cocktail import numbers
from bench.cocktail.numbers import Records
from bench.cocktail.sets import COCKTAIL, COLUMNS

_TITLES = {"selected": "hpo", "ensemble": "hpo, greedy ensemble of 10"}
_PUBLISHED: Mapping[str, Any] = {"marker": "o", "mfc": "none", "mec": "0.45", "ms": 6}
_MEASURED: Mapping[str, Any] = {"marker": "^", "mfc": "none", "mec": "0.45", "ms": 6}
_COCKTAIL: Mapping[str, Any] = {"marker": "D", "mfc": "none", "mec": "black", "mew": 1.5, "ms": 8}
_OURS: Mapping[str, Mapping[str, Any]] = {
    "selected": {"marker": "o", "mfc": "black", "mec": "black", "ms": 7},
    "ensemble": {"marker": "s", "mfc": "black", "mec": "black", "ms": 7},
}


def draw(records: Records, path: Path) -> None:
    """Draw a band per set: all scores on the published split above, our means over all splits with errors below."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 6), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots()
    names = numbers.names(records)
    for i, name in enumerate(names):
        _others(axes, name, i - 0.22)
        for shift, who in ((0.1, "selected"), (0.28, "ensemble")):
            found = numbers.published(records, who, name)
            if found is not None:
                axes.plot(found, i - 0.22, ls="none", label=_TITLES[who], **_OURS[who])
            mean = numbers.over_splits(records, who, name)
            error = 0.0 if math.isnan(mean.error) else mean.error
            label = f"mean over {mean.n} splits, ± standard error"
            axes.errorbar(
                mean.value,
                i + shift,
                xerr=error,
                lw=1.2,
                capsize=3,
                color="0.3",
                label=label,
                **{**_OURS[who], "ms": 4},
            )
        axes.axhline(i + 0.5, color="0.85", lw=0.8)
    axes.set_yticks(range(len(names)), names)
    axes.set_ylim(len(names) - 0.5, -0.5)
    axes.set_xlabel("balanced accuracy on the test rows, % (upper line of a set: the published split)")
    axes.spines[["top", "right"]].set_visible(False)
    handles = dict(zip(*reversed(axes.get_legend_handles_labels()), strict=True))
    figure.legend(handles.values(), handles.keys(), loc="outside lower center", ncols=3, frameon=False)
    figure.savefig(path, dpi=110)


def _others(axes: Any, name: str, y: float) -> None:
    """Draw each column on the published split; the cocktail is emphasized."""
    for key, column in COLUMNS.items():
        mark, label = (_PUBLISHED, "published") if column.published else (_MEASURED, "measured by us, other models")
        if key == COCKTAIL:
            mark, label = _COCKTAIL, "published cocktail"
        axes.plot(column.scores[name], y, ls="none", label=label, **mark)
