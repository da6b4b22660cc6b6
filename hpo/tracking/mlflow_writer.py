"""The process that writes to MLflow (`python -m hpo.tracking.mlflow_writer`): JSON lines in, JSON lines out.

`hpo.tracking.recorder` sends `open`, then a `trial` for each trial, then `finish`. The process answers `open` and
`finish`. If it fails, it answers `error` and exits. If its input ends early, the search was killed, and the next
session sends the missing messages again.
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

os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")  # MLflow reads this variable on import

from mlflow import MlflowClient
from mlflow.entities import Metric, Param, RunTag, ViewType
from mlflow.exceptions import MlflowException
from sqlalchemy.exc import SQLAlchemyError

from hpo.core.errors import InputError, truncate
from hpo.study.directory import NETWORK, SQLITE, write_atomic
from hpo.tracking import sqlite_writer
from hpo.tracking.mlflow_cleanup import runs_of

_VIEW_TAG = "mlflow.sharedViewState."
_MAX_POINTS = 1000  # MLflow's limit of metrics per batch
_MAX_VALUES = 100  # MLflow's limit of parameters, and of tags, per batch
_MAX_WAIT = 1.0  # seconds that a trial may wait to be written together with others
_MAX_TRIALS = 100  # trials that may be written together


class MlflowWriter:
    """Writes a search's run and its child runs, one per trial, to any MLflow store."""

    def __init__(self, header: Mapping[str, Any]) -> None:
        uri, folder = header["uri"], Path(header["folder"])
        self._artifacts = folder.parent.parent / "artifacts" / header["study"] if uri.startswith(SQLITE) else None
        if uri.startswith(SQLITE):
            create_database(Path(uri.removeprefix(SQLITE)))
        self._client = MlflowClient(tracking_uri=uri)
        self.experiment_id = self._experiment(header["study"])
        self.run_id = self._search_run(header)
        self._set_view(header["view"])
        in_store = uri.startswith(SQLITE) and Path(uri.removeprefix(SQLITE)).parent == folder.resolve().parent.parent
        # The URI of the store's own database is not stored, so that the database can be found after the store is moved.
        location = {"tracking_uri": "" if in_store else uri, "experiment_id": self.experiment_id, "run_id": self.run_id}
        write_atomic(folder / "mlflow.json", json.dumps(location).encode())
        self._written = self._written_trials()
        self.bulk = self._sqlite_writer(uri)

    def _sqlite_writer(self, uri: str) -> sqlite_writer.SqliteWriter | None:
        """The writer for a local database; None for a server, or a database with unknown tables."""
        database = Path(uri.removeprefix(SQLITE))
        if not uri.startswith(SQLITE) or not sqlite_writer.is_supported(database):
            return None
        location = self._client.get_experiment(self.experiment_id).artifact_location
        return sqlite_writer.SqliteWriter(database, self.experiment_id, location)

    def _set_view(self, view: Mapping[str, Any]) -> None:
        """Store the columns and charts that the page of this search initially shows, in the format of MLflow's UI."""
        # Trials run after the search are scored on other rows, so they must not be listed among its own trials.
        roles = " AND ".join(["", *(f"tags.`hpo.role` != '{role}'" for role in ("finalist", "refit"))])
        state = {**view, "searchFilter": f"tags.`mlflow.parentRunId` = '{self.run_id}'{roles}"}
        packed = base64.b64encode(zlib.compress(json.dumps(state, separators=(",", ":")).encode(), 9)).decode()
        now = int(time.time() * 1000)
        value = {"name": "Best first", "createdAt": now, "updatedAt": now, "state": f"deflate;{packed}"}
        self._client.set_experiment_tag(self.experiment_id, _VIEW_TAG + self.run_id, json.dumps(value))

    def _experiment(self, name: str) -> str:
        experiment = self._client.get_experiment_by_name(name)
        if experiment is None:
            location = self._artifacts.resolve().as_uri() if self._artifacts else None
            return str(self._client.create_experiment(name, artifact_location=location))
        if experiment.lifecycle_stage == "deleted":
            self._client.restore_experiment(experiment.experiment_id)
        return str(experiment.experiment_id)

    def _search_run(self, header: Mapping[str, Any]) -> str:
        """Return the id of the run of the search. It is created, or completed if a killed writer left it incomplete."""
        query = f"tags.`hpo.search` = '{header['search']}'"
        runs = self._client.search_runs([self.experiment_id], query, max_results=1)
        if runs:
            run = runs[0]
            self._client.update_run(run.info.run_id, status="RUNNING")
        else:
            tags = {**header["tags"], "hpo.search": header["search"], "mlflow.user": _user()}
            run = self._client.create_run(self.experiment_id, run_name=header["study"], tags=tags)
        params = [Param(key, str(value)) for key, value in header["params"].items() if key not in run.data.params]
        for start in range(0, len(params), _MAX_VALUES):
            self._client.log_batch(run.info.run_id, params=params[start : start + _MAX_VALUES])
        self._client.log_text(run.info.run_id, header["space"], "space.yaml")
        return str(run.info.run_id)

    def _written_trials(self) -> set[str]:
        """Return the labels of completely written trials, and delete runs that a killed writer left incomplete."""
        labels: set[str] = set()
        query = f"tags.`mlflow.parentRunId` = '{self.run_id}'"
        # All runs are listed before any is deleted, because a deletion shifts the pages that follow.
        for run in list(runs_of(self._client, self.experiment_id, query, ViewType.ACTIVE_ONLY)):
            if run.info.status == "RUNNING":
                self._client.delete_run(run.info.run_id)
            else:
                labels.add(run.data.tags.get("hpo.trial", ""))
        return labels

    def trials(self, messages: Iterable[Mapping[str, Any]]) -> None:
        """Write trials that have ended, unless they are written already."""
        new = {trial["label"]: trial for trial in messages if trial["label"] not in self._written}
        common = {"mlflow.parentRunId": self.run_id, "mlflow.user": _user()}
        runs = [{**trial, "tags": {**trial["tags"], **common}, "points": points(trial)} for trial in new.values()]
        if self.bulk:
            self.bulk.write(runs)
        else:
            for run in runs:
                self._write_run(run)
        self._written |= new.keys()

    def _write_run(self, message: Mapping[str, Any]) -> None:
        run = self._client.create_run(self.experiment_id, message["started"], message["tags"], message["name"])
        run_id = run.info.run_id
        params = [Param(key, str(value)) for key, value in message["params"].items()]
        points = [Metric(key, value, time_ms, step) for key, value, time_ms, step in message["points"]]
        first = _MAX_POINTS - _MAX_VALUES  # MLflow also limits the sum of metrics and parameters per batch
        self._client.log_batch(run_id, points[:first], params[:_MAX_VALUES])
        for start in range(_MAX_VALUES, len(params), _MAX_VALUES):
            self._client.log_batch(run_id, params=params[start : start + _MAX_VALUES])
        for start in range(first, len(points), _MAX_POINTS):
            self._client.log_batch(run_id, points[start : start + _MAX_POINTS])
        self._client.set_terminated(run_id, message["status"], message["ended"])

    def finish(self, message: Mapping[str, Any]) -> None:
        """End the run of the search, with its last tags, metrics and artifacts."""
        tags = [RunTag(key, str(value)) for key, value in message.get("tags", {}).items()]
        # A resumed search may select another trial, so values that can change are tags or metrics, not parameters.
        metrics = [Metric(key, value, message["ended"], 0) for key, value in message.get("metrics", {}).items()]
        self._client.log_batch(self.run_id, metrics=metrics)
        for start in range(0, len(tags), _MAX_VALUES):
            self._client.log_batch(self.run_id, tags=tags[start : start + _MAX_VALUES])
        for path in message.get("artifacts", []):
            if Path(path).is_dir():
                self._client.log_artifacts(self.run_id, path, Path(path).name)
            else:
                self._client.log_artifact(self.run_id, path)
        self._client.set_terminated(self.run_id, message["status"])


def _user() -> str:
    """The user name, as MLflow's client records it; in a container, a user may have no name."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # KeyError up to Python 3.12, OSError from 3.13 on
        return "unknown"


def points(message: Mapping[str, Any]) -> list[tuple[str, float, int, int]]:
    """Return (key, value, time, step) of every point of a trial's curves and summary."""
    curves = [
        (key, value, message["times"][i], i + 1)
        for key, curve in message["curves"].items()
        for i, value in enumerate(curve)
        if math.isfinite(value)  # MLflow's charts cannot show other values
    ]
    last = (message["ended"], message["best_epoch"])
    return curves + [(key, value, *last) for key, value in message["summary"].items() if math.isfinite(value)]


def create_database(path: Path) -> None:
    """Create MLflow's database under another name, then rename it: a partly migrated database cannot be opened."""
    with _locked(path.with_suffix(".lock")):
        if path.exists():
            return
        path.parent.mkdir(parents=True, exist_ok=True)
        unfinished = path.with_suffix(".new")
        unfinished.unlink(missing_ok=True)
        from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore

        artifacts = path.parent.joinpath("artifacts").resolve().as_uri()
        store = SqlAlchemyStore(f"{SQLITE}{unfinished}", artifacts)  # type: ignore[no-untyped-call]  # MLflow has no types here
        store.engine.dispose()
        unfinished.replace(path)


def fetch_artifact(uri: str, reference: str) -> Path:
    """Download the artifact `runs:/RUN_ID/ARTIFACT` and return its local path. Raises InputError.

    If ARTIFACT is omitted, the final network of the search is downloaded.
    """
    run_id, _, artifact = reference.partition(":/")[2].partition("/")
    missing = f"{truncate(reference)} is not in the MLflow at {uri}"
    if uri.startswith(SQLITE) and not Path(uri.removeprefix(SQLITE)).exists():
        raise InputError(f"network.init: {missing}, which does not exist; name another with --store or --tracking-uri.")
    os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
    try:
        path = Path(MlflowClient(tracking_uri=uri).download_artifacts(run_id, artifact or NETWORK))
    except (MlflowException, OSError) as error:
        raise InputError(
            f"network.init: {missing} ({truncate(error)}); `hpo ui` shows the runs and their artifacts."
        ) from error
    if not path.exists():
        raise InputError(f"network.init: {missing}; `hpo ui` shows the runs and their artifacts.")
    return path


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _serve(answer: Callable[[Mapping[str, str]], None]) -> None:
    writer = None
    for messages in _received():
        for kind, group in groupby(messages, lambda message: message.pop("do")):
            if writer and kind == "trial":
                writer.trials(group)
                continue
            (message,) = group
            if writer:
                writer.finish(message)
                answer({"done": "yes"})
            else:
                _wait_for_predecessor(Path(message["folder"]))
                writer = MlflowWriter(message)
                answer({"experiment_id": writer.experiment_id, "run_id": writer.run_id})


def _received() -> Iterator[list[dict[str, Any]]]:
    """Yield messages in the order of their arrival; trials wait for a moment, so that several are written together."""
    messages: list[dict[str, Any]] = []
    rest, deadline = b"", 0.0
    while True:
        timeout = max(deadline - time.monotonic(), 0) if messages else None
        chunk = os.read(0, 1 << 20) if select.select([0], [], [], timeout)[0] else None
        *lines, rest = (rest + (chunk or b"")).split(b"\n")
        if lines and not messages:
            deadline = time.monotonic() + _MAX_WAIT
        messages += map(json.loads, lines)
        if messages and (not chunk or len(messages) >= _MAX_TRIALS or messages[-1]["do"] != "trial"):
            yield messages
            messages = []
        if chunk == b"":
            return


def _wait_for_predecessor(folder: Path) -> None:
    """Wait for the writer of a killed search, which may still be writing. The lock is held until this process ends."""
    descriptor = os.open(folder / "mirror.lock", os.O_CREAT | os.O_RDWR)
    fcntl.flock(descriptor, fcntl.LOCK_EX)


def main() -> None:
    # The rows of a run are many short-lived objects; by default, garbage collection takes a fifth of the time.
    gc.set_threshold(100_000)
    logging.getLogger("mlflow").setLevel(logging.WARNING)
    logging.getLogger("alembic").setLevel(logging.WARNING)
    # MLflow prints a line per run of a remote server, so only answers go to the pipe; everything else goes to the log.
    pipe = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)

    def answer(message: Mapping[str, str]) -> None:
        print(json.dumps(message), file=pipe, flush=True)

    try:
        _serve(answer)
        os._exit(0)  # everything is committed, and a regular exit of MLflow takes most of a second
    except (MlflowException, SQLAlchemyError, sqlite3.Error, OSError) as error:
        logging.getLogger(__name__).exception("MLflow failed")
        answer({"error": truncate(str(error).strip().partition("\n")[0], 200)})
        sys.exit(1)


if __name__ == "__main__":
    main()
