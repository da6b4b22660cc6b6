"""What the honesty benchmark concludes, from made records whose answers are known; it is run by `make honesty`,
never here."""

import json
import math
from functools import partial

import pandas as pd
import pytest

from bench.honesty import numbers, page, run
from bench.honesty.numbers import Mean, Share
from bench.honesty.sets import sets
from hpo.data.config import DataConfig
from hpo.data.dataset import prepare

ABOUT = {"date": "2026-01-01", "cores": 2, "cpu": "a processor", "torch": "2", "optuna": "5"}


def said(reported, test, default, trial="7", accuracy=(0.9, 0.8), error=0.1):
    return {
        "trial": trial,
        "reported": {"loss": reported, "accuracy": accuracy[0]},
        "test": {"loss": test, "accuracy": accuracy[1]},
        "default_test": {"loss": default, "accuracy": 0.7},
        "error": {"loss": error},
    }


def made(name="a", seed=0, mode="holdout", argmax=(0.4, 0.6, 1.0), ours=(0.5, 0.5, 1.0), interval=(0.4, 0.6), **more):
    """A record; `argmax` and `ours` are the reported loss, that on test, and the defaults' on test."""
    times = 4 if mode == "folds" else 1
    best = {"trial": "7", "test": {"loss": ours[1]}}
    record = {
        "set": name,
        "seed": seed,
        "mode": mode,
        "task": "classification",
        "metrics": ["loss", "accuracy"],
        "rows": {"dev": 100, "test": 50},
        "epochs": {"search": 100 * times, "fresh": 20 * times, "refit": 5},
        "seconds": {"search": 2.0 * times, "fresh": 1.0, "refit": 0.0},
        "argmax": said(*argmax),
        "ours": {
            **said(*ours, accuracy=(0.85, 0.8)),
            "rule": "best",
            "is_default": False,
            "interval": {"loss": list(interval)},
        },
        "rules": {"best": best, "one_se": {"trial": "8", "test": {"loss": 0.75}}},
        "pool": {
            "7": {"search": 0.4, "fresh": {}, "test": {"loss": 0.45}},
            "8": {"search": None, "fresh": {}, "test": {"loss": 0.75}},
        },
    }
    return record | more


def test_the_bias_is_the_mean_over_sets_with_the_error_of_their_means():
    # Surprises of -0.2 and -0.4 in a, of -0.1 in b: the means are -0.3 and -0.1.
    records = [made(), made(seed=1, argmax=(0.2, 0.6, 1.0)), made("b", argmax=(1.0, 1.2, 2.0))]
    assert numbers.bias(records, "argmax", "loss") == pytest.approx(Mean(-0.2, 0.1, 3))
    assert numbers.bias(records, "argmax", "accuracy") == pytest.approx(Mean(0.1, 0.0, 3))
    assert numbers.bias(records, "ours", "loss") == pytest.approx(Mean(0.0, 0.0, 3))


def test_the_error_within_one_set_is_that_of_its_searches():
    mean = numbers.clustered({"a": [1.0, 2.0, 3.0]})
    assert mean == pytest.approx(Mean(2.0, 1 / math.sqrt(3), 3))
    assert math.isnan(numbers.clustered({"a": [1.0]}).error)
    assert numbers.clustered({}).n == 0


def test_the_median_counts_searches_and_not_sets():
    assert numbers.median({"a": [1.0, 2.0], "b": [100.0]}) == 2.0
    assert math.isnan(numbers.median({}))


def test_the_root_mean_square_does_not_cancel():
    records = [made(ours=(0.5 + by, 0.5, 1.0), name=name) for name, by in (("a", 0.3), ("b", -0.4))]
    assert numbers.bias(records, "ours", "loss").value == pytest.approx(-0.05)
    found = numbers.rmse(records, "ours", "loss")
    assert found.value == pytest.approx(math.sqrt(0.125))
    assert found.error == pytest.approx(0.035 / (2 * math.sqrt(0.125)))


def test_a_metric_counts_where_the_task_has_it():
    records = [made(), made("b", metrics=["loss", "r2"])]
    assert numbers.bias(records, "ours", "accuracy").n == 1
    assert numbers.metrics(records) == ["loss", "accuracy", "r2"]


def test_coverage_counts_the_intervals_that_are_given():
    records = [made(), made(interval=(0.5, 0.9)), made(interval=(0.51, 0.9)), made(interval=(0.1, 0.49))]
    assert numbers.coverage(records, "loss") == Share(2, 4)
    assert numbers.coverage(records, "accuracy") == Share(0, 0)


@pytest.mark.parametrize(
    ("hits", "n", "low", "high"), [(9, 10, 0.5958, 0.9821), (0, 20, 0.0, 0.1611), (50, 50, 0.9287, 1.0)]
)
def test_wilsons_interval_is_the_published_one(hits, n, low, high):
    assert Share(hits, n).interval == pytest.approx((low, high), abs=1e-4)


def test_worse_is_a_larger_loss_and_the_same_configuration_is_not_worse():
    records = [made(argmax=(0, loss, 1.0)) for loss in (1.3, 1.0, 1.1)]
    assert numbers.worse(records, "argmax") == Share(2, 3)
    assert numbers.worse(records, "argmax", 2) == Share(1, 3)
    for record in records:
        record["argmax"]["trial"] = "defaults"
    assert numbers.worse(records, "argmax") == Share(0, 3)


def test_kept_defaults_are_not_worse_however_they_fared():
    record = made(ours=(0.5, 1.2, 1.0))
    assert numbers.worse([record], "ours") == Share(1, 1)
    record["ours"]["is_default"] = True
    assert numbers.worse([record], "ours") == Share(0, 1)
    assert numbers.kept_defaults([record]) == Share(1, 1)


def test_without_paired_errors_there_is_no_verdict_by_them():
    record = made()
    del record["argmax"]["error"]
    assert numbers.worse([record], "argmax", 2) == Share(0, 0)


def test_regret_is_against_the_least_in_the_pool_by_the_loss_of_the_defaults():
    record = made(ours=(0.5, 0.6, 2.0))
    found = {what: numbers.regret(what)(record) for what in ("best", "one_se", "fastest", "ours", "argmax")}
    assert found == {
        "best": pytest.approx(0.075),
        "one_se": pytest.approx(0.15),
        "fastest": None,
        "ours": pytest.approx(0.075),
        "argmax": pytest.approx(0.075),
    }


def test_training_after_the_search_is_by_that_of_the_search():
    assert numbers.extra("epochs")(made()) == pytest.approx(0.25)
    assert numbers.extra("seconds")(made()) == pytest.approx(0.5)


def test_folds_are_paired_with_the_hold_out_search_of_the_same_rows():
    records = [
        made(),
        made(mode="folds", ours=(0.5, 0.4, 9.0)),
        made("b", seed=1),
        made("b", seed=1, mode="folds", ours=(0.5, 0.7, 9.0)),
        made("c"),
        made("d", mode="folds"),
    ]
    assert [(one["set"], folds["mode"]) for one, folds in numbers.pairs(records)] == [("a", "folds"), ("b", "folds")]
    assert numbers.folds_cost(records) == pytest.approx(Mean(485 / 125, 0.0, 2))
    assert numbers.folds_gain(records) == pytest.approx(Mean(0.05, 0.15, 2))
    assert numbers.folds_gain(records, "a").value == pytest.approx(-0.1)


def test_losses_name_the_sets_where_ours_is_worse_the_worst_first():
    assert list(numbers.lost({"a": [-1.0, 0.5], "b": [0.1, 0.2], "c": [3.0]})) == ["c", "b"]
    records = [made("fine"), made("bad", ours=(0.5, 1.5, 1.0)), made("bad", seed=1, ours=(0.5, 1.6, 1.0))]
    lines = page.losses(records).splitlines()
    assert (
        lines[0] == "- By hold-out, larger test loss than the unsearched defaults: bad +55.0 ± 5.0 %; "
        "beyond two standard errors: bad."
    )
    assert "bad +95.0 ± 5.0 %" in lines[1]
    assert lines[2].startswith("- By hold-out, larger test loss than reported: bad +105.0")


def test_the_page_shows_its_records(tmp_path):
    records = [made(n, seed, mode) for n in ("a", "b") for seed in (0, 1) for mode in ("holdout", "folds")]
    (tmp_path / "honesty.md").write_text("before\n<!-- python -m bench.honesty -->\nold\n<!-- end -->\nafter\n")
    found = page.write(records, ABOUT, tmp_path)
    text = (tmp_path / "honesty.md").read_text()
    assert text == f"before\n<!-- python -m bench.honesty -->\n{found}\n<!-- end -->\nafter\n"
    assert "| the 90 % interval has the test score |  | 100 % (51 % to 100 %), 4 of 4 |" in text
    assert "| **all** | 3.88 | 3.00 | +0.0 ± 0.0 % |" in text
    assert json.loads((tmp_path / "honesty.json").read_text()) == {"about": ABOUT, "records": records}
    assert (tmp_path / "honesty.png").stat().st_size > 10_000


@pytest.mark.parametrize("name", ["wine", "diabetes", "made-nothing"])
def test_a_search_has_just_the_rows_that_its_set_names(name, tmp_path):
    """The share of the test part gives a number of rows, and another seed other ones."""
    draw = sets(tmp_path)[0][name]
    (space, frame), (_, again), (_, other) = draw(1), draw(1), draw(2)
    frame.to_csv(tmp_path / "data.csv", index=False)
    data = prepare(DataConfig(source="data.csv", **space["data"]), tmp_path)
    develop = {"wine": 124, "diabetes": 309, "made-nothing": 400}[name]
    assert (len(data.y), len(data.test)) == (develop, len(frame) - develop)
    assert len(data.folds[0].valid) == math.ceil(develop / 4)
    pd.testing.assert_frame_equal(frame, again)
    assert frame.equals(other) == (not name.startswith("made"))


def test_sets_whose_files_are_absent_are_named(tmp_path):
    pd.DataFrame({"x": [1.0], "target": [0]}).to_csv(tmp_path / "sonar.csv", index=False)
    known, absent = sets(tmp_path)
    assert "sonar" in known
    assert isinstance(known["sonar"], partial)
    assert "sonar" not in absent
    assert "glass" in absent
    assert "glass" not in known


@pytest.mark.parametrize("mode", ["holdout", "folds"])
def test_a_search_leaves_a_record_that_the_numbers_can_read(mode, tmp_path):
    space, frame = sets(tmp_path)[0]["wine"](0)
    frame.to_csv(tmp_path / "data.csv", index=False)
    short = {"train": {**space["train"], "epochs": 6}, "budget": {"trials": 4}, "finalists": 1}
    found = {"set": "wine", "seed": 0, **run.record({**space, **short}, tmp_path, mode)}
    assert found["ours"]["trial"] in found["pool"]
    assert found["ours"]["default_test"] == found["pool"]["defaults"]["test"]
    assert found["argmax"]["reported"]["loss"] <= found["pool"]["defaults"]["search"]
    assert all(found["epochs"][part] > 0 for part in ("search", "fresh", "refit"))
    assert numbers.coverage([found], "loss").n == 1
