"""Several objectives: the front, what is told to the sampler, and what cannot be combined."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from hpo.core.errors import InputError
from hpo.core.objectives import OBJECTIVES, compute_objectives, pareto_front, sign
from hpo.core.trial import TrainedTrial
from hpo.space import loader
from hpo.space.space import task_mistake
from tests.integration.test_paired_pruner import DATA, Folded
from tests.integration.test_resume import Stopped, Uneven, search, timeless
from tests.unit.study.test_study import RANGE, space

SIGNS = st.lists(st.sampled_from([1, -1]), min_size=1, max_size=4)


@st.composite
def points(draw):
    signs = draw(SIGNS)
    number = st.one_of(st.integers(-3, 3).map(float), st.floats(-1e6, 1e6))
    return draw(st.lists(st.tuples(*[number] * len(signs)), max_size=25)), signs


def dominates(one, other, signs):
    pairs = [(s * a, s * b) for s, a, b in zip(signs, one, other, strict=True)]
    return all(a <= b for a, b in pairs) and any(a < b for a, b in pairs)


@given(points())
def test_nothing_on_the_front_is_dominated_and_all_else_is_by_something_on_it(made):
    values, signs = made
    on = pareto_front(values, signs)
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
    assert [sign(name) for name in ("valid_loss", "valid_accuracy", "gap", "nonzero_share")] == [1, -1, 1, 1]


GOALS = ["valid_loss", "nonzero_share", "epochs"]


class Weighed(Uneven):
    """The more weight decay, the fewer weights are left."""

    def release(self, trial):
        released = super().release(trial)
        return TrainedTrial(**{**vars(released), "nonzero_share": 1 - min(1.0, 10 * trial.params["weight_decay"])})


@pytest.mark.parametrize("sampler", ["tpe", "gp", "random", "qmc"])
def test_every_sampler_that_can_finds_a_front_and_repeats_itself(tmp_path, sampler):
    options = {"kind": sampler, "n_startup_trials": 5} if sampler in ("tpe", "gp") else sampler
    made = space(objectives=GOALS, sampler=options, train={"epochs": 12, "patience": 12}, budget={"trials": 30})
    peace, _ = search(tmp_path / "peace", made, population=Weighed)
    states = [o.state for o in peace.outcomes.values()]
    assert {"complete", "pruned"} <= set(states)
    whole = [o for o in peace.outcomes.values() if o.state == "complete"]
    on = peace.front()
    assert peace.best() in on
    assert 1 < len(on) <= len(whole)
    better = [o for o in whole for p in on if dominates(list(o.values.values()), list(p.values.values()), [1, 1, 1])]
    assert better == []
    with pytest.raises(Stopped):
        search(tmp_path / "cut", made, 90, population=Weighed)
    again, _ = search(tmp_path / "cut", made, population=Weighed)
    assert timeless(again) == timeless(peace)


def test_the_sampler_is_told_every_objective_in_its_direction(tmp_path):
    made = space(objectives=["valid_loss", "valid_accuracy"], budget={"trials": 12})
    study, _ = search(tmp_path / "s", made, population=Weighed)
    assert [d.name for d in study._in_memory._study.directions] == ["MINIMIZE", "MAXIMIZE"]
    told = [t for t in study._in_memory.trials() if t.state.name == "COMPLETE" and "diverged" not in t.user_attrs]
    assert told
    assert all(t.values == list(study.outcomes[str(t.number)].values.values()) for t in told)


def test_one_objective_is_the_search_that_it_always_was(tmp_path):
    named, _ = search(tmp_path / "named", space(objectives=["valid_loss"]))
    plain, _ = search(tmp_path / "plain", space())
    assert timeless(named) == timeless(plain)
    assert named.front()[0].value == named.best().value


def test_folds_and_objectives_go_together(tmp_path):
    study, _ = search(tmp_path / "s", space(data=DATA, objectives=GOALS, train={"epochs": 12}), population=Folded)
    assert any(o.reason.startswith("paired pruner") for o in study.outcomes.values())
    assert study.front()


@pytest.mark.parametrize(
    ("more", "sentence"),
    [
        ({"objectives": ["gap", "valid_loss"]}, "must begin with valid_loss, the metric that is followed"),
        ({"objectives": ["valid_loss", "gap", "gap"]}, "must differ from each other"),
        ({"objectives": GOALS, "sampler": "cmaes"}, "cmaes knows one objective only; take tpe"),
        ({"objectives": GOALS, "pruner": "hyperband"}, "hyperband knows one objective only; take median"),
        ({"objectives": ["valid_loss", "sped"]}, "sped"),
    ],
)
def test_what_does_not_go_together_is_said(more, sentence):
    made = {"study": "s", "data": {"source": "sklearn:wine"}, "search": {"learning_rate": RANGE}, **more}
    with pytest.raises(InputError, match=sentence):
        loader.parse(made)


def test_a_metric_that_is_not_measured_is_refused_with_those_that_are():
    made = space(objectives=["valid_loss", "valid_r2"])
    sentence = str(task_mistake(made, "classification"))
    assert "valid_r2 is not measured in this search. Known: valid_loss, valid_accuracy" in sentence


def test_seconds_are_no_objective_of_a_deterministic_search(tmp_path):
    with pytest.raises(InputError, match="must not depend on speed; leave seconds out"):
        search(tmp_path / "s", space(objectives=["valid_loss", "seconds"]), deterministic=True)
