"""The state of one trial in a population: its rows in stacks, and the results of its fits that have already stopped."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

from hpo.core.trial import Score, TrainedTrial, Trial
from hpo.nn.network import BatchedNetwork
from hpo.training.stack import Stack
from hpo.training.state import FitResult, FitState, Tensors

Weights = Mapping[str, Tensor]  # by parameter name, fit axis first, in the order of the folds


@dataclass(frozen=True)
class MovedTrial:
    """A partly trained trial that moves from one population to another.

    `parts` holds the rows of each of its stacks with their tensors, `finished_fits` the results of the fits that
    stopped before the others, and `cycle_weights` the weights at the end of each cycle so far.
    """

    trial: Trial
    parts: list[tuple[list[FitState], Tensors]]
    finished_fits: list[FitResult]
    cycle_weights: list[Weights]


@dataclass(eq=False)
class TrialRows:
    """A trial in training: the rows of its fits, and the results of its fits that no longer have a row."""

    trial: Trial
    network: BatchedNetwork
    epochs_reported: int = 0
    rows: list[tuple[FitState, Stack]] = field(default_factory=list)
    finished_fits: list[FitResult] = field(default_factory=list)
    cycle_weights: list[Weights] = field(default_factory=list)

    @property
    def epoch(self) -> int:
        """The last epoch that all fits with a row have finished."""
        return min(row.epoch for row, _ in self.rows)

    def is_in(self, stack: Stack) -> bool:
        """Return whether a fit of the trial has a row in `stack`."""
        return any(row_stack is stack for _, row_stack in self.rows)

    def rows_by_stack(self) -> dict[Stack, list[FitState]]:
        """Group the rows by the stack that holds them."""
        groups: dict[Stack, list[FitState]] = {}
        for row, stack in self.rows:
            groups.setdefault(stack, []).append(row)
        return groups

    def score(self, metric: str) -> Score:
        """Return the scores of the last epoch over all fits; `metric` is the key of the followed metric."""
        rows = [row for row, _ in self.rows] + [result.row for result in self.finished_fits]
        rows.sort(key=lambda row: row.fit.fold.number)
        latest = max(rows, key=lambda row: row.epoch)
        return Score(
            trial=self.trial,
            epoch=self.epochs_reported,
            values={name: np.array([row.values[name] for row in rows]) for name in latest.values},
            metric=metric,
            stop_reason=latest.stopped if all(row.stopped for row in rows) else "",
            fits_trained=len(self.rows),
        )

    def results(self) -> list[FitResult]:
        """Return the results of all fits, in the order of the folds."""
        results = list(self.finished_fits)
        for stack, rows in self.rows_by_stack().items():
            results += stack.results([row.fit for row in rows])
        return sorted(results, key=lambda result: result.row.fit.fold.number)

    def finish_stopped_fits(self, stack: Stack) -> list[FitState]:
        """Move the fits that stopped before the others out of `stack` into `finished_fits`; return their rows.

        If all fits have stopped, nothing moves: the trial is about to be released as a whole.
        """
        if all(row.stopped for row, _ in self.rows):
            return []
        stopped = [row for row, row_stack in self.rows if row_stack is stack and row.stopped]
        if stopped:
            self.finished_fits += stack.results([row.fit for row in stopped])
            self.rows = [(row, row_stack) for row, row_stack in self.rows if row not in stopped]
        return stopped

    def record_cycle(self, metric: str) -> None:
        """Keep the weights if a cycle of the learning rate has just ended and the trial has not diverged."""
        cycle = self.trial.cycle
        if cycle is None or self.epoch % cycle or len(self.cycle_weights) >= self.epoch // cycle:
            return
        if self.score(metric).finite:
            self.cycle_weights.append(stack_weights(self.results()))


def stack_weights(fits: Sequence[FitResult]) -> dict[str, Tensor]:
    """Stack the weights of fits along a new first axis."""
    return {name: torch.stack([fit.weights[name] for fit in fits]) for name in fits[0].weights}


def trained_trial(trial: TrialRows, fits: Sequence[FitResult]) -> TrainedTrial:
    """Combine the results of all fits of a trial, in the order of the folds."""
    weights = stack_weights(fits)
    masks = [weights[p.name] != 0 for p in trial.network.parameters if p.role == "weight"]
    best_epochs = [fit.row.best_epoch for fit in fits]
    scores = {
        part: {name: float(np.mean([fit.scores[part][name] for fit in fits])) for name in values}
        for part, values in fits[0].scores.items()
    }
    return TrainedTrial(
        best_epoch=round(float(np.mean(best_epochs))) if all(best_epochs) else 0,
        train=scores["train"],
        valid=scores.get("valid", {}),
        nonzero_share=sum(int(mask.sum()) for mask in masks) / (sum(mask.numel() for mask in masks) or 1),
        fit_epochs=sum(fit.row.epoch for fit in fits),
        weights=weights,
        cycle_weights=tuple(trial.cycle_weights),
        valid_logits=tuple(torch.stack(fit.row.valid_logits) for fit in fits if fit.row.valid_logits),
    )
