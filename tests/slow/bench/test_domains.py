"""What the comparison between domains concludes, from made records whose answers are known; it is run by `make
domains`, never here."""

import json
from pathlib import Path

import pytest

from bench.domains import page, run, sets
from hpo.core.metrics import VALIDATORS
from hpo.space import loader

ABOUT = {
    "date": "2026-01-01",
    "cores": 2,
    "cpu": "a processor",
    "torch": "2",
    "optuna": "5",
    "scikit-learn": "1",
    "seconds": 60.0,
    "trials": 40,
    "workers": 1,
}


def made(way, score, seed=0, task="books → dvd", part="adapting"):
    return {
        "part": part,
        "task": task,
        "way": way,
        "seed": seed,
        "seconds": 30.0,
        "trials": 9,
        "test": {"selected": score, "none": 0.7},
    }


def test_scores_are_means_over_seeds_with_their_error():
    records = [made(sets.TOGETHER, 0.80), made(sets.TOGETHER, 0.82, seed=1), made(sets.SOURCE, 0.7)]
    table = page.table(records, others=True)
    assert f"| {sets.TOGETHER} | 81.0 ± 1.0 |" in table
    assert f"| {sets.SOURCE} | 70.0 |" in table
    assert "| DANN | 78.4 |" in table


def test_validators_are_ranked_by_their_mean_correlation():
    def ranked(task, seed, **validators):
        said = [{"validator": name, "spearman": rho, "regret": regret} for name, (rho, regret) in validators.items()]
        return made(sets.RANDOM, 0.8, seed, task, "ranking") | {"validators": said}

    first = ranked("books → dvd", 0, iwv=(0.5, 0.01), infomax=(0.8, 0.0), dev=(None, 0.3))
    table = page.rankings(
        [first, ranked("books → dvd", 1, iwv=(0.6, 0.02), infomax=(0.9, 0.01)), ranked(sets.DIGITS, 0, iwv=(-0.2, 0.1))]
    )
    assert table.splitlines()[2:] == ["| `infomax` | 0.85 | 0.5 | – | – |", "| `iwv` | 0.55 | 1.5 | -0.20 | 10.0 |"]


def test_a_goal_is_above_all_others():
    assert "met" in page.goals([made(sets.TOGETHER, 0.805)])[0]
    assert "missed" in page.goals([made(sets.TOGETHER, 0.804)])[0]


def test_fine_tuning_must_beat_both_extremes():
    ways = {sets.SCRATCH: 0.8, sets.FROZEN: 0.7, sets.TUNED: 0.9}
    others = [made(way, score, part="tuning") for way, score in ways.items()]
    for score, verdict in ((0.81, "met"), (0.79, "missed")):
        (said,) = page.goals([*others, made(sets.SEARCHED, score, part="tuning")])
        assert verdict in said


def test_the_page_takes_the_tables_in_and_gives_them_again(tmp_path):
    (tmp_path / "domains.md").write_text("before\n<!-- python -m bench.domains -->\nold\n<!-- end -->\nafter\n")
    records = [made(sets.TOGETHER, 0.81)]
    page.write(records, ABOUT, tmp_path)
    text = (tmp_path / "domains.md").read_text()
    assert "| all together | 81.0 |" in text
    assert "old" not in text
    assert json.loads((tmp_path / "domains.json").read_text())["records"] == records


@pytest.mark.parametrize("task", [*sets.REVIEWS, sets.DIGITS])
def test_every_way_is_a_sound_space_and_only_the_oracle_sees_labels(task):
    ways = sets.adapting(task, Path("data"))
    found = {way: loader.parse(space) for way, space in ways.items()}
    assert {way for way, space in found.items() if space.data.target.labels != "none"} == {sets.ORACLE}
    assert {way for way, space in found.items() if space.train.metric not in VALIDATORS} == {sets.SOURCE, sets.ORACLE}
    assert "infomax" not in found[sets.SOURCE].search
    assert "infomax" in found[sets.TOGETHER].search
    assert loader.parse(sets.ranking(task, Path("data"))).data.target.labels == "validation-only"
    for space in sets.tuning(task, Path("data"), Path("rows.svmlight"), Path("network")).values():
        assert loader.parse(space).data.target.source is None


def test_a_record_has_the_test_scores_of_all_that_is_compared():
    result = {
        "trial": "3",
        "selected": {},
        "trials": {"complete": 2, "pruned": 1},
        "test": {"accuracy": 0.8},
        "baselines": {"none": {"test": {"accuracy": 0.7}}, "defaults": {"test": {}}},
        "validators": [],
    }
    assert run.digest(result)["test"] == {"selected": 0.8, "none": 0.7, "defaults": None}
