"""Columns of text as numbers: scikit-learn counts their words, what is fitted is written as plain numbers for export.

Which terms are counted is chosen without the target, from all rows but the test part, so that all folds have the same inputs. How
much a term weighs is fitted on training rows, and a term that these do not have weighs nothing: a fold sees the very numbers of a
vectorizer that knows its training rows alone.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.sparse import csr_matrix
from sklearn.feature_extraction.text import CountVectorizer, HashingVectorizer

from hpo.errors import InputError, cut
from hpo.language import Text


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


def count(name: str, column: str, texts: Sequence[str], listed: np.ndarray, spec: Text) -> Counted:
    """Counts the terms of the rows `listed` in all rows: the most frequent, in the order of the alphabet. Raises InputError if
    there is none. `name` is the table's."""
    document: dict[str, Any] = {"column": column, "vectorizer": spec.vectorizer, "ngrams": list(spec.ngrams)}
    if spec.vectorizer == "hashing":
        document["features"] = spec.features
        return Counted(document, counts(document, texts), {})
    chosen = CountVectorizer(ngram_range=(spec.ngrams[0], spec.ngrams[1]), max_features=spec.features)
    try:
        chosen.fit([texts[i] for i in listed])
    except ValueError as error:  # an empty vocabulary
        length = "word" if spec.ngrams[0] == 1 else f"run of {spec.ngrams[0]} words"
        raise InputError(
            f"{name}: the column {cut(column)} has no {length} of two letters or more in the rows to learn from; "
            f"add it to data.drop, or name other columns in data.text."
        ) from error
    document["terms"] = [str(term) for term in chosen.get_feature_names_out()]
    return Counted(document, counts(document, texts), {})


def counts(document: Mapping[str, Any], texts: Sequence[str]) -> csr_matrix:
    """How often each term, or hash, is in each text: (texts, terms)."""
    ngrams = (document["ngrams"][0], document["ngrams"][1])
    if "features" in document:
        return HashingVectorizer(n_features=document["features"], ngram_range=ngrams, norm=None).transform(texts)
    return CountVectorizer(vocabulary=document["terms"], ngram_range=ngrams).transform(texts)


def terms(document: Mapping[str, Any]) -> list[str]:
    """What each input of a column of text counts."""
    return document["terms"] if "terms" in document else [f"#{i}" for i in range(document["features"])]


def fit(counted: Counted, train: np.ndarray) -> dict[str, Any]:
    """The document with `idf`, what a term weighs, as the rows `train` have it: TfidfVectorizer's, smooth, and 0 where no row has
    the term. Hashes all weigh the same."""
    if "features" in counted.document:
        return dict(counted.document)
    having = np.asarray((counted.counts[train] > 0).sum(axis=0)).ravel()
    idf = np.where(having > 0, np.log((1 + len(train)) / (1 + having)) + 1, 0.0)
    return {**counted.document, "idf": idf.tolist()}


def weigh(document: Mapping[str, Any], counted: csr_matrix) -> np.ndarray:
    """Counts (texts, terms) as the inputs of a network, float32: each times its term's weight, and each text of length 1."""
    weighed = csr_matrix(counted, dtype=np.float64)
    if "idf" in document:
        weighed = weighed.multiply(np.array(document["idf"])).tocsr()
    length = np.sqrt(np.asarray(weighed.multiply(weighed).sum(axis=1)))
    made: np.ndarray = weighed.multiply(1 / np.where(length > 0, length, 1.0)).astype(np.float32).toarray()
    return made
