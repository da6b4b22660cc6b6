"""Pictures of a search."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from hpo.trial import Outcome


def curve_numbers(outcomes: Mapping[str, Outcome], metric: str) -> dict[str, dict[str, list[float]]]:
    """Per configuration the loss on training and on validation rows, and a metric on validation rows."""
    names = ("train_loss", "valid_loss", f"valid_{metric}")
    return {label: {name: outcome.curves[name] for name in names} for label, outcome in outcomes.items() if outcome.curves}


def curves(outcomes: Mapping[str, Outcome], metric: str, path: Path) -> None:
    """Draws the learning curves of the selected configuration beside those that it is compared with."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    numbers = curve_numbers(outcomes, metric)
    figure = Figure(figsize=(11, 4.2))
    FigureCanvasAgg(figure)
    loss, other = figure.subplots(1, 2)
    figure.subplots_adjust(left=0.07, right=0.985, bottom=0.14, top=0.96, wspace=0.2)
    for i, (label, found) in enumerate(numbers.items()):
        colour, epochs = f"C{i}", range(1, len(found["valid_loss"]) + 1)
        loss.plot(epochs, found["valid_loss"], color=colour, label=f"{label}, validation")
        loss.plot(epochs, found["train_loss"], color=colour, linestyle=":", label=f"{label}, training")
        other.plot(epochs, found[f"valid_{metric}"], color=colour, label=label)
        best = outcomes[label].best_epoch
        if best:
            loss.plot(best, found["valid_loss"][best - 1], "o", color=colour)
    loss.set(xlabel="epoch", ylabel="loss", yscale="log")
    other.set(xlabel="epoch", ylabel=f"{metric.replace('_', ' ')} on validation rows")
    loss.legend(fontsize=8)
    other.legend(fontsize=8)
    figure.savefig(path, dpi=110)


def finalists(found: Mapping[str, Mapping[str, Any]], selected: str, metric: str, path: Path) -> None:
    """Draws what each finalist scored in the search, and on fresh splits with its standard error, the best at the top.

    `found` is the result's `finalists`; where something diverged, it has no point.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    labels = list(found)
    figure = Figure(figsize=(8, 1.2 + 0.38 * len(labels)))
    FigureCanvasAgg(figure)
    axes = figure.subplots()
    figure.subplots_adjust(left=0.24, right=0.97, bottom=0.62 / figure.get_figheight(), top=1 - 0.3 / figure.get_figheight())
    for i, label in enumerate(reversed(labels)):
        one = found[label]
        if one["search"] is not None:
            axes.plot(one["search"], i, "o", color="0.35", markerfacecolor="none", label="in the search" if not i else None)
        if one["fresh"] is not None:
            error = one["standard_error"] or 0.0
            axes.errorbar(one["fresh"], i, xerr=error, fmt="s", color="C0", capsize=3, label="fresh, ± standard error" if not i else None)
    axes.set_yticks(range(len(labels)), [f"{label} (selected)" if label == selected else label for label in reversed(labels)])
    axes.set_xlabel(f"{metric.replace('_', ' ')} on validation rows")
    axes.legend(fontsize=8, loc="lower right", bbox_to_anchor=(1, 1), ncols=2, frameon=False)
    figure.savefig(path, dpi=110)


def front(found: Sequence[Mapping[str, Any]], others: Sequence[Sequence[float]], goals: Sequence[str], path: Path) -> None:
    """Draws the Pareto front in its first two objectives, each of its points with the trial's name, before all complete trials.

    `others` are these trials' values (points, objectives).
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7, 5))
    FigureCanvasAgg(figure)
    axes = figure.subplots()
    x, y = goals[:2]
    axes.plot([o[0] for o in others], [o[1] for o in others], "o", color="0.75", label="complete trials")
    points = [(one["values"][x], one["values"][y]) for one in found]
    axes.plot(*zip(*points, strict=True), "s", color="C0", label="beaten by none in all objectives")
    for one, point in zip(found, points, strict=True):
        axes.annotate(one["trial"], point, textcoords="offset points", xytext=(6, 4), fontsize=8)
    axes.set(xlabel=x.replace("_", " "), ylabel=y.replace("_", " "))
    axes.legend(fontsize=8)
    figure.savefig(path, dpi=110)
