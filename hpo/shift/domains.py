"""The rows of two domains, as every test of this package takes them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

import numpy as np
from scipy.sparse import csr_matrix, issparse
from sklearn.decomposition import TruncatedSVD

LEVEL = 0.005  # of each of the three tests that name a shift: without one, about 2 of 100 draws are given a name
SEED = 0  # of all folds, permutations, resamples and trees
_WIDE = 200  # inputs, beyond which trees and kernels look at directions of the largest variance
_DIRECTIONS = 50
_SPARSE = 0.2  # share of numbers that are not 0, below which a matrix is kept sparse

Matrix: TypeAlias = Any  # np.ndarray or csr_matrix, which have no type in common; (rows, inputs)


@dataclass(frozen=True)
class Column:
    """A column in its own units: numbers with NaN, or names with "", in each domain."""

    name: str
    kind: Literal["number", "category"]
    source: np.ndarray
    target: np.ndarray


@dataclass(frozen=True)
class Terms:
    """A column of text: whether each of its terms is in each row, (rows, terms)."""

    name: str
    terms: Sequence[str]
    source: csr_matrix
    target: csr_matrix


@dataclass(frozen=True)
class Domains:
    """`x_s` (n, inputs) with the class indices `y_s` (n,); `x_t` (m, inputs), of which the rows `labelled` have the class indices
    `y_t`. `chosen`: these were drawn by class, so that their shares say nothing. `columns` and `terms`: the same rows in words."""

    x_s: Matrix
    y_s: np.ndarray
    x_t: Matrix
    classes: Sequence[str]
    labelled: np.ndarray
    y_t: np.ndarray
    chosen: bool = False
    columns: Sequence[Column] = ()
    terms: Sequence[Terms] = ()


def sparse(x: Matrix) -> Matrix:
    """The same, sparse if most of it is 0 and there is much of it."""
    if issparse(x) or x.shape[1] <= _WIDE or np.count_nonzero(x) > _SPARSE * x.size:
        return x
    return csr_matrix(x)


def narrow(*parts: Matrix) -> list[np.ndarray]:
    """The same rows with at most 200 inputs: of more, the 50 directions of the largest variance over the rows of all parts, so that no
    part is favoured. Trees and kernels need no more, and take minutes over thousands."""
    if parts[0].shape[1] <= _WIDE:
        return [np.asarray(part) for part in parts]
    svd = TruncatedSVD(_DIRECTIONS, random_state=SEED).fit(stacked(*parts))
    return [svd.transform(part) for part in parts]


def stacked(*parts: Matrix) -> Matrix:
    """One below the other."""
    if issparse(parts[0]):
        from scipy.sparse import vstack

        return csr_matrix(vstack(parts))
    return np.concatenate(parts)
