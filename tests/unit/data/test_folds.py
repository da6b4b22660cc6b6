"""Folds, groups and time: which rows are drawn, and that a fold is encoded by its own training rows without leaks."""

from collections import Counter
from functools import partial
from itertools import pairwise

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.impute import SimpleImputer
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from hpo.core.errors import InputError
from hpo.core.samples import Fold
from hpo.data import dataset as data_module
from hpo.data.config import DataConfig
from hpo.space.settings import TrainConfig
from hpo.training.program import Program
from tests.helpers.training import busy, population, trial

N = 240
KINDS = {
    "hold-out": {},
    "folds": {"folds": 4},
    "repeats": {"folds": 3, "repeats": 2},
    "groups": {"groups": "who"},
    "groups, folds": {"groups": "who", "folds": 4},
    "time": {"time": "when"},
    "time, folds": {"time": "when", "folds": 4, "repeats": 2},
}


def table(task="regression"):
    """Return rows that their target identifies, or two classes, one rare; groups of all sizes; several rows per day."""
    r = np.random.default_rng(0)
    frame = pd.DataFrame(
        {
            "a": np.where(r.random(N) < 0.2, np.nan, r.gamma(2, 3, N)),
            "kind": r.choice(["u", "v", "w"], N),
            "who": r.choice([f"person {i}" for i in range(40)], N),
            "when": pd.Timestamp("2026-01-01") + pd.to_timedelta(r.integers(0, 90, N), unit="D"),
            "id": np.arange(float(N)),
        }
    )
    frame["y"] = frame.index * 1.5 if task == "regression" else np.where(r.random(N) < 0.25, "rare", "usual")
    return frame


def prepared(folder, split, task="regression", frame=None, **data):
    (table(task) if frame is None else frame).to_csv(folder / "t.csv", index=False)
    said = DataConfig(source="t.csv", target="y", drop=["who", "when"], split=split, **data)
    return data_module.prepare(said, folder, torch.float64)


def samples(data):
    """Return all samples that a data set yields, in a search and after it."""
    return {"search": data, "fresh": data.new_folds(1), "again": data.new_folds(2), "whole": data.without_validation()}


def rows(data, of):
    """Which row of the file each row of `of.x` is, read from its target; and which are for the test."""
    test = (data.test.reveal().y * data.target_scale + data.target_mean).numpy()
    left = np.setdiff1d(np.arange(N), np.round(test / 1.5).astype(int))
    return left[np.unique(of.y.numpy(), return_inverse=True)[1]], np.setdiff1d(np.arange(N), left)


def parts(data, of):
    """Return (training, validation rows) of every fold, as rows of the file."""
    number, _ = rows(data, of)
    return [tuple(number[part] for part in (fold.train, fold.valid)) for fold in of.folds]


# ---- leakage


@pytest.mark.parametrize("kind", KINDS)
def test_held_out_rows_are_never_in_a_batch(tmp_path, monkeypatch, kind):
    """The rows of every batch of complete trainings are read from their targets."""
    data = prepared(tmp_path, KINDS[kind])
    seen = {}
    before = Program.train_step

    def step(program, *given):
        for row, batch in zip(program.rows, given[1], strict=True):
            seen.setdefault((row.fit.trial.label, row.fit.fold.number), set()).update(number[batch].tolist())
        return before(program, *given)

    monkeypatch.setattr(Program, "train_step", step)
    for of in samples(data).values():
        number, test = rows(data, of)
        seen.clear()
        pop = population(of, TrainConfig(epochs=2, batch_size=32, patience=2))
        for i in range(2):
            pop.admit(trial(str(i)))
        while busy(pop):
            for score in list(pop.train_epoch()):
                if score.stop_reason:
                    pop.release(score.trial)
        assert len(seen) == 2 * len(of.folds)
        for fold, (train, valid) in zip(of.folds, parts(data, of), strict=True):
            for label in "01":
                learned = seen[label, fold.number]
                assert learned == {*train.tolist()}
                assert not learned & {*valid.tolist(), *test.tolist()}


@pytest.mark.parametrize("kind", KINDS)
def test_every_fold_is_encoded_by_its_own_training_rows(tmp_path, kind):
    data, frame = prepared(tmp_path, KINDS[kind]), table()
    for of in samples(data).values():
        number, _ = rows(data, of)
        for train, valid in ([fold.train, fold.valid] for fold in of.folds):
            known, all_of_it = number[train], torch.cat([train, valid])
            scaled = make_pipeline(SimpleImputer(strategy="median"), StandardScaler()).fit(frame[["a"]].iloc[known])
            expected = scaled.transform(frame[["a"]].iloc[number[all_of_it]])[:, 0]
            assert of.x[all_of_it, 0].numpy() == pytest.approx(expected, abs=1e-6)
    assert data.n_inputs == 2 + 3  # numbers and categories, but neither groups nor time


@pytest.mark.parametrize("kind", KINDS)
def test_values_of_held_out_rows_do_not_change_training_rows(tmp_path, kind):
    data, frame = prepared(tmp_path, KINDS[kind]), table()
    before, (number, test) = samples(data), rows(data, data)
    fold = data.folds[-1]
    frame.loc[[*test, *number[fold.valid]], "a"] = 1e6
    after = samples(prepared(tmp_path, KINDS[kind], frame=frame))
    assert after["search"].x[fold.train].equal(before["search"].x[fold.train])
    frame = table()
    frame.loc[test, "a"] = 1e6
    after = samples(prepared(tmp_path, KINDS[kind], frame=frame))
    assert all(after[name].x.equal(before[name].x) for name in before)


# ---- rows of the folds


@pytest.mark.parametrize("kind", KINDS)
def test_parts_of_a_fold_are_disjoint_in_rows_groups_and_days(tmp_path, kind):
    data, frame = prepared(tmp_path, KINDS[kind]), table()
    column = {"groups": "who", "time": "when"}.get(kind.partition(",")[0])
    for name, of in samples(data).items():
        _, held_out = rows(data, of)
        assert 0.1 * N < len(held_out) < 0.3 * N
        for train, valid in parts(data, of):
            known = [{*part.tolist()} for part in (train, valid, held_out)]
            assert len(set.union(*known)) == sum(map(len, known))
            if column:
                values = [{*frame[column].iloc[part]} for part in (train, valid, held_out)]
                assert len(set.union(*values)) == sum(map(len, values))
            if column == "when":
                days = [frame["when"].iloc[part] for part in (train, valid, held_out) if len(part)]
                assert all(a.max() < b.min() for a, b in pairwise(days))
        if column != "when" and kind not in ("hold-out", "groups") and name in ("search", "fresh"):
            times = Counter(np.concatenate([valid for _, valid in parts(data, of)]).tolist())
            assert times == dict.fromkeys(
                np.setdiff1d(np.arange(N), held_out).tolist(), 2 if (kind, name) == ("repeats", "search") else 1
            )


@pytest.mark.parametrize("kind", KINDS)
def test_new_folds_differ_by_draw_except_over_time(tmp_path, kind):
    data = prepared(tmp_path, KINDS[kind])
    again = prepared(tmp_path, KINDS[kind])

    def valid(of):
        return [sorted(valid.tolist()) for _, valid in parts(data, of)]

    one, two = valid(data.new_folds(1)), valid(data.new_folds(2))
    assert one == valid(again.new_folds(1))
    if "time" in kind:
        assert one == two == valid(data)[: len(one)]
    else:
        assert not any(part in two or part in valid(data) for part in one)


@pytest.mark.parametrize("kind", [kind for kind in KINDS if "time" not in kind])
def test_every_part_has_the_same_class_shares(tmp_path, kind):
    data = prepared(tmp_path, KINDS[kind], "classification")
    share = float(np.mean(table("classification")["y"] == "rare"))
    for of in (data, data.new_folds(1)):
        for fold in of.folds:
            for part in (fold.train, fold.valid):
                assert abs(float((of.y[part] == 0).double().mean()) - share) < (0.15 if "groups" in kind else 0.06)
    assert data.notes == ()


@pytest.mark.parametrize("seed", range(4))
def test_groups_are_split_evenly(tmp_path, seed):
    """With a random assignment of groups, one fold is 1.26 to 1.6 times as large as another."""
    data = prepared(tmp_path, {"groups": "who", "folds": 4, "seed": seed}, "classification")
    sizes = [len(fold.valid) for fold in data.folds]
    assert max(sizes) / min(sizes) < 1.2
    assert abs(len(data.test) / N - 0.2) < 0.01


def test_classes_too_small_for_the_folds_are_noted(tmp_path):
    frame = table("classification")
    frame["y"] = ["usual"] * (N - 4) + ["rare"] * 4
    data = prepared(tmp_path, {"folds": 5}, frame=frame)
    assert data.notes == ("The folds were drawn without stratification: a class has fewer than 5 rows.",)
    assert sorted(len(fold.valid) for fold in data.folds) == [38, 38, 38, 39, 39]


def test_the_target_is_standardized_by_development_rows(tmp_path):
    data, frame = prepared(tmp_path, {"folds": 4}), table()
    _, test = rows(data, data)
    known = frame["y"].drop(test)
    assert [data.target_mean, data.target_scale] == pytest.approx([known.mean(), known.std(ddof=0)])
    balanced = prepared(tmp_path, {"folds": 4}, "classification", class_weight="balanced")
    rare = balanced.y == 0
    assert float(balanced.weight[rare].sum()) == pytest.approx(float(balanced.weight[~rare].sum()))


def test_a_refit_trains_on_all_development_rows(tmp_path):
    data = prepared(tmp_path, {})
    whole = data.without_validation()
    (fold,) = whole.folds
    assert (len(fold.train), len(fold.valid), len(fold.test)) == (data.n_development, 0, 0)
    encoded = whole.preprocess.encode(table())
    number, test = rows(data, whole)
    assert whole.x.numpy() == pytest.approx(encoded[number], abs=1e-6)
    again = (whole.test.reveal().y * whole.target_scale + whole.target_mean).numpy() / 1.5
    assert sorted(np.round(again).astype(int)) == test.tolist()
    assert whole.test.reveal().x.numpy() == pytest.approx(encoded[np.round(again).astype(int)], abs=1e-6)
    assert (whole.fingerprint, whole.notes) == (data.fingerprint, data.notes)


# ---- unsuitable columns and sizes


def changed(column, values):
    return table().assign(**{column: values})


@pytest.mark.parametrize(
    "values", [np.arange(N) % 50, [f"2026-{1 + i % 9:02d}-03T10:00:00+0{i % 3}:00" for i in range(N)]]
)
def test_time_may_be_numbers_or_iso_dates(tmp_path, values):
    data = prepared(tmp_path, {"time": "when"}, frame=changed("when", values))
    at = pd.Series(values) if isinstance(values[0], np.integer) else pd.to_datetime(pd.Series(values), utc=True)
    ((train, valid),) = parts(data, data)
    assert at[train].max() < at[valid].min()


GROUPS = "data.split.groups: t: the column who"
TIME = "data.split.time: t: the column when"
REFUSED = [
    (
        {"groups": "whom"},
        table,
        "data.split.groups: t has no column whom other than the target. It has: a, kind, who, when, id.",
    ),
    (
        {"groups": "who"},
        partial(changed, "who", [None, *"ab" * 119, "c"]),
        f"{GROUPS} has no value in row 1; fill it in or remove that row.",
    ),
    (
        {"groups": "who"},
        partial(changed, "who", ["a", "b"] * 120),
        "data.split.groups: the column who of t has only 2 different values, too few to split off a test part; "
        "use fewer folds or another column.",
    ),
    (
        {"groups": "who", "folds": 20},
        partial(changed, "who", [*"abcdefgh"] * 30),
        "data.split.groups: the column who of t has only 6 different values, too few for 20 folds; "
        "use fewer folds or another column.",
    ),
    (
        {"time": "when"},
        partial(changed, "when", ["2026-01-01"] * 239 + ["tomorrow"]),
        f"{TIME} must hold numbers or ISO dates (2026-01-31), but row 240 holds tomorrow; fix it, "
        "or name another column.",
    ),
    (
        {"time": "when"},
        partial(changed, "when", [1] * N),
        "data.split.time: the column when of t has only 1 different value, too few to split off a test part; "
        "use fewer folds or another column.",
    ),
    (
        {"time": "when", "folds": 5},
        partial(changed, "when", np.arange(N) // 50),
        "data.split.time: the column when of t has only 3 different values, too few for 5 folds; "
        "use fewer folds or another column.",
    ),
    ({"test": 0.98, "folds": 6}, table, "t: 6 folds of data.split cannot be drawn from 4 rows."),
]


@pytest.mark.parametrize(("split", "frame", "sentence"), REFUSED, ids=[sentence[:70] for *_, sentence in REFUSED])
def test_impossible_folds_are_refused(tmp_path, split, frame, sentence):
    with pytest.raises(InputError) as caught:
        prepared(tmp_path, split, frame=frame())
    assert str(caught.value) == sentence


def test_too_many_folds_for_memory_are_refused(tmp_path, monkeypatch):
    monkeypatch.setattr("hpo.data.fold_encoding.MAX_NUMBERS", 2000)
    with pytest.raises(
        InputError, match=r"^t: 192 rows with 5 inputs are too many to keep in memory for each of 4 folds; use fewer"
    ):
        prepared(tmp_path, {"folds": 4})


def test_groups_are_part_of_the_fingerprint(tmp_path):
    frame = table()
    one = prepared(tmp_path, {"groups": "who"}, frame=frame)
    two = prepared(tmp_path, {"groups": "who"}, frame=frame.assign(who=frame["who"].to_numpy()[::-1]))
    assert one.fingerprint != two.fingerprint


def test_a_fold_has_no_test_rows_by_default():
    assert Fold(0, torch.arange(2), torch.arange(2)).test.tolist() == []
