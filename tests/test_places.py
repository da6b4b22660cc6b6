"""Stores that move, and rows that change after they were searched."""

import yaml
from mlflow import MlflowClient

from hpo.store import Place
from tests.conftest import here, write_space


def test_a_store_that_was_moved_is_found_where_it_is(store):
    """Its own database is not looked for at the old place, where a new and empty one would come into being."""
    space = write_space(store)
    assert here("search", "--space", space, "--store", store, "--quiet").exit_code == 0
    moved = store.rename(store.parent / "moved")
    place = Place(moved, "tiny")
    assert place.mlflow()["tracking_uri"] == f"sqlite:///{moved / 'mlflow.db'}"
    assert here("delete", "tiny", "--yes", "--store", moved).exit_code == 0
    assert MlflowClient(place.tracking_uri).get_experiment_by_name("tiny") is None
    assert not store.exists()


def test_an_exported_point_says_when_its_rows_have_changed(store):
    space = write_space(store)
    assert here("search", "--space", space, "--store", store, "--quiet").exit_code == 0
    point = store.parent / "point.yaml"
    assert here("export", "--store", store, "-o", point).exit_code == 0
    said = "note: The rows are not those that this configuration was exported from: expect another score."
    assert said not in here("check", point).stdout
    changed = yaml.safe_load(point.read_text())
    changed["exported"]["fingerprint"] = "another"
    point.write_text(yaml.safe_dump(changed))
    assert said in here("check", point).stdout.splitlines()
