"""The stored logits of finalists, compared with networks that are trained for exactly as many epochs."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from hpo.core import samples
from hpo.core.samples import Fold, scored_rows
from hpo.core.trial import Trial
from hpo.core.trial_key import TrialKey
from hpo.selection import evidence, out_of_fold
from hpo.selection.expectation import expect
from hpo.selection.row_predictions import row_predictions
from hpo.space.settings import TrainConfig
from hpo.study.weights import WeightStore
from hpo.training import evaluation
from tests.helpers.predictions import train_recorded
from tests.helpers.training import dataset, limit_memory, network, population, trial

FOLDS = len(dataset().new_folds(1).folds)
TRAIN = TrainConfig(epochs=30, batch_size=32, patience=3)


def new_folds():
    return dataset().new_folds(1)


def finalist(label: str, role: str = "finalist", **params: float) -> Trial:
    of = trial(label, **params)
    return replace(of, key=TrialKey(int(label)).reevaluation(1), role=role)


def stored(tmp_path, of: Trial, found, metric: str = "loss") -> out_of_fold.DrawPredictions:
    """Store a trained trial, and return the predictions as they are loaded."""
    store = WeightStore(tmp_path)
    outcome, trained = found[of.label]
    out_of_fold.save(store, outcome, trained, metric)
    return out_of_fold.load(store, {"1": of}, new_folds(), dataset().n_development)


def stops_of_others(curve: list[list[float]]) -> list[int]:
    """Return, for each fold, the epoch, from 1, where the mean of the other folds over five epochs is lowest."""
    epochs, found = len(curve), []
    for fold in range(FOLDS):
        others = [np.mean([c for f, c in enumerate(row) if f != fold]) for row in curve]
        smooth = [np.mean(others[max(0, e - 2) : e + 3]) for e in range(epochs)]
        found.append(int(np.argmin(smooth)) + 1)
    return found


def retrained_logits(of: Trial, fold: Fold, epochs: int) -> torch.Tensor:
    """Train one fold alone, without validation rows, so that the last epoch is kept; predict its validation rows."""
    data = new_folds()
    alone = population(replace(data, folds=(Fold(fold.number, fold.train, fold.valid[:0]),)), TRAIN)
    weights = alone.train_alone(replace(of, role="search", epochs=epochs), epochs).weights
    parts, names = evaluation.rows_by_part([fold]), {"valid": ("loss",)}
    return evaluation.evaluate(data, network(data, of), weights, parts, names).logits["valid"][0].float()


def test_the_logits_of_each_fold_are_those_at_the_epoch_where_the_other_folds_stop(tmp_path):
    """Some folds stop before the others, and keep their last network."""
    data, of = new_folds(), finalist("1", learning_rate=0.03, dropout=0.2)
    found = train_recorded(population(data, TRAIN), [of])
    outcome, trained = found[of.label]
    ended = [len(kept) for kept in trained.valid_logits]
    stops = stops_of_others(outcome.fold_curves["valid_loss"])
    predictions = stored(tmp_path, of, found)
    assert len(set(ended)) > 1  # or the example is a bad one
    for fold, stop, last in zip(data.folds, stops, ended, strict=True):
        own = predictions.part(predictions.fold == fold.number)
        assert own.row.tolist() == (fold.valid % predictions_rows()).tolist()
        assert own.y.equal(data.y[fold.valid])
        assert own.logits["1"].equal(retrained_logits(of, fold, min(stop, last)))


def predictions_rows() -> int:
    return dataset().n_development


def test_a_draw_holds_each_row_once(tmp_path):
    of = finalist("1")
    predictions = stored(tmp_path, of, train_recorded(population(new_folds(), TRAIN), [of]))
    assert sorted(predictions.row.tolist()) == list(range(predictions_rows()))
    assert predictions.fold.unique().tolist() == list(range(FOLDS))


def test_the_stops_follow_the_metric_of_the_search(tmp_path):
    of = finalist("1", learning_rate=0.03)
    found = train_recorded(population(new_folds(), replace_metric("brier")), [of])
    outcome, trained = found[of.label]
    stops = stops_of_others(outcome.fold_curves["valid_brier"])
    assert stops != stops_of_others(outcome.fold_curves["valid_loss"])  # or the example is a bad one
    expected = [kept[min(stop, len(kept)) - 1] for stop, kept in zip(stops, trained.valid_logits, strict=True)]
    assert stored(tmp_path, of, found, "brier").logits["1"].equal(torch.cat(expected))


def replace_metric(metric: str) -> TrainConfig:
    return TrainConfig(epochs=30, batch_size=32, patience=8, metric=metric)


def test_on_a_large_table_the_logits_are_those_of_the_scored_rows(tmp_path, monkeypatch):
    monkeypatch.setattr(samples, "MAX_EPOCH_ROWS", 20)
    data, of = new_folds(), finalist("1")
    predictions = stored(tmp_path, of, train_recorded(population(data, TRAIN), [of]))
    assert len(predictions.row) == len(predictions.logits["1"]) == FOLDS * 20
    rows = torch.cat([scored_rows(fold.valid) for fold in data.folds]) % predictions_rows()
    assert predictions.row.equal(rows)


@pytest.mark.parametrize("after", [1, 4])
def test_the_logits_move_with_their_trial_to_another_population(tmp_path, after):
    """As when a worker takes over a trial of another, also while one of its folds has stopped."""
    of = finalist("1", learning_rate=0.03, dropout=0.2)
    first, second = population(new_folds(), TRAIN), population(new_folds(), TRAIN)

    def meanwhile(epoch):
        if epoch == after:
            second.attach(first.detach(of))
        return first if epoch < after else second

    expected = train_recorded(population(new_folds(), TRAIN), [of])
    moved = train_recorded(first, [of], meanwhile)
    for one, other in zip(expected[of.label][1].valid_logits, moved[of.label][1].valid_logits, strict=True):
        assert one.equal(other)
    assert stored(tmp_path, of, moved).logits["1"].equal(stored(tmp_path, of, expected).logits["1"])


def test_a_trial_that_starts_again_for_want_of_memory_has_the_same_logits(monkeypatch):
    """Those of the epochs before the restart are not kept twice."""
    trials = [finalist(label, learning_rate=0.03) for label in ("1", "2")]
    expected = train_recorded(population(new_folds(), TRAIN), trials)
    pop = population(new_folds(), TRAIN)

    def meanwhile(epoch):
        if epoch == 2:
            limit_memory(monkeypatch, "train_epoch", most=max(len(stack.rows) for stack in pop.stacks.values()) // 2)
        return pop

    found = train_recorded(pop, trials, meanwhile)
    assert pop.rows_lost == FOLDS
    for label, (outcome, trained) in found.items():
        assert [len(kept) for kept in trained.valid_logits] == [len(k) for k in expected[label][1].valid_logits]
        assert all(a.equal(b) for a, b in zip(trained.valid_logits, expected[label][1].valid_logits, strict=True))
        assert outcome.fold_curves == expected[label][0].fold_curves


class Reads(WeightStore):
    """A store that lists what is read."""

    def load(self, label, n_fits=None):
        self.labels = [*getattr(self, "labels", []), label]
        return super().load(label, n_fits)


def test_only_the_logits_of_one_configuration_are_in_memory(tmp_path):
    """They are read when they are used, and the results are those of logits that are held in memory."""
    store, found = Reads(tmp_path), train_recorded(population(new_folds(), TRAIN), [finalist("1"), finalist("2")])
    for outcome, trained in found.values():
        out_of_fold.save(store, outcome, trained, "loss")
    trials = {outcome.trial.label[0]: outcome.trial for outcome, _ in found.values()}
    draw = out_of_fold.load(store, trials, new_folds(), dataset().n_development)
    held = replace(draw, logits=dict(draw.logits))
    store.labels.clear()
    measured, expected = evidence.measure([draw, draw], "loss", 0), evidence.measure([held, held], "loss", 0)
    assert all(np.array_equal(measured.errors[label], expected.errors[label]) for label in trials)
    assert all(np.array_equal(measured.resampled[label], expected.resampled[label]) for label in trials)
    assert store.labels == [out_of_fold.file_label(trials[label]) for label in trials for _ in range(2)]
    store.labels.clear()
    assert expect([draw], "2", ["loss"], 5, 50, 0) == expect([held], "2", ["loss"], 5, 50, 0)
    assert row_predictions([draw], "2")["predictions"].equal(row_predictions([held], "2")["predictions"])
    assert row_predictions([draw], "3") == {}
    assert set(store.labels) == {out_of_fold.file_label(trials["2"])}


def test_only_finalists_keep_their_logits():
    of = finalist("1", role="search")
    assert train_recorded(population(new_folds(), TRAIN), [of])[of.label][1].valid_logits == ()


@pytest.mark.parametrize("state", ["failed", "pruned"])
def test_a_trial_that_did_not_end_has_no_logits(tmp_path, state):
    """Its file exists, so that the trial is not trained again."""
    of = finalist("1")
    outcome, trained = train_recorded(population(new_folds(), TRAIN), [of])[of.label]
    out_of_fold.save(WeightStore(tmp_path), replace(outcome, state=state), trained, "loss")
    assert len(WeightStore(tmp_path).load(out_of_fold.file_label(of))["logits"]) == 0
