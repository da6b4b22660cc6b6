"""Whether labels still follow from the columns as they did: a source model on labelled target rows, and where it is worst."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from hpo.shift.domains import SEED, Domains
from hpo.shift.source_model import Predicted, losses

_PERMUTATIONS = 1999
_FEW = 8  # rows of a domain that a region needs
_REGIONS = 40
_NAMED = 10  # categories of a column that are regions


@dataclass(frozen=True)
class Region:
    """A part of the table, `where`: mean loss of the source model in it on source rows and on labelled target rows, `rows` of these; by
    how much the target's is above what the model itself expects there, against the source's; p adjusted for all regions."""

    where: str
    rows: int
    source: float
    target: float
    excess: float
    p: float


@dataclass(frozen=True)
class Concept:
    """`p`: that the labels of the target follow from its columns as the source's do. `regions`: all rows first, then the worst."""

    p: float
    model: str
    regions: Sequence[Region]


def concept(domains: Domains, predicted: Predicted, free: bool) -> Concept:
    """Compares what the source model did not expect, on source rows and on labelled target rows.

    A row's loss minus the model's own entropy there has mean 0 wherever labels follow the model, so a move of p(x) alone into harder
    regions does not count; what the model gets wrong in both domains cancels, since both are predicted by the same models. It is
    compared over all rows and in regions (each column's lower and upper half, each category), and for each class so is its share
    minus its expected share. The largest |t| (Welch's) of all is held against permutations of the domains (maxT; Westfall &
    Young, 1993). `free`: label shares may have moved too, or labelled rows were chosen by class; then the model's chances are first
    brought to the shares of the labelled rows, and shares are not compared.
    """
    y = np.concatenate([domains.y_s, domains.y_t])
    target = np.repeat([False, True], [len(domains.y_s), len(domains.y_t)])
    own = predicted.target[domains.labelled]
    chances = np.concatenate([predicted.source, rebalanced(own, domains.y_t) if free else own])
    loss = losses(chances, y)
    beyond = loss + (chances * np.log(chances)).sum(1)
    parts = {"all rows": np.ones(len(y), dtype=bool)} | {k: v for k, v in _regions(domains).items() if _enough(v, target)}
    values = [np.where(rows, beyond, np.nan) for rows in parts.values()]
    if not free:
        values += list((np.eye(len(domains.classes))[y] - chances).T)
    found = max_t(np.array(values).T, target)
    regions = [
        Region(name, int((rows & target).sum()), *(float(loss[rows & part].mean()) for part in (~target, target)),
               float(beyond[rows & target].mean() - beyond[rows & ~target].mean()), float(p))
        for (name, rows), p in zip(parts.items(), found, strict=False)
    ]  # fmt: skip
    return Concept(float(found.min()), predicted.model, [regions[0], *sorted(regions[1:], key=lambda r: (r.p, -r.excess))])


def rebalanced(chances: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Chances times a factor a class, such that their means are the shares of y: what a move of label shares alone makes of them
    (Saerens, Latinne & Decaestecker, Neural Computation 2002)."""
    wanted = np.bincount(y, minlength=chances.shape[1]) / len(y)
    found = chances
    for _ in range(200):
        found = found * (np.maximum(wanted, 1e-4) / found.mean(0))
        found = found / found.sum(1, keepdims=True)
    return found


def max_t(values: np.ndarray, target: np.ndarray) -> np.ndarray:
    """Of each column of `values` (rows, columns), NaN where a row does not count, the p value of Welch's t between the domains,
    adjusted for all columns by permuting the domains (studentised: Chung & Romano, Annals of Statistics 2013)."""
    rng = np.random.default_rng(SEED)
    drawn = np.array([target, *(rng.permutation(target) for _ in range(_PERMUTATIONS))], dtype=float)
    here = np.isfinite(values).astype(float)
    filled = np.nan_to_num(values)
    sums = [m @ drawn.T for m in (here.T, filled.T, (filled**2).T)]  # (columns, permutations), of the target
    totals = [m.sum(0)[:, None] for m in (here, filled, filled**2)]
    t = _welch(sums, [total - part for total, part in zip(totals, sums, strict=True)])
    return np.asarray((np.max(np.abs(t), axis=0) >= np.abs(t[:, :1]) - 1e-9).mean(1))


def _welch(one: Sequence[np.ndarray], two: Sequence[np.ndarray]) -> np.ndarray:
    """t of two samples told by (count, sum, sum of squares); 0 where a sample has no spread to speak of."""
    means, squares = [], []
    for count, total, square in (one, two):
        n = np.maximum(count, 2.0)
        means.append(total / n)
        squares.append(np.maximum(square - total**2 / n, 0.0) / (n - 1) / n)
    error = np.sqrt(squares[0] + squares[1])
    t: np.ndarray = np.divide(means[0] - means[1], error, out=np.zeros_like(error), where=error > 1e-12)
    return t


def _regions(domains: Domains) -> Mapping[str, np.ndarray]:
    """Rows of the source and then labelled target rows, by what a column says of them; of many columns, the first are taken evenly."""
    found: dict[str, np.ndarray] = {}
    step = max(1, -(-2 * len(domains.columns) // _REGIONS))
    for column in domains.columns[::step]:
        values = np.concatenate([column.source, column.target[domains.labelled]])
        if column.kind == "number":
            middle = float(np.nanmedian(column.source))
            found[f"{column.name} at most {middle:.3g}"] = values <= middle
            found[f"{column.name} above {middle:.3g}"] = values > middle
        else:
            names, counts = np.unique(column.source.astype(str), return_counts=True)
            for name in names[np.argsort(-counts, kind="stable")][:_NAMED]:
                found[f"{column.name} is {name or 'missing'}"] = values.astype(str) == name
    for text in domains.terms:
        frequent = np.argsort(-np.asarray(text.source.sum(axis=0)).ravel(), kind="stable")[:_REGIONS]
        for i in frequent.tolist():
            there = (np.asarray(text.source[:, [i]].todense()).ravel(), np.asarray(text.target[:, [i]].todense()).ravel()[domains.labelled])
            found[f"{text.name} with {text.terms[i]}"] = np.concatenate(there) > 0
    return found


def _enough(rows: np.ndarray, target: np.ndarray) -> bool:
    return min(int((rows & target).sum()), int((rows & ~target).sum())) >= _FEW
