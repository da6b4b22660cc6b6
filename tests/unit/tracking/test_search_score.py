"""The score by which the search ranks is a metric of every trial of the search, and sorts the page of MLflow."""

import pytest

from hpo.space import loader
from hpo.tracking.mlflow_view import view
from hpo.tracking.recorder import message
from tests.helpers.reports import outcome
from tests.helpers.searches import TINY


@pytest.mark.parametrize("role", ["search", "baseline", "ablation"])
def test_a_trial_of_the_search_has_its_search_score(role):
    assert message(outcome(0, 0.123456789, 0.1, role=role))["summary"]["search_score"] == 0.12346


@pytest.mark.parametrize("role", ["finalist", "refit"])
def test_a_trial_on_other_rows_has_no_search_score(role):
    assert "search_score" not in message(outcome(0, 0.5, 0.1, role=role))["summary"]


@pytest.mark.parametrize(("metric", "ascending"), [("loss", True), ("accuracy", False)])
def test_the_page_is_sorted_by_the_search_score(metric, ascending):
    shown = view(loader.parse(TINY | {"train": TINY["train"] | {"metric": metric}}), "classification")
    assert (shown["orderByKey"], shown["orderByAsc"]) == ("metrics.`search_score`", ascending)
    assert "metrics.`search_score`" in shown["selectedColumns"]
