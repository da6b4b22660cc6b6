"""The paired pruner: a corrected t-test against the best complete trial, with the same decisions after a resume."""

import random

import numpy as np
import pytest
from optuna.study import StudyDirection
from optuna.trial import TrialState
from scipy import stats

from hpo.core.errors import InputError
from hpo.space import loader
from hpo.study.pruners import PairedPruner, is_worse
from tests.helpers.searches import Killed
from tests.helpers.studies import DATA, FOLDS, RANGE, FoldedCurves, make_history, make_space, run_search, without_times


def folded(**more):
    return make_space(data=DATA, train={"epochs": 12, "patience": 12}, **more)


@pytest.mark.parametrize("confidence", [0.6, 0.95])
def test_is_worse_is_the_corrected_paired_t_test(confidence):
    """Compared with scipy's p-value of the statistic with the corrected variance."""
    decided = []
    for seed in range(200):
        draw = np.random.default_rng(seed)
        own, other = draw.normal(0.2, 1, (7, FOLDS)), draw.normal(0, 1, (7, FOLDS))
        naive = stats.ttest_rel(own.min(0), other.min(0)).statistic
        statistic = naive * np.sqrt((1 / FOLDS) / (1 / FOLDS + 1 / (FOLDS - 1)))
        expected = statistic > 0 and stats.t.sf(statistic, FOLDS - 1) < 1 - confidence
        decided.append(is_worse(own, other, 1 / (FOLDS - 1), confidence))
        assert decided[-1] == expected
    assert 0 < sum(decided) < 200


def test_differences_between_folds_do_not_matter():
    own = np.array([[1.0, 5.0, 9.0, 13.0, 17.0]])
    assert is_worse(own + 0.1 + 0.01 * np.arange(5), own, 0.25, 0.95)
    assert not is_worse(own, own, 0.25, 0.5)


@pytest.mark.parametrize("direction", [StudyDirection.MINIMIZE, StudyDirection.MAXIMIZE])
def test_the_incumbent_is_the_best_visible_complete_trial(direction):
    sign = 1 if direction == StudyDirection.MINIMIZE else -1
    made = make_history([], direction)
    assert made.incumbent(9, 1) is None
    best = []
    for number, value in enumerate([3.0, 1.0, 2.0, 0.5]):
        made.create_new_trial(0)
        made.set_folds(number, [] if number == 3 else [[sign * value, sign * value]])  # the last trial was pruned
        made.set_trial_state_values(number, TrialState.COMPLETE, [sign * value])
        best.append(made.incumbent(9, 1)[0, 0])
    assert best == [3.0, 1.0, 1.0, 1.0]
    with made.before(1):
        assert made.incumbent(9, 1)[0, 0] == 3.0


def test_without_complete_trials_the_incumbent_is_the_best_running_trial_at_the_same_epoch():
    made = make_history([])
    for number, curve in enumerate([[5.0, 4.0], [3.0], [4.0, 4.5], [4.0, 1.0]]):
        made.create_new_trial(0)
        made.set_folds(number, [[value, value] for value in curve])
    assert made.incumbent(0, 1)[:, 0].tolist() == [3.0]
    assert made.incumbent(1, 1)[:, 0].tolist() == [4.0]
    assert made.incumbent(0, 2)[:, 0].tolist() == [4.0, 1.0]
    assert made.incumbent(3, 2)[:, 0].tolist() == [
        5.0,
        4.0,
    ]  # two trials have the same best value, and the first of them counts
    assert made.incumbent(0, 3) is None
    made.set_trial_state_values(0, TrialState.COMPLETE, [4.0])
    assert made.incumbent(3, 2)[:, 0].tolist() == [5.0, 4.0]


def test_it_decides_after_the_warmup_and_by_the_incumbent_at_the_same_epoch():
    made = make_history([])
    made.create_new_trial(0)
    made.set_folds(0, [[9.0, 9.0], [8.0, 8.0], [1.0, 1.0]])
    made.set_trial_state_values(0, TrialState.COMPLETE, [1.0])
    number = made.create_new_trial(0)
    pruner = PairedPruner(made, test_train_ratio=1.0, n_warmup_steps=2)
    decided = []
    for epoch, value in enumerate([9.5, 8.5, 8.0], 1):
        made.add_epoch(number, [value, value])
        made.set_trial_intermediate_value(number, epoch, value)
        decided.append(pruner.prune(None, made.get_trial(number)))
    assert decided == [False, True, True]


def test_it_is_the_default_with_folds_and_refused_without_folds():
    assert folded().pruner.kind == "paired"
    assert folded(pruner="none").pruner.kind == "none"
    assert make_space().pruner.kind == "median"
    with pytest.raises(InputError, match=r"compares folds, so it needs data\.split\.folds; set"):
        make_space(pruner="paired")
    search = {"learning_rate": RANGE}
    made = {"study": "s", "data": DATA, "search": search, "pruner": {"kind": "paired", "confidence": 0.4}}
    with pytest.raises(InputError, match=r"must be from 0\.5 to 1, got 0\.4"):
        loader.parse(made)


def test_it_trains_fewer_epochs_than_the_median_pruner_and_keeps_the_curves_of_all_folds(tmp_path):
    paired, _ = run_search(tmp_path / "p", folded(budget={"trials": 60}), population=FoldedCurves)
    median, _ = run_search(tmp_path / "m", folded(budget={"trials": 60}, pruner="median"), population=FoldedCurves)
    epochs = [sum(o.epochs for o in study.outcomes.values()) for study in (paired, median)]
    assert epochs[0] < 0.8 * epochs[1]
    for outcome in paired.outcomes.values():
        assert np.shape(outcome.fold_curves["valid_loss"]) == (outcome.epochs, FOLDS)
        assert np.mean(outcome.fold_curves["valid_loss"], axis=1) == pytest.approx(
            outcome.curves["valid_loss"], nan_ok=True
        )


@pytest.mark.exhaustive
@pytest.mark.parametrize("deterministic", [False, True])
@pytest.mark.parametrize("sampler", ["random", "gp"])
def test_it_makes_the_same_decisions_after_kills_and_with_other_numbers_of_rows(tmp_path, sampler, deterministic):
    made = folded(sampler=sampler, budget={"trials": 24})
    peace, _ = run_search(tmp_path / "peace", made, deterministic=deterministic, population=FoldedCurves)
    assert {o.state for o in peace.outcomes.values()} >= {"complete", "pruned"}
    draw, stops, but = random.Random(5), 0, ("rounds",) if deterministic else ()
    for rows in (6, 6, 6) if not deterministic else (6, 2, 11):
        try:
            run_search(tmp_path / "cut", made, draw.randint(20, 70), rows, deterministic, FoldedCurves)
        except Killed:
            stops += 1
    assert stops >= 2
    again, _ = run_search(tmp_path / "cut", made, rows=6, deterministic=deterministic, population=FoldedCurves)
    assert without_times(again, *but) == without_times(peace, *but)
