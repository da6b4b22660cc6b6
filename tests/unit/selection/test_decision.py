"""The decision and its reasons follow the rule that was used and the defaults that gains are measured over."""

import math
from types import SimpleNamespace

import numpy as np
import pytest

from hpo.core import selection_rules as rules
from hpo.core.posterior import Gain
from hpo.core.selection_rules import Candidate
from hpo.selection.decision import Selection, best_found

ERROR, SHRINKAGE, OVERLAP = 0.5, 0.5, 0.25
FAST = "the usual defaults at 3× learning rate"


class Made:
    """Finals in which each label has an expected gain over the `reference`; those in `significant` have scores that
    differ from those of the others."""

    test_train_ratio = OVERLAP

    def __init__(self, gains, reference="defaults", significant=(), diverged=()):
        self.reference, self.gains, self.significant, self.diverged = reference, gains, significant, diverged
        self.finalists = {
            label: SimpleNamespace(trial=SimpleNamespace(params={}), reevaluations=[None] * 2) for label in gains
        }

    def candidates(self):
        noise = np.random.default_rng(0).normal(size=8) / 100
        return [
            Candidate(
                label,
                self.gain(label, self.reference) or Gain.zero(),
                1 + noise * (-1) ** i - (label in self.significant),
                sound=label not in self.diverged,
                amount=float(label.startswith("8")),  # which one_se prefers
            )
            for i, label in enumerate(self.gains)
        ]

    def gain(self, label, reference):
        if {label, reference} & set(self.diverged):
            return None
        mean = self.gains[label] - self.gains[reference]
        return Gain(mean / SHRINKAGE, mean, 0.02) if label != reference else Gain.zero()

    def choices(self):
        return {rule: rules.choose(rule, self.candidates(), OVERLAP) for rule in rules.SELECTION_RULES}

    def settle(self, rule):
        return self.choices()[rule]

    def error(self, _):
        return ERROR


def decided(rule, gains, **options):
    return Selection.by_rule(Made({"none": -0.5, "defaults": -0.2} | gains, **options), rule)


@pytest.mark.parametrize(
    ("rule", "gains", "options", "selected", "reason"),
    [
        ("expected", {"3": 0.1}, {}, "3", ""),
        (
            "expected",
            {"3": -0.195},
            {},
            "defaults",
            "it is expected to be less than 1 % better than the usual defaults",
        ),
        ("expected", {"3": -0.3}, {}, "defaults", "it is not expected to be better than the usual defaults"),
        ("best", {"3": -0.195}, {}, "3", ""),
        ("best", {"3": -0.3}, {}, "defaults", "it is not expected to be better than the usual defaults"),
        ("safe", {"3": 0.1}, {}, "defaults", "it is not significantly better than the usual defaults"),
        (
            "safe",
            {"3": 0.1, "4": 0.05},
            {"significant": ("4",)},
            "4",
            "it is not significantly better than the usual defaults",
        ),
        (
            "safe",
            {"3": 0.1, "none": 0.2},
            {"significant": ("none",)},
            "none",
            "no regularization is expected to be better",
        ),
        (
            "one_se",
            {"3": 0.1, "8": 0.095},
            {},
            "8",
            "select: one_se prefers another one among those that are practically equal",
        ),
        ("one_se", {"3": 0.1, "none": 0.3}, {}, "none", "no regularization is expected to be better"),
        ("expected", {"3": 0.1, "none": 0.3}, {}, "none", "no regularization is expected to be better"),
        ("expected", {"3": 0.1, "5": 0.1}, {}, "3", ""),
        (
            "expected",
            {"3": -0.05, "defaults_fast": 0.0},
            {"reference": "defaults_fast"},
            "defaults_fast",
            f"it is not expected to be better than {FAST}",
        ),
        (
            "expected",
            {"3": 0.005, "defaults_fast": 0.0},
            {"reference": "defaults_fast"},
            "defaults_fast",
            f"it is expected to be less than 1 % better than {FAST}",
        ),
        (
            "safe",
            {"3": 0.1, "defaults_fast": 0.0},
            {"reference": "defaults_fast"},
            "defaults_fast",
            f"it is not significantly better than {FAST}",
        ),
    ],
)
def test_the_reason_follows_the_rule_and_names_the_reference(rule, gains, options, selected, reason):
    selection = decided(rule, gains, **options)
    found = best_found(selection)
    assert (selection.selected, found.trial, found.reason) == (selected, "3", reason)


@pytest.mark.parametrize("rule", rules.SELECTION_RULES)
def test_only_rules_with_a_smallest_gain_state_it(rule):
    """The stated gain, reduced like the measured one, is a gain of 1 %."""
    verdict = decided(rule, {"3": -0.205}).verdict
    needed = -math.log1p(-0.01) / SHRINKAGE
    expected = None if rule in ("best", "safe") else pytest.approx(-math.expm1(-needed) * ERROR)
    assert (verdict.rival, verdict.detectable) == ("3", expected)


def test_there_is_no_gain_over_defaults_that_diverged():
    selection = decided("expected", {"3": 0.1}, reference="none", diverged=("defaults",))
    found = best_found(selection)
    assert (selection.selected, found.trial, found.gain) == ("3", "3", None)
