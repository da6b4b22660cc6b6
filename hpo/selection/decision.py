"""The decision among the finalists, and its comparison with the usual defaults."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from hpo.core import selection_rules as rules
from hpo.core import statistics
from hpo.selection.finals import Finals
from hpo.selection.result_parts import BestFound, ExpectedGain, Verdict
from hpo.space.formatting import trial_name

_BASELINES = ("none", *rules.DEFAULTS)


@dataclass(frozen=True)
class Selection:
    """The decision of the finals.

    `selected` is the label of the selected trial, `rule` is the rule that selected it, `choices` maps each rule to the
    label that it would select, and `verdict` is the comparison with the defaults.
    """

    finals: Finals
    selected: str
    rule: str
    choices: Mapping[str, str]
    verdict: Verdict

    @classmethod
    def by_rule(cls, finals: Finals, rule: str) -> Selection:
        label = finals.settle(rule)
        return cls(finals, label, rule, finals.choices() | {rule: label}, _verdict(finals, label, rule))


def _verdict(finals: Finals, label: str, rule: str) -> Verdict:
    candidates = {c.label: c for c in finals.candidates()}
    by_gain = sorted((c for c in candidates.values() if c.sound), key=lambda c: (-c.gain.mean, c.label))
    default = candidates[finals.reference if finals.reference in rules.DEFAULTS else rules.DEFAULT]
    best = next((c for c in by_gain if c.label not in rules.DEFAULTS), default)
    rival = best if label in rules.DEFAULTS else candidates[label]
    return Verdict(
        rival=rival.label,
        reference=default.label,
        gain=expected_gain(finals, rival.label, default.label),
        fits=len(statistics.finite_pairs(rival.scores, default.scores)[0]),
        significant=rules.significantly_better(rival, default, finals.test_train_ratio),
        detectable=_detectable(finals, rival.label, default.label) if rule in rules.RULES_WITH_REGION else None,
    )


def _detectable(finals: Finals, label: str, reference: str) -> float | None:
    """Return the smallest measured gain that is more than practically equal to the defaults with the evidence on
    `label`."""
    gain = finals.gain(label, reference)
    if gain is None or not gain.measured or not gain.mean:
        return None
    needed = -math.log1p(-rules.PRACTICALLY_EQUAL) * gain.measured / gain.mean
    return -math.expm1(-needed) * finals.error(reference)


def expected_gain(finals: Finals, label: str, reference: str) -> ExpectedGain | None:
    """Return the expected gain of one finalist over another in the unit of the metric; None if one of them diverged, or
    if the rows do not define the metric."""
    gain = finals.gain(label, reference)
    if gain is None or not math.isfinite(error := finals.error(reference)):
        return None
    low, high = gain.interval
    return ExpectedGain(
        gain=gain.relative * error,
        low=low * error,
        high=high * error,
        relative=gain.relative,
        probability=gain.probability,
        measured=-math.expm1(-gain.measured) * error,
        draws=min(len(finals.finalists[name].reevaluations) for name in (label, reference)),
    )


def best_found(selection: Selection) -> BestFound | None:
    """Return the finalist with the largest expected gain, baselines excluded; None if none of them is complete."""
    finals = selection.finals
    candidates = {c.label: c for c in finals.candidates() if c.sound}
    found = [c for c in candidates.values() if not c.label.startswith(_BASELINES)]
    best = min(found, key=lambda c: (-c.gain.mean, c.label), default=None)  # a tie is broken as in the rules
    if best is None:
        return None
    return BestFound(
        trial=best.label,
        params=dict(finals.finalists[best.label].trial.params),
        gain=expected_gain(finals, best.label, selection.verdict.reference),
        reason=_why_not_selected(selection, candidates[selection.selected], best),
    )


def _why_not_selected(selection: Selection, selected: rules.Candidate, best: rules.Candidate) -> str:
    """Return why another configuration was selected, as a clause that follows "because"; "" if it was selected."""
    rule, defaults = selection.rule, trial_name(selection.verdict.reference)
    if best.label == selected.label:
        return ""
    if selected.label not in rules.DEFAULTS and selected.gain.mean >= best.gain.mean:
        return f"{trial_name(selected.label)} is expected to be better"
    if rule == "safe":
        return f"it is not significantly better than {defaults}"
    if selected.label not in rules.DEFAULTS:
        return f"select: {rule} prefers another one among those that are practically equal"
    if best.gain.mean <= 0:
        return f"it is not expected to be better than {defaults}"
    return f"it is expected to be less than {100 * rules.PRACTICALLY_EQUAL:.0f} % better than {defaults}"
