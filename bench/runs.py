"""Run a contender in its own process, tied to cores, and measure its time."""

from __future__ import annotations

import importlib.metadata
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from resource import RUSAGE_CHILDREN, getrusage
from statistics import mean, median
from typing import Any

import yaml

from hpo.study.directory import StudyDirectory
from hpo.study.storage import read_attrs

Json = dict[str, Any]
_ROOT = Path(__file__).parent.parent


def about(*packages: str) -> Json:
    """Return the date and the machine of a measurement, and the versions of `packages`."""
    cpu = next((row for row in Path("/proc/cpuinfo").read_text().splitlines() if row.startswith("model name")), "")
    return {
        "date": time.strftime("%Y-%m-%d"),
        "cores": len(os.sched_getaffinity(0)),
        "cpu": cpu.partition(": ")[2],
        **{name: importlib.metadata.version(name) for name in packages},
    }


@contextmanager
def _tied(cores: Collection[int]) -> Iterator[None]:
    """Tie processes that are started here to these cores; children inherit it."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, cores)
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def run_module(command: Sequence[str], folder: str | Path, cores: Collection[int], told: Json | None = None) -> Any:
    """Return the JSON in the last line that `python -m COMMAND` prints, run in `folder` on some cores."""
    with _tied(cores):
        done = subprocess.run(
            [sys.executable, "-m", *command],
            input=json.dumps(told),
            stdout=subprocess.PIPE,
            text=True,
            check=True,
            cwd=folder,
            env=os.environ | {"PYTHONPATH": str(_ROOT)},
        )
    return json.loads(done.stdout.splitlines()[-1])


def _timed(command: Sequence[str], folder: str, cores: Collection[int], told: Json | None = None) -> Json:
    """Add the times of a process.

    `seconds`, its own figure, is from the first proposal to the last record. `startup` is the rest of its life. `core`
    is the processor time relative to the wall time of its cores: below 1, it waited for others on the core or for the
    disk.
    """
    before, began = getrusage(RUSAGE_CHILDREN), time.perf_counter()
    found = run_module(command, folder, cores, told)
    wall, after = time.perf_counter() - began, getrusage(RUSAGE_CHILDREN)
    processor = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    startup = wall - found["seconds"]
    return {
        "seconds": found["seconds"],
        "startup": startup,
        "core": processor / wall / len(cores),
        "best": found.get("best"),
    }


def search(space: Json, cores: Collection[int]) -> tuple[Json, list[Json], list[float]]:
    """Run hpo's search; also return its trained configurations (with baselines and ablation) and scores."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "space.yaml").write_text(yaml.safe_dump(space))
        # The databases of the others exist when their clocks start, so this one does too.
        create = (
            "from pathlib import Path; from hpo.tracking.mlflow_writer import create_database; "
            "create_database(Path('store/mlflow.db'))"
        )
        subprocess.run([sys.executable, "-c", create], cwd=folder, stderr=subprocess.DEVNULL, check=True)
        workers = ["--workers", str(len(cores))] if len(cores) > 1 else []
        command = [
            "hpo.cli",
            "search",
            "--space",
            "space.yaml",
            "--store",
            "store",
            "--device",
            "cpu",
            "--json",
            "--quiet",
            *workers,
        ]
        run = _timed(command, folder, cores)
        outcomes = read_attrs(StudyDirectory(Path(folder, "store"), space["study"]).journal)["outcomes"]
    configurations = [o["trial"]["params"] for o in outcomes]
    best = [min(o["curves"]["valid_loss"]) for o in outcomes]
    counts = _counts(configurations, sum(o["epochs"] for o in outcomes), run["seconds"])
    return run | counts | {"best": median(best), "best_of_hpo": median(best)}, configurations, best


def loop(
    what: str, space: Json, cores: Collection[int], configurations: list[Json], best: list[float], count: int
) -> Json:
    """Run another contender on `count` of hpo's configurations; also return hpo's scores for these."""
    chosen = thinned(configurations, count)
    given = [configurations[i] for i in chosen]
    with tempfile.TemporaryDirectory() as folder:
        run = _timed(["bench.task", what], folder, cores, {"space": space, "configurations": given})
    own, of_hpo = median(run["best"]), median(best[i] for i in chosen)
    return (
        run
        | _counts(given, len(given) * space["train"]["epochs"], run["seconds"])
        | {"best": own, "best_of_hpo": of_hpo}
    )


def _counts(configurations: list[Json], epochs: int, seconds: float) -> Json:
    """Return how much a run trained, and the time per trial-epoch."""
    depth = mean(c["depth"] for c in configurations)
    return {"trials": len(configurations), "depth": depth, "epochs": epochs, "ms": 1000 * seconds / epochs}


def thinned(configurations: list[Json], count: int) -> list[int]:
    """Return `count` indices, evenly spaced in the order of depth, which determines the cost of an epoch."""
    order = sorted(range(len(configurations)), key=lambda i: configurations[i]["depth"])
    count = min(count, len(order))
    return [order[int((i + 0.5) * len(order) / count)] for i in range(count)]
