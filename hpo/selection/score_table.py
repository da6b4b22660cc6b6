"""The final table of a search: the selected configuration and its references, one per line."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from hpo.core.metrics import Task, display_metric, labelled_metric
from hpo.space.formatting import align_rows, config_lines, format_score, short_metric, stacked_head, trial_name

SINGLE_NETWORKS = "single networks, not calibrated"  # whose scores the re-evaluation measures
_NAME_WIDTH = 24  # characters; a longer name continues in the next line, so that the table fits 80 columns
_VARIANT_NAMES = {"selected": "selected", "unadapted": "…without adaptation", "ablation": "…without regularization"}
_BASELINES = ("defaults", "none")


class ScoredConfig(Protocol):
    """The scores of one configuration; see `hpo.selection.result_parts.ConfigScores`."""

    @property
    def trial(self) -> str: ...
    @property
    def search_score(self) -> float | None: ...
    @property
    def valid(self) -> Mapping[str, float | None]: ...
    @property
    def gap(self) -> float | None: ...
    @property
    def reevaluated(self) -> Mapping[str, float | None]: ...
    @property
    def expected(self) -> Mapping[str, float | None]: ...
    @property
    def test(self) -> Mapping[str, float | None]: ...
    @property
    def test_single(self) -> Mapping[str, float | None]: ...


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
    """Return the table as aligned, indented lines of text, which fit a terminal of 80 columns."""
    return ["  " + line for line in align_rows(score_table(result), gap=2)]


def score_table(result: ScoredSearch) -> list[list[str]]:
    """Return the table as rows of cells, below a head of several rows with one word per cell.

    A configuration that occurs twice is listed once: "selected: usual defaults".
    """
    configs = result.configurations
    head, rows = score_columns(result, {configs[key].trial: name for key, name in _row_names(configs).items()})
    return [*stacked_head(["", *head]), *(line for row in rows for line in _in_lines(row))]


def _in_lines(row: Sequence[str]) -> list[list[str]]:
    """Return a row as several ones if its name is long; the first one has the scores."""
    name, *scores = row
    first, *more = textwrap.wrap(name, _NAME_WIDTH, subsequent_indent="  ")
    return [[first, *scores], *([line, *[""] * len(scores)] for line in more)]


def score_columns(result: ScoredSearch, names: Mapping[str, str]) -> tuple[list[str], list[list[str]]]:
    """Return the titles of the columns of scores, and a row for each configuration in `names`, which begins with its
    name; `names` maps labels of trials to names.

    The columns are the search score, the expected scores of the final predictor (without a re-evaluation: the scores of
    the search at the best epoch), the train–valid gap, and the test scores. If the final predictor averages several
    networks, another row has the scores of a single network.
    """
    selected = result.configurations["selected"]
    configs = {config.trial: config for config in (*result.configurations.values(), selected)}
    reevaluated, followed = bool(selected.expected), labelled_metric(result.metric)
    shown = list(dict.fromkeys((followed, display_metric(result.task, result.metric))))
    scored = [*shown, *([result.metric] if result.metric != followed else [])]
    rows = []
    for label, name in names.items():
        config = configs[label]
        means = config.expected if reevaluated else config.valid
        cells = [config.search_score, *map(means.get, scored), config.gap, *map(config.test.get, shown)]
        rows.append([name, *map(format_score, cells)])
        if label == selected.trial and selected.test_single != selected.test:
            cells = [None, *map(selected.reevaluated.get, scored), None, *map(selected.test_single.get, shown)]
            rows.append(["…a single network", *map(format_score, cells)])
    return _titles(result, "expected" if reevaluated else "valid", scored, shown), rows


def _titles(result: ScoredSearch, scored_name: str, scored: Sequence[str], shown: Sequence[str]) -> list[str]:
    source, target = (" (source)", " (target)") if result.test_domain_differs else ("", "")
    scores = [f"{scored_name} {short_metric(name)}{source if name == shown[-1] else ''}" for name in scored]
    tests = [f"test {short_metric(name)}{target}" for name in shown]
    return [f"search {short_metric(result.metric)}", *scores, "gap", *tests]


def _row_names(configs: Mapping[str, ScoredConfig]) -> dict[str, str]:
    """Return the names of the configurations to list, without those that equal the selected configuration or a
    baseline."""
    selected = configs["selected"].trial
    baselines = {key: trial_name(configs[key].trial).removeprefix("the ") for key in _BASELINES if key in configs}
    all_names = _VARIANT_NAMES | baselines
    same = [key for key in configs if key != "selected" and configs[key].trial == selected]
    trials = [configs[key].trial for key in ("none", "defaults", "ablation") if key in configs]
    if "ablation" in configs and trials.count(configs["ablation"].trial) > 1:
        same = ["ablation", *same]
    names = {key: name for key, name in all_names.items() if key in configs and key not in same}
    if same and same[-1] != "ablation":
        names["selected"] = f"selected: {all_names[same[-1]]}"
    return names
