"""Whether the selected configuration is over- or under-regularized, in words."""

from __future__ import annotations

from hpo.core.selection_rules import PRACTICALLY_EQUAL
from hpo.regularizers.active import is_regularized
from hpo.report.balance import Balance, Standing
from hpo.report.inputs import ReportInputs
from hpo.report.words import capitalized, listed, rho
from hpo.space.formatting import format_score

_STANDINGS: dict[Standing, str] = {
    "more": "Under-regularized, as far as measured: regularization helps, and more of it goes with better scores.",
    "less": "Regularization helps, but less of it goes with better scores.",
    "well": "Well regularized: regularization helps, and neither more nor less of it goes with better scores.",
    "helps": "Regularization helps. Too few trials to tell whether more or less of it would be better.",
    "little": "There is little overfitting to reduce, and regularization makes no measurable difference.",
    "unclear": (
        "Cannot tell whether more or less regularization would be better: the effect of all of it is within its "
        "uncertainty. More rows, folds or repeats would narrow that."
    ),
    "none": "No regularization is selected: the re-evaluated configurations with some are clearly not better.",
    "none_unclear": (
        "Cannot tell whether some regularization would be better than none: the gains of the re-evaluated "
        "configurations are within their uncertainty. No regularization is selected."
    ),
}


def standing(inputs: ReportInputs, balance: Balance) -> str:
    """State the conclusion or, without evidence, that there is none and what is missing."""
    if balance.standing == "over":
        return _over(balance)
    if balance.standing == "unmeasured":
        return f"Cannot tell whether more or less regularization would be better: {_missing(inputs)}."
    return _STANDINGS[balance.standing]


def _over(balance: Balance) -> str:
    if balance.effect and balance.effect.high < 0:
        return "Over-regularized: the same configuration without regularization is measurably better."
    return f"Over-regularized: it is measurably better without {listed(balance.harmful)}."


def _missing(inputs: ReportInputs) -> str:
    """Name the evidence that is missing."""
    if not inputs.result.finalists:
        return "nothing was re-evaluated on new splits and seeds (finalists: 0, or a single configuration)"
    if not is_regularized(inputs.result.selected):
        return "the selected configuration has none, and was not compared with itself with some"
    return "it was not compared with the same configuration without regularization, or one of the two diverged"


def reasons(inputs: ReportInputs, balance: Balance) -> str:
    """Give the numbers behind the standing: the gap, the trend, and strengths at the end of their ranges."""
    sentences = []
    if balance.gap is not None:
        direction = "above" if balance.gap >= 0 else "below"
        gap = f"The validation loss of the selected configuration is {format_score(abs(balance.gap))} {direction} its "
        gap += "training loss"
        if balance.gap_without is not None and is_regularized(inputs.result.selected):
            gap += f"; without regularization the gap is {format_score(balance.gap_without)}"
        sentences.append(f"{gap}.")
    if balance.trend:
        if balance.trend.is_clear:
            trend = f"{'more' if balance.trend.rho < 0 else 'less'} regularization goes with better scores"
        else:
            trend = "the amount of regularization has no clear relation to the score"
        sentences.append(f"Among the better half of the complete trials, {trend} ({rho(balance.trend)}).")
    if balance.at_bounds:
        sentences.append(_at_bounds(balance))
    return " ".join(sentences)


def _at_bounds(balance: Balance) -> str:
    """Name the strengths at the end of their ranges. Only if regularization helps is a longer range worth a search."""
    are, their = ("is", "its range") if len(balance.at_bounds) == 1 else ("are", "their ranges")
    sentence = f"{capitalized(listed(balance.at_bounds))} {are} at the most regularized end of {their}"
    return f"{sentence}: extend {their}." if balance.standing == "more" else f"{sentence}."


def droppable(inputs: ReportInputs) -> str:
    """Name the strengths that could be left out, each measured by leaving it out; "" if there are none."""
    gains = inputs.result.contributions
    keys = [key for key, gain in gains.items() if gain.low <= 0 and gain.relative < PRACTICALLY_EQUAL]
    if not keys:
        return ""
    error = f"{100 * PRACTICALLY_EQUAL:.2g} %"
    one, it = (", one at a time", "one of them") if len(keys) > 1 else ("", "it")
    return f"Could be left out{one}: {listed(keys)}. Without {it}, the expected error is not more than {error} higher."
