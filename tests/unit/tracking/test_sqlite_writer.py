"""Runs written directly to MLflow's tables equal those that MLflow's own client writes."""

import shutil
import sqlite3

import pytest
from mlflow import MlflowClient

from hpo.tracking import mlflow_writer, sqlite_writer
from hpo.tracking.mlflow_writer import MlflowWriter
from hpo.tracking.recorder import message
from tests.helpers.mlflow_runs import OUTCOMES, child_runs

TABLES = ("runs", "tags", "params", "metrics", "latest_metrics")
RANDOM = {"run_uuid", "artifact_uri"}  # these contain the random id of the run


def opened(store):
    """An MLflow writer, and a client of its database."""
    (store / "studies" / "s").mkdir(parents=True)
    header = {
        "uri": f"sqlite:///{store}/mlflow.db",
        "folder": str(store / "studies" / "s"),
        "study": "s",
        "search": "x",
        "tags": {},
        "params": {},
        "view": {},
        "space": "",
    }
    return MlflowWriter(header), MlflowClient(header["uri"])


def rows(store):
    """The rows of all trials by label, without those of the parent run and without random ids."""
    with sqlite3.connect(store / "mlflow.db") as connection:
        connection.row_factory = sqlite3.Row
        tables = {table: [dict(row) for row in connection.execute(f"SELECT * FROM {table}")] for table in TABLES}
    label = {row["run_uuid"]: row["value"] for row in tables["tags"] if row["key"] == "hpo.trial"}
    found = {}
    for table, of in tables.items():
        for row in of:
            if row["run_uuid"] in label and row["key" if table == "tags" else "run_uuid"] != "mlflow.parentRunId":
                kept = {key: value for key, value in row.items() if key not in RANDOM}
                found.setdefault((label[row["run_uuid"]], table), []).append(sorted(kept.items()))
    return {key: sorted(value, key=str) for key, value in found.items()}


@pytest.fixture
def both(new_store, monkeypatch):
    """The same trials, written by the client and directly."""
    told = []
    for possible in (False, True):
        monkeypatch.setattr(mlflow_writer.sqlite_writer, "is_supported", lambda _, possible=possible: possible)
        store = new_store()
        writer, client = opened(store)
        assert bool(writer.bulk) == possible
        writer.trials(message(o) for o in OUTCOMES[:3])
        writer.trials(message(o) for o in OUTCOMES)
        told.append((store, client, writer.run_id))
    return told


def test_all_rows_are_equal(both):
    by_client, in_bulk = (rows(store) for store, _, _ in both)
    assert len(by_client) == len(OUTCOMES) * len(TABLES)
    assert in_bulk == by_client


def test_runs_read_by_mlflow_are_equal(both):
    seen = []
    for store, client, parent in both:
        found = child_runs(client, parent)
        assert found.keys() == {o.trial.label for o in OUTCOMES}
        for run in found.values():
            path = run.info.artifact_uri.replace(str(store), "").replace(run.info.run_id, "RUN")
            points = {
                key: [p.to_proto() for p in client.get_metric_history(run.info.run_id, key)] for key in run.data.metrics
            }
            points = {key: [str(p).replace(run.info.run_id, "RUN") for p in of] for key, of in points.items()}
            tags = run.data.tags | {"mlflow.parentRunId": ""}
            seen.append(
                (
                    path,
                    run.info.run_name,
                    run.info.status,
                    run.info.start_time,
                    run.info.end_time,
                    run.info.user_id,
                    run.info.lifecycle_stage,
                    run.data.params,
                    run.data.metrics,
                    tags,
                    points,
                )
            )
    half = len(seen) // 2
    assert sorted(seen[:half], key=str) == sorted(seen[half:], key=str)


def test_runs_are_written_all_or_none(new_store):
    store = new_store()
    writer, _ = opened(store)
    broken = message(OUTCOMES[1]) | {"params": {"seed": None}}
    with pytest.raises(sqlite3.IntegrityError, match="NOT NULL"):
        writer.trials([message(OUTCOMES[0]), broken])
    assert rows(store) == {}


def test_a_database_with_unknown_tables_is_written_by_the_client(migrated, tmp_path):
    database = tmp_path / "mlflow.db"
    shutil.copy(migrated, database)
    assert sqlite_writer.is_supported(database)
    with sqlite3.connect(database) as connection:
        connection.execute("ALTER TABLE metrics ADD COLUMN weather TEXT")
    assert not sqlite_writer.is_supported(database)
