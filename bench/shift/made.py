"""Synthetic pairs of domains with a planted shift, a different pair for each seed."""

from __future__ import annotations

import numpy as np

from hpo.shift.domains import Column, Domains

KINDS = ("none", "covariate", "prior", "concept")
HARD = {
    "lookalike": ("covariate",),
    "covariate and prior": ("covariate", "prior"),
    "covariate and concept": ("covariate", "concept"),
}
LABELS = ("none", "20 a class", "200 rows")
_POOL = 20  # drawn rows per kept row, since some labels are rare


def domains(kind: str, seed: int, size: float = 1.0, labels: str = "none") -> Domains:
    """Return 500 to 1,000 rows in each domain with 5 to 10 columns and 2 or 3 classes.

    Labels depend on half of the columns, nonlinearly for odd seeds. A shift of `size` 1 is, by kind:

    covariate: two columns half a standard deviation higher, one of them without influence on the labels, and a third
        1.4 times as wide; p(y|x) is the same.
    prior: the share of the first class 30 points higher, or lower if it is above one half; p(x|y) is the same.
    concept: the column with the most influence on the labels has the opposite effect; p(x) is the same.
    lookalike: a covariate shift of half a standard deviation in the direction that the first class follows.
    """
    rng = np.random.default_rng((seed, 17))
    n, m = (int(rows) for rows in rng.integers(500, 1001, 2))
    d, k = int(rng.integers(5, 11)), int(rng.integers(2, 4))
    weights = np.zeros((d, k))
    weights[: d // 2] = rng.normal(size=(d // 2, k))
    weights *= 2 / np.linalg.norm(weights - weights.mean(1, keepdims=True)) * np.sqrt(k)
    mixed = np.eye(d) + 0.3 * rng.normal(size=(d, d)) / np.sqrt(d)  # slightly correlated columns
    curve = seed % 2 == 1

    def drawn(rows: int) -> np.ndarray:
        return rng.normal(size=(rows, d)) @ mixed

    def label(x: np.ndarray, effect: np.ndarray | float = 1.0) -> np.ndarray:
        bent = np.where(np.arange(d) % 2 == 0, x, np.abs(x) * 1.6 - 1.3) if curve else x
        score = (bent * effect) @ weights
        return np.asarray((score + rng.gumbel(size=score.shape)).argmax(1))

    x_s = drawn(n)
    y_s = label(x_s)
    x_t = drawn(_POOL * m if "prior" in kind else m)
    if "covariate" in kind:
        x_t[:, [0, d - 1]] += 0.5 * size
        x_t[:, d - 2] *= 1 + 0.4 * size
    if kind == "lookalike":
        x_t += 0.5 * size * weights[:, 0] / np.linalg.norm(weights[:, 0])
    effect = np.ones(d)
    if "concept" in kind:
        effect[strongest(weights)] = 1 - 2 * size
    y_t = label(x_t, effect)
    if "prior" in kind:
        rows = with_shares(y_t, moved(np.bincount(y_t, minlength=k) / len(y_t), size), m, rng)
        x_t, y_t = x_t[rows], y_t[rows]
    known = labelled(labels, y_t, rng)
    columns = [Column(f"x{i}", "number", x_s[:, i], x_t[:, i]) for i in range(d)]
    return Domains(x_s, y_s, x_t, [f"class {c}" for c in range(k)], known, y_t[known], labels == "20 a class", columns)


def strongest(weights: np.ndarray) -> int:
    """Return the column with the most influence on the labels."""
    return int(np.linalg.norm(weights - weights.mean(1, keepdims=True), axis=1).argmax())


def moved(shares: np.ndarray, size: float) -> np.ndarray:
    """Return shares with the first 30 points higher, or lower if it is above one half; the others in proportion."""
    first = shares[0] + 0.3 * size * (1 if shares[0] <= 0.5 else -1)
    return np.array([first, *(shares[1:] * (1 - first) / (1 - shares[0]))])


def with_shares(y: np.ndarray, shares: np.ndarray, m: int, rng: np.random.Generator) -> np.ndarray:
    """Return m rows of y with these label shares."""
    wanted = rng.multinomial(m, shares)
    return rng.permutation(np.concatenate([np.flatnonzero(y == c)[:count] for c, count in enumerate(wanted)]))


def labelled(labels: str, y: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    if labels == "none":
        return np.empty(0, dtype=int)
    if labels == "20 a class":
        return np.concatenate([rng.permutation(np.flatnonzero(y == c))[:20] for c in np.unique(y)])
    return rng.permutation(len(y))[:200]
