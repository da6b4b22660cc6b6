"""Write runs directly to the tables of MLflow's SQLite database, many in one transaction.

MLflow's client takes 22 ms of CPU time for a run of 60 epochs: it creates an object for every point, looks the run up
before every step, and commits seven times. Writing the rows directly takes a tenth of that. The rows equal those of the
client, column by column (a test compares them), and a run is written completely or not at all.
"""

from __future__ import annotations

import secrets
import sqlite3
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

_POINT = ("key", "value", "timestamp", "step", "is_nan", "run_uuid")
_COLUMNS = {
    "runs": (
        "run_uuid",
        "name",
        "source_type",
        "source_name",
        "entry_point_name",
        "user_id",
        "status",
        "start_time",
        "end_time",
        "deleted_time",
        "source_version",
        "lifecycle_stage",
        "artifact_uri",
        "experiment_id",
    ),
    "tags": ("key", "value", "run_uuid"),
    "params": ("key", "value", "run_uuid"),
    "metrics": _POINT,
    "latest_metrics": _POINT,
}
_INSERT = {
    table: f"INSERT INTO {table} ({', '.join(names)}) VALUES ({', '.join('?' * len(names))})"  # noqa: S608 - constants
    for table, names in _COLUMNS.items()
}
_TIMEOUT = 20.0  # seconds to wait, as MLflow does, while another process writes
Row = tuple[Any, ...]


def is_supported(database: Path) -> bool:
    """Whether MLflow's tables have the known columns; if not, MLflow's client writes the runs."""
    with closing(sqlite3.connect(database)) as connection:
        columns = {name: {row[1] for row in connection.execute(f"PRAGMA table_info({name})")} for name in _COLUMNS}
    return columns == {name: set(known) for name, known in _COLUMNS.items()}


class SqliteWriter:
    """Writes ended runs to one experiment; `artifacts` is the URI of its artifact folder."""

    def __init__(self, database: Path, experiment_id: str, artifacts: str) -> None:
        self._connection = sqlite3.connect(database, timeout=_TIMEOUT)
        self._experiment_id, self._artifacts = int(experiment_id), artifacts

    def write(self, runs: Iterable[Mapping[str, Any]]) -> None:
        """Write runs, all or none. Each has `name`, `status`, `started`, `ended`, `tags`, `params` and `points` (key,
        value, time, step)."""
        with self._connection:
            for run in runs:
                for table, rows in self._rows(run):
                    self._connection.executemany(_INSERT[table], rows)

    def _rows(self, run: Mapping[str, Any]) -> Iterator[tuple[str, list[Row]]]:
        # The id begins with the time, so that the rows of a run are adjacent at the end of every index. Random ids
        # touch pages all over the database, which makes writing four times as slow after 6,000 runs.
        run_id = f"{time.time_ns():016x}{secrets.token_hex(8)}"
        tags = {**run["tags"], "mlflow.runName": run["name"]}
        artifact_uri = f"{self._artifacts}/{run_id}/artifacts"
        yield (
            "runs",
            [
                (
                    run_id,
                    run["name"],
                    "UNKNOWN",
                    "",
                    "",
                    tags["mlflow.user"],
                    run["status"],
                    run["started"],
                    run["ended"],
                    None,
                    "",
                    "active",
                    artifact_uri,
                    self._experiment_id,
                )
            ],
        )
        yield "tags", [(key, value, run_id) for key, value in tags.items()]
        yield "params", [(key, value, run_id) for key, value in run["params"].items()]
        yield "metrics", [(key, value, time_ms, step, False, run_id) for key, value, time_ms, step in run["points"]]
        latest: dict[str, tuple[int, int, float]] = {}
        for key, value, time_ms, step in run["points"]:
            latest[key] = max(latest.get(key, (-1, 0, 0.0)), (step, time_ms, value))
        yield (
            "latest_metrics",
            [(key, value, time_ms, step, False, run_id) for key, (step, time_ms, value) in latest.items()],
        )
