"""Generate synthetic rows, from the training rows of one fold, that can replace training rows.

A synthetic row has the label of the row that it replaces; in a regression, it is generated from rows with similar
numbers. One-hot inputs are treated as numbers, so a synthetic row may mix several categories.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from typing import Literal

import numpy as np
from sklearn.covariance import ledoit_wolf_shrinkage
from sklearn.exceptions import ConvergenceWarning
from sklearn.mixture import GaussianMixture
from sklearn.neighbors import NearestNeighbors

from hpo.data import autoencoder

REGULARIZER = "synthetic"  # the regularizer that uses synthetic rows
Kind = Literal["smote", "gaussian_mixture", "vae"]
_NEIGHBORS = 5  # as in Chawla et al.
_MAX_COMPONENTS = 5
_MIN_ROWS = 10  # per component, on average
_REGRESSION_GROUPS = 10  # groups of equal size, by the number to predict


def augment(kind: Kind, x: np.ndarray, y: np.ndarray, classes: int, train: np.ndarray, variants: int) -> np.ndarray:
    """Return variants (variants, rows, inputs) of the rows x (rows, inputs).

    The rows `train` are replaced by synthetic rows, which are generated from them only; all other rows are copied.
    """
    augmented = np.repeat(x[None], variants, 0)
    augmented[:, train] = generate(kind, x[train], y[train], classes, variants)
    return augmented


def generate(kind: Kind, x: np.ndarray, y: np.ndarray, classes: int, variants: int) -> np.ndarray:
    """Return synthetic rows (variants, rows, inputs) that can replace the training rows x (rows, inputs).

    The targets y (rows,) are class indices below `classes`, or numbers if `classes` is 0. The result is deterministic.
    """
    return _GENERATORS[kind](x, y, classes, variants, np.random.default_rng(0)).astype(x.dtype)


def _smote(x: np.ndarray, y: np.ndarray, classes: int, variants: int, rng: np.random.Generator) -> np.ndarray:
    """Interpolate between a row and one of its nearest neighbors (SMOTE; Chawla et al., JAIR 2002).

    Neighbors are of the same class; in a regression, the neighbors of a row are the rows with the nearest targets. A
    row without neighbors is copied.
    """
    synthetic = np.repeat(x[None].astype(float), variants, 0)
    for rows in _groups(y, classes) if classes else [np.arange(len(y))]:
        points = x[rows] if classes else y[:, None]
        neighbors = _nearest(points, min(_NEIGHBORS, len(rows) - 1))
        if neighbors.shape[1]:
            chosen = rng.integers(neighbors.shape[1], size=(variants, len(rows)))
            partner = x[rows[neighbors[np.arange(len(rows)), chosen]]]
            synthetic[:, rows] += rng.random((variants, len(rows), 1)) * (partner - x[rows])
    return synthetic


def _nearest(points: np.ndarray, n: int) -> np.ndarray:
    """Return the indices of the `n` nearest other points of each point, (points, n)."""
    if not n:
        return np.empty((len(points), 0), dtype=int)
    neighbors = NearestNeighbors(n_neighbors=n).fit(points).kneighbors(return_distance=False)
    assert isinstance(neighbors, np.ndarray)
    return neighbors


def _gaussian_mixture(
    x: np.ndarray, y: np.ndarray, classes: int, variants: int, rng: np.random.Generator
) -> np.ndarray:
    """Draw rows from a Gaussian mixture for each class, or for each group of similar targets in a regression.

    BIC (Schwarz, Annals of Statistics 1978) selects the number of components among mixtures with diagonal covariances;
    each component then gets the covariance of its own rows, shrunk as in Ledoit & Wolf (J. Multivariate Analysis 2004).
    """
    synthetic = np.empty((variants, *x.shape))
    for rows in _groups(y, classes):
        components = _components(x[rows])
        drawn = components[rng.integers(len(rows), size=(variants, len(rows)))]  # in proportion to their sizes
        group_rows = np.empty((*drawn.shape, x.shape[1]))
        for component in np.unique(components):
            is_drawn = drawn == component
            group_rows[is_drawn] = gaussian(x[rows[components == component]], int(is_drawn.sum()), rng)
        synthetic[:, rows] = group_rows
    return synthetic


def _components(x: np.ndarray) -> np.ndarray:
    """Assign each row to a component of a mixture, (rows,)."""
    if len(x) < 2 * _MIN_ROWS:
        return np.zeros(len(x), dtype=int)
    sizes = range(1, min(_MAX_COMPONENTS, len(x) // _MIN_ROWS) + 1)
    with warnings.catch_warnings():
        # Equal rows form fewer clusters than requested; BIC then selects fewer components.
        warnings.simplefilter("ignore", ConvergenceWarning)
        mixtures = [GaussianMixture(n, covariance_type="diag", reg_covar=1e-3, random_state=0).fit(x) for n in sizes]
    components: np.ndarray = min(mixtures, key=lambda mixture: mixture.bic(x)).predict(x)
    return components


def gaussian(x: np.ndarray, n: int, rng: np.random.Generator) -> np.ndarray:
    """Draw `n` rows from the Gaussian of `x` with a shrunk covariance, without computing the covariance matrix.

    A random sum of the centered rows has their covariance; noise adds the part that shrinkage moves to the diagonal.
    """
    mean = x.mean(0, dtype=float)
    centered = x - mean
    # With few rows, rounding errors put scikit-learn's value outside of 0 to 1.
    shrinkage = float(np.clip(ledoit_wolf_shrinkage(centered, assume_centered=True), 0, 1)) if len(x) > 1 else 1.0
    correlated = rng.standard_normal((n, len(x))) @ centered / np.sqrt(len(x))
    isotropic = rng.standard_normal((n, x.shape[1])) * np.sqrt(np.square(centered).mean())
    rows: np.ndarray = mean + np.sqrt(1 - shrinkage) * correlated + np.sqrt(shrinkage) * isotropic
    return rows


def _vae(x: np.ndarray, y: np.ndarray, classes: int, variants: int, rng: np.random.Generator) -> np.ndarray:
    """Generate rows with a variational autoencoder that is conditioned on the class, or on the standardized number."""
    condition = np.eye(classes)[y] if classes else (y - y.mean())[:, None] / (y.std() or 1.0)
    return autoencoder.generate(x, condition, variants, int(rng.integers(2**31)))


def _groups(y: np.ndarray, classes: int) -> Iterator[np.ndarray]:
    """Yield the rows of each class that has any, or of each group of similar numbers."""
    if classes:
        yield from (rows for c in range(classes) if len(rows := np.flatnonzero(y == c)))
    else:
        n_groups = max(1, min(_REGRESSION_GROUPS, len(y) // _MIN_ROWS))
        yield from np.array_split(np.argsort(y, kind="stable"), n_groups)


_GENERATORS: dict[Kind, Callable[[np.ndarray, np.ndarray, int, int, np.random.Generator], np.ndarray]] = {
    "smote": _smote,
    "gaussian_mixture": _gaussian_mixture,
    "vae": _vae,
}
