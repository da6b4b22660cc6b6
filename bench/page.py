"""Write the tables and the page from docs/bench.json; `python -m bench.page` writes them and the picture again."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from bench import picture
from bench.judge import faster, goals, peak

NAMES = {
    "hpo": "a whole hpo search: journal, weights, MLflow's writer on the same core",
    "tight": "the fastest sequential loop: tensors in memory, fused AdamW, no records",
    "recipe": "the documented recipe: Optuna on SQLite, DataLoader, MLflow each epoch",
    "workers": "a whole hpo search with --workers",
    "joblib": "joblib processes with the tight loop that share an Optuna study in a journal file",
    "ray": "Ray Tune with OptunaSearch and the tight loop as its trainable, each epoch reported",
}

_PAGE = """\
# What a trial-epoch costs

The time of one epoch of one trial, with everything around it, for hpo and for other tools; and how close its training
comes to the peak of matrix products on this machine.

```
{goals}
```

![Time of the other tools relative to hpo by width; share of the peak that training reaches by fits](bench.png)

```
{names}
```

On one core:

```
{one_core}
```

On all {machine[cores]} cores:

```
{all_cores}
```

Training without study and recorder, on one core, by the number of fits that train together; GFLOP/s, and their share
of the peak of {peak:.0f}:

```
{rows}
```

`make bench` measures and writes this page again ({minutes:.0f} minutes; `python -m bench --help` for shorter runs).
It was written on {date} on {machine[cores]} cores of {machine[cpu]} ({machine[vectors]}) with Python
{machine[python]}, torch {machine[torch]}, Optuna {machine[optuna]}, Ray {machine[ray]}, joblib {machine[joblib]} and
MLflow {machine[mlflow]}. The load at the start was {load:.1f}: near 0, no other process was running.

**Method.** The space is `bench/digits.yaml`: scikit-learn's digits, an MLP of depth 1 to 5 and of each width,
minibatches of 64, {epochs} epochs, no pruner and no early stopping, so every trial trains for all epochs. The
*trials* of hpo are a whole search: two of them are its baselines, one is the ablation. The other tools get a subset
of the same configurations, evenly spaced in the order of depth, so that their networks have the same mean *depth*:
enqueued in Optuna's studies, `points_to_evaluate` of Ray's. All compute loss and accuracy on the validation rows
after each epoch; hpo also computes the loss on the same number of training rows. Each process has one thread, and
numpy's library chooses its own kernels (`OPENBLAS_CORETYPE` is not set). Each contender runs alone, in a process of
its own, tied with its children to one core or to all. The order at each width is that of the list above, then its
reverse. The faster run counts (*ms each*); the *slower* one is shown next to it.

*Seconds* are from the first proposal to the last record. Those of hpo include the creation of its journal and the
start of its writer process. The MLflow databases of all tools exist before their clocks start, joblib's processes are
warm, and Ray is initialized, but the start of its two actors is part of its fit. *Startup* is the rest, mostly
imports; *with startup* divides it by hpo's number of trial-epochs, for all tools. *Each* is a trial-epoch. *÷ hpo* on
all cores is relative to hpo with workers. *Core* is the processor time of a process and its children relative to the
wall time of its cores: below 1, other processes used them, or it waited for the disk, as the recipe does; Ray does
not wait for its processes, so theirs is unknown. *Best loss* is the median over configurations of the best validation
loss, next to that of hpo on the same configurations with other seeds: the tools computed the same thing.

*GFLOP/s* count only the matrix products, from the shapes of the networks: three per layer for a training row (two for
the first layer, whose input needs no gradient), one for a scored row. The other parts of an epoch (optimizer, noise,
loss, batches) take time but do not count. The *peak* is the faster of torch ({torch:.0f}) and numpy ({numpy:.0f}) at
a product of two square float32 matrices of {square}, on one thread, in the same process and environment; the best of
all tries before and after. The share in the goals is that of depth 1–5 and as many fits as hpo's search trains
together ({search_rows}). Larger numbers of fits are left out if an epoch takes over a second.
"""


def insert(folder: Path, module: str, table: str, page: str = "performance.md") -> None:
    """Put a table between the marks of module `name` in a page, if the page is in the folder."""
    if not (path := folder / page).exists():
        return
    before, mark, rest = path.read_text().partition(f"<!-- python -m {module} -->\n")
    path.write_text(f"{before}{mark}{table}\n{rest[rest.index('<!-- end -->') :]}")


def publish(
    folder: Path, name: str, table: str, records: Sequence[Mapping[str, Any]], about: Mapping[str, Any]
) -> None:
    """Write records and their description to NAME.json, one record per line for readable diffs, and the table to
    NAME.md.

    The table is only written if NAME.md is in the folder.
    """
    lines = ",\n".join(json.dumps(r) for r in records)
    (folder / f"{name}.json").write_text(f'{{"about": {json.dumps(about)}, "records": [\n{lines}\n]}}\n')
    insert(folder, f"bench.{name}", table, page=f"{name}.md")


def aligned(rows: Sequence[Sequence[str]]) -> str:
    """Format rows as columns of text: the first left-aligned, the others right-aligned."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    pad = [str.ljust, *[str.rjust] * (len(widths) - 1)]
    return "\n".join("  ".join(f(c, w) for f, c, w in zip(pad, row, widths, strict=True)) for row in rows)


def markdown(rows: Sequence[Sequence[str]]) -> str:
    """Format rows as a Markdown table whose first column is left-aligned."""
    rule = "| --- |" + " --: |" * (len(rows[0]) - 1)
    lines = ["| " + " | ".join(cells) + " |" for cells in rows]
    return "\n".join([lines[0], rule, *lines[1:]])


def names(result: Mapping[str, Any]) -> str:
    """Return the contenders and what they are."""
    ran = {run["what"] for run in result["runs"]}
    return "\n".join(f"{what:<7}  {text}" for what, text in NAMES.items() if what in ran)


def goal_table(result: Mapping[str, Any]) -> str:
    """Return the goals, the measured values, and by how much these miss them."""
    lines = [[g.what, f"{g.aim:g}{g.unit}", f"{g.reached:.1f}{g.unit}", g.missed_by] for g in goals(result)]
    return aligned([["", "goal", "reached", "missed by"], *lines])


def run_table(result: Mapping[str, Any], *, one_core: bool) -> str:
    """Return the faster runs on one core or on all, by width."""
    heads = {
        "what": "run",
        "width": "width",
        "trials": "trials",
        "depth": "depth",
        "seconds": "seconds",
        "startup": "startup",
        "core": "core",
        "ms": "ms each",
        "slower": "slower",
        "ratio_ms": "÷ hpo",
        "ms_with_startup": "with startup",
        "ratio_ms_with_startup": "÷ hpo",
        "best": "best loss",
        "best_of_hpo": "hpo's",
    }
    digits = {"seconds": 1, "startup": 1, "best": 4, "best_of_hpo": 4}
    shown = [r for r in faster(result) if (r["what"] in result["one_core"]) == one_core]
    cells = [[f"{r[k]:.{digits.get(k, 2)}f}" if isinstance(r[k], float) else str(r[k]) for k in heads] for r in shown]
    return aligned([list(heads.values()), *cells])


def row_table(result: Mapping[str, Any]) -> str:
    """Return milliseconds per trial-epoch, GFLOP/s and the share of the peak by fits, in blocks by depth and width."""
    cells = {(c["depth"], c["rows"], c["width"]): c for c in result["rows"]["cells"]}
    blocks = []
    for depth in dict.fromkeys(depth for depth, _, _ in cells):
        lines = [
            [f"depth {depth}", *(text for w in result["widths"] for text in (f"{w}: ms each", "GFLOP/s", "share"))]
        ]
        for n in sorted({rows for _, rows, _ in cells}):
            line = [f"{n} fits" if n > 1 else "1 fit"]
            for width in result["widths"]:
                c = cells.get((depth, n, width))
                share = f"{c['gflops'] / peak(result):.0%}" if c else ""
                line += [f"{c['ms']:.2f}", f"{c['gflops']:.0f}", share] if c else ["", "", ""]
            lines.append(line)
        blocks.append(aligned(lines))
    return "\n\n".join(blocks)


def tables(result: Mapping[str, Any]) -> str:
    """Return all tables for the terminal."""
    parts = [names(result), run_table(result, one_core=True), run_table(result, one_core=False), row_table(result)]
    return "\n\n".join([*parts, goal_table(result)])


def write(folder: Path) -> None:
    """Write bench.png and bench.md next to bench.json."""
    result = json.loads((folder / "bench.json").read_text())
    picture.draw(result, folder / "bench.png")
    text = _PAGE.format(
        names=names(result),
        goals=goal_table(result),
        rows=row_table(result),
        peak=peak(result),
        **result["rows"]["peak"],
        one_core=run_table(result, one_core=True),
        all_cores=run_table(result, one_core=False),
        square=result["rows"]["square"],
        **{key: result[key] for key in ("machine", "minutes", "date", "epochs", "load")},
        search_rows=", ".join(map(str, sorted(set(result["search_rows"])))),
    )
    (folder / "bench.md").write_text("\n".join(line.rstrip() for line in text.split("\n")))


if __name__ == "__main__":
    write(Path(__file__).parent.parent / "docs")
