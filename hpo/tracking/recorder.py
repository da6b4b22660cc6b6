"""Send ended trials to MLflow through a separate process: true states, whole curves, one bulk write per trial.

Starting MLflow takes a second, and writing a run to a server takes longer, so this is done in parallel to the training:
the recorder turns outcomes into messages, and `hpo.tracking.mlflow_writer` at the other end of a pipe writes them.
MLflow has a copy of the study; trials that were not written when a process died are sent again by the next session.
"""

from __future__ import annotations

import json
import os
import queue
import subprocess
import sys
import threading
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from hpo.core.errors import StoreError, truncate
from hpo.core.trial import Outcome, State
from hpo.space.formatting import trial_name
from hpo.tracking.mlflow_server import QUIET

STATUS: dict[State, str] = {"complete": "FINISHED", "pruned": "KILLED", "failed": "FAILED"}


class Recorder:
    """Sends messages to the writer process; waits for MLflow only in `ids` and `close`."""

    def __init__(self, tracking_uri: str, folder: Path, header: Mapping[str, Any]) -> None:
        """Start the writer. `header` contains the experiment, and the search's run with its tags and parameters;
        `folder` is the folder of the study, where the writer's log goes."""
        self._uri = tracking_uri
        self._log = folder / "mirror.log"
        try:
            log = self._log.open("ab")
        except OSError as error:
            raise StoreError(f"{self._log} cannot be written: {error.strerror}.") from error
        with log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "hpo.tracking.mlflow_writer"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
                env=_environment(),
                start_new_session=True,  # Ctrl-C must not end the writer, which has messages left
            )
        self._queue: queue.SimpleQueue[str | None] = queue.SimpleQueue()
        threading.Thread(target=self._feed, daemon=True).start()
        self._ids: dict[str, str] | None = None
        self._ended = False
        self._send({"do": "open", "uri": tracking_uri, "folder": str(folder), **header})

    def record(self, outcome: Outcome) -> None:
        """Write a trial that has ended, unless MLflow has it already. Raises StoreError if the writer has ended."""
        if self._process.poll() is not None:
            raise self._failure()
        self._send({"do": "trial", **message(outcome)})

    @property
    def ids(self) -> dict[str, str]:
        """`experiment_id` and `run_id` of the search; waits until the writer is ready."""
        if self._ids is None:
            self._ids = self._reply()
        return self._ids

    def close(self, status: str, **finish: Any) -> None:
        """End the search's run with a status, and wait until everything is written. Raises StoreError if writing fails.

        `finish` may contain `tags`, `metrics` and `artifacts` (a list of paths).
        """
        try:
            self._send({"do": "finish", "status": status, "ended": round(1000 * time.time()), **finish})
            _ = self.ids
            self._reply()
        finally:
            self._end()

    def abandon(self, status: str) -> None:
        """End the search's run with a status after a failure or Ctrl-C. If `close` itself has failed, there is
        nothing to do."""
        if self._ended:
            return
        with suppress(StoreError):  # the first failure is the one to report
            self.close(status)

    def _end(self) -> None:
        """Let the writer process the remaining messages, and wait until it has ended."""
        self._ended = True
        self._queue.put(None)
        self._process.wait()
        if self._process.stdout:
            self._process.stdout.close()

    def _send(self, message: Mapping[str, Any]) -> None:
        self._queue.put(json.dumps(message) + "\n")

    def _feed(self) -> None:
        """Move messages from the queue to the pipe, in a thread, so that a slow writer does not stop the training."""
        pipe = self._process.stdin
        assert pipe is not None
        try:
            while (line := self._queue.get()) is not None:
                pipe.write(line)
                pipe.flush()
            pipe.close()
        except BrokenPipeError:
            return  # the writer has ended; `record` and `close` raise the reason

    def _reply(self) -> dict[str, str]:
        pipe = self._process.stdout
        assert pipe is not None
        line = pipe.readline()
        if not line:
            text = f"The process that writes to MLflow ended (see {self._log}). The study is safe; run it again."
            raise StoreError(text)
        answer: dict[str, str] = json.loads(line)
        if "error" in answer:
            raise StoreError(
                f"MLflow at {self._uri} failed: {answer['error']}. The study is safe; run the command again."
            )
        return answer

    def _failure(self) -> StoreError:
        """The reason why the writer has ended: its last answer, if there is one."""
        try:
            while True:
                self._reply()
        except StoreError as error:
            return error


def message(outcome: Outcome) -> dict[str, Any]:
    """A trial as a message to the writer."""
    trial = outcome.trial
    name = trial_name(trial.label) if trial.role in ("search", "ablation") else trial.label
    summary: dict[str, float] = {f"best_valid_{key}": value for key, value in outcome.valid.items()}
    if outcome.value is not None and trial.role not in ("finalist", "refit"):  # on other rows than the search
        summary["search_score"] = outcome.value
    if outcome.valid:
        summary["best_gap"] = outcome.gap
        summary["best_epoch"] = outcome.best_epoch
    summary |= {"epochs": outcome.epochs, "nonzero_share": outcome.nonzero_share}
    return {
        "label": trial.label,
        "name": name,
        "status": STATUS[outcome.state],
        "started": round(1000 * outcome.started),
        "ended": round(1000 * outcome.ended),
        "tags": {
            "hpo.role": trial.role,
            "hpo.trial": trial.label,
            "hpo.state": outcome.state,
            "hpo.reason": outcome.reason,
        },
        "params": {key: truncate(value) for key, value in trial.params.items()} | {"seed": str(trial.seed)},
        "curves": outcome.with_gap(),
        "times": [round(1000 * t) for t in outcome.epoch_times],
        "best_epoch": outcome.best_epoch,
        "summary": {key: float(f"{value:.5g}") for key, value in summary.items()},
    }


def _environment() -> dict[str, str]:
    """The environment of the writer: silent, no telemetry, one thread."""
    return (
        os.environ
        | QUIET
        | {
            "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "4",  # they take half a minute; the default of seven takes four minutes
            "GIT_PYTHON_REFRESH": "quiet",
            "OMP_NUM_THREADS": "1",
        }
    )
