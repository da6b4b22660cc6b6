"""Priors: the first proposals are the point of all best values and points around it, with every sampler and after a
resume."""

import math

import numpy as np
import pytest

from hpo.space import priors
from hpo.space.hyperparameter import Hyperparameter, Prior
from hpo.space.optuna_options import SAMPLERS
from tests.helpers.searches import Killed
from tests.helpers.studies import RANGE, make_space, run_search, run_study, without_times

BEST = {
    "learning_rate": {**RANGE, "prior": {"best": 2e-3, "confidence": "low"}},
    "dropout": {"choices": [0.0, 0.3, 0.6], "prior": {"best": 0.3}},
    "weight_decay": {**RANGE, "optional": True, "prior": {"best": 1e-2, "confidence": "high"}},
}
KINDS = [kind for kind in SAMPLERS if kind != "grid"]


def proposed(study):
    """The parameters of the searched trials, by number."""
    return [study.outcomes[str(n)].trial.params for n in range(len(study.search_outcomes()))]


@pytest.mark.parametrize("sampler", KINDS)
def test_the_first_proposal_is_the_point_of_all_best_values(tmp_path, sampler):
    first, *rest = proposed(run_study(tmp_path, make_space(search=BEST, sampler=sampler, budget={"trials": 14})))
    assert first == {"learning_rate": 2e-3, "depth": 2, "weight_decay": 1e-2, "dropout": 0.3}
    near = [p["weight_decay"] for p in rest[:8] if p["weight_decay"]]
    assert len(near) >= 6
    assert max(abs(math.log10(value) + 2) for value in near) < 3 * 3 * 0.07  # three spreads of three decades


@pytest.mark.parametrize("sampler", KINDS)
def test_keys_without_a_prior_are_proposed_by_the_sampler(tmp_path, sampler):
    plain = {"learning_rate": RANGE, "dropout": {"low": 0.0, "high": 0.9}, "weight_decay": RANGE}
    expecting = {**plain, "dropout": {**plain["dropout"], "prior": {"best": 0.1}}}
    one, other = (
        proposed(run_study(tmp_path, make_space(search=search, sampler=sampler, budget={"trials": 7}), name=name))
        for search, name in ((plain, "plain"), (expecting, "expecting"))
    )
    assert other[0]["dropout"] == 0.1
    assert other[0]["dropout"] != one[0]["dropout"]
    assert len({p["learning_rate"] for p in other}) == len(other)


def test_the_sampler_gives_no_warning_about_fixed_parameters(tmp_path, caplog):
    half = {
        "learning_rate": {**RANGE, "prior": {"best": 2e-3}},
        "dropout": {"low": 0.0, "high": 0.9},
        "weight_decay": RANGE,
    }
    run_study(tmp_path, make_space(search=half, sampler="qmc", budget={"trials": 7}))
    assert not caplog.messages


@pytest.mark.parametrize("dies", [5, 60])
@pytest.mark.parametrize("sampler", ["tpe", "cmaes", "qmc"])
def test_an_interrupted_search_resumes_with_the_same_proposals(tmp_path, sampler, dies):
    made = make_space(search=BEST, sampler=sampler, budget={"trials": 24})
    peace, _ = run_search(tmp_path / "peace", made)
    with pytest.raises(Killed):
        run_search(tmp_path / "cut", made, dies=dies)
    again, _ = run_search(tmp_path / "cut", made)
    assert without_times(again) == without_times(peace)


def test_a_longer_budget_changes_no_proposal(tmp_path):
    short, long = (
        proposed(run_study(tmp_path, make_space(search=BEST, budget={"trials": n}), name=str(n))) for n in (8, 16)
    )
    assert long[: len(short)] == short


def drawn(domain, numbers=range(1, 3), seeds=400):
    return [priors.prior_point({"x": domain}, seed, number) for seed in range(seeds) for number in numbers]


def test_the_spread_falls_with_confidence_on_the_scale_of_the_key():
    for confidence, spread in (("low", 0.3), ("medium", 0.15), ("high", 0.07)):
        domain = Hyperparameter(low=1e-4, high=1.0, log=True, prior=Prior(1e-2, confidence))
        places = [domain.to_unit(found["x"]) for found in drawn(domain)]
        assert np.mean(places) == pytest.approx(0.5, abs=0.03)
        middle = np.quantile(places, [0.25, 0.75])
        assert middle[1] - middle[0] == pytest.approx(2 * 0.6745 * spread, rel=0.1)


def test_the_number_of_trials_by_confidence():
    for confidence, trials in (("low", 3), ("medium", 5), ("high", 9)):
        domain = Hyperparameter(low=0.0, high=1.0, prior=Prior(0.5, confidence))
        assert [bool(priors.prior_point({"x": domain}, 0, number)) for number in range(12)] == [
            n < trials for n in range(12)
        ]
    assert priors.prior_point({"x": Hyperparameter(low=0.0, high=1.0)}, 0, 0) == {}


def test_choices_and_off_keep_the_expected_value_with_the_probability_of_the_confidence():
    named = [found["x"] for found in drawn(Hyperparameter(choices=("a", "b", "c"), prior=Prior("b", "medium")))]
    assert named.count("b") / len(named) == pytest.approx(0.7 + 0.3 / 3, abs=0.04)
    off = [
        found["x_enabled"]
        for found in drawn(Hyperparameter(low=0.1, high=1.0, optional=True, prior=Prior("off", "high")))
    ]
    assert off.count(False) / len(off) == pytest.approx(0.9, abs=0.03)
    assert priors.prior_point({"x": Hyperparameter(low=0.1, high=1.0, optional=True, prior=Prior("off"))}, 0, 0) == {
        "x_enabled": False
    }


def test_off_may_be_a_value_of_a_factory_argument():
    network = {
        "kind": "module",
        "factory": "a:b",
        "search": {"act": {"choices": ["on", "off"], "prior": {"best": "off"}}},
    }
    assert priors.prior_point(make_space(network=network).hyperparameters, 0, 0) == {"act": "off"}


def test_expected_values_are_values_of_the_key():
    stepped = Hyperparameter(low=0.1, high=0.9, step=0.2, prior=Prior(0.5, "low"))
    assert all(stepped.contains(found["x"]) for found in drawn(stepped))
    whole = Hyperparameter(low=1, high=9, integer=True, prior=Prior(9, "low"))
    assert {type(found["x"]) for found in drawn(whole)} == {int}
    assert max(found["x"] for found in drawn(whole)) == 9
