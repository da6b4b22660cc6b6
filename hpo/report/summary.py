"""One sentence for each finding of a search, as the terminal and the report show them."""

from __future__ import annotations

from hpo.core.metrics import METRICS, display_metric, labelled_metric
from hpo.core.selection_rules import PRACTICALLY_EQUAL
from hpo.regularizers.active import is_regularized
from hpo.report.gains import certainty_text, change_text, gain_text, is_clear
from hpo.selection.finalist import Finalist
from hpo.selection.result import SearchResult
from hpo.selection.result_parts import ExpectedGain
from hpo.space.formatting import format_param, format_score, trial_name

_ALPHA = 0.05  # level of the test on the test rows of the target domain


def verdict_line(result: SearchResult) -> str:
    """Say what was selected, and how much better than the usual defaults it is expected to be; if these are selected,
    say why. Return "" without finals."""
    verdict = result.verdict
    if verdict is None:
        return ""
    rival, defaults, gain = _as_subject(verdict.rival), trial_name(verdict.reference), verdict.gain
    keeps_defaults = result.trial == verdict.reference
    if gain is None and not keeps_defaults:
        return f"{_capitalized(defaults)} diverged in the re-evaluation, so {rival} is selected without a comparison."
    if verdict.rival == verdict.reference or gain is None:
        return f"{_capitalized(defaults)} are selected: every other configuration diverged in the re-evaluation."
    size, certainty = gain_text(result.metric, gain), certainty_text(result.metric, gain)
    if not keeps_defaults:
        return f"{_capitalized(rival)} is expected to have {size} than {defaults} ({certainty})."
    reason = _why_defaults(result.rule).format(defaults)
    return f"{reason}, so they are selected. The closest is {rival} with {size} ({certainty})."


def _why_defaults(rule: str) -> str:
    """Return why a rule keeps the defaults, as the beginning of a sentence with a gap for their name."""
    if rule == "safe":
        return "No configuration is significantly better than {} (select: safe)"
    if rule == "best":
        return "Nothing is expected to be better than {}"
    return f"Nothing is expected to be more than {100 * PRACTICALLY_EQUAL:.0f} % better than {{}}"


def best_found_line(result: SearchResult) -> str:
    """Name the best configuration that was found and say why another one was selected; "" if it was selected, or if
    `verdict_line` says so already."""
    best, verdict = result.best_found, result.verdict
    if best is None or verdict is None or not best.reason:
        return ""
    if best.trial == verdict.rival and result.trial == verdict.reference:
        return ""
    defaults = trial_name(verdict.reference)
    size = "" if best.gain is None else f", with {gain_text(result.metric, best.gain)} than {defaults}"
    certainty = "" if best.gain is None else f" ({certainty_text(result.metric, best.gain)})"
    return f"Best found: {trial_name(best.trial)}{size}{certainty}. It is not selected because {best.reason}."


def evidence_line(result: SearchResult, finalist: Finalist) -> str:
    """Say how the scores of a trial that was not selected are known."""
    searched, parts = finalist.searched, []
    if searched is not None and searched.state == "pruned":
        parts.append(f"It was pruned after {searched.epochs} epoch{'' if searched.epochs == 1 else 's'}.")
    if not finalist.reevaluations:
        return " ".join([*parts, "Search score only, which is partly luck: it was not re-evaluated."])
    fits = len(finalist.scores(result.metric))
    if not finalist.complete:
        return " ".join([*parts, f"A network diverged in its re-evaluation ({fits} fits)."])
    parts.append(f"Re-evaluated on new splits and seeds ({fits} fit{'' if fits == 1 else 's'}).")
    if gain := result.gains.get(finalist.label):
        size, certainty = gain_text(result.metric, gain), certainty_text(result.metric, gain)
        parts.append(f"Expected to have {size} than {trial_name(result.reference)} ({certainty}).")
    return " ".join(parts)


def next_step_lines(result: SearchResult, options: str) -> list[str]:
    """Say how to take the best configuration that was found, if another one was selected, and which gain would have
    been enough, if that is the usual defaults and the rule requires a certain expected gain.

    `options` are the options of `hpo export` that name the study.
    """
    verdict = result.verdict
    best = result.best_found
    if verdict is None or best is None or not best.reason:
        return []
    lines = []
    if result.trial == verdict.reference and verdict.gain is not None and verdict.detectable is not None:
        metric = result.metric.replace("_", " ")
        lines.append(
            f"With these {verdict.fits} re-evaluation fits, a measured gain in {metric} below about "
            f"{format_score(verdict.detectable)} is not enough; that of {_as_subject(verdict.rival)} is "
            f"{format_score(verdict.gain.measured)}. Smaller gains need more rows."
        )
    name = f"trial-{best.trial}" if best.trial.isdecimal() else best.trial
    again = "; or search again with --select best" if result.rules.get("best") == best.trial else ""
    lines.append(
        f"To use {trial_name(best.trial)} all the same: hpo export {options} --trial {best.trial} -o {name}.yaml{again}"
    )
    return lines


def contribution_table(result: SearchResult) -> tuple[str, list[list[str]]]:
    """Return a caption and a table of what each strength contributes; "" and no rows if that was not measured."""
    gains = result.contributions
    rows = [[format_param(name, result.selected[name]), *_contribution(result.metric, g)] for name, g in gains.items()]
    if result.regularization and len(gains) > 1:
        rows.append(["all of them", *_contribution(result.metric, result.regularization)])
    if not rows:
        return "", []
    return "What each regularizer contributes, compared with the same configuration without it:", rows


def _contribution(metric: str, gain: ExpectedGain) -> list[str]:
    return [change_text(metric, gain), certainty_text(metric, gain) + ("" if is_clear(gain) else ": cannot tell")]


def _as_subject(label: str) -> str:
    """Return the name of a trial as the subject of a sentence, where "no regularization is …" would be misread."""
    return trial_name(label).replace("no regularization", "the baseline without regularization")


def _capitalized(text: str) -> str:
    return text[0].upper() + text[1:]


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
    """Compare the selected configuration with the same without regularization; "" if there is no comparison."""
    ablation, gap = result.baselines.get("ablation"), result.gap
    if ablation is None or ablation.gap is None or gap is None:
        return ""
    if not is_regularized(result.selected):
        return "The selected configuration has no regularization."
    gap_line, gain = _gap_line(gap, ablation.gap), result.regularization
    if gain is None:
        return gap_line
    where = " on the source" if result.test_domain_differs else ""
    size, certainty = gain_text(result.metric, gain), certainty_text(result.metric, gain)
    claim = f"With its regularization, the selected configuration is expected to have {size} than without{where}"
    doubt = "" if is_clear(gain) else "; this evidence cannot tell whether regularization helps"
    return f"{claim} ({certainty}){doubt}. {gap_line}"


def _gap_line(gap: float, gap_without: float) -> str:
    if gap_without <= 0:
        return "There is no train–valid gap without regularization either."
    if gap >= gap_without:
        return "Regularization did not reduce the train–valid gap."
    if gap <= 0:
        return "Regularization closed the train–valid gap."
    return f"Regularization reduced the train–valid gap by {100 * (1 - gap / gap_without):.0f} %."
