"""Test whether p(x) differs between the domains, by several tests that detect different changes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from hpo.shift.column_tests import ColumnShift, column_shifts
from hpo.shift.domain_classifier import ClassifierTest, classifier_tests
from hpo.shift.domains import Column, Matrix, Terms
from hpo.shift.mmd import MmdTest, mmd_test


@dataclass(frozen=True)
class CovariateTest:
    """The tests of p(x); `p` is the smallest p-value, adjusted for the number of tests."""

    p: float
    classifiers: Sequence[ClassifierTest]
    mmd: MmdTest
    columns: Sequence[ColumnShift]


def covariate_test(x_s: Matrix, x_t: Matrix, columns: Sequence[Column], terms: Sequence[Terms]) -> CovariateTest:
    """Run all tests of p(x).

    A linear classifier detects a joint change of many columns, a forest and a kernel detect any other change, and the
    tests of single columns detect a change of one among many.
    """
    classifiers, mmd, shifts = classifier_tests(x_s, x_t), mmd_test(x_s, x_t), column_shifts(columns, terms)
    smallest = [shifts[0].p] if shifts else []
    p = bonferroni_minimum([*(test.p for test in classifiers), mmd.p, *smallest])
    return CovariateTest(p, classifiers, mmd, shifts)


def bonferroni_minimum(p: Sequence[float]) -> float:
    """Return the smallest of several p-values for one hypothesis, times their number (Bonferroni)."""
    return min(1.0, len(p) * min(p))
