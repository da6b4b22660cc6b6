"""Stores that move, rows that change after they were searched, and rows that cannot be scored."""

import json

import pandas as pd
import pytest
import yaml
from mlflow import MlflowClient

import hpo
from hpo.study.directory import StudyDirectory
from tests.helpers.searches import TINY, here, write_space


def test_a_moved_store_uses_its_own_database(store):
    """Its database is not opened at the old path, where a new, empty one would be created."""
    space = write_space(store)
    assert here("search", "--space", space, "--store", store, "--quiet").exit_code == 0
    moved = store.rename(store.parent / "moved")
    directory = StudyDirectory(moved, "tiny")
    assert directory.mlflow()["tracking_uri"] == f"sqlite:///{moved / 'mlflow.db'}"
    assert here("delete", "tiny", "--yes", "--store", moved).exit_code == 0
    assert MlflowClient(directory.tracking_uri).get_experiment_by_name("tiny") is None
    assert not store.exists()


@pytest.mark.usefixtures("unrecorded")
def test_changed_rows_of_an_exported_configuration_are_noted(store):
    space = write_space(store)
    assert here("search", "--space", space, "--store", store, "--quiet").exit_code == 0
    point = store.parent / "point.yaml"
    assert here("export", "--store", store, "-o", point).exit_code == 0
    said = "note: The rows are not those that this configuration was exported from, so the score will differ."
    assert said not in here("check", point).stdout
    changed = yaml.safe_load(point.read_text())
    changed["exported"]["fingerprint"] = "another"
    point.write_text(yaml.safe_dump(changed))
    assert said in here("check", point).stdout.splitlines()


@pytest.mark.usefixtures("unrecorded")
def test_undefined_test_scores_are_null(store):
    """An area under the curve needs two classes; the two test rows here hold one."""
    y = [0] * 40 + [1] * 6
    pd.DataFrame({"a": range(46), "b": [*range(23)] * 2, "y": y}).to_csv(store.parent / "t.csv", index=False)
    data = {"source": "t.csv", "target": "y", "split": {"test": 0.04, "valid": 0.4, "seed": 0}}
    space = write_space(store, data=data, train={"epochs": 2, "metric": "roc_auc"})
    ran = here("search", "--space", space, "--store", store, "--json")
    assert ran.exit_code == 0
    assert json.loads(ran.stdout)["test"]["roc_auc"] is None


@pytest.mark.usefixtures("unrecorded")
def test_runs_go_to_the_mlflow_of_the_environment_variable(store, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://elsewhere:5000")
    point = {"search": {"learning_rate": 0.01}, "budget": {"trials": 1}, "refit": "none"}
    ran = here("search", "--space", write_space(store, study="a", **point), "--store", store, "--json")
    assert json.loads(ran.stdout)["tracking_uri"] == "http://elsewhere:5000"
    assert hpo.search(TINY | point | {"study": "b"}, store=store).tracking_uri == "http://elsewhere:5000"
    named = hpo.search(TINY | point | {"study": "c"}, store=store, tracking_uri="http://nearer:5000")
    assert named.tracking_uri == "http://nearer:5000"
    monkeypatch.delenv("MLFLOW_TRACKING_URI")
    assert (
        hpo.search(TINY | point | {"study": "d"}, store=store).tracking_uri == StudyDirectory(store, "d").tracking_uri
    )
