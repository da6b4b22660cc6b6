"""The final table of a search: the selected configuration and its references, one per line."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

from hpo.core.metrics import Task, display_metric, labelled_metric
from hpo.space.formatting import align_rows, config_lines, format_score, short_metric, stacked_head, trial_name

ROW_NAMES = {
    "selected": "selected",
    "unadapted": "…without adaptation",
    "ablation": "…without regularization",
    "defaults": "usual defaults",
    "none": "no regularization",
}


class ScoredConfig(Protocol):
    """The scores of one configuration; see `hpo.selection.result.ConfigScores`."""

    @property
    def trial(self) -> str: ...
    @property
    def valid(self) -> Mapping[str, float | None]: ...
    @property
    def reevaluated(self) -> Mapping[str, float | None]: ...
    @property
    def test(self) -> Mapping[str, float | None]: ...
    @property
    def gap(self) -> float | None: ...


class ScoredSearch(Protocol):
    """The part of a search result that the table shows; see `hpo.selection.result.SearchResult`."""

    @property
    def task(self) -> Task: ...
    @property
    def metric(self) -> str: ...
    @property
    def test_domain_differs(self) -> bool: ...
    @property
    def configurations(self) -> Mapping[str, ScoredConfig]: ...


def selected_lines(trial: str, params: Mapping[str, Any]) -> list[str]:
    """Return the lines that name the selected trial and its parameters."""
    return [f"Selected: {trial_name(trial)}", *(f"  {line}" for line in config_lines(params))]


def table_lines(result: ScoredSearch) -> list[str]:
    """Return the table as aligned, indented lines of text."""
    return ["  " + line for line in align_rows(score_table(result))]


def score_table(result: ScoredSearch) -> list[list[str]]:
    """Return the table as rows of cells, below a head of several rows with one word per cell.

    A configuration that occurs twice is listed once: "selected: usual defaults".
    """
    configs = result.configurations
    displayed = display_metric(result.task, result.metric)
    validators = [result.metric] if labelled_metric(result.metric) != result.metric else []
    reevaluated = bool(configs["selected"].reevaluated)
    rows = []
    for key, name in _row_names(configs).items():
        config = configs[key]
        scores = config.reevaluated if reevaluated else config.valid
        losses = [config.valid.get("loss"), *([scores.get("loss")] if reevaluated else [])]
        metrics = [scores.get(metric) for metric in (displayed, *validators)]
        rows.append([name, *map(format_score, (*losses, *metrics, config.gap, config.test.get(displayed)))])
    return [*_head(displayed, validators, reevaluated, result.test_domain_differs), *rows]


def _row_names(configs: Mapping[str, ScoredConfig]) -> dict[str, str]:
    """Return the names of the configurations to list, without those that equal the selected configuration or a
    baseline."""
    selected = configs["selected"].trial
    same = [key for key in configs if key != "selected" and configs[key].trial == selected]
    trials = [configs[key].trial for key in ("none", "defaults", "ablation") if key in configs]
    if "ablation" in configs and trials.count(configs["ablation"].trial) > 1:
        same = ["ablation", *same]
    names = {key: name for key, name in ROW_NAMES.items() if key in configs and key not in same}
    if same and same[-1] != "ablation":
        names["selected"] = f"selected: {ROW_NAMES[same[-1]]}"
    return names


def _head(displayed: str, validators: list[str], reevaluated: bool, test_domain_differs: bool) -> list[list[str]]:
    short = short_metric(displayed)
    source, target = (" (source)", " (target)") if test_domain_differs else ("", "")
    scored = "re-eval." if reevaluated else "valid"
    cells = ["search loss", "re-eval. loss"] if reevaluated else ["valid loss"]
    cells += [f"{scored} {short}{source}", *(f"{scored} {name.replace('_', ' ')}" for name in validators)]
    return stacked_head(["", *cells, "gap", f"test {short}{target}"])
