"""Of a table with many rows, an epoch trains on a part and is scored on a part."""

from dataclasses import replace

import pytest
import torch

from hpo.core import samples
from hpo.core.samples import Fold, epoch_rows, scored_rows
from hpo.nn.backends import BACKENDS
from hpo.space.settings import TrainConfig, auto_batch_size
from hpo.testing import as_two_domains, run, same
from hpo.training.program import Program
from hpo.training.stack import Stack
from tests.helpers.training import dataset, population, trial

MOST = 40  # in place of MAX_EPOCH_ROWS; wine has more training rows than twice this
SIZES = {1: 32, 1_024: 32, 1_025: 64, 4_096: 64, 4_097: 128, 16_384: 128, 16_385: 256, 10**7: 256}
TRAIN = TrainConfig(epochs=9, batch_size=16, patience=9)


@pytest.fixture
def few(monkeypatch):
    monkeypatch.setattr(samples, "MAX_EPOCH_ROWS", MOST)


@pytest.fixture
def trained_on(monkeypatch):
    """The rows of each step of the first row of a stack, labelled rows and rows of the target."""
    found, before = [], Program.train_step

    def train_step(program, step, index, target):
        found.append((index[0].tolist(), [] if target is None else target[0].tolist()))
        return before(program, step, index, target)

    monkeypatch.setattr(Program, "train_step", train_step)
    return found


@pytest.mark.parametrize("batched", [False, True])
@pytest.mark.usefixtures("few")
def test_each_row_is_trained_on_once_before_the_next_shuffle(trained_on, monkeypatch, batched):
    if batched:  # as on a GPU, where an order is a hash of the number of the pass
        monkeypatch.delitem(BACKENDS, "cpu")
    pop = population(dataset(), TRAIN)
    pop.admit(trial("0"))
    run(pop, 9)
    (fold,) = dataset().folds
    n, sizes = len(fold.train), [len(rows) for rows, _ in trained_on]
    assert sizes == [16, 16, 8] * 9
    seen = [row for rows, _ in trained_on for row in rows]
    passes = [seen[start : start + n] for start in range(0, len(seen) - n + 1, n)]
    assert len(passes) == 9 * MOST // n >= 2
    assert all(sorted(rows) == sorted(fold.train.tolist()) for rows in passes)
    assert passes[0] != passes[1]


def test_a_table_without_too_many_rows_is_shuffled_every_epoch(monkeypatch, trained_on):
    n = len(dataset().folds[0].train)
    found = []
    for most in (n, 10**9):
        monkeypatch.setattr(samples, "MAX_EPOCH_ROWS", most)
        trained_on.clear()
        pop = population(dataset(), TRAIN)
        pop.admit(trial("0"))
        run(pop, 3)
        found.append(([*trained_on], pop.release(trial("0"))))
    assert found[0][0] == found[1][0]
    assert same(found[0][1], found[1][1])
    assert sum(len(rows) for rows, _ in found[0][0]) == 3 * n


@pytest.mark.usefixtures("few")
def test_a_fit_depends_neither_on_its_neighbours_nor_on_when_it_begins():
    alone = population(dataset(), TRAIN)
    alone.admit(trial("1", dropout=0.3))
    run(alone, 5)
    among = population(dataset(), TRAIN)
    among.admit(trial("0", dropout=0.1))
    run(among, 2)  # in another part of its pass than the next trial
    among.admit(trial("1", dropout=0.3))
    run(among, 3)
    moved = population(dataset(), TRAIN)  # as another process that takes over a trial
    moved.attach(among.detach(trial("1")))
    run(moved, 2)
    assert same(moved.release(trial("1")), alone.release(trial("1")))


@pytest.mark.parametrize("n_target", [7, 50])
@pytest.mark.usefixtures("few")
def test_an_epoch_has_as_many_rows_of_the_target_as_labelled_ones(trained_on, n_target):
    data = as_two_domains(dataset())
    (fold,) = data.folds
    data = replace(data, folds=(replace(fold, target=fold.target[:n_target]),))
    pop = population(data, TRAIN)
    pop.admit(trial("0", coral=0.5))
    run(pop, 2)
    assert [len(target) for _, target in trained_on] == [len(rows) for rows, _ in trained_on] == [16, 16, 8] * 2
    assert {row for _, target in trained_on for row in target} <= set(data.folds[0].target.tolist())


@pytest.mark.usefixtures("few")
def test_a_network_is_scored_on_evenly_spaced_rows():
    assert scored_rows(torch.arange(MOST)).tolist() == list(range(MOST))
    assert scored_rows(torch.arange(5, 5 + 3 * MOST)).tolist() == list(range(5, 5 + 3 * MOST, 3))
    assert len(scored_rows(torch.arange(MOST + 1)).unique()) == MOST


@pytest.mark.usefixtures("few")
def test_the_curve_and_the_result_are_of_the_same_scored_rows():
    data = dataset()
    (fold,) = data.folds
    many = replace(data, folds=(Fold(0, fold.train, fold.train[:90].flip(0)),))
    some = replace(data, folds=(Fold(0, fold.train, scored_rows(many.folds[0].valid)),))
    scores = []
    for given in (many, some):
        pop = population(given, TRAIN)
        pop.admit(trial("0"))
        curve = run(pop, 3)["0"]
        scores.append((curve["valid_loss"], pop.release(trial("0")).valid))
        assert scores[-1][1]["loss"] == pytest.approx(min(curve["valid_loss"]), rel=1e-12)
    assert scores[0] == scores[1]


def test_a_last_minibatch_is_counted_in_the_rows_of_an_epoch():
    assert [epoch_rows(n) for n in (1, 16_384, 16_385, 300_000)] == [1, 16_384, 16_384, 16_384]


@pytest.mark.parametrize(
    ("n_train", "size"),
    [(1, 32), (1_024, 32), (1_025, 64), (4_097, 128), (29_304, 256), (180_000, 256)],
)
def test_the_batch_size_grows_with_the_training_rows(n_train, size):
    assert auto_batch_size(n_train) == size
    assert TrainConfig().with_batch_size(n_train).minibatch == size
    assert TrainConfig(batch_size=7).with_batch_size(n_train).minibatch == 7


def test_a_stack_needs_a_batch_size():
    with pytest.raises(ValueError, match="call with_batch_size"):
        Stack((), dataset().as_samples(), TrainConfig())
