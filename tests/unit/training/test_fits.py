"""Trials of several fits: each is trained as if it were alone, whatever its siblings and neighbours do."""

import pickle
from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import torch

from hpo.cli.messages import headline
from hpo.core.errors import SearchFailedError
from hpo.core.trial import Trial
from hpo.core.trial_key import TrialKey
from hpo.data.config import DataConfig
from hpo.data.dataset import prepare
from hpo.regularizers.configs import make_config
from hpo.space import loader
from hpo.space.settings import TrainConfig
from hpo.testing import same
from hpo.training.capacity import row_budget
from hpo.training.population import Population
from hpo.training.worker import start_workers
from hpo.training.worker_pool import WorkerPool
from hpo.workflows.prepare import prepare as prepare_experiment
from tests.helpers.oracle import train_plain
from tests.helpers.searches import TINY
from tests.helpers.training import EVERYTHING, busy, dataset, limit_memory, network, population, trial

FIVE = {"test": 0.2, "folds": 5}
EARLY = TrainConfig(epochs=8, batch_size=16, patience=2)  # the fits of a fast trial stop at different epochs


@cache
def folds(source="wine", dtype=torch.float32, **split):
    return prepare(DataConfig(source=f"sklearn:{source}", split=split or FIVE), Path(), dtype)


def alone(data, number):
    """The data with one fold only."""
    return replace(data, folds=tuple(fold for fold in data.folds if fold.number == number))


def finish(pop, released=None):
    """Trains until all trials have ended; what each leaves behind, and its curves: {name: [(fits,) an epoch]}."""
    released, curves = released or {}, {}
    while busy(pop):
        for score in list(pop.train_epoch()):
            assert len(curves.setdefault(score.trial.label, [])) + 1 == score.epoch
            curves[score.trial.label].append(score)
            if score.stop_reason:
                released[score.trial.label] = pop.release(score.trial)
    return released, curves


def trained(data, trials, train, **kind):
    pop = population(data, train, **kind)
    for of in trials:
        pop.admit(of)
    return finish(pop)


def is_fit(of, released, i, one):
    """Whether fit i of a trial is bit for bit that of a trial with this fit alone."""
    for name, tensor in one.weights.items():
        assert torch.equal(released.weights[name][i], tensor[0]), (of, name)
    return True


# ---- oracle and neighbours


@pytest.mark.parametrize(
    ("kind", "source", "train"),
    [
        ({}, "wine", {}),
        ({"batch_norm": True}, "wine", {"schedule": "cosine"}),
        ({}, "diabetes", {}),
        ({"kind": "recurrent"}, "iris", {}),
    ],
)
def test_each_fold_equals_plain_torch_on_its_rows(kind, source, train):
    data, epochs = folds(source, torch.float64), 3
    train = TrainConfig(epochs=epochs, batch_size=32, patience=epochs, **train)
    of = trial("0", weight_decay=0.3, l1=0.02, dropout=0.4)
    released, curves = (found["0"] for found in trained(data, [of], train, **kind))
    mine = np.array([score.values["valid_loss"] for score in curves])  # (epochs, fits)
    best = []
    for i, fold in enumerate(data.folds):
        expected, curve = train_plain(data, of, train, epochs, fold=fold, **kind)
        assert mine[:, i] == pytest.approx(np.array(curve) * data.target_scale**2, rel=1e-9)
        best.append(int(np.argmin(curve)))
        if best[i] + 1 == epochs:
            net = network(data, of, **kind).state_dict({n: t[i] for n, t in released.weights.items()})
            assert all(
                torch.allclose(tensor.double(), expected[name].double(), rtol=0, atol=1e-6)
                for name, tensor in net.items()
            )
    assert released.valid["loss"] == pytest.approx(mine[best, range(len(best))].mean())
    assert released.best_epoch == round(np.mean(best) + 1)


@pytest.mark.exhaustive
@pytest.mark.parametrize(
    ("kind", "neighbours"),
    [(kind, neighbours) for kind in ({}, {"batch_norm": True}, {"kind": "recurrent"}) for neighbours in (0, 4)],
)
def test_a_fold_is_bit_equal_alone_among_its_siblings_and_among_neighbours(kind, neighbours):
    """Also where fits stop by patience, each in its own epoch."""
    data = folds()
    trials = [trial(str(i), depth=1 + i % 3, **EVERYTHING | {"learning_rate": 0.1}) for i in range(1 + neighbours)]
    together, curves = trained(data, trials, EARLY, **kind)
    of = trials[-1]
    mine = np.array([score.values["valid_loss"] for score in curves[of.label]])  # (epochs, fits)
    lengths = []
    for i in range(5):
        one, theirs = trained(alone(data, i), [of], EARLY, **kind)
        assert is_fit(of, together[of.label], i, one[of.label])
        curve = [float(score.values["valid_loss"][0]) for score in theirs[of.label]]
        lengths.append(len(curve))
        assert mine[: len(curve), i].tolist() == curve
        assert (mine[len(curve) :, i] == curve[-1]).all()  # it stands with its last values
    assert max(lengths) == len(mine)
    assert len(set(lengths)) > 1


def test_folds_of_any_size_train_side_by_side():
    """Over time the first fold learns from a fifth of what the last learns from, and each has a stack of its own."""
    data = folds("diabetes", time="age", folds=4)
    assert len({len(fold.train) for fold in data.folds}) == 4
    trials = [trial(str(i), depth=1 + i) for i in range(2)]
    together, _ = trained(data, trials, EARLY)
    for i in range(4):
        assert is_fit(trials[1], together["1"], i, trained(alone(data, i), [trials[1]], EARLY)[0]["1"])


# ---- stopping, one by one


def test_a_fit_that_stops_leaves_its_row_and_what_it_had_learned_stays():
    data, of = folds(), trial("0", learning_rate=0.1)
    pop = population(data, EARLY, rows=6)
    pop.admit(of)
    in_training, best = [], {}
    while not best.get("last"):
        (score,) = pop.train_epoch()
        best["last"] = score.stop_reason
        in_training.append(len(pop.members["0"].rows))
    assert in_training[0] == 5
    assert in_training == sorted(in_training, reverse=True)
    assert 0 < in_training[-1] < 5
    assert not pop.has_room()  # which counts whole trials, so that it does not depend on when which fit stops
    assert score.stop_reason in {"no improvement for 2 epochs", "trained all 8 epochs"}
    released = pop.release(of)
    assert {len(tensor) for tensor in released.weights.values()} == {5}
    assert not busy(pop)
    assert not pop.stacks


def test_what_a_stopped_trial_has_learned_stays_until_it_is_released():
    data, of = dataset(), trial("0", learning_rate=0.03)
    train = TrainConfig(epochs=2, batch_size=32, patience=2)
    expected = trained(data, [of], train)[0]["0"]
    pop = population(data, train)
    pop.admit(of)
    later = [float(score.values["valid_loss"][0]) for _ in range(6) for score in pop.train_epoch()]
    assert min(later[2:]) < min(later[:2])
    assert same(pop.release(of), expected)


@pytest.mark.exhaustive
@pytest.mark.parametrize("kind", [{}, {"batch_norm": True}, {"kind": "recurrent"}])
def test_trials_move_with_what_their_stopped_fits_have_learned(kind):
    data, trials = folds(), [trial(str(i), depth=1 + i, **EVERYTHING | {"learning_rate": 0.1}) for i in range(2)]
    stayed, _ = trained(data, trials, EARLY, **kind)
    here, there = (population(data, EARLY, **kind) for _ in range(2))
    for of in trials:
        here.admit(of)
    scores = []
    while len(here.members["1"].rows) == 5:
        scores = list(here.train_epoch())
    assert not any(score.stop_reason for score in scores)
    moving = here.detach(trials[1])
    assert moving.finished_fits
    there.attach(pickle.loads(pickle.dumps(moving)))
    (score, *_) = there.train_epoch()
    left = {}
    while not score.stop_reason:
        (score,) = there.train_epoch()
    left["1"] = there.release(trials[1])
    while busy(here):
        for score in list(here.train_epoch()):
            if score.stop_reason:
                left["0"] = here.release(score.trial)
    assert all(same(left[label], stayed[label]) for label in stayed)


@pytest.mark.exhaustive
@pytest.mark.parametrize("moment", ["train_epoch", "evaluate", "set_rows", "drop"])
def test_when_memory_runs_out_trials_of_several_fits_start_again_and_are_told_once(monkeypatch, moment):
    data, less = folds(), []
    trials = [trial(str(i), depth=1 + i % 2, learning_rate=0.1) for i in range(4)]
    expected, _ = trained(data, trials, EARLY)
    pop = population(data, EARLY, rows=20, less=less.append)
    for of in trials[:3]:
        pop.admit(of)
    told, left = {}, {}

    def epoch():
        for score in pop.train_epoch():
            told.setdefault(score.trial.label, []).append(score.epoch)
            if score.stop_reason:
                left[score.trial.label] = pop.release(score.trial)

    epoch()
    limit_memory(monkeypatch, moment, most=6)
    pop.admit(trials[3])
    while busy(pop):
        epoch()
    assert less
    assert min(less) >= 5
    assert all(same(left[label], released) for label, released in expected.items())
    assert all(epochs == [*range(1, len(epochs) + 1)] for epochs in told.values())


def test_memory_too_short_for_one_trial_of_several_fits_ends_with_a_sentence(monkeypatch):
    pop = population(folds(), EARLY, rows=10)
    limit_memory(monkeypatch, "train_epoch", most=1)
    for i in range(2):
        pop.admit(trial(str(i)))
    with pytest.raises(SearchFailedError, match=r"^Memory ran out with a single trial in training"):
        finish(pop)


# ---- without validation rows, and epochs of one's own


def test_without_validation_rows_the_last_weights_are_kept():
    data, of = dataset(), trial("0", learning_rate=0.1, weight_decay=0.1)
    whole = data.without_validation()
    (fold,) = whole.folds
    train = TrainConfig(epochs=5, batch_size=32, patience=1)
    released, curves = trained(whole, [of], train)
    assert [sorted(score.values) for score in curves["0"]] == [["train_loss"]] * 5
    assert all(score.finite for score in curves["0"])
    assert curves["0"][-1].stop_reason == "trained all 5 epochs"
    (released,) = released.values()
    assert (released.best_epoch, released.valid) == (5, {})
    expected, _ = train_plain(whole, of, train, 5, fold=replace(fold, valid=fold.train))
    mine = network(whole, of).state_dict({name: tensor[0] for name, tensor in released.weights.items()})
    assert all(torch.allclose(tensor, expected[name], rtol=0, atol=1e-6) for name, tensor in mine.items())
    assert released.train["loss"] == pytest.approx(curves["0"][-1].means["train_loss"], rel=1e-9)


@pytest.mark.parametrize("schedule", ["constant", "cosine"])
def test_a_trial_may_have_epochs_of_its_own_within_the_schedule_of_all(schedule):
    train = TrainConfig(epochs=6, batch_size=32, patience=6, schedule=schedule)
    of = replace(trial("0"), epochs=3)
    _, curves = trained(dataset(), [of, trial("1", seed=of.seed)], train)
    assert [score.stop_reason for score in curves["0"]] == ["", "", "trained all 3 epochs"]
    assert [score.value for score in curves["0"]] == [score.value for score in curves["1"]][:3]


# ---- rooms, workers, words


@pytest.mark.parametrize(
    ("trials", "fits", "more", "rows"),
    [
        (100, 5, {}, 30),
        (3, 5, {}, 5),
        (1000, 5, {}, 30),
        (100, 10, {}, 40),
        (100, 20, {}, 80),
        (100, 400, {}, 1600),
        (100, 5, {"workers": 2}, 30),
        (100, 5, {"memory": 2 * 4 * 8 * 1000 * 23}, 20),
        (100, 5, {"memory": 1e3}, 5),
        (None, 5, {}, 30),
    ],
)
def test_rows_hold_all_fits_of_whole_trials(trials, fits, more, rows):
    assert row_budget(trials, 1000, fits=fits, **more) == rows


def test_room_is_made_for_whole_trials():
    pop = population(folds(), EARLY, rows=14)
    for i in range(2):
        assert pop.has_room()
        pop.admit(trial(str(i)))
    assert not pop.has_room()


SPACE = loader.parse(
    TINY
    | {
        "data": {"source": "sklearn:wine", "split": {"folds": 5}},
        "train": {"epochs": 8, "patience": 2, "batch_size": 16},
    }
)


def proposed(label, **params):
    return Trial(
        TrialKey.parse(label),
        "search",
        make_config({"learning_rate": 0.1, "depth": 2, "weight_decay": 0.1, "dropout": 0.2, **params}),
        int(label),
    )


def expected(samples, trials):
    pop = Population.from_space(SPACE, None, samples, rows=100)
    for of in trials:
        pop.admit(of)
    return finish(pop)[0]


@pytest.mark.exhaustive
def test_workers_train_several_fits_a_trial_and_then_something_else():
    """A second pool of the same workers trains fresh folds, although the first was left in the middle of an epoch."""
    data = folds()
    trials = [proposed(str(i), depth=1 + i % 2) for i in range(4)]
    with start_workers(2) as workers:
        pool = WorkerPool(workers, SPACE, None, data.as_samples(), rows=20)
        for of in trials:
            assert pool.has_room()
            pool.admit(of)
        assert not pool.has_room()
        released, _ = finish(pool)
        assert all(same(released[label], one) for label, one in expected(data.as_samples(), trials).items())
        pool = WorkerPool(workers, SPACE, None, data.as_samples(), rows=20)
        pool.admit(trials[0])
        pool.admit(trials[1])
        list(pool.train_epoch())  # of one worker; the other still has to tell
        assert pool.workers == workers
        workers[0].process.kill()
        workers[0].process.wait()
        pool = WorkerPool(workers, SPACE, None, data.new_folds(1), rows=20)
        for of in trials:
            pool.admit(of)
        assert pool.workers == workers[1:]
        released, _ = finish(pool)
        assert all(same(released[label], one) for label, one in expected(data.new_folds(1), trials).items())


def test_the_first_line_says_how_many_folds(tmp_path):
    experiment = prepare_experiment(SPACE, tmp_path)
    assert experiment.rows() == 10
    said = headline(experiment, experiment.rows())
    assert said[0].endswith(" · 5 folds of 142 rows · test 36 (untouched)")
    assert said[0].startswith("wine · 178 rows, 13 columns, 3 classes")
    assert said[-1].endswith("2 trials at once on one core")
    twice = SPACE.data.model_copy(update={"split": SPACE.data.split.model_copy(update={"repeats": 2})})
    assert (
        "5 folds of 142 rows, 2 times ·"
        in headline(prepare_experiment(SPACE.model_copy(update={"data": twice}), tmp_path), 10)[0]
    )
