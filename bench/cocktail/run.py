"""Run one search as a user would, and score what it hands over and what it is compared with on the test rows."""

from __future__ import annotations

import json
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import yaml

import hpo
from bench.cocktail import rivals, sets
from hpo.core.errors import InputError
from hpo.selection.result import SearchResult
from hpo.study.directory import StudyDirectory
from hpo.tracking.mlflow_writer import create_database
from hpo.workflows import completed

_METRIC = "balanced_accuracy"
Json = dict[str, Any]


class Job(NamedTuple):
    """A search with `workers` processes of the table of that name in `data`; `budget` is that of the space file."""

    name: str
    split: int
    budget: Mapping[str, float]
    workers: int
    data: Path

    @property
    def key(self) -> Json:
        """The items that identify its record."""
        return {"set": self.name, "split": self.split, "budget": dict(self.budget), "workers": self.workers}


def record(job: Job, space: Mapping[str, Any]) -> Json:
    """Search `space`, train the configurations that the search does not test, and fit the models of others."""
    with tempfile.TemporaryDirectory() as name:
        store = Path(name) / "store"
        store.mkdir()
        create_database(store / "mlflow.db")  # after the first search a user has one; creating it takes seconds
        began = time.perf_counter()
        result = hpo.search(space, store=store, workers=job.workers, device="cpu")
        searched = time.perf_counter()
        argmax = best_of_search(result)
        tests = {label: test_score(label, result, store, job.workers) for label in {argmax, "none"}}
        trained = time.perf_counter()
    return {
        **job.key,
        "seconds": {"search": round(searched - began, 1), "others": round(trained - searched, 1)},
        **digest(result),
        "argmax": argmax,
        "test": {**_handed_over(result), "argmax": tests[argmax], "none": tests["none"]},
        "rivals": rivals.scores(job.name, job.split, job.data),
    }


def best_of_search(result: SearchResult) -> str:
    """Return the label of the trial with the best search score, which a tuner without re-evaluation would select.

    It is a finalist, unless the time did not suffice for a re-evaluation: then it is the selected one.
    """
    scores = {label: scores.search for label, scores in result.finalists.items() if scores.search is not None}
    return min(scores, key=lambda label: (-scores[label], label), default=result.trial)


def test_score(label: str, result: SearchResult, store: Path, workers: int) -> float | None:
    """Return the score of a trial on the test rows, averaged over as many networks as the selected configuration.

    The final networks are trained unless the search has done that. None if the trial diverged.
    """
    known = {config.trial: config.test for config in result.configurations.values() if config.test}
    if label in known:
        return known[label][_METRIC]
    try:
        text = completed.load(StudyDirectory(store, result.study)).trial_configuration(label, store, "yaml")
    except InputError:
        return None
    point = yaml.safe_load(text)
    if result.refit.networks:  # fewer than in the space file if the time was short
        point["refit"]["networks"] = result.refit.networks
    path = store / f"{point['study']}.yaml"
    path.write_text(yaml.safe_dump(point, sort_keys=False))
    return hpo.search(path, store=store, workers=workers, device="cpu").test.get(_METRIC)


def digest(result: SearchResult) -> Json:
    """Return the part of the result that the page needs besides the test scores."""
    score = result.score.get(_METRIC)
    return {
        "trial": result.trial,
        "reference": result.baselines["defaults"].trial,
        "params": dict(result.selected),
        "networks": result.refit.networks,
        "trials": dict(result.trials),
        "epochs": sum(result.fit_epochs.values()),
        "searched": result.search_score,
        "expected": score.expected if score else None,
        "interval": list(score.interval) if score else None,
    }


def _handed_over(result: SearchResult) -> Json:
    """Return the test scores of the selected configuration and of the usual defaults, which the search has computed."""
    return {"selected": result.test.get(_METRIC), "defaults": result.baselines["defaults"].test.get(_METRIC)}


def main() -> None:
    """Read one line of JSON with `name`, `split`, `budget`, `workers` and `data`, and print the record as one."""
    told = json.load(sys.stdin)
    job = Job(**{**told, "data": Path(told["data"])})
    print(json.dumps(record(job, sets.space(job.name, job.split, job.budget, job.data))))


if __name__ == "__main__":
    main()
