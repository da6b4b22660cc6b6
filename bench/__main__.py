"""Times the documented recipe, the tightest sequential loop and hpo on one core; writes docs/bench.json, .md and .png.

Each runs twice, in the order hpo, tight, recipe, recipe, tight, hpo, so that a machine that drifts shows. The faster run
counts: neighbours can only add.
Linux only: elsewhere a process cannot be tied to a core.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from resource import RUSAGE_CHILDREN, getrusage
from statistics import mean, median
from typing import Any

import optuna
import torch
import yaml

from bench import page
from hpo.ledger import stored
from hpo.store import Place

_HERE = Path(__file__).parent
Json = dict[str, Any]


def timed(what: str, command: Sequence[str], folder: str, told: Json | None = None) -> Json:
    """Runs a contender in `folder`. `seconds`, its own figure, is from the first ask to the last record; `startup` is the
    rest of its life; `core` is processor by wall seconds: below 1, it waited, for others on the core or for the disk."""
    before, began = getrusage(RUSAGE_CHILDREN), time.perf_counter()
    done = subprocess.run(
        [sys.executable, "-m", *command],
        input=json.dumps(told), stdout=subprocess.PIPE, text=True, check=True, cwd=folder,
        env=os.environ | {"PYTHONPATH": str(_HERE.parent)},
    )
    wall, after = time.perf_counter() - began, getrusage(RUSAGE_CHILDREN)
    processor = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    found = json.loads(done.stdout)
    startup = wall - found["seconds"]
    return {"what": what, "seconds": found["seconds"], "startup": startup, "core": processor / wall, "best": found.get("best")}


def with_counts(run: Json, configurations: list[Json], epochs: int) -> Json:
    """A run beside how much it trained."""
    depth = mean(c["depth"] for c in configurations)
    return run | {"trials": len(configurations), "depth": depth, "epochs": epochs, "ms": 1000 * run["seconds"] / epochs}


def run_hpo(space: Json) -> tuple[Json, list[Json]]:
    """The whole search; also the configurations that it trained, baselines and ablation among them."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "space.yaml").write_text(yaml.safe_dump(space))
        # The others' databases are there when their clocks start, so is this one's.
        create = "import pathlib; from hpo.mirror import create_database; create_database(pathlib.Path('store/mlflow.db'))"
        subprocess.run([sys.executable, "-c", create], cwd=folder, stderr=subprocess.DEVNULL, check=True)
        run = timed("hpo", ["hpo.cli", "search", "--space", "space.yaml", "--store", "store", "--json"], folder)
        outcomes = stored(Place(Path(folder, "store"), space["study"]).journal)["outcomes"]
    configurations = [o["trial"]["params"] for o in outcomes]
    run["best"] = [min(o["curves"]["valid_loss"]) for o in outcomes]
    return with_counts(run, configurations, sum(o["epochs"] for o in outcomes)), configurations


def run_loop(what: str, space: Json, configurations: list[Json]) -> Json:
    """The recipe or the tight loop, on these configurations."""
    with tempfile.TemporaryDirectory() as folder:
        run = timed(what, [f"bench.{what}"], folder, {"space": space, "configurations": configurations})
    return with_counts(run, configurations, len(configurations) * space["train"]["epochs"])


def thinned(configurations: list[Json], count: int) -> list[int]:
    """Which `count` to take: evenly spaced in the order of depth, which decides what an epoch costs."""
    order = sorted(range(len(configurations)), key=lambda i: configurations[i]["depth"])
    return [order[int((i + 0.5) * len(order) / count)] for i in range(min(count, len(order)))]


def compare(space: Json, counts: dict[str, int]) -> Json:
    """Every run, and by contender the one that counts and its quality beside hpo's on the same configurations."""
    first, configurations = run_hpo(space)
    chosen = {what: thinned(configurations, count) for what, count in counts.items()}
    loops = [run_loop(w, space, [configurations[i] for i in chosen[w]]) for w in ("tight", "recipe", "recipe", "tight")]
    runs = [first, *loops, run_hpo(space)[0]]
    faster: dict[str, Json] = {}
    for what in ("hpo", "tight", "recipe"):
        run = min((run for run in runs if run["what"] == what), key=lambda run: run["ms"])
        faster[what] = {
            "ms": run["ms"],
            "ms_with_startup": run["ms"] + 1000 * run["startup"] / first["epochs"],
            "best": median(run["best"]),
            "best_of_hpo": median(first["best"][i] for i in chosen.get(what, range(len(configurations)))),
        }
        faster[what] |= {f"ratio_{key}": faster[what][key] / faster["hpo"][key] for key in ("ms", "ms_with_startup")}
    return {"space": space, "runs": runs, "faster": faster}


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("--trials", type=int, default=48, help="trials of hpo's search")
    parser.add_argument("--trials-a", type=int, default=24, help="of these, how many the recipe trains")
    parser.add_argument("--trials-b", type=int, default=48, help="of these, how many the tight loop trains")
    parser.add_argument("--epochs", type=int, default=60)
    parser.add_argument("--core", type=int, default=max(os.sched_getaffinity(0)), help="the core that all of it runs on")
    parser.add_argument("--out", type=Path, default=_HERE.parent / "docs", help="folder of bench.json, .md and .png")
    options = parser.parse_args()
    machine = {
        "cores": os.cpu_count(), "vectors": torch.backends.cpu.get_cpu_capability(), "python": platform.python_version(),
        "torch": torch.__version__, "optuna": optuna.__version__,
    }
    os.sched_setaffinity(0, {options.core})  # children inherit it, and theirs
    os.environ |= {"OMP_NUM_THREADS": "1", "MLFLOW_DISABLE_TELEMETRY": "true", "DO_NOT_TRACK": "true"}
    space = yaml.safe_load((_HERE / "digits.yaml").read_text())
    space["train"] |= {"epochs": options.epochs, "patience": options.epochs}
    space["budget"]["trials"] = options.trials
    result = compare(space, {"recipe": options.trials_a, "tight": options.trials_b})
    result |= {"machine": machine, "date": time.strftime("%Y-%m-%d")}
    options.out.mkdir(exist_ok=True)
    (options.out / "bench.json").write_text(json.dumps(result, indent=1) + "\n")
    page.write(options.out)
    print(page.table(result))


if __name__ == "__main__":
    main()
