"""Run one search by the command line, as a user would, and return its record."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from hpo.study.directory import StudyDirectory

Json = dict[str, Any]
_ROOT = Path(__file__).parent.parent.parent


def search(
    space: Mapping[str, Any], seed: int, budget: Mapping[str, Any], workers: int, folder: Path
) -> tuple[Json, Path]:
    """Return the record of a search of `space` with another seed and budget, and the path of its final network.

    It runs in `folder`. Raises CalledProcessError if the command fails.
    """
    data = {**space["data"], "split": {**space["data"].get("split", {}), "seed": seed}}
    own = {**space, "study": "s", "data": data, "budget": dict(budget), "seed": seed}
    folder.mkdir(parents=True)
    (folder / "space.yaml").write_text(yaml.safe_dump(own, sort_keys=False))
    began = time.perf_counter()
    command = [
        "search",
        "--space",
        "space.yaml",
        "--store",
        "store",
        "--device",
        "cpu",
        "--workers",
        str(workers),
        "--json",
        "--quiet",
    ]
    done = subprocess.run(
        [sys.executable, "-m", "hpo.cli", *command],
        stdout=subprocess.PIPE,
        text=True,
        check=True,
        cwd=folder,
        env=os.environ | {"PYTHONPATH": str(_ROOT)},
    )
    result = json.loads(done.stdout.splitlines()[-1])
    return {**digest(result), "seconds": round(time.perf_counter() - began, 1)}, StudyDirectory(
        folder / "store", "s"
    ).network


def digest(result: Mapping[str, Any]) -> Json:
    """Return the part of a result that the page needs; scores are accuracies on the test rows of the target."""
    others = {who: one["test"].get("accuracy") for who, one in result["baselines"].items()}
    return {
        "trial": result["trial"],
        "params": result["selected"],
        "trials": sum(result["trials"].values()),
        "test": {"selected": result["test"]["accuracy"], **others},
        "validators": result["validators"],
    }
