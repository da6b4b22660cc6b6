"""Pictures of a search."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from hpo.trial import Outcome


def curve_numbers(outcomes: Mapping[str, Outcome], metric: str) -> dict[str, dict[str, list[float]]]:
    """Per configuration: the loss on training and validation rows, and the followed metric (or accuracy or r2)."""
    chosen = {}
    for name, outcome in outcomes.items():
        shown = f"valid_{metric}" if metric != "loss" else next(
            (key for key in outcome.curves if key not in ("train_loss", "valid_loss")), "valid_loss"
        )
        chosen[name] = {key: outcome.curves[key] for key in ("train_loss", "valid_loss", shown) if key in outcome.curves}
    return chosen


def curves(outcomes: Mapping[str, Outcome], metric: str, path: Path) -> None:
    """Draws the learning curves of the selected configuration beside those that it is compared with."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    numbers = curve_numbers(outcomes, metric)
    figure = Figure(figsize=(11, 4.2), layout="constrained")
    FigureCanvasAgg(figure)
    loss, other = figure.subplots(1, 2)
    for i, (name, found) in enumerate(numbers.items()):
        colour, epochs = f"C{i}", range(1, len(found["valid_loss"]) + 1)
        loss.plot(epochs, found["valid_loss"], color=colour, label=f"{name}, validation")
        loss.plot(epochs, found["train_loss"], color=colour, linestyle=":", label=f"{name}, training")
        last = list(found)[-1]
        other.plot(epochs, found[last], color=colour, label=name)
        other.set_ylabel(last.removeprefix("valid_").replace("_", " ") + " on validation rows")
        best = outcomes[name].best_epoch
        if best:
            loss.plot(best, found["valid_loss"][best - 1], "o", color=colour)
    loss.set(xlabel="epoch", ylabel="loss", yscale="log")
    other.set(xlabel="epoch")
    loss.legend(fontsize=8)
    other.legend(fontsize=8)
    figure.savefig(path, dpi=110)
