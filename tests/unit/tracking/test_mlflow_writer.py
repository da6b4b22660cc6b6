"""The MLflow writer, called in this process: searches of any size, by any user; and the deletion of a study's own
runs."""

import getpass

import pytest
from mlflow import MlflowClient
from mlflow.entities import ViewType
from mlflow.exceptions import MlflowException

from hpo.tracking import mlflow_cleanup, mlflow_writer
from hpo.tracking.mlflow_writer import MlflowWriter
from hpo.tracking.recorder import message
from tests.helpers.mlflow_runs import OUTCOMES


@pytest.fixture
def recorded(new_store):
    """Returns a function that records a search of the study s with its trials."""
    store = new_store()
    (store / "studies" / "s").mkdir(parents=True)

    def record(search="x", params=()):
        writer = MlflowWriter(
            {
                "uri": f"sqlite:///{store}/mlflow.db",
                "folder": str(store / "studies" / "s"),
                "study": "s",
                "search": search,
                "tags": {},
                "params": dict(params),
                "view": {},
                "space": "",
            }
        )
        writer.trials(message(o) for o in OUTCOMES[2:])
        return writer

    record.store, record.client = store, MlflowClient(f"sqlite:///{store}/mlflow.db")
    return record


# ---- written


def test_a_search_with_more_than_a_hundred_keys_is_recorded_completely(recorded, monkeypatch):
    monkeypatch.setattr(mlflow_writer.sqlite_writer, "is_supported", lambda _: False)
    many = {f"key-{i}": str(i) for i in range(250)}
    writer = recorded(params=many)
    long = message(OUTCOMES[1]) | {"params": many}
    writer.trials([long])
    writer.finish({"status": "FINISHED", "ended": 1, "tags": many})
    own, trial = (
        recorded.client.search_runs([writer.experiment_id], f"tags.`{tag}` = '{value}'")[0]
        for tag, value in (("hpo.search", "x"), ("hpo.trial", "0"))
    )
    assert own.data.params == trial.data.params == many
    assert own.data.tags.items() >= many.items()
    points = mlflow_writer.points(long)
    assert len(points) > 900
    assert sum(len(recorded.client.get_metric_history(trial.info.run_id, name)) for name in trial.data.metrics) == len(
        points
    )


@pytest.mark.parametrize(
    "error", [KeyError("getpwuid(): uid not found: 1234"), OSError("No username set in the environment")]
)
def test_a_user_without_a_name_is_recorded_as_unknown(recorded, monkeypatch, error):
    """As in a container."""

    def nameless():
        raise error

    monkeypatch.setattr(getpass, "getuser", nameless)
    writer = recorded()
    assert {run.data.tags["mlflow.user"] for run in runs(recorded, writer.experiment_id).values()} == {"unknown"}


# ---- deleted


def removed(recorded, writer):
    mlflow_cleanup.delete_runs(
        f"sqlite:///{recorded.store}/mlflow.db", writer.experiment_id, writer.run_id, recorded.store / "artifacts" / "s"
    )


def runs(recorded, experiment_id):
    return {run.info.run_id: run for run in recorded.client.search_runs([experiment_id], run_view_type=ViewType.ALL)}


def test_runs_of_others_in_the_experiment_stay_unchanged(recorded):
    writer, client = recorded(), recorded.client
    foreign, restorable = (client.create_run(writer.experiment_id).info.run_id for _ in range(2))
    client.log_text(foreign, "theirs", "notes.txt")
    client.set_tag(restorable, "mlflow.parentRunId", foreign)
    client.delete_run(restorable)
    elsewhere = client.create_run("0").info.run_id
    client.delete_run(elsewhere)
    bin_of_theirs = client.create_experiment("theirs")
    client.delete_experiment(bin_of_theirs)
    removed(recorded, writer)
    assert runs(recorded, writer.experiment_id).keys() == {foreign, restorable}
    assert client.get_experiment(writer.experiment_id).lifecycle_stage == "active"
    assert [path.name for path in (recorded.store / "artifacts" / "s").iterdir()] == [foreign]
    assert client.get_run(foreign).info.lifecycle_stage == "active"
    for run_id in (restorable, elsewhere):
        client.restore_run(run_id)
    client.restore_experiment(bin_of_theirs)


def test_replaced_runs_are_deleted_too_and_the_experiment_with_its_last_run(recorded):
    before = recorded()
    recorded.client.delete_run(before.run_id)
    writer = recorded()
    assert before.run_id != writer.run_id
    removed(recorded, writer)
    assert recorded.client.get_experiment_by_name("s") is None
    assert not (recorded.store / "artifacts" / "s").exists()
    for run_id in (before.run_id, writer.run_id):
        with pytest.raises(MlflowException, match="not found"):
            recorded.client.get_run(run_id)
    removed(recorded, writer)  # again, as after a crash


def test_an_experiment_with_a_model_of_others_is_not_deleted(recorded):
    writer = recorded()
    recorded.client.create_logged_model(writer.experiment_id)
    removed(recorded, writer)
    assert runs(recorded, writer.experiment_id) == {}
    assert recorded.client.get_experiment(writer.experiment_id).lifecycle_stage == "active"


def test_another_study_of_the_same_name_is_not_deleted(recorded):
    other = recorded("another")
    kept = runs(recorded, other.experiment_id).keys()
    removed(recorded, recorded())
    assert runs(recorded, other.experiment_id).keys() == kept
    assert len(kept) == 1 + len(OUTCOMES[2:])


def test_on_a_server_runs_are_marked_as_deleted_and_an_experiment_only_without_other_runs(recorded, monkeypatch):
    """A server is simulated by a URI that is not that of a local database."""
    writer, client = recorded(), recorded.client
    uri = f"sqlite:///{recorded.store}/mlflow.db"
    monkeypatch.setattr(mlflow_cleanup, "SQLITE", "nothing:///")
    foreign = client.create_run(writer.experiment_id).info.run_id
    mlflow_cleanup.delete_runs(uri, writer.experiment_id, writer.run_id, recorded.store / "artifacts" / "s")
    stages = {run_id: run.info.lifecycle_stage for run_id, run in runs(recorded, writer.experiment_id).items()}
    assert {run_id for run_id, stage in stages.items() if stage == "active"} == {foreign}
    assert len(stages) == 2 + len(OUTCOMES[2:])
    assert client.get_experiment(writer.experiment_id).lifecycle_stage == "active"
