"""Repeated kills and every number of rows, for every sampler and pruner; the sampler gp, which is slow."""

import pytest

from tests.helpers.studies import (
    DETERMINISTIC,
    RESUMED,
    Apart,
    UnevenCurves,
    check_deterministic,
    check_front,
    check_resumed,
)


@pytest.mark.exhaustive
@pytest.mark.parametrize(("sampler", "pruner"), RESUMED)
def test_an_often_killed_search_equals_an_uninterrupted_one(tmp_path, sampler, pruner):
    check_resumed(tmp_path, sampler, pruner, attempts=6)


@pytest.mark.exhaustive
def test_a_killed_search_with_gp_equals_an_uninterrupted_one(tmp_path):
    check_resumed(tmp_path, "gp", "median", attempts=3)


@pytest.mark.exhaustive
@pytest.mark.parametrize(("sampler", "pruner"), DETERMINISTIC)
def test_a_deterministic_search_is_the_same_at_every_number_of_rows(tmp_path, monkeypatch, sampler, pruner):
    monkeypatch.setattr("hpo.study.study.LAG", 8)
    runs = [(rows, population) for rows in (2, 7, 32) for population in (UnevenCurves, Apart)]
    check_deterministic(tmp_path, sampler, pruner, runs)


@pytest.mark.exhaustive
def test_gp_finds_a_front_and_repeats_itself(tmp_path):
    check_front(tmp_path, "gp")
