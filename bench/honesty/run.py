"""Run one search of a set, print its record as a line of JSON, and store its row-level evidence."""

from __future__ import annotations

import json
import shutil
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from bench.honesty import predictions
from bench.honesty.predictions import RowEvidence
from bench.honesty.record import Finished, measure
from bench.honesty.sets import SPLITS, sets
from bench.honesty.watch import Observer
from hpo.space import loader
from hpo.study.directory import StudyDirectory
from hpo.tracking.mlflow_writer import create_database
from hpo.workflows import prepare, search

Json = dict[str, Any]


def database(folder: Path) -> Path:
    """Create an MLflow database without runs once: each search needs one, and that takes seconds."""
    path = folder / "mlflow.db"
    create_database(path)
    return path


def record(space: Mapping[str, Any], folder: Path, mode: str) -> tuple[Json, RowEvidence]:
    """Search the rows of `folder`/data.csv with the store `folder`/store; return the record without set and seed, and
    the row-level evidence."""
    split = {**{k: v for k, v in space["data"]["split"].items() if k != "valid" or not SPLITS[mode]}, **SPLITS[mode]}
    said = {**space, "data": {**space["data"], "source": str(folder / "data.csv"), "split": split}}
    experiment, directory = prepare.prepare(loader.parse(said), folder), StudyDirectory(folder / "store", said["study"])
    observer = Observer()
    result = search.search(experiment, directory, watcher=observer)
    found, evidence = measure(Finished(experiment, directory, result, observer, time.time()))
    return {"mode": mode, **found}, evidence


def main() -> None:
    """Read JSON with `set`, `seed`, `mode`, `data` (folder of CSVs), `database` and `evidence` (the file to write)."""
    told = json.load(sys.stdin)
    space, frame = sets(Path(told["data"]))[0][told["set"]](told["seed"])
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        frame.to_csv(folder / "data.csv", index=False)
        (folder / "store").mkdir()
        shutil.copy(told["database"], folder / "store" / "mlflow.db")
        found, evidence = record(space, folder, told["mode"])
    identity = {name: told[name] for name in ("set", "seed", "mode")}
    evidence.about.update(identity)
    predictions.save(Path(told["evidence"]), evidence)
    print(json.dumps({**identity, **found}))


if __name__ == "__main__":
    main()
