"""Name the kind of shift: run all tests and combine their results by a fixed rule."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from hpo.shift.column_tests import chi_square
from hpo.shift.concept_shift import ConceptTest, concept_test, log_likelihood_ratio
from hpo.shift.covariate_tests import CovariateTest, covariate_test
from hpo.shift.domains import ALPHA, Column, Domains, Terms
from hpo.shift.label_shares import LabelShares, estimate_label_shares, resample_to_shares
from hpo.shift.source_model import SourcePredictions, predict_domains

Kind = Literal["covariate", "prior", "concept"]
_DECISIVE = math.log(10)  # a log-likelihood ratio
_MIN_RESAMPLED = 50  # with fewer source rows resampled to the label shares of the target, they are not tested


@dataclass(frozen=True)
class UnlabelledTests:
    """The results that need no target labels.

    `residual` tests p(x) again after source rows were resampled to the label shares of the target. It is None if the
    shares are the same or if too few rows can be drawn.
    """

    kinds: tuple[Kind, ...]
    predictions: SourcePredictions
    covariate: CovariateTest
    shares: LabelShares
    residual: CovariateTest | None


@dataclass(frozen=True)
class ShiftReport:
    """The names of the shifts (`kinds`, empty if there is none) and the results of all tests.

    `concept` is None without target labels.
    """

    kinds: tuple[Kind, ...]
    unlabelled: UnlabelledTests
    concept: ConceptTest | None


def diagnose(domains: Domains) -> ShiftReport:
    """Name the shift between two domains; each test has level 0.5 %.

    1. Compare p(x) (`covariate`) and the mean predictions of a source model (`shares`). If neither differs, neither the
       columns nor the label shares changed.
    2. A change of the label shares changes p(x) and the predictions, but not p(x|y). So if predictions differ, source
       rows are resampled to the estimated label shares of the target. If p(x) is the same afterwards, it is a *prior*
       shift. If not, or if predictions do not differ, it is a *covariate* shift. A change of columns exactly along the
       direction that labels follow looks the same as a prior shift. Randomly drawn labelled target rows distinguish the
       two: it is covariate if unchanged label shares make their labels ten times more likely.
    3. If there are labelled target rows, test whether their labels follow the source model, given their columns and,
       after a prior shift, the new label shares. If not, it is a *concept* shift. There is one exception after a
       covariate shift: if the labelled rows have other label shares than the source, and their labels follow the model
       once it is adjusted to these label shares, it is a *prior* shift in addition.
    """
    return name_shift(domains, run_unlabelled_tests(domains))


def run_unlabelled_tests(domains: Domains) -> UnlabelledTests:
    """Take steps 1 and 2 of `diagnose`, without target labels."""
    predictions = predict_domains(domains.x_s, domains.y_s, domains.x_t, len(domains.classes))
    covariate = covariate_test(domains.x_s, domains.x_t, domains.columns, domains.terms)
    shares = estimate_label_shares(domains, predictions)
    residual = _residual(domains, shares) if shares.p <= ALPHA else None
    kinds: tuple[Kind, ...] = ()
    if min(covariate.p, shares.p) <= ALPHA:
        kinds = ("prior",) if residual and residual.p > ALPHA else ("covariate",)
    return UnlabelledTests(kinds, predictions, covariate, shares, residual)


def name_shift(domains: Domains, unlabelled: UnlabelledTests) -> ShiftReport:
    """Correct the result of `run_unlabelled_tests` with labelled target rows, and take step 3 of `diagnose`."""
    if not len(domains.y_t):
        return ShiftReport(unlabelled.kinds, unlabelled, None)
    kinds = unlabelled.kinds
    if "prior" in kinds and not domains.labelled_by_class:
        ratio = log_likelihood_ratio(domains, unlabelled.predictions, unlabelled.shares.estimated)
        kinds = ("covariate",) if ratio > _DECISIVE else kinds
    adjust_shares = domains.labelled_by_class or "prior" in kinds
    concept = concept_test(domains, unlabelled.predictions, adjust_shares)
    if concept.p <= ALPHA:
        is_prior = (
            not adjust_shares
            and "covariate" in kinds
            and _same_shares_p(domains) <= ALPHA
            and concept_test(domains, unlabelled.predictions, adjust_shares=True).p > ALPHA
        )
        kinds = (*kinds, "prior" if is_prior else "concept")
    return ShiftReport(kinds, unlabelled, concept)


def _same_shares_p(domains: Domains) -> float:
    """Return the p-value of the hypothesis that labelled target rows have the label shares of the source."""
    return chi_square(np.array([np.bincount(y, minlength=len(domains.classes)) for y in (domains.y_s, domains.y_t)]))


def _residual(domains: Domains, shares: LabelShares) -> CovariateTest | None:
    """Test p(x) on source rows that were resampled to the estimated label shares of the target."""
    rows = resample_to_shares(domains.y_s, shares.estimated)
    if len(rows) < _MIN_RESAMPLED:
        return None
    columns, terms = _select_source(domains.columns, domains.terms, rows)
    return covariate_test(domains.x_s[rows], domains.x_t, columns, terms)


def _select_source(
    columns: Sequence[Column], terms: Sequence[Terms], rows: np.ndarray
) -> tuple[list[Column], list[Terms]]:
    """Return columns and terms with only these source rows."""
    selected = [Column(c.name, c.kind, c.source[rows], c.target) for c in columns]
    return selected, [Terms(t.name, t.terms, t.source[rows], t.target) for t in terms]
