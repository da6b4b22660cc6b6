"""Studies with synthetic learning curves in place of training."""

import dataclasses
import json
import math
import random
import zlib

import numpy as np
import optuna
import pytest
import torch
from optuna.distributions import FloatDistribution
from optuna.study import StudyDirection
from optuna.trial import TrialState, create_trial

from hpo.core.trial import Score, TrainedTrial
from hpo.space import loader
from hpo.study.history import History
from hpo.study.study import Study
from hpo.workflows import loop
from tests.helpers.searches import Killed

RANGE = {"low": 1e-4, "high": 1e-1, "log": True}


def make_space(**more):
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


class RecordedCurves:
    """A population with synthetic curves; the loss is lowest at dropout 0.3 and learning rate 0.01."""

    def __init__(self, rows=4, epochs=8, diverges=lambda _: False):
        self.rows, self.epochs, self.diverges = rows, epochs, diverges
        self.members, self.admitted = {}, []

    def has_room(self, n_elsewhere=0):
        return len(self.members) + n_elsewhere < self.rows

    def admit(self, trial):
        self.members[trial.label] = [trial, 0]
        self.admitted.append(trial)

    def train_epoch(self):
        for member in list(self.members.values()):
            member[1] += 1
            yield self.curve_point(*member)

    def curve_point(self, trial, epoch):
        loss = self.floor(trial) + 1 / epoch
        if self.diverges(trial) and epoch == 3:
            loss = math.nan
        values = {"train_loss": np.array([loss / 2]), "valid_loss": np.array([loss]), "valid_accuracy": np.array([0.5])}
        return Score(trial, epoch, values, "valid_loss", "trained all epochs" if epoch == self.epochs else "", 1)

    @staticmethod
    def floor(trial):
        p = trial.params
        return abs(p["dropout"] - 0.3) + abs(math.log10(p["learning_rate"]) + 2) + p["weight_decay"]

    def release(self, trial):
        _, epoch = self.members.pop(trial.label)
        best = 2 if self.diverges(trial) else epoch
        scores = {"loss": self.floor(trial) + 1 / best, "accuracy": 0.5, "balanced_accuracy": 0.5}
        logits = [torch.zeros(epoch, 1, 2)] if trial.keep_valid_logits else []
        return TrainedTrial(best, scores, scores, 1.0, fit_epochs=epoch, weights={}, valid_logits=logits)


class NullSinks:
    """Replaces the weight store and the recorder; keeps the recorded outcomes."""

    def __init__(self):
        self.recorded = []

    def save(self, label, weights):
        pass

    def keep(self, labels):
        pass

    def record(self, outcome):
        self.recorded.append(outcome)


def run_study(tmp_path, made=None, population=None, name="journal.log"):
    study = Study(made or make_space(), tmp_path / name, "data")
    told = NullSinks()
    try:
        loop.run(study, population or RecordedCurves(), told, told)
    finally:
        study.close()
    return study


def ended_trials(count, seed=0):
    """Make complete and pruned trials, many of them with equal values."""
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


def make_history(trials, direction=StudyDirection.MINIMIZE, recent=50):
    made = History(direction, recent)
    optuna.create_study(storage=made, study_name="s", direction=direction)
    for trial in trials:
        made.create_new_trial(0, trial)
    return made


TIME_KEYS = ("started", "epoch_times")


class UnevenCurves(RecordedCurves):
    """Curves that cross, end at different epochs and sometimes diverge; raises Killed after `dies` training events."""

    def __init__(self, dies=math.inf, **more):
        super().__init__(diverges=lambda t: t.params["dropout"] > 0.8, **more)
        self.left = dies

    def event(self):
        self.left -= 1
        if self.left < 0:
            raise Killed

    def admit(self, trial):
        self.event()
        super().admit(trial)

    def curve_point(self, trial, epoch):
        self.event()
        score = super().curve_point(trial, epoch)
        draw = np.random.default_rng([trial.seed, epoch])
        ends = 5 + zlib.crc32(str(trial.seed).encode()) % 8
        values = {name: value + 0.3 * draw.random() for name, value in score.values.items()}
        stop_reason = "no progress" if epoch == min(ends, self.epochs) else ""
        return Score(trial, epoch, values, score.metric, stop_reason, 1)

    def train_epoch(self):
        scores = list(super().train_epoch())
        random.Random(len(scores)).shuffle(scores)  # results must not depend on the order of stacks
        yield from scores

    def release(self, trial):
        self.event()
        return super().release(trial)


class KilledSinks(NullSinks):
    """Counts each recorded outcome as an event of the population, so that it can raise Killed between two writes."""

    def __init__(self, population):
        super().__init__()
        self.population = population

    def record(self, outcome):
        super().record(outcome)
        self.population.event()


def without_times(study, *but):
    """Return the stored outcomes without the fields that may differ between two runs."""
    known = {label: outcome.to_json() for label, outcome in study.outcomes.items()}
    return {
        label: json.dumps({k: v for k, v in o.items() if k not in (*TIME_KEYS, *but)})
        for label, o in sorted(known.items())
    }


def run_search(path, made, dies=math.inf, rows=6, deterministic=False, population=UnevenCurves, study_type=Study):
    population = population(dies, rows=rows, epochs=12)
    study = study_type(made, path, "data", deterministic)
    told = KilledSinks(population)
    try:
        loop.run(study, population, told, told)
    finally:
        study.close()
    return study, dies - population.left if dies < math.inf else 0


FOLDS = 5
DATA = {"source": "sklearn:wine", "split": {"folds": FOLDS}}


class FoldedCurves(UnevenCurves):
    """Each trial trains on five folds, some harder than others for every trial."""

    def curve_point(self, trial, epoch):
        score = super().curve_point(trial, epoch)
        draw = np.random.default_rng([trial.seed, epoch, 1])
        hard = np.linspace(0, 2, FOLDS)
        values = {name: value + hard + 0.1 * draw.standard_normal(FOLDS) for name, value in score.values.items()}
        return Score(trial, epoch, values, score.metric, score.stop_reason, FOLDS)


GOALS = ["valid_loss", "nonzero_share", "epochs"]


def dominates(one, other, signs):
    pairs = [(s * a, s * b) for s, a, b in zip(signs, one, other, strict=True)]
    return all(a <= b for a, b in pairs) and any(a < b for a, b in pairs)


class Weighed(UnevenCurves):
    """More weight decay leaves fewer nonzero weights."""

    def release(self, trial):
        released = super().release(trial)
        return TrainedTrial(**{**vars(released), "nonzero_share": 1 - min(1.0, 10 * trial.params["weight_decay"])})


def check_front(tmp_path, sampler):
    """Check that a search with several objectives finds a Pareto front, and the same one after a kill."""
    options = {"kind": sampler, "n_startup_trials": 5} if sampler in ("tpe", "gp") else sampler
    made = make_space(objectives=GOALS, sampler=options, train={"epochs": 12, "patience": 12}, budget={"trials": 30})
    peace, _ = run_search(tmp_path / "peace", made, population=Weighed)
    states = [o.state for o in peace.outcomes.values()]
    assert {"complete", "pruned"} <= set(states)
    whole = [o for o in peace.outcomes.values() if o.state == "complete"]
    on = peace.front()
    assert peace.best() in on
    assert 1 < len(on) <= len(whole)
    better = [o for o in whole for p in on if dominates(list(o.values.values()), list(p.values.values()), [1, 1, 1])]
    assert better == []
    with pytest.raises(Killed):
        run_search(tmp_path / "cut", made, 90, population=Weighed)
    again, _ = run_search(tmp_path / "cut", made, population=Weighed)
    assert without_times(again) == without_times(peace)


RESUMED = [
    ("tpe", "median"),
    ("tpe", "hyperband"),
    ("random", "successive_halving"),
    ("qmc", "percentile"),
    ("cmaes", "median"),
    ("tpe", "patient"),
]
DETERMINISTIC = [
    ("tpe", "median"),
    ("tpe", "hyperband"),
    ("random", "successive_halving"),
    ("qmc", "percentile"),
    ("cmaes", "patient"),
]


def check_resumed(tmp_path, sampler, pruner, attempts):
    """Check that a search that is killed again and again ends with the trials of an undisturbed one."""
    trials = 24 if sampler == "gp" else 40
    options = {"kind": sampler, "n_startup_trials": 3} if sampler in ("tpe", "gp", "cmaes") else sampler
    made = make_space(sampler=options, pruner=pruner, train={"epochs": 12, "patience": 12}, budget={"trials": trials})
    peace, _ = run_search(tmp_path / "peace", made)
    assert {o.state for o in peace.outcomes.values()} >= (
        {"complete", "pruned"} if pruner != "patient" else {"complete"}
    )
    draw = random.Random(7)
    for attempt in range(attempts):
        path, stops = tmp_path / f"cut{attempt}", 0
        for _ in range(3):
            try:
                run_search(path, made, dies=draw.randint(5, 130))
            except Killed:
                stops += 1
        assert stops >= 2
        again, _ = run_search(path, made)
        assert without_times(again) == without_times(peace)
        assert again.best() == dataclasses.replace(
            peace.best(), started=again.best().started, epoch_times=again.best().epoch_times
        )


class Apart(UnevenCurves):
    """As two workers, each with an epoch of its own."""

    def train_epoch(self):
        everyone, mine = self.members, random.Random(len(self.admitted)).random() < 0.6
        self.members = {label: m for label, m in everyone.items() if (m[0].seed % 2 == 0) == mine} or dict(everyone)
        scores = list(super().train_epoch())
        self.members = everyone
        yield from scores


def check_deterministic(tmp_path, sampler, pruner, runs):
    """Check that a deterministic search is the same in each of `runs` (number of rows, population) and after kills."""
    options = {"kind": sampler, "n_startup_trials": 3} if sampler in ("tpe", "cmaes") else sampler
    made = make_space(sampler=options, pruner=pruner, train={"epochs": 12, "patience": 12}, budget={"trials": 60})
    one, _ = run_search(tmp_path / "1", made, rows=1, deterministic=True)
    assert {o.state for o in one.outcomes.values()} >= {"complete", "failed"} | (
        {"pruned"} if pruner != "patient" else set()
    )
    for rows, population in runs:
        path = tmp_path / f"{rows}{population.__name__}"
        more, _ = run_search(path, made, rows=rows, deterministic=True, population=population)
        assert without_times(more, "rounds") == without_times(one, "rounds")
        assert more.best().trial == one.best().trial
    draw, stops = random.Random(3), 0
    for rows in (7, 1, 32, 3):
        try:
            run_search(tmp_path / "cut", made, draw.randint(20, 100), rows, deterministic=True)
        except Killed:
            stops += 1
    again, _ = run_search(tmp_path / "cut", made, rows=5, deterministic=True)
    assert stops >= 3
    assert without_times(again, "rounds") == without_times(one, "rounds")
