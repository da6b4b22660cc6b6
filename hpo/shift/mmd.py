"""The maximum mean discrepancy (MMD) of two samples, with a permutation test."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.spatial.distance import pdist, squareform

from hpo.shift.domains import SEED, Matrix, reduce_dimensions

_MAX_ROWS = 500  # rows of each domain; the kernel matrix grows with the square of their number
_PERMUTATIONS = 999


@dataclass(frozen=True)
class MmdTest:
    """The unbiased estimate of MMD², its permutation p-value, and the number of rows used of each domain."""

    mmd2: float
    p: float
    rows: tuple[int, int]


def mmd_test(x_s: Matrix, x_t: Matrix) -> MmdTest:
    """Test with a Gaussian kernel as wide as the median distance (Gretton et al., JMLR 2012).

    At most 500 rows of each domain are used.
    """
    rng = np.random.default_rng(SEED)
    source, target = (x[np.sort(rng.permutation(x.shape[0])[:_MAX_ROWS])] for x in (x_s, x_t))
    rows = np.concatenate(reduce_dimensions(source, target))
    n, m = source.shape[0], target.shape[0]
    kernel = gaussian_kernel(rows)
    weights = np.repeat([1 / n, -1 / m], [n, m])
    permuted = [rng.permutation(weights) for _ in range(_PERMUTATIONS)]
    columns = np.column_stack([weights, *permuted]).astype(kernel.dtype)
    statistics = np.einsum("ij,ij->j", columns, kernel @ columns)
    # The first statistic is the observed one. The tolerance allows for rounding, which depends on the order of rows.
    p = float((statistics >= statistics[0] * (1 - 1e-6)).mean())
    return MmdTest(unbiased_mmd2(kernel, n), p, (n, m))


def gaussian_kernel(x: np.ndarray) -> np.ndarray:
    """Return exp(-d²/2σ²) of all pairs of rows, (rows, rows); σ is the median distance of two rows."""
    squares = squareform(pdist(x, "sqeuclidean"))
    median = float(np.median(squares[np.triu_indices(len(x), 1)]))
    return np.asarray(np.exp(-squares / (2 * median or 1.0)))


def unbiased_mmd2(kernel: np.ndarray, n: int) -> float:
    """Return MMD² between the first n rows and the others; no row is compared with itself."""
    m = len(kernel) - n
    off_diagonal = kernel - np.diag(np.diag(kernel))
    within_source = off_diagonal[:n, :n].sum() / (n * (n - 1))
    within_target = off_diagonal[n:, n:].sum() / (m * (m - 1))
    return float(within_source + within_target - 2 * off_diagonal[:n, n:].mean())
