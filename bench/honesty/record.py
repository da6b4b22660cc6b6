"""Measure a finished search: what it handed over, what others would have, and what all of them score on the test rows.

All numbers are of the test part of the search, which no selection used. They are known only here.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from typing import Any, Self

import numpy as np
import torch

from bench.honesty.predictions import RowEvidence, TestPredictions
from bench.honesty.watch import Observer, in_flight
from hpo.core.metrics import METRICS, tracked_metrics
from hpo.core.selection_rules import DEFAULT, Candidate
from hpo.core.trial import Outcome
from hpo.nn.linear import one_thread
from hpo.selection.finalist import Finalist
from hpo.selection.finals import Finals
from hpo.selection.refit import FinalNetwork, Refit
from hpo.selection.result import SearchResult
from hpo.study.directory import StudyDirectory
from hpo.study.storage import read_attrs
from hpo.study.study import Study
from hpo.study.weights import WeightStore, weights_of_fit
from hpo.training.experiment import Experiment
from hpo.workflows.callbacks import Watcher
from hpo.workflows.trainer import StudyTrainer

Json = dict[str, Any]
_DIGITS = 6  # significant digits of a stored score


@dataclass(frozen=True)
class Finished:
    """A finished search and what was observed during it."""

    experiment: Experiment
    directory: StudyDirectory
    result: SearchResult
    observer: Observer
    end: float


def measure(search: Finished) -> tuple[Json, RowEvidence]:
    """Return the record of a search, without its set, seed and mode, and its row-level evidence."""
    return _Measurement(search).record()


class _Measurement:
    def __init__(self, search: Finished) -> None:
        self._search, self._experiment, self._result = search, search.experiment, search.result
        if search.observer.finals is None:
            raise ValueError("the search must have finals")
        self._finals: Finals = search.observer.finals
        space, data = self._experiment.space, self._experiment.data
        self._metric = METRICS[space.train.metric]
        self._names = tracked_metrics(data.task, space.train.metric)
        stored = map(Outcome.from_json, read_attrs(search.directory.journal)["outcomes"])
        self._counted = {o.trial.label: o for o in stored if o.trial.in_budget}

    def record(self) -> tuple[Json, RowEvidence]:
        result, finals, data = self._result, self._finals, self._experiment.data
        plain = self._plain()
        pool = [f for f in finals.finalists.values() if f.complete]
        with _FinalNetworks.of(self._search) as trained:
            tests, plain_tests = trained.predictions(pool), trained.predictions([self._by_search(plain)])
        default = self._default()
        if plain == default or not plain_tests.logits:  # the defaults are not better or worse than themselves
            plain_tests = tests if plain == default else None
        temperatures = {label: self._temperature(label) for label in tests.logits}
        halves = self._halves(len(data.test))
        scored = {label: self._scored(tests, label, temperatures[label], halves) for label in tests.logits}
        found = {
            "task": data.task,
            "metric": self._metric.name,
            "metrics": list(self._names),
            "networks": result.refit.networks,
            "rows": {"dev": data.n_development, "test": len(data.test)},
            **self._cost(),
            "default": default,
            "ours": self._ours(),
            "argmax": {
                "trial": plain,
                "reported": _rounded({n: self._counted[plain].valid[n] for n in self._names}),
                "single": self._against(plain_tests, plain, tests, default, 1),
                "average": self._against(plain_tests, plain, tests, default, None),
            },
            "verdict": asdict(result.verdict) if result.verdict else None,
            "rules": dict(result.rules),
            "pool": scored,
        }
        draws = [replace(draw, logits=dict(draw.logits)) for draw in finals.draws()]  # the store may be deleted
        return found, RowEvidence(self._about(temperatures), draws, tests)

    def _plain(self) -> str:
        """Return the trial that a tuner without re-evaluation selects: the best followed score of any epoch."""
        complete = [o for o in self._counted.values() if o.state == "complete"]
        best = min(complete, key=lambda o: (self._metric.minimized(o.valid[self._metric.name]), o.trial.label))
        return best.trial.label

    def _ours(self) -> Json:
        """Return what the search itself reports and scores."""
        result, default = self._result, self._result.baselines["defaults"]
        return {
            "trial": result.trial,
            "rule": result.rule,
            "reported": _rounded({n: result.score[n].expected for n in self._names}),
            "interval": {n: list(result.score[n].interval) for n in self._names},
            "test": _rounded({n: result.test[n] for n in self._names}),
            "default_test": _rounded({n: default.test[n] for n in self._names}),
            "single": {
                "reported": _rounded({n: result.reevaluated[n] for n in self._names}),
                "test": _rounded({n: result.test_single[n] for n in self._names}),
                "default_test": _rounded({n: default.test_single[n] for n in self._names}),
            },
        }

    def _by_search(self, label: str) -> Finalist:
        """Return a trial as a tuner without re-evaluation knows it: with its best epoch in the search."""
        return Finalist.from_outcome(self._counted[label], self._experiment.space)

    def _default(self) -> str:
        """Return the defaults that all are compared with: at the learning rate that is best in the re-evaluation."""
        verdict = self._result.verdict
        return verdict.reference if verdict else DEFAULT

    def _against(
        self, tests: TestPredictions | None, label: str, others: TestPredictions, default: str, networks: int | None
    ) -> Json | None:
        """Return uncalibrated test scores of a configuration and of the defaults; None if it diverged."""
        if tests is None:
            return None
        ours = tests.scores(self._names, label, networks=networks)
        return {
            "test": _rounded(ours),
            "default_test": _rounded(others.scores(self._names, default, networks=networks)),
        }

    def _scored(self, tests: TestPredictions, label: str, temperature: float, halves: Sequence[np.ndarray]) -> Json:
        """Return the calibrated test scores of a finalist, of all rows and of each half, and its expected gain."""
        finalist, stated = self._finals.finalists[label], self._result.finalists[label].gain
        searched = finalist.searched
        return {
            "search": _rounded(searched.valid).get(self._metric.name) if searched else None,
            "gain": {"relative": stated.relative, "probability": stated.probability} if stated else None,
            "test": _rounded(tests.scores(self._names, label, temperature)),
            "single": _rounded(tests.scores(self._names, label, temperature, networks=1)),
            "halves": [
                tests.scores([self._metric.name], label, temperature, rows=h)[self._metric.name] for h in halves
            ],
        }

    def _halves(self, rows: int) -> tuple[np.ndarray, np.ndarray]:
        """Divide the test rows into two random halves."""
        order = np.random.default_rng(self._experiment.space.seed).permutation(rows)
        return order[: rows // 2], order[rows // 2 :]

    def _temperature(self, label: str) -> float:
        expected = self._finals.expectation(label, [], self._result.refit.networks)
        return expected.temperature if expected else 1.0

    def _cost(self) -> Json:
        """Return fit-epochs and seconds by part of the search, and the training after the last proposal."""
        spent, observer, end = self._result.fit_epochs, self._search.observer, self._search.end
        of = {"search": ("search",), "fresh": ("finalist", "ablation"), "refit": ("refit",)}
        proposed = max(o.started for o in self._counted.values())
        after = in_flight(observer.epochs, [start for start, _ in observer.steps], proposed, end)
        return {
            "epochs": {part: sum(spent.get(role, 0) for role in roles) for part, roles in of.items()},
            "seconds": _rounded(observer.seconds(end)),
            "wall": end - observer.began,
            "after_last_proposal": _rounded(after._asdict()),
        }

    def _about(self, temperatures: Mapping[str, float]) -> Json:
        """Return what a replay needs besides the predictions."""
        space, data, candidates = self._experiment.space, self._experiment.data, self._finals.candidates()
        return {
            "metric": self._metric.name,
            "seed": space.seed,
            "networks": self._result.refit.networks,
            "n_development": data.n_development,
            "test_train_ratio": self._finals.test_train_ratio,
            "selected": self._result.trial,
            "temperatures": dict(temperatures),
            "candidates": {c.label: _costs(c) for c in candidates},
        }


class _FinalNetworks:
    """Trains the final networks of any configuration of a finished search, as the search does."""

    def __init__(self, search: Finished, study: Study) -> None:
        experiment, self._search = search.experiment, search
        self._weights = WeightStore(search.directory.weights)
        trainer = StudyTrainer(experiment, study, self._weights, _NoRecorder(), Watcher())
        self._refit = Refit(experiment.space, experiment.data, experiment.networks, study, self._weights, trainer.train)

    @classmethod
    @contextmanager
    def of(cls, search: Finished) -> Iterator[Self]:
        """Open the study of the search; it is closed at the end."""
        experiment, directory = search.experiment, search.directory
        with directory.locked(), one_thread():
            digest = experiment.init_digest
            study = Study(experiment.space, directory.journal, experiment.data.fingerprint, init_digest=digest)
            try:
                yield cls(search, study)
            finally:
                study.close()

    def predictions(self, finalists: Sequence[Finalist]) -> TestPredictions:
        """Train the final networks of some configurations, except those that diverge, and predict the test rows."""
        finals = self._refit.final("scaled", finalists, {})
        logits = {f.label: self._logits(finals[f.label], f) for f in finalists if f.label in finals}
        data = self._search.experiment.data.without_validation()
        return TestPredictions(data.task, data.test.reveal().y, data.target_scale, logits)

    def _logits(self, final: FinalNetwork, finalist: Finalist) -> torch.Tensor:
        """Return the logits of each of the final networks, (networks, rows, outputs)."""
        network = self._search.experiment.networks.network_for(finalist.trial.params)
        weights = self._weights.load(final.label, final.networks)
        each = [weights_of_fit(weights, number) for number in range(final.networks)]
        return final.data.test.predict(lambda x: torch.cat([network.predict(w, x[None]) for w in each]))


class _NoRecorder:
    """A recorder that records nothing: extra training of the benchmark is not logged."""

    def record(self, outcome: Outcome) -> None:
        del outcome


def _costs(candidate: Candidate) -> Json:
    about = {name: getattr(candidate, name) for name in ("sound", "amount", "work", "nonzero")}
    return {**about, "scores": candidate.scores.tolist()}


def _rounded(values: Mapping[str, float | None]) -> dict[str, float | None]:
    return {name: None if value is None else float(f"{value:.{_DIGITS}g}") for name, value in values.items()}
