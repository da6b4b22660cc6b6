"""Columns of text as numbers: scikit-learn counts their words, what is fitted is written as plain numbers for export.

Which terms are counted is chosen without the target, from all rows but the test part, so that all folds have the same inputs. How
much a term weighs is fitted on training rows, and on those of another domain to which a fold adapts; a term that these do not have
weighs nothing: a fold sees the very numbers of a vectorizer that knows these rows alone.

The tokens of svmlight are terms with their values in place of counts. Values that no counts can be, negative ones or a table full of
them, are standardised by training rows instead, as columns of numbers are.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.sparse import csr_matrix
from sklearn.feature_extraction.text import CountVectorizer, HashingVectorizer
from sklearn.preprocessing import StandardScaler

from hpo.core.errors import InputError, truncate
from hpo.data import svmlight
from hpo.data.config import TextConfig

_DENSE = 0.5  # the share of values that are not zero, from which on they are not taken for counts


@dataclass(frozen=True)
class Counted:
    """A column of text, how often each of its terms occurs in each row, and in altered texts.

    `document` is what `Preprocess` has of it, less what is fitted. `counts` (rows of the table, terms); `variants`, by regularizer:
    of each variant (listed rows, terms).
    """

    document: Mapping[str, Any]
    counts: csr_matrix
    variants: Mapping[str, tuple[csr_matrix, ...]]

    @property
    def width(self) -> int:
        return int(self.counts.shape[1])


def count(name: str, column: str, texts: Sequence[str], listed: np.ndarray, spec: TextConfig) -> Counted:
    """Counts the terms of the rows `listed` in all rows: the most frequent, in the order of the alphabet. Raises InputError if
    there is none. `name` is the table's."""
    if spec.vectorizer == "svmlight":
        return _parsed(name, column, texts, listed, spec)
    document: dict[str, Any] = {"column": column, "vectorizer": spec.vectorizer, "ngrams": list(spec.ngrams)}
    if spec.vectorizer == "hashing":
        document["features"] = spec.most
        return Counted(document, counts(document, texts), {})
    chosen = CountVectorizer(ngram_range=(spec.ngrams[0], spec.ngrams[1]), max_features=spec.most)
    try:
        chosen.fit([texts[i] for i in listed])
    except ValueError as error:  # an empty vocabulary
        length = "word" if spec.ngrams[0] == 1 else f"run of {spec.ngrams[0]} words"
        raise InputError(
            f"{name}: the column {truncate(column)} has no {length} of two letters or more in the rows to learn from; "
            f"add it to data.drop, or name other columns in data.text."
        ) from error
    document |= _weighing(spec) | {"terms": [str(term) for term in chosen.get_feature_names_out()]}
    return Counted(document, counts(document, texts), {})


def _parsed(name: str, column: str, texts: Sequence[str], listed: np.ndarray, spec: TextConfig) -> Counted:
    """The same of tokens: the indices that most of the rows `listed` have, in the order of numbers."""
    try:
        row, index, value = tokens = _tokens(column, texts)
    except InputError as error:
        raise InputError(f"{name}: {error}") from error
    known = (value != 0) & np.isin(row, listed)
    found, having = np.unique(index[known], return_counts=True)
    if not len(found):
        raise InputError(
            f"{name}: the column {truncate(column)} has no value in the rows to learn from; name other rows or columns."
        )
    chosen = np.sort(found[np.argsort(-having, kind="stable")[: spec.most]])
    document: dict[str, Any] = {
        "column": column,
        "vectorizer": spec.vectorizer,
        "terms": [str(i) for i in chosen.tolist()],
    }
    if bool((value[known] < 0).any()) or having.sum() >= _DENSE * len(listed) * len(found):
        if options := [*_weighing(spec)]:
            raise InputError(
                f"data.text.{options[0]}: weighs counts, and the column {truncate(column)} of {name} holds negative values, or hardly a zero; leave it out."
            )
        return Counted({**document, "standardised": True}, _placed(document, len(texts), *tokens), {})
    return Counted({**document, **_weighing(spec)}, _placed(document, len(texts), *tokens), {})


def _tokens(column: str, texts: Sequence[str]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """As `svmlight.parse` has them. Raises InputError, which names the column."""
    try:
        return svmlight.parse(texts)
    except InputError as error:
        raise InputError(f"the column {truncate(column)}: {error}") from error


def _placed(
    document: Mapping[str, Any], texts: int, row: np.ndarray, index: np.ndarray, value: np.ndarray
) -> csr_matrix:
    """The values of the indices that are terms, (texts, terms)."""
    listed = np.array(document["terms"], dtype=np.int64)
    place = np.searchsorted(listed, index).clip(max=len(listed) - 1)
    known = (listed[place] == index) & (value != 0)
    return csr_matrix((value[known], (row[known], place[known])), shape=(texts, len(listed)))


def _weighing(spec: TextConfig) -> dict[str, bool]:
    """Which of scikit-learn's options differ from its own defaults."""
    usual = {"binary": False, "use_idf": True, "sublinear_tf": False}
    return {key: getattr(spec, key) for key, value in usual.items() if getattr(spec, key) != value}


def counts(document: Mapping[str, Any], texts: Sequence[str]) -> csr_matrix:
    """How often each term, or hash, is in each text, or which value it has there: (texts, terms)."""
    if document["vectorizer"] == "svmlight":
        return _placed(document, len(texts), *_tokens(document["column"], texts))
    ngrams = (document["ngrams"][0], document["ngrams"][1])
    if "features" in document:
        return HashingVectorizer(n_features=document["features"], ngram_range=ngrams, norm=None).transform(texts)
    return CountVectorizer(vocabulary=document["terms"], ngram_range=ngrams).transform(texts)


def terms(document: Mapping[str, Any]) -> list[str]:
    """What each input of a column of text counts."""
    return document["terms"] if "terms" in document else [f"#{i}" for i in range(document["features"])]


def fit(counted: Counted, train: np.ndarray, beside: np.ndarray) -> dict[str, Any]:
    """The document with `idf`, what a term weighs, as the rows `train` and `beside` have it: TfidfVectorizer's, smooth, and 0 where no
    row has the term. Hashes all weigh the same. Values that are no counts have a `mean` and a `scale`, of the rows `train`, instead."""
    document = dict(counted.document)
    if "features" in document:
        return document
    if document.pop("standardised", False):
        scaler = StandardScaler().fit(counted.counts[train].toarray())
        return {**document, "mean": scaler.mean_.tolist(), "scale": scaler.scale_.tolist()}
    rows = np.concatenate([train, beside])
    having = np.asarray((counted.counts[rows] > 0).sum(axis=0)).ravel()
    weight = np.log((1 + len(rows)) / (1 + having)) + 1 if document.get("use_idf", True) else 1.0
    return {**document, "idf": np.where(having > 0, weight, 0.0).tolist()}


def weigh(document: Mapping[str, Any], counted: csr_matrix) -> np.ndarray:
    """Counts (texts, terms) as the inputs of a network, float32: each times its term's weight, and each text of length 1."""
    weighed = csr_matrix(counted, dtype=np.float64, copy=True)
    made: np.ndarray
    if "mean" in document:
        made = ((weighed.toarray() - document["mean"]) / document["scale"]).astype(np.float32)
        return made
    if document.get("binary"):
        weighed.data[:] = 1.0
    if document.get("sublinear_tf"):
        weighed.data = np.log(weighed.data) + 1
    if "idf" in document:
        weighed = weighed.multiply(np.array(document["idf"])).tocsr()
    length = np.sqrt(np.asarray(weighed.multiply(weighed).sum(axis=1)))
    made = weighed.multiply(1 / np.where(length > 0, length, 1.0)).tocsr().astype(np.float32).toarray()
    return made
