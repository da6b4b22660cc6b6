"""The process that writes to MLflow: `python -m hpo.tracking.mlflow_writer`, JSON lines in, JSON lines out. See `hpo.tracking.recorder`.

It reads `open`, then a `trial` for each trial, then `finish`; it answers `open` and `finish`, or with `error` before it
dies. When its input ends early, the search was killed, and the next one sends again what is missing.
"""

from __future__ import annotations

import base64
import fcntl
import gc
import getpass
import json
import logging
import math
import os
import select
import sqlite3
import sys
import time
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from itertools import groupby
from pathlib import Path
from typing import Any

os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")  # MLflow looks at it while it is imported

from mlflow import MlflowClient
from mlflow.entities import Metric, Param, RunTag, ViewType
from mlflow.exceptions import MlflowException
from sqlalchemy.exc import SQLAlchemyError

from hpo.core.errors import InputError, truncate
from hpo.study.directory import NETWORK, SQLITE, write_atomic
from hpo.tracking import sqlite_writer
from hpo.tracking.mlflow_cleanup import runs_of

_VIEW_TAG = "mlflow.sharedViewState."
_POINTS = 1000  # MLflow's own limits for one batch
_VALUES = 100
_MOMENT = 1.0  # seconds that a trial may wait for others
_TOGETHER = 100


class MlflowWriter:
    """One search's run and its children, in any MLflow store."""

    def __init__(self, opening: Mapping[str, Any]) -> None:
        uri, folder = opening["uri"], Path(opening["folder"])
        self._artifacts = folder.parent.parent / "artifacts" / opening["study"] if uri.startswith(SQLITE) else None
        if uri.startswith(SQLITE):
            create_database(Path(uri.removeprefix(SQLITE)))
        self._client = MlflowClient(tracking_uri=uri)
        self.experiment_id = self._experiment(opening["study"])
        self.run_id = self._parent(opening)
        self._view(opening["view"])
        own = uri.startswith(SQLITE) and Path(uri.removeprefix(SQLITE)).parent == folder.resolve().parent.parent
        # Of the store's own database the place is not written down, so that a store that was moved is not looked for there.
        where = {"tracking_uri": "" if own else uri, "experiment_id": self.experiment_id, "run_id": self.run_id}
        write_atomic(folder / "mlflow.json", json.dumps(where).encode())
        self._written = self._children()
        self._bulk = self._door(uri)

    def _door(self, uri: str) -> sqlite_writer.SqliteWriter | None:
        """To the rows of a database that is at hand; a server is told through its own door."""
        database = Path(uri.removeprefix(SQLITE))
        if not uri.startswith(SQLITE) or not sqlite_writer.is_supported(database):
            return None
        location = self._client.get_experiment(self.experiment_id).artifact_location
        return sqlite_writer.SqliteWriter(database, self.experiment_id, location)

    def _view(self, view: Mapping[str, Any]) -> None:
        """Stores which columns and charts the page of this search opens with, as MLflow's own UI does."""
        # What follows the search was scored on other rows, and would stand among its trials as if it could be compared with them.
        roles = " AND ".join(["", *(f"tags.`hpo.role` != '{role}'" for role in ("finalist", "nested", "refit"))])
        state = {**view, "searchFilter": f"tags.`mlflow.parentRunId` = '{self.run_id}'{roles}"}
        packed = base64.b64encode(zlib.compress(json.dumps(state, separators=(",", ":")).encode(), 9)).decode()
        now = int(time.time() * 1000)
        value = {"name": "Best first", "createdAt": now, "updatedAt": now, "state": f"deflate;{packed}"}
        self._client.set_experiment_tag(self.experiment_id, _VIEW_TAG + self.run_id, json.dumps(value))

    def _experiment(self, name: str) -> str:
        found = self._client.get_experiment_by_name(name)
        if found is None:
            location = self._artifacts.resolve().as_uri() if self._artifacts else None
            return str(self._client.create_experiment(name, artifact_location=location))
        if found.lifecycle_stage == "deleted":
            self._client.restore_experiment(found.experiment_id)
        return str(found.experiment_id)

    def _parent(self, opening: Mapping[str, Any]) -> str:
        """The search's own run, found again by its identity and completed: a killed writer may have left it half-told."""
        query = f"tags.`hpo.search` = '{opening['search']}'"
        found = self._client.search_runs([self.experiment_id], query, max_results=1)
        if found:
            run = found[0]
            self._client.update_run(run.info.run_id, status="RUNNING")
        else:
            tags = {**opening["tags"], "hpo.search": opening["search"], "mlflow.user": _user()}
            run = self._client.create_run(self.experiment_id, run_name=opening["study"], tags=tags)
        params = [Param(key, str(value)) for key, value in opening["params"].items() if key not in run.data.params]
        for start in range(0, len(params), _VALUES):
            self._client.log_batch(run.info.run_id, params=params[start : start + _VALUES])
        self._client.log_text(run.info.run_id, opening["space"], "space.yaml")
        return str(run.info.run_id)

    def _children(self) -> set[str]:
        """The labels of the trials that are there; what a killed writer left half-written is removed."""
        labels: set[str] = set()
        query = f"tags.`mlflow.parentRunId` = '{self.run_id}'"
        for run in list(
            runs_of(self._client, self.experiment_id, query, ViewType.ACTIVE_ONLY)
        ):  # pages shift when one is removed
            if run.info.status == "RUNNING":
                self._client.delete_run(run.info.run_id)
            else:
                labels.add(run.data.tags.get("hpo.trial", ""))
        return labels

    def trials(self, told: Iterable[Mapping[str, Any]]) -> None:
        """Writes trials that have ended, unless they are there."""
        new = {trial["label"]: trial for trial in told if trial["label"] not in self._written}
        common = {"mlflow.parentRunId": self.run_id, "mlflow.user": _user()}
        runs = [{**trial, "tags": {**trial["tags"], **common}, "points": points(trial)} for trial in new.values()]
        if self._bulk:
            self._bulk.write(runs)
        else:
            for run in runs:
                self._run(run)
        self._written |= new.keys()

    def _run(self, told: Mapping[str, Any]) -> None:
        run = self._client.create_run(self.experiment_id, told["started"], told["tags"], told["name"])
        run_id = run.info.run_id
        params = [Param(key, str(value)) for key, value in told["params"].items()]
        points = [Metric(key, value, at, step) for key, value, at, step in told["points"]]
        first = _POINTS - _VALUES  # as many as a batch holds beside parameters
        self._client.log_batch(run_id, points[:first], params[:_VALUES])
        for start in range(_VALUES, len(params), _VALUES):
            self._client.log_batch(run_id, params=params[start : start + _VALUES])
        for start in range(first, len(points), _POINTS):
            self._client.log_batch(run_id, points[start : start + _POINTS])
        self._client.set_terminated(run_id, told["status"], told["ended"])

    def finish(self, told: Mapping[str, Any]) -> None:
        tags = [RunTag(key, str(value)) for key, value in told.get("tags", {}).items()]
        # A search that went on may have selected anew: what can change is a tag or a metric, never a parameter.
        metrics = [Metric(key, value, told["ended"], 0) for key, value in told.get("metrics", {}).items()]
        self._client.log_batch(self.run_id, metrics=metrics)
        for start in range(0, len(tags), _VALUES):
            self._client.log_batch(self.run_id, tags=tags[start : start + _VALUES])
        for path in told.get("artifacts", []):
            if Path(path).is_dir():
                self._client.log_artifacts(self.run_id, path, Path(path).name)
            else:
                self._client.log_artifact(self.run_id, path)
        self._client.set_terminated(self.run_id, told["status"])


def _user() -> str:
    """Who searches, as MLflow's own client says it; in a container, a user may have no name."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # of Python 3.12 and 3.13
        return "unknown"


def points(told: Mapping[str, Any]) -> list[tuple[str, float, int, int]]:
    """Key, value, time and step of every point of a trial's curves and of what sums it up."""
    curves = [
        (key, value, told["times"][i], i + 1)
        for key, curve in told["curves"].items()
        for i, value in enumerate(curve)
        if math.isfinite(value)  # MLflow's charts have no place for anything else
    ]
    last = (told["ended"], told["best_epoch"])
    return curves + [(key, value, *last) for key, value in told["summary"].items() if math.isfinite(value)]


def create_database(path: Path) -> None:
    """Creates MLflow's tables under another name first: a database that was killed while migrating cannot be opened."""
    with _locked(path.with_suffix(".lock")):
        if path.exists():
            return
        path.parent.mkdir(parents=True, exist_ok=True)
        unfinished = path.with_suffix(".new")
        unfinished.unlink(missing_ok=True)
        from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore

        artifacts = path.parent.joinpath("artifacts").resolve().as_uri()
        store = SqlAlchemyStore(f"{SQLITE}{unfinished}", artifacts)  # type: ignore[no-untyped-call]
        store.engine.dispose()
        unfinished.replace(path)


def fetch_artifact(uri: str, said: str) -> Path:
    """Where on this machine an artifact `runs:/RUN_ID/ARTIFACT` lies, without ARTIFACT the network that a search has left. Raises
    InputError."""
    run_id, _, artifact = said.partition(":/")[2].partition("/")
    missing = f"{truncate(said)} is not in the MLflow at {uri}"
    if uri.startswith(SQLITE) and not Path(uri.removeprefix(SQLITE)).exists():
        raise InputError(f"network.init: {missing}, which does not exist; name another with --store or --tracking-uri.")
    os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
    try:
        found = Path(MlflowClient(tracking_uri=uri).download_artifacts(run_id, artifact or NETWORK))
    except (MlflowException, OSError) as error:
        raise InputError(
            f"network.init: {missing} ({truncate(error)}); `hpo ui` shows which runs there are, and what they hold."
        ) from error
    if not found.exists():
        raise InputError(f"network.init: {missing}; `hpo ui` shows which runs there are, and what they hold.")
    return found


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _serve(answer: Callable[[Mapping[str, str]], None]) -> None:
    mirror = None
    for messages in _received():
        for what, several in groupby(messages, lambda told: told.pop("do")):
            if mirror and what == "trial":
                mirror.trials(several)
                continue
            (told,) = several
            if mirror:
                mirror.finish(told)
                answer({"done": "yes"})
            else:
                _wait_for_predecessor(Path(told["folder"]))
                mirror = MlflowWriter(told)
                answer({"experiment_id": mirror.experiment_id, "run_id": mirror.run_id})


def _received() -> Iterator[list[dict[str, Any]]]:
    """Messages in the order of their arrival; trials are kept for a moment, so that several are written together."""
    messages: list[dict[str, Any]] = []
    rest, until = b"", 0.0
    while True:
        waits = max(until - time.monotonic(), 0) if messages else None
        chunk = os.read(0, 1 << 20) if select.select([0], [], [], waits)[0] else None
        *lines, rest = (rest + (chunk or b"")).split(b"\n")
        if lines and not messages:
            until = time.monotonic() + _MOMENT
        messages += map(json.loads, lines)
        if messages and (not chunk or len(messages) >= _TOGETHER or messages[-1]["do"] != "trial"):
            yield messages
            messages = []
        if chunk == b"":
            return


def _wait_for_predecessor(folder: Path) -> None:
    """The writer of a search that was killed may still be writing; this lock is held until the process ends."""
    descriptor = os.open(folder / "mirror.lock", os.O_CREAT | os.O_RDWR)
    fcntl.flock(descriptor, fcntl.LOCK_EX)


def main() -> None:
    gc.set_threshold(
        100_000
    )  # the rows of a run are many objects that live briefly: a fifth of the time was collecting them
    logging.getLogger("mlflow").setLevel(logging.WARNING)
    logging.getLogger("alembic").setLevel(logging.WARNING)
    # MLflow prints a line for each run of a remote server, so the answers get the pipe and all else goes to the log.
    pipe = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)

    def answer(message: Mapping[str, str]) -> None:
        print(json.dumps(message), file=pipe, flush=True)

    try:
        _serve(answer)
        os._exit(0)  # everything is committed, and taking MLflow apart object by object takes most of a second
    except (MlflowException, SQLAlchemyError, sqlite3.Error, OSError) as error:
        logging.getLogger(__name__).exception("MLflow was lost")
        answer({"error": truncate(str(error).strip().partition("\n")[0], 200)})
        sys.exit(1)


if __name__ == "__main__":
    main()
