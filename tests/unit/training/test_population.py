"""The population: rooms and rows, and rows that do not feel each other."""

import pickle
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from hpo.core.errors import SearchFailedError
from hpo.data.config import DataConfig
from hpo.data.dataset import prepare
from hpo.space.loader import parse
from hpo.space.settings import TrainConfig
from hpo.testing import run, same
from hpo.training.capacity import row_budget
from hpo.workflows.prepare import prepare as prepare_experiment
from tests.helpers.training import EVERYTHING, busy, dataset, limit_memory, population, trained, trial


def few_batches(data):
    """The same validation rows, and three batches of training rows, the last of them smaller."""
    (fold,) = data.folds
    return replace(data, folds=(replace(fold, train=fold.train[:150]),))


@pytest.mark.exhaustive
@pytest.mark.parametrize(
    ("kind", "source", "width"),
    [
        ("resnet", "digits", 16),
        ("resnet", "digits", 33),
        ("cnn", "digits", 6),
        ("mixed", "wine", 10),
    ],
)
def test_float32_rows_of_any_module_are_bit_equal_at_any_number_of_rows(kind, source, width):
    data = few_batches(prepare(DataConfig(source=f"sklearn:{source}"), Path()))
    train = TrainConfig(epochs=1, batch_size=64, patience=1)
    trials = [trial(str(i), **EVERYTHING) for i in range(17)]
    together = {n: trained(data, trials[:n], train, 1, kind=kind, width=width) for n in (2, 3, 17)}
    for i, rows in ((0, 2), (1, 2), (2, 3), (1, 17), (16, 17)):
        alone = trained(data, [trials[i]], train, 1, kind=kind, width=width)[str(i)]
        assert same(alone, together[rows][str(i)])


@pytest.mark.parametrize("batch_norm", [False, True])
@pytest.mark.parametrize(
    ("source", "width"), [("digits", 16), ("digits", 64), ("wine", 7), ("iris", 33), ("diabetes", 50)]
)
def test_float32_rows_are_bit_equal_at_any_number_of_rows(source, width, batch_norm):
    """So that the score of an exported configuration, trained alone, is the score of the search."""
    data = prepare(DataConfig(source=f"sklearn:{source}"), Path())
    train = TrainConfig(epochs=2, batch_size=64, patience=2)
    trials = [trial(str(i), depth=1 + i % 3, **EVERYTHING) for i in range(17)]
    together = {n: trained(data, trials[:n], train, 2, width=width, batch_norm=batch_norm) for n in (2, 3, 17)}
    for i, rows in ((0, 2), (1, 2), (2, 3), (1, 17), (15, 17), (16, 17)):
        alone = trained(data, [trials[i]], train, 2, width=width, batch_norm=batch_norm)[str(i)]
        assert same(alone, together[rows][str(i)])


def test_a_fit_depends_on_its_seed_and_not_on_its_label():
    a, b, c = (trained(dataset(), [trial(label, seed)])[label] for label, seed in (("3", 7), ("12", 7), ("3", 8)))
    assert same(a, b)
    assert not same(a, c)


@pytest.mark.parametrize(("trials", "rows"), [(3, 1), (9, 3), (48, 16), (100, 16), (200, 25), (1000, 32), (None, 16)])
def test_rows_are_a_third_of_small_budgets_and_an_eighth_of_large_ones(trials, rows):
    assert row_budget(trials, 1000) == rows


@pytest.mark.parametrize(("trials", "rows"), [(3, 1), (64, 21), (100, 24), (200, 25), (1000, 32), (None, 24)])
def test_two_workers_have_twelve_rows_each_but_together_no_more_than_a_third(trials, rows):
    assert row_budget(trials, 1000, workers=2) == rows


@pytest.mark.parametrize(("parameters", "rows"), [(40_000, 16), (150_000, 13), (10_000_000, 8)])
def test_large_networks_have_fewer_rows(parameters, rows):
    assert row_budget(100, parameters) == rows


def test_copies_that_regularizers_keep_take_memory_too():
    assert row_budget(100, 1_000_000, memory=32e6 * 8, weight_copies=4) == 2
    search = {"l1": {"low": 0, "high": 1}, "ema": 0.9, "swa": 0.5}
    assert (
        prepare_experiment(
            parse({"study": "s", "data": {"source": "sklearn:iris"}, "search": search}), Path()
        ).weight_copies
        == 2
    )


@pytest.mark.parametrize(("free", "rows"), [(1e12, 16), (32e6 * 8, 4), (1e3, 1)])
def test_rows_take_no_more_than_half_of_the_memory(free, rows):
    assert row_budget(100, 1_000_000 if free < 1e9 else 1000, memory=free) == rows


@pytest.mark.parametrize("together", [False, True])
@pytest.mark.parametrize("moment", ["train_epoch", "evaluate", "set_rows", "drop"])
def test_when_memory_runs_out_fewer_rows_go_on_and_nothing_is_lost_or_told_twice(monkeypatch, moment, together):
    train, told, less = TrainConfig(epochs=4, batch_size=32, patience=4), {}, []
    trials = [trial(str(i), depth=1 + i % 2, **EVERYTHING) for i in range(5)]
    expected = trained(dataset(), trials, train, 4)
    pop = population(dataset(), train, rows=5, less=less.append)
    for of in trials[:4]:
        pop.admit(of)
    left = {}

    def epoch():
        for score in list(pop.train_epoch()) if together else pop.train_epoch():
            told.setdefault(score.trial.label, []).append(score.epoch)
            if score.stop_reason:
                left[score.trial.label] = pop.release(score.trial)

    epoch()
    epoch()
    limit_memory(monkeypatch, moment, most=2)
    assert pop.has_room()
    pop.admit(trials[4])
    while busy(pop):
        epoch()
    assert less == [2]
    assert told == {label: [1, 2, 3, 4] for label in expected}
    assert all(same(left[label], expected[label]) for label in expected)


def test_memory_that_is_too_short_for_a_single_trial_ends_with_a_sentence(monkeypatch):
    pop = population(dataset(), rows=2)
    for i in range(2):
        pop.admit(trial(str(i)))
    limit_memory(monkeypatch, "train_epoch", most=0)
    with pytest.raises(
        SearchFailedError, match=r"^Memory ran out with a single trial in training: use a smaller network"
    ):
        run(pop, 3)


def test_room_is_full_at_its_rows_and_free_again_after_a_release():
    pop = population(dataset(), rows=2)
    trials = [trial(str(i)) for i in range(2)]
    for of in trials:
        assert pop.has_room()
        pop.admit(of)
    assert not pop.has_room()
    run(pop, 1)
    pop.release(trials[0])
    assert pop.has_room()
    assert busy(pop)
    pop.release(trials[1])
    assert not busy(pop)


def test_the_best_epoch_is_kept_and_restored():
    """At a learning rate that overshoots, the last epoch is not the best."""
    pop = population(dataset(), TrainConfig(epochs=12, batch_size=32, patience=12))
    of = trial("0", learning_rate=0.2)
    pop.admit(of)
    curve = run(pop, 12)["0"]["valid_loss"]
    released = pop.release(of)
    assert released.best_epoch == curve.index(min(curve)) + 1
    assert released.best_epoch < 12
    assert released.valid["loss"] == pytest.approx(min(curve), rel=1e-12)


def test_patience_and_epochs_end_a_row_with_a_reason():
    pop = population(dataset(), TrainConfig(epochs=6, batch_size=32, patience=2))
    pop.admit(trial("0", learning_rate=1e-300))  # moves nothing, so nothing improves after the first epoch
    pop.admit(trial("1", learning_rate=1e-3))
    reasons = {}
    for _ in range(6):
        for score in pop.train_epoch():
            if score.stop_reason:
                reasons.setdefault(score.trial.label, (score.epoch, score.stop_reason))
    assert reasons == {"0": (3, "no improvement for 2 epochs"), "1": (6, "trained all 6 epochs")}


def test_a_metric_that_is_better_higher_is_followed_upwards():
    pop = population(dataset(), TrainConfig(epochs=8, batch_size=32, patience=8, metric="accuracy"))
    of = trial("0")
    pop.admit(of)
    curve = run(pop, 8)["0"]["valid_accuracy"]
    assert pop.release(of).best_epoch == curve.index(max(curve)) + 1


def test_training_loss_is_judged_on_training_rows_only_and_validation_on_the_others():
    data, curves = dataset(), []
    moved = data.x.clone()
    moved[data.folds[0].valid] += 7.0
    for x in (data.x, moved):
        pop = population(replace(data, x=x))
        pop.admit(trial("0"))
        curves.append(run(pop, 2)["0"])
    assert curves[0]["train_loss"] == curves[1]["train_loss"]
    assert all(one != other for one, other in zip(curves[0]["valid_loss"], curves[1]["valid_loss"], strict=True))


def test_no_validation_row_reaches_a_training_batch():
    """Validation rows of nan change nothing that is trained."""
    data = dataset()
    poisoned = data.x.clone()
    poisoned[data.folds[0].valid] = float("nan")
    pop = population(replace(data, x=poisoned))
    pop.admit(trial("0"))
    run(pop, 2)
    (stack,) = pop.stacks.values()
    assert torch.isfinite(stack.tensors.values).all()


@pytest.mark.parametrize("batch_norm", [False, True])
def test_a_trial_goes_on_in_another_population_as_if_it_had_never_moved(batch_norm):
    """Deep among shallow and shallow among deep, as pickled on its way."""
    data, trials = dataset(), [trial(str(i), depth=1 + i, **EVERYTHING) for i in range(3)]
    train = TrainConfig(epochs=4, batch_size=32, patience=4)
    stayed = trained(data, trials, train, 4, batch_norm=batch_norm)
    here, there = (population(data, train, batch_norm=batch_norm) for _ in range(2))
    for of in trials:
        here.admit(of)
    run(here, 2)
    there.attach(pickle.loads(pickle.dumps(here.detach(trials[2]))))
    run(there, 1)
    there.attach(pickle.loads(pickle.dumps(here.detach(trials[0]))))
    run(here, 2)
    assert same(here.release(trials[1]), stayed["1"])
    run(there, 1)
    assert same(there.release(trials[2]), stayed["2"])
    run(there, 1)
    assert same(there.release(trials[0]), stayed["0"])
    assert not busy(here)
    assert not busy(there)


# ---- cycles of the learning rate

CYCLES = TrainConfig(epochs=6, batch_size=32, patience=6)


def same_cycles(one, other):
    return all(
        torch.equal(mine[name], theirs[name])
        for mine, theirs in zip(one.cycle_weights, other.cycle_weights, strict=True)
        for name in theirs
    )


def cyclic(label):
    return replace(trial(label, **EVERYTHING), epochs=6, cycle=2)


def test_the_weights_at_the_end_of_each_cycle_are_kept():
    weights = trained(dataset(), [cyclic("0")], CYCLES, 6)["0"].cycle_weights
    assert len(weights) == 3
    assert not torch.equal(weights[0]["out.weight"], weights[1]["out.weight"])
    assert trained(dataset(), [trial("0", **EVERYTHING)], CYCLES, 6)["0"].cycle_weights == ()


def test_a_moved_trial_takes_the_weights_of_its_cycles_along():
    stayed = trained(dataset(), [cyclic("0")], CYCLES, 6)["0"]
    here, there = population(dataset(), CYCLES), population(dataset(), CYCLES)
    here.admit(cyclic("0"))
    run(here, 3)
    there.attach(pickle.loads(pickle.dumps(here.detach(cyclic("0")))))
    run(there, 3)
    moved = there.release(cyclic("0"))
    assert len(moved.cycle_weights) == 3
    assert same_cycles(moved, stayed)


def test_a_trial_that_starts_again_for_want_of_memory_keeps_the_weights_of_each_cycle_once(monkeypatch):
    expected = trained(dataset(), [cyclic(str(i)) for i in range(2)], CYCLES, 6)
    pop = population(dataset(), CYCLES)
    for i in range(2):
        pop.admit(cyclic(str(i)))
    run(pop, 3)
    limit_memory(monkeypatch, "train_epoch", most=1)
    released = {}
    while busy(pop):
        for score in pop.train_epoch():
            if score.stop_reason:
                released[score.trial.label] = pop.release(score.trial)
    assert all(len(one.cycle_weights) == 3 for one in released.values())
    assert all(same_cycles(released[label], expected[label]) for label in expected)
