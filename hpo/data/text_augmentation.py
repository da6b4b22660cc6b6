"""Generate augmented texts once, before training, since strings cannot be tensors.

Four edits are those of EDA (Wei & Zou, EMNLP 2019), which changes a tenth of the words; back translation (Sennrich et
al., ACL 2016) calls the user's function. An augmented text depends only on the text, the regularizer and the number
of the variant.
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

_CHANGED_SHARE = 0.1  # of the words of a text, as in EDA
_PUNCTUATION = ".,;:!?()[]{}\"'…“”‘’«»"
Synonyms = Callable[[str], tuple[str, ...]]


def augment(regularizer: str, texts: Sequence[str], config: TextConfig, base: Path) -> list[list[str]]:
    """Return `config.variants` variants of all texts, [variant][text], or one variant from back translation.

    Relative paths start at `base`. Raises InputError if something that the regularizer needs is missing or fails.
    """
    if regularizer == "back_translation":
        return [_back_translate(texts, config.back_translation, base)]
    if regularizer == "random_swap" and config.ngrams[1] < 2:
        raise InputError(
            "search.random_swap: needs terms of two words or more, since single words are counted without their "
            "order; set data.text.ngrams to [1, 2], or leave random_swap out."
        )
    needs_synonyms = regularizer in ("synonym_replacement", "random_insertion")
    synonyms = _synonyms(f"search.{regularizer}", config, base) if needs_synonyms else _no_synonyms
    variants = [[_edit(regularizer, text, number, synonyms) for text in texts] for number in range(config.variants)]
    if needs_synonyms and all(variant == list(texts) for variant in variants):
        where = "WordNet" if config.synonyms is None else config.synonyms
        raise InputError(
            f"search.{regularizer}: no word of the texts has a synonym in {truncate(where)}; name another table in "
            f"data.text.synonyms."
        )
    return variants


def _edit(regularizer: str, text: str, number: int, synonyms: Synonyms) -> str:
    words = text.split()
    if len(words) < 2:
        return text
    seed = hashlib.sha256(f"{regularizer}\0{number}\0{text}".encode(errors="surrogatepass")).digest()
    rng = np.random.default_rng(int.from_bytes(seed[:8], "little"))
    return " ".join(_EDITS[regularizer](words, max(1, int(_CHANGED_SHARE * len(words))), rng, synonyms))


def _replace(words: list[str], n: int, rng: np.random.Generator, synonyms: Synonyms) -> list[str]:
    """Choose `n` different words, and replace every occurrence of each by one synonym."""
    bare_words = [_bare(word) for word in words]
    candidates = [bare for bare in dict.fromkeys(bare_words) if synonyms(bare)]
    chosen = {candidates[i]: _choose(synonyms(candidates[i]), rng) for i in rng.permutation(len(candidates))[:n]}
    return [_substitute(word, chosen.get(bare)) for word, bare in zip(words, bare_words, strict=True)]


def _insert(words: list[str], n: int, rng: np.random.Generator, synonyms: Synonyms) -> list[str]:
    """Insert a synonym of a random word at a random position, `n` times."""
    candidates = [bare for bare in map(_bare, words) if synonyms(bare)]
    edited = list(words)
    for _ in range(n if candidates else 0):
        edited.insert(int(rng.integers(len(edited) + 1)), _choose(synonyms(_choose(candidates, rng)), rng))
    return edited


def _swap(words: list[str], n: int, rng: np.random.Generator, synonyms: Synonyms) -> list[str]:
    """Swap two random words, `n` times."""
    del synonyms
    edited = list(words)
    for _ in range(n):
        a, b = rng.choice(len(edited), 2, replace=False)
        edited[a], edited[b] = edited[b], edited[a]
    return edited


def _delete(words: list[str], n: int, rng: np.random.Generator, synonyms: Synonyms) -> list[str]:
    """Delete each word with the same probability; keep at least one."""
    del n, synonyms
    is_kept = rng.random(len(words)) >= _CHANGED_SHARE
    return [word for word, kept in zip(words, is_kept, strict=True) if kept] or [_choose(words, rng)]


_EDITS: dict[str, Callable[[list[str], int, np.random.Generator, Synonyms], list[str]]] = {
    "synonym_replacement": _replace,
    "random_insertion": _insert,
    "random_swap": _swap,
    "random_deletion": _delete,
}
REGULARIZERS = (*_EDITS, "back_translation")


def _bare(word: str) -> str:
    """Return a word in lower case without punctuation, as tables of synonyms hold it."""
    return word.strip(_PUNCTUATION).lower()


def _substitute(word: str, synonym: str | None) -> str:
    """Replace a word by a synonym, if there is one, and keep its punctuation."""
    bare = word.strip(_PUNCTUATION)
    return word if synonym is None or not bare else word.replace(bare, synonym, 1)


def _choose(values: Sequence[str], rng: np.random.Generator) -> str:
    return values[int(rng.integers(len(values)))]


def _no_synonyms(word: str) -> tuple[str, ...]:
    del word
    return ()


def _synonyms(key: str, config: TextConfig, base: Path) -> Synonyms:
    """Return a function from a word to its synonyms, from the configured table or WordNet. Raises InputError."""
    if config.synonyms is None:
        return _wordnet(key)
    path = base / config.synonyms
    try:
        frame = read_file(path, ("word", "synonym"))
    except InputError as error:
        raise InputError(f"data.text.synonyms: {error}") from error
    for column in ("word", "synonym"):
        if column not in frame.columns:
            raise InputError(
                f"data.text.synonyms: {truncate(config.synonyms)} lacks the column {column}; it needs word and synonym."
            )
    by_word: dict[str, tuple[str, ...]] = {}
    for word, synonym in frame[["word", "synonym"]].dropna().map(str).itertuples(index=False):
        key_word = word.strip().lower()
        by_word[key_word] = (*by_word.get(key_word, ()), synonym.strip())
    return lambda word: by_word.get(word, ())


def _wordnet(key: str) -> Synonyms:
    """Return a function from a word to its English synonyms in WordNet; like EDA, it leaves out stop words."""
    from sklearn.feature_extraction.text import ENGLISH_STOP_WORDS

    try:
        from nltk.corpus import wordnet

        wordnet.ensure_loaded()
    except (ImportError, LookupError, OSError) as error:
        raise InputError(
            f"{key}: needs synonyms; name a table with the columns word and synonym in data.text.synonyms, or install "
            f"WordNet: pip install nltk && python -m nltk.downloader wordnet"
        ) from error

    @cache
    def synonyms(word: str) -> tuple[str, ...]:
        if word in ENGLISH_STOP_WORDS:
            return ()
        names = {name.replace("_", " ").lower() for synset in wordnet.synsets(word) for name in synset.lemma_names()}
        return tuple(sorted(names - {word}))

    return synonyms


def _back_translate(texts: Sequence[str], name: str | None, base: Path) -> list[str]:
    """Rephrase each text with the user's function, called once per distinct text; "" stays "". Raises InputError."""
    if name is None:
        raise InputError(
            "search.back_translation: needs a function that rephrases a text; name it in data.text.back_translation, "
            "as package.module:function."
        )
    key = "data.text.back_translation"
    function = import_object(name, base, key, "a rephrased text")
    distinct = [text for text in dict.fromkeys(texts) if text]
    try:
        rephrased = function(distinct) if _takes_a_list(function) else [function(text) for text in distinct]
    except Exception as error:  # the user's function may raise anything
        raise InputError(f"{key}: {truncate(name)} failed with {describe_exception(error)}.") from error
    if not isinstance(rephrased, list | tuple) or len(rephrased) != len(distinct):
        got = f"{len(rephrased):,}" if isinstance(rephrased, list | tuple) else truncate(rephrased)
        raise InputError(
            f"{key}: {truncate(name)} must return a list of as many texts as it was given, {len(distinct):,}, "
            f"got {got}."
        )
    for value in (text for text in rephrased if not isinstance(text, str)):
        raise InputError(f"{key}: {truncate(name)} must return text, got {truncate(value)}.")
    by_text = dict(zip(distinct, rephrased, strict=True))
    return [by_text.get(text, text) for text in texts]


def _takes_a_list(function: Callable[..., object]) -> bool:
    """Whether the first parameter is annotated as a list or another sequence of texts."""
    parameters = list(inspect.signature(function).parameters.values())
    annotation = str(parameters[0].annotation).lower() if parameters else ""
    return "list" in annotation or "sequence" in annotation
