"""Numbers and results as a person reads them: plain lines of text."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from hpo import device as devices
from hpo import selection
from hpo.document import said
from hpo.job import Job
from hpo.ledger import stored
from hpo.metrics import METRICS, Task, shown
from hpo.regularizers import STRENGTHS
from hpo.sampling import FIRST_DECISION
from hpo.store import Place
from hpo.trial import Outcome
from hpo.worker import cores

_WIDE = 100


def number(value: float) -> str:
    """Four digits at most: 0.031, 2.1e-03, 12.5."""
    if isinstance(value, int) or float(value).is_integer():
        return f"{int(value):,}" if abs(value) < 1e6 else f"{value:.3g}"
    return f"{value:.1e}" if abs(value) < 1e-2 or abs(value) >= 1e4 else f"{value:.3g}"


def strength(key: str, value: Any) -> str:
    if isinstance(value, str | bool):
        return f"{key} {said(value)}"
    off = key in STRENGTHS and value == STRENGTHS[key].neutral
    return f"{key} {'off' if off else number(value)}"


def strengths(params: Mapping[str, Any]) -> list[str]:
    """All of a configuration, in lines of at most 100 characters."""
    lines = [""]
    for one in (strength(key, value) for key, value in params.items()):
        longer = f"{lines[-1]}   {one}" if lines[-1] else one
        lines[-1:] = [longer] if len(longer) <= _WIDE or not lines[-1] else [lines[-1], one]
    return lines


def score(value: float | None) -> str:
    if value is None:
        return "–"
    if 0 < abs(value) < 0.01:
        return f"{value:.2g}"
    return f"{value:.3f}" if abs(value) < 10 else f"{value:,.4g}" if abs(value) < 1e4 else f"{value:.3g}"


def clock(seconds: float) -> str:
    return f"{int(seconds) // 60}:{int(seconds) % 60:02d}"


def headline(job: Job, rows: int, workers: int = 1) -> list[str]:
    """What is searched, on what, how many at once."""
    data, space = job.data, job.space
    fold, folds = data.folds[0], space.data.split.folds
    trials = max(1, rows // len(data.folds))
    again = f", {space.data.split.repeats} times" if space.data.split.repeats > 1 else ""
    parts = f"train {len(fold.train):,} · valid {len(fold.valid):,}"
    parts = f"{folds} folds of {data.development:,} rows{again}" if folds else parts
    kind = f"{len(data.classes)} classes" if data.classes else f"predicting {data.target_name}"
    total = data.development + len(data.test_x)
    sampler, pruner = space.sampler.kind, space.pruner.kind
    if sampler == "grid":
        sampler = f"grid of {int(space.points):,} points"
    else:
        sampler = {"tpe": "TPE", "gp": "GP", "qmc": "QMC", "cmaes": "CMA-ES"}.get(sampler, sampler)
    options = space.pruner.options
    first = options.get("n_warmup_steps", options.get("min_resource", FIRST_DECISION))
    pruning = "no pruning" if pruner == "none" else f"{pruner.replace('_', ' ')} pruner from epoch {first}"
    inputs = f" ({data.n_inputs} inputs)" if data.n_inputs != data.n_columns else ""
    columns = "1 column" if data.n_columns == 1 else f"{data.n_columns} columns"
    lines = [
        f"{data.name} · {total:,} rows, {columns}{inputs}, {kind} · {parts} · "
        f"test {len(data.test_x):,} (untouched)",
        *([f"network {space.network.factory}"] if space.network.factory else []),
        *([f"back translation {space.data.text.back_translation}"] if "back_translation" in space.search else []),
        *(f"note: {note}" for note in data.notes),
    ]
    if workers > cores():
        lines.append(f"note: {workers} workers share {cores()} cores; more than one a core gain nothing.")
    if space.is_point:
        return [*lines, "training one configuration: " + " · ".join(strength(k, v) for k, v in space.params({}).items())]
    one = "on one core" if job.device.type == "cpu" else f"on {devices.name(job.device)}"
    where = one if workers == 1 else f"in {workers} workers"
    at_once = "one trial at a time" if trials == 1 else f"{trials} trials at once {where}"
    sampled = ", ".join(key for key, domain in space.domains.items() if domain.sampled)
    return [*lines, f"searching {sampled} · {sampler}, {pruning} · {at_once}"]


def table(rows: list[list[str]]) -> list[str]:
    """Rows of cells as aligned lines: the first column to the left, the others to the right."""
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    return [
        "   ".join(c.rjust(w) if i else c.ljust(w) for i, (c, w) in enumerate(zip(row, widths, strict=True))).rstrip()
        for row in rows
    ]


def trial_name(label: str) -> str:
    if label.isdigit():
        return f"trial {label}"
    if label in ("none", "defaults"):
        return f"the baseline {label}"
    return f"{trial_name(label.removeprefix('ablation-'))} without regularization"


def beside(valid: Mapping[str, float], task: Task, metric: str) -> str:
    other = shown(task, "loss")
    return f" ({other} {score(valid[other])})" if other != metric else ""


def study_line(place: Place) -> list[str]:
    """A line of `hpo studies`: name, state, trials, the best score of the search, the selected test score, the date."""
    known = stored(place.journal)
    if not known:
        return [place.name, "empty", "0", "–", "–", "–"]
    result = known.get("result")
    metric = known["space"]["train"]["metric"]
    state = "running" if place.running() else "finished" if result else "stopped"
    judged = [o for o in map(Outcome.from_json, known["outcomes"]) if o.trial.counted]
    best = selection.best(judged, METRICS[metric])
    if not result:
        return [place.name, state, str(len(judged)), f"{metric} {score(best.value)}" if best else "–", "–", "–"]
    other = shown(result["task"], metric)
    test = f"{other} {score(result['test'].get(other))}"
    return [place.name, state, str(len(judged)), f"{metric} {score(best.value)}" if best else "–", test, result["date"]]
