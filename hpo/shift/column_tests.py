"""Test each column for a shift between the domains, and measure the size of the shift."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.stats import chi2_contingency, ks_2samp
from scipy.stats.contingency import expected_freq

from hpo.shift.domains import ALPHA, Column, Terms

_BINS = 10
_MAX_COLUMNS = 1000  # the most columns that are tested
_MIN_EXPECTED = 5  # with fewer rows expected in a cell of a table, the χ² approximation is poor


@dataclass(frozen=True)
class ColumnShift:
    """The test of one column in both domains.

    `p` is adjusted for the number of columns (Holm). `kl` is the Kullback–Leibler divergence of the target from the
    source, and `psi` the population stability index; both are over deciles of the source and missing values, or over
    categories. `what` is the quantity that changed most, from `before` to `after`: a mean, or the share of rows with
    one value.
    """

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


def column_shifts(columns: Sequence[Column], terms: Sequence[Terms] = ()) -> list[ColumnShift]:
    """Test all columns and all terms of text columns; the smallest p comes first.

    If there are more than 1,000 columns, only evenly spaced ones are tested.
    """
    step = max(1, -(-len(columns) // _MAX_COLUMNS))
    shifts = [_column_shift(column) for column in columns[::step]]
    shifts += [shift for text in terms for shift in _term_shifts(text)]
    adjusted = holm([shift.p for shift in shifts])
    tested = [
        ColumnShift(**{**vars(shift), "p": float(p), "moved": bool(p <= ALPHA)})
        for shift, p in zip(shifts, adjusted, strict=True)
    ]
    return sorted(tested, key=lambda shift: (shift.p, -shift.psi))


def _column_shift(column: Column) -> ColumnShift:
    return _number_shift(column) if column.kind == "number" else _category_shift(column)


def _number_shift(column: Column) -> ColumnShift:
    """Compare numbers with the Kolmogorov–Smirnov test.

    If values are missing, the shares of missing values are compared too, and both p-values are doubled because there
    are two tests.
    """
    missing_s, missing_t = np.isnan(column.source), np.isnan(column.target)
    source, target = column.source[~missing_s], column.target[~missing_t]
    p, missing_p = 1.0, 1.0
    if len(source) and len(target):
        p = float(ks_2samp(source, target, method="asymp").pvalue)
    if missing_s.any() or missing_t.any():
        missing_p = chi_square(_counts(missing_s, missing_t, np.array([False, True])))
        p, missing_p = min(1.0, 2 * p), min(1.0, 2 * missing_p)
    kl, psi = divergences(_decile_counts(column.source, column.target))
    if missing_p < p:
        shares = float(missing_s.mean()), float(missing_t.mean())
        return ColumnShift(column.name, "number", "chi²", missing_p, False, kl, psi, "missing", *shares)
    means = (float(values.mean()) if len(values) else float("nan") for values in (source, target))
    return ColumnShift(column.name, "number", "Kolmogorov–Smirnov", p, False, kl, psi, "mean", *means)


def _decile_counts(source: np.ndarray, target: np.ndarray) -> np.ndarray:
    """Count the rows of each domain in the deciles of the source, (2, bins).

    There is a separate bin for each value that fills a decile or more, and for missing values. Otherwise, a shift away
    from a value that all source rows have, or to missing values, would stay within one bin.
    """
    known = source[~np.isnan(source)]
    deciles, repeats = np.unique(
        np.quantile(known, np.linspace(0, 1, _BINS + 1)[1:-1]) if len(known) else np.empty(0), return_counts=True
    )
    edges = np.sort(np.concatenate([deciles, np.nextafter(deciles[repeats > 1], np.inf)]))
    counts = [
        np.bincount(np.searchsorted(edges, values, side="right")[~np.isnan(values)], minlength=len(edges) + 1)
        for values in (source, target)
    ]
    bins = np.column_stack([counts, [np.isnan(values).sum() for values in (source, target)]])
    return bins[:, bins.sum(0) > 0]


def _category_shift(column: Column) -> ColumnShift:
    values = np.unique(np.concatenate([column.source, column.target]).astype(str))
    counts = _counts(column.source.astype(str), column.target.astype(str), values)
    shares = counts / counts.sum(1, keepdims=True)
    most = int(np.abs(shares[1] - shares[0]).argmax())
    before, after = map(float, shares[:, most])
    kl, psi = divergences(counts)
    value = str(values[most])
    return ColumnShift(column.name, "category", "chi²", chi_square(counts), False, kl, psi, value, before, after)


def _term_shifts(text: Terms) -> list[ColumnShift]:
    """Compare the number of rows that contain each term."""
    n, m = text.source.shape[0], text.target.shape[0]
    source_rows, target_rows = (
        np.asarray((part > 0).sum(axis=0)).ravel().tolist() for part in (text.source, text.target)
    )
    shifts = []
    for term, in_source, in_target in zip(text.terms, source_rows, target_rows, strict=True):
        counts = np.array([[n - in_source, in_source], [m - in_target, in_target]])
        # A term in fewer than 10 rows cannot be tested.
        p = chi_square(counts) if in_source + in_target >= 2 * _MIN_EXPECTED else 1.0
        kl, psi = divergences(counts)
        shares = in_source / n, in_target / m
        shifts.append(ColumnShift(f"{text.name}: {term}", "term", "chi²", p, False, kl, psi, term, *shares))
    return shifts


def chi_square(counts: np.ndarray) -> float:
    """Return the p-value of Pearson's χ² test for a table of counts (2, values).

    Values with fewer than 5 expected rows in one of the domains are pooled.
    """
    rare = expected_freq(counts).min(0) < _MIN_EXPECTED
    pooled = np.column_stack([counts[:, ~rare], counts[:, rare].sum(1)]) if rare.any() else counts
    pooled = pooled[:, pooled.sum(0) > 0]
    if pooled.shape[1] < 2:
        return 1.0
    return float(chi2_contingency(pooled, correction=False).pvalue)


def divergences(counts: np.ndarray) -> tuple[float, float]:
    """Return (KL divergence of the target from the source, PSI) of a table of counts (2, bins).

    Half a row is added to each bin; otherwise an empty bin would make both infinite.
    """
    source, target = (counts + 0.5) / (counts + 0.5).sum(1, keepdims=True)
    log_ratio = np.log(target / source)
    return float((target * log_ratio).sum()), float(((target - source) * log_ratio).sum())


def holm(p: Sequence[float] | np.ndarray) -> np.ndarray:
    """Adjust p-values so that the probability of any false alarm is at most the level.

    Holm, Scandinavian Journal of Statistics 1979. scipy has no function for it.
    """
    values = np.asarray(p, dtype=float)
    order = np.argsort(values)
    steps = values[order] * (len(values) - np.arange(len(values)))
    adjusted = np.empty(len(values))
    adjusted[order] = np.minimum(np.maximum.accumulate(steps), 1.0)
    return adjusted


def _counts(source: np.ndarray, target: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Count the occurrences of each of the sorted values in each domain, (2, values)."""
    return np.array([np.bincount(np.searchsorted(values, x), minlength=len(values)) for x in (source, target)])
