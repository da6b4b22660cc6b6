"""A trial in training: what it has reported so far, and the outcome that it ends with."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field

from hpo.core import objectives, statistics
from hpo.core.metrics import METRICS
from hpo.core.trial import Outcome, Score, State, TrainedTrial, Trial


@dataclass
class RunningTrial:
    """A trial in training, which began in round `start_round` at the time `started`, in seconds since 1970."""

    trial: Trial
    start_round: int
    started: float
    curves: dict[str, list[float]] = field(default_factory=dict)
    fold_curves: dict[str, list[list[float]]] = field(default_factory=dict)
    times: list[float] = field(default_factory=list)
    state: State = "complete"
    reason: str = ""  # why the trial ends; "" while it goes on

    def record(self, score: Score) -> None:
        """Record one epoch."""
        for name, value in score.means.items():
            self.curves.setdefault(name, []).append(value)
        for name in self._by_fold(score):
            self.fold_curves.setdefault(name, []).append(score.values[name].tolist())
        self.times.append(round(time.time(), 3))  # milliseconds, as in MLflow

    def _by_fold(self, score: Score) -> list[str]:
        """The metrics whose values are kept by fold: for a finalist all validation metrics, for other trials the
        pruning metric."""
        if self.trial.role == "finalist":
            return [name for name in score.values if name.startswith("valid_")]
        return [score.metric] if len(score.values.get(score.metric, ())) > 1 else []

    def stop(self, state: State, reason: str) -> None:
        self.state, self.reason = state, reason

    def to_outcome(self, released: TrainedTrial, metric: str, names: Sequence[str], ended: int) -> Outcome:
        """The outcome of the trial. `metric` is the followed metric; `names` are the objectives, the first of which
        is that metric; `ended` is the round in which the trial ended."""
        has_best = released.best_epoch > 0
        value = (
            statistics.best_window_mean(self.curves[f"valid_{metric}"], METRICS[metric])
            if has_best and released.valid
            else None
        )
        values = {}
        if value is not None and self.trial.in_budget:
            others = objectives.compute_objectives(names[1:], released, len(self.times), self.times[-1] - self.started)
            values = {names[0]: value, **others}
        return Outcome(
            trial=self.trial,
            state=self.state,
            reason=self.reason,
            value=value,
            best_epoch=released.best_epoch,
            epochs=len(self.times),
            train=released.train if has_best else {},
            valid=released.valid if has_best else {},
            nonzero_share=released.nonzero_share,
            curves=self.curves,
            fold_curves=self.fold_curves,
            fit_epochs=released.fit_epochs,
            started=self.started,
            epoch_times=self.times,
            rounds=[self.start_round, ended],
            values=values,
        )
