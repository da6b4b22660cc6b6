"""A search that was interrupted, at any moment and more than once, equals an uninterrupted one trial by trial."""

import pytest

from hpo.core.errors import InputError
from hpo.study.study import Study
from tests.helpers.searches import Killed
from tests.helpers.studies import (
    DETERMINISTIC,
    RESUMED,
    Apart,
    UnevenCurves,
    check_deterministic,
    check_resumed,
    make_space,
    run_search,
    run_study,
)


@pytest.mark.parametrize(("sampler", "pruner"), RESUMED)
def test_an_interrupted_search_equals_an_uninterrupted_one(tmp_path, sampler, pruner):
    check_resumed(tmp_path, sampler, pruner, attempts=2)  # six, and gp, in tests/slow


def test_ended_trials_are_not_trained_again(tmp_path):
    made = make_space(train={"epochs": 12, "patience": 12}, budget={"trials": 40})
    with pytest.raises(Killed):
        run_search(tmp_path / "cut", made, dies=150)
    study = Study(made, tmp_path / "cut", "data")
    ended = set(study.outcomes)
    study.close()
    resumed = UnevenCurves(rows=6, epochs=12)
    run_study(tmp_path, made, resumed, "cut")
    assert len(ended) > 5
    assert not ended & {trial.label for trial in resumed.admitted}


@pytest.mark.parametrize("rows", [2, 11])
def test_an_interrupted_search_ends_with_other_numbers_of_rows(tmp_path, rows):
    """If memory has run out in between, other trials are proposed, but none is lost or repeated."""
    made = make_space(train={"epochs": 12, "patience": 12}, budget={"trials": 40})
    with pytest.raises(Killed):
        run_search(tmp_path / "cut", made, dies=150)
    again, _ = run_search(tmp_path / "cut", made, rows=rows)
    assert sorted(int(label) for label in again.outcomes if label.isdigit()) == list(range(38))


@pytest.mark.exhaustive
@pytest.mark.parametrize(("sampler", "pruner"), DETERMINISTIC)
def test_a_deterministic_search_does_not_depend_on_rows_workers_or_kills(tmp_path, monkeypatch, sampler, pruner):
    monkeypatch.setattr("hpo.study.study.LAG", 8)
    check_deterministic(tmp_path, sampler, pruner, [(2, UnevenCurves), (7, Apart), (32, UnevenCurves)])


def test_a_deterministic_search_sees_exactly_the_trials_older_than_its_lag(tmp_path, monkeypatch):
    """Checks the trials that the sampler sees at each proposal, and the pruner at each decision."""
    monkeypatch.setattr("hpo.study.study.LAG", 8)
    seen = []

    class Looks(Study):
        def propose(self):
            trial = super().propose()
            told = [t.number for t in self.in_memory.trials() if t.state.is_finished()]
            seen.append((int(trial.label), told))
            return trial

    run_search(tmp_path / "s", make_space(budget={"trials": 40}), rows=16, deterministic=True, study_type=Looks)
    assert seen == [(n, list(range(n - 8))) for n in range(38)]


def test_a_study_stays_deterministic_or_not(tmp_path):
    run_search(tmp_path / "yes", make_space(), deterministic=True)
    with pytest.raises(InputError, match="was started with deterministic: add it again, set study to another name"):
        run_search(tmp_path / "yes", make_space())
    run_search(tmp_path / "no", make_space())
    with pytest.raises(InputError, match="was started without deterministic: leave it out, set study"):
        run_search(tmp_path / "no", make_space(), deterministic=True)


def test_a_deterministic_search_cannot_end_by_the_clock(tmp_path):
    with pytest.raises(InputError, match=r"budget.seconds: a deterministic search must not depend on speed"):
        run_search(tmp_path / "s", make_space(budget={"trials": 30, "seconds": 9}), deterministic=True)
