"""The share that is done, the time left and the speed of a step."""

import numpy as np
import pytest

from hpo.cli import pace
from hpo.cli.pace import Pace, SearchPace
from hpo.core.trial import Score, Trial
from hpo.core.trial_config import Config
from hpo.core.trial_key import TrialKey
from hpo.space import loader
from tests.helpers.searches import TINY


@pytest.fixture
def clock(monkeypatch):
    """A clock that a test sets: a list whose last element is the time in seconds."""
    times = [100.0]
    monkeypatch.setattr(pace.time, "monotonic", lambda: times[-1])
    return times


def score(label, epoch, fits=1, stop_reason="", loss=1.0):
    trial = Trial(TrialKey.parse(label), "finalist", Config({}, {}), 0)
    return Score(trial, epoch, {"valid_loss": np.array([loss] * fits)}, "valid_loss", stop_reason, fits)


class StudyOf:
    """The part of a study that a pace reads."""

    def __init__(self, complete=0, pruned=0):
        self.counts = {"complete": complete, "pruned": pruned, "failed": 0}
        self.outcomes, self.seconds, self.reserved = {}, 0.0, 0.0

    def elapsed(self):
        return self.seconds

    def reserve(self):
        return self.reserved


def test_the_share_is_that_of_epochs():
    steps = Pace({"1": 10, "2": 30})
    assert (steps.share(), steps.seconds_left(), steps.networks) == (0.0, None, 0)
    steps.add(score("1", 1, fits=4))
    steps.add(score("2", 1, fits=3))
    assert steps.share() == pytest.approx(2 / 40)
    assert steps.networks == 7


def test_early_stopping_shortens_what_is_left_and_the_share_never_decreases():
    steps, shares = Pace({"1": 100, "2": 100}), []
    for epoch in range(1, 21):
        steps.add(score("1", epoch, stop_reason="no progress" if epoch == 20 else ""))
        steps.add(score("2", epoch))
        shares.append(steps.share())
    # Trial 1 trained 20 of 100 epochs, so trial 2 is expected to train (1 + 0.2) / 2 of its 100.
    assert shares[-1] == pytest.approx(40 / 80)
    assert shares == sorted(shares)
    for epoch in range(21, 101):
        steps.add(score("2", epoch, stop_reason="trained all epochs" if epoch == 100 else ""))
        shares.append(steps.share())
        assert shares[-1] < 1 or epoch == 100
    assert shares == sorted(shares)
    assert (shares[-1], steps.is_complete, steps.networks) == (1.0, True, 0)


def test_a_long_trial_after_a_short_one_does_not_decrease_the_share():
    steps = Pace({"1": 100, "2": 100, "3": 100})
    steps.add(score("1", 1, stop_reason="no progress"))
    steps.add(score("2", 99))
    before = steps.share()
    steps.add(score("2", 100, stop_reason="trained all epochs"))  # trial 3 is now expected to train more epochs
    assert steps.share() == before
    steps.add(score("3", 100, stop_reason="trained all epochs"))
    assert before < steps.share() == 1.0


def test_a_diverged_trial_has_ended():
    steps = Pace({"1": 10})
    trial = score("1", 2).trial
    steps.add(Score(trial, 2, {"valid_loss": np.array([np.nan])}, "valid_loss", "", 1))
    assert (steps.share(), steps.is_complete) == (1.0, True)


def test_the_time_left_continues_the_pace_so_far(clock):
    steps = Pace({"1": 10})
    clock.append(103.0)
    for epoch in range(1, 4):
        steps.add(score("1", epoch, fits=8))
    assert steps.seconds_left() == pytest.approx(7.0)
    assert steps.speed == pytest.approx(8.0)  # 24 epochs of single networks in 3 seconds


def test_a_pruned_trial_leaves_the_networks_in_training():
    study = StudyOf()
    steps = SearchPace(loader.parse(TINY), study)
    steps.add(score("3", 1, fits=5))
    assert steps.networks == 5
    study.outcomes["3"] = object()
    steps.add(score("3", 2, fits=5))
    assert (steps.networks, steps.fit_epochs) == (0, 10)


def test_a_search_is_measured_by_its_trials(clock):
    study = StudyOf(complete=1)
    steps = SearchPace(loader.parse(TINY), study)  # 6 trials of 4 epochs, one of which an earlier session trained
    assert steps.seconds_left() is None
    study.counts["pruned"] += 2
    steps.add(score("5", 2))
    clock.append(110.0)
    assert steps.share() == pytest.approx((3 + 2 / 4) / 6)
    assert steps.seconds_left() == pytest.approx(10 / 2.5 * (5 - 2.5))


def test_a_time_budget_limits_the_search(clock):
    study = StudyOf()
    steps = SearchPace(loader.parse(TINY | {"budget": {"seconds": 60}}), study)
    clock.append(115.0)
    study.seconds = 15.0
    assert (steps.n_trials, steps.share(), steps.seconds_left()) == (None, 0.25, 45.0)
    study.reserved = 30.0  # for what follows the search
    assert (steps.share(), steps.seconds_left()) == (0.5, 15.0)
    study.reserved = 60.0
    assert (steps.share(), steps.seconds_left()) == (1.0, 0.0)


def test_a_grid_ends_with_its_last_point():
    search = {"learning_rate": 0.01, "dropout": {"choices": [0.0, 0.1, 0.2]}}
    grid = loader.parse(TINY | {"search": search, "sampler": "grid", "budget": {"trials": 100}})
    assert SearchPace(grid, StudyOf()).n_trials == 5  # three points and two baselines
