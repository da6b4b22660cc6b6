"""Text columns: how they are recognized and encoded, and which rows their weights are fitted on."""

import io
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
import yaml
from sklearn.feature_extraction.text import HashingVectorizer, TfidfVectorizer

from hpo.core.errors import InputError
from hpo.data import dataset as data_module
from hpo.data import preprocess, table
from hpo.data.config import DataConfig
from hpo.data.dataset import Dataset
from hpo.space import loader
from hpo.workflows.prepare import prepare
from tests.helpers.docs import code_blocks
from tests.helpers.searches import here
from tests.helpers.tables import reviews, synonyms

N = 120
ROOT = Path(__file__).parents[3]
SHIPPED = {"reviews.csv": reviews, "synonyms.csv": synonyms}


@pytest.fixture
def folder(tmp_path):
    reviews(rows=N).to_csv(tmp_path / "reviews.csv", index=False)
    return tmp_path


def prepared(folder, text=(), frame=None, altering=(), **data) -> Dataset:
    if frame is not None:
        frame.to_csv(folder / "reviews.csv", index=False)
    data = DataConfig(
        source="reviews.csv", target="again", text=list(text) if isinstance(text, tuple) else text, **data
    )
    return data_module.prepare(data, folder, torch.float64, altering)


def rows_of(data, index):
    """Return the rows of the file that rows of the tensors come from."""
    return data.origin.rows[index.numpy() % data.n_development]


def terms(data):
    """Return the text inputs of all rows."""
    return data.x[:, len(data.preprocess.features) :].numpy()


# ---- column types


def test_sentences_are_recognized_and_noted_and_other_columns_are_kept(folder):
    data = prepared(folder)
    assert [d["column"] for d in data.preprocess.documents] == ["review"]
    assert data.notes == (
        "The column review holds sentences, so it is read as text; data.categorical or data.drop overrule that.",
    )
    assert {f["column"] for f in data.preprocess.features} == {"price", "bought"}
    assert prepared(folder, ["review"]).notes == ()


@pytest.mark.parametrize(
    ("values", "text"),
    [
        ([f"a very good word {i}" for i in range(40)], True),
        ([f"ein schöner langer Satz {i} 🙂" for i in range(40)], True),
        ([f"a very good word {i % 20}" for i in range(40)], False),  # each of them twice
        ([f"a very good word {i % 21}" for i in range(40)], True),
        ([f"two words {i % 30}" for i in range(40)], False),
        ([f"1 2 3 4 {i % 30}" for i in range(40)], False),
        ([None] * 10 + [f"a very good word {i}" for i in range(30)], True),
    ],
)
def test_text_is_mostly_unique_values_of_three_words(tmp_path, values, text):
    pd.DataFrame({"b": values, "y": [0, 1] * 20}).to_csv(tmp_path / "t.csv", index=False)
    assert table.load(DataConfig(source="t.csv", target="y"), tmp_path).text == (("b",) if text else ())


def test_declared_types_overrule_sentences(folder):
    data = prepared(folder, ["bought"], drop=["review"])
    (document,) = data.preprocess.documents
    assert (document["column"], [f for f in data.preprocess.features if "equals" in f]) == ("bought", [])
    assert document["terms"] == ["books", "garden", "kitchen"]
    frame = reviews(rows=N).assign(review=[f"a very good word {i % 80}" for i in range(N)])
    assert prepared(folder, frame=frame, categorical=["review"]).preprocess.documents == ()


def test_a_table_may_have_only_text(folder):
    data = prepared(folder, ["review"], drop=["price", "bought"])
    assert data.x.shape[1] == len(data.preprocess.documents[0]["terms"]) > 20
    assert data.preprocess.features == ()


# ---- encoding


def seen_by_training(data, fold, texts, **options):
    """Return scikit-learn's weights of the terms that occur in the training rows of a fold."""
    document = data.preprocess.documents[0]["terms"]
    train = [texts[i] for i in rows_of(data, fold.train)]
    known = set(TfidfVectorizer(**options).fit(train).get_feature_names_out())
    vectorizer = TfidfVectorizer(vocabulary=[term for term in document if term in known], **options).fit(train)
    prepared_data = np.zeros((len(texts), len(document)))
    prepared_data[:, [term in known for term in document]] = vectorizer.transform(texts).toarray()
    return prepared_data


@pytest.mark.parametrize("ngrams", [[1, 1], [1, 2], [2, 3]])
@pytest.mark.parametrize("split", [{}, {"folds": 3}])
def test_a_fold_has_the_weights_of_a_vectorizer_of_its_training_rows(folder, ngrams, split):
    texts = pd.read_csv(folder / "reviews.csv")["review"].fillna("").tolist()
    data = prepared(folder, {"ngrams": ngrams}, split=split)
    for fold in data.folds:
        expected = seen_by_training(data, fold, texts, ngram_range=tuple(ngrams))
        for index in (fold.train, fold.valid):
            assert terms(data)[index] == pytest.approx(expected[rows_of(data, index)], abs=1e-6)


@pytest.mark.parametrize(
    "options", [{"binary": True}, {"use_idf": False}, {"sublinear_tf": True}, {"binary": True, "use_idf": False}]
)
def test_weights_have_the_options_of_scikit_learn(folder, options):
    texts = pd.read_csv(folder / "reviews.csv")["review"].fillna("").tolist()
    data = prepared(folder, options)
    (fold,) = data.folds
    expected = seen_by_training(data, fold, texts, **options)
    for index in (fold.train, fold.valid):
        assert terms(data)[index] == pytest.approx(expected[rows_of(data, index)], abs=1e-6)
    assert terms(data) != pytest.approx(terms(prepared(folder)), abs=1e-3)


def test_the_most_frequent_terms_are_kept(folder):
    (few,), (all_,) = (prepared(folder, {"features": n}).preprocess.documents for n in (5, 1000))
    assert few["terms"] == sorted(few["terms"])
    assert set(few["terms"]) < set(all_["terms"])
    assert "the" in few["terms"]


def test_hashes_match_scikit_learn_and_are_not_fitted(folder):
    texts = pd.read_csv(folder / "reviews.csv")["review"].fillna("").tolist()
    data = prepared(folder, {"vectorizer": "hashing", "features": 64, "ngrams": [1, 2]})
    expected = HashingVectorizer(n_features=64, ngram_range=(1, 2)).transform(texts).toarray()
    assert terms(data) == pytest.approx(expected[data.origin.rows], abs=1e-6)
    assert data.preprocess.documents == (
        {"column": "review", "vectorizer": "hashing", "ngrams": [1, 2], "features": 64},
    )


def test_held_out_texts_do_not_influence_training_rows(folder):
    frame = reviews(rows=N)
    before = prepared(folder, frame=frame)
    valid = rows_of(before, before.folds[0].valid)
    frame.loc[valid[0], "review"] = " ".join(before.preprocess.documents[0]["terms"])
    frame.loc[before.origin.test_rows[:2], "review"] = "unheard onlyintest words"
    after = prepared(folder, frame=frame)
    train = before.folds[0].train
    idf = dict(zip(*(after.preprocess.documents[0][key] for key in ("terms", "idf")), strict=True))
    old = dict(zip(*(before.preprocess.documents[0][key] for key in ("terms", "idf")), strict=True))
    assert "onlyintest" not in idf
    assert {term: idf[term] for term in old if term in idf} == {
        term: weight for term, weight in old.items() if term in idf
    }
    assert after.x[train].sum(1) == pytest.approx(before.x[train].sum(1), abs=1e-6)


def test_all_folds_have_the_same_inputs(folder):
    data = prepared(folder, split={"folds": 3})
    widths = {
        data.n_inputs,
        data.new_folds(1).n_inputs,
        data.without_validation().n_inputs,
        data.test.reveal().x.shape[1],
    }
    assert len(widths) == 1


STRANGE = [
    "",
    None,
    "<p>Bad &amp; <b>sad</b></p>",
    "🙂🙂 👩‍👩‍👧",
    "Grüße aus Zürich, 北京 и Москвы",
    "zero\0width\u200bjoiner",
    "good " * 200_000,
    "\ud83d".encode("utf-8", "replace").decode(),
]


def test_any_text_is_accepted(folder):
    frame = reviews(rows=N)
    frame.loc[: len(STRANGE) - 1, "review"] = STRANGE
    frame.to_parquet(folder / "reviews.parquet")
    data = data_module.prepare(DataConfig(source="reviews.parquet", target="again"), folder)
    length = data.x[:, len(data.preprocess.features) :].norm(dim=1)
    assert data.x.isfinite().all()
    assert ((length - 1).abs() < 1e-5).logical_or(length == 0).all()
    assert (length == 0).sum() < 8


@pytest.mark.parametrize("text", [{}, {"vectorizer": "hashing", "features": 32}])
def test_raw_rows_are_encoded_as_they_were_for_training(folder, text):
    data = prepared(folder, text)
    again = data.preprocess.encode(pd.read_csv(folder / "reviews.csv"))
    assert again.dtype == np.float32
    assert data.x.numpy() == pytest.approx(again[data.origin.rows], abs=1e-6)
    assert data.test.reveal().x.numpy() == pytest.approx(again[data.origin.test_rows], abs=1e-6)
    assert data.preprocess.text_columns == ("bought", "review")
    assert data.preprocess.columns == ("price", "bought", "review")


# ---- groups of inputs and images


def test_inputs_of_a_category_form_a_group_and_each_term_its_own(folder):
    data = prepared(folder, {"features": 4})
    assert data.columns.tolist() == [0, 1, 1, 1, 2, 3, 4, 5]
    assert data.preprocess.groups[:3] == (("price", ""), ("bought", ""), ("bought", ""))
    assert [term for column, term in data.preprocess.groups if column == "review"] == data.preprocess.documents[0][
        "terms"
    ]
    assert data.new_folds(1).columns.equal(data.columns)
    assert prepared(folder, {"features": 4, "vectorizer": "hashing"}).columns.tolist() == data.columns.tolist()


@pytest.mark.parametrize(
    ("source", "data", "image"),
    [
        ("sklearn:digits", {}, (1, 8, 8)),
        ("sklearn:digits", {"drop": ["pixel_0_0"]}, ()),
        ("sklearn:iris", {}, ()),
        ("sklearn:digits", {"categorical": ["pixel_0_1"]}, ()),
    ],
)
def test_digits_with_all_pixels_are_images(tmp_path, source, data, image):
    prepared_data = data_module.prepare(DataConfig(source=source, **data), tmp_path)
    assert prepared_data.image == prepared_data.new_folds(1).image == image
    assert prepared_data.columns.max() == prepared_data.n_columns - 1


def test_the_shape_of_an_image_may_be_configured(tmp_path):
    space = {
        "study": "s",
        "data": {"source": "sklearn:digits"},
        "search": {"learning_rate": {"low": 1e-3, "high": 1e-2}},
    }
    network = {"kind": "cnn", "image": [1, 4, 16]}
    assert prepare(loader.parse(space | {"network": network}), tmp_path).data.image == (1, 4, 16)


# ---- errors

HOW = "as in [1, 2], got"
MISTAKES = [
    ({"text": ["gone"]}, "data.text: reviews has no column gone other than the target. It has: review, price, bought."),
    (
        {"text": ["review"], "categorical": ["review"]},
        "data.text: the column review is also in data.categorical; name it in one of them.",
    ),
    (
        {"text": ["price"], "numeric": ["price"]},
        "data.text: the column price is also in data.numeric; name it in one of them.",
    ),
    (
        {"text": ["price"], "drop": ["price"]},
        "data.text: reviews has no column price other than the target. It has: review, bought.",
    ),
]


@pytest.mark.parametrize(("data", "sentence"), MISTAKES, ids=[sentence[:60] for _, sentence in MISTAKES])
def test_invalid_text_columns_are_refused(folder, data, sentence):
    with pytest.raises(InputError) as caught:
        data_module.prepare(DataConfig(source="reviews.csv", target="again", **data), folder)
    assert str(caught.value) == sentence


@pytest.mark.parametrize(
    ("value", "ngrams", "what"),
    [
        ("!", [1, 1], "word of two letters or more"),
        ("a b", [1, 1], "word of two letters or more"),
        ("word", [2, 2], "sequence of 2 words of two letters or more"),
    ],
)
def test_a_text_column_without_words_is_refused(folder, value, ngrams, what):
    with pytest.raises(InputError) as caught:
        prepared(folder, {"columns": ["review"], "ngrams": ngrams}, reviews(rows=N).assign(review=value))
    assert str(caught.value) == (
        f"reviews: the column review has no {what} in the rows to learn from; add it to data.drop, "
        "or name other columns in data.text."
    )


def test_an_empty_text_column_is_refused(folder):
    with pytest.raises(InputError, match=r"the column review has no value in any row; add it to data\.drop\."):
        prepared(folder, ["review"], reviews(rows=N).assign(review=None))


SPACE = "study: s\ndata: {{source: t.csv, text: {}}}\nsearch: {{l1: {{low: 0, high: 1}}}}\n"
KEYS = [
    ("review", "data.text: must be a list of columns, or a mapping, got review."),
    ("[1]", "data.text.columns[0]: must be text, got 1; put it in quotes."),
    ("{vectorizer: tfidff}", "data.text.vectorizer: tfidff is not known. Did you mean tfidf?"),
    ("{ngram: [1, 2]}", "data.text.ngram is not a key of data.text. Did you mean ngrams?"),
    (
        "{ngrams: [2, 1]}",
        f"data.text.ngrams: must be the minimum and maximum number of words in a term, {HOW} [2, 1].",
    ),
    ("{ngrams: [1]}", f"data.text.ngrams: must be the minimum and maximum number of words in a term, {HOW} [1]."),
    ("{ngrams: [0, 1]}", "data.text.ngrams[0]: must be at least 1, got 0."),
    (
        "{vectorizer: hashing, use_idf: false}",
        "data.text: use_idf weights terms, and vectorizer: hashing has none; leave it out, or use tfidf.",
    ),
    (
        "{vectorizer: svmlight, ngrams: [1, 2]}",
        "data.text: ngrams counts words, and vectorizer: svmlight has none, got ngrams=[1, 2]; leave it out.",
    ),
    ("{features: 0}", "data.text.features: must be at least 1, got 0."),
    ("{back_translation: translate}", "data.text.back_translation: must be package.module:function, got translate."),
]


@pytest.mark.parametrize(("text", "sentence"), KEYS)
def test_invalid_text_sections_are_refused(tmp_path, text, sentence):
    (tmp_path / "s.yaml").write_text(SPACE.format(text))
    with pytest.raises(InputError) as caught:
        loader.load(tmp_path / "s.yaml")
    assert str(caught.value) == f"s.yaml:2: {sentence}"


def test_a_list_of_columns_is_short_for_the_mapping():
    assert DataConfig(source="t.csv", text=["a"]) == DataConfig(source="t.csv", text={"columns": ["a"]})


def test_texts_too_large_for_memory_are_refused(folder, monkeypatch):
    monkeypatch.setattr(preprocess, "MAX_MATRIX_NUMBERS", 1000)
    with pytest.raises(InputError) as caught:
        prepared(folder, {"features": 9})
    assert str(caught.value) == (
        "reviews: 120 rows with 13 inputs are too many to keep in memory; the column review has 9 terms: "
        "lower data.text.features."
    )
    monkeypatch.undo()
    monkeypatch.setattr("hpo.data.fold_encoding.MAX_NUMBERS", 8 * 96 * 13)
    prepared(folder, {"features": 9, "variants": 7}, altering=["random_deletion"])
    with pytest.raises(InputError) as caught:
        prepared(folder, {"features": 9, "variants": 8}, altering=["random_deletion"])
    assert str(caught.value) == (
        "reviews: 96 rows with 13 inputs are too many to keep in memory for 8 augmented copies; "
        "lower data.text.features or data.text.variants."
    )


# ---- from a space to predictions


@pytest.mark.parametrize("name", SHIPPED)
def test_shipped_tables_match_their_generators(name):
    shipped = pd.read_csv(ROOT / "search_spaces" / name)
    pd.testing.assert_frame_equal(shipped, pd.read_csv(io.StringIO(SHIPPED[name]().to_csv(index=False))))


def page(language):
    return re.findall(rf"```{language}\n(.*?)```", (ROOT / "docs" / "text.md").read_text(), re.DOTALL)


def test_the_documentation_lists_the_defaults():
    (shown,) = page("yaml")
    assert (
        DataConfig.model_validate(yaml.safe_load(shown)["data"]).text
        == DataConfig(source="t.csv", text=["review"]).text
    )


@pytest.mark.usefixtures("unrecorded")
def test_the_shipped_space_ends_in_predictions_that_plain_torch_reproduces(store, monkeypatch):
    folder = store.parent
    space = yaml.safe_load((ROOT / "search_spaces" / "text.yaml").read_text())
    space |= {"budget": {"trials": 4}, "train": {"epochs": 3}, "finalists": 1}
    for name, made in SHIPPED.items():
        made().to_csv(folder / name, index=False)
    reviews(rows=50, seed=1).to_csv(folder / "new.csv", index=False)
    (folder / "space.yaml").write_text(yaml.safe_dump(space))
    monkeypatch.chdir(folder)
    assert here("search", "--space", "space.yaml", "--store", store, "--quiet").exit_code == 0
    assert here("export", "--store", store, "-o", "best.yaml", "--weights", "best").exit_code == 0
    (readme,) = code_blocks("python", "Use the result")
    first, last = readme.split("inputs = ")
    names = {}
    exec(first + page("python")[-1] + "inputs = " + last, names)
    predicted = pd.read_csv(io.StringIO(here("predict", "--weights", "best", "new.csv").stdout))
    chance = names["out"].softmax(1)[:, names["pre"]["classes"].index("yes")].tolist()
    assert chance == pytest.approx(predicted["probability_yes"].tolist(), abs=1e-6)
    assert predicted["probability_yes"].std() > 0.01
    best = loader.load(folder / "best.yaml")
    assert set(best.search) >= {"random_swap", "synonym_replacement"}
    assert prepare(best, folder).data.augmented.keys() == prepare(loader.parse(space), folder).data.augmented.keys()
