"""Whether labels still follow from the columns as they did: a source model on labelled target rows, and where it is worst."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from hpo.shift.domains import SEED, Domains
from hpo.shift.source_model import Predicted

_DRAWS = 1999
_FEW = 8  # rows of a domain that a region needs
_REGIONS = 40
_RARE = 1e-3  # share of a class that is estimated to be 0
_NAMED = 10  # categories of a column that are regions


@dataclass(frozen=True)
class Region:
    """A part of the table, `where`: mean Brier score of the source model in it on source rows and on labelled target rows, `rows` of
    these; by how much the target's is above what the model itself expects there, against the source's; p adjusted for all regions."""

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
    """Compares by how much the source model is more wrong than it expects to be, on source rows and on labelled target rows.

    A row's Brier score less what the model itself expects of it has mean 0 wherever labels follow the model, so a move of p(x) into
    harder regions does not count; what the model gets wrong in both domains cancels, since the same models predict both. It is
    bounded, so no single row decides. It is compared over all rows and in regions (each column's lower and upper half, each
    category), and so is the share of each class less what is expected. The largest of all differences, each over its standard
    error, is held against labels drawn from the model (maxT: Westfall & Young, 1993). `free`: label shares may have moved too, or
    labelled rows were chosen by class; then the model's chances are first brought to the shares of the labelled rows, and shares
    are not compared.
    """
    y = np.concatenate([domains.y_s, domains.y_t])
    target = np.repeat([False, True], [len(domains.y_s), len(domains.y_t)])
    own = predicted.target[domains.labelled]
    chances = np.concatenate([predicted.source, rebalanced(own, domains.y_t) if free else own])
    brier = 1 - 2 * chances + (chances**2).sum(1, keepdims=True)  # (rows, classes), of each label that a row could have
    surprise = brier - (chances * brier).sum(1, keepdims=True)
    parts = {"all rows": np.ones(len(y), dtype=bool)} | {
        k: v for k, v in _regions(domains).items() if _enough(v, target)
    }
    between = np.array([_difference(rows, target) for rows in parts.values()]).T
    tables = [(surprise, between)]
    if not free:
        tables += [(np.eye(chances.shape[1])[c] - chances[:, [c]], between[:, :1]) for c in range(chances.shape[1])]
    found = max_z(tables, chances, y, ~target)
    loss = brier[np.arange(len(y)), y]
    excess = surprise[np.arange(len(y)), y] @ between
    regions = [
        Region(
            name,
            int((rows & target).sum()),
            float(loss[rows & ~target].mean()),
            float(loss[rows & target].mean()),
            float(more),
            float(p),
        )
        for (name, rows), more, p in zip(parts.items(), excess, found, strict=False)
    ]
    return Concept(
        float(found.min()), predicted.model, [regions[0], *sorted(regions[1:], key=lambda r: (r.p, -r.excess))]
    )


def rebalanced(chances: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Chances times a factor a class, such that their means are the shares of y: what a move of label shares alone makes of them
    (Saerens, Latinne & Decaestecker, Neural Computation 2002)."""
    wanted = np.bincount(y, minlength=chances.shape[1]) / len(y)
    found = chances
    for _ in range(200):
        found = found * (np.maximum(wanted, 1e-4) / found.mean(0))
        found = found / found.sum(1, keepdims=True)
    return found


def evidence(domains: Domains, predicted: Predicted, shares: Sequence[float]) -> float:
    """How much likelier the labelled target rows are with unmoved label shares than with these: a difference of log-likelihoods."""
    own = predicted.target[domains.labelled]
    before = np.bincount(domains.y_s, minlength=own.shape[1]) / len(domains.y_s)
    moved = own * np.maximum(shares, _RARE) / before
    rows = np.arange(len(own))
    return float(
        np.log(own[rows, domains.y_t]).sum() - np.log((moved / moved.sum(1, keepdims=True))[rows, domains.y_t]).sum()
    )


def max_z(
    tables: Sequence[tuple[np.ndarray, np.ndarray]], chances: np.ndarray, y: np.ndarray, known: np.ndarray
) -> np.ndarray:
    """p values, adjusted for all, of sums that are expected to be 0 if labels are drawn by `chances` (rows, classes).

    A table is (value of each row for each label it could have (rows, classes), weights of the rows in each sum (rows, sums)). `known`
    are the source's rows: where these vary more than the model says, so may the others.
    """
    rng = np.random.default_rng(SEED)
    limits = chances.cumsum(1)[:, :-1]
    drawn = [y, *((rng.random(len(y))[:, None] > limits).sum(1) for _ in range(_DRAWS))]
    rows, z = np.arange(len(y)), []
    for values, weights in tables:
        variance = (chances * values**2).sum(1) - (chances * values).sum(1) ** 2
        sums = np.array([values[rows, labels] for labels in drawn]) @ weights
        z.append(np.abs(sums) / np.sqrt(np.maximum(variance @ weights**2, 1e-12)))
        z[-1][0] /= spread(values[rows, y][known], variance[known])
    every = np.concatenate(z, axis=1)
    above = every[1:].max(1)[:, None] >= every[0] - 1e-9
    return np.asarray((1 + above.sum(0)) / (1 + _DRAWS))


def spread(values: np.ndarray, variance: np.ndarray) -> float:
    """How many times as wide as its model says a sample is; at least 1."""
    return float(np.sqrt(max(1.0, (values**2).mean() / max(variance.mean(), 1e-12))))


def _difference(rows: np.ndarray, target: np.ndarray) -> np.ndarray:
    """Weights that make the mean over target `rows` less that over source `rows` of a sum."""
    sign = np.where(target, 1.0, -1.0)
    return np.asarray(sign * rows / np.where(target, (rows & target).sum(), (rows & ~target).sum()))


def _regions(domains: Domains) -> Mapping[str, np.ndarray]:
    """Rows of the source and then labelled target rows, by what a column says of them; of many columns, the first are taken evenly."""
    found: dict[str, np.ndarray] = {}
    step = max(1, -(-2 * len(domains.columns) // _REGIONS))
    for column in domains.columns[::step]:
        values = np.concatenate([column.source, column.target[domains.labelled]])
        if column.kind == "number":
            middle = (
                float(np.median(column.source[~np.isnan(column.source)])) if not np.isnan(column.source).all() else 0.0
            )
            found[f"{column.name} at most {middle:.3g}"] = values <= middle
            found[f"{column.name} above {middle:.3g}"] = values > middle
        else:
            names, counts = np.unique(column.source.astype(str), return_counts=True)
            for name in names[np.argsort(-counts, kind="stable")][:_NAMED]:
                found[f"{column.name} is {name or 'missing'}"] = values.astype(str) == name
    for text in domains.terms:
        frequent = np.argsort(-np.asarray(text.source.sum(axis=0)).ravel(), kind="stable")[:_REGIONS]
        for i in frequent.tolist():
            there = (
                np.asarray(text.source[:, [i]].todense()).ravel(),
                np.asarray(text.target[:, [i]].todense()).ravel()[domains.labelled],
            )
            found[f"{text.name} with {text.terms[i]}"] = np.concatenate(there) > 0
    return found


def _enough(rows: np.ndarray, target: np.ndarray) -> bool:
    return bool(min((rows & target).sum(), (rows & ~target).sum()) >= _FEW)
