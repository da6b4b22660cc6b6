"""The densities behind a proposal are those of Optuna's own TPE, and so is which trials they are made of."""

import math

import numpy as np
import optuna
import pytest
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.samplers import TPESampler
from optuna.samplers._tpe.parzen_estimator import _ParzenEstimator
from optuna.study import StudyDirection
from optuna.trial import TrialState
from scipy.stats import ks_2samp

from hpo import sampling
from hpo.history import History
from hpo.parzen import Parzen
from tests.test_study import space

SPACE = {
    "a": FloatDistribution(1e-4, 1e-1, log=True), "b": FloatDistribution(0.0, 0.9), "c": FloatDistribution(0, 1, step=0.25),
    "d": IntDistribution(1, 5), "e": IntDistribution(1, 300, log=True), "f": CategoricalDistribution((True, False)),
    "g": CategoricalDistribution((0.1, 0.2, 0.3)), "h": IntDistribution(0, 12, step=3),
}  # fmt: skip


def drawn(count, seed):
    """Points of the space, a tenth of them at its ends."""
    study = optuna.create_study()
    rows = []
    for number in range(count):
        study.sampler = optuna.samplers.RandomSampler(seed=1000 * seed + number)
        asked = study.ask(SPACE).params
        if number % 10 == 3:
            asked |= {"a": 1e-4, "b": 0.9, "d": 5, "e": 1}
        rows.append([one.to_internal_repr(asked[name]) for name, one in SPACE.items()])
    return np.array(rows, dtype=float).reshape(-1, len(SPACE))


@pytest.mark.parametrize("count", [1, 2, 3, 24, 25, 26, 120])
def test_a_density_is_optunas(count):
    rows, points = drawn(count, 1), drawn(60, 2)
    parameters = TPESampler(seed=0)._parzen_estimator_parameters
    theirs = _ParzenEstimator({name: rows[:, i] for i, name in enumerate(SPACE)}, SPACE, parameters)
    expected = theirs.log_pdf({name: points[:, i] for i, name in enumerate(SPACE)})
    assert Parzen(rows, list(SPACE.values())).log_density(points) == pytest.approx(expected, abs=1e-9)


def test_what_is_drawn_is_distributed_as_optunas_draws():
    rows = drawn(30, 3)
    parameters = TPESampler(seed=0)._parzen_estimator_parameters
    theirs = _ParzenEstimator({name: rows[:, i] for i, name in enumerate(SPACE)}, SPACE, parameters)
    expected = theirs.sample(np.random.RandomState(0), 4000)
    found = Parzen(rows, list(SPACE.values())).sample(np.random.default_rng(0), 4000)
    for i, (name, one) in enumerate(SPACE.items()):
        assert all(one._contains(value) for value in found[:, i])
        assert ks_2samp(found[:, i].round(6), np.asarray(expected[name], dtype=float).round(6)).pvalue > 1e-3


def test_the_same_trials_are_promising(monkeypatch):
    """Of every proposal, what Optuna's sampler would have made its two densities of."""
    made = space(pruner="none")
    past = sampling.history(made, StudyDirection.MINIMIZE)
    study = optuna.create_study(storage=past)
    ours, theirs = [], []
    monkeypatch.setattr("hpo.sampling.Parzen", lambda rows, of: ours.append(rows.tolist()) or Parzen(rows, of))

    class Observed(_ParzenEstimator):
        def __init__(self, observations, *more):
            theirs.append(np.array(list(observations.values())).T.tolist())
            super().__init__(observations, *more)

    plain = TPESampler(seed=0)
    plain._parzen_estimator_cls = Observed
    for number in range(80):
        study.sampler = sampling.sampler(made, number, past)
        asked = study.ask(sampling.distributions(made.search))
        if number > 20:
            plain.sample_relative(study, past.get_trial(number), dict(sorted(sampling.distributions(made.search).items())))
        else:
            ours.clear()
        if number >= 4:
            ended, value = number - 4, round(asked.params["dropout"], 1)
            for step in range(1, 2 + ended % 3):
                past.set_trial_intermediate_value(ended, step, value)
            pruned = ended % 3 == 1 or ended < 15
            study.tell(ended, None if pruned else value, state=TrialState.PRUNED if pruned else TrialState.COMPLETE)
    assert len(ours) == 2 * 59
    assert ours == theirs


def test_options_that_we_do_not_have_are_optunas():
    past = History(StudyDirection.MINIMIZE, math.inf)
    for option in ({"group": True}, {"multivariate": False}, {"constant_liar": False}):
        assert type(sampling.sampler(space(sampler={"kind": "tpe", **option}), 0, past)) is TPESampler
