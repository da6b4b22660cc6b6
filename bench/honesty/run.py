"""Run one search and return its record: the only part of this benchmark that depends on hpo's internals."""

from __future__ import annotations

import json
import shutil
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

from torch import Tensor

from bench.honesty.sets import sets
from hpo.core.metrics import display_metric, losses
from hpo.core.samples import Samples
from hpo.core.trial import Outcome, Trial
from hpo.data.dataset import Dataset
from hpo.data.test_part import TestEvaluations
from hpo.nn.linear import one_thread
from hpo.selection import result_builder as results
from hpo.selection.finals import Finalist, Finals
from hpo.selection.refit import Refit
from hpo.selection.result import SearchResult
from hpo.space import loader
from hpo.study.directory import StudyDirectory
from hpo.study.storage import read_attrs
from hpo.study.study import Study
from hpo.study.weights import WeightStore
from hpo.tracking.mlflow_writer import create_database
from hpo.training.experiment import Experiment
from hpo.training.population import Population
from hpo.workflows import loop, prepare, search
from hpo.workflows.callbacks import Watcher

Json = dict[str, Any]
MODES: dict[str, Json] = {
    "holdout": {},
    "folds": {"folds": 5},
}  # the replacement for `valid` in the split of a space


def database(folder: Path) -> Path:
    """Create an MLflow database without runs once: each search needs one, and that takes seconds."""
    path = folder / "mlflow.db"
    create_database(path)
    return path


class _Observer(Watcher):
    """Observe the selection of a search, and test configurations that the search does not test."""

    def __init__(self) -> None:
        self.times = {"begin": time.monotonic()}

    def phase(self, sentence: str, trials: int) -> None:
        del sentence, trials
        self.times.setdefault("searched", time.monotonic())

    def selected(self, finals: Finals) -> None:
        self.times["selected"] = time.monotonic()
        self.finals = finals


def record(space: Mapping[str, Any], folder: Path, mode: str) -> Json:
    """Search the rows of `folder`/data.csv with the store `folder`/store; return the record without set and seed."""
    split = {**{k: v for k, v in space["data"]["split"].items() if k != "valid" or not MODES[mode]}, **MODES[mode]}
    said = {**space, "data": {**space["data"], "source": str(folder / "data.csv"), "split": split}}
    experiment, directory, seen = (
        prepare.prepare(loader.parse(said), folder),
        StudyDirectory(folder / "store", said["study"]),
        _Observer(),
    )
    result = search.search(experiment, directory, watcher=seen)
    seen.times["end"] = time.monotonic()
    outcomes = {o.trial.label: o for o in map(Outcome.from_json, read_attrs(directory.journal)["outcomes"])}
    return _Record(experiment, directory, seen, outcomes).of(result, mode)


@dataclass(frozen=True)
class _TestLogits:
    """Logits (1, rows, outputs) for the test part of `data`, in its units."""

    logits: Tensor
    data: Dataset


class _Record:
    def __init__(
        self, experiment: Experiment, directory: StudyDirectory, seen: _Observer, outcomes: Mapping[str, Outcome]
    ) -> None:
        self._experiment, self._directory, self._seen, self._outcomes = experiment, directory, seen, outcomes
        self._names = ("loss", display_metric(experiment.data.task, "loss"))

    def of(self, result: SearchResult, mode: str) -> Json:
        seen, experiment = self._seen, self._experiment
        pool = seen.finals.finalists
        logits = self._logits("scaled", list(pool.values()))
        tests = {label: self._tested(said) for label, said in logits.items()}
        # A tuner without re-evaluation: the best validation score and its weights; for folds, retrained on all rows.
        counted = [o for o in self._outcomes.values() if o.trial.in_budget and o.state == "complete"]
        plain = min(counted, key=lambda o: (o.valid["loss"], o.trial.label))
        way = "keep" if mode == "holdout" else "scaled"
        alone = self._logits(
            way,
            [
                Finalist(self._outcomes[label], experiment.space)
                for label in dict.fromkeys((plain.trial.label, "defaults"))
            ],
        )
        score = result.score
        return {
            "mode": mode,
            "task": experiment.data.task,
            "metrics": list(self._names),
            "rows": {"dev": experiment.data.n_development, "test": len(experiment.data.test)},
            "epochs": self._epochs(result),
            "seconds": self._seconds(),
            "argmax": {
                "trial": plain.trial.label,
                "reported": {n: plain.valid[n] for n in self._names},
                "test": self._tested(alone[plain.trial.label]),
                "default_test": self._tested(alone["defaults"]),
                "error": {"loss": self._error(alone[plain.trial.label], alone["defaults"])},
            },
            "ours": {
                "trial": result.trial,
                "rule": result.rule,
                "is_default": result.trial == "defaults",
                "reported": {n: score[n].reevaluated for n in self._names},
                "interval": {n: score[n].interval for n in self._names},
                "test": tests[result.trial],
                "default_test": tests["defaults"],
                "error": {"loss": self._error(logits[result.trial], logits["defaults"])},
            },
            "rules": {rule: {"trial": label, "test": tests[label]} for rule, label in result.rules.items()},
            "pool": {
                label: {"search": f.searched.value, "fresh": {n: f.mean(n) for n in self._names}, "test": tests[label]}
                for label, f in pool.items()
                if label in tests
            },
        }

    def _logits(self, way: str, finalists: Sequence[Finalist]) -> dict[str, _TestLogits]:
        """Return the logits of each configuration for the test part, refitted as named."""
        experiment, train = self._experiment, self._train
        with self._directory.locked(), one_thread():
            study = Study(experiment.space, self._directory.journal, experiment.data.fingerprint)
            try:
                weight_store = WeightStore(self._directory.weights)
                refit = Refit(
                    experiment.space,
                    experiment.data,
                    experiment.networks,
                    study,
                    weight_store,
                    lambda trials, samples: train(study, weight_store, trials, samples()),
                )
                finals = refit.final(way, finalists)
                made = [(f, finals[f.label]) for f in finalists if f.label in finals]
                return {
                    f.label: _TestLogits(refit.logits(final, f.searched.trial.params), final.data) for f, final in made
                }
            finally:
                study.close()

    def _train(self, study: Study, weight_store: WeightStore, trials: Sequence[Trial], samples: Samples) -> None:
        experiment = self._experiment
        for trial in trials:
            study.enqueue(trial, anew=not weight_store.path(trial.label).exists())
        population = Population.from_space(
            experiment.space, experiment.factory, samples, rows=max(32, len(samples.folds))
        )
        loop.run(study, population, weight_store, _NoRecorder())

    def _tested(self, said: _TestLogits) -> Json:
        scores = results.test_scores(self._experiment.space, said.data, said.logits, "", TestEvaluations())
        return {name: scores[name] for name in self._names}

    def _error(self, ours: _TestLogits, theirs: _TestLogits) -> float:
        """Return the paired standard error of the difference of two losses over the test rows."""
        a, b = (
            losses(s.data.task, s.logits.transpose(0, 1), s.data.test.reveal().y.unsqueeze(1), None).double()
            for s in (ours, theirs)
        )
        scale = ours.data.target_scale**2 if ours.data.task == "regression" else 1.0
        return float((a - b).std(correction=0)) * scale / len(a) ** 0.5

    def _epochs(self, result: SearchResult) -> dict[str, int]:
        spent = result.fit_epochs
        of = {"search": ("search",), "fresh": ("finalist", "ablation"), "refit": ("nested", "refit")}
        return {part: sum(spent.get(role, 0) for role in roles) for part, roles in of.items()}

    def _seconds(self) -> dict[str, float]:
        marks = list(self._seen.times.values())
        return dict(zip(("search", "fresh", "refit"), (b - a for a, b in pairwise(marks)), strict=True))


class _NoRecorder:
    """A recorder that records nothing: extra training of the benchmark is not logged."""

    def record(self, outcome: Outcome) -> None:
        del outcome


def main() -> None:
    """Read JSON with `set`, `seed`, `mode`, `data` (folder of CSVs) and `database`, and print the record as a line of
    JSON."""
    told = json.load(sys.stdin)
    space, frame = sets(Path(told["data"]))[0][told["set"]](told["seed"])
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        frame.to_csv(folder / "data.csv", index=False)
        (folder / "store").mkdir()
        shutil.copy(told["database"], folder / "store" / "mlflow.db")
        found = {"set": told["set"], "seed": told["seed"], **record(space, folder, told["mode"])}
    print(json.dumps(found))


if __name__ == "__main__":
    main()
