"""The numbers of a report in words, one function per sentence."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from hpo.core.metrics import METRICS
from hpo.core.trial import Outcome
from hpo.regularizers import is_off
from hpo.regularizers.active import active_params, is_regularized
from hpo.report.analysis import Balance, Ridge, Stack, Trend, best_on_and_off, best_so_far, droppable
from hpo.report.inputs import ReportInputs
from hpo.report.predictions import Bin, ClassPredictions, NumberPredictions, calibration_error
from hpo.report.summary import adaptation_lines, regularization_line, verdict_line
from hpo.space.formatting import format_number, format_score, trial_name

_MATTERS = 1.5  # times the importance that each hyperparameter would have if all were equal
_HARDLY_MATTERS = 0.5
_MAX_DETAILED = 3  # strengths that are listed with their scores
_MIN_AGREEING = 3  # with fewer best trials, no agreement is described
_MAX_COLUMNS = 30  # unused columns that are named
_CONFIDENCE_MARGIN = 0.02  # largest difference of confidence and accuracy that counts as "well calibrated"
_MIN_SLOPE = 0.1  # the smallest slope of residuals over predictions that is described


def standing(balance: Balance) -> str:
    return {
        "over": "Probably over-regularized: less regularization may be better.",
        "under": "Probably under-regularized: more regularization may be better.",
        "well": "No sign of too much or too little regularization.",
        "little": "There is little overfitting to reduce.",
    }[balance.standing]


def reasons(inputs: ReportInputs, balance: Balance) -> str:
    """Give the reasons for the standing: the gap, the trend, and strengths at the end of their ranges."""
    loss, direction = inputs.selected.valid["loss"], "above" if balance.gap >= 0 else "below"
    gap = (
        f"The validation loss of the selected configuration, {format_score(loss)}, "
        f"is {format_score(abs(balance.gap))} {direction} its training loss"
    )
    if balance.gap_without is not None and is_regularized(inputs.result.selected):
        gap += f"; without regularization the gap is {format_score(balance.gap_without)}"
    sentences = [f"{gap}."]
    if balance.trend:
        if balance.trend.is_clear:
            trend = f"{'more' if balance.trend.rho < 0 else 'less'} regularization goes with better scores"
        else:
            trend = "the amount of regularization has no clear relation to the score"
        sentences.append(f"Among the better half of the complete trials, {trend} ({_rho(balance.trend)}).")
    if balance.at_bounds:
        are, their = ("is", "its range") if len(balance.at_bounds) == 1 else ("are", "their ranges")
        names = listed(balance.at_bounds)
        sentences.append(f"{names[0].upper()}{names[1:]} {are} at the most regularized end of {their}: extend {their}.")
    return " ".join(sentences)


def verdict(inputs: ReportInputs, balance: Balance, importances: Mapping[str, Mapping[str, float]]) -> list[str]:
    """Return the sentences at the top of the page, the conclusion first."""
    result = inputs.result
    lead = [] if result.test_domain_differs else [standing(balance)]  # the source's gap says nothing on the target
    lead += adaptation_lines(result)
    lines = [*lead, verdict_line(result), reasons(inputs, balance), regularization_line(result)]
    return [line for line in [*lines, importance(inputs, importances), dropped(inputs)] if line]


def importance(inputs: ReportInputs, importances: Mapping[str, Mapping[str, float]]) -> str:
    """Name the hyperparameters that explain most of the scores and of the gaps; "" without importances."""
    if not importances:
        return ""
    by_score, by_gap = importances["score"], importances["gap"]
    equal = 1 / len(by_score)
    most = [key for key, share in by_score.items() if share >= _MATTERS * equal] or list(by_score)[:1]
    least = [key for key, share in by_score.items() if share < _HARDLY_MATTERS * equal and key in inputs.strengths]
    names, first_by_gap = listed(most), next(iter(by_gap))
    by_gap_name = " and" if most == [first_by_gap] else f", {_name(first_by_gap)}"
    sentence = (
        f"{names[0].upper()}{names[1:]} {'explains' if len(most) == 1 else 'explain'} "
        f"{100 * sum(by_score[key] for key in most):.0f} % of the differences in score{by_gap_name} "
        f"{100 * by_gap[first_by_gap]:.0f} % of those in the gap"
    )
    if least:
        sentence += f"; {listed(least)} hardly {'matters' if len(least) == 1 else 'matter'}"
    return f"{sentence} (fANOVA over {len(inputs.complete_trials)} trials, a rough estimate)."


def dropped(inputs: ReportInputs) -> str:
    """Name the strengths of the selected configuration that could be off; "" if each was on in all trials or in
    none."""
    best = {key: pair for key, pair in best_on_and_off(inputs).items() if key in active_params(inputs.result.selected)}
    keys = [key for key in droppable(inputs) if key in best]
    if not best:
        return ""
    if not keys:
        return (
            "No regularizer could be left out: for each, the best trial without it is worse by more than the standard "
            "error of the selected configuration's score."
        )
    metric = _name(inputs.space.train.metric)
    details = [
        f"{_name(key)} (best ranking {metric} {format_score(best[key][1])} without, {format_score(best[key][0])} with)"
        for key in keys
    ]
    names = ", ".join(details) if len(keys) <= _MAX_DETAILED else listed(keys)
    return (
        f"Could be left out, one at a time: {names}. The best trial without it is better, or worse by at most the "
        "standard error of the selected configuration's score."
    )


def curve(outcome: Outcome) -> str:
    return (
        f"Best epoch {outcome.best_epoch}: training {format_score(outcome.train['loss'])}, "
        f"validation {format_score(outcome.valid['loss'])}, gap {format_score(outcome.gap)}."
    )


def gap_trend(name: str, trend: Trend | None, *, too_few: bool = False) -> str:
    if trend is None:
        return "Too few trials for a correlation." if too_few else f"Gap by {name}."
    if not trend.is_clear:
        return f"No clear relation between {name} and the gap ({_rho(trend)})."
    return f"The gap {'falls' if trend.rho < 0 else 'rises'} with {name} ({_rho(trend)})."


def ridge(ridge: Ridge | None) -> str:
    if ridge is None:
        return "Too few trials with weight decay to relate the two."
    product = (
        f"Among the best {ridge.trials} trials with weight decay, learning rate × weight decay has the median "
        f"{format_number(ridge.product)} (quartiles {format_number(ridge.low)} and {format_number(ridge.high)})"
    )
    if ridge.is_ridge and ridge.trend:
        return (
            f"{product}. A higher learning rate goes with a lower weight decay ({_rho(ridge.trend)}): a ridge, along "
            "which the product stays the same."
        )
    rho = f" ({_rho(ridge.trend)})" if ridge.trend else ""
    return f"{product}. No clear sign that a higher learning rate goes with a lower weight decay{rho}."


def history(inputs: ReportInputs) -> str:
    steps = best_so_far(inputs.complete_trials, inputs.space.train.metric)
    if not steps:
        return ""
    label, value = steps[-1]
    best = f"Best ranking {_name(inputs.space.train.metric)} {format_score(value)}"
    later = len([o for o in inputs.search_trials if o.trial.key.number > label])
    if not later:
        return f"{best}, by the last trial ({label}): a longer search may find a better one."
    trials = "the last trial" if later == 1 else f"the last {later} trials"
    return f"{best} (trial {label}); {trials} did not improve it."


def agreement(inputs: ReportInputs, best: Sequence[Outcome]) -> str:
    """Name the hyperparameters in which the best trials agree most and least, by the part of its range that these
    trials span."""
    line = "Each line is a trial."
    if len(best) < _MIN_AGREEING:
        return line
    spans = {}
    for key, axis in inputs.axes.items():
        fractions = [axis.fraction(o.trial.params[key]) for o in best if axis.covers(o.trial.params)]
        if len(fractions) == len(best):
            spans[key] = max(fractions) - min(fractions)
    if not spans:
        return line
    narrow, wide = min(spans, key=spans.__getitem__), max(spans, key=spans.__getitem__)
    return (
        f"{line} The best {len(best)} agree most in {_name(narrow)} (they span {100 * spans[narrow]:.0f} % of its "
        f"range) and least in {_name(wide)} ({100 * spans[wide]:.0f} %)."
    )


def finalists(inputs: ReportInputs) -> str:
    metric = METRICS[inputs.space.train.metric]
    pairs = [
        (finalist.search, finalist.reevaluated)
        for finalist in inputs.result.finalists.values()
        if finalist.search is not None and finalist.reevaluated is not None
    ]
    worse = sum(metric.minimized(reevaluated - search) > 0 for search, reevaluated in pairs)
    return (
        f"{worse} of {len(pairs)} scored worse in the re-evaluation on new splits and seeds than at the best epoch of "
        "the search. Only the re-evaluation decides, by a test on paired fits: configurations whose error bars overlap "
        "can differ significantly."
    )


def zeros(name: str, zeros: int, weights: int) -> str:
    if not zeros:
        return f"None of the {weights:,} weights of {name} is exactly zero."
    return f"{zeros:,} of {weights:,} weights of {name} are exactly zero ({100 * zeros / weights:.1f} %)."


def unused(columns: Sequence[str], total: int) -> str:
    if not columns:
        return ""
    names = ", ".join(columns[:_MAX_COLUMNS]) + (" …" if len(columns) > _MAX_COLUMNS else "")
    return f"{len(columns)} of {total} columns (or terms) are not used, because all weights on them are zero: {names}."


def reliability(bins: Sequence[Bin], predictions: ClassPredictions) -> str:
    confidence = float(predictions.confidence.mean())
    accuracy = float((predictions.true == predictions.predicted).mean())
    verdict = "over-confident" if confidence > accuracy else "under-confident"
    if abs(confidence - accuracy) <= _CONFIDENCE_MARGIN:
        verdict = "well calibrated on average"
    return (
        f"Mean confidence {100 * confidence:.1f} %, accuracy {100 * accuracy:.1f} %: {verdict} "
        f"(expected calibration error {calibration_error(bins):.3f})."
    )


def confused(predictions: ClassPredictions) -> str:
    pairs = predictions.confused()
    if not pairs:
        return f"All {len(predictions.true):,} rows are classified correctly."
    most = "; ".join(f"{true} predicted as {predicted} ({count})" for true, predicted, count in pairs[:3])
    return f"{len(predictions.errors):,} of {len(predictions.true):,} rows are misclassified. Most often: {most}."


def residuals(predictions: NumberPredictions) -> str:
    residuals, predicted = predictions.residuals, predictions.predicted
    bias, deviation, variance = float(residuals.mean()), float(residuals.std()), float(predicted.var())
    slope = float(((predicted - predicted.mean()) * residuals).mean()) / variance if variance else 0.0
    sentence = f"The prediction errors have a standard deviation of {format_score(deviation)}"
    if math.sqrt(len(residuals)) * abs(bias) > 2 * deviation:
        sentence += (
            f" and a mean of {format_score(abs(bias))}: predictions are too {'high' if bias > 0 else 'low'} on average"
        )
    else:
        sentence += " and no significant bias"
    if slope > _MIN_SLOPE:
        sentence += "; high predictions are too high and low ones too low, which more regularization would reduce"
    elif slope < -_MIN_SLOPE:
        sentence += "; high predictions are too low and low ones too high, which less regularization would reduce"
    return f"{sentence}."


def stacks(stacks: Sequence[Stack]) -> str:
    if len(stacks) == 1:
        return f"All trials shared one stack, with {stacks[0].mean:.1f} networks in training on average."
    low, high = min(stack.mean for stack in stacks), max(stack.mean for stack in stacks)
    return (
        f"The configurations formed {len(stacks)} stacks with {low:.1f} to {high:.1f} networks in training on average. "
        "Networks of different shape or batch size train in different stacks."
    )


def shape(stack: Stack) -> str:
    if stack.only_trial:
        return trial_name(stack.only_trial)
    return ", ".join(f"{_name(key)} {value}" for key, value in stack.shape.items()) or "all"


def params(outcome: Outcome) -> list[tuple[str, str]]:
    """Return (name, value) of each hyperparameter of a configuration."""
    pairs = []
    for key, value in outcome.trial.params.items():
        text = str(value) if isinstance(value, str | bool) else format_number(value)
        pairs.append((_name(key), "off" if is_off(key, value) else text))
    return pairs


def title(inputs: ReportInputs) -> str:
    label = inputs.result.trial
    baselines = {"defaults": "the usual defaults are", "none": "no regularization is"}
    return f"{inputs.result.study}: {baselines.get(label, f'{trial_name(label)} is')} selected"


def _rho(trend: Trend) -> str:
    return f"Spearman {f'{trend.rho:.2f}'.replace('-', '−')}, {trend.trials} trials"


def _name(key: str) -> str:
    return key.replace("_", " ")


def listed(keys: Sequence[str]) -> str:
    """Join the names of hyperparameters: a, b and c."""
    names = [_name(key) for key in keys]
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"
