"""Test whether labels follow from the columns as in the source: compare a source model with labelled target rows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from hpo.shift.domains import SEED, Domains
from hpo.shift.source_model import SourcePredictions

_DRAWS = 1999
_MIN_ROWS = 8  # rows of each domain that a region needs
_MAX_REGIONS = 40
_MIN_SHARE = 1e-3  # replaces an estimated label share of 0
_MAX_CATEGORIES = 10  # categories of a column that become regions


@dataclass(frozen=True)
class Region:
    """A part of the table, described by `where`, and the number of labelled target `rows` in it.

    `source` and `target` are the mean Brier scores of the source model on source rows and on labelled target rows.
    `excess` says by how much more the score exceeds the expectation of the model on target rows than on source rows.
    `p` is adjusted for all regions.
    """

    where: str
    rows: int
    source: float
    target: float
    excess: float
    p: float


@dataclass(frozen=True)
class ConceptTest:
    """The test that labels follow from the columns as in the source; `regions`: all rows first, then by p-value."""

    p: float
    model: str
    regions: Sequence[Region]


def concept_test(domains: Domains, predicted: SourcePredictions, adjust_shares: bool) -> ConceptTest:
    """Test whether the error of the source model exceeds its expectation by more on target rows than on source rows.

    The Brier score of a row minus its expectation under the model has mean 0 wherever labels follow the model, so a
    shift of p(x) into harder regions does not count. Errors that the model makes in both domains cancel, since the same
    models predict both. The score is bounded, so no single row decides. It is compared over all rows and in regions
    (the lower and upper half of each column, each category), and so is the share of each class minus its expectation.
    The largest difference, in standard errors, is compared with those for labels drawn from the model (maxT: Westfall &
    Young, 1993).

    `adjust_shares` means that label shares may differ, or that rows were labelled by class. Then the predictions are
    first adjusted to the label shares of the labelled rows, and shares are not compared.
    """
    y = np.concatenate([domains.y_s, domains.y_t])
    is_target = np.repeat([False, True], [len(domains.y_s), len(domains.y_t)])
    target = predicted.target[domains.labelled]
    target = with_label_shares(target, domains.y_t) if adjust_shares else target
    probabilities = np.concatenate([predicted.source, target])
    # The score of each row for each label that it could have, (rows, classes).
    brier = 1 - 2 * probabilities + (probabilities**2).sum(1, keepdims=True)
    surprise = brier - (probabilities * brier).sum(1, keepdims=True)
    regions = {"all rows": np.ones(len(y), dtype=bool)} | {
        where: rows for where, rows in _regions(domains).items() if _is_large_enough(rows, is_target)
    }
    weights = np.array([_difference_weights(rows, is_target) for rows in regions.values()]).T
    tables = [(surprise, weights)]
    if not adjust_shares:
        classes = np.eye(probabilities.shape[1])
        tables += [(row - probabilities[:, [c]], weights[:, :1]) for c, row in enumerate(classes)]
    p = max_z_test(tables, probabilities, y, ~is_target)
    rows = np.arange(len(y))
    tested = _tested_regions(regions, brier[rows, y], surprise[rows, y] @ weights, p, is_target)
    return ConceptTest(float(p.min()), predicted.model, tested)


def _tested_regions(
    regions: Mapping[str, np.ndarray], loss: np.ndarray, excess: np.ndarray, p: np.ndarray, is_target: np.ndarray
) -> list[Region]:
    """Return the regions with their results: all rows first, then the others by p-value."""
    all_rows, *parts = [
        Region(
            where,
            int((rows & is_target).sum()),
            float(loss[rows & ~is_target].mean()),
            float(loss[rows & is_target].mean()),
            float(region_excess),
            float(region_p),
        )
        for (where, rows), region_excess, region_p in zip(regions.items(), excess, p, strict=False)
    ]
    return [all_rows, *sorted(parts, key=lambda region: (region.p, -region.excess))]


def with_label_shares(probabilities: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Multiply probabilities by one factor per class such that their means are the label shares of `y`.

    This is the effect of a change of the label shares only (Saerens, Latinne & Decaestecker, Neural Computation 2002).
    """
    shares = np.bincount(y, minlength=probabilities.shape[1]) / len(y)
    adjusted = probabilities
    for _ in range(200):
        adjusted = adjusted * (np.maximum(shares, 1e-4) / adjusted.mean(0))
        adjusted = adjusted / adjusted.sum(1, keepdims=True)
    return adjusted


def log_likelihood_ratio(domains: Domains, predicted: SourcePredictions, shares: Sequence[float]) -> float:
    """Return the log-likelihood of the labelled target rows with source label shares minus that with these `shares`."""
    probabilities = predicted.target[domains.labelled]
    source_shares = np.bincount(domains.y_s, minlength=probabilities.shape[1]) / len(domains.y_s)
    adjusted = probabilities * np.maximum(shares, _MIN_SHARE) / source_shares
    adjusted = adjusted / adjusted.sum(1, keepdims=True)
    rows = np.arange(len(probabilities))
    return float(np.log(probabilities[rows, domains.y_t]).sum() - np.log(adjusted[rows, domains.y_t]).sum())


def max_z_test(
    tables: Sequence[tuple[np.ndarray, np.ndarray]], probabilities: np.ndarray, y: np.ndarray, is_source: np.ndarray
) -> np.ndarray:
    """Return adjusted p-values of sums that have mean 0 if labels are drawn by `probabilities` (rows, classes).

    Each table is a pair: the value of each row for each label that it could have, (rows, classes), and the weight of
    each row in each sum, (rows, sums). If the values of source rows vary more than the model expects, the same is
    assumed of target rows.
    """
    rng = np.random.default_rng(SEED)
    limits = probabilities.cumsum(1)[:, :-1]
    drawn = [y, *((rng.random(len(y))[:, None] > limits).sum(1) for _ in range(_DRAWS))]
    rows, z_scores = np.arange(len(y)), []
    for values, weights in tables:
        variance = (probabilities * values**2).sum(1) - (probabilities * values).sum(1) ** 2
        sums = np.array([values[rows, labels] for labels in drawn]) @ weights
        z_scores.append(np.abs(sums) / np.sqrt(np.maximum(variance @ weights**2, 1e-12)))
        z_scores[-1][0] /= overdispersion(values[rows, y][is_source], variance[is_source])
    z = np.concatenate(z_scores, axis=1)  # (1 + draws, sums)
    exceeds = z[1:].max(1)[:, None] >= z[0] - 1e-9
    return np.asarray((1 + exceeds.sum(0)) / (1 + _DRAWS))


def overdispersion(values: np.ndarray, variance: np.ndarray) -> float:
    """Return the ratio of the sample's standard deviation to that expected by the model, at least 1."""
    return float(np.sqrt(max(1.0, (values**2).mean() / max(variance.mean(), 1e-12))))


def _difference_weights(rows: np.ndarray, is_target: np.ndarray) -> np.ndarray:
    """Return weights with which a sum is the mean over target `rows` minus the mean over source `rows`."""
    sign = np.where(is_target, 1.0, -1.0)
    return np.asarray(sign * rows / np.where(is_target, (rows & is_target).sum(), (rows & ~is_target).sum()))


def _regions(domains: Domains) -> dict[str, np.ndarray]:
    """Return masks over source rows followed by labelled target rows.

    If there are many columns, only evenly spaced ones are used.
    """
    regions: dict[str, np.ndarray] = {}
    step = max(1, -(-2 * len(domains.columns) // _MAX_REGIONS))
    for column in domains.columns[::step]:
        values = np.concatenate([column.source, column.target[domains.labelled]])
        if column.kind == "number":
            known = column.source[~np.isnan(column.source)]
            median = float(np.median(known)) if len(known) else 0.0
            regions[f"{column.name} at most {median:.3g}"] = values <= median
            regions[f"{column.name} above {median:.3g}"] = values > median
        else:
            names, counts = np.unique(column.source.astype(str), return_counts=True)
            for name in names[np.argsort(-counts, kind="stable")][:_MAX_CATEGORIES]:
                regions[f"{column.name} is {name or 'missing'}"] = values.astype(str) == name
    for text in domains.terms:
        frequent = np.argsort(-np.asarray(text.source.sum(axis=0)).ravel(), kind="stable")[:_MAX_REGIONS]
        for i in frequent.tolist():
            source, target = (np.asarray(part[:, [i]].todense()).ravel() for part in (text.source, text.target))
            regions[f"{text.name} with {text.terms[i]}"] = np.concatenate([source, target[domains.labelled]]) > 0
    return regions


def _is_large_enough(rows: np.ndarray, is_target: np.ndarray) -> bool:
    return bool(min((rows & is_target).sum(), (rows & ~is_target).sum()) >= _MIN_ROWS)
