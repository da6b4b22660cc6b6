"""The table, the picture and the page, all made from docs/bench.json; `python -m bench.page` makes them again."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

NAMES = {
    "recipe": "the documented recipe: Optuna on SQLite, DataLoader, MLflow every epoch",
    "tight": "the tightest sequential loop: tensors in memory, fused AdamW, nothing recorded",
    "hpo": "hpo search, whole: journal, weights, MLflow's writer on the same core",
}

_PAGE = """\
# What a trial-epoch costs

One trial trained for one epoch on one core, with everything around it. The documented recipe takes
**{faster[recipe][ratio_ms]:.1f} times** as long as hpo, the tightest sequential loop **{faster[tight][ratio_ms]:.1f} times**.

![Milliseconds a trial-epoch of the recipe, the tight loop and hpo](bench.png)

```
{table}
```

`make bench` makes this page anew (`python -m bench --help` for a shorter one). It was made on {date} with torch
{machine[torch]}, Optuna {machine[optuna]} and Python {machine[python]}, on one core of {machine[cores]} ({machine[vectors]}).

**Method.** The space is `bench/digits.yaml`: scikit-learn's digits, an MLP of width 64 and depth 1 to 5, minibatches of
64, {space[train][epochs]} epochs, no pruner and no early stopping, so that every trial trains all epochs. hpo's search is
{space[budget][trials]} trials, two of them its baselines, and the ablation. The others are given some of the very same
configurations, evenly spaced in the order of depth, so that their networks are as deep on average (*depth*). All three
score loss and accuracy on the validation rows after every epoch; hpo also scores the loss on as many training rows.
Each runs in a process of its own, tied with its children to the same core, in the order of the table.

*Seconds* are from the first ask to the last record written. hpo's include the creation of its journal and
the start of its writer process; the MLflow databases of all three are made before their clocks start. *Startup* is the
rest, mostly imports; *with startup* spreads it over hpo's number of trial-epochs, for all three. *Each* is a trial-epoch.
*Core* is the processor seconds of a process and its children by wall seconds: below 1, others were using the core, or it
waited for the disk, as the recipe does. Of two runs, the faster counts.
*Best loss* is the median over configurations of the best validation loss, beside hpo's on the same configurations
with other seeds: the same thing was computed.
"""


def aligned(rows: list[list[str]]) -> str:
    """Rows as columns of text: the first to the left, the others to the right."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    pad = [str.ljust, *[str.rjust] * (len(widths) - 1)]
    return "\n".join("  ".join(f(c, w) for f, c, w in zip(pad, row, widths, strict=True)) for row in rows)


def table(result: Mapping[str, Any]) -> str:
    """Every run in the order of running, then the faster one of each and the ratios to hpo."""
    runs = [["run", "trials", "depth", "trial-epochs", "seconds", "startup", "core", "ms each"]]
    for r in result["runs"]:
        numbers = [f"{r['seconds']:.1f}", f"{r['startup']:.1f}", f"{r['core']:.2f}", f"{r['ms']:.2f}"]
        runs.append([r["what"], f"{r['trials']}", f"{r['depth']:.2f}", f"{r['epochs']}", *numbers])
    faster = [["faster run", "ms each", "÷ hpo", "with startup", "÷ hpo", "best loss", "hpo's"]]
    for what in NAMES:
        m = result["faster"][what]
        times = [f"{m[f'{ratio}{key}']:.2f}" for key in ("ms", "ms_with_startup") for ratio in ("", "ratio_")]
        faster.append([what, *times, f"{m['best']:.4f}", f"{m['best_of_hpo']:.4f}"])
    legend = "\n".join(f"{what:<7} {text}" for what, text in NAMES.items())
    return "\n\n".join([legend, aligned(runs), aligned(faster)])


def write(folder: Path) -> None:
    """Makes bench.png and bench.md beside bench.json."""
    result = json.loads((folder / "bench.json").read_text())
    draw(result, folder / "bench.png")
    (folder / "bench.md").write_text(_PAGE.format(table=table(result), **result))


def draw(result: Mapping[str, Any], path: Path) -> None:
    """A bar a contender, told apart by place and label; a stroke a run, so that one sees how far two runs lie apart."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 2.6), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots()
    names = list(reversed(NAMES))
    faster = [result["faster"][what] for what in names]
    labels = [f"  {m['ms']:.1f} ms" + (f",  {m['ratio_ms']:.1f} × hpo" if m["ratio_ms"] != 1 else "") for m in faster]
    axes.barh([NAMES[what].replace(": ", ":\n", 1) for what in names], [m["ms"] for m in faster], color="0.75", ec="black")
    farthest = max(run["ms"] for run in result["runs"])
    for place, (what, label) in enumerate(zip(names, labels, strict=True)):
        ms = [run["ms"] for run in result["runs"] if run["what"] == what]
        axes.plot(ms, [place] * len(ms), "|", markersize=20, color="black")
        axes.text(max(ms), place, label, va="center")
    axes.set(xlabel="milliseconds a trial-epoch", xlim=(0, 1.35 * farthest))
    axes.tick_params(axis="y", labelsize=8)
    axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(path, dpi=120)


if __name__ == "__main__":
    write(Path(__file__).parent.parent / "docs")
