"""Two domains with a planted shift, another pair for every seed."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from hpo.shift.domains import Column, Domains

KINDS = ("none", "covariate", "prior", "concept")
LABELS = ("none", "20 a class", "200 rows")
_POOL = 20  # rows to choose from, for each that is kept


def domains(kind: str, seed: int, size: float = 1.0, labels: str = "none") -> Domains:
    """500 to 1,000 rows in each domain, 5 to 10 columns, 2 or 3 classes; labels follow from half of the columns, in every second pair by a
    curve. A shift of `size` 1 is, of a

    covariate: two columns half a standard deviation up, one that labels follow and one that they do not, and a third
    1.4 times as wide; labels follow the columns as before.
    prior: label shares of about 50 : 50 become 80 : 20, of three classes 33 : 33 : 33 become 60 : 30 : 10; rows of a class as before.
    concept: one of the columns that labels follow has the opposite effect; the columns as before.
    """
    rng = np.random.default_rng((seed, 17))
    n, m = (int(rows) for rows in rng.integers(500, 1001, 2))
    d, k = int(rng.integers(5, 11)), int(rng.integers(2, 4))
    weights = np.zeros((d, k))
    weights[: d // 2] = rng.normal(size=(d // 2, k))
    weights *= 2 / np.linalg.norm(weights - weights.mean(1, keepdims=True)) * np.sqrt(k)
    mixed = np.eye(d) + 0.3 * rng.normal(size=(d, d)) / np.sqrt(d)  # columns are correlated a little
    curve = seed % 2 == 1

    def drawn(rows: int) -> np.ndarray:
        return rng.normal(size=(rows, d)) @ mixed

    def label(x: np.ndarray, effect: np.ndarray = np.ones(d)) -> np.ndarray:
        bent = np.where(np.arange(d) % 2 == 0, x, np.abs(x) * 1.6 - 1.3) if curve else x
        score = (bent * effect) @ weights
        return np.asarray((score + rng.gumbel(size=score.shape)).argmax(1))

    x_s = drawn(n)
    y_s = label(x_s)
    x_t = drawn(m)
    if kind == "covariate":
        x_t[:, [0, d - 1]] += 0.5 * size
        x_t[:, d - 2] *= 1 + 0.4 * size
    effect = np.ones(d)
    if kind == "concept":
        effect[strongest(weights)] = 1 - 2 * size
    y_t = label(x_t, effect)
    if kind == "prior":
        x_t, y_t = _of_shares(drawn, label, moved(k, size), m, rng)
    known = _labelled(labels, y_t, rng)
    columns = [Column(f"x{i}", "number", x_s[:, i], x_t[:, i]) for i in range(d)]
    return Domains(x_s, y_s, x_t, [f"class {c}" for c in range(k)], known, y_t[known], labels == "20 a class", columns)


def strongest(weights: np.ndarray) -> int:
    """The column that labels follow most."""
    return int(np.linalg.norm(weights - weights.mean(1, keepdims=True), axis=1).argmax())


def moved(k: int, size: float) -> np.ndarray:
    """Label shares of the target: even ones at size 0."""
    full = np.array([0.8, 0.2] if k == 2 else [0.6, 0.3, 0.1])
    return (1 - size) / k + size * full


def _of_shares(
    drawn: Callable[[int], np.ndarray], label: Callable[[np.ndarray], np.ndarray], shares: np.ndarray, m: int, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    pool = drawn(_POOL * m)
    y = label(pool)
    wanted = rng.multinomial(m, shares)
    rows = rng.permutation(np.concatenate([np.flatnonzero(y == c)[:count] for c, count in enumerate(wanted)]))
    return pool[rows], y[rows]


def _labelled(labels: str, y: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    if labels == "none":
        return np.empty(0, dtype=int)
    if labels == "20 a class":
        return np.concatenate([rng.permutation(np.flatnonzero(y == c))[:20] for c in np.unique(y)])
    return rng.permutation(len(y))[:200]
