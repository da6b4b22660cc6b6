"""Run one search by the command line, as a user would, and return its record."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from bench.cocktail import rivals, sets
from hpo.tracking.mlflow_writer import create_database

_ROOT = Path(__file__).parent.parent.parent
_ENSEMBLE = ("--kind", "greedy", "--size", "10")
Json = dict[str, Any]


class Job(NamedTuple):
    """A search: `seconds` of sampling with `workers` processes, on the table of that name in `data`."""

    name: str
    split: int
    seconds: float
    workers: int
    data: Path

    @property
    def key(self) -> Json:
        """The items that identify its record."""
        return {"set": self.name, "split": self.split, "asked": self.seconds, "workers": self.workers}


def record(job: Job, space: Mapping[str, Any]) -> Json:
    """Search `space`, build the greedy ensemble of ten, and fit the models of others.

    Raises CalledProcessError if a command fails.
    """
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "space.yaml").write_text(yaml.safe_dump(dict(space), sort_keys=False))
        # After the first search a user has a database; creating it takes seconds.
        (folder / "store").mkdir()
        create_database(folder / "store" / "mlflow.db")
        search = [
            "search",
            "--space",
            "space.yaml",
            "--store",
            "store",
            "--device",
            "cpu",
            "--workers",
            str(job.workers),
        ]
        found, searched = run_command(search, folder)
        made, joined = run_command(
            ["ensemble", "--store", "store", "--study", space["study"], "--device", "cpu", *_ENSEMBLE], folder
        )
    measured = rivals.scores(job.name, job.split, job.data)
    return {
        **job.key,
        "seconds": {"search": round(searched, 1), "ensemble": round(joined, 1)},
        **digest(found, made),
        "rivals": measured,
    }


def digest(found: Mapping[str, Any], made: Mapping[str, Any]) -> Json:
    """Return the part of both results that the page needs; scores are balanced accuracies."""
    return {
        "trial": found["trial"],
        "params": found["selected"],
        "trials": found["trials"],
        "epochs": sum(found["fit_epochs"].values()),
        "valid": found["valid"]["balanced_accuracy"],
        "test": {
            "selected": found["test"]["balanced_accuracy"],
            "ensemble": made["test"]["balanced_accuracy"],
            **{who: found["baselines"][who]["test"].get("balanced_accuracy") for who in ("defaults", "none")},
        },
    }


def run_command(command: Sequence[str], folder: Path) -> tuple[Json, float]:
    """Return the JSON that `hpo COMMAND` prints, run in `folder`, and its seconds."""
    began = time.perf_counter()
    done = subprocess.run(
        [sys.executable, "-m", "hpo.cli", *command, "--json", "--quiet"],
        stdout=subprocess.PIPE,
        text=True,
        check=True,
        cwd=folder,
        env=os.environ | {"PYTHONPATH": str(_ROOT)},
    )
    return json.loads(done.stdout.splitlines()[-1]), time.perf_counter() - began


def main() -> None:
    """Read one line of JSON with `name`, `split`, `seconds`, `workers` and `data`, and print the record as one."""
    told = json.load(sys.stdin)
    job = Job(**{**told, "data": Path(told["data"])})
    print(json.dumps(record(job, sets.space(job.name, job.split, job.seconds, job.data))))


if __name__ == "__main__":
    main()
