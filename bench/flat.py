"""Measure the cost of a trial besides its training, from the first to the ten thousandth.

Writes docs/flat.json, docs/flat.png and the table in docs/performance.md. The searches are real: one with many tiny
fits, whose cost per trial is plotted against the number of the trial, and two of digits at width 64, with and without a
pruner, for the share of everything that is not training. Each includes the population, the study, the journal, the
weights, the progress in the terminal, and MLflow's writer with its database. Processor time is measured, not wall time.
"""

from __future__ import annotations

import argparse
import io
import json
import os
import platform
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Self

import optuna
import torch
import yaml
from rich.console import Console

from bench.page import insert
from hpo.cli.progress import SearchProgress
from hpo.space import loader
from hpo.study.directory import StudyDirectory
from hpo.study.storage import read_attrs
from hpo.study.study import Study
from hpo.study.weights import WeightStore
from hpo.tracking.mlflow_writer import create_database
from hpo.tracking.recorder import Recorder
from hpo.training.experiment import Experiment
from hpo.training.population import Population
from hpo.workflows import prepare, search

_DOCS = Path(__file__).parent.parent / "docs"
_HERTZ = os.sysconf("SC_CLK_TCK")
# The parts of a trial, from the bottom to the top of the picture.
PARTS = {
    "propose": [(Study, "ask")],
    "judge": [(Study, "report")],
    "store": [(Study, "finish"), (WeightStore, "save"), (WeightStore, "retain_only")],
    "tell": [(Recorder, "record"), (SearchProgress, "epoch")],
    "rest": [],  # of the process: the loop, drawing on the terminal, sending
    "mlflow": [],  # the process of MLflow's writer
}
NAMES = {
    "propose": "propose: TPE",
    "judge": "judge: reports, pruner",
    "store": "store: journal, weights",
    "tell": "messages, progress",
    "rest": "the loop, threads",
    "mlflow": "MLflow's writer (its own process)",
}
_TRAINING = [(Population, "admit"), (Population, "release")]
Json = dict[str, Any]


def tiny(trials: int) -> Json:
    """Return a space with negligible fits but expensive proposals: seven hyperparameters and a pruner."""
    magnitude = {"low": 1e-4, "high": 1.0, "log": True, "optional": True}
    return {
        "study": "flat",
        "data": {"source": "sklearn:iris"},
        "network": {"width": 4},
        "search": {
            "learning_rate": {"low": 1e-4, "high": 1e-1, "log": True},
            "depth": {"low": 1, "high": 3},
            "weight_decay": magnitude,
            "l1": magnitude,
            "dropout": {"low": 0.0, "high": 0.6},
        },
        "train": {"epochs": 5, "patience": 5, "batch_size": 64},
        "budget": {"trials": trials},
        "finalists": 0,
        "refit": "none",
    }


def digits(trials: int, pruner: str) -> Json:
    """Return the search of `make bench`."""
    made = yaml.safe_load((Path(__file__).parent / "digits.yaml").read_text())
    return {**made, "budget": {"trials": trials}, "pruner": pruner}


class Clock:
    """Measure the processor seconds of each part by replacing the methods of `PARTS` with timed ones."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = defaultdict(float)
        self._replaced: list[tuple[type, str, Any]] = []

    def __enter__(self) -> Self:
        for part, methods in (*PARTS.items(), ("training", _TRAINING)):
            for owner, name in methods:
                self._replace(owner, name, self._timed(part, getattr(owner, name)))
        self._replace(Population, "train_epoch", self._each(Population.train_epoch))
        return self

    def __exit__(self, *_: object) -> None:
        for owner, name, original in self._replaced:
            setattr(owner, name, original)

    def _replace(self, owner: type, name: str, by: Callable[..., Any]) -> None:
        self._replaced.append((owner, name, getattr(owner, name)))
        setattr(owner, name, by)

    def _timed(self, part: str, method: Callable[..., Any]) -> Callable[..., Any]:
        def timed(*arguments: Any) -> Any:
            began = time.thread_time()
            try:
                return method(*arguments)
            finally:
                self.seconds[part] += time.thread_time() - began

        return timed

    def _each(self, method: Callable[..., Iterator[Any]]) -> Callable[..., Iterator[Any]]:
        """Time a generator only while it works, not while its caller does."""

        def timed(population: Population) -> Iterator[Any]:
            scores, nothing = method(population), object()
            advance = self._timed("training", lambda: next(scores, nothing))
            while (score := advance()) is not nothing:
                yield score

        return timed


def megabytes(process: int) -> float:
    return int(Path(f"/proc/{process}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 1e6


def processor(process: int) -> float:
    """Return the processor seconds of another process."""
    fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / _HERTZ


class Watched(SearchProgress):
    """A terminal progress that also takes a sample after every `every` trials."""

    def __init__(self, clock: Clock, every: int, ready: Path) -> None:
        super().__init__(Console(file=io.StringIO(), force_terminal=True, width=120))
        self._clock, self._every, self._ready, self.samples = clock, every, ready, []

    def begin(self, experiment: Experiment, study: Study, rows: int, workers: int) -> None:
        super().begin(experiment, study, rows, workers)
        self._writer = _child()
        while not self._ready.exists():  # the writer starts once, which is not a cost of trials
            time.sleep(0.1)
        self.start = processor(self._writer)
        self._sample(0)

    def epoch(self, of: Any) -> None:
        super().epoch(of)
        done = self._done()
        if done >= self.samples[-1]["trials"] + self._every:
            self._sample(done)

    def _sample(self, trials: int) -> None:
        memory = {"memory": megabytes(os.getpid()), "writer_memory": megabytes(self._writer)}
        now = {"process": time.process_time(), "mlflow": processor(self._writer), **self._clock.seconds}
        self.samples.append({"trials": trials, "clock": time.perf_counter(), "seconds": now, **memory})


def _child() -> int:
    """Return the process id of the MLflow writer, the only child."""
    return int(Path(f"/proc/self/task/{os.getpid()}/children").read_text().split()[0])


def run(made: Json, every: int, folder: Path) -> Json:
    """Run a search; return its cost per trial in milliseconds by part, for every `every` trials."""
    directory = StudyDirectory(folder / "store", made["study"])
    create_database(folder / "store" / "mlflow.db")
    experiment = prepare.prepare(loader.parse(made), folder)
    with Clock() as clock:
        watched = Watched(clock, every, directory.folder / "mlflow.json")
        result = search.search(experiment, directory, watcher=watched)
    spans = [_span(a, b) for a, b in zip(watched.samples, watched.samples[1:], strict=False)]
    before = time.perf_counter()
    Study(experiment.space, directory.journal, experiment.data.fingerprint).close()
    again = time.perf_counter()
    read_attrs(directory.journal)
    return {
        "space": made,
        "spans": spans,
        "epochs": result.epochs_trained,
        "seconds": result.seconds,
        "states": dict(result.trials),
        "writer_start_seconds": watched.start,
        "journal_mb": directory.journal.stat().st_size / 1e6,
        "mlflow_mb": (folder / "store" / "mlflow.db").stat().st_size / 1e6,
        "resume_seconds": again - before,
        "read_seconds": time.perf_counter() - again,
    }


def _span(a: Json, b: Json) -> Json:
    trials = b["trials"] - a["trials"]
    spent = {part: b["seconds"].get(part, 0.0) - a["seconds"].get(part, 0.0) for part in b["seconds"]}
    measured = sum(spent[part] for part in spent if part not in ("process", "mlflow"))
    spent["rest"] = max(spent.pop("process") - measured, 0.0)
    ms = {part: 1000 * spent.get(part, 0.0) / trials for part in (*PARTS, "training")}
    return {
        "from": a["trials"],
        "to": b["trials"],
        "ms": ms,
        "memory": b["memory"],
        "writer_memory": b["writer_memory"],
    }


def overhead(ms: Json) -> float:
    """Return the cost of everything except training."""
    return sum(ms[part] for part in PARTS)


def mean_costs(spans: list[Json]) -> Json:
    """Return the milliseconds per trial over several spans."""
    trials = sum(s["to"] - s["from"] for s in spans)
    return {part: sum(s["ms"][part] * (s["to"] - s["from"]) for s in spans) / trials for part in (*PARTS, "training")}


def table(found: Json) -> str:
    """Return the cost of early and late tiny trials, and of the later trials on digits with its share of the total."""
    tiny, digits = found["flat"]["spans"], {name: found[f"digits_{name}"]["spans"] for name in ("none", "median")}
    rows = {f"tiny fits, trials {s[0]['from'] + 1:,} to {s[-1]['to']:,}": s for s in (tiny[:1], tiny[-5:])}
    rows["digits, 60 epochs, no pruner"] = digits["none"][len(digits["none"]) // 2 :]
    rows["digits, median pruner"] = digits["median"][len(digits["median"]) // 2 :]
    lines = [["ms of processor a trial", *PARTS, "together", "training", "share"], ["---", *["--:"] * (len(PARTS) + 3)]]
    for name, spans in rows.items():
        ms = mean_costs(spans)
        share = overhead(ms) / (overhead(ms) + ms["training"]) if "digits" in name else None
        numbers = [f"{ms[part]:.2f}" for part in PARTS] + [f"{overhead(ms):.1f}", f"{ms['training']:.1f}"]
        lines.append([name, *numbers, f"{100 * share:.1f} %" if share else ""])
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def draw(found: Json, path: Path) -> None:
    """Draw the stacked parts, distinguished by grey, hatch and name."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 4.2), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots()
    spans = found["flat"]["spans"]
    at = [(s["from"] + s["to"]) / 2 for s in spans]
    rows = [[s["ms"][part] for s in spans] for part in PARTS]
    areas = axes.stackplot(at, rows, edgecolor="black", linewidth=0.5)
    looks = zip(areas, ("0.95", "0.8", "0.65", "0.9", "1.0", "0.5"), ("", "//", "", "..", "", "\\\\"), strict=True)
    for area, grey, hatch in looks:
        area.set(facecolor=grey, hatch=hatch)
    limit = 1.5 * overhead(spans[0]["ms"])
    bottom, lowest = 0.0, 0.0
    for part, row in zip(PARTS, rows, strict=True):
        last = sum(row[-5:]) / len(row[-5:])
        lowest = max(bottom + last / 2, lowest + 0.06 * limit)  # keeps the names of thin parts from overlapping
        axes.annotate(
            f"{NAMES[part]}: {last:.2f}",
            (at[-1], bottom + last / 2),
            (1.05 * at[-1], lowest),
            va="center",
            fontsize=8,
            annotation_clip=False,
            arrowprops={"arrowstyle": "-", "linewidth": 0.5},
        )
        bottom += last
    axes.axhline(limit, color="black", linestyle="--", linewidth=1)
    axes.annotate(
        f"1.5 × what trials 1 to {spans[0]['to']} cost",
        (at[len(at) // 2], limit),
        (0, 4),
        textcoords="offset points",
        ha="center",
        fontsize=8,
    )
    axes.set(
        xlabel="trial",
        ylabel="ms of processor a trial, without training",
        xlim=(at[0], at[-1]),
        ylim=(0, 1.15 * max(limit, *(overhead(s["ms"]) for s in spans))),
    )
    axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(path, dpi=120)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.flat", description=__doc__)
    parser.add_argument("--trials", type=int, default=10_000)
    parser.add_argument("--every", type=int, default=200)
    parser.add_argument("--digits", type=int, default=320, help="trials of the search on digits")
    parser.add_argument("--out", type=Path, default=_DOCS)
    options = parser.parse_args()
    os.environ |= {"OMP_NUM_THREADS": "1", "MLFLOW_DISABLE_TELEMETRY": "true", "DO_NOT_TRACK": "true"}
    found: Json = {
        "date": time.strftime("%Y-%m-%d"),
        "versions": {"python": platform.python_version(), "torch": torch.__version__, "optuna": optuna.__version__},
    }
    with tempfile.TemporaryDirectory() as folder:
        found["flat"] = run(tiny(options.trials), options.every, Path(folder))
    for pruner in ("none", "median"):
        with tempfile.TemporaryDirectory() as folder:
            found[f"digits_{pruner}"] = run(digits(options.digits, pruner), 32, Path(folder))
    (options.out / "flat.json").write_text(json.dumps(found, indent=1) + "\n")
    draw(found, options.out / "flat.png")
    insert(options.out, "bench.flat", table(found))
    print(table(found))


if __name__ == "__main__":
    main()
