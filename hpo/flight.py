"""A trial in training: what it has shown so far, and the outcome that is made of it."""

from __future__ import annotations

import time
from dataclasses import dataclass, field

from hpo.trial import Outcome, Released, Score, State, Trial


@dataclass
class Flight:
    """`begun` is the round in which it began, `started` the time."""

    trial: Trial
    begun: int
    started: float
    curves: dict[str, list[float]] = field(default_factory=dict)
    times: list[float] = field(default_factory=list)
    state: State = "complete"
    reason: str = ""  # why it ends; "" while it goes on

    def take(self, score: Score) -> None:
        """Takes in one epoch."""
        for name, value in score.means.items():
            self.curves.setdefault(name, []).append(value)
        self.times.append(round(time.time(), 3))  # as precise as MLflow's

    def end(self, state: State, reason: str) -> None:
        self.state, self.reason = state, reason

    def outcome(self, released: Released, metric: str, ended: int) -> Outcome:
        """The outcome; `metric` is the one that the search follows, `ended` the round."""
        seen = released.best_epoch > 0
        return Outcome(
            trial=self.trial,
            state=self.state,
            reason=self.reason,
            value=released.valid[metric] if seen else None,
            best_epoch=released.best_epoch,
            epochs=len(self.times),
            train=released.train if seen else {},
            valid=released.valid if seen else {},
            nonzero_share=released.nonzero_share,
            curves=self.curves,
            started=self.started,
            times=self.times,
            rounds=[self.begun, ended],
        )
