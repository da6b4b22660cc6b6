"""Generated rows: the bank from which a training row is replaced by one like it, made once a fold, of its training rows alone.

A generated row belongs to the row in whose place it may stand and has its label, or is of a number's own neighbourhood. Inputs of a
category are numbers here as all others, so that a generated row may have a share of several.
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

MEMBER = "synthetic"  # the regularizer that wants such rows
Kind = Literal["smote", "gaussian_mixture", "vae"]
_NEIGHBOURS = 5  # as Chawla et al. have it
_MOST_COMPONENTS = 5
_FEWEST = 10  # rows of a component, on average
_GROUPS = 10  # of a number to predict, each as many rows


def bank(kind: Kind, x: np.ndarray, y: np.ndarray, classes: int, train: np.ndarray, variants: int) -> np.ndarray:
    """Of the rows `x` (rows, inputs) so many that could stand in place of each, (variants, rows, inputs): generated ones for those at
    `train`, from these alone; the others stay as they are."""
    found = np.repeat(x[None], variants, 0)
    found[:, train] = generate(kind, x[train], y[train], classes, variants)
    return found


def generate(kind: Kind, x: np.ndarray, y: np.ndarray, classes: int, variants: int) -> np.ndarray:
    """Of the training rows `x` (rows, inputs) with the targets `y` (rows,), indices of so many `classes` or numbers if there are none:
    as many generated ones for each, (variants, rows, inputs). The same rows give the same."""
    return _KINDS[kind](x, y, classes, variants, np.random.default_rng(0)).astype(x.dtype)


def _smote(x: np.ndarray, y: np.ndarray, classes: int, variants: int, random: np.random.Generator) -> np.ndarray:
    """On the way from a row to one of its nearest of the same class (Chawla et al., SMOTE, JAIR 2002), or of those whose numbers are
    nearest. A row that is alone in its class stays."""
    made = np.repeat(x[None].astype(float), variants, 0)
    for rows in _groups(y, classes) if classes else [np.arange(len(y))]:
        by = x[rows] if classes else y[:, None]
        others = _nearest(by, min(_NEIGHBOURS, len(rows) - 1))
        if others.shape[1]:
            chosen = random.integers(others.shape[1], size=(variants, len(rows)))
            partner = x[rows[others[np.arange(len(rows)), chosen]]]
            made[:, rows] += random.random((variants, len(rows), 1)) * (partner - x[rows])
    return made


def _nearest(points: np.ndarray, n: int) -> np.ndarray:
    """The places of the `n` others that are nearest to each point, (points, n)."""
    if not n:
        return np.empty((len(points), 0), dtype=int)
    found = (
        NearestNeighbors(n_neighbors=n).fit(points).kneighbors(return_distance=False)
    )  # a point is not its own neighbour
    assert isinstance(found, np.ndarray)
    return found


def _mixture(x: np.ndarray, y: np.ndarray, classes: int, variants: int, random: np.random.Generator) -> np.ndarray:
    """Drawn from a mixture of Gaussians for each class, or for each tenth of the numbers. How many there are is chosen by BIC (Schwarz,
    Annals of Statistics 1978) among mixtures without correlations; each then has the correlations of its own rows, shrunk by Ledoit &
    Wolf (J. Multivariate Analysis 2004)."""
    made = np.empty((variants, *x.shape))
    for rows in _groups(y, classes):
        parts = _parts(x[rows])
        drawn = parts[random.integers(len(rows), size=(variants, len(rows)))]  # as often as each has rows
        of_class = np.empty((*drawn.shape, x.shape[1]))
        for part in np.unique(parts):
            where = drawn == part
            of_class[where] = _gaussian(x[rows[parts == part]], int(where.sum()), random)
        made[:, rows] = of_class
    return made


def _parts(x: np.ndarray) -> np.ndarray:
    """To which component of a mixture each row belongs, (rows,)."""
    if len(x) < 2 * _FEWEST:
        return np.zeros(len(x), dtype=int)
    several = range(1, min(_MOST_COMPONENTS, len(x) // _FEWEST) + 1)
    with warnings.catch_warnings():
        warnings.simplefilter(
            "ignore", ConvergenceWarning
        )  # of rows that are alike there are fewer clusters, which BIC then finds
        fitted = [GaussianMixture(n, covariance_type="diag", reg_covar=1e-3, random_state=0).fit(x) for n in several]
    found: np.ndarray = min(fitted, key=lambda mixture: mixture.bic(x)).predict(x)
    return found


def _gaussian(x: np.ndarray, n: int, random: np.random.Generator) -> np.ndarray:
    """`n` rows of the Gaussian of `x` with a shrunk covariance, which need not be written out: a random sum of the rows themselves has their
    covariance, and noise has the part that is shrunk."""
    mean = x.mean(0, dtype=float)
    apart = x - mean
    # Of few rows scikit-learn's is beyond 0 or 1 by what it rounds.
    shrinkage = float(np.clip(ledoit_wolf_shrinkage(apart, assume_centered=True), 0, 1)) if len(x) > 1 else 1.0
    along = random.standard_normal((n, len(x))) @ apart / np.sqrt(len(x))
    around = random.standard_normal((n, x.shape[1])) * np.sqrt(np.square(apart).mean())
    found: np.ndarray = mean + np.sqrt(1 - shrinkage) * along + np.sqrt(shrinkage) * around
    return found


def _vae(x: np.ndarray, y: np.ndarray, classes: int, variants: int, random: np.random.Generator) -> np.ndarray:
    """Said by a variational autoencoder that is told the class, or the number."""
    told = np.eye(classes)[y] if classes else (y - y.mean())[:, None] / (y.std() or 1.0)
    return autoencoder.generated(x, told, variants, int(random.integers(2**31)))


def _groups(y: np.ndarray, classes: int) -> Iterator[np.ndarray]:
    """The rows of each class, or with numbers that are near each other, none of them empty."""
    if classes:
        yield from (rows for c in range(classes) if len(rows := np.flatnonzero(y == c)))
    else:
        yield from np.array_split(np.argsort(y, kind="stable"), max(1, min(_GROUPS, len(y) // _FEWEST)))


_KINDS: dict[Kind, Callable[[np.ndarray, np.ndarray, int, int, np.random.Generator], np.ndarray]] = {
    "smote": _smote,
    "gaussian_mixture": _mixture,
    "vae": _vae,
}
