"""The text that is printed at the end of a search, of an ensemble and of a comparison of two studies."""

from __future__ import annotations

import math
import shlex
from collections.abc import Sequence
from pathlib import Path

from hpo.core.metrics import display_metric
from hpo.core.samples import epoch_rows
from hpo.report.summary import (
    adaptation_lines,
    best_found_line,
    contribution_table,
    next_step_lines,
    regularization_line,
    validator_table,
    verdict_line,
)
from hpo.selection.result import SearchResult
from hpo.selection.result_parts import EnsembleResult
from hpo.selection.score_table import SINGLE_NETWORKS, selected_lines, table_lines
from hpo.space.formatting import (
    align_rows,
    config_lines,
    format_score,
    format_with_error,
    short_metric,
    stacked_head,
    trial_name,
)
from hpo.study.directory import StudyDirectory
from hpo.tracking.mlflow_server import HOST, PORT, link
from hpo.workflows.compare import Difference
from hpo.workflows.completed import CompletedStudy
from hpo.workflows.stages import reevaluation_method


def result_lines(result: SearchResult, store: str, *, new_splits: bool = True) -> list[str]:
    """Return the lines at the end of a search: the verdict, the configuration, the final table, the next commands.

    If `new_splits` is False, the re-evaluation used the splits of the search with new seeds.
    """
    verdict = verdict_line(result)
    return [
        *([*filter(None, (verdict, best_found_line(result))), *_next_steps(result, store), ""] if verdict else []),
        *selected_lines(result.trial, result.selected),
        *_rules(result),
        "",
        *table_lines(result),
        "",
        *_contributions(result),
        *_front(result),
        *_expected(result, reevaluation_method(new_splits)),
        *_validators(result),
        *_refit(result),
        *(ensemble_line(ensemble, result) for ensemble in result.ensembles.values()),
        *filter(None, (" ".join(adaptation_lines(result)), regularization_line(result))),
        _counts(result),
        "",
        *_next_commands(result, store),
    ]


def _next_steps(result: SearchResult, store: str) -> list[str]:
    return next_step_lines(result, f"--study {result.study}{store_option(store)}")


def _counts(result: SearchResult) -> str:
    """The numbers of trials and of trial-epochs, and the time."""
    counts = result.trials
    later = sum(epochs for role, epochs in result.fit_epochs.items() if role != "search")
    afterwards = f" · {later:,} more epochs for re-evaluation and final training" if later else ""
    return (
        f"{_count(sum(counts.values()), 'trial')}: {counts['complete']} complete, {counts['pruned']} pruned, "
        f"{counts['failed']} diverged · {result.epochs_trained:,} of {result.epochs_possible:,} possible epochs"
        f"{afterwards} · {result.seconds:.0f} s"
    )


def _next_commands(result: SearchResult, store: str) -> list[str]:
    options = f"--study {result.study}{store_option(store)}"
    uri = result.tracking_uri
    base = uri.rstrip("/") if uri.startswith("http") else f"http://{HOST}:{PORT}"
    lines = [f"Look:    hpo ui {options}", f"         {link(result.experiment_id, result.run_id, base)}"]
    if result.report_seconds is not None:
        report = StudyDirectory(Path(store), result.study).report
        lines.append(f"Read:    {report} ({result.report_seconds:.1f} s to write)")
    return [*lines, f"Keep:    hpo export {options} -o best.yaml"]


def store_option(store: str) -> str:
    """Return the option of a command that names the store, after a space; "" for the default store."""
    return "" if store == "mlruns" else f" --store {shlex.quote(store)}"


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def _rules(result: SearchResult) -> list[str]:
    """The configuration that each selection rule selects, the rule of the space first."""
    if not result.rules:
        text = "Selected by its score in the search alone (finalists: 0), which is partly luck."
        return [text] if result.baselines else []
    if len(set(result.rules.values())) == 1:
        return [f"All rules ({', '.join(result.rules)}) select it."]
    others = [
        f"{rule} would select {trial_name(label)}" for rule, label in result.rules.items() if label != result.trial
    ]
    return [f"Selected by the rule {result.rule}. Of the other rules, {', '.join(others)}."]


def _front(result: SearchResult) -> list[str]:
    """The Pareto front, if there are several objectives."""
    if not result.front:
        return []
    goals = list(result.front[0].values)
    head = ["Pareto front", *(goal.replace("_", " ") for goal in goals)]
    rows = [[trial_name(trial.trial), *(format_score(trial.values[goal]) for goal in goals)] for trial in result.front]
    return [*_indented([head, *rows]), ""]


def _expected(result: SearchResult, method: str) -> list[str]:
    """The displayed metric in the search, in the re-evaluation and on the test rows, with its prediction interval."""
    metric = display_metric(result.task, result.metric)
    path = result.score.get(metric)
    if path is None:
        return []
    low, high = path.interval
    interval = (
        f"90 % interval {format_score(low)} to {format_score(high)}"
        if low is not None
        else "no interval from a single validation part; set data.split.folds"
    )
    name, expected = metric.replace("_", " "), format_score(path.expected)
    scores = f"{format_score(path.search)} in the search → {format_score(path.reevaluated)} re-evaluated {method}"
    if result.test_domain_differs:
        return [
            f"On the source, {name} is {expected} ({interval}): {scores}. That says nothing about the target domain."
        ]
    test = "" if path.test is None else f" → {format_score(path.test)} on the test rows"
    return [f"Expect {name} {expected} ({interval}): {scores}{test}."]


def _contributions(result: SearchResult) -> list[str]:
    caption, rows = contribution_table(result)
    return [caption, *_indented(rows), ""] if rows else []


def _validators(result: SearchResult) -> list[str]:
    caption, rows = validator_table(result)
    return [caption, *_indented(rows), ""] if rows else []


def _refit(result: SearchResult) -> list[str]:
    """How the final networks were trained, and a warning about repeated tests."""
    refit = result.refit
    if refit.kind == "none":
        untouched = "the test rows were scored before" if result.test_evaluations else "the test rows are untouched"
        return [f"No final network was trained (refit: none): {untouched}."]
    if refit.weights is None:
        return [
            "The final network diverged, so there is none: the learning rate is too high for all rows. "
            "Lower search.learning_rate."
        ]
    rows = refit.rows or 0
    part = f" of {epoch_rows(rows):,} rows" if epoch_rows(rows) < rows else ""
    scaled = f"trained on all {rows:,} train + validation rows for {_count(refit.epochs or 0, 'epoch')}{part}"
    average = f"the average of {_count(refit.networks, 'network')}"
    trained = {
        "scaled": scaled if refit.networks == 1 else f"{average}, {scaled}",
        "keep": "the network of the search",
        "average": f"{average}, one per fold",
    }[refit.kind]
    temperature = _calibration(refit.temperature)
    return [f"Final network: {trained}.{temperature}", *_test_warning(result)]


def _calibration(temperature: float | None) -> str:
    """Return a sentence about the temperature, "" if it changes nothing that is shown."""
    shown = "1.00" if temperature is None else f"{temperature:.2f}"
    return "" if shown == "1.00" else f" Its logits are divided by {shown}, which calibrates its probabilities."


def _test_warning(result: SearchResult) -> list[str]:
    """A warning if the test rows have been scored more than once."""
    if result.test_evaluations <= 1:
        return []
    return [
        f"The test rows have now been scored {result.test_evaluations} times: "
        f"choose by the re-evaluated scores, not by the test scores."
    ]


def ensemble_line(ensemble: EnsembleResult, result: SearchResult) -> str:
    """The test scores of an ensemble and of the single network, its out-of-fold score, and its diversity."""
    metric = display_metric(result.task, result.metric)
    expected = ensemble.expected.get(metric)
    rows = "out-of-fold rows of the source" if result.test_domain_differs else "out-of-fold rows"
    single = "single network" if result.refit.networks == 1 else f"average of {result.refit.networks} networks"
    parts = [
        f"test {metric.replace('_', ' ')} {format_score(ensemble.test.get(metric))}, "
        f"the {single} {format_score(ensemble.single.get(metric))}",
        *([] if expected is None else [f"expected {format_score(expected)} from {rows}"]),
        *([text] if (text := _diversity(ensemble, result)) else []),
    ]
    return f"{ensemble.kind.capitalize()} ensemble of {_members(ensemble)}: {'; '.join(parts)}."


def _members(ensemble: EnsembleResult) -> str:
    size = ensemble.networks // ensemble.networks_per_member
    if ensemble.networks_per_member > 1:
        each = f"{ensemble.networks_per_member} networks{' each' if size > 1 else ''} (one per fold)"
        return f"{_count(size, 'configuration')} with {each}"
    return _count(size, "network")


def _diversity(ensemble: EnsembleResult, result: SearchResult) -> str:
    disagreement, correlation = (ensemble.diversity.get(key) for key in ("disagreement", "error_correlation"))
    parts = []
    if disagreement is not None:
        share = f"{100 * disagreement:.1f} %" if result.task == "classification" else format_score(disagreement)
        parts.append(f"disagreement {share}")
    if correlation is not None:
        parts.append(f"error correlation {correlation:.2f}")
    return ", ".join(parts)


def ensemble_lines(ensemble: EnsembleResult, result: SearchResult, store: str) -> list[str]:
    """The end of `hpo ensemble`: the line of the ensemble, the shares of its members, and the next command."""
    shares = sorted(((member.share, member.trial) for member in ensemble.members), reverse=True)
    distinct = len({trial for _, trial in shares}) > 1
    members = ", ".join(f"{trial_name(trial)} ({100 * share:.0f} %)" for share, trial in shares)
    options = f"--study {result.study}{store_option(store)}"
    return [
        ensemble_line(ensemble, result),
        *([f"Members: {members}"] if distinct else []),
        *_test_warning(result),
        f"Keep:    hpo export {options} --weights best --ensemble {ensemble.kind}",
    ]


def comparison_lines(first: CompletedStudy, second: CompletedStudy, differences: Sequence[Difference]) -> list[str]:
    """The scores and the selected configurations of two studies, and whether the scores differ significantly."""
    names = [short_metric(difference.metric) for difference in differences]
    rows = stacked_head(["", *(f"re-eval. {name}" for name in names), *(f"test {name}" for name in names)])
    kinds = f"Re-evaluated scores are those of {SINGLE_NETWORKS}; test scores are those of the final predictors."
    lines = ["", kinds, ""]
    for i, study in enumerate((first, second)):
        test = study.result.test
        scores = [*(d.scores[i] for d in differences), *(test.get(d.metric) for d in differences)]
        rows.append([study.directory.name, *map(format_score, scores)])
        line, *more = config_lines(study.result.selected)
        lines.append(f"{study.directory.name} selected {trial_name(study.result.trial)}:  {line}")
        lines += [f"  {text}" for text in more]
    verdicts = [_difference_line(difference, first.directory.name, second.directory.name) for difference in differences]
    return [*_indented(rows), *lines, "", *verdicts]


def _difference_line(difference: Difference, first: str, second: str) -> str:
    kind = "paired " if difference.paired else ""
    fits = _count(difference.fits, f"{kind}fit") + ("" if difference.paired else " on different splits")
    finite = math.isfinite(difference.standard_error)
    reference = f"(± one standard error, {fits})" if finite else f"over {fits}"
    verdict = "the difference is significant" if difference.significant else "the difference is not significant"
    return (
        f"By {difference.metric.replace('_', ' ')}, {second} is "
        f"{format_with_error(abs(difference.gain), difference.standard_error)} "
        f"{'better' if difference.gain >= 0 else 'worse'} than {first} {reference}: {verdict}."
    )


def _indented(rows: list[list[str]]) -> list[str]:
    return ["  " + line for line in align_rows(rows)]
