"""A search that was cut off, at any moment and more than once, is trial for trial the search that was not."""

import dataclasses
import json
import math
import random
import zlib

import numpy as np
import pytest

from hpo.core.errors import InputError
from hpo.core.trial import Score
from hpo.study.study import Study
from hpo.workflows import loop
from tests.helpers.searches import here, outcomes, write_space
from tests.unit.study.test_study import Nothing, Recorded, go, space

MEANWHILE = ("started", "epoch_times")


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


def timeless(study, *but):
    """The outcomes as they are stored, without what may differ."""
    known = {label: outcome.to_json() for label, outcome in study.outcomes.items()}
    return {
        label: json.dumps({k: v for k, v in o.items() if k not in (*MEANWHILE, *but)})
        for label, o in sorted(known.items())
    }


def search(path, made, dies=math.inf, rows=6, deterministic=False, population=Uneven):
    population = population(dies, rows=rows, epochs=12)
    study = Study(made, path, "data", deterministic)
    told = Dying(population)
    try:
        loop.run(study, population, told, told)
    finally:
        study.close()
    return study, dies - population.left if dies < math.inf else 0


@pytest.mark.parametrize(
    ("sampler", "pruner"),
    [
        ("tpe", "median"),
        ("gp", "median"),
        ("tpe", "hyperband"),
        ("random", "successive_halving"),
        ("qmc", "percentile"),
        ("cmaes", "median"),
        ("tpe", "patient"),
    ],
)
def test_a_search_that_was_cut_off_is_the_search_that_was_not(tmp_path, sampler, pruner):
    trials = 24 if sampler == "gp" else 40
    options = {"kind": sampler, "n_startup_trials": 3} if sampler in ("tpe", "gp", "cmaes") else sampler
    made = space(sampler=options, pruner=pruner, train={"epochs": 12, "patience": 12}, budget={"trials": trials})
    peace, _ = search(tmp_path / "peace", made)
    assert {o.state for o in peace.outcomes.values()} >= (
        {"complete", "pruned"} if pruner != "patient" else {"complete"}
    )
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
        assert again.best() == dataclasses.replace(
            peace.best(), started=again.best().started, epoch_times=again.best().epoch_times
        )


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


class Apart(Uneven):
    """As two workers, each with an epoch of its own."""

    def train_epoch(self):
        everyone, mine = self.members, random.Random(len(self.admitted)).random() < 0.6
        self.members = {label: m for label, m in everyone.items() if (m[0].seed % 2 == 0) == mine} or dict(everyone)
        scores = list(super().train_epoch())
        self.members = everyone
        yield from scores


@pytest.mark.parametrize(
    ("sampler", "pruner"),
    [
        ("tpe", "median"),
        ("tpe", "hyperband"),
        ("random", "successive_halving"),
        ("qmc", "percentile"),
        ("cmaes", "patient"),
    ],
)
def test_a_deterministic_search_does_not_depend_on_rows_workers_or_kills(tmp_path, monkeypatch, sampler, pruner):
    monkeypatch.setattr("hpo.study.study.LAG", 8)
    options = {"kind": sampler, "n_startup_trials": 3} if sampler in ("tpe", "cmaes") else sampler
    made = space(sampler=options, pruner=pruner, train={"epochs": 12, "patience": 12}, budget={"trials": 60})
    one, _ = search(tmp_path / "1", made, rows=1, deterministic=True)
    assert {o.state for o in one.outcomes.values()} >= {"complete", "failed"} | (
        {"pruned"} if pruner != "patient" else set()
    )
    for rows in (2, 7, 32):
        for population in (Uneven, Apart):
            more, _ = search(
                tmp_path / f"{rows}{population.__name__}", made, rows=rows, deterministic=True, population=population
            )
            assert timeless(more, "rounds") == timeless(one, "rounds")
            assert more.best().trial == one.best().trial
    draw, stops = random.Random(3), 0
    for rows in (7, 1, 32, 3):
        try:
            search(tmp_path / "cut", made, draw.randint(20, 100), rows, deterministic=True)
        except Stopped:
            stops += 1
    again, _ = search(tmp_path / "cut", made, rows=5, deterministic=True)
    assert stops >= 3
    assert timeless(again, "rounds") == timeless(one, "rounds")


def test_a_deterministic_search_knows_what_is_older_than_its_lag_and_nothing_else(tmp_path, monkeypatch):
    """By itself and step by step: what the sampler sees at each proposal, and the pruner at each decision."""
    monkeypatch.setattr("hpo.study.study.LAG", 8)
    seen = []

    class Looks(Study):
        def _propose(self):
            trial = super()._propose()
            told = [t.number for t in self._in_memory.trials() if t.state.is_finished()]
            seen.append((int(trial.label), told))
            return trial

    monkeypatch.setattr("tests.integration.test_resume.Study", Looks)
    search(tmp_path / "s", space(budget={"trials": 40}), rows=16, deterministic=True)
    assert seen == [(n, list(range(n - 8))) for n in range(38)]


def test_a_study_stays_deterministic_or_not(tmp_path):
    search(tmp_path / "yes", space(), deterministic=True)
    with pytest.raises(InputError, match="was begun with deterministic: give it again, set study to another name"):
        search(tmp_path / "yes", space())
    search(tmp_path / "no", space())
    with pytest.raises(InputError, match="was begun without deterministic: leave it out, set study"):
        search(tmp_path / "no", space(), deterministic=True)


def test_a_deterministic_search_cannot_end_by_the_clock(tmp_path):
    with pytest.raises(InputError, match=r"budget.seconds: a deterministic search must not depend on speed"):
        search(tmp_path / "s", space(budget={"trials": 30, "seconds": 9}), deterministic=True)


@pytest.mark.usefixtures("unrecorded")
def test_two_workers_find_what_one_process_finds_on_folds_and_in_the_finals(new_store):
    found = []
    changes = {
        "data": {"source": "sklearn:wine", "split": {"folds": 3}},
        "budget": {"trials": 40},
        "finalists": 2,
        "train": {"epochs": 20, "batch_size": 32, "patience": 6},
        "sampler": {"kind": "tpe", "n_startup_trials": 4},
        "pruner": {"kind": "median", "n_startup_trials": 3},
    }
    for more in ([], ["--workers", "2"]):
        store = new_store()
        ran = here(
            "search", "--space", write_space(store, **changes), "--store", store, "--deterministic", "--json", *more
        )
        known = outcomes(store)
        for outcome in known.values():
            for key in (*MEANWHILE, "rounds"):
                del outcome[key]
        result = json.loads(ran.stdout)
        found.append(
            (
                known,
                {
                    key: result[key]
                    for key in ("trial", "finalists", "fresh_scores", "test", "refit", "score", "fit_epochs")
                },
            )
        )
    assert found[0] == found[1]
    assert {o["state"] for o in found[0][0].values()} == {"complete", "pruned"}
    assert {len(o["fold_curves"].get("valid_loss", [[1] * 3])[0]) for o in found[0][0].values()} == {3}
    assert len([label for label in found[0][0] if "-nested-" in label]) == 3  # folds within each fold of a draw
