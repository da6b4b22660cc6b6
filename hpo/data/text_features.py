"""Turn text columns into numbers: term counts by scikit-learn, and weights that are exported as plain numbers.

Terms are selected without the target from all development rows, so that all folds have the same inputs. Term weights
are fitted on training rows, and on the target rows that a fold adapts to. A term that occurs in none of these rows gets
the weight 0, so the inputs are the same as those of a vectorizer that was fitted on these rows only.

Indices of `index:value` pairs are terms, with their values in place of counts. Values that cannot be counts (negative
values, or a table with few zeros) are instead standardized on the training rows, as numeric columns are.
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

_DENSE = 0.5  # values are not treated as counts if at least this share of them is nonzero


@dataclass(frozen=True)
class TermCounts:
    """A text column as term counts, and the same for its augmented texts.

    `document` is the entry of `Preprocessor.documents` without its fitted weights. `matrix` is (table rows, terms).
    `variants` holds, for each regularizer, one matrix (development rows, terms) per variant.
    """

    document: Mapping[str, Any]
    matrix: csr_matrix
    variants: Mapping[str, tuple[csr_matrix, ...]]

    @property
    def n_terms(self) -> int:
        return int(self.matrix.shape[1])


def count_terms(name: str, column: str, texts: Sequence[str], rows: np.ndarray, config: TextConfig) -> TermCounts:
    """Select the most frequent terms of `rows`, sort them, and count them in all rows of the table `name`.

    Raises InputError if there is no term.
    """
    if config.vectorizer == "svmlight":
        return _select_pairs(name, column, texts, rows, config)
    document: dict[str, Any] = {"column": column, "vectorizer": config.vectorizer, "ngrams": list(config.ngrams)}
    if config.vectorizer == "hashing":
        document["features"] = config.max_terms
        return TermCounts(document, term_matrix(document, texts), {})
    vectorizer = CountVectorizer(ngram_range=(config.ngrams[0], config.ngrams[1]), max_features=config.max_terms)
    try:
        vectorizer.fit([texts[i] for i in rows])
    except ValueError as error:  # an empty vocabulary
        term = "word" if config.ngrams[0] == 1 else f"sequence of {config.ngrams[0]} words"
        raise InputError(
            f"{name}: the column {truncate(column)} has no {term} of two letters or more in the rows to learn from; "
            f"add it to data.drop, or name other columns in data.text."
        ) from error
    document |= _tfidf_options(config) | {"terms": [str(term) for term in vectorizer.get_feature_names_out()]}
    return TermCounts(document, term_matrix(document, texts), {})


def _select_pairs(name: str, column: str, texts: Sequence[str], rows: np.ndarray, config: TextConfig) -> TermCounts:
    """Select the most frequent indices of the `index:value` pairs of `rows`, in numerical order, as terms."""
    try:
        pairs = _parse(column, texts)
    except InputError as error:
        raise InputError(f"{name}: {error}") from error
    used = (pairs.value != 0) & np.isin(pairs.row, rows)
    indices, frequencies = np.unique(pairs.index[used], return_counts=True)
    if not len(indices):
        raise InputError(
            f"{name}: the column {truncate(column)} has no value in the rows to learn from; name other rows or columns."
        )
    selected = np.sort(indices[np.argsort(-frequencies, kind="stable")[: config.max_terms]])
    document: dict[str, Any] = {
        "column": column,
        "vectorizer": config.vectorizer,
        "terms": [str(i) for i in selected.tolist()],
    }
    options = _tfidf_options(config)
    if bool((pairs.value[used] < 0).any()) or frequencies.sum() >= _DENSE * len(rows) * len(indices):
        if options:
            raise InputError(
                f"data.text.{next(iter(options))}: weights counts, but the column {truncate(column)} of {name} holds "
                f"negative values or hardly any zeros; leave it out."
            )
        options = {"standardised": True}
    return TermCounts({**document, **options}, pairs.matrix(selected), {})


def _parse(column: str, texts: Sequence[str]) -> svmlight.Pairs:
    """Parse `index:value` pairs. Raises InputError, which names the column."""
    try:
        return svmlight.parse(texts)
    except InputError as error:
        raise InputError(f"the column {truncate(column)}: {error}") from error


def _tfidf_options(config: TextConfig) -> dict[str, bool]:
    """Return the options that differ from the defaults of scikit-learn's TfidfVectorizer."""
    defaults = {"binary": False, "use_idf": True, "sublinear_tf": False}
    return {key: getattr(config, key) for key, default in defaults.items() if getattr(config, key) != default}


def term_matrix(document: Mapping[str, Any], texts: Sequence[str]) -> csr_matrix:
    """Return the count of each term or hash in each text, or the value of each index, (texts, terms)."""
    if document["vectorizer"] == "svmlight":
        return _parse(document["column"], texts).matrix(np.array(document["terms"], dtype=np.int64))
    ngrams = (document["ngrams"][0], document["ngrams"][1])
    if "features" in document:
        return HashingVectorizer(n_features=document["features"], ngram_range=ngrams, norm=None).transform(texts)
    return CountVectorizer(vocabulary=document["terms"], ngram_range=ngrams).transform(texts)


def terms(document: Mapping[str, Any]) -> list[str]:
    """Return the term, index or numbered hash of each input of a text column."""
    return document["terms"] if "terms" in document else [f"#{i}" for i in range(document["features"])]


def fit(counts: TermCounts, train: np.ndarray, target: np.ndarray) -> dict[str, Any]:
    """Return the document with its term weights `idf`, fitted on the rows `train` and `target`.

    The weights are those of TfidfVectorizer with smoothing, and 0 for terms that occur in none of these rows. Hashes
    have no weights. Values that are not counts get the `mean` and `scale` of the rows `train` instead.
    """
    document = dict(counts.document)
    if "features" in document:
        return document
    if document.pop("standardised", False):
        scaler = StandardScaler().fit(counts.matrix[train].toarray())
        return {**document, "mean": scaler.mean_.tolist(), "scale": scaler.scale_.tolist()}
    rows = np.concatenate([train, target])
    frequency = np.asarray((counts.matrix[rows] > 0).sum(axis=0)).ravel()
    weight = np.log((1 + len(rows)) / (1 + frequency)) + 1 if document.get("use_idf", True) else 1.0
    return {**document, "idf": np.where(frequency > 0, weight, 0.0).tolist()}


def weight_terms(document: Mapping[str, Any], counts: csr_matrix) -> np.ndarray:
    """Multiply counts (texts, terms) by the term weights and scale each text to length 1; returns float32."""
    weighted = csr_matrix(counts, dtype=np.float64, copy=True)
    inputs: np.ndarray
    if "mean" in document:
        inputs = ((weighted.toarray() - document["mean"]) / document["scale"]).astype(np.float32)
        return inputs
    if document.get("binary"):
        weighted.data[:] = 1.0
    if document.get("sublinear_tf"):
        weighted.data = np.log(weighted.data) + 1
    if "idf" in document:
        weighted = weighted.multiply(np.array(document["idf"])).tocsr()
    length = np.sqrt(np.asarray(weighted.multiply(weighted).sum(axis=1)))
    inputs = weighted.multiply(1 / np.where(length > 0, length, 1.0)).tocsr().astype(np.float32).toarray()
    return inputs
