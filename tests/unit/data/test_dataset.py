"""Data made ready for training: the parts, what may be learned from which of them, and what raw rows become."""

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.model_selection import train_test_split
from sklearn.utils.class_weight import compute_class_weight

from hpo.core.errors import InputError
from hpo.data import dataset as data_module
from hpo.data import preprocess
from hpo.data.config import DataConfig, SplitConfig

N = 60


def rows(**columns):
    """Sixty rows: their number, a category with gaps, two classes; and further columns, or these in place of them."""
    kinds = [*["u", "v", "w", None] * 15]
    return pd.DataFrame({"row": np.arange(float(N)), "kind": kinds, "y": [0, 1, 0] * 20} | columns)


def prepared(folder, frame, **data):
    frame.to_csv(folder / "t.csv", index=False)
    return data_module.prepare(DataConfig(source="t.csv", target="y", **data), folder, torch.float64)


def numbers(data, x):
    """Which rows of the file these are, read back from the standardised column `row`."""
    (feature,) = [f for f in data.preprocess.features if f["column"] == "row"]
    values = x[:, data.preprocess.features.index(feature)].double() * feature["scale"] + feature["mean"]
    return values.round().long().numpy()


def parts(data):
    """The numbers of the rows in training, validation and test."""
    fold = data.folds[0]
    return [numbers(data, x) for x in (data.x[fold.train], data.x[fold.valid], data.test_x)]


SPLITS = [
    ({}, {}, True),
    ({"split": {"test": 0.1, "valid": 0.3, "seed": 7}}, {}, True),
    ({"split": {"test": 0.5, "valid": 0.25, "seed": 2**32 - 1}}, {}, True),
    ({}, {"y": np.arange(N) * 0.5}, False),
    ({"split": {"test": 0.3, "valid": 0.3, "seed": 1}}, {"y": np.arange(N) % 7 + np.arange(N) / N}, False),
    ({}, {"y": ["a"] * 29 + ["b"] * 28 + ["c"] * 3}, True),
]


@pytest.mark.parametrize(("data", "columns", "stratified"), SPLITS)
def test_the_parts_are_those_of_train_test_split(tmp_path, data, columns, stratified):
    frame = rows(**columns)
    found, split = prepared(tmp_path, frame, **data), SplitConfig(**data.get("split", {}))
    y = frame["y"].to_numpy()
    rest, test = train_test_split(
        np.arange(N), test_size=split.test, random_state=split.seed, stratify=y if stratified else None
    )
    train, valid = train_test_split(
        rest,
        test_size=split.valid / (1 - split.test),
        random_state=split.seed,
        stratify=y[rest] if stratified else None,
    )
    for mine, theirs in zip(parts(found), (train, valid, test), strict=True):
        assert mine.tolist() == theirs.tolist()
    assert found.notes == ()


def test_every_row_is_in_one_part(tmp_path):
    train, valid, test = parts(prepared(tmp_path, rows()))
    assert sorted([*train, *valid, *test]) == [*range(N)]
    assert [len(train), len(valid), len(test)] == [36, 12, 12]


UNSTRATIFIED = [
    ({"y": ["a"] * 30 + ["b"] * 28 + ["c"] * 2}, {"test": 0.4}, "validation", "a class has a single row left"),
    ({"y": np.arange(N) % 20}, {}, "test", "too small for 20 classes"),
    ({}, {"test": 0.01}, "test", "too small for 2 classes"),
]


@pytest.mark.parametrize(("columns", "split", "part", "why"), UNSTRATIFIED, ids=[why for *_, why in UNSTRATIFIED])
def test_classes_too_small_to_stratify_are_noted_and_drawn_without(tmp_path, columns, split, part, why):
    found = prepared(tmp_path, rows(**columns), split=split)
    assert f"The {part} part was drawn without stratification: {why}." in found.notes
    train, valid, test = parts(found)
    share, source, drawn = SplitConfig(**split).test, np.arange(N), test
    if part == "validation":
        share, drawn = 0.2 / (1 - share), valid
        source = train_test_split(np.arange(N), test_size=0.4, random_state=0, stratify=columns["y"])[0]
    assert drawn.tolist() == train_test_split(source, test_size=share, random_state=0)[1].tolist()
    assert len(train) + len(valid) + len(test) == N


SINGLE = "t: the validation part of data.split cannot be drawn from a single row."
FEW = [
    (
        rows(y=np.arange(N) * 0.5),
        {"class_weight": "balanced"},
        "data.class_weight: balanced needs classes, but the task is regression; leave it out.",
    ),
    (rows(y=np.arange(N) * 0.5)[:2], {"task": "regression", "drop": ["kind"]}, SINGLE),
    (rows(), {"split": {"test": 0.98, "valid": 0.015}}, SINGLE),
    (rows(), {"split": {"test": 0.99, "valid": 0.005}}, "t: the test part of data.split cannot be drawn from 60 rows."),
    (
        rows(y=["a"] * 58 + ["b"] * 2),
        {"split": {"test": 0.4}},
        "t: the training part holds one class only; more rows or another split seed help.",
    ),
]


@pytest.mark.parametrize(("frame", "data", "sentence"), FEW, ids=[sentence[:60] for *_, sentence in FEW])
def test_what_cannot_be_split_is_refused_in_a_sentence(tmp_path, frame, data, sentence):
    with pytest.raises(InputError) as caught:
        prepared(tmp_path, frame, **data)
    assert str(caught.value) == sentence


# ---- what is learned, and from which rows


def gaps():
    r = np.random.default_rng(0)
    return rows(b=np.where(r.random(N) < 0.3, np.nan, r.gamma(2, 3, N)))


def test_numbers_are_imputed_and_standardised_by_training_rows(tmp_path):
    frame = gaps()
    found = prepared(tmp_path, frame)
    train = frame["b"].to_numpy()[parts(found)[0]]
    filled = np.where(np.isnan(train), np.nanmedian(train), train)
    (feature,) = [f for f in found.preprocess.features if f["column"] == "b"]
    assert feature == {
        "column": "b",
        "median": pytest.approx(np.nanmedian(train)),
        "mean": pytest.approx(filled.mean()),
        "scale": pytest.approx(filled.std()),
    }
    at = found.preprocess.features.index(feature)
    mine = found.x[found.folds[0].train][:, at].numpy()
    assert mine == pytest.approx((filled - filled.mean()) / filled.std(), abs=1e-6)


@pytest.mark.parametrize("part", [1, 2], ids=["validation", "test"])
def test_nothing_of_a_held_out_row_reaches_what_is_learned(tmp_path, part):
    frame = gaps()
    before = prepared(tmp_path, frame)
    held_out = parts(before)[part]
    frame.loc[held_out, "b"] = 1e6
    frame.loc[held_out[:3], "kind"] = "u"
    after = prepared(tmp_path, frame)
    assert after.preprocess == before.preprocess
    assert after.fingerprint != before.fingerprint
    assert after.x[after.folds[0].train].equal(before.x[before.folds[0].train])


def test_categories_are_listed_from_all_rows_but_the_test_part(tmp_path):
    _, valid, test = parts(prepared(tmp_path, rows()))
    frame = rows()
    frame.loc[[valid[0], test[0], test[1]], "kind"] = ["in valid", "in test", "in test"]
    found = prepared(tmp_path, frame)
    listed = [f["equals"] for f in found.preprocess.features if "equals" in f]
    assert listed == ["", "in valid", "u", "v", "w"]
    assert found.n_inputs == len(listed) + 1 == found.x.shape[1]
    one_hot = found.test_x[:2, 1:]  # what the training never saw is no category at all
    assert one_hot.sum().item() == 0
    assert found.x[:, 1:].sum(1).eq(1).all()


def test_a_column_without_a_value_in_training_is_a_constant(tmp_path):
    held_out = parts(prepared(tmp_path, rows()))[1]
    values = np.full(N, np.nan)
    values[held_out[0]] = 5.0
    found = prepared(tmp_path, rows(b=values))
    assert found.x.isfinite().all()
    assert found.test_x[:, 1].unique().tolist() == [0.0]


RAW = [
    ({"row": 3.0, "kind": "v"}, ["v"]),
    ({"row": 3, "kind": None}, [""]),
    ({"row": np.nan, "kind": "u"}, ["u"]),
    ({"row": 1e9, "kind": "never seen"}, []),
    ({"row": -1.0, "kind": np.nan}, [""]),
]


@pytest.mark.parametrize(("raw", "on"), RAW)
def test_raw_rows_are_encoded_as_they_were_for_training(tmp_path, raw, on):
    features = prepared(tmp_path, rows()).preprocess
    encoded = features.encode(pd.DataFrame([raw, raw]))
    number = features.features[0]
    value = number["median"] if np.isnan(raw["row"]) else raw["row"]
    assert encoded.dtype == np.float32
    assert encoded[:, 0] == pytest.approx((value - number["mean"]) / number["scale"])
    assert [f["equals"] for f, x in zip(features.features[1:], encoded[0, 1:], strict=True) if x] == on


def test_whole_numbers_with_gaps_take_a_median_between_them():
    feature = {"column": "n", "median": 2.5, "mean": 0.5, "scale": 2.0}
    frame = pd.DataFrame({"n": pd.array([1, None], "Int64")})
    assert preprocess.Preprocessor((feature,)).encode(frame).tolist() == [[0.25], [1.0]]


@pytest.mark.parametrize("name", ["t.csv", "t.parquet"])
def test_encoding_the_file_again_gives_the_same_matrix(tmp_path, name):
    frame = gaps().assign(code=[1, 2, None] * 20, flag=[True, False, False] * 20)
    frame["n"] = pd.array([1, None, 4] * 20, "Int64")
    frame.to_csv(tmp_path / name, index=False) if name == "t.csv" else frame.to_parquet(tmp_path / name)
    found = data_module.prepare(DataConfig(source=name, target="y", categorical=["code"]), tmp_path)
    again = found.preprocess.encode(frame)
    order = np.concatenate([numbers(found, found.x), numbers(found, found.test_x)])
    assert torch.cat([found.x, found.test_x]).numpy() == pytest.approx(again[order], abs=1e-6)
    assert {f["column"]: f["equals"] for f in found.preprocess.features if "equals" in f} == {
        "kind": "w",
        "code": "2",
        "flag": "True",
    }


def test_codes_are_the_same_with_and_without_gaps_in_the_file(tmp_path):
    found = prepared(tmp_path, rows(code=[1, 2, None] * 20), categorical=["code"])  # in the file: 1.0 and 2.0
    new = pd.DataFrame({"row": [0.0, 0.0], "kind": ["u", "u"], "code": ["1", "1.0"]})
    first, second = found.preprocess.encode(new)
    assert first.tolist() == second.tolist()
    assert first.sum() - first[0] == 2


def test_all_pixels_have_one_mean_and_one_deviation(tmp_path):
    found = data_module.prepare(DataConfig(source="sklearn:digits"), tmp_path)
    scales = {(f["mean"], f["scale"]) for f in found.preprocess.features}
    ((mean, scale),) = scales
    pixels = found.x[found.folds[0].train].double() * scale + mean
    assert [mean, scale] == pytest.approx([pixels.mean().item(), pixels.std(correction=0).item()], abs=1e-4)
    assert [len(found.folds[0].train), len(found.folds[0].valid), len(found.test_x)] == [1077, 360, 360]


def test_an_empty_pixel_is_filled_before_all_are_measured(tmp_path):
    pixels = np.random.default_rng(0).integers(0, 17, (N, 4)).astype(float)
    frame = pd.DataFrame(pixels, columns=list("abcd")).assign(y=[0, 1] * 30)
    gaps = frame.assign(b=[None, *frame["b"][1:]])
    for table in (frame, gaps):
        table.to_csv(tmp_path / "t.csv", index=False)
        found = data_module.prepare(DataConfig(source="t.csv", target="y"), tmp_path, torch.float64, image=(1, 2, 2))
        assert found.x.isfinite().all()
        assert len({(f["mean"], f["scale"]) for f in found.preprocess.features}) == 1
    of_training = found.x[found.folds[0].train]
    assert [float(of_training.mean()), float(of_training.std(correction=0))] == pytest.approx([0, 1], abs=1e-6)


def test_a_changed_digits_is_no_image_any_more(tmp_path):
    found = data_module.prepare(
        DataConfig(source="sklearn:digits", categorical=["pixel_0_1"], drop=["pixel_0_0"]), tmp_path
    )
    assert len({f["scale"] for f in found.preprocess.features if "scale" in f}) > 50
    assert found.x.isfinite().all()


def test_a_matrix_that_does_not_fit_is_refused_before_it_is_made(tmp_path, monkeypatch):
    monkeypatch.setattr(preprocess, "_MOST_NUMBERS", 200)
    with pytest.raises(InputError) as caught:
        prepared(tmp_path, rows())
    assert str(caught.value) == (
        "t: 60 rows with 5 inputs are too many to keep in memory; the column kind has 4 categories: "
        "add it to data.drop, or merge the rare ones."
    )


# ---- the target


def test_a_regression_target_is_standardised_by_training_rows(tmp_path):
    y = 1000 + np.arange(N) ** 2 / 3
    found = prepared(tmp_path, rows(y=y))
    train, _, test = parts(found)
    assert (found.task, found.classes, found.n_outputs) == ("regression", (), 1)
    assert [found.target_mean, found.target_scale] == pytest.approx([y[train].mean(), y[train].std()])
    assert found.test_y.numpy() * found.target_scale + found.target_mean == pytest.approx(y[test])


@pytest.mark.parametrize(
    ("y", "classes"),
    [
        ([0, 1, 0] * 20, (0, 1)),
        ([2.0, None, 1.0] * 20, (1, 2)),
        (["v", "u", "v"] * 20, ("u", "v")),
        ([True, False, True] * 20, (False, True)),
        ([0.5, 1.5, 2.5] * 20, (0.5, 1.5, 2.5)),
    ],
)
def test_classes_are_numbered_in_order_and_keep_their_labels(tmp_path, y, classes):
    found = prepared(tmp_path, rows(y=y))
    assert found.classes == classes
    assert [type(label) for label in found.classes] == [type(label) for label in classes]
    assert found.n_outputs == len(classes)
    labels = [found.classes[i] for i in found.test_y]
    assert labels == [y[i] for i in parts(found)[2]]


def test_balanced_weights_are_those_of_scikit_learn_on_training_rows(tmp_path):
    y = np.array(["a"] * 40 + ["b"] * 15 + ["c"] * 5)
    found = prepared(tmp_path, rows(y=y), class_weight="balanced")
    expected = compute_class_weight("balanced", classes=np.unique(y), y=y[parts(found)[0]])
    assert found.weight.numpy() == pytest.approx(expected[found.y])
    assert found.test_weight.numpy() == pytest.approx(expected[found.test_y])
    assert prepared(tmp_path, rows(y=y)).weight is None


def test_rows_are_taken_for_every_fit_at_once(tmp_path):
    found = prepared(tmp_path, rows(), class_weight="balanced")
    index = torch.tensor([[0, 5], [5, 1], [2, 2]])
    x, (y, weight) = found.inputs(index), found.targets(index)
    assert x.shape == (3, 2, found.n_inputs)
    assert x[1, 0].equal(found.x[5])
    assert y.equal(found.y[index])
    assert weight.equal(found.weight[index])
