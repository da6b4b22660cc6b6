"""Measure where a whole search spends its time; write docs/profile.json and the table in docs/performance.md.

The searches are of digits, each trial through all epochs, in this process on one thread. The processor time of a part
does not include that of other parts which it calls. MLflow's writer is a process of its own and has its own line.
"""

from __future__ import annotations

import argparse
import io
import json
import os
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from pathlib import Path
from resource import RUSAGE_CHILDREN, getrusage
from typing import Any

import torch
from rich.console import Console

from bench import flat, free_kernels, runs
from bench.page import insert
from hpo.cli.progress import SearchProgress
from hpo.core.samples import Samples
from hpo.nn import linear
from hpo.nn.adamw import FusedAdamW
from hpo.nn.mlp import Mlp
from hpo.nn.rng import Noise
from hpo.regularizers import STRENGTHS
from hpo.space import loader
from hpo.study.directory import StudyDirectory
from hpo.study.study import Study
from hpo.study.weights import WeightStore
from hpo.tracking.mlflow_writer import create_database
from hpo.tracking.recorder import Recorder
from hpo.training import evaluation, program
from hpo.training.population import Population
from hpo.training.stack import Stack
from hpo.workflows import loop, prepare, search

_DOCS = Path(__file__).parent.parent / "docs"
Json = dict[str, Any]
# The functions of each part: owner and name.
PARTS: dict[str, list[tuple[Any, str]]] = {
    "matrix products": [(linear, "_product")],
    "elementwise, forward": [(Mlp, "forward")],
    "elementwise, backward": [(torch.autograd, "grad")],
    "AdamW and weight decay": [(FusedAdamW, "step")],
    "L1": [(type(STRENGTHS["l1"]), "after_step")],
    "noise": [(Noise, "dropout"), (Noise, "permutation")],
    "gathering rows": [(Samples, "inputs"), (Samples, "targets")],
    "losses and metrics": [(program, "losses"), (evaluation, "evaluate")],
    "fits that start and end": [(Population, "admit"), (Population, "release")],
    "the rest of training": [(Stack, "train_epoch")],
    "propose": [(Study, "ask")],
    "judge": [(Study, "report")],
    "store": [(Study, "finish"), (WeightStore, "save"), (WeightStore, "retain_only")],
    "record": [(Recorder, "record")],
    "terminal": [(SearchProgress, "epoch")],
    "the loop": [(loop, "run")],
}
WRITER, AROUND = "MLflow's writer, its start included", "data, test, export, picture"


class Profile:
    """Processor seconds by part, without those of the parts that it calls."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = defaultdict(float)
        self._running: list[str] = []
        self._since = time.thread_time()

    def switch(self, part: str | None) -> None:
        """Assign the time so far to the running part, and continue with `part`, or with the previous part (None)."""
        now = time.thread_time()
        self.seconds[self._running[-1] if self._running else AROUND] += now - self._since
        self._since = now
        if part is None:
            self._running.pop()
        else:
            self._running.append(part)

    def watch(self) -> None:
        """Replace the functions of `PARTS` permanently: a process profiles one search."""
        for part, functions in PARTS.items():
            for owner, name in functions:
                setattr(owner, name, self._timed(part, getattr(owner, name)))

    def _timed(self, part: str, function: Callable[..., Any]) -> Callable[..., Any]:
        def timed(*arguments: Any, **named: Any) -> Any:
            self.switch(part)
            try:
                return function(*arguments, **named)
            finally:
                self.switch(None)

        return timed


def profiled(width: int, trials: int, epochs: int) -> Json:
    """Return the milliseconds per trial-epoch by part."""
    made = flat.digits(trials, "none")
    made["network"]["width"] = width
    made["train"] |= {"epochs": epochs, "patience": epochs}
    with tempfile.TemporaryDirectory() as folder:
        directory = StudyDirectory(Path(folder), made["study"])
        create_database(directory.folder.parent / "mlflow.db")
        profile, before = Profile(), getrusage(RUSAGE_CHILDREN)
        profile.watch()
        experiment = prepare.prepare(loader.parse(made), Path(folder))
        result = search.search(
            experiment, directory, watcher=SearchProgress(Console(file=io.StringIO(), force_terminal=True, width=120))
        )
        profile.switch("the loop")
        after = getrusage(RUSAGE_CHILDREN)
    spent = dict(profile.seconds) | {WRITER: after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime}
    total, count = sum(spent.values()), result.epochs_trained
    ms = {part: 1000 * spent[part] / count for part in [*PARTS, WRITER, AROUND]}
    return {
        "width": width,
        "trials": trials,
        "rows": result.slots,
        "epochs": epochs,
        "ms": ms,
        "all": 1000 * total / count,
    }


def table(profiles: Sequence[Json]) -> str:
    """Return a Markdown table with a row per part and a column per width."""
    head = ["| ms of processor a trial-epoch |" + "".join(f" width {run['width']} | |" for run in profiles)]
    head.append("| --- |" + " --: | --: |" * len(profiles))
    body = [
        f"| {part} |"
        + "".join(f" {run['ms'][part]:.3f} | {100 * run['ms'][part] / run['all']:.1f} % |" for run in profiles)
        for part in profiles[0]["ms"]
    ]
    return "\n".join([*head, *body, "| **all** |" + "".join(f" **{run['all']:.3f}** | |" for run in profiles)])


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.profile", description=__doc__)
    parser.add_argument("--width", type=int, action="append", help="one or several; default 64, 128 and 256")
    parser.add_argument("--trials", type=int, default=96)
    parser.add_argument("--epochs", type=int, default=60)
    parser.add_argument("--out", type=Path, default=_DOCS, help="folder of profile.json and performance.md")
    parser.add_argument("--one", action="store_true", help="this process profiles one width and prints JSON")
    options = parser.parse_args()
    if options.one:
        print(json.dumps(profiled(options.width[0], options.trials, options.epochs)))
        return
    free_kernels()
    size = ["--trials", str(options.trials), "--epochs", str(options.epochs)]
    widths, cores = options.width or (64, 128, 256), os.sched_getaffinity(0)
    profiles = [
        runs.run_module(["bench.profile", "--one", "--width", str(width), *size], _DOCS, cores) for width in widths
    ]
    (options.out / "profile.json").write_text(json.dumps({"profiles": profiles}, indent=1) + "\n")
    insert(options.out, "bench.profile", table(profiles))
    print(table(profiles))


if __name__ == "__main__":
    main()
