"""Several objectives: the Pareto front, the values for the sampler, and invalid combinations."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from hpo.core.errors import InputError
from hpo.core.objectives import OBJECTIVES, compute_objectives, lower_is_better, minimized, pareto_front
from hpo.core.trial import TrainedTrial
from hpo.space import loader
from hpo.workflows import requirements
from tests.helpers.studies import (
    DATA,
    GOALS,
    RANGE,
    FoldedCurves,
    Weighed,
    check_front,
    dominates,
    make_space,
    run_search,
    without_times,
)

SIGNS = st.lists(st.sampled_from([1, -1]), min_size=1, max_size=4)


@st.composite
def points(draw):
    signs = draw(SIGNS)
    number = st.one_of(st.integers(-3, 3).map(float), st.floats(-1e6, 1e6))
    return draw(st.lists(st.tuples(*[number] * len(signs)), max_size=25)), signs


@given(points())
def test_points_on_the_front_are_not_dominated_and_all_others_are(made):
    values, signs = made
    on = pareto_front([[sign * value for sign, value in zip(signs, point, strict=True)] for point in values])
    assert on == sorted(set(on))
    assert bool(on) == bool(values)
    assert not any(dominates(other, values[index], signs) for index in on for other in values)
    off = set(range(len(values))) - set(on)
    assert all(any(dominates(values[index], values[other], signs) for index in on) for other in off)


def test_every_objective_has_a_direction_and_a_value():
    weights = {"a": torch.zeros(2, 3, 4), "b": torch.zeros(2, 4)}
    released = TrainedTrial(5, {"loss": 1.0}, {"loss": 1.5, "accuracy": 0.5}, 0.25, 10, weights)
    found = compute_objectives(
        [*OBJECTIVES[:2], "train_loss", "gap", "nonzero_share", "parameters", "seconds", "epochs"], released, 7, 2.5
    )
    assert found == {
        "valid_loss": 1.5,
        "valid_accuracy": 0.5,
        "train_loss": 1.0,
        "gap": 0.5,
        "nonzero_share": 0.25,
        "parameters": 16.0,
        "seconds": 2.5,
        "epochs": 7.0,
    }
    names = ("valid_loss", "valid_accuracy", "gap", "nonzero_share")
    assert [lower_is_better(name) for name in names] == [True, False, True, True]
    assert [minimized(name, 2.0) for name in names] == [2.0, -2.0, 2.0, 2.0]


@pytest.mark.parametrize("sampler", ["tpe", "random", "qmc"])  # gp takes half a minute: see tests/slow
def test_every_sampler_for_several_objectives_finds_a_front_and_repeats_itself(tmp_path, sampler):
    check_front(tmp_path, sampler)


def test_the_sampler_gets_every_objective_in_its_direction(tmp_path):
    made = make_space(objectives=["valid_loss", "valid_accuracy"], budget={"trials": 12})
    study, _ = run_search(tmp_path / "s", made, population=Weighed)
    assert [d.name for d in study.in_memory.directions] == ["MINIMIZE", "MAXIMIZE"]
    told = [t for t in study.in_memory.trials() if t.state.name == "COMPLETE" and "diverged" not in t.user_attrs]
    assert told
    assert all(t.values == list(study.outcomes[str(t.number)].values.values()) for t in told)


def test_a_single_objective_is_the_default_search(tmp_path):
    named, _ = run_search(tmp_path / "named", make_space(objectives=["valid_loss"]))
    plain, _ = run_search(tmp_path / "plain", make_space())
    assert without_times(named) == without_times(plain)
    assert named.front()[0].value == named.best().value


def test_folds_can_be_combined_with_objectives(tmp_path):
    study, _ = run_search(
        tmp_path / "s", make_space(data=DATA, objectives=GOALS, train={"epochs": 12}), population=FoldedCurves
    )
    assert any(o.reason.startswith("paired pruner") for o in study.outcomes.values())
    assert study.front()


@pytest.mark.parametrize(
    ("more", "sentence"),
    [
        ({"objectives": ["gap", "valid_loss"]}, "must begin with valid_loss, the followed metric"),
        ({"objectives": ["valid_loss", "gap", "gap"]}, "must all be different"),
        ({"objectives": GOALS, "sampler": "cmaes"}, "cmaes supports a single objective; choose tpe"),
        ({"objectives": GOALS, "pruner": "hyperband"}, "hyperband supports a single objective; choose median"),
        ({"objectives": ["valid_loss", "sped"]}, "sped"),
    ],
)
def test_invalid_combinations_are_refused(more, sentence):
    made = {"study": "s", "data": {"source": "sklearn:wine"}, "search": {"learning_rate": RANGE}, **more}
    with pytest.raises(InputError, match=sentence):
        loader.parse(made)


def test_a_metric_that_is_not_measured_is_refused_with_the_known_ones():
    made = make_space(objectives=["valid_loss", "valid_r2"])
    with pytest.raises(
        InputError, match=r"valid_r2 is not measured in this search\. Known: valid_loss, valid_accuracy"
    ):
        requirements.check_task(made, "classification")


def test_seconds_are_refused_as_objective_of_a_deterministic_search(tmp_path):
    with pytest.raises(InputError, match="must not depend on speed; remove seconds"):
        run_search(tmp_path / "s", make_space(objectives=["valid_loss", "seconds"]), deterministic=True)
