"""The past that sampler and pruner see: bounded, the same after a resume, and all trials while the study is short."""

import math
import random

import numpy as np
import optuna
import pytest
from optuna.samplers import TPESampler
from optuna.storages import InMemoryStorage
from optuna.study import StudyDirection
from optuna.trial import TrialState

from hpo.study import samplers
from hpo.study.history import BEST, History
from hpo.study.pruners import PercentilePruner
from tests.helpers.studies import RecordedCurves, ended_trials, make_history, make_space, run_study

WAYS = [StudyDirection.MINIMIZE, StudyDirection.MAXIMIZE]


@pytest.mark.parametrize("direction", WAYS)
def test_only_the_best_and_the_most_recent_trials_are_visible(direction):
    trials = ended_trials(400)
    seen = make_history(trials, direction).get_all_trials(0, deepcopy=False)
    assert len(seen) <= 50 + BEST
    assert [t.number for t in seen[-50:]] == list(range(350, 400))
    values = [sorted(t.value for t in of if t.state == TrialState.COMPLETE) for of in (trials, seen)]
    best = slice(None, BEST) if direction == StudyDirection.MINIMIZE else slice(-BEST, None)
    assert values[0][best] == values[1][best]


def test_all_trials_of_a_short_study_and_all_running_trials_are_visible():
    made = make_history(ended_trials(50))
    assert [t.number for t in made.get_all_trials(0)] == list(range(50))
    for _ in range(3):
        made.create_new_trial(0)
    assert [t.number for t in made.get_all_trials(0, states=(TrialState.RUNNING,))] == [50, 51, 52]


def test_visible_trials_do_not_depend_on_the_order_in_which_trials_ended():
    trials = ended_trials(300)
    opened_again = [t.number for t in make_history(trials).get_all_trials(0)]
    made = History(StudyDirection.MINIMIZE, 50)
    optuna.create_study(storage=made, study_name="s")
    for _ in trials:
        made.create_new_trial(0)
    for number in random.Random(0).sample(range(300), 300):
        for step, value in trials[number].intermediate_values.items():
            made.set_trial_intermediate_value(number, step, value)
        made.set_trial_state_values(number, trials[number].state, [trials[number].value])
    assert [t.number for t in made.get_all_trials(0)] == opened_again


def proposals(sampler, storage):
    """The proposals of a sampler for 60 trials, with four in training."""
    study = optuna.create_study(storage=storage)
    asked = []
    for number in range(60):
        study.sampler = sampler(number)
        asked.append(study.ask(samplers.distributions(make_space().search)).params)
        if number >= 4:
            study.tell(number - 4, asked[number - 4]["dropout"])
    return asked


def test_in_a_short_study_the_proposals_equal_those_over_optunas_own_storage():
    def plain(number):
        return TPESampler(seed=int(np.random.SeedSequence((0, number)).generate_state(1)[0]))

    past = samplers.history(make_space(), StudyDirection.MINIMIZE)
    found = proposals(lambda number: samplers.sampler(make_space(), number), past)
    assert found == proposals(plain, InMemoryStorage())


def test_hyperband_and_successive_halving_see_all_trials():
    for pruner in ("hyperband", "successive_halving"):
        assert samplers.history(make_space(pruner=pruner), WAYS[0]).max_recent == float("inf")


def test_the_visible_past_is_longer_than_the_startup_phase():
    patient = make_space(sampler={"kind": "tpe", "n_startup_trials": 300})
    assert (
        len(make_history(ended_trials(400), recent=samplers.history(patient, WAYS[0]).max_recent).get_all_trials(0))
        >= 300
    )


@pytest.mark.parametrize("sampler", ["tpe", "random", "qmc", "cmaes"])
def test_a_study_longer_than_the_visible_past_resumes_with_the_same_trials(tmp_path, monkeypatch, sampler):
    monkeypatch.setattr("hpo.study.samplers.RECENT", 15)
    monkeypatch.setattr("hpo.study.history.BEST", 5)

    class Stops(RecordedCurves):
        def admit(self, trial):
            if len(self.admitted) == 40:
                raise KeyboardInterrupt
            super().admit(trial)

    options = {"kind": "tpe", "n_startup_trials": 1} if sampler == "tpe" else sampler
    made = make_space(sampler=options, budget={"trials": 60})
    peace = run_study(tmp_path, made, RecordedCurves(rows=1), "peace")
    with pytest.raises(KeyboardInterrupt):
        run_study(tmp_path, made, Stops(rows=1), "stopped")
    assert [o.trial for o in run_study(tmp_path, made, RecordedCurves(rows=1), "stopped").outcomes.values()] == [
        o.trial for o in peace.outcomes.values()
    ]
    if sampler == "tpe":
        assert (
            len(peace.in_memory.trials()) <= 15 + 5 + 1 < len(peace.outcomes)
        )  # the last outcome is not reported to the sampler


@pytest.mark.parametrize("direction", WAYS)
@pytest.mark.parametrize(
    "options",
    [
        {"percentile": 50.0},
        {"percentile": 25.0, "n_warmup_steps": 2},
        {"percentile": 80.0, "n_startup_trials": 30, "n_warmup_steps": 1, "interval_steps": 3, "n_min_trials": 4},
    ],
)
def test_the_percentile_pruner_makes_the_decisions_of_optunas(direction, options):
    made = History(direction, math.inf)  # Optuna's pruner sees all trials
    study = optuna.create_study(storage=made, direction=direction)
    ours, theirs = PercentilePruner(made, **options), optuna.pruners.PercentilePruner(**options)
    decided = []
    for trial in ended_trials(120, seed=1):
        trial_id = made.create_new_trial(made.get_study_id_from_name(study.study_name))
        running = optuna.trial.Trial(study, trial_id)
        for step, value in trial.intermediate_values.items():
            running.report(value, step)
            frozen = made.get_trial(trial_id)
            decided.append(ours.prune(study, frozen))
            assert decided[-1] == theirs.prune(study, frozen)
        study.tell(running, state=trial.state, values=None if trial.state == TrialState.PRUNED else trial.value)
    assert 0 < sum(decided) < len(decided) / 2
