"""Compare hpo with other tools at several widths, on one core and on all; write bench.json, bench.md and bench.png.

Each contender runs twice, the second time in reverse order, so that a drift of the machine's speed shows. The faster
run counts, since other processes can only add time. Linux only: elsewhere a process cannot be tied to a core.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import torch
import yaml

from bench import free_kernels, page, runs
from bench.judge import Json
from hpo.space import loader
from hpo.workflows import prepare

_HERE = Path(__file__).parent
ONE_CORE, ALL_CORES = ("hpo", "tight", "recipe"), ("workers", "joblib", "ray")
# The number of trials per contender: fewer for slow ones, but enough for a stable mean.
TRIALS = {
    32: {"hpo": 256, "recipe": 12, "tight": 48, "joblib": 48, "ray": 32},
    64: {"hpo": 256, "recipe": 12, "tight": 48, "joblib": 48, "ray": 32},
    128: {"hpo": 128, "recipe": 10, "tight": 24, "joblib": 32, "ray": 24},
    256: {"hpo": 64, "recipe": 6, "tight": 12, "joblib": 16, "ray": 16},
}
QUICK_TRIALS = {"hpo": 12, "recipe": 4, "tight": 4, "joblib": 4, "ray": 4}
ROWS, QUICK_ROWS = (1, 2, 4, 8, 16, 32, 64, 128, 256), (1, 16)


def space_of(width: int, epochs: int, trials: int) -> Json:
    space: Json = yaml.safe_load((_HERE / "digits.yaml").read_text())
    space["network"]["width"] = width
    space["train"] |= {"epochs": epochs, "patience": epochs}
    space["budget"]["trials"] = trials
    return space


def side_by_side(space: Json, names: Sequence[str], trials: Mapping[str, int], core: int) -> Iterator[Json]:
    """Run these contenders in this order at one width and yield each result.

    hpo is first: its trials are the work of the others.
    """
    configurations: list[Json] = []
    best: list[float] = []
    for what in names:
        cores = {core} if what in ONE_CORE else os.sched_getaffinity(0)
        if what in ("hpo", "workers"):
            run, *found = runs.search(space, cores)
            configurations, best = (configurations, best) if configurations else found
        else:
            run = runs.loop(what, space, cores, configurations, best, trials[what])
        yield {"what": what, "width": space["network"]["width"], **run}


def measure(widths: Sequence[int], epochs: int, quick: bool, core: int) -> Json:
    """Run all measurements; return the content of docs/bench.json."""
    began = time.perf_counter()
    trials = {width: QUICK_TRIALS if quick else TRIALS[width] for width in widths}
    spaces = [space_of(width, epochs, trials[width]["hpo"]) for width in widths]
    search_rows = [prepare.prepare(loader.parse(space), Path()).rows() for space in spaces]
    names, about = [*ONE_CORE, *ALL_CORES], machine()
    result: Json = {
        "date": about.pop("date"),
        "machine": about,
        "widths": widths,
        "epochs": epochs,
        "search_rows": search_rows,
        "one_core": ONE_CORE,
        "load": os.getloadavg()[0],
        "runs": [],
    }
    told = {"spaces": spaces, "rows": sorted({*search_rows, *(QUICK_ROWS if quick else ROWS)})}
    result["rows"] = runs.run_module(["bench.rows"], _HERE.parent, {core}, told)
    for width, space in zip(widths, spaces, strict=True):
        for run in side_by_side(space, names if quick else [*names, *reversed(names)], trials[width], core):
            print(f"{run['what']:<7}  width {width:>3}  {run['ms']:7.2f} ms a trial-epoch", file=sys.stderr)
            result["runs"].append(run)
    return result | {"minutes": (time.perf_counter() - began) / 60}


def machine() -> Json:
    """Return the date, the machine and the versions."""
    own = {"python": platform.python_version(), "vectors": torch.backends.cpu.get_cpu_capability()}
    return runs.about("torch", "optuna", "ray", "joblib", "mlflow", "numpy") | own


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a smoke run of about a minute; its figures say nothing")
    parser.add_argument("--widths", type=int, nargs="+", choices=TRIALS, help="default: all four; of --quick, 64")
    parser.add_argument("--epochs", type=int, help="default: 60; of --quick, 5")
    parser.add_argument("--core", type=int, default=max(os.sched_getaffinity(0)), help="the core for what runs on one")
    parser.add_argument(
        "--out", type=Path, help="folder of bench.json, .md and .png; default: docs, of --quick build/bench"
    )
    options = parser.parse_args()
    os.environ |= {"OMP_NUM_THREADS": "1", "MLFLOW_DISABLE_TELEMETRY": "true", "DO_NOT_TRACK": "true"}
    free_kernels()
    quick = options.quick
    widths = options.widths or ([64] if quick else list(TRIALS))
    result = measure(widths, options.epochs or (5 if quick else 60), quick, options.core)
    out = options.out or _HERE.parent / ("build/bench" if quick else "docs")
    out.mkdir(parents=True, exist_ok=True)
    (out / "bench.json").write_text(json.dumps(result, indent=1) + "\n")
    page.write(out)
    print(page.tables(result))


if __name__ == "__main__":
    main()
