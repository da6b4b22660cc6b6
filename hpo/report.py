"""Pictures of a search."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

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
