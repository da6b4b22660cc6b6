"""The rows of two domains in the form that every test of this package takes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

import numpy as np
from scipy.sparse import csr_matrix, issparse, vstack
from sklearn.decomposition import TruncatedSVD

ALPHA = 0.005  # level of each of the three tests that name a shift; without one, about 2 of 100 draws still get a name
SEED = 0  # of all folds, permutations, resamples and trees
_MAX_INPUTS = 200  # with more inputs, trees and kernels use the directions of largest variance
_DIRECTIONS = 50
_MAX_DENSITY = 0.2  # the largest share of nonzero numbers at which a wide matrix is stored sparse

Matrix: TypeAlias = Any  # np.ndarray or csr_matrix, which have no type in common; (rows, inputs)


@dataclass(frozen=True)
class Column:
    """The values of a column in each domain, in its own units: numbers (missing: NaN) or names (missing: "")."""

    name: str
    kind: Literal["number", "category"]
    source: np.ndarray
    target: np.ndarray


@dataclass(frozen=True)
class Terms:
    """A text column: whether each row contains each term, (rows, terms)."""

    name: str
    terms: Sequence[str]
    source: csr_matrix
    target: csr_matrix


@dataclass(frozen=True)
class Domains:
    """Encoded rows and labels of both domains.

    `x_s` (n, inputs) has the class indices `y_s` (n,). The rows `labelled` of `x_t` (m, inputs) have the class indices
    `y_t`. If `labelled_by_class`, a fixed number of labels was drawn per class, so label shares carry no information.
    `columns` and `terms` hold the same rows in their own units.
    """

    x_s: Matrix
    y_s: np.ndarray
    x_t: Matrix
    classes: Sequence[str]
    labelled: np.ndarray
    y_t: np.ndarray
    labelled_by_class: bool = False
    columns: Sequence[Column] = ()
    terms: Sequence[Terms] = ()


def as_sparse(x: Matrix) -> Matrix:
    """Return `x` as a sparse matrix if it is wide and mostly 0, otherwise unchanged."""
    if issparse(x) or x.shape[1] <= _MAX_INPUTS or np.count_nonzero(x) > _MAX_DENSITY * x.size:
        return x
    return csr_matrix(x)


def reduce_dimensions(*parts: Matrix) -> list[np.ndarray]:
    """Return the same rows with at most 200 inputs; trees and kernels would take minutes for thousands of inputs.

    If there are more, they are replaced by the 50 directions of largest variance over the rows of all parts, so that no
    part is favored.
    """
    if parts[0].shape[1] <= _MAX_INPUTS:
        return [np.asarray(part) for part in parts]
    svd = TruncatedSVD(_DIRECTIONS, random_state=SEED).fit(stack_rows(*parts))
    return [svd.transform(part) for part in parts]


def stack_rows(*parts: Matrix) -> Matrix:
    """Concatenate the rows of dense or sparse matrices."""
    return csr_matrix(vstack(parts)) if issparse(parts[0]) else np.concatenate(parts)
