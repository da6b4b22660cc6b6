"""The numbers of a report in words: a sentence each."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from hpo.core.metrics import METRICS
from hpo.core.trial import Outcome
from hpo.regularizers import STRENGTHS
from hpo.report.analysis import Balance, Ridge, Stack, Trend, best_score, droppable, regularized, without
from hpo.report.inputs import ReportInputs, gap
from hpo.report.predictions import Bin, Classified, Predicted, calibration_error
from hpo.report.summary import adaptation_lines, first_line, regularization_line
from hpo.space.formatting import number, score, trial_name

_MATTERS = 1.5  # times the share that each parameter would have if all were alike
_HARDLY = 0.5
_FEW_KEYS = 3


def standing(found: Balance) -> str:
    return {
        "over": "Over-regularized, as it seems: less may do better.",
        "under": "Under-regularized, as it seems: more may do better.",
        "well": "Well regularized, as far as the search can tell.",
        "little": "There is little overfitting to hold back.",
    }[found.standing]


def reasons(material: ReportInputs, found: Balance) -> str:
    """Why: the gap, what goes with better scores, ranges that were too short."""
    loss = material.selected.valid["loss"]
    said = [
        f"The selected network's validation loss of {score(loss)} is {score(abs(found.gap))} {'above' if found.gap >= 0 else 'below'} its training loss"
    ]
    if found.gap_without is not None and regularized(material):
        said[0] += f"; without regularization the gap is {score(found.gap_without)}"
    said[0] += "."
    if found.trend and found.trend.clear:
        more = "more" if found.trend.rho < 0 else "less"
        said.append(
            f"Among the better half of the complete trials, {more} regularization goes with better scores ({_rho(found.trend)})."
        )
    elif found.trend:
        said.append(
            f"Among the better half of the complete trials, neither more nor less regularization goes with better scores ({_rho(found.trend)})."
        )
    if found.edges:
        verb = "stands" if len(found.edges) == 1 else "stand"
        said.append(f"{listed(found.edges)} {verb} at the most regularized end of the range: make it longer.")
    return " ".join(said)


def verdict(material: ReportInputs, found: Balance, importances: Mapping[str, Mapping[str, float]]) -> list[str]:
    """The top of the page, the conclusion first."""
    result = material.result
    lead = [] if result.get("unpromised") else [standing(found)]  # a gap on the source is no verdict on the target
    lead += adaptation_lines(result)
    lines = [*lead, first_line(result), reasons(material, found), regularization_line(result)]
    return [line for line in [*lines, mattered(material, importances), dropped(material)] if line]


def mattered(material: ReportInputs, importances: Mapping[str, Mapping[str, float]]) -> str:
    """Which parameters decide about the score, and which strength about the gap."""
    if not importances:
        return ""
    by_score, by_gap = importances["score"], importances["gap"]
    alike = 1 / len(by_score)
    most = [key for key, share in by_score.items() if share >= _MATTERS * alike] or list(by_score)[:1]
    least = [key for key, share in by_score.items() if share < _HARDLY * alike and key in material.strengths]
    said = (
        f"For the score {listed(most)} mattered most ({100 * sum(by_score[k] for k in most):.0f} % of the importance)"
    )
    said += f", {listed(least)} hardly" if least else ""
    said += f"; for the gap {listed(list(by_gap)[:1])} did ({100 * next(iter(by_gap.values())):.0f} %)."
    return said


def dropped(material: ReportInputs) -> str:
    """Which strengths could be left out."""
    keys, known = droppable(material), without(material)
    if not known:
        return ""
    if not keys:
        return "No strength that can be off could be dropped: the best trial without it is worse by more than the standard error of the selected score."
    metric = _name(material.space.train.metric)
    pairs = [
        f"{_name(key)} (best {metric} {score(known[key][1])} without, {score(known[key][0])} with)" for key in keys
    ]
    said = ", ".join(pairs) if len(keys) <= _FEW_KEYS else listed(keys)
    return f"Could be dropped, each by itself: {said}. The best trial without it is no worse by more than the standard error of the selected score."


def curve(outcome: Outcome) -> str:
    return (
        f"At epoch {outcome.best_epoch}, the best: training {score(outcome.train['loss'])}, validation {score(outcome.valid['loss'])}, "
        f"gap {score(gap(outcome))}."
    )


def gap_trend(name: str, found: Trend | None) -> str:
    if found is None:
        return f"The gap by {name}."
    if not found.clear:
        return f"The gap does not go with {name} ({_rho(found)})."
    return f"The gap {'falls' if found.rho < 0 else 'rises'} with {name} ({_rho(found)})."


def ridge(found: Ridge | None) -> str:
    if found is None:
        return ""
    among = f"Among the best {found.trials} trials with weight decay, learning rate × weight decay is {number(found.product)} (half of them between {number(found.low)} and {number(found.high)})"
    if found.is_one and found.trend:
        return f"{among}, and the higher the one, the lower the other ({_rho(found.trend)}): a ridge along which their product stays the same."
    rho = f" ({_rho(found.trend)})" if found.trend else ""
    return f"{among}; there is no ridge: they do not go against each other{rho}."


def history(material: ReportInputs) -> str:
    metric = material.space.train.metric
    steps = best_score(material.complete, metric)
    if not steps:
        return ""
    label, value = steps[-1]
    later = len([o for o in material.searched if int(o.trial.label) > label])
    return (
        f"The best score, {score(value)}, came with trial {label}; {later} {'trial' if later == 1 else 'trials'} later it still stood."
        if later
        else f"The best score, {score(value)}, came with the last trial: a longer search may find more."
    )


def lines_together(material: ReportInputs, best: Sequence[Outcome]) -> str:
    """Where the best trials agree: the parameter of which they fill the smallest part."""
    if len(best) < 3:
        return "A line is a trial."
    spans = {}
    for key, scale in material.scales.items():
        shares = [scale.share(o.trial.params[key]) for o in best if scale.has(o.trial.params)]
        if len(shares) == len(best):
            spans[key] = max(shares) - min(shares)
    if not spans:
        return "A line is a trial."
    narrow, wide = min(spans, key=spans.__getitem__), max(spans, key=spans.__getitem__)
    return (
        f"A line is a trial. The best {len(best)} lie closest together in {_name(narrow)} ({100 * spans[narrow]:.0f} % of its range) "
        f"and are spread widest in {_name(wide)} ({100 * spans[wide]:.0f} %)."
    )


def finalists(material: ReportInputs) -> str:
    found = material.result["finalists"]
    metric = METRICS[material.space.train.metric]
    pairs = [(one["search"], one["fresh"]) for one in found.values() if None not in (one["search"], one["fresh"])]
    flattered = sum(metric.sign * (fresh - search) > 0 for search, fresh in pairs)
    return f"{flattered} of {len(pairs)} did worse on fresh splits than in the search; only the fresh scores select."


def zeros(name: str, count: int, of: int) -> str:
    return (
        f"{count:,} of {of:,} weights of {name} are exactly zero ({100 * count / of:.1f} %)."
        if count
        else f"None of the {of:,} weights of {name} is exactly zero."
    )


def unused(columns: Sequence[str], total: int) -> str:
    if not columns:
        return ""
    names = ", ".join(columns[:30]) + (" …" if len(columns) > 30 else "")
    return f"{len(columns)} of {total} columns (or terms) are not used, all weights that they meet being zero: {names}."


def reliability(bins: Sequence[Bin], found: Classified) -> str:
    confident, right = float(found.confidence.mean()), float((found.true == found.predicted).mean())
    much = (
        "too sure"
        if confident > right + 0.02
        else "not sure enough"
        if confident < right - 0.02
        else "about as sure as it is right"
    )
    return (
        f"On average {100 * confident:.1f} % confident and {100 * right:.1f} % right: {much} (expected calibration error "
        f"{calibration_error(bins):.3f})."
    )


def confused(found: Classified) -> str:
    pairs = found.confused()
    if not pairs:
        return f"All {len(found.true):,} rows are predicted rightly."
    most = "; ".join(f"{true} taken for {said} ({count})" for true, said, count in pairs[:3])
    return f"{len(found.wrong):,} of {len(found.true):,} rows are wrong. Most often: {most}."


def residuals(found: Predicted) -> str:
    bias, spread = float(found.residuals.mean()), float(found.residuals.std())
    pull = float(((found.predicted - found.predicted.mean()) * found.residuals).mean())
    slope = pull / float(found.predicted.var()) if float(found.predicted.var()) else 0.0
    sure = math.sqrt(len(found.true)) * abs(bias) > 2 * spread
    said = f"Predictions miss by {score(spread)} (standard deviation)"
    said += (
        f", and are {score(abs(bias))} too {'high' if bias > 0 else 'low'} on average"
        if sure
        else ", and are neither too high nor too low on average"
    )
    if slope > 0.1:
        return said + "; high ones are too high and low ones too low, which more regularization would mend."
    return said + (
        "; high ones are too low and low ones too high, which less regularization would mend." if slope < -0.1 else "."
    )


def stacks(found: Sequence[Stack]) -> str:
    if len(found) == 1:
        return f"All trials shared one stack, with {found[0].mean:.1f} networks at once on average."
    return (
        f"The configurations made {len(found)} stacks, of {min(s.mean for s in found):.1f} to {max(s.mean for s in found):.1f} networks at once on "
        f"average: what changes the shape of a network, or of its minibatches, divides the rows."
    )


def shape(found: Stack) -> str:
    if found.only:
        return trial_name(found.only)
    return ", ".join(f"{_name(key)} {value}" for key, value in found.shape.items()) or "all"


def params(outcome: Outcome) -> list[tuple[str, str]]:
    """The configuration, key by key."""
    said = []
    for key, value in outcome.trial.params.items():
        off = key in STRENGTHS and value == STRENGTHS[key].default_value
        plain = isinstance(value, str | bool)
        said.append((_name(key), "off" if off else str(value) if plain else number(value)))
    return said


def title(material: ReportInputs) -> str:
    label = material.result["trial"]
    usual = {"defaults": "the usual defaults are", "none": "no regularization is"}
    return f"{material.result['study']}: {usual.get(label, f'{trial_name(label)} is')} selected"


def _rho(found: Trend) -> str:
    return f"Spearman {f'{found.rho:.2f}'.replace('-', '−')}, {found.trials} trials"


def _name(key: str) -> str:
    return key.replace("_", " ")


def listed(keys: Sequence[str]) -> str:
    """Parameters by name: a, b and c."""
    names = [_name(key) for key in keys]
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"
