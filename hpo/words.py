"""Numbers and results as a person reads them: plain lines of text."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from typing import Any

from hpo import device as devices
from hpo import selection
from hpo.job import Job
from hpo.ledger import stored
from hpo.metrics import METRICS, Task, shown
from hpo.regularizers import STRENGTHS
from hpo.sampling import FIRST_DECISION
from hpo.store import Place
from hpo.trial import Outcome
from hpo.ui import HOST, PORT, link
from hpo.worker import cores

_ROWS = {
    "selected": "selected",
    "ablation": "…without regularization",
    "defaults": "usual defaults",
    "none": "no regularization",
}


def number(value: float) -> str:
    """Four digits at most: 0.031, 2.1e-03, 12.5."""
    if isinstance(value, int) or float(value).is_integer():
        return f"{int(value):,}" if abs(value) < 1e6 else f"{value:.3g}"
    return f"{value:.1e}" if abs(value) < 1e-2 or abs(value) >= 1e4 else f"{value:.3g}"


def strength(key: str, value: Any) -> str:
    if isinstance(value, str | bool):
        return f"{key} {value}"
    off = key in STRENGTHS and value == STRENGTHS[key].neutral
    return f"{key} {'off' if off else number(value)}"


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
    fold = data.folds[0]
    kind = f"{len(data.classes)} classes" if data.classes else f"predicting {data.target_name}"
    total = len(data.x) + len(data.test_x)
    sampler, pruner = space.sampler.kind, space.pruner.kind
    if sampler == "grid":
        sampler = f"grid of {int(space.points):,} points"
    else:
        sampler = {"tpe": "TPE", "gp": "GP", "qmc": "QMC", "cmaes": "CMA-ES"}.get(sampler, sampler)
    options = space.pruner.options
    first = options.get("n_warmup_steps", options.get("min_resource", FIRST_DECISION))
    pruning = "no pruning" if pruner == "none" else f"{pruner.replace('_', ' ')} pruner from epoch {first}"
    inputs = f" ({data.n_inputs} inputs)" if data.n_inputs != data.columns else ""
    columns = "1 column" if data.columns == 1 else f"{data.columns} columns"
    lines = [
        f"{data.name} · {total:,} rows, {columns}{inputs}, {kind} · train {len(fold.train):,} · "
        f"valid {len(fold.valid):,} · test {len(data.test_x):,} (untouched)",
        *([f"network {space.network.factory}"] if space.network.factory else []),
        *(f"note: {note}" for note in data.notes),
    ]
    if workers > cores():
        lines.append(f"note: {workers} workers share {cores()} cores; more than one a core gain nothing.")
    if space.is_point:
        return [*lines, "training one configuration: " + " · ".join(strength(k, v) for k, v in space.params({}).items())]
    one = "on one core" if job.device.type == "cpu" else f"on {devices.name(job.device)}"
    where = one if workers == 1 else f"in {workers} workers"
    at_once = "one trial at a time" if rows == 1 else f"{rows} trials at once {where}"
    sampled = ", ".join(key for key, domain in space.domains.items() if domain.sampled)
    return [*lines, f"searching {sampled} · {sampler}, {pruning} · {at_once}"]


def result_lines(result: Mapping[str, Any], store: str) -> list[str]:
    """The end of a search: a verdict, the selected configuration, the table, and where to look."""
    lines: list[str] = []
    if verdict := first_line(result):
        lines += [verdict, ""]
    params = "   ".join(strength(k, v) for k, v in result["selected"].items())
    lines += [f"Selected: {trial_name(result['trial'])}", f"  {params}", "", *_scores(result), ""]
    if gained := regularization_line(result):
        lines.append(gained)
    elsewhere = "" if store == "mlruns" else f" --store {shlex.quote(store)}"
    counts = result["trials"]
    total = sum(counts.values())
    lines += [
        f"{total} trial{'s' if total != 1 else ''}: {counts['complete']} finished, {counts['pruned']} pruned, "
        f"{counts['failed']} diverged · {result['epochs_trained']:,} of {result['epochs_possible']:,} possible epochs · "
        f"{result['seconds']:.0f} s",
        "",
        f"Look:    hpo ui --study {result['study']}{elsewhere}",
        f"         {link(result['experiment_id'], result['run_id'], _base(result['tracking_uri']))}",
        f"Keep:    hpo export --study {result['study']}{elsewhere} -o best.yaml",
    ]
    return lines


def _base(tracking_uri: str) -> str:
    return tracking_uri.rstrip("/") if tracking_uri.startswith("http") else f"http://{HOST}:{PORT}"


def _scores(result: Mapping[str, Any]) -> list[str]:
    other = shown(result["task"], result["metric"])
    short = {"accuracy": "acc", "balanced_accuracy": "bal. acc"}.get(other, other)
    entries = {"selected": result, **result["baselines"]}
    rows = [["", "valid loss", f"valid {short}", "train–valid gap", f"test {short}"]]
    for key in (key for key in _ROWS if key in entries):
        valid, test = entries[key]["valid"], entries[key]["test"]
        gap = valid["loss"] - entries[key]["train"]["loss"] if valid else None
        rows.append([_ROWS[key], *map(score, (valid.get("loss"), valid.get(other), gap, test.get(other)))])
    return ["  " + line for line in table(rows)]


def table(rows: list[list[str]]) -> list[str]:
    """Rows of cells as aligned lines: the first column to the left, the others to the right."""
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    return [
        "   ".join(c.rjust(w) if i else c.ljust(w) for i, (c, w) in enumerate(zip(row, widths, strict=True))).rstrip()
        for row in rows
    ]


def first_line(result: Mapping[str, Any]) -> str:
    """Said before anything else: that nothing beats the defaults beyond noise, if so."""
    margin = result.get("margin")
    if not margin or margin["gain"] > 2 * margin["standard_error"]:
        return ""
    return (
        f"Nothing beats the usual defaults beyond noise: on the {margin['rows']:,} test rows the selected configuration's "
        f"{margin['of']} is {abs(margin['gain']):.3g} {'lower' if margin['gain'] >= 0 else 'higher'} than theirs, "
        f"± {margin['standard_error']:.2g} (standard error)."
    )


def regularization_line(result: Mapping[str, Any]) -> str:
    """What regularization itself did: against the same learning rate and depth from the same seed, without it."""
    none = result["baselines"].get("ablation")
    if not none or not none["valid"]:
        return ""
    if not selection.regularized(result["selected"]):
        return "Regularization did not help: the selected configuration has none."
    gap, gap_none = (found["valid"]["loss"] - found["train"]["loss"] for found in (result, none))
    if gap_none <= 0:
        closed = "Regularization had no train–valid gap to close"
    else:
        share = "" if gap <= 0 else f"{100 * (1 - gap / gap_none):.0f} % of "
        closed = f"Regularization {f'closed {share}' if gap < gap_none else 'did not close '}the train–valid gap"
    other = shown(result["task"], result["metric"])
    ours, theirs = result["test"][other], none["test"][other]
    if ours is None or theirs is None:
        return f"{closed}."
    gained = (theirs - ours) * METRICS[other].sign
    verb, name = "gained" if gained >= 0 else "lost", other.replace("_", " ")
    if result["task"] == "classification":
        return f"{closed} and {verb} {100 * abs(gained):.1f} points of test {name} against the same without it."
    return f"{closed} and {verb} {score(abs(gained))} of test {name} against the same without it."


def trial_name(label: str) -> str:
    if label.isdigit():
        return f"trial {label}"
    return f"the baseline {label}" if "-" not in label else label.replace("-", " of trial ")


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
    judged = [o for o in map(Outcome.from_json, known["outcomes"]) if o.trial.role != "ablation"]
    best = selection.best(judged, METRICS[metric])
    if not result:
        return [place.name, state, str(len(judged)), f"{metric} {score(best.value)}" if best else "–", "–", "–"]
    other = shown(result["task"], metric)
    valid, test = f"{metric} {score(result['valid'][metric])}", f"{other} {score(result['test'][other])}"
    return [place.name, state, str(len(judged)), valid, test, result["date"]]
