"""The numbers of the search in words, one function per sentence."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from hpo.core.metrics import METRICS, Task
from hpo.core.selection_rules import DEFAULTS
from hpo.core.trial import Outcome
from hpo.regularizers import is_off
from hpo.regularizers.active import is_regularized
from hpo.report import balance_text
from hpo.report.analysis import MIN_RIDGE_TRIALS, Ridge, Stack, Trend, best_so_far, still_improving
from hpo.report.balance import Balance
from hpo.report.importance import MIN_ORDERED, Importance, Importances, hardly_matter, leader
from hpo.report.inputs import ReportInputs
from hpo.report.summary import adaptation_lines, regularization_line, verdict_line
from hpo.report.words import capitalized, listed, named, rho
from hpo.selection.result import SearchResult
from hpo.selection.score_table import SINGLE_NETWORKS
from hpo.space.formatting import format_number, format_score, trial_name

_MIN_AGREEING = 3  # with fewer best trials, no agreement is described


def verdict(inputs: ReportInputs, balance: Balance, importances: Importances) -> list[str]:
    """Return the sentences below the selected configuration, the conclusion first."""
    result = inputs.result
    # The gap and the effect of regularization on the source say nothing on the target.
    lead = [] if result.test_domain_differs else [balance_text.standing(inputs, balance)]
    lead += adaptation_lines(result)
    effect = regularization_line(result) if is_regularized(result.selected) else ""  # else the lead says so
    lines = [*lead, verdict_line(result), effect, balance_text.reasons(inputs, balance)]
    return [line for line in [*lines, importance(inputs, importances), balance_text.droppable(inputs)] if line]


def importance(inputs: ReportInputs, importances: Importances) -> str:
    """Name the hyperparameter that explains most of the scores, and most of the gaps, as far as the trials can tell; ""
    without importances."""
    if not importances:
        return ""
    trials, goals = len(inputs.complete_trials), {"score": "the differences in score", "gap": "those in the gap"}
    leaders = {goal: key for goal in goals if (key := leader(importances[goal], trials))}
    method = f"(fANOVA, {trials} trials)"
    if not leaders:
        return f"{capitalized(too_few_to_order(trials))}, so the hyperparameters have no order of importance {method}."
    parts: list[str] = []
    for goal, key in leaders.items():
        share = f"{_share(importances[goal][key])} of {goals[goal]}"
        if parts and key == leaders["score"]:
            parts[0] += f" and {share}"
        else:
            parts.append(f"{named(key)} explains {share}")
    least = [key for key in hardly_matter(importances["score"], trials) if key in inputs.strengths]
    if least:
        parts.append(f"{listed(least)} hardly {'matters' if len(least) == 1 else 'matter'} for the score")
    return f"{capitalized('; '.join(parts))} {method}."


def importance_title(importances: Importances, trials: int) -> str:
    """State which hyperparameter matters most for the score, if that can be told."""
    key = leader(importances["score"], trials)
    if key:
        return f"{capitalized(named(key))} matters most for the score"
    return f"Hyperparameter importance: {too_few_to_order(trials)}"


def too_few_to_order(trials: int) -> str:
    return f"{trials} trials are too few to tell" if trials < MIN_ORDERED else "the intervals overlap"


def _share(importance: Importance) -> str:
    return f"{100 * importance.share:.0f} % ± {100 * importance.sd:.0f} %"


def curves_title(selected: Outcome | None) -> str:
    """Describe the gap of the selected configuration; `selected` is None if it diverged."""
    if selected is None:
        return "Training and validation loss by epoch"
    gap, curve = selected.gap, selected.with_gap()["gap"]
    if gap <= 0:
        return "No train–valid gap: validation loss is not above training loss"
    change = "grows to" if gap > curve[0] else "is"
    return f"The train–valid gap of the selected configuration {change} {format_score(gap)} at its best epoch"


def curves_text(trainings: Mapping[str, Outcome], *, reevaluated: bool) -> str:
    """Explain the plots of the losses, and name the configurations that were still improving at their last epoch."""
    where = "in the first draw of the re-evaluation, averaged over its folds" if reevaluated else "in the search"
    shown = "Dashed: training; solid: validation; diamond: best epoch; shaded: the train–valid gap."
    text = f"Losses {where}, evaluated without dropout or other noise, on the same scale. {shown}"
    below = [name for name, outcome in trainings.items() if outcome.gap < 0]
    if below:
        text += (
            f" Validation below training ({', '.join(below)}) is not overfitting: the validation rows are easier to "
            "predict, which is often chance."
        )
    if improving := still_improving(trainings):
        names = ", ".join(improving)
        text += f" Still improving at their last epoch: {names}. More epochs may change which configuration is best."
    return text


def curve(outcome: Outcome) -> str:
    return (
        f"Best epoch {outcome.best_epoch}: training {format_score(outcome.train['loss'])}, "
        f"validation {format_score(outcome.valid['loss'])}, gap {format_score(outcome.gap)}."
    )


def gap_title(trends: Mapping[str, Trend | None]) -> str:
    """Name the hyperparameters with which the gap clearly falls or rises."""
    clear = {key: trend for key, trend in trends.items() if trend and trend.is_clear}
    falls, rises = ([key for key, trend in clear.items() if (trend.rho < 0) == down] for down in (True, False))
    parts = [f"{verb} with {listed(keys)}" for verb, keys in (("falls", falls), ("rises", rises)) if keys]
    if parts:
        return f"The train–valid gap {' and '.join(parts)}"
    if any(trends.values()):
        return "Train–valid gap: no clear trend with any hyperparameter"
    return "Train–valid gap: too few trials to tell a trend"


def gap_trend(name: str, trend: Trend | None, *, too_few: bool = False) -> str:
    if trend is None:
        return "Too few trials for a correlation." if too_few else f"Gap by {name}."
    if not trend.is_clear:
        return f"No clear trend of the gap with {name} ({rho(trend)})."
    return f"The gap {'falls' if trend.rho < 0 else 'rises'} with {name} ({rho(trend)})."


def ridge_title(ridge: Ridge | None) -> str:
    name = "Learning rate × weight decay"
    if ridge is None or ridge.trend is None:
        return f"{name}: too few trials to tell"
    return "A higher learning rate goes with a lower weight decay" if ridge.is_ridge else f"{name}: no clear relation"


def ridge(ridge: Ridge | None) -> str:
    if ridge is None:
        return (
            f"To relate the two, at least {MIN_RIDGE_TRIALS} complete trials with weight decay are needed. "
            "Filled dots: the better half of the complete trials."
        )
    product = (
        f"Among the best {ridge.trials} trials with weight decay, learning rate × weight decay has the median "
        f"{format_number(ridge.product)} (quartiles {format_number(ridge.low)} and {format_number(ridge.high)})"
    )
    if ridge.is_ridge and ridge.trend:
        return (
            f"{product}. A higher learning rate goes with a lower weight decay ({rho(ridge.trend)}): a ridge, along "
            "which the product stays the same."
        )
    correlation = f" ({rho(ridge.trend)})" if ridge.trend else ""
    return f"{product}. No clear sign that a higher learning rate goes with a lower weight decay{correlation}."


def history(inputs: ReportInputs) -> str:
    steps = best_so_far(inputs.complete_trials, inputs.space.train.metric)
    if not steps:
        return ""
    label, value = steps[-1]
    best = f"Best search {named(inputs.space.train.metric)} {format_score(value)}"
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
        f"{line} The best {len(best)} agree most in {named(narrow)} (they span {100 * spans[narrow]:.0f} % of its "
        f"range) and least in {named(wide)} ({100 * spans[wide]:.0f} %)."
    )


def finalists_title(result: SearchResult) -> str:
    """Count the finalists that are clearly better than the usual defaults."""
    defaults = trial_name(result.reference)
    better = sum(gain.low > 0 for gain in result.gains.values())
    if not result.gains:
        return f"Re-evaluation: nothing can be compared with {defaults}"
    are = "are" if better > 1 else "is"
    return f"Re-evaluation: {better or 'none'} of {len(result.gains)} {are} clearly better than {defaults}"


def finalists(inputs: ReportInputs) -> str:
    metric = METRICS[inputs.space.train.metric]
    pairs = [
        (finalist.search, finalist.reevaluated)
        for finalist in inputs.result.finalists.values()
        if finalist.search is not None and finalist.reevaluated is not None
    ]
    worse = sum(metric.minimized(reevaluated - search) > 0 for search, reevaluated in pairs)
    return (
        f"Each configuration is compared with {trial_name(inputs.result.reference)} on the same rows of the "
        "re-evaluation. Square: expected gain, better to the right; line: its 90 % interval; circle: measured gain, on "
        f"average too large. {worse} of {len(pairs)} trials of the search scored worse on the new splits and seeds of "
        "the re-evaluation than in the search."
    )


def finalists_table(task: Task) -> str:
    """Say which scores the table of the finalists shows."""
    gains = " The gains are measured after calibration." if task == "classification" else ""
    return f"The scores in the search and in the re-evaluation are those of {SINGLE_NETWORKS}.{gains}"


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
    return ", ".join(f"{named(key)} {value}" for key, value in stack.shape.items()) or "all"


def params(config: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Return (name, value) of each hyperparameter of a configuration."""
    pairs = []
    for key, value in config.items():
        text = str(value) if isinstance(value, str | bool) else format_number(value)
        pairs.append((named(key), "off" if is_off(key, value) else text))
    return pairs


def title(inputs: ReportInputs) -> str:
    label = inputs.result.trial
    return f"{inputs.result.study}: {trial_name(label)} {'are' if label in DEFAULTS else 'is'} selected"
