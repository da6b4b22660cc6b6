"""Runs that are written into MLflow's tables are those that MLflow's own client would have written."""

import shutil
import sqlite3

import pytest
from mlflow import MlflowClient

from hpo.core.trial import Outcome, Trial
from hpo.tracking import mlflow_writer, sqlite_writer
from hpo.tracking.mlflow_writer import MlflowWriter
from hpo.tracking.recorder import message
from tests.integration.test_mlflow import children

TABLES = ("runs", "tags", "params", "metrics", "latest_metrics")
OWN = {"run_uuid", "artifact_uri"}  # these hold the run's random name


def outcome(label, state, epochs):
    trial = Trial(
        label, "search" if label.isdigit() else "baseline", {"learning_rate": 0.01, "depth": 2.0, "l1": 0.0}, 7
    )
    curves = {name: [1 / (k + 1) for k in range(epochs)] for name in ("train_loss", "valid_loss", "valid_accuracy")}
    if state == "failed":
        curves["valid_loss"][-1] = float("nan")
    scores = {"loss": 0.25, "accuracy": 0.5} if epochs else {}
    times = [1e9 + 0.001 * k for k in range(epochs)]
    return Outcome(
        trial,
        state,
        f"because, {label}",
        0.25,
        epochs,
        epochs,
        scores,
        scores,
        0.123456789,
        curves,
        fold_curves={},
        fit_epochs=epochs,
        started=1e9,
        epoch_times=times,
        rounds=[0, epochs],
        values={},
    )


OUTCOMES = [
    outcome("none", "complete", 3),
    outcome("0", "complete", 300),
    outcome("1", "pruned", 4),
    outcome("2", "failed", 5),
    outcome("3", "failed", 1),
]


def opened(store):
    """A mirror, and what its database holds of a search's runs."""
    (store / "studies" / "s").mkdir(parents=True)
    opening = {
        "uri": f"sqlite:///{store}/mlflow.db",
        "folder": str(store / "studies" / "s"),
        "study": "s",
        "search": "x",
        "tags": {},
        "params": {},
        "view": {},
        "space": "",
    }
    return MlflowWriter(opening), MlflowClient(opening["uri"])


def rows(store):
    """Every row that is not the parent's, by the label of its trial; without what is the run's own."""
    with sqlite3.connect(store / "mlflow.db") as connection:
        connection.row_factory = sqlite3.Row
        tables = {table: [dict(row) for row in connection.execute(f"SELECT * FROM {table}")] for table in TABLES}
    label = {row["run_uuid"]: row["value"] for row in tables["tags"] if row["key"] == "hpo.trial"}
    found = {}
    for table, of in tables.items():
        for row in of:
            if row["run_uuid"] in label and row["key" if table == "tags" else "run_uuid"] != "mlflow.parentRunId":
                kept = {key: value for key, value in row.items() if key not in OWN}
                found.setdefault((label[row["run_uuid"]], table), []).append(sorted(kept.items()))
    return {key: sorted(value, key=str) for key, value in found.items()}


@pytest.fixture
def both(new_store, monkeypatch):
    """The same trials, written by the client and in bulk."""
    told = []
    for possible in (False, True):
        monkeypatch.setattr(mlflow_writer.sqlite_writer, "is_supported", lambda _, possible=possible: possible)
        store = new_store()
        writer, client = opened(store)
        assert bool(writer._bulk) == possible
        writer.trials(message(o) for o in OUTCOMES[:3])
        writer.trials(message(o) for o in OUTCOMES)
        told.append((store, client, writer.run_id))
    return told


def test_row_by_row_they_are_the_same(both):
    by_client, in_bulk = (rows(store) for store, _, _ in both)
    assert len(by_client) == len(OUTCOMES) * len(TABLES)
    assert in_bulk == by_client


def test_read_back_by_mlflow_they_are_the_same(both):
    seen = []
    for store, client, parent in both:
        found = children(client, parent)
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


def test_tables_that_we_do_not_know_are_left_to_the_client(migrated, tmp_path):
    database = tmp_path / "mlflow.db"
    shutil.copy(migrated, database)
    assert sqlite_writer.is_supported(database)
    with sqlite3.connect(database) as connection:
        connection.execute("ALTER TABLE metrics ADD COLUMN weather TEXT")
    assert not sqlite_writer.is_supported(database)
