"""A trial in training: what it has shown so far, and the outcome that is made of it."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field

from hpo.core import objectives, statistics
from hpo.core.metrics import METRICS
from hpo.core.trial import Outcome, Score, State, TrainedTrial, Trial


@dataclass
class RunningTrial:
    """`begun` is the round in which it began, `started` the time."""

    trial: Trial
    start_round: int
    started: float
    curves: dict[str, list[float]] = field(default_factory=dict)
    fold_curves: dict[str, list[list[float]]] = field(default_factory=dict)
    times: list[float] = field(default_factory=list)
    state: State = "complete"
    reason: str = ""  # why it ends; "" while it goes on

    def record(self, score: Score) -> None:
        """Takes in one epoch."""
        for name, value in score.means.items():
            self.curves.setdefault(name, []).append(value)
        for name in self._by_fold(score):
            self.fold_curves.setdefault(name, []).append(score.values[name].tolist())
        self.times.append(round(time.time(), 3))  # as precise as MLflow's

    def _by_fold(self, score: Score) -> list[str]:
        """What is kept of every fold: of a finalist all that it is judged by, of others what pruning follows."""
        if self.trial.role in ("finalist", "nested"):
            return [name for name in score.values if name.startswith("valid_")]
        return [score.metric] if len(score.values.get(score.metric, ())) > 1 else []

    def stop(self, state: State, reason: str) -> None:
        self.state, self.reason = state, reason

    def to_outcome(self, released: TrainedTrial, metric: str, names: Sequence[str], ended: int) -> Outcome:
        """The outcome; `metric` is the one that the search follows, `names` are the objectives, of which that is the first, `ended`
        is the round."""
        seen = released.best_epoch > 0
        value = (
            statistics.best_window_mean(self.curves[f"valid_{metric}"], METRICS[metric].sign)
            if seen and released.valid
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
            train=released.train if seen else {},
            valid=released.valid if seen else {},
            nonzero_share=released.nonzero_share,
            curves=self.curves,
            fold_curves=self.fold_curves,
            fit_epochs=released.fit_epochs,
            started=self.started,
            epoch_times=self.times,
            rounds=[self.start_round, ended],
            values=values,
        )
