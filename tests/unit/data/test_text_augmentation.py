"""Augmented texts: the edits, that they are deterministic, and how often training uses them."""

import sys
from types import ModuleType, SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import torch

from hpo.core.errors import InputError
from hpo.core.samples import Fold
from hpo.core.trial import Fit
from hpo.data import dataset as data_module
from hpo.data import text_augmentation, text_features
from hpo.data.config import DataConfig, TextConfig
from hpo.data.text_augmentation import REGULARIZERS, augment
from hpo.nn.rng import Noise
from hpo.regularizers import STRENGTHS
from hpo.regularizers.base import Batch
from tests.helpers.tables import reviews, synonyms
from tests.helpers.training import step, trial

# 22 words
LONG = "The lid is quick, the handle awful and the motor (noisy) but the colour of it is cheerful as my seat was great!"
TEXTS = [LONG, "Awful.", "", "Nothing of note here", "great lid"]


@pytest.fixture
def folder(tmp_path):
    synonyms().to_csv(tmp_path / "words.csv", index=False)
    return tmp_path


def altered(folder, member, texts=TEXTS, n=50, **more):
    return augment(
        member, texts, TextConfig(**{"variants": n, "synonyms": "words.csv", "ngrams": [1, 2], **more}), folder
    )


def test_two_of_twenty_words_are_replaced_by_synonyms_between_their_punctuation(folder):
    known = synonyms().groupby("word")["synonym"].agg(set)
    replaced = set()
    for made in altered(folder, "synonym_replacement"):
        assert made[1:4] == TEXTS[1:4]  # a lone word stays as it is
        new = [(a, b) for a, b in zip(LONG.split(), made[0].split(), strict=True) if a != b]
        assert len(new) == 2
        for old, now in new:
            bare = old.strip(",()!")
            assert now.replace(now.strip(",()!"), bare) == old
            assert now.strip(",()!") in known[bare]
        replaced |= {old for old, _ in new}
    assert replaced == {"lid", "quick,", "handle", "awful", "motor", "(noisy)", "colour", "cheerful", "seat", "great!"}


def test_synonyms_are_inserted_at_random_positions(folder):
    known = synonyms().groupby("word")["synonym"].agg(set)
    places = set()
    for made in altered(folder, "random_insertion", ["nothing of great note", "nothing of note"]):
        words = made[0].split()
        (new,) = set(words) - {"nothing", "of", "great", "note"}
        assert new in known["great"]
        places.add(words.index(new))
        assert made[1] == "nothing of note"
    assert places == {0, 1, 2, 3, 4}


def test_a_tenth_of_the_words_is_deleted_and_at_least_one_kept(folder):
    many = " ".join(f"w{i}" for i in range(1000))
    made = altered(folder, "random_deletion", [many, "two words"], n=100)
    lengths = np.array([len(one.split()) for one, _ in made])
    assert lengths.mean() == pytest.approx(900, abs=4)
    assert lengths.std() == pytest.approx(np.sqrt(90), rel=0.25)
    assert {short for _, short in made} == {"two words", "two", "words"}
    words = made[0][0].split()
    assert words == sorted(words, key=lambda word: int(word[1:]))


def test_swaps_keep_all_words(folder):
    for made in altered(folder, "random_swap"):
        assert sorted(made[0].split()) == sorted(LONG.split())
        assert sum(a != b for a, b in zip(LONG.split(), made[0].split(), strict=True)) in (2, 3, 4)
        assert made[4] == "lid great"


@pytest.mark.parametrize("member", REGULARIZERS[:-1])
def test_an_augmented_text_depends_only_on_the_text_and_its_number(folder, member):
    first = altered(folder, member, n=3)
    assert first == altered(folder, member, n=5)[:3]
    assert [one[::-1] for one in first] == altered(folder, member, TEXTS[::-1], n=3)
    assert len({made[0] for made in altered(folder, member, n=20)}) > 5


# ---- synonyms and translations


def test_without_synonyms_the_error_names_the_remedy(folder, monkeypatch):
    monkeypatch.setitem(sys.modules, "nltk", None)
    with pytest.raises(InputError) as caught:
        altered(folder, "random_insertion", synonyms=None)
    assert str(caught.value) == (
        "search.random_insertion: needs synonyms; name a table with the columns word and synonym in "
        "data.text.synonyms, or install WordNet: pip install nltk && python -m nltk.downloader wordnet"
    )


@pytest.mark.parametrize("there", [True, False])
def test_wordnet_is_used_if_its_data_are_installed(folder, monkeypatch, there):
    class WordNet:
        def ensure_loaded(self):
            if not there:
                raise LookupError

        def synsets(self, word):
            return [SimpleNamespace(lemma_names=lambda: [word, f"{word}_Like"])]

    corpus = ModuleType("nltk.corpus")
    corpus.wordnet = WordNet()
    monkeypatch.setitem(sys.modules, "nltk", ModuleType("nltk"))
    monkeypatch.setitem(sys.modules, "nltk.corpus", corpus)
    if there:
        made = altered(folder, "synonym_replacement", ["the lid of it"], n=3, synonyms=None)
        assert made == [["the lid like of it"]] * 3  # the others are stop words
    else:
        with pytest.raises(InputError, match="or install WordNet"):
            altered(folder, "synonym_replacement", synonyms=None)


TABLES = [
    (None, "data.text.synonyms: {folder}/broken.csv does not exist; name a .csv, .parquet, .svmlight or .libsvm file."),
    (
        "",
        "data.text.synonyms: {folder}/broken.csv is empty; it needs a header with the names of its columns, and rows.",
    ),
    ("word,other\na,b\n", "data.text.synonyms: broken.csv lacks the column synonym; it needs word and synonym."),
    (
        "word,synonym\nzebra,horse\n",
        "search.synonym_replacement: no word of the texts has a synonym in broken.csv; name another table in "
        "data.text.synonyms.",
    ),
]


@pytest.mark.parametrize(("content", "sentence"), TABLES)
def test_a_broken_table_of_synonyms(folder, content, sentence):
    if content is not None:
        (folder / "broken.csv").write_text(content)
    with pytest.raises(InputError) as caught:
        altered(folder, "synonym_replacement", synonyms="broken.csv")
    assert str(caught.value) == sentence.format(folder=folder)


def test_random_swap_needs_ngrams(folder):
    with pytest.raises(InputError) as caught:
        altered(folder, "random_swap", ngrams=[1, 1])
    assert str(caught.value) == (
        "search.random_swap: needs terms of two words or more, since single words are counted without their order; "
        "set data.text.ngrams to [1, 2], or leave random_swap out."
    )


FUNCTIONS = """
asked = []
def one(text):
    asked.append(text)
    return text.upper()
def many(texts: list[str]) -> list[str]:
    asked.append(len(texts))
    return [text.upper() for text in texts]
def fails(text): raise RuntimeError("no connection")
def fewer(texts: list[str]): return texts[1:]
def nothing(texts: list[str]): return None
def numbers(text): return 3
not_one = 3
"""


@pytest.fixture
def module(folder, monkeypatch):
    name = f"functions_of_{folder.name}"
    (folder / f"{name}.py").write_text(FUNCTIONS)
    monkeypatch.setattr(sys, "path", [*sys.path])
    return name


@pytest.mark.parametrize(("function", "asked"), [("one", ["a b", "c"]), ("many", [2])])
def test_back_translation_calls_the_function_once_per_distinct_text(folder, module, function, asked):
    made = altered(folder, "back_translation", ["a b", "c", "a b", ""], back_translation=f"{module}:{function}")
    assert made == [["A B", "C", "A B", ""]]
    assert sys.modules[module].asked == asked


KEY = "data.text.back_translation:"
WRONG = [
    (
        None,
        "search.back_translation: needs a function that rephrases a text; name it in data.text.back_translation, as "
        "package.module:function.",
    ),
    ("mani", "{KEY} {module} has no mani. Did you mean many?"),
    ("not_one", "{KEY} {module}:not_one must be a function that returns a rephrased text, got 3."),
    ("fails", "{KEY} {module}:fails failed with RuntimeError: no connection."),
    ("fewer", "{KEY} {module}:fewer must return a list of as many texts as it was given, 4, got 3."),
    ("nothing", "{KEY} {module}:nothing must return a list of as many texts as it was given, 4, got None."),
    ("numbers", "{KEY} {module}:numbers must return text, got 3."),
]


@pytest.mark.parametrize(("function", "sentence"), WRONG)
def test_invalid_functions_are_refused(folder, module, function, sentence):
    with pytest.raises(InputError) as caught:
        altered(folder, "back_translation", back_translation=function and f"{module}:{function}")
    assert str(caught.value) == sentence.format(KEY=KEY, module=module)


# ---- augmented samples


def test_augmented_texts_are_encoded_by_each_fold(folder):
    reviews(rows=90).to_csv(folder / "reviews.csv", index=False)
    spec = TextConfig(features=50, variants=2, synonyms="words.csv")
    said = DataConfig(source="reviews.csv", target="again", text=spec, split={"folds": 2})
    data = data_module.prepare(said, folder, torch.float64, ["random_deletion", "synonym_replacement"])
    assert {name: bank.shape for name, bank in data.augmented.items()} == dict.fromkeys(
        ("random_deletion", "synonym_replacement"), (2, *data.x.shape)
    )
    table_texts = pd.read_csv(folder / "reviews.csv")["review"].fillna("")
    texts = table_texts[data.origin.rows].tolist()
    counts = text_features.count_terms("reviews", "review", table_texts.tolist(), data.origin.rows, spec)
    made = augment("random_deletion", texts, spec, folder)[1]
    for i, fold in enumerate(data.folds):
        train = data.origin.rows[(fold.train - i * len(texts)).numpy()]
        document = text_features.fit(counts, train, np.empty(0, dtype=int))
        block = data.augmented["random_deletion"][1][i * len(texts) : (i + 1) * len(texts)].numpy()
        assert block[:, 4:] == pytest.approx(
            text_features.weight_terms(document, text_features.term_matrix(document, made))
        )
        assert np.array_equal(block[:, :4], data.x[i * len(texts) : (i + 1) * len(texts), :4].numpy())
        assert not np.array_equal(block, data.x[i * len(texts) : (i + 1) * len(texts)].numpy())
    assert data.without_validation().augmented["random_deletion"].shape == (2, len(texts), data.n_inputs)
    assert data_module.prepare(said, folder).augmented == {}


def test_a_table_without_text_is_refused(tmp_path):
    with pytest.raises(InputError) as caught:
        data_module.prepare(DataConfig(source="sklearn:iris"), tmp_path, augmentations=["random_swap"])
    assert str(caught.value) == "search.random_swap: needs a text column, and iris has none; name one in data.text."


@pytest.mark.parametrize("member", REGULARIZERS)
def test_the_share_of_augmented_texts_is_the_strength(member):
    inputs, rows = 3, 40
    x = torch.arange(rows, dtype=torch.float64).view(rows, 1).expand(rows, inputs)
    bank = torch.stack([x + 100 * (i + 1) for i in range(4)])
    fits = [Fit(trial(str(i)), Fold(0, *[torch.arange(1)] * 2)) for i in range(3)]
    noise = {member: {0: Noise([fit.stream(member) for fit in fits], torch.float64)}}
    index = torch.randint(rows, (3, 4000), generator=torch.Generator().manual_seed(0))
    before = Batch(x[index], torch.zeros(3, 4000), None, None, index)
    s = torch.tensor([0.0, 0.25, 1.0], dtype=torch.float64)
    data = SimpleNamespace(augmented={member: bank})
    after = STRENGTHS[member].batch(s, step(noise=noise, data=data), before)
    assert (after.x % 100).equal(before.x)  # of the same row, all inputs at once
    which = (after.x[:, :, 0] // 100).long()
    assert after.x[0].equal(before.x[0])
    assert (which > 0).double().mean(1).tolist() == pytest.approx([0, 0.25, 1], abs=0.02)
    assert which[2].bincount().tolist() == pytest.approx([0, *[1000] * 4], abs=120)
    assert (after.y, after.weight, after.index) == (before.y, before.weight, before.index)


def test_every_text_regularizer_has_an_edit():
    assert {name for name, member in STRENGTHS.items() if "text" in member.needs} == set(text_augmentation.REGULARIZERS)
