"""Which kind of shift it is: the tests of this package, and the rule that makes a name of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from hpo.shift.concept import Concept, concept
from hpo.shift.domains import LEVEL, Column, Domains, Terms
from hpo.shift.label_shares import Shares, resampled, shares
from hpo.shift.marginal import Marginal, marginal
from hpo.shift.source_model import predicted

Kind = Literal["covariate", "prior", "concept"]
_LEAST = 50  # source rows with the target's label shares, below which nothing is said of them


@dataclass(frozen=True)
class Verdict:
    """`kinds`: () for none. `residual`: what is left of the marginal move once source rows have the target's label shares, if these
    moved, and are enough. `concept`: None without labelled target rows."""

    kinds: tuple[Kind, ...]
    marginal: Marginal
    shares: Shares
    residual: Marginal | None
    concept: Concept | None


def judge(domains: Domains) -> Verdict:
    """Names the shift, each test at 1 %:

    1. Is p(x) the same (`marginal`), and are the source model's predictions (`shares`)? If both are, neither the columns nor the label
       shares moved.
    2. A move of label shares also moves p(x) and the predictions, but leaves p(x|y). So if predictions moved, source rows
       are drawn anew with the label shares that the target seems to have. If p(x) is the same then, it is a *prior* shift;
       if not, or if predictions did not move, a *covariate* shift.
    3. With labelled target rows: do these follow the source model, given their columns and, if 2. says so, the new label shares? If
       not, it is a *concept* shift. After a covariate shift there is a last way out: if labels follow the model once its label shares
       are free, the shares moved too, and it is a *prior* shift besides.
    """
    said = predicted(domains.x_s, domains.y_s, domains.x_t, len(domains.classes))
    found, labels = marginal(domains.x_s, domains.x_t, domains.columns, domains.terms), shares(domains, said)
    residual = None
    kinds: list[Kind] = []
    if min(found.p, labels.p) <= LEVEL:
        residual = _residual(domains, labels) if labels.p <= LEVEL else None
        kinds.append("prior" if residual and residual.p > LEVEL else "covariate")
    drifted = None
    if len(domains.y_t):
        free = domains.chosen or "prior" in kinds
        drifted = concept(domains, said, free)
        if drifted.p <= LEVEL:
            way_out = not free and "covariate" in kinds and concept(domains, said, free=True).p > LEVEL
            kinds.append("prior" if way_out else "concept")
    return Verdict(tuple(kinds), found, labels, residual, drifted)


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
