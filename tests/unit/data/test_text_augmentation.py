"""Altered texts: what each way does to the words, that it is repeatable, and that training reads them as often as it is told."""

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
from hpo.data.fold_sampler import FoldIndices
from hpo.data.text_augmentation import MEMBERS, variants
from hpo.nn.rng import Noise
from hpo.regularizers import STRENGTHS
from hpo.regularizers.base import Batch
from tests.helpers.tables import reviews, synonyms
from tests.helpers.training import step, trial

LONG = "The lid is quick, the handle awful and the motor (noisy) but the colour of it is cheerful as my seat was great!"  # 22 words
TEXTS = [LONG, "Awful.", "", "Nothing of note here", "great lid"]


@pytest.fixture
def folder(tmp_path):
    synonyms().to_csv(tmp_path / "words.csv", index=False)
    return tmp_path


def altered(folder, member, texts=TEXTS, n=50, **more):
    return variants(
        member, texts, TextConfig(**{"variants": n, "synonyms": "words.csv", "ngrams": [1, 2], **more}), folder
    )


def test_two_words_of_twenty_are_replaced_between_their_marks_by_synonyms(folder):
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


def test_synonyms_of_its_words_are_put_anywhere(folder):
    known = synonyms().groupby("word")["synonym"].agg(set)
    places = set()
    for made in altered(folder, "random_insertion", ["nothing of great note", "nothing of note"]):
        words = made[0].split()
        (new,) = set(words) - {"nothing", "of", "great", "note"}
        assert new in known["great"]
        places.add(words.index(new))
        assert made[1] == "nothing of note"
    assert places == {0, 1, 2, 3, 4}


def test_a_tenth_of_the_words_is_left_out_and_one_at_least_stays(folder):
    many = " ".join(f"w{i}" for i in range(1000))
    made = altered(folder, "random_deletion", [many, "two words"], n=100)
    lengths = np.array([len(one.split()) for one, _ in made])
    assert lengths.mean() == pytest.approx(900, abs=4)
    assert lengths.std() == pytest.approx(np.sqrt(90), rel=0.25)
    assert {short for _, short in made} == {"two words", "two", "words"}
    words = made[0][0].split()
    assert words == sorted(words, key=lambda word: int(word[1:]))


def test_words_that_change_places_stay_the_same_words(folder):
    for made in altered(folder, "random_swap"):
        assert sorted(made[0].split()) == sorted(LONG.split())
        assert sum(a != b for a, b in zip(LONG.split(), made[0].split(), strict=True)) in (2, 3, 4)
        assert made[4] == "lid great"


@pytest.mark.parametrize("member", MEMBERS[:-1])
def test_an_altered_text_depends_on_the_text_and_its_number_alone(folder, member):
    first = altered(folder, member, n=3)
    assert first == altered(folder, member, n=5)[:3]
    assert [one[::-1] for one in first] == altered(folder, member, TEXTS[::-1], n=3)
    assert len({made[0] for made in altered(folder, member, n=20)}) > 5


# ---- where words and translations come from


def test_without_a_table_and_without_wordnet_a_sentence_says_what_to_do(folder, monkeypatch):
    monkeypatch.setitem(sys.modules, "nltk", None)
    with pytest.raises(InputError) as caught:
        altered(folder, "random_insertion", synonyms=None)
    assert str(caught.value) == (
        "search.random_insertion: needs synonyms; name a table with the columns word and synonym in data.text.synonyms, or install "
        "WordNet: pip install nltk && python -m nltk.downloader wordnet"
    )


@pytest.mark.parametrize("there", [True, False])
def test_wordnet_by_nltk_if_its_data_are_there(folder, monkeypatch, there):
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
    (None, "data.text.synonyms: {folder}/broken.csv does not exist; name a .csv, .parquet or .svmlight file."),
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


def test_single_words_have_no_order(folder):
    with pytest.raises(InputError) as caught:
        altered(folder, "random_swap", ngrams=[1, 1])
    assert str(caught.value) == (
        "search.random_swap: needs terms of two words or more, for single words are counted without their order; "
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
def test_a_function_of_a_text_or_of_a_list_is_asked_once_for_each_text(folder, module, function, asked):
    made = altered(folder, "back_translation", ["a b", "c", "a b", ""], back_translation=f"{module}:{function}")
    assert made == [["A B", "C", "A B", ""]]
    assert sys.modules[module].asked == asked


KEY = "data.text.back_translation:"
WRONG = [
    (
        None,
        "search.back_translation: needs a function that says a text in other words; name it in data.text.back_translation, as "
        "package.module:function.",
    ),
    ("mani", "{KEY} {module} has no mani. Did you mean many?"),
    ("not_one", "{KEY} {module}:not_one must be a function that returns a text in other words, got 3."),
    ("fails", "{KEY} {module}:fails failed with RuntimeError: no connection."),
    ("fewer", "{KEY} {module}:fewer must return a list of as many texts as it was given, 4, got 3."),
    ("nothing", "{KEY} {module}:nothing must return a list of as many texts as it was given, 4, got None."),
    ("numbers", "{KEY} {module}:numbers must return text, got 3."),
]


@pytest.mark.parametrize(("function", "sentence"), WRONG)
def test_a_function_that_does_not_do_it(folder, module, function, sentence):
    with pytest.raises(InputError) as caught:
        altered(folder, "back_translation", back_translation=function and f"{module}:{function}")
    assert str(caught.value) == sentence.format(KEY=KEY, module=module)


# ---- the bank


def test_the_bank_holds_the_altered_texts_as_each_fold_has_them_encoded(folder):
    reviews(rows=90).to_csv(folder / "reviews.csv", index=False)
    spec = TextConfig(features=50, variants=2, synonyms="words.csv")
    said = DataConfig(source="reviews.csv", target="again", text=spec, split={"folds": 2})
    data = data_module.prepare(said, folder, torch.float64, ["random_deletion", "synonym_replacement"])
    assert {name: bank.shape for name, bank in data.augmented.items()} == dict.fromkeys(
        ("random_deletion", "synonym_replacement"), (2, *data.x.shape)
    )
    texts = pd.read_csv(folder / "reviews.csv")["review"].fillna("")[data._raw.rows].tolist()
    made = variants("random_deletion", texts, spec, folder)[1]
    for i, fold in enumerate(data.folds):
        preprocess, encoded = data._raw.fit(
            FoldIndices(i, data._raw.rows[(fold.train - i * len(texts)).numpy()], np.empty(0, dtype=int))
        )
        (document,) = preprocess.documents
        block = data.augmented["random_deletion"][1][i * len(texts) : (i + 1) * len(texts)].numpy()
        assert block[:, 4:] == pytest.approx(text_features.weigh(document, text_features.counts(document, made)))
        assert block[:, :4] == pytest.approx(encoded[data._raw.rows][:, :4])
        assert not np.array_equal(block, data.x[i * len(texts) : (i + 1) * len(texts)].numpy())
    assert data.whole().augmented["random_deletion"].shape == (2, len(texts), data.n_inputs)
    assert data_module.prepare(said, folder).augmented == {}


def test_a_table_without_text_has_nothing_to_alter(tmp_path):
    with pytest.raises(InputError) as caught:
        data_module.prepare(DataConfig(source="sklearn:iris"), tmp_path, altering=["random_swap"])
    assert str(caught.value) == "search.random_swap: needs a column of text, and iris has none; name one in data.text."


@pytest.mark.parametrize("member", MEMBERS)
def test_a_row_reads_an_altered_text_as_often_as_its_strength_says(member):
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


def test_every_regularizer_that_needs_text_is_made_here():
    assert {name for name, member in STRENGTHS.items() if "text" in member.needs} == set(text_augmentation.MEMBERS)
