"""Which kind of shift it is: the tests of this package, and the rule that makes a name of them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from hpo.shift.column_tests import chi_square
from hpo.shift.concept_shift import Concept, concept, evidence
from hpo.shift.covariate_tests import Marginal, marginal
from hpo.shift.domains import LEVEL, Column, Domains, Terms
from hpo.shift.label_shares import Shares, resampled, shares
from hpo.shift.source_model import Predicted, predicted

Kind = Literal["covariate", "prior", "concept"]
_CLEAR = math.log(10)
_LEAST = 50  # source rows with the target's label shares, below which nothing is said of them


@dataclass(frozen=True)
class Seen:
    """What needs no labels of the target. `residual`: what is left of the marginal move once source rows have the target's label shares,
    if these moved, and if enough rows can have them."""

    kinds: tuple[Kind, ...]
    predicted: Predicted
    marginal: Marginal
    shares: Shares
    residual: Marginal | None


@dataclass(frozen=True)
class Verdict:
    """`kinds`: () for none. `concept`: None without labelled target rows."""

    kinds: tuple[Kind, ...]
    seen: Seen
    concept: Concept | None


def judge(domains: Domains) -> Verdict:
    """Names the shift, each test at 0.5 %:

    1. Is p(x) the same (`marginal`), and are the source model's predictions (`shares`)? If both are, neither the columns nor the label
       shares moved.
    2. A move of label shares also moves p(x) and the predictions, but leaves p(x|y). So if predictions moved, source rows
       are drawn anew with the label shares that the target seems to have. If p(x) is the same then, it is a *prior* shift;
       if not, or if predictions did not move, a *covariate* shift. Columns that move along just what labels follow look the same as
       a prior shift; labelled target rows, drawn at random, tell the two apart: ten times likelier with unmoved shares, it is covariate.
    3. With labelled target rows: do these follow the source model, given their columns and, if 2. says so, the new label shares? If
       not, it is a *concept* shift. After a covariate shift there is a last way out: if the labelled rows have other label shares than
       the source, and labels follow the model once its label shares are free, it is a *prior* shift besides.
    """
    return named(domains, look(domains))


def look(domains: Domains) -> Seen:
    """The first two questions."""
    said = predicted(domains.x_s, domains.y_s, domains.x_t, len(domains.classes))
    found, labels = marginal(domains.x_s, domains.x_t, domains.columns, domains.terms), shares(domains, said)
    residual = _residual(domains, labels) if labels.p <= LEVEL else None
    kinds: tuple[Kind, ...] = ()
    if min(found.p, labels.p) <= LEVEL:
        kinds = ("prior",) if residual and residual.p > LEVEL else ("covariate",)
    return Seen(kinds, said, found, labels, residual)


def named(domains: Domains, seen: Seen) -> Verdict:
    """The third."""
    if not len(domains.y_t):
        return Verdict(seen.kinds, seen, None)
    kinds = seen.kinds
    if "prior" in kinds and not domains.chosen and evidence(domains, seen.predicted, seen.shares.estimated) > _CLEAR:
        kinds = ("covariate",)
    free = domains.chosen or "prior" in kinds
    drifted = concept(domains, seen.predicted, free)
    if drifted.p <= LEVEL:
        way_out = (
            not free
            and "covariate" in kinds
            and _recounted(domains) <= LEVEL
            and concept(domains, seen.predicted, free=True).p > LEVEL
        )
        kinds = (*kinds, "prior" if way_out else "concept")
    return Verdict(kinds, seen, drifted)


def _recounted(domains: Domains) -> float:
    """p that the labelled target rows have the source's label shares."""
    return chi_square(np.array([np.bincount(y, minlength=len(domains.classes)) for y in (domains.y_s, domains.y_t)]))


def _residual(domains: Domains, labels: Shares) -> Marginal | None:
    rows = resampled(domains.y_s, labels.estimated)
    if len(rows) < _LEAST:
        return None
    columns, terms = _of(domains.columns, domains.terms, rows)
    return marginal(domains.x_s[rows], domains.x_t, columns, terms)


def _of(columns: Sequence[Column], terms: Sequence[Terms], rows: np.ndarray) -> tuple[list[Column], list[Terms]]:
    """The same with some source rows only."""
    fewer = [Column(c.name, c.kind, c.source[rows], c.target) for c in columns]
    return fewer, [Terms(t.name, t.terms, t.source[rows], t.target) for t in terms]
