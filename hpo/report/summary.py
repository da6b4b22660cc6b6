"""One sentence for each finding of a search, as the terminal and the report show them."""

from __future__ import annotations

from hpo.core.metrics import METRICS, display_metric, labelled_metric
from hpo.core.statistics import MIN_PAIRS
from hpo.regularizers.active import is_regularized
from hpo.selection.result import PairedGain, SearchResult
from hpo.space.formatting import format_score, format_with_error, trial_name

_ALPHA = 0.05  # level of the test on the test rows of the target domain


def verdict_line(result: SearchResult) -> str:
    """Say whether a configuration is significantly better than the defaults; "" without a re-evaluation."""
    verdict = result.verdict
    if verdict is None:
        return ""
    if verdict.gain is None and result.trial != "defaults":
        return (
            f"The usual defaults diverged in the re-evaluation, so {trial_name(result.trial)} is selected "
            f"without a comparison."
        )
    if verdict.rival == "defaults" or verdict.gain is None:
        return "The usual defaults are selected: every other configuration diverged in the re-evaluation."
    rival, metric = trial_name(verdict.rival), result.metric.replace("_", " ")
    size = format_with_error(abs(verdict.gain), verdict.standard_error)
    gain = f"{metric} {size} {'better' if verdict.gain >= 0 else 'worse'}"
    unit = "" if verdict.standard_error is None else ", ± one standard error"
    fits = f"{verdict.fits} re-evaluation fit{'' if verdict.fits == 1 else 's'}"
    if verdict.significant:
        return (
            f"{rival[0].upper()}{rival[1:]} is significantly better than the usual defaults ({gain} over {fits}{unit})."
        )
    if verdict.fits < MIN_PAIRS and verdict.gain > 0:
        return (
            f"{fits} {'is' if verdict.fits == 1 else 'are'} too few for a significance test, "
            f"so the usual defaults are selected (best of the others: {rival}, {gain}{unit})."
        )
    return (
        f"No trial is significantly better than the usual defaults "
        f"(best: {rival}, {gain} over {fits}{unit}), so they are selected."
    )


def adaptation_lines(result: SearchResult) -> list[str]:
    """Compare the final network with its reference, which does not adapt, on the test rows of the target domain and,
    in the re-evaluation, on the source."""
    metric, effect = display_metric(result.task, result.metric), result.adaptation
    after = result.test.get(metric)
    if effect is None:
        if not result.test_domain_differs or after is None:
            return []
        return [f"On the target's test rows {metric.replace('_', ' ')} is {format_score(after)}."]
    reference = result.baselines[effect.reference]
    before, better = reference.test.get(metric), effect.better > effect.worse
    improved = before is not None and after is not None and METRICS[metric].minimized(after - before) < 0
    # If the counts of rows and the metric disagree about the direction, no difference is claimed.
    significant = effect.p_value < _ALPHA and better == improved
    test = "McNemar's test" if result.task == "classification" else "sign test"
    p_value = format_score(effect.p_value)
    counts = f"It is better on {effect.better:,} of them and worse on {effect.worse:,} ({test}, p = {p_value})"
    means = reference.reevaluated.get(metric), result.reevaluated.get(metric)
    on_source = result.test_domain_differs and None not in means
    source = f"; in the re-evaluation on the source it {_change(metric, *means)}" if on_source else ""
    verdict = "a significant difference" if significant else "not a significant difference"
    return [f"Adaptation {_change(metric, before, after)} on the target's test rows, {verdict}.", f"{counts}{source}."]


def _change(metric: str, before: float | None, after: float | None) -> str:
    """Describe a change of a metric: `gained 3.1 points of accuracy (0.81 → 0.841)`."""
    name = metric.replace("_", " ")
    if before is None or after is None:
        return f"has {name} {format_score(before)} → {format_score(after)}"
    if before == after:
        return f"left {name} at {format_score(after)}"
    verb, difference = "gained" if METRICS[metric].minimized(after - before) < 0 else "lost", abs(after - before)
    amount = f"{100 * difference:.1f} points" if name.endswith("accuracy") else format_score(difference)
    return f"{verb} {amount} of {name} ({format_score(before)} → {format_score(after)})"


def validator_table(result: SearchResult) -> tuple[str, list[list[str]]]:
    """Return a caption and the table of the validators, its head first; "" and no rows if they were not rated."""
    if not result.validators:
        return "", []
    metric = labelled_metric(result.metric).replace("_", " ")
    rows = [["validator", "rank correlation", f"{metric} lost", "would choose"]]
    for rating in result.validators:
        spearman = "–" if rating.spearman is None else f"{rating.spearman:.2f}".replace("-", "−")
        name = rating.validator.replace("_", " ")
        rows.append([name, spearman, format_score(rating.regret), trial_name(rating.chosen)])
    return (
        f"Validators, which need no target labels, compared with valid {metric} on the labelled rows of the target: "
        f"how they rank {result.validators[0].trials} finished trials, and how much {metric} selection by each would "
        f"have lost against the best of these trials."
    ), rows


def regularization_line(result: SearchResult) -> str:
    """Compare the selected configuration with its ablation; "" if one of the two diverged or there is none."""
    ablation, gap = result.baselines.get("ablation"), result.configurations["selected"].gap
    if ablation is None or ablation.gap is None or gap is None:
        return ""
    if not is_regularized(result.selected):
        return "The selected configuration has no regularization."
    gap_line, effect = _gap_line(gap, ablation.gap), result.regularization
    if effect is None or effect.gain is None:
        return gap_line
    effects: list[PairedGain] = [effect, *([effect.followed] if effect.followed else [])]
    changes = ", ".join(_signed_change(gain) for gain in effects if gain.gain is not None)
    where = " on the source" if result.test_domain_differs else ""
    return (
        f"Regularization {_claim(effects)}: {changes} in the re-evaluation{where}, compared with the same "
        f"configuration without it. {gap_line}"
    )


def _gap_line(gap: float, gap_without: float) -> str:
    if gap_without <= 0:
        return "There is no train–valid gap without regularization either."
    if gap >= gap_without:
        return "Regularization did not reduce the train–valid gap."
    if gap <= 0:
        return "Regularization closed the train–valid gap."
    return f"Regularization reduced the train–valid gap by {100 * (1 - gap / gap_without):.0f} %."


def _claim(effects: list[PairedGain]) -> str:
    """Name the metrics that changed significantly: `significantly improved accuracy and loss`."""
    verbs: dict[str, list[str]] = {}
    for effect in effects:
        if effect.significant and effect.gain is not None:
            verbs.setdefault("improved" if effect.gain >= 0 else "worsened", []).append(effect.metric.replace("_", " "))
    if not verbs:
        return "made no measurable difference"
    return "significantly " + " and ".join(f"{verb} {' and '.join(names)}" for verb, names in verbs.items())


def _signed_change(effect: PairedGain) -> str:
    """Describe the change of one metric: `accuracy +0.6 ± 0.4 points`, `loss −0.0220 ± 0.0083`."""
    assert effect.gain is not None
    name = effect.metric.replace("_", " ")
    points = name.endswith("accuracy")
    change = -METRICS[effect.metric].minimized(effect.gain)  # the gain is positive if the metric is better
    sign = "+" if change >= 0 else "−"
    if not points:
        return f"{name} {sign}{format_with_error(abs(change), effect.standard_error)}"
    size = f"{100 * abs(change):.1f}"
    error = "" if effect.standard_error is None else f" ± {100 * effect.standard_error:.1f}"
    return f"{name} {'' if size == '0.0' else sign}{size}{error} points"
