"""The lines that describe a search before it starts, and a study in `hpo studies`."""

from __future__ import annotations

from collections.abc import Mapping

from hpo.core.metrics import METRICS, Task, display_metric
from hpo.core.trial import Outcome
from hpo.data.dataset import Dataset
from hpo.nn import device as devices
from hpo.selection.result import SearchResult
from hpo.selection.result_parts import EnsembleResult
from hpo.space.formatting import format_param, format_score, short_metric
from hpo.space.space import Space
from hpo.study import ranking
from hpo.study.directory import StudyDirectory
from hpo.study.samplers import FIRST_DECISION
from hpo.study.storage import SCHEMA, read_attrs
from hpo.training.experiment import Experiment
from hpo.training.worker import cores

_SAMPLER_NAMES = {"tpe": "TPE", "gp": "GP", "qmc": "QMC", "cmaes": "CMA-ES"}


def headline(experiment: Experiment, rows: int, workers: int = 1) -> list[str]:
    """Describe the data, the notes for the user and the search, which trains `rows` networks at once."""
    data, space = experiment.data, experiment.space
    lines = [
        _data_line(data, space),
        *([f"network {space.network.factory}"] if space.network.factory else []),
        *([f"back translation {space.data.text.back_translation}"] if "back_translation" in space.search else []),
        *(f"note: {note}" for note in data.notes),
    ]
    if workers > cores():
        lines.append(
            f"note: {workers} workers share {cores()} core{'' if cores() == 1 else 's'}; "
            f"more workers than cores bring no speed-up."
        )
    if space.is_point:
        params = " · ".join(format_param(key, value) for key, value in space.params({}).items())
        return [*lines, f"training one configuration: {params}"]
    return [*lines, _search_line(experiment, max(1, rows // len(data.folds)), workers)]


def _data_line(data: Dataset, space: Space) -> str:
    columns = "1 column" if data.n_columns == 1 else f"{data.n_columns} columns"
    inputs = f" ({data.n_inputs} inputs)" if data.n_inputs != data.n_columns else ""
    target = f"{len(data.classes)} classes" if data.classes else f"predicting {data.target_name}"
    total = data.n_development + len(data.test)
    return (
        f"{data.name} · {total:,} rows, {columns}{inputs}, {target} · {_split(data, space)} · "
        f"test {len(data.test):,} (untouched)"
    )


def _split(data: Dataset, space: Space) -> str:
    fold, split = data.folds[0], space.data.split
    unlabelled = len(fold.target) + len(fold.target_valid)
    if split.folds:
        times = f", {split.repeats} times" if split.repeats > 1 else ""
        parts = f"{split.folds} folds of {data.n_development - unlabelled:,} rows{times}"
    else:
        parts = f"train {len(fold.train):,} · valid {len(fold.valid):,}"
    return parts + (f" · {unlabelled:,} unlabelled rows of the target" if unlabelled else "")


def _search_line(experiment: Experiment, trials: int, workers: int) -> str:
    space, device = experiment.space, experiment.device
    if space.sampler.kind == "grid":
        sampler = f"grid of {int(space.points):,} points"
    else:
        sampler = _SAMPLER_NAMES.get(space.sampler.kind, space.sampler.kind)
    options = space.pruner.options
    first = options.get("n_warmup_steps", options.get("min_resource", FIRST_DECISION))
    pruner = f"{space.pruner.kind.replace('_', ' ')} pruner from epoch {first}"
    pruning = "no pruning" if space.pruner.kind == "none" else pruner
    one_process = "on one core" if device.type == "cpu" else f"on {devices.device_name(device)}"
    where = one_process if workers == 1 else f"in {workers} workers"
    at_once = "one trial at a time" if trials == 1 else f"{trials} trials at once {where}"
    sampled = ", ".join(key for key, parameter in space.hyperparameters.items() if parameter.sampled)
    return f"searching {sampled} · {sampler}, {pruning} · {at_once}"


def displayed_score(valid: Mapping[str, float], task: Task, metric: str) -> str:
    """Return the displayed metric in parentheses; "" if it is `metric` itself."""
    displayed = display_metric(task, "loss")
    return f" ({displayed} {format_score(valid[displayed])})" if displayed != metric else ""


def study_rows(directory: StudyDirectory) -> list[list[str]]:
    """Return the rows of a study in `hpo studies`: name, state, trials, selected trial, its expected score and its test
    score in the same metric, date; and a row with both scores of each ensemble.

    Before the first result, the best score of the search stands in parentheses in place of the expected score.
    """
    attrs = read_attrs(directory.journal)
    if not attrs:
        return [[directory.name, "empty", "0", "–", "–", "–", "–"]]
    if attrs.get("schema") != SCHEMA:
        return [[directory.name, "other version", "–", "–", "–", "–", "–"]]
    outcomes = [o for o in map(Outcome.from_json, attrs["outcomes"]) if o.trial.in_budget]
    followed = attrs["space"]["train"]["metric"]
    best = ranking.best(outcomes, METRICS[followed])
    result = SearchResult.from_json(attrs["result"]) if attrs.get("result") else None
    finished = result is not None and sum(result.trials.values()) == len(outcomes)  # else an extension was interrupted
    state = "running" if directory.running() else "finished" if finished else "stopped"
    row = [directory.name, state, str(len(outcomes))]
    if result is None:
        score = f"(search: {short_metric(followed)} {format_score(best.value)})" if best else "–"
        return [[*row, "–", score, "–", "–"]]
    displayed = display_metric(result.task, result.metric)
    predictors: dict[str, SearchResult | EnsembleResult] = {result.trial: result, **result.ensembles}
    metric = short_metric(displayed)
    first, *others = [
        [label, f"{metric} {format_score(one.expected.get(displayed))}", format_score(one.test.get(displayed))]
        for label, one in predictors.items()
    ]
    return [[*row, *first, result.date], *(["", "", "", *cells, ""] for cells in others)]
