"""The maximum mean discrepancy of two samples, and whether chance explains it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.spatial.distance import pdist, squareform

from hpo.shift.domains import SEED, Matrix, narrow

_ROWS = 500  # of each domain: a kernel has the square of all
_PERMUTATIONS = 999


@dataclass(frozen=True)
class Discrepancy:
    """The unbiased estimate of MMD²; the share of permutations of the domains that are at least as far apart; rows looked at."""

    mmd2: float
    p: float
    rows: tuple[int, int]


def discrepancy(x_s: Matrix, x_t: Matrix) -> Discrepancy:
    """With a Gaussian kernel as wide as the median distance, on at most 500 rows of each domain (Gretton et al., JMLR 2012)."""
    rng = np.random.default_rng(SEED)
    source, target = (x[np.sort(rng.permutation(x.shape[0])[:_ROWS])] for x in (x_s, x_t))
    both = np.concatenate(narrow(source, target))
    n, m = source.shape[0], target.shape[0]
    kernel = gaussian(both)
    weights = np.repeat([1 / n, -1 / m], [n, m])
    drawn = np.column_stack([weights, *(rng.permutation(weights) for _ in range(_PERMUTATIONS))]).astype(kernel.dtype)
    found = np.einsum("ij,ij->j", drawn, kernel @ drawn)
    p = float(
        (found >= found[0] * (1 - 1e-6)).mean()
    )  # itself among them; the same rows in another order differ by rounding
    return Discrepancy(unbiased(kernel, n), p, (n, m))


def gaussian(x: np.ndarray) -> np.ndarray:
    """exp(-d²/2σ²), σ the median distance of two rows; (rows, rows)."""
    squares = squareform(pdist(x, "sqeuclidean"))
    middle = float(np.median(squares[np.triu_indices(len(x), 1)]))
    return np.asarray(np.exp(-squares / (2 * middle or 1.0)))


def unbiased(kernel: np.ndarray, n: int) -> float:
    """MMD² of the first n rows and the others, no row compared with itself."""
    m = len(kernel) - n
    own = kernel - np.diag(np.diag(kernel))
    return float(own[:n, :n].sum() / (n * (n - 1)) + own[n:, n:].sum() / (m * (m - 1)) - 2 * own[:n, n:].mean())
