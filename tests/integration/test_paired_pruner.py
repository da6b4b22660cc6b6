"""The paired pruner: its test is the corrected t-test, its incumbent the best complete trial, and it repeats itself."""

import random

import numpy as np
import pytest
from optuna.study import StudyDirection
from optuna.trial import TrialState
from scipy import stats

from hpo.core.errors import InputError
from hpo.core.trial import Score
from hpo.space import loader
from hpo.study.paired_pruner import PairedPruner, worse
from tests.integration.test_resume import Stopped, Uneven, search, timeless
from tests.unit.study.test_history import history
from tests.unit.study.test_study import RANGE, space

FOLDS = 5
DATA = {"source": "sklearn:wine", "split": {"folds": FOLDS}}


class Folded(Uneven):
    """Every trial on five folds, of which some are harder for all."""

    def _score(self, trial, epoch):
        score = super()._score(trial, epoch)
        draw = np.random.default_rng([trial.seed, epoch, 1])
        hard = np.linspace(0, 2, FOLDS)
        values = {name: value + hard + 0.1 * draw.standard_normal(FOLDS) for name, value in score.values.items()}
        return Score(trial, epoch, values, score.metric, score.stop_reason)


def folded(**more):
    return space(data=DATA, train={"epochs": 12, "patience": 12}, **more)


@pytest.mark.parametrize("confidence", [0.6, 0.95])
def test_worse_is_the_corrected_paired_t_test(confidence):
    """Against scipy's own p-value, whose statistic is scaled to the corrected variance."""
    decided = []
    for seed in range(200):
        draw = np.random.default_rng(seed)
        own, other = draw.normal(0.2, 1, (7, FOLDS)), draw.normal(0, 1, (7, FOLDS))
        naive = stats.ttest_rel(own.min(0), other.min(0)).statistic
        statistic = naive * np.sqrt((1 / FOLDS) / (1 / FOLDS + 1 / (FOLDS - 1)))
        expected = statistic > 0 and stats.t.sf(statistic, FOLDS - 1) < 1 - confidence
        decided.append(worse(own, other, 1 / (FOLDS - 1), confidence))
        assert decided[-1] == expected
    assert 0 < sum(decided) < 200


def test_what_makes_a_fold_hard_is_not_noise():
    own = np.array([[1.0, 5.0, 9.0, 13.0, 17.0]])
    assert worse(own + 0.1 + 0.01 * np.arange(5), own, 0.25, 0.95)
    assert not worse(own, own, 0.25, 0.5)


@pytest.mark.parametrize("direction", [StudyDirection.MINIMIZE, StudyDirection.MAXIMIZE])
def test_the_incumbent_is_the_best_complete_trial_among_those_that_are_seen(direction):
    sign = 1 if direction == StudyDirection.MINIMIZE else -1
    made = history([], direction)
    assert made.incumbent(9, 1) is None
    best = []
    for number, value in enumerate([3.0, 1.0, 2.0, 0.5]):
        made.create_new_trial(0)
        made.show_folds(number, [] if number == 3 else [[sign * value, sign * value]])  # the last one was pruned
        made.set_trial_state_values(number, TrialState.COMPLETE, [sign * value])
        best.append(made.incumbent(9, 1)[0, 0])
    assert best == [3.0, 1.0, 1.0, 1.0]
    with made.before(1):
        assert made.incumbent(9, 1)[0, 0] == 3.0


def test_while_none_is_complete_the_incumbent_is_the_best_in_training_that_has_come_as_far():
    made = history([])
    for number, curve in enumerate([[5.0, 4.0], [3.0], [4.0, 4.5], [4.0, 1.0]]):
        made.create_new_trial(0)
        made.show_folds(number, [[value, value] for value in curve])
    assert made.incumbent(0, 1)[:, 0].tolist() == [3.0]
    assert made.incumbent(1, 1)[:, 0].tolist() == [4.0]
    assert made.incumbent(0, 2)[:, 0].tolist() == [4.0, 1.0]
    assert made.incumbent(3, 2)[:, 0].tolist() == [
        5.0,
        4.0,
    ]  # the best so far of two is equal, and the first of equals is taken
    assert made.incumbent(0, 3) is None
    made.set_trial_state_values(0, TrialState.COMPLETE, [4.0])
    assert made.incumbent(3, 2)[:, 0].tolist() == [5.0, 4.0]


def test_it_decides_from_its_first_epoch_on_and_by_the_incumbent_at_the_same_epoch():
    made = history([])
    made.create_new_trial(0)
    made.show_folds(0, [[9.0, 9.0], [8.0, 8.0], [1.0, 1.0]])
    made.set_trial_state_values(0, TrialState.COMPLETE, [1.0])
    number = made.create_new_trial(0)
    pruner = PairedPruner(made, overlap=1.0, n_warmup_steps=2)
    decided = []
    for epoch, value in enumerate([9.5, 8.5, 8.0], 1):
        made.show_epoch(number, [value, value])
        made.set_trial_intermediate_value(number, epoch, value)
        decided.append(pruner.prune(None, made.get_trial(number)))
    assert decided == [False, True, True]


def test_it_is_what_a_space_with_folds_has_and_what_one_without_cannot():
    assert folded().pruner.kind == "paired"
    assert folded(pruner="none").pruner.kind == "none"
    assert space().pruner.kind == "median"
    with pytest.raises(InputError, match="compares folds, and there are none; set"):
        space(pruner="paired")
    search = {"learning_rate": RANGE}
    made = {"study": "s", "data": DATA, "search": search, "pruner": {"kind": "paired", "confidence": 0.4}}
    with pytest.raises(InputError, match=r"must be from 0\.5 to 1, got 0\.4"):
        loader.parse(made)


def test_it_spends_less_than_the_median_and_keeps_whole_curves_of_all_folds(tmp_path):
    paired, _ = search(tmp_path / "p", folded(budget={"trials": 60}), population=Folded)
    median, _ = search(tmp_path / "m", folded(budget={"trials": 60}, pruner="median"), population=Folded)
    epochs = [sum(o.epochs for o in study.outcomes.values()) for study in (paired, median)]
    assert epochs[0] < 0.8 * epochs[1]
    for outcome in paired.outcomes.values():
        assert np.shape(outcome.fold_curves["valid_loss"]) == (outcome.epochs, FOLDS)
        assert np.mean(outcome.fold_curves["valid_loss"], axis=1) == pytest.approx(
            outcome.curves["valid_loss"], nan_ok=True
        )


@pytest.mark.parametrize("deterministic", [False, True])
@pytest.mark.parametrize("sampler", ["random", "gp"])
def test_it_repeats_itself_across_kills_and_rows(tmp_path, sampler, deterministic):
    made = folded(sampler=sampler, budget={"trials": 24})
    peace, _ = search(tmp_path / "peace", made, deterministic=deterministic, population=Folded)
    assert {o.state for o in peace.outcomes.values()} >= {"complete", "pruned"}
    draw, stops, but = random.Random(5), 0, ("rounds",) if deterministic else ()
    for rows in (6, 6, 6) if not deterministic else (6, 2, 11):
        try:
            search(tmp_path / "cut", made, draw.randint(20, 70), rows, deterministic, Folded)
        except Stopped:
            stops += 1
    assert stops >= 2
    again, _ = search(tmp_path / "cut", made, rows=6, deterministic=deterministic, population=Folded)
    assert timeless(again, *but) == timeless(peace, *but)
