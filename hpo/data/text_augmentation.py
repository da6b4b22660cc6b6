"""Altered texts: the bank from which a training row's text is drawn anew. Strings cannot be tensors, so that these are made, and
turned into numbers, once, before anything is trained.

The four ways to alter a text are those of EDA (Wei & Zou, EMNLP 2019), which changes a tenth of its words; a text said in other words
comes from somebody's own function (Sennrich et al., ACL 2016). An altered text depends on the text, the regularizer and the variant's
number alone.
"""

from __future__ import annotations

import hashlib
import inspect
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path

import numpy as np

from hpo.core.errors import InputError, describe_exception, truncate
from hpo.core.importing import import_object
from hpo.data.config import TextConfig
from hpo.data.readers import read_file

_CHANGED = 0.1  # of the words of a text: EDA's own share
_EDGES = ".,;:!?()[]{}\"'…“”‘’«»"
Synonyms = Callable[[str], tuple[str, ...]]


def variants(member: str, texts: Sequence[str], spec: TextConfig, base: Path) -> list[list[str]]:
    """Of each text `spec.variants` altered ones, or a single one if somebody's function makes them: [variant][text]. A relative path
    starts at `base`. Raises InputError if what the regularizer needs is missing or broken."""
    if member == "back_translation":
        return [_translated(texts, spec.back_translation, base)]
    if member == "random_swap" and spec.ngrams[1] < 2:
        raise InputError(
            "search.random_swap: needs terms of two words or more, for single words are counted without their order; "
            "set data.text.ngrams to [1, 2], or leave random_swap out."
        )
    synonyms = (
        _synonyms(f"search.{member}", spec, base) if member in ("synonym_replacement", "random_insertion") else _none
    )
    alter = _WAYS[member]
    made = [[_altered(alter, member, text, number, synonyms) for text in texts] for number in range(spec.variants)]
    if synonyms is not _none and all(one == list(texts) for one in made):
        where = "WordNet" if spec.synonyms is None else spec.synonyms
        raise InputError(
            f"search.{member}: no word of the texts has a synonym in {truncate(where)}; name another table in data.text.synonyms."
        )
    return made


def _altered(alter: _Way, member: str, text: str, number: int, synonyms: Synonyms) -> str:
    words = text.split()
    if len(words) < 2:
        return text
    seed = hashlib.sha256(f"{member}\0{number}\0{text}".encode(errors="surrogatepass")).digest()
    random = np.random.default_rng(int.from_bytes(seed[:8], "little"))
    return " ".join(alter(words, max(1, int(_CHANGED * len(words))), random, synonyms))


def _replace(words: list[str], n: int, random: np.random.Generator, synonyms: Synonyms) -> list[str]:
    """`n` different words by a synonym each, wherever they stand."""
    cores = [_core(word) for word in words]
    known = [core for core in dict.fromkeys(cores) if synonyms(core)]
    chosen = {known[i]: _one(synonyms(known[i]), random) for i in random.permutation(len(known))[:n]}
    return [_put(word, chosen.get(core)) for word, core in zip(words, cores, strict=True)]


def _insert(words: list[str], n: int, random: np.random.Generator, synonyms: Synonyms) -> list[str]:
    """A synonym of some word, anywhere, `n` times."""
    known = [core for core in map(_core, words) if synonyms(core)]
    made = list(words)
    for _ in range(n if known else 0):
        made.insert(int(random.integers(len(made) + 1)), _one(synonyms(_one(known, random)), random))
    return made


def _swap(words: list[str], n: int, random: np.random.Generator, synonyms: Synonyms) -> list[str]:
    """Two words change places, `n` times."""
    del synonyms
    made = list(words)
    for _ in range(n):
        a, b = random.choice(len(made), 2, replace=False)
        made[a], made[b] = made[b], made[a]
    return made


def _delete(words: list[str], n: int, random: np.random.Generator, synonyms: Synonyms) -> list[str]:
    """Each word is left out with the same probability; one at least stays."""
    del n, synonyms
    stay = random.random(len(words)) >= _CHANGED
    return [word for word, own in zip(words, stay, strict=True) if own] or [_one(words, random)]


_Way = Callable[[list[str], int, np.random.Generator, Synonyms], list[str]]
_WAYS: dict[str, _Way] = {
    "synonym_replacement": _replace,
    "random_insertion": _insert,
    "random_swap": _swap,
    "random_deletion": _delete,
}
MEMBERS = (*_WAYS, "back_translation")


def _core(word: str) -> str:
    """A word as a table of synonyms has it."""
    return word.strip(_EDGES).lower()


def _put(word: str, synonym: str | None) -> str:
    """A synonym in a word's place, between the same marks."""
    bare = word.strip(_EDGES)
    return word if synonym is None or not bare else word.replace(bare, synonym, 1)


def _one(values: Sequence[str], random: np.random.Generator) -> str:
    return values[int(random.integers(len(values)))]


def _none(word: str) -> tuple[str, ...]:
    del word
    return ()


def _synonyms(key: str, spec: TextConfig, base: Path) -> Synonyms:
    """What stands for a word: from the table that the space names, else from WordNet. Raises InputError."""
    if spec.synonyms is None:
        return _wordnet(key)
    path = base / spec.synonyms
    try:
        frame = read_file(path, ("word", "synonym"))
    except InputError as error:
        raise InputError(f"data.text.synonyms: {error}") from error
    for column in ("word", "synonym"):
        if column not in frame.columns:
            raise InputError(
                f"data.text.synonyms: {truncate(spec.synonyms)} lacks the column {column}; it needs word and synonym."
            )
    found: dict[str, tuple[str, ...]] = {}
    for word, synonym in frame[["word", "synonym"]].dropna().map(str).itertuples(index=False):
        found[word.strip().lower()] = (*found.get(word.strip().lower(), ()), synonym.strip())
    return lambda word: found.get(word, ())


def _wordnet(key: str) -> Synonyms:
    """WordNet's, in English, for words that are no stop words, as EDA has it."""
    from sklearn.feature_extraction.text import ENGLISH_STOP_WORDS

    try:
        from nltk.corpus import wordnet

        wordnet.ensure_loaded()
    except (ImportError, LookupError, OSError) as error:
        raise InputError(
            f"{key}: needs synonyms; name a table with the columns word and synonym in data.text.synonyms, or install WordNet: "
            f"pip install nltk && python -m nltk.downloader wordnet"
        ) from error

    @cache
    def found(word: str) -> tuple[str, ...]:
        if word in ENGLISH_STOP_WORDS:
            return ()
        names = {name.replace("_", " ").lower() for synset in wordnet.synsets(word) for name in synset.lemma_names()}
        return tuple(sorted(names - {word}))

    return found


def _translated(texts: Sequence[str], name: str | None, base: Path) -> list[str]:
    """Each text in the words of somebody's function, which is asked once for each different text; "" stays."""
    if name is None:
        raise InputError(
            "search.back_translation: needs a function that says a text in other words; name it in data.text.back_translation, "
            "as package.module:function."
        )
    key = "data.text.back_translation"
    function = import_object(name, base, key, "a text in other words")
    asked = [text for text in dict.fromkeys(texts) if text]
    try:
        said = function(asked) if _takes_a_list(function) else [function(text) for text in asked]
    except Exception as error:  # whatever somebody's function does
        raise InputError(f"{key}: {truncate(name)} failed with {describe_exception(error)}.") from error
    if not isinstance(said, list | tuple) or len(said) != len(asked):
        got = f"{len(said):,}" if isinstance(said, list | tuple) else truncate(said)
        raise InputError(
            f"{key}: {truncate(name)} must return a list of as many texts as it was given, {len(asked):,}, got {got}."
        )
    for wrong in (text for text in said if not isinstance(text, str)):
        raise InputError(f"{key}: {truncate(name)} must return text, got {truncate(wrong)}.")
    by_text = dict(zip(asked, said, strict=True))
    return [by_text.get(text, text) for text in texts]


def _takes_a_list(function: Callable[..., object]) -> bool:
    """Whether its first parameter is annotated as a list, or another sequence of texts."""
    parameters = list(inspect.signature(function).parameters.values())
    written = str(parameters[0].annotation).lower() if parameters else ""
    return "list" in written or "sequence" in written
