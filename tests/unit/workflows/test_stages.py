"""The stages that a search has, and the words for its steps."""

import pytest

from hpo.core.trial import Trial
from hpo.core.trial_key import TrialKey
from hpo.space import loader
from hpo.workflows.stages import Stage, ensemble_step, fixed_step, search_step, stage_number, stages_of
from tests.helpers.searches import TINY

POINT = {"search": {"learning_rate": 0.01, "dropout": 0.1}, "budget": {"trials": 1}}
UNREGULARIZED = {"search": {"learning_rate": {"low": 1e-3, "high": 1e-1}}}


def step(labels, role="finalist", draw=1, *, new_splits=True):
    keys = [TrialKey.parse(label) for label in labels]
    keys = [key.reevaluation(draw) if role == "finalist" else key for key in keys]
    trials = [Trial(key, role, {}, 0) for key in keys]
    return fixed_step(trials, {trial.label: 5 for trial in trials}, new_splits=new_splits)


@pytest.mark.parametrize(
    ("change", "missing"),
    [
        ({}, set()),
        ({"finalists": 0}, {Stage.REEVALUATION}),
        ({"refit": "none"}, {Stage.FINAL}),
        (UNREGULARIZED, {Stage.CONTRIBUTIONS}),
        (POINT, {Stage.REEVALUATION, Stage.CONTRIBUTIONS}),
        (POINT | {"refit": "none"}, {Stage.REEVALUATION, Stage.CONTRIBUTIONS, Stage.FINAL}),
    ],
)
def test_a_search_counts_only_the_stages_that_it_has(change, missing):
    stages = stages_of(loader.parse(TINY | change))
    assert stages == tuple(stage for stage in Stage if stage not in missing)


def test_a_stage_that_is_not_counted_has_the_number_of_the_one_before_it():
    stages = stages_of(loader.parse(TINY | {"finalists": 0}))
    numbers = {stage: stage_number(stage, stages) for stage in Stage}
    assert list(numbers.values()) == [1, 1, 2, 3, 4]


@pytest.mark.parametrize(
    ("labels", "new_splits", "title"),
    [
        (["none", "defaults", "1", "2"], True, "2 finalists and 2 baselines on new splits and seeds"),
        (["defaults", "3"], False, "1 finalist and 1 baseline with new seeds"),
        (["none", "defaults"], True, "2 baselines on new splits and seeds"),
        (["defaults", "ablation-defaults", "4"], True, "2 finalists and 1 baseline on new splits and seeds"),
    ],
)
def test_a_reevaluation_counts_finalists_and_baselines(labels, new_splits, title):
    found = step(labels, new_splits=new_splits)
    assert (found.stage, found.doing, found.done) == (
        Stage.REEVALUATION,
        f"re-evaluating {title}",
        f"re-evaluated {title}",
    )


def test_later_rounds_of_a_reevaluation_have_a_number():
    assert step(["1", "defaults"], draw=3).doing.endswith("on new splits and seeds (round 3)")
    assert step(["1", "defaults"], draw=3).done != step(["1", "defaults"], draw=2).done


@pytest.mark.parametrize(
    ("labels", "role", "variants"),
    [
        (["ablation-3"], "ablation", "trial 3 without regularization"),
        (["unadapted-defaults"], "finalist", "the usual defaults without adaptation"),
        (["ablation-12", "without-l1-12", "without-dropout-12"], "finalist", "3 variants of trial 12"),
    ],
)
def test_variants_belong_to_the_contributions(labels, role, variants):
    found = step(labels, role)
    assert found.stage == Stage.CONTRIBUTIONS
    assert found.doing == f"measuring what each regularizer contributes: {variants}"


def test_final_networks_and_ensembles_belong_to_one_stage():
    one, several, ensemble = step(["3"], "refit"), step(["3", "none"], "refit"), ensemble_step("network 2 of 9", {})
    assert {one.stage, several.stage, ensemble.stage} == {Stage.FINAL}
    assert [one.done, several.done] == ["trained the final networks", "trained the final networks of 2 configurations"]
    assert ensemble.doing == "training network 2 of 9"
    assert ensemble.done == ensemble_step("network 3 of 9", {}).done


def test_a_single_configuration_is_not_searched():
    assert search_step(loader.parse(TINY)).doing == "searching"
    assert search_step(loader.parse(TINY | POINT)).doing == "training the configuration"
