"""Whether two samples of rows come from one distribution: several tests that see different things, as one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from hpo.shift.column_tests import Moved, moved
from hpo.shift.domain_classifier import Apart, apart
from hpo.shift.domains import Column, Matrix, Terms
from hpo.shift.mmd import Discrepancy, discrepancy


@dataclass(frozen=True)
class Marginal:
    """What moved of p(x). `p` is the least of all tests, adjusted for their number."""

    p: float
    classifiers: Sequence[Apart]
    mmd: Discrepancy
    columns: Sequence[Moved]


def marginal(x_s: Matrix, x_t: Matrix, columns: Sequence[Column], terms: Sequence[Terms]) -> Marginal:
    """A linear classifier sees a move of many columns together, a forest and a kernel any other, and a test of each column a move of one
    among many."""
    classifiers, mmd, each = apart(x_s, x_t), discrepancy(x_s, x_t), moved(columns, terms)
    clearest = [each[0].p] if each else []
    return Marginal(least([*(one.p for one in classifiers), mmd.p, *clearest]), classifiers, mmd, each)


def least(p: Sequence[float]) -> float:
    """The p value of the least of several tests of one hypothesis (Bonferroni)."""
    return min(1.0, len(p) * min(p))
