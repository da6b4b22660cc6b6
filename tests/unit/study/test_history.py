"""What sampler and pruner look back on: bounded, the same after a resume, and Optuna's own while the study is short."""

import math
import random

import numpy as np
import optuna
import pytest
from optuna.distributions import FloatDistribution
from optuna.samplers import TPESampler
from optuna.storages import InMemoryStorage
from optuna.study import StudyDirection
from optuna.trial import TrialState, create_trial

from hpo.study import samplers
from hpo.study.history import BEST, History
from hpo.study.percentile_pruner import PercentilePruner
from tests.unit.study.test_study import Recorded, go, space

WAYS = [StudyDirection.MINIMIZE, StudyDirection.MAXIMIZE]


def ended(count, seed=0):
    """Trials that have ended somehow, with values of which many are equal."""
    found = []
    for number in range(count):
        draw = random.Random(1000 * seed + number)
        pruned = draw.random() < 0.4
        level = draw.random()
        steps = {
            step: draw.choice([level, 0.1, level + draw.random()])
            for step in range(1, draw.randint(2, 6) if pruned else 7)
        }
        state, value = (TrialState.PRUNED, steps[max(steps)]) if pruned else (TrialState.COMPLETE, min(steps.values()))
        params = {"x": draw.random()}
        distributions = {"x": FloatDistribution(0, 1)}
        found.append(
            create_trial(
                state=state, value=value, params=params, distributions=distributions, intermediate_values=steps
            )
        )
    return found


def history(trials, direction=StudyDirection.MINIMIZE, recent=50):
    made = History(direction, recent)
    optuna.create_study(storage=made, study_name="s", direction=direction)
    for trial in trials:
        made.create_new_trial(0, trial)
    return made


@pytest.mark.parametrize("direction", WAYS)
def test_the_past_is_the_best_and_the_most_recent_and_no_more(direction):
    trials = ended(400)
    seen = history(trials, direction).get_all_trials(0, deepcopy=False)
    assert len(seen) <= 50 + BEST
    assert [t.number for t in seen[-50:]] == list(range(350, 400))
    values = [sorted(t.value for t in of if t.state == TrialState.COMPLETE) for of in (trials, seen)]
    best = slice(None, BEST) if direction == StudyDirection.MINIMIZE else slice(-BEST, None)
    assert values[0][best] == values[1][best]


def test_a_short_past_is_seen_whole_and_so_is_everything_in_training():
    made = history(ended(50))
    assert [t.number for t in made.get_all_trials(0)] == list(range(50))
    for _ in range(3):
        made.create_new_trial(0)
    assert [t.number for t in made.get_all_trials(0, states=(TrialState.RUNNING,))] == [50, 51, 52]


def test_the_past_does_not_depend_on_the_order_in_which_trials_ended():
    trials = ended(300)
    opened_again = [t.number for t in history(trials).get_all_trials(0)]
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
    """What a sampler proposes for 60 trials, with four in training."""
    study = optuna.create_study(storage=storage)
    asked = []
    for number in range(60):
        study.sampler = sampler(number)
        asked.append(study.ask(samplers.distributions(space().search)).params)
        if number >= 4:
            study.tell(number - 4, asked[number - 4]["dropout"])
    return asked


def test_a_short_study_is_proposed_what_optunas_own_sampler_proposes():
    def plain(number):
        return TPESampler(seed=int(np.random.SeedSequence((0, number)).generate_state(1)[0]))

    past = samplers.history(space(), StudyDirection.MINIMIZE)
    found = proposals(lambda number: samplers.sampler(space(), number, past), past)
    assert found == proposals(plain, InMemoryStorage())


def test_rungs_are_those_of_the_whole_past():
    for pruner in ("hyperband", "successive_halving"):
        assert samplers.history(space(pruner=pruner), WAYS[0])._bound == float("inf")


def test_startup_trials_are_counted_in_a_past_that_can_hold_them():
    patient = space(sampler={"kind": "tpe", "n_startup_trials": 300})
    assert len(history(ended(400), recent=samplers.history(patient, WAYS[0])._bound).get_all_trials(0)) >= 300


@pytest.mark.parametrize("sampler", ["tpe", "random", "qmc", "cmaes"])
def test_a_study_past_the_bound_goes_on_as_if_it_had_not_been_interrupted(tmp_path, monkeypatch, sampler):
    monkeypatch.setattr("hpo.study.samplers.RECENT", 15)
    monkeypatch.setattr("hpo.study.history.BEST", 5)

    class Stops(Recorded):
        def admit(self, trial):
            if len(self.admitted) == 40:
                raise KeyboardInterrupt
            super().admit(trial)

    options = {"kind": "tpe", "n_startup_trials": 1} if sampler == "tpe" else sampler
    made = space(sampler=options, budget={"trials": 60})
    peace = go(tmp_path, made, Recorded(rows=1), "peace")
    with pytest.raises(KeyboardInterrupt):
        go(tmp_path, made, Stops(rows=1), "stopped")
    assert [o.trial for o in go(tmp_path, made, Recorded(rows=1), "stopped").outcomes.values()] == [
        o.trial for o in peace.outcomes.values()
    ]
    if sampler == "tpe":
        assert len(peace._in_memory.trials()) <= 15 + 5 + 1 < len(peace.outcomes)  # the last is told to nobody


@pytest.mark.parametrize("direction", WAYS)
@pytest.mark.parametrize(
    "options",
    [
        {"percentile": 50.0},
        {"percentile": 25.0, "n_warmup_steps": 2},
        {"percentile": 80.0, "n_startup_trials": 30, "n_warmup_steps": 1, "interval_steps": 3, "n_min_trials": 4},
    ],
)
def test_the_percentile_pruner_decides_as_optunas(direction, options):
    made = History(direction, math.inf)  # Optuna's sees all, ours always did
    study = optuna.create_study(storage=made, direction=direction)
    ours, theirs = PercentilePruner(made, **options), optuna.pruners.PercentilePruner(**options)
    decided = []
    for trial in ended(120, seed=1):
        trial_id = made.create_new_trial(study._study_id)
        running = optuna.trial.Trial(study, trial_id)
        for step, value in trial.intermediate_values.items():
            running.report(value, step)
            frozen = made.get_trial(trial_id)
            decided.append(ours.prune(study, frozen))
            assert decided[-1] == theirs.prune(study, frozen)
        study.tell(running, state=trial.state, values=None if trial.state == TrialState.PRUNED else trial.value)
    assert 0 < sum(decided) < len(decided) / 2
