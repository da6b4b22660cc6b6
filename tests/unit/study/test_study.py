"""The study and the loop, with recorded curves in place of training."""

import dataclasses
import json
import math

import numpy as np
import pytest

from hpo.core.errors import InputError
from hpo.core.metrics import METRICS
from hpo.core.trial import Score, TrainedTrial
from hpo.space import loader
from hpo.study import ranking
from hpo.study.ledger import read_attrs
from hpo.study.study import Study
from hpo.workflows import loop

RANGE = {"low": 1e-4, "high": 1e-1, "log": True}


def space(**more):
    return loader.parse(
        {
            "study": "s",
            "data": {"source": "sklearn:wine"},
            "search": {
                "learning_rate": RANGE,
                "dropout": {"low": 0.0, "high": 0.9},
                "weight_decay": {**RANGE, "optional": True},
            },
            "train": {"epochs": 8, "patience": 8},
            "budget": {"trials": 30},
            **more,
        }
    )


class Recorded:
    """A population whose curves follow from the parameters: a valley around dropout 0.3 and learning rate 0.01."""

    def __init__(self, rows=4, epochs=8, diverges=lambda _: False):
        self.rows, self.epochs, self.diverges = rows, epochs, diverges
        self.members, self.admitted = {}, []

    def has_room(self, besides=0):
        return len(self.members) + besides < self.rows

    def admit(self, trial):
        self.members[trial.label] = [trial, 0]
        self.admitted.append(trial)

    def train_epoch(self):
        for member in list(self.members.values()):
            member[1] += 1
            yield self._score(*member)

    def _score(self, trial, epoch):
        loss = self.floor(trial) + 1 / epoch
        if self.diverges(trial) and epoch == 3:
            loss = math.nan
        values = {"train_loss": np.array([loss / 2]), "valid_loss": np.array([loss]), "valid_accuracy": np.array([0.5])}
        return Score(trial, epoch, values, "valid_loss", "trained all epochs" if epoch == self.epochs else "")

    @staticmethod
    def floor(trial):
        p = trial.params
        return abs(p["dropout"] - 0.3) + abs(math.log10(p["learning_rate"]) + 2) + p["weight_decay"]

    def release(self, trial):
        _, epoch = self.members.pop(trial.label)
        best = 2 if self.diverges(trial) else epoch
        scores = {"loss": self.floor(trial) + 1 / best, "accuracy": 0.5, "balanced_accuracy": 0.5}
        return TrainedTrial(best, scores, scores, 1.0, fit_epochs=epoch, weights={})


class Nothing:
    """Stands for the vault and the recorder."""

    def __init__(self):
        self.recorded = []

    def save(self, label, weights):
        pass

    def keep(self, labels):
        pass

    def record(self, outcome):
        self.recorded.append(outcome)


def go(tmp_path, made=None, population=None, name="journal.log"):
    study = Study(made or space(), tmp_path / name, "data")
    told = Nothing()
    try:
        loop.run(study, population or Recorded(), told, told)
    finally:
        study.close()
    return study


def test_the_budget_counts_both_baselines_and_every_trial_once(tmp_path):
    study = go(tmp_path)
    assert list(study.outcomes)[:2] == ["none", "defaults"]
    assert sorted(int(label) for label in study.outcomes if label.isdigit()) == list(range(28))


def test_baselines_are_never_pruned_and_unseen_by_the_sampler(tmp_path):
    study = go(tmp_path)
    assert all(study.outcomes[name].state == "complete" for name in ("none", "defaults"))
    assert len(study._in_memory.trials()) == 28


def test_baselines_are_off_and_usual_clipped_to_the_space():
    none, defaults = ranking.baselines(
        space(
            search={
                "learning_rate": {"low": 0.01, "high": 0.1},
                "dropout": {"low": 0.3, "high": 0.5},
                "depth": {"low": 1, "high": 5},
            }
        )
    )
    assert none.params == {"learning_rate": 0.01, "depth": 3, "dropout": 0.0}
    assert defaults.params == {"learning_rate": 0.01, "depth": 3, "dropout": 0.3, "weight_decay": 0.01}


def test_pruning_begins_at_epoch_four_and_says_so(tmp_path):
    pruned = [o for o in go(tmp_path).outcomes.values() if o.state == "pruned"]
    assert pruned
    assert min(o.epochs for o in pruned) >= 4
    assert pruned[0].reason == f"median pruner in epoch {pruned[0].epochs}"


def test_off_is_a_value_that_is_sampled(tmp_path):
    values = [o.trial.params["weight_decay"] for o in go(tmp_path).outcomes.values() if o.trial.role == "search"]
    assert 0.0 in values
    assert all(v == 0 or v >= 1e-4 for v in values)
    assert len(set(values)) > 5


def test_the_same_space_gives_the_same_trials(tmp_path):
    first, again = go(tmp_path, name="a"), go(tmp_path, name="b")
    assert [o.trial for o in first.outcomes.values()] == [o.trial for o in again.outcomes.values()]
    assert first.best().trial == again.best().trial


@pytest.mark.parametrize("sampler", ["tpe", "random", "qmc", "cmaes", "gp"])
def test_every_sampler_completes_and_resumes_without_repeating_itself(tmp_path, sampler):
    few = space(sampler=sampler, budget={"trials": 8})
    go(tmp_path, few)
    study = go(tmp_path, space(sampler=sampler, budget={"trials": 14}))
    params = [tuple(o.trial.params.items()) for o in study.outcomes.values() if o.trial.role == "search"]
    assert len(params) == len(set(params)) == 12


def test_the_grid_is_walked_once_and_ends_the_search(tmp_path):
    grid = space(
        sampler="grid",
        search={
            "learning_rate": 0.01,
            "weight_decay": 0.0,
            "dropout": {"low": 0.0, "high": 0.5, "step": 0.25},
            "depth": {"choices": [1, 2]},
        },
    )
    study = go(tmp_path, grid)
    points = {
        (o.trial.params["dropout"], o.trial.params["depth"])
        for o in study.outcomes.values()
        if o.trial.role == "search"
    }
    assert points == {(d, n) for d in (0.0, 0.25, 0.5) for n in (1, 2)}
    assert len(study.outcomes) == 8


@pytest.mark.parametrize("pruner", ["median", "percentile", "hyperband", "successive_halving", "patient", "none"])
def test_every_pruner_completes(tmp_path, pruner):
    outcomes = go(tmp_path, space(pruner=pruner)).outcomes.values()
    assert len(outcomes) == 30
    assert any(o.state == "pruned" for o in outcomes) == (pruner not in ("none", "patient"))
    assert min(o.epochs for o in outcomes) >= 4


def test_a_diverged_trial_is_failed_to_us_and_the_worst_seen_to_the_sampler(tmp_path):
    study = go(tmp_path, population=Recorded(diverges=lambda t: t.params["dropout"] > 0.6))
    failed = [o for o in study.outcomes.values() if o.state == "failed"]
    assert failed
    assert failed[0].reason == "diverged in epoch 3"
    frozen = study._in_memory.trials()[int(failed[-1].trial.label)]
    assert frozen.state.name == "COMPLETE"
    assert frozen.user_attrs["diverged"] == "diverged in epoch 3"
    assert frozen.value >= max(o.value for o in study.outcomes.values() if o.state == "complete")
    assert study.best().state == "complete"


def test_an_interrupted_search_runs_each_trial_once_with_its_number_parameters_and_seed(tmp_path):
    class Stops(Recorded):
        def release(self, trial):
            if len(self.admitted) > 15:
                raise KeyboardInterrupt
            return super().release(trial)

    stops = Stops()
    with pytest.raises(KeyboardInterrupt):
        go(tmp_path, population=stops)
    cut_off = {t.label: t for t, _ in stops.members.values()}
    known = {o["trial"]["label"]: o for o in read_attrs(tmp_path / "journal.log")["outcomes"]}
    assert cut_off
    assert not cut_off.keys() & known.keys()
    resumed = Recorded()
    study = go(tmp_path, population=resumed)
    again = {t.label: t for t in resumed.admitted if t.label in cut_off}
    assert again == cut_off
    assert sorted(int(label) for label in study.outcomes if label.isdigit()) == list(range(28))
    assert all(json.loads(json.dumps(study.outcomes[label].to_json())) == o for label, o in known.items())


def test_a_larger_budget_goes_on_and_a_spent_one_starts_nothing(tmp_path):
    go(tmp_path)
    idle = Recorded()
    go(tmp_path, population=idle)
    assert idle.admitted == []
    go(tmp_path, space(budget={"trials": 33}), idle)
    assert [t.label for t in idle.admitted] == ["28", "29", "30"]


def test_another_space_is_refused_with_what_differs(tmp_path):
    go(tmp_path)
    with pytest.raises(InputError, match=r"begun with another space \(seed: 0 there, 5 here\)"):
        Study(space(seed=5), tmp_path / "journal.log", "data")
    with pytest.raises(InputError, match="the rows of its data differ"):
        Study(space(), tmp_path / "journal.log", "other data")


def test_the_time_budget_ends_as_pruned_what_runs(tmp_path, monkeypatch):
    now = [0.0]
    monkeypatch.setattr("hpo.study.study.time.time", lambda: now[0])

    class Slow(Recorded):
        def train_epoch(self):
            now[0] += 1
            yield from super().train_epoch()

    outcomes = go(tmp_path, space(budget={"seconds": 20}), Slow()).outcomes.values()
    assert {o.state for o in outcomes} == {"complete", "pruned"}
    assert [o for o in outcomes if o.reason.startswith("the time was up in epoch")]
    assert max(o.ended for o in outcomes) <= 22


def test_a_torn_last_line_is_cut_and_its_trial_run_again(tmp_path):
    go(tmp_path)
    path = tmp_path / "journal.log"
    whole = path.read_bytes()
    path.write_bytes(whole[: whole.rstrip().rfind(b"\n") + 40])
    study = go(tmp_path)
    assert sorted(int(label) for label in study.outcomes if label.isdigit()) == list(range(28))


def test_fit_seeds_differ_between_trials_and_repeat_with_the_study_seed():
    seeds = [ranking.fit_seed(space(), label) for label in ("none", "defaults", *map(str, range(50)))]
    assert len(set(seeds)) == 52
    assert seeds[3] == ranking.fit_seed(space(budget={"trials": 5}), "1")
    assert seeds[3] != ranking.fit_seed(space(seed=1), "1")
    assert ranking.fit_seed(space(train={"seed": 9}), "1") == 9


def test_the_ablation_is_the_selected_configuration_with_every_regularizer_off(tmp_path):
    best = go(tmp_path).best().trial
    ablation = ranking.ablation(best)
    assert ablation.params == {**best.params, "weight_decay": 0.0, "dropout": 0.0}
    assert ablation.seed == best.seed


def test_selection_prefers_what_was_not_stopped_and_knows_the_direction(tmp_path):
    outcomes = go(tmp_path).budget_outcomes()
    best = ranking.best(outcomes, METRICS["loss"])
    assert best.value == min(o.value for o in outcomes if o.state == "complete")
    assert ranking.best(outcomes, METRICS["accuracy"]).value == max(o.value for o in outcomes if o.state == "complete")


def test_gp_does_not_propose_a_pruned_point_again(tmp_path):
    """Optuna's GP sampler does not see pruned trials, so they are told to it as complete; to us they stay pruned."""
    search = {"learning_rate": RANGE, "weight_decay": 0.0, "dropout": {"low": 0.0, "high": 0.9}}
    study = go(tmp_path, space(sampler="gp", search=search), Recorded(rows=1))
    params = [tuple(o.trial.params.items()) for o in study.outcomes.values() if o.trial.role == "search"]
    assert len(set(params)) == len(params)
    assert any(o.state == "pruned" for o in study.outcomes.values())


def test_what_is_trained_is_a_number_of_four_digits(tmp_path):
    """Short in best.yaml, the same in MLflow, and exactly what was trained."""
    for outcome in go(tmp_path).outcomes.values():
        for value in outcome.trial.params.values():
            assert value == float(f"{value:.4g}")


@pytest.mark.parametrize("metric", ["loss", "accuracy"])
def test_what_is_kept_by_the_way_is_what_a_search_through_all_outcomes_finds(tmp_path, metric):
    made = space(train={"epochs": 8, "patience": 8, "metric": metric})

    class Checked(Recorded):
        def _score(self, trial, epoch):
            return dataclasses.replace(super()._score(trial, epoch), metric=f"valid_{metric}")

    for study in (go(tmp_path, made, Checked(diverges=lambda t: t.params["dropout"] > 0.7)), go(tmp_path, made)):
        judged = study.budget_outcomes()
        assert study.best() == ranking.best(judged, METRICS[metric])
        assert study.counts == {s: sum(o.state == s for o in judged) for s in ("complete", "pruned", "failed")}
        shown = [v for o in judged for v in o.curves[f"valid_{metric}"] if math.isfinite(v)]
        assert study._in_memory.worst[f"valid_{metric}"] == (max if metric == "loss" else min)(shown)


def test_weights_are_written_of_what_is_asked_for_again_and_before_its_outcome_is_stored(tmp_path):
    """Of trained trials, finalists and ablations only the scores are ever read."""
    study, told, written = Study(space(), tmp_path / "journal.log", "data"), Nothing(), []

    def save(label, _):
        assert label not in study.outcomes
        written.append(label)

    told.save = save
    loop.run(study, Recorded(), told, told)
    best = study.best().trial
    for role in ("ablation", "finalist", "nested", "refit"):
        study.enqueue(dataclasses.replace(best, label=role, role=role))
    loop.run(study, Recorded(), told, told)
    study.close()
    assert study.outcomes.keys() >= {"ablation", "finalist", "nested", "refit"}
    assert sorted(written) == ["nested", "refit"]


def test_the_journal_is_synced_by_the_second_and_at_its_end(tmp_path, monkeypatch):
    synced = []
    monkeypatch.setattr("hpo.study.journal.os.fdatasync", synced.append)
    monkeypatch.setattr("hpo.study.journal.time.monotonic", lambda: 100.0)
    study = Study(space(), tmp_path / "journal.log", "data")
    told = Nothing()
    loop.run(study, Recorded(), told, told)
    assert len(synced) == 1
    study.close()
    assert len(synced) == 2
