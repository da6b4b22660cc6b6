"""The tables and the page, made from docs/bench.json; `python -m bench.page` makes them and the picture again."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from bench import picture
from bench.judge import faster, goals, peak

NAMES = {
    "hpo": "hpo search, whole: journal, weights, MLflow's writer on the same core",
    "tight": "the tightest sequential loop: tensors in memory, fused AdamW, nothing recorded",
    "recipe": "the documented recipe: Optuna on SQLite, DataLoader, MLflow every epoch",
    "workers": "hpo search with --workers, whole",
    "joblib": "processes of joblib that share an Optuna study in a journal file, each with the tight loop",
    "ray": "Ray Tune with OptunaSearch, the tight loop as its trainable, every epoch reported",
}

_PAGE = """\
# What a trial-epoch costs

One trial trained for one epoch, with everything around it, beside the peers of hpo; and how far its training is from what
this machine's matrix products can do.

```
{goals}
```

![How many times as long as hpo the peers take, by width; the share of the peak that training reaches, by rows](bench.png)

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

Training alone, without study and recorder, on one core; GFLOP/s, and their share of {peak:.0f}, the peak:

```
{rows}
```

`make bench` makes this page anew ({minutes:.0f} minutes; `python -m bench --help` for less). It was made on {date} on
{machine[cores]} cores of {machine[cpu]} ({machine[vectors]}) with Python {machine[python]}, torch {machine[torch]}, Optuna {machine[optuna]},
Ray {machine[ray]}, joblib {machine[joblib]} and MLflow {machine[mlflow]}; the load when it began was {load:.1f}: near 0, the machine was its own.

**Method.** The space is `bench/digits.yaml`: scikit-learn's digits, an MLP of depth 1 to 5 and of each width, minibatches
of 64, {epochs} epochs, no pruner and no early stopping, so that every trial trains all epochs. hpo's *trials* are a whole
search: two of them are its baselines, one is the ablation. The others are given some of the very same configurations, evenly
spaced in the order of depth, so that their networks are as deep on average (*depth*): enqueued in Optuna's studies,
`points_to_evaluate` of Ray's. All score loss and accuracy on the validation rows after every epoch; hpo also scores the
loss on as many training rows. Every process has one thread, and numpy's library
chooses its own kernels (`OPENBLAS_CORETYPE` unset). Each contender runs alone, in a process of its own, tied with its
children to one core or to all; the order at each width is that of the list above, then its reverse. The faster run counts
(*ms each*), the *slower* is beside it.

*Seconds* are from the first ask to the last record written. hpo's include the creation of its journal and the start of its
writer process; the MLflow databases of all are made before their clocks start, joblib's processes are warm and Ray is
initialised, but the start of its two actors is a part of its fit. *Startup* is the rest, mostly imports; *with startup* spreads it
over hpo's number of trial-epochs, for all. *Each* is a trial-epoch. *÷ hpo* on all cores is by hpo's with workers.
*Core* is the processor seconds of a process and its children by the seconds that the cores were its own: below 1, others were
using them, or it waited for the disk, as the recipe does; Ray does not wait for its processes, so theirs are not known.
*Best loss* is the median over configurations of the best validation loss, beside hpo's on the same configurations with other
seeds: the same thing was computed.

*GFLOP/s* count the matrix products alone, from the networks' shapes: of a training row three a layer (but two of the first,
whose input needs no gradient), of a scored row one. What else an epoch does (optimizer, noise, loss, batches) costs time
and counts nothing. The *peak* is the faster of torch ({torch:.0f}) and numpy ({numpy:.0f}) at a product of two square float32 matrices
of {square}, on one thread, in the same process and environment, the best of all tries before and after. The share
in the goals is that of depth 1–5 and as many rows as hpo's search trains together ({search_rows}). More rows are left out where an
epoch takes over a second.
"""


def insert(folder: Path, module: str, table: str, page: str = "performance.md") -> None:
    """Puts a table between the marks that a page, if it is in the folder, has for what a module prints."""
    if not (path := folder / page).exists():
        return
    before, mark, rest = path.read_text().partition(f"<!-- python -m {module} -->\n")
    path.write_text(f"{before}{mark}{table}\n{rest[rest.index('<!-- end -->') :]}")


def publish(
    folder: Path, name: str, table: str, records: Sequence[Mapping[str, Any]], about: Mapping[str, Any]
) -> None:
    """Writes records and what they are about to NAME.json, a record a line, so that what a later run changes can be seen, and the
    table of them into NAME.md, if it is in the folder."""
    lines = ",\n".join(json.dumps(r) for r in records)
    (folder / f"{name}.json").write_text(f'{{"about": {json.dumps(about)}, "records": [\n{lines}\n]}}\n')
    insert(folder, f"bench.{name}", table, page=f"{name}.md")


def aligned(rows: Sequence[Sequence[str]]) -> str:
    """Rows as columns of text: the first to the left, the others to the right."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    pad = [str.ljust, *[str.rjust] * (len(widths) - 1)]
    return "\n".join("  ".join(f(c, w) for f, c, w in zip(pad, row, widths, strict=True)) for row in rows)


def markdown(rows: Sequence[Sequence[str]]) -> str:
    """Rows as a table of Markdown, the first column to the left."""
    rule = "| --- |" + " --: |" * (len(rows[0]) - 1)
    lines = ["| " + " | ".join(cells) + " |" for cells in rows]
    return "\n".join([lines[0], rule, *lines[1:]])


def names(result: Mapping[str, Any]) -> str:
    """Who ran, and what it is."""
    ran = {run["what"] for run in result["runs"]}
    return "\n".join(f"{what:<7}  {text}" for what, text in NAMES.items() if what in ran)


def goal_table(result: Mapping[str, Any]) -> str:
    """The goals, what was measured, and whether that meets them."""
    lines = [[g.what, f"{g.aim:g}{g.unit}", f"{g.reached:.1f}{g.unit}", g.verdict] for g in goals(result)]
    return aligned([["goal", "at least", "measured", ""], *lines])


def run_table(result: Mapping[str, Any], *, one_core: bool) -> str:
    """The faster runs on one core or on all, by width."""
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
    """Milliseconds a trial-epoch, GFLOP/s and share of the peak, by rows; a group of columns a width, a block a depth."""
    cells = {(c["depth"], c["rows"], c["width"]): c for c in result["rows"]["cells"]}
    blocks = []
    for depth in dict.fromkeys(depth for depth, _, _ in cells):
        lines = [
            [f"depth {depth}", *(text for w in result["widths"] for text in (f"{w}: ms each", "GFLOP/s", "share"))]
        ]
        for n in sorted({rows for _, rows, _ in cells}):
            line = [f"{n} rows" if n > 1 else "1 row"]
            for width in result["widths"]:
                c = cells.get((depth, n, width))
                share = f"{c['gflops'] / peak(result):.0%}" if c else ""
                line += [f"{c['ms']:.2f}", f"{c['gflops']:.0f}", share] if c else ["", "", ""]
            lines.append(line)
        blocks.append(aligned(lines))
    return "\n\n".join(blocks)


def tables(result: Mapping[str, Any]) -> str:
    """All of them, for the terminal."""
    parts = [names(result), run_table(result, one_core=True), run_table(result, one_core=False), row_table(result)]
    return "\n\n".join([*parts, goal_table(result)])


def write(folder: Path) -> None:
    """Makes bench.png and bench.md beside bench.json."""
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
