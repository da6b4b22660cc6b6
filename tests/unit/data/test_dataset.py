"""Prepared data: the split, the rows that preprocessing is fitted on, and the encoding of raw rows."""

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
    """Return sixty rows: their number, a category with gaps, two classes; `columns` add to these or replace them."""
    kinds = [*["u", "v", "w", None] * 15]
    return pd.DataFrame({"row": np.arange(float(N)), "kind": kinds, "y": [0, 1, 0] * 20} | columns)


def prepared(folder, frame, **data):
    frame.to_csv(folder / "t.csv", index=False)
    return data_module.prepare(DataConfig(source="t.csv", target="y", **data), folder, torch.float64)


def numbers(data, x):
    """Return the rows of the file, decoded from the standardized column `row`."""
    (feature,) = [f for f in data.preprocess.features if f["column"] == "row"]
    values = x[:, data.preprocess.features.index(feature)].double() * feature["scale"] + feature["mean"]
    return values.round().long().numpy()


def parts(data):
    """Return the row numbers of the training, validation and test part."""
    fold = data.folds[0]
    return [numbers(data, x) for x in (data.x[fold.train], data.x[fold.valid], data.test.reveal().x)]


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
    prepared_data, split = prepared(tmp_path, frame, **data), SplitConfig(**data.get("split", {}))
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
    for mine, theirs in zip(parts(prepared_data), (train, valid, test), strict=True):
        assert mine.tolist() == theirs.tolist()
    assert prepared_data.notes == ()


def test_every_row_is_in_one_part(tmp_path):
    train, valid, test = parts(prepared(tmp_path, rows()))
    assert sorted([*train, *valid, *test]) == [*range(N)]
    assert [len(train), len(valid), len(test)] == [36, 12, 12]


UNSTRATIFIED = [
    ({"y": ["a"] * 30 + ["b"] * 28 + ["c"] * 2}, {"test": 0.4}, "validation", "a class has one row left"),
    ({"y": np.arange(N) % 20}, {}, "test", "too small for 20 classes"),
    ({}, {"test": 0.01}, "test", "too small for 2 classes"),
]


@pytest.mark.parametrize(("columns", "split", "part", "why"), UNSTRATIFIED, ids=[why for *_, why in UNSTRATIFIED])
def test_classes_too_small_to_stratify_are_noted(tmp_path, columns, split, part, why):
    data = prepared(tmp_path, rows(**columns), split=split)
    assert f"The {part} part was drawn without stratification: {why}." in data.notes
    train, valid, test = parts(data)
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
        "t: the training part holds one class only; use more rows or another split seed.",
    ),
]


@pytest.mark.parametrize(("frame", "data", "sentence"), FEW, ids=[sentence[:60] for *_, sentence in FEW])
def test_impossible_splits_are_refused(tmp_path, frame, data, sentence):
    with pytest.raises(InputError) as caught:
        prepared(tmp_path, frame, **data)
    assert str(caught.value) == sentence


# ---- fitting


def gaps():
    r = np.random.default_rng(0)
    return rows(b=np.where(r.random(N) < 0.3, np.nan, r.gamma(2, 3, N)))


def test_numbers_are_imputed_and_standardized_by_training_rows(tmp_path):
    frame = gaps()
    data = prepared(tmp_path, frame)
    train = frame["b"].to_numpy()[parts(data)[0]]
    filled = np.where(np.isnan(train), np.nanmedian(train), train)
    (feature,) = [f for f in data.preprocess.features if f["column"] == "b"]
    assert feature == {
        "column": "b",
        "median": pytest.approx(np.nanmedian(train)),
        "mean": pytest.approx(filled.mean()),
        "scale": pytest.approx(filled.std()),
    }
    at = data.preprocess.features.index(feature)
    mine = data.x[data.folds[0].train][:, at].numpy()
    assert mine == pytest.approx((filled - filled.mean()) / filled.std(), abs=1e-6)


@pytest.mark.parametrize("part", [1, 2], ids=["validation", "test"])
def test_held_out_rows_do_not_influence_training_rows(tmp_path, part):
    frame = gaps()
    before = prepared(tmp_path, frame)
    held_out = parts(before)[part]
    frame.loc[held_out, "b"] = 1e6
    frame.loc[held_out[:3], "kind"] = "u"
    after = prepared(tmp_path, frame)
    assert after.preprocess == before.preprocess
    assert after.fingerprint != before.fingerprint
    assert after.x[after.folds[0].train].equal(before.x[before.folds[0].train])


def test_categories_are_listed_from_development_rows(tmp_path):
    _, valid, test = parts(prepared(tmp_path, rows()))
    frame = rows()
    frame.loc[[valid[0], test[0], test[1]], "kind"] = ["in valid", "in test", "in test"]
    data = prepared(tmp_path, frame)
    listed = [f["equals"] for f in data.preprocess.features if "equals" in f]
    assert listed == ["", "in valid", "u", "v", "w"]
    assert data.n_inputs == len(listed) + 1 == data.x.shape[1]
    one_hot = data.test.reveal().x[:2, 1:]  # what the training never saw is no category at all
    assert one_hot.sum().item() == 0
    assert data.x[:, 1:].sum(1).eq(1).all()


def test_a_column_without_a_value_in_training_is_a_constant(tmp_path):
    held_out = parts(prepared(tmp_path, rows()))[1]
    values = np.full(N, np.nan)
    values[held_out[0]] = 5.0
    data = prepared(tmp_path, rows(b=values))
    assert data.x.isfinite().all()
    assert data.test.reveal().x[:, 1].unique().tolist() == [0.0]


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


def test_missing_integers_are_imputed_by_a_median_between_them():
    feature = {"column": "n", "median": 2.5, "mean": 0.5, "scale": 2.0}
    frame = pd.DataFrame({"n": pd.array([1, None], "Int64")})
    assert preprocess.Preprocessor((feature,)).encode(frame).tolist() == [[0.25], [1.0]]


@pytest.mark.parametrize("name", ["t.csv", "t.parquet"])
def test_encoding_the_file_again_gives_the_same_matrix(tmp_path, name):
    frame = gaps().assign(code=[1, 2, None] * 20, flag=[True, False, False] * 20)
    frame["n"] = pd.array([1, None, 4] * 20, "Int64")
    frame.to_csv(tmp_path / name, index=False) if name == "t.csv" else frame.to_parquet(tmp_path / name)
    data = data_module.prepare(DataConfig(source=name, target="y", categorical=["code"]), tmp_path)
    again = data.preprocess.encode(frame)
    order = np.concatenate([numbers(data, data.x), numbers(data, data.test.reveal().x)])
    assert torch.cat([data.x, data.test.reveal().x]).numpy() == pytest.approx(again[order], abs=1e-6)
    assert {f["column"]: f["equals"] for f in data.preprocess.features if "equals" in f} == {
        "kind": "w",
        "code": "2",
        "flag": "True",
    }


def test_codes_are_the_same_with_and_without_missing_values(tmp_path):
    data = prepared(tmp_path, rows(code=[1, 2, None] * 20), categorical=["code"])  # in the file: 1.0 and 2.0
    new = pd.DataFrame({"row": [0.0, 0.0], "kind": ["u", "u"], "code": ["1", "1.0"]})
    first, second = data.preprocess.encode(new)
    assert first.tolist() == second.tolist()
    assert first.sum() - first[0] == 2


def test_all_pixels_share_a_mean_and_a_standard_deviation(tmp_path):
    data = data_module.prepare(DataConfig(source="sklearn:digits"), tmp_path)
    scales = {(f["mean"], f["scale"]) for f in data.preprocess.features}
    ((mean, scale),) = scales
    pixels = data.x[data.folds[0].train].double() * scale + mean
    assert [mean, scale] == pytest.approx([pixels.mean().item(), pixels.std(correction=0).item()], abs=1e-4)
    assert [len(data.folds[0].train), len(data.folds[0].valid), len(data.test)] == [1077, 360, 360]


def test_missing_pixels_are_imputed_before_scaling(tmp_path):
    pixels = np.random.default_rng(0).integers(0, 17, (N, 4)).astype(float)
    frame = pd.DataFrame(pixels, columns=list("abcd")).assign(y=[0, 1] * 30)
    gaps = frame.assign(b=[None, *frame["b"][1:]])
    for table in (frame, gaps):
        table.to_csv(tmp_path / "t.csv", index=False)
        data = data_module.prepare(DataConfig(source="t.csv", target="y"), tmp_path, torch.float64, image=(1, 2, 2))
        assert data.x.isfinite().all()
        assert len({(f["mean"], f["scale"]) for f in data.preprocess.features}) == 1
    of_training = data.x[data.folds[0].train]
    assert [float(of_training.mean()), float(of_training.std(correction=0))] == pytest.approx([0, 1], abs=1e-6)


def test_digits_without_a_pixel_are_not_an_image(tmp_path):
    data = data_module.prepare(
        DataConfig(source="sklearn:digits", categorical=["pixel_0_1"], drop=["pixel_0_0"]), tmp_path
    )
    assert len({f["scale"] for f in data.preprocess.features if "scale" in f}) > 50
    assert data.x.isfinite().all()


def test_a_matrix_too_large_for_memory_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(preprocess, "MAX_MATRIX_NUMBERS", 200)
    with pytest.raises(InputError) as caught:
        prepared(tmp_path, rows())
    assert str(caught.value) == (
        "t: 60 rows with 5 inputs are too many to keep in memory; the column kind has 4 categories: "
        "add it to data.drop, or merge the rare ones."
    )


# ---- the target


def test_a_regression_target_is_standardized_by_training_rows(tmp_path):
    y = 1000 + np.arange(N) ** 2 / 3
    data = prepared(tmp_path, rows(y=y))
    train, _, test = parts(data)
    assert (data.task, data.classes, data.n_outputs) == ("regression", (), 1)
    assert [data.target_mean, data.target_scale] == pytest.approx([y[train].mean(), y[train].std()])
    assert data.test.reveal().y.numpy() * data.target_scale + data.target_mean == pytest.approx(y[test])


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
    data = prepared(tmp_path, rows(y=y))
    assert data.classes == classes
    assert [type(label) for label in data.classes] == [type(label) for label in classes]
    assert data.n_outputs == len(classes)
    labels = [data.classes[i] for i in data.test.reveal().y]
    assert labels == [y[i] for i in parts(data)[2]]


def test_balanced_weights_are_those_of_scikit_learn_on_training_rows(tmp_path):
    y = np.array(["a"] * 40 + ["b"] * 15 + ["c"] * 5)
    data = prepared(tmp_path, rows(y=y), class_weight="balanced")
    expected = compute_class_weight("balanced", classes=np.unique(y), y=y[parts(data)[0]])
    assert data.weight.numpy() == pytest.approx(expected[data.y])
    assert data.test.reveal().weight.numpy() == pytest.approx(expected[data.test.reveal().y])
    assert prepared(tmp_path, rows(y=y)).weight is None


def test_take_rows_selects_rows_for_all_fits(tmp_path):
    data = prepared(tmp_path, rows(), class_weight="balanced")
    index = torch.tensor([[0, 5], [5, 1], [2, 2]])
    x, (y, weight) = data.inputs(index), data.targets(index)
    assert x.shape == (3, 2, data.n_inputs)
    assert x[1, 0].equal(data.x[5])
    assert y.equal(data.y[index])
    assert weight.equal(data.weight[index])
