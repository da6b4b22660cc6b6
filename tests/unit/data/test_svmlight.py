"""Files of svmlight: how their pairs are parsed, encoded for training, and used for predictions."""

import io

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.datasets import dump_svmlight_file, load_svmlight_file
from sklearn.feature_extraction.text import TfidfTransformer
from sklearn.preprocessing import StandardScaler

from hpo.core.errors import InputError
from hpo.data import dataset as data_module
from hpo.data import readers, svmlight
from hpo.data.config import DataConfig
from tests.helpers.searches import here, write_space

N = 80


def counts(rows=N, seed=0):
    """Return counts of 30 words; the first six depend on the class."""
    r = np.random.default_rng(seed)
    y = np.arange(rows) % 2
    rate = np.full((rows, 30), 0.15)
    rate[:, :3], rate[:, 3:6] = 0.1 + 0.8 * y[:, None], 0.9 - 0.8 * y[:, None]
    return r.poisson(rate), y


def written(folder, x, y, name="t.svmlight", *, zero_based=True):
    dump_svmlight_file(x, y, str(folder / name), zero_based=zero_based)
    return folder / name


def prepared(folder, **data):
    return data_module.prepare(DataConfig(source="t.svmlight", **data), folder, torch.float64)


def seen(x, y, data, **options):
    """Return scikit-learn's weights, fitted on the training rows of `data`."""
    train = data.origin.rows[data.folds[0].train.numpy()]
    frame = TfidfTransformer(**options).fit(x[train]).transform(x).toarray()
    known = (x[train] > 0).any(0)
    rest = TfidfTransformer(**options).fit(x[train][:, known]).transform(x[:, known]).toarray()
    frame[:] = 0
    frame[:, known] = rest
    return frame[data.origin.rows], y[data.origin.rows]


@pytest.mark.parametrize("zero_based", [True, False])
@pytest.mark.parametrize("options", [{}, {"sublinear_tf": True}, {"use_idf": False}])
def test_inputs_are_those_of_scikit_learn(tmp_path, zero_based, options):
    x, y = counts()
    x[:, 7] = 0
    path = written(tmp_path, x, y, zero_based=zero_based)
    data = prepared(tmp_path, text=options)
    loaded, labels = load_svmlight_file(str(path), n_features=30, zero_based=zero_based)
    terms = [int(term) for term in data.preprocess.documents[0]["terms"]]
    assert terms == [i + (not zero_based) for i in range(30) if loaded[data.origin.rows][:, i].nnz]
    expected, classes = seen(loaded.toarray(), labels, data, **options)
    assert data.x.numpy() == pytest.approx(expected[:, [term - (not zero_based) for term in terms]], abs=1e-6)
    assert [data.classes[i] for i in data.y.tolist()] == classes.tolist()
    assert data.classes == (0, 1)


@pytest.mark.parametrize("make", [lambda x: x - 0.5, lambda x: x + 1.0], ids=["negative", "dense"])
def test_values_that_are_not_counts_are_standardized_by_training_rows(tmp_path, make):
    x, y = make(counts()[0].astype(float)), counts()[1]
    written(tmp_path, x, y)
    data = prepared(tmp_path)
    train = data.origin.rows[data.folds[0].train.numpy()]
    assert data.x.numpy() == pytest.approx(StandardScaler().fit(x[train]).transform(x)[data.origin.rows], abs=1e-5)
    again = data.preprocess.encode(readers.read_file(tmp_path / "t.svmlight"))
    assert again == pytest.approx(StandardScaler().fit(x[train]).transform(x), abs=1e-5)


def test_the_most_frequent_indices_are_kept_if_there_is_a_limit(tmp_path):
    x, y = counts()
    written(tmp_path, np.hstack([x, np.ones((N, 2))]), y)
    assert prepared(tmp_path, text={"features": 2}).preprocess.documents[0]["terms"] == ["30", "31"]
    wide = np.zeros((N, 3000))
    wide[np.arange(3000) % N, np.arange(3000)] = 1
    written(tmp_path, wide, y)
    assert prepared(tmp_path, split={"test": 0.01}).n_inputs > 2900  # no column is left out automatically


def test_labels_comments_and_empty_rows(tmp_path):
    lines = ["# a comment", "+1 3:1 5:2.5e-1 # more", "", "-1", "2:.5", "-1 3:1"]
    (tmp_path / "t.libsvm").write_text("\n".join(lines))
    frame = readers.read_file(tmp_path / "t.libsvm")
    assert frame["features"].tolist() == ["3:1 5:2.5e-1", "", "2:.5", "3:1"]
    assert frame["target"].tolist()[:2] == [1.0, -1.0]
    assert frame["target"].isna().tolist() == [False, False, True, False]
    pairs = svmlight.parse(frame["features"].tolist())
    assert (pairs.row.tolist(), pairs.index.tolist(), pairs.value.tolist()) == (
        [0, 0, 2, 3],
        [3, 5, 2, 3],
        [1.0, 0.25, 0.5, 1.0],
    )


@pytest.mark.parametrize(
    ("line", "sentence"),
    [
        ("1 3:x", "line 2 must hold index:value after its label, as in 3:1.5, but holds 3:x."),
        ("1 qid:4 3:1", "line 2 must hold index:value after its label, as in 3:1.5, but holds qid:4."),
        ("1 3:1:4 5", "line 2 must hold index:value after its label, as in 3:1.5, but holds 3:1:4."),
        ("1 3:inf", "line 2 must hold index:value after its label, as in 3:1.5, but holds 3:inf."),
        ("1,2 3:1", "line 2 must begin with its label, a number, but begins with 1,2."),
    ],
)
def test_invalid_lines_are_refused(tmp_path, line, sentence):
    (tmp_path / "t.svmlight").write_text(f"0 1:1\n{line}\n")
    with pytest.raises(InputError) as caught:
        readers.read_file(tmp_path / "t.svmlight")
    assert str(caught.value) == f"{tmp_path}/t.svmlight: {sentence}"


def test_a_file_without_rows_or_without_values(tmp_path):
    (tmp_path / "t.svmlight").write_text("# nothing\n")
    with pytest.raises(InputError, match="is empty; it needs rows of a label and index:value"):
        readers.read_file(tmp_path / "t.svmlight")
    (tmp_path / "t.svmlight").write_text("0\n1\n" * 20)
    with pytest.raises(
        InputError, match="t: the column features has no value in the rows to learn from; name other rows or columns"
    ):
        prepared(tmp_path)


def test_a_column_of_a_csv_may_hold_pairs(tmp_path):
    x, y = counts()
    written(tmp_path, x, y)
    frame = readers.read_file(tmp_path / "t.svmlight").assign(price=np.arange(N))
    frame.to_csv(tmp_path / "t.csv", index=False)
    data = data_module.prepare(
        DataConfig(source="t.csv", text={"columns": ["features"], "vectorizer": "svmlight"}), tmp_path, torch.float64
    )
    assert data.x[:, 1:].equal(prepared(tmp_path).x)
    frame.assign(features="no token").to_csv(tmp_path / "t.csv", index=False)
    with pytest.raises(
        InputError, match=r"t: the column features: every row must hold index:value, as in 3:1\.5, but one holds no\."
    ):
        data_module.prepare(
            DataConfig(source="t.csv", text={"columns": ["features"], "vectorizer": "svmlight"}), tmp_path
        )


@pytest.mark.parametrize("text", [["features"], {"columns": ["features"]}, {"vectorizer": "svmlight"}])
def test_pairs_are_parsed_for_every_spelling_of_the_text_section(tmp_path, text):
    written(tmp_path, *counts())
    assert prepared(tmp_path, text=text).x.equal(prepared(tmp_path).x)


def test_pairs_cannot_be_counted_as_words(tmp_path):
    with pytest.raises(
        ValueError,
        match=r"t\.svmlight holds index:value pairs instead of words, so text\.vectorizer must be "
        r"svmlight, got tfidf; leave it out",
    ):
        prepared(tmp_path, text={"vectorizer": "tfidf"})


@pytest.mark.parametrize(("option", "value"), [("binary", True), ("use_idf", False), ("sublinear_tf", True)])
def test_values_that_are_not_counts_refuse_options_for_counts(tmp_path, option, value):
    x, y = counts()
    written(tmp_path, x - 0.5, y)
    with pytest.raises(
        InputError, match=rf"data\.text\.{option}: weights counts, but the column features of t holds negative values"
    ):
        prepared(tmp_path, text={option: value})


def test_too_large_values_are_refused(tmp_path):
    (tmp_path / "t.svmlight").write_text("1 1:1\n0 2:1e999\n" * 20)
    with pytest.raises(
        InputError, match=r"t: the column features: no value may be beyond 1e\+100, but that of 2 is inf\."
    ):
        prepared(tmp_path)


def test_pairs_cannot_be_augmented(tmp_path):
    written(tmp_path, *counts())
    with pytest.raises(InputError, match=r"search\.random_deletion: needs a text column, and t has none"):
        data_module.prepare(DataConfig(source="t.svmlight"), tmp_path, augmentations=["random_deletion"])


@pytest.mark.usefixtures("unrecorded")
def test_from_a_file_to_predictions(store):
    written(store.parent, *counts())
    x, y = counts(rows=60, seed=1)
    new = written(store.parent, x, y, "new.svmlight")
    space = write_space(store, data={"source": "t.svmlight"}, train={"epochs": 12, "batch_size": 16}, finalists=0)
    ran = here("search", "--space", space, "--store", store)
    assert ran.exit_code == 0, ran.output
    best = store.parent / "best"
    assert here("export", "--store", store, "--weights", best, "-o", store.parent / "best.yaml").exit_code == 0
    said = pd.read_csv(io.StringIO(here("predict", new, "--weights", best).stdout))
    assert (said["prediction"] == y).mean() > 0.8
    assert here("check", store.parent / "best.yaml").exit_code == 0
    assert here("init", new, "-o", store.parent / "mine.yaml").exit_code == 0
    assert here("check", store.parent / "mine.yaml").exit_code == 0
