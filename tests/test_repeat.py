"""A search that was cut off, at any moment and more than once, is trial for trial the search that was not."""

import dataclasses
import json
import math
import random
import zlib

import numpy as np
import pytest

from hpo import loop
from hpo.study import Study
from hpo.trial import Score
from tests.test_study import Nothing, Recorded, go, space

MEANWHILE = ("started", "times")


class Stopped(BaseException):
    """As a kill: nothing is tidied up."""


class Uneven(Recorded):
    """Curves that cross, end at many epochs and now and then diverge; `dies` after so many events of training."""

    def __init__(self, dies=math.inf, **more):
        super().__init__(diverges=lambda t: t.params["dropout"] > 0.8, **more)
        self.left = dies

    def event(self):
        self.left -= 1
        if self.left < 0:
            raise Stopped

    def admit(self, trial):
        self.event()
        super().admit(trial)

    def _score(self, trial, epoch):
        self.event()
        score = super()._score(trial, epoch)
        draw = np.random.default_rng([trial.seed, epoch])
        ends = 5 + zlib.crc32(str(trial.seed).encode()) % 8
        values = {name: value + 0.3 * draw.random() for name, value in score.values.items()}
        return Score(trial, epoch, values, score.metric, "no progress" if epoch == min(ends, self.epochs) else "")

    def train_epoch(self):
        scores = list(super().train_epoch())
        random.Random(len(scores)).shuffle(scores)  # the order of stacks means nothing
        yield from scores

    def release(self, trial):
        self.event()
        return super().release(trial)


class Dying(Nothing):
    """Dies with the population, so also between what is stored of a trial and what comes after."""

    def __init__(self, population):
        super().__init__()
        self.population = population

    def record(self, outcome):
        super().record(outcome)
        self.population.event()


def timeless(study):
    known = {label: outcome.to_json() for label, outcome in study.outcomes.items()}
    return {label: json.dumps({k: v for k, v in o.items() if k not in MEANWHILE}) for label, o in sorted(known.items())}


def search(path, made, dies=math.inf, rows=6):
    population = Uneven(dies, rows=rows, epochs=12)
    study = Study(made, path, "data")
    told = Dying(population)
    try:
        loop.run(study, population, told, told)
    finally:
        study.close()
    return study, dies - population.left if dies < math.inf else 0


@pytest.mark.parametrize(("sampler", "pruner"), [
    ("tpe", "median"), ("gp", "median"), ("tpe", "hyperband"), ("random", "successive_halving"), ("qmc", "percentile"),
    ("cmaes", "median"), ("tpe", "patient"),
])  # fmt: skip
def test_a_search_that_was_cut_off_is_the_search_that_was_not(tmp_path, sampler, pruner):
    trials = 24 if sampler == "gp" else 40
    options = {"kind": sampler, "n_startup_trials": 3} if sampler in ("tpe", "gp", "cmaes") else sampler
    made = space(sampler=options, pruner=pruner, train={"epochs": 12, "patience": 12}, budget={"trials": trials})
    peace, _ = search(tmp_path / "peace", made)
    assert {o.state for o in peace.outcomes.values()} >= ({"complete", "pruned"} if pruner != "patient" else {"complete"})
    draw = random.Random(7)
    for attempt in range(3 if sampler == "gp" else 6):
        path, stops = tmp_path / f"cut{attempt}", 0
        for _ in range(3):
            try:
                search(path, made, dies=draw.randint(5, 130))
            except Stopped:
                stops += 1
        assert stops >= 2
        again, _ = search(path, made)
        assert timeless(again) == timeless(peace)
        assert again.best() == dataclasses.replace(peace.best(), started=again.best().started, times=again.best().times)
        assert again.worth_keeping() == peace.worth_keeping()


def test_a_trial_that_had_ended_is_not_trained_again(tmp_path):
    made = space(train={"epochs": 12, "patience": 12}, budget={"trials": 40})
    with pytest.raises(Stopped):
        search(tmp_path / "cut", made, dies=150)
    study = Study(made, tmp_path / "cut", "data")
    ended = set(study.outcomes)
    study.close()
    resumed = Uneven(rows=6, epochs=12)
    go(tmp_path, made, resumed, "cut")
    assert len(ended) > 5
    assert not ended & {trial.label for trial in resumed.admitted}


@pytest.mark.parametrize("rows", [2, 11])
def test_it_ends_with_other_rows_too(tmp_path, rows):
    """Memory may have run out meanwhile: then other trials are proposed, but none is lost and none comes twice."""
    made = space(train={"epochs": 12, "patience": 12}, budget={"trials": 40})
    with pytest.raises(Stopped):
        search(tmp_path / "cut", made, dies=150)
    again, _ = search(tmp_path / "cut", made, rows=rows)
    assert sorted(int(label) for label in again.outcomes if label.isdigit()) == list(range(38))
