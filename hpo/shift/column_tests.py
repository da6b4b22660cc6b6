"""Which columns moved: each by itself, with numbers on how far."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.stats import chi2_contingency, ks_2samp
from scipy.stats.contingency import expected_freq

from hpo.shift.domains import LEVEL, Column, Terms

_BINS = 10
_MOST = 1000  # columns that are tested


@dataclass(frozen=True)
class Moved:
    """A column in both domains. `p` is adjusted for all columns (Holm). `kl` is the Kullback–Leibler divergence of the target from the
    source and `psi` the population stability index, both over deciles of the source and what is missing, or over categories. `what` moved most, from
    `before` to `after`: a mean, or a share of rows."""

    name: str
    kind: str
    test: str
    p: float
    moved: bool
    kl: float
    psi: float
    what: str
    before: float
    after: float


def moved(columns: Sequence[Column], terms: Sequence[Terms] = ()) -> list[Moved]:
    """All columns, and all terms of columns of text, the clearest first. Of more than 1,000 columns, so many are taken evenly."""
    step = max(1, -(-len(columns) // _MOST))
    found = [_column(column) for column in columns[::step]] + [one for text in terms for one in _terms(text)]
    adjusted = holm([one.p for one in found])
    known = [
        Moved(**{**vars(one), "p": float(p), "moved": bool(p <= LEVEL)}) for one, p in zip(found, adjusted, strict=True)
    ]
    return sorted(known, key=lambda one: (one.p, -one.psi))


def _column(column: Column) -> Moved:
    return _number(column) if column.kind == "number" else _category(column)


def _number(column: Column) -> Moved:
    """By Kolmogorov's and Smirnov's test; where values are missing, their share is tested beside, and each p counts twice."""
    (s, gone_s), (t, gone_t) = ((x[~np.isnan(x)], float(np.isnan(x).mean())) for x in (column.source, column.target))
    p, missing = 1.0, 1.0
    if len(s) and len(t):
        p = float(ks_2samp(s, t, method="asymp").pvalue)
    if gone_s or gone_t:
        missing = chi_square(_counts(np.isnan(column.source), np.isnan(column.target), np.array([False, True])))
        p, missing = min(1.0, 2 * p), min(1.0, 2 * missing)
    bins = _binned(column.source, column.target)
    if missing < p:
        return Moved(column.name, "number", "chi²", missing, False, *divergences(bins), "missing", gone_s, gone_t)
    means = (float(x.mean()) if len(x) else float("nan") for x in (s, t))
    return Moved(column.name, "number", "Kolmogorov–Smirnov", p, False, *divergences(bins), "mean", *means)


def _binned(source: np.ndarray, target: np.ndarray) -> np.ndarray:
    """Rows of each in the deciles of the source, (2, bins). A value that fills a decile or more has a bin of its own, and so have missing
    ones: else a move away from a value that all rows had, or to none, would be within one bin."""
    known = source[~np.isnan(source)]
    deciles, times = np.unique(
        np.quantile(known, np.linspace(0, 1, _BINS + 1)[1:-1]) if len(known) else np.empty(0), return_counts=True
    )
    edges = np.sort(np.concatenate([deciles, np.nextafter(deciles[times > 1], np.inf)]))
    found = [
        np.bincount(np.searchsorted(edges, x, side="right")[~np.isnan(x)], minlength=len(edges) + 1)
        for x in (source, target)
    ]
    bins = np.column_stack([found, [np.isnan(x).sum() for x in (source, target)]])
    return bins[:, bins.sum(0) > 0]


def _category(column: Column) -> Moved:
    values = np.unique(np.concatenate([column.source, column.target]).astype(str))
    counts = _counts(column.source.astype(str), column.target.astype(str), values)
    shares = counts / counts.sum(1, keepdims=True)
    most = int(np.abs(shares[1] - shares[0]).argmax())
    before, after = map(float, shares[:, most])
    return Moved(
        column.name,
        "category",
        "chi²",
        chi_square(counts),
        False,
        *divergences(counts),
        str(values[most]),
        before,
        after,
    )


def _terms(text: Terms) -> list[Moved]:
    """In how many rows each term is."""
    n, m = text.source.shape[0], text.target.shape[0]
    a, b = (np.asarray((part > 0).sum(axis=0)).ravel() for part in (text.source, text.target))
    found = []
    for term, one, two in zip(text.terms, a.tolist(), b.tolist(), strict=True):
        counts = np.array([[n - one, one], [m - two, two]])
        p = chi_square(counts) if one + two >= 2 * _FEW else 1.0  # of fewer, the test knows nothing
        found.append(
            Moved(f"{text.name}: {term}", "term", "chi²", p, False, *divergences(counts), term, one / n, two / m)
        )
    return found


_FEW = 5  # rows that must be expected in a cell of a table


def chi_square(counts: np.ndarray) -> float:
    """Pearson's p value of a table (2, values); values of which a domain is expected to have fewer than 5 are one value together."""
    rare = expected_freq(counts).min(0) < _FEW
    joined = np.column_stack([counts[:, ~rare], counts[:, rare].sum(1)]) if rare.any() else counts
    joined = joined[:, joined.sum(0) > 0]
    if joined.shape[1] < 2:
        return 1.0
    return float(chi2_contingency(joined, correction=False).pvalue)


def divergences(counts: np.ndarray) -> tuple[float, float]:
    """(KL of the target from the source, PSI) of a table (2, bins); half a row is added to each bin, or an empty one would be infinite."""
    p, q = (counts + 0.5) / (counts + 0.5).sum(1, keepdims=True)
    return float((q * np.log(q / p)).sum()), float(((q - p) * np.log(q / p)).sum())


def _counts(source: np.ndarray, target: np.ndarray, values: np.ndarray) -> np.ndarray:
    """How often each of the sorted values occurs: (2, values)."""
    return np.array([np.bincount(np.searchsorted(values, x), minlength=len(values)) for x in (source, target)])


def holm(p: Sequence[float] | np.ndarray) -> np.ndarray:
    """Adjusted p values: the chance of any false alarm among all is at most the level (Holm, Scandinavian Journal of Statistics 1979)."""
    values = np.asarray(p, dtype=float)
    order = np.argsort(values)
    steps = values[order] * (len(values) - np.arange(len(values)))
    adjusted = np.empty(len(values))
    adjusted[order] = np.minimum(np.maximum.accumulate(steps), 1.0)
    return adjusted
