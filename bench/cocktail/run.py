"""One search as a user makes it, by the command line, and what came of it as a record."""

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
    """A search to make: `seconds` of sampling in as many processes as `workers`, on the table of that name in `data`."""

    name: str
    split: int
    seconds: float
    workers: int
    data: Path

    @property
    def key(self) -> Json:
        """What tells its record from others."""
        return {"set": self.name, "split": self.split, "asked": self.seconds, "workers": self.workers}


def record(job: Job, space: Mapping[str, Any]) -> Json:
    """Searches `space`, makes the greedy ensemble of ten, and fits the models of others. Raises CalledProcessError if a command fails."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "space.yaml").write_text(yaml.safe_dump(dict(space), sort_keys=False))
        # A user has a database after the first search, and it takes seconds to make.
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
        found, searched = _said(search, folder)
        made, joined = _said(
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
    """What the page needs of the results of the two commands; scores are balanced accuracies."""
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


def _said(command: Sequence[str], folder: Path) -> tuple[Json, float]:
    """The JSON that `hpo COMMAND` prints, run in `folder`, and how many seconds it took from start to end."""
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
    """Of one line of JSON with `name`, `split`, `seconds`, `workers` and `data`, prints the record as one."""
    told = json.load(sys.stdin)
    job = Job(**{**told, "data": Path(told["data"])})
    print(json.dumps(record(job, sets.space(job.name, job.split, job.seconds, job.data))))


if __name__ == "__main__":
    main()
