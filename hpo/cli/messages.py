"""What is searched, and what a store holds, as a person reads it: plain lines of text."""

from __future__ import annotations

from collections.abc import Mapping

from hpo.core.metrics import METRICS, Task, display_metric
from hpo.core.trial import Outcome
from hpo.nn import device as devices
from hpo.space.formatting import score, strength
from hpo.study import ranking
from hpo.study.directory import StudyDirectory
from hpo.study.ledger import read_attrs
from hpo.study.samplers import FIRST_DECISION
from hpo.training.experiment import Experiment
from hpo.training.worker import cores


def headline(job: Experiment, rows: int, workers: int = 1) -> list[str]:
    """What is searched, on what, how many at once."""
    data, space = job.data, job.space
    fold, folds = data.folds[0], space.data.split.folds
    trials = max(1, rows // len(data.folds))
    again = f", {space.data.split.repeats} times" if space.data.split.repeats > 1 else ""
    parts = f"train {len(fold.train):,} · valid {len(fold.valid):,}"
    beside = len(fold.target) + len(fold.target_valid)
    parts = f"{folds} folds of {data.development - beside:,} rows{again}" if folds else parts
    parts += f" · {beside:,} rows of the target without labels" if beside else ""
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
        f"{data.name} · {total:,} rows, {columns}{inputs}, {kind} · {parts} · test {len(data.test_x):,} (untouched)",
        *([f"network {space.network.factory}"] if space.network.factory else []),
        *([f"back translation {space.data.text.back_translation}"] if "back_translation" in space.search else []),
        *(f"note: {note}" for note in data.notes),
    ]
    if workers > cores():
        lines.append(f"note: {workers} workers share {cores()} cores; more than one a core gain nothing.")
    if space.is_point:
        return [
            *lines,
            "training one configuration: " + " · ".join(strength(k, v) for k, v in space.params({}).items()),
        ]
    one = "on one core" if job.device.type == "cpu" else f"on {devices.device_name(job.device)}"
    where = one if workers == 1 else f"in {workers} workers"
    at_once = "one trial at a time" if trials == 1 else f"{trials} trials at once {where}"
    sampled = ", ".join(key for key, domain in space.hyperparameters.items() if domain.sampled)
    return [*lines, f"searching {sampled} · {sampler}, {pruning} · {at_once}"]


def beside(valid: Mapping[str, float], task: Task, metric: str) -> str:
    other = display_metric(task, "loss")
    return f" ({other} {score(valid[other])})" if other != metric else ""


def study_line(place: StudyDirectory) -> list[str]:
    """A line of `hpo studies`: name, state, trials, the best score of the search, the selected test score, the date."""
    known = read_attrs(place.journal)
    if not known:
        return [place.name, "empty", "0", "–", "–", "–"]
    result = known.get("result")
    metric = known["space"]["train"]["metric"]
    judged = [o for o in map(Outcome.from_json, known["outcomes"]) if o.trial.in_budget]
    whole = result and sum(result["trials"].values()) == len(judged)  # else a larger budget was cut off
    state = "running" if place.running() else "finished" if whole else "stopped"
    best = ranking.best(judged, METRICS[metric])
    if not result:
        return [place.name, state, str(len(judged)), f"{metric} {score(best.value)}" if best else "–", "–", "–"]
    other = display_metric(result["task"], metric)
    test = f"{other} {score(result['test'].get(other))}"
    if joined := [
        f"{kind} {score(entry['test'].get(other))}" for kind, entry in result.get("ensembles", {}).items()
    ]:  # an older hpo had none
        test += f" ({', '.join(joined)})"
    return [place.name, state, str(len(judged)), f"{metric} {score(best.value)}" if best else "–", test, result["date"]]
