"""The population: every fit in training, as rows of stacks. A trial is admitted whole, trained an epoch at a time, and
released whole."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np
import torch
from torch import Tensor

from hpo.core.errors import SearchFailedError
from hpo.core.importing import Factory
from hpo.core.samples import Samples
from hpo.core.trial import Fit, Score, TrainedTrial, Trial
from hpo.nn.network import BatchedNetwork
from hpo.regularizers import FAMILY, STRENGTHS, active, overrides
from hpo.space.settings import TrainConfig
from hpo.space.space import Space
from hpo.training.builder import NetworkBuilder
from hpo.training.capacity import out_of_memory
from hpo.training.stack import Stack
from hpo.training.state import FitResult, FitState, Tensors


@dataclass(frozen=True)
class MovedTrial:
    """A trial in the middle of its training, on the way from one population to another: the rows of each of its stacks with
    what belongs to them, and what those of its fits have learned that have stopped before the others."""

    trial: Trial
    parts: list[tuple[list[FitState], Tensors]]
    finished_fits: list[FitResult]


@dataclass(eq=False)
class _TrialRows:
    trial: Trial
    network: BatchedNetwork
    rows: list[tuple[FitState, Stack]]  # of the fits that have a row
    finished_fits: list[FitResult]  # by those that had
    epochs_reported: int = 0  # the last epoch that was told

    def rows_by_stack(self) -> dict[Stack, list[FitState]]:
        """The stacks that its rows lie in, and which these are."""
        found: dict[Stack, list[FitState]] = {}
        for row, stack in self.rows:
            found.setdefault(stack, []).append(row)
        return found

    def all_rows(self) -> list[FitState]:
        """Of all its fits, in the order of the folds."""
        rows = [row for row, _ in self.rows] + [learned.row for learned in self.finished_fits]
        return sorted(rows, key=lambda row: row.fit.fold.number)


class Population:
    """Room for `rows` fits of the trials that are proposed for one data set.

    `build` makes the network of a trial. A fit that stops before the others of its trial leaves its row at once. When memory
    runs out, the trials of the stack that needed it start again, half as many rows at once, and their epochs are told where
    they had been; `less` is called with the new number of rows.
    """

    def __init__(
        self,
        data: Samples,
        build: Callable[[Trial], BatchedNetwork],
        train: TrainConfig,
        rows: int,
        on_row_budget: Callable[[int], None] = lambda _: None,
    ) -> None:
        self._data = data
        self._build = build
        self._train = train
        self._rows = rows
        self._less = on_row_budget
        self._stacks: dict[object, Stack] = {}
        self._members: dict[str, _TrialRows] = {}
        self._waiting: dict[str, tuple[Trial, int]] = {}  # cut short, with the epochs that were told
        self.rows_lost = 0  # rows, for want of memory, so far

    @classmethod
    def from_space(
        cls,
        space: Space,
        factory: Factory | None,
        data: Samples,
        rows: int,
        state: Mapping[str, Tensor] = MappingProxyType({}),
        on_row_budget: Callable[[int], None] = lambda _: None,
    ) -> Population:
        """The population that a space asks for; its networks begin with `state`."""

        networks = NetworkBuilder(space, factory, data.n_inputs, data.n_outputs, state)
        return cls(data, lambda trial: networks.network_for(trial.params), space.train, rows, on_row_budget)

    def has_room(self, besides: int = 0) -> bool:
        """Whether all fits of one more trial find a row, `besides` so many that are not here (the first trial always does)."""
        return not self._waiting and self._has_free_rows(besides)

    def admit(self, trial: Trial) -> None:
        """Gives every fit of `trial` a row, freshly initialised; while others wait for memory, it waits behind them."""
        if self._waiting:
            self._waiting[trial.label] = (trial, 0)
        else:
            self._admit(trial, told=0)

    def _admit(self, trial: Trial, told: int) -> None:
        network = self._build(trial)
        member = self._members[trial.label] = _TrialRows(trial, network, [], [], told)
        fits: dict[Stack, list[Fit]] = {}
        for fold in self._data.folds:
            fit = Fit(trial, fold)
            fits.setdefault(self._stack(fit, network), []).append(fit)
        for stack, mine in fits.items():
            with self._recover_from_oom(stack, member):
                member.rows += [(row, stack) for row in stack.admit(mine, network, self._train.of(trial.params))]
            if trial.label in self._waiting:
                return

    def detach(self, trial: Trial) -> MovedTrial | Trial:
        """Frees the rows of `trial` as they are, for another population to `take`; the trial alone if it has none now."""
        if self._waiting.pop(trial.label, None):
            return trial
        member = self._members.pop(trial.label)
        parts = [stack.detach([row.fit for row in rows]) for stack, rows in member.rows_by_stack().items()]
        self._drop_empty_stacks()
        return MovedTrial(trial, parts, member.finished_fits)

    def attach(self, moving: MovedTrial) -> None:
        """Goes on with a trial where another population left it."""
        trial, network = moving.trial, self._build(moving.trial)
        member = self._members[trial.label] = _TrialRows(trial, network, [], moving.finished_fits)
        member.epochs_reported = max(row.epoch for rows, _ in moving.parts for row in rows)
        for rows, tensors in moving.parts:
            for row in rows:
                row.network = network
            stack = self._stack(rows[0].fit, network)
            with self._recover_from_oom(stack, member):
                stack.attach(rows, tensors)
                member.rows += [(row, stack) for row in rows]
            if trial.label in self._waiting:
                return

    def _stack(self, fit: Fit, network: BatchedNetwork) -> Stack:
        """The stack for networks of that shape and as many rows of data, with the regularizers that the trial names."""
        trial, fold = fit.trial, fit.fold
        names = tuple(name for name in FAMILY if name in STRENGTHS and name in trial.params)
        alone, train = () if network.batched else (trial.label, fold.number), self._train.of(trial.params)
        parts = (fold.train, fold.valid, fold.target, fold.target_valid, fold.source_valid)
        twice = any(
            overrides(STRENGTHS[name], "perturb") for name in active(trial.params) if name in STRENGTHS
        )  # others need not wait for it
        key = (network.stack_key, names, train.batch_size, *map(len, parts), twice, alone)
        if key not in self._stacks:
            self._stacks[key] = Stack(names, self._data, train)
        return self._stacks[key]

    def train_epoch(self) -> Iterator[Score]:
        """Trains every stack for one epoch; one score a trial, as its last stack is done. Trials may be released meanwhile."""
        while self._waiting and self._has_free_rows():
            self._admit(*self._waiting.pop(next(iter(self._waiting))))
        for key in list(self._stacks):
            if (stack := self._stacks.get(key)) is None:  # let go of meanwhile
                continue
            with self._recover_from_oom(stack):
                stack.train_epoch()
            for member in [m for m in self._members.values() if any(home is stack for _, home in m.rows)]:
                epoch = min(row.epoch for row, _ in member.rows)
                cut_short = self._members.get(member.trial.label) is not member  # since the epoch, by another's release
                if epoch > member.epochs_reported and not cut_short:
                    member.epochs_reported = epoch
                    yield self._score(member)
        self._free_stopped_fits()

    def _score(self, member: _TrialRows) -> Score:
        rows = member.all_rows()
        latest = max(rows, key=lambda row: row.epoch)
        return Score(
            trial=member.trial,
            epoch=member.epochs_reported,
            values={name: np.array([row.values[name] for row in rows]) for name in latest.values},
            metric=self._train.metric_key,
            stop_reason=latest.stopped if all(row.stopped for row in rows) else "",
        )

    def _free_stopped_fits(self) -> None:
        """Frees the rows of fits that have stopped while others of their trial go on, and keeps what they have learned."""
        for stack in list(self._stacks.values()):
            leaving = []
            for member in self._members.values():
                stopped = [row for row, home in member.rows if home is stack and row.stopped]
                if stopped and not all(row.stopped for row, _ in member.rows):
                    member.finished_fits += stack.results([row.fit for row in stopped])
                    member.rows = [(row, home) for row, home in member.rows if row not in stopped]
                    leaving += [row.fit for row in stopped]
            if leaving:
                with self._recover_from_oom(stack):
                    stack.drop(leaving)
        self._drop_empty_stacks()

    @contextmanager
    def _recover_from_oom(self, stack: Stack, entering: _TrialRows | None = None) -> Iterator[None]:
        """Within it, memory may run out over `stack`: its trials, and the one that is entering it, are cut short, and start
        again."""
        try:
            yield
        except (MemoryError, RuntimeError) as error:
            if not out_of_memory(error):
                raise
            if len(self._members) == 1:
                raise SearchFailedError(
                    "Memory ran out over a single trial: take a smaller network or train.batch_size. What has ended is stored."
                ) from error
            before = self._in_flight()
            self._rows = max(len(self._data.folds), before // 2)
            self.rows_lost += before - self._rows
            members = [entering] if entering else []
            gone = {stack}.union(*(member.rows_by_stack() for member in members))
            while found := [m for m in self._members.values() if m not in members and gone & m.rows_by_stack().keys()]:
                members += (
                    found  # their fits in other stacks start again, too, and so do these: letting go needs no memory
                )
                gone |= {home for member in found for home in member.rows_by_stack()}
            for member in members:
                self._members.pop(member.trial.label)
                self._waiting[member.trial.label] = (member.trial, member.epochs_reported)
            self._stacks = {
                key: other for key, other in self._stacks.items() if other not in gone
            }  # with what they hold
            self._less(self._rows)

    def _drop_empty_stacks(self) -> None:
        """Lets go of stacks that nobody is in."""
        self._stacks = {key: stack for key, stack in self._stacks.items() if stack.rows}

    def _in_flight(self) -> int:
        return sum(len(member.rows) for member in self._members.values())

    def _has_free_rows(self, besides: int = 0) -> bool:
        held = len(self._members) + besides
        return not held or (held + 1) * len(self._data.folds) <= self._rows

    def release(self, trial: Trial) -> TrainedTrial:
        """Frees the rows of `trial` and returns what it learned."""
        if trial.label in self._waiting:  # memory ran out since its last epoch, as others left
            return self._retrain(*self._waiting.pop(trial.label))
        member = self._members[trial.label]
        found, homes = _learned(member), member.rows_by_stack()
        for stack, rows in homes.items():
            if trial.label in self._members:  # else memory ran out over an earlier one, and nothing is left of any
                with self._recover_from_oom(stack):
                    stack.drop([row.fit for row in rows])
        self._members.pop(trial.label, None)
        self._waiting.pop(trial.label, None)
        self._drop_empty_stacks()
        return _released(member.network, found)

    def weights(self, trial: Trial) -> Mapping[str, Tensor]:
        """What a trial would leave behind if it were released now; it goes on."""
        member = self._members[trial.label]
        return _released(member.network, _learned(member)).weights

    def _retrain(self, trial: Trial, epochs: int) -> TrainedTrial:
        """Trains a trial as far as it had come, by itself."""
        alone = Population(self._data, self._build, self._train, len(self._data.folds))
        alone.admit(trial)
        for _ in range(epochs):
            list(alone.train_epoch())
        return alone.release(trial)


def _learned(member: _TrialRows) -> list[FitResult]:
    """By all its fits, in the order of the folds."""
    found = list(member.finished_fits)
    for stack, rows in member.rows_by_stack().items():
        found += stack.results([row.fit for row in rows])
    return sorted(found, key=lambda learned: learned.row.fit.fold.number)


def _released(network: BatchedNetwork, fits: list[FitResult]) -> TrainedTrial:
    weights = {name: torch.stack([fit.weights[name] for fit in fits]) for name in fits[0].weights}
    masks = [weights[p.name] != 0 for p in network.parameters if p.role == "weight"]
    epochs = [fit.row.best_epoch for fit in fits]
    scores = {
        part: {name: float(np.mean([fit.scores[part][name] for fit in fits])) for name in said}
        for part, said in fits[0].scores.items()
    }
    return TrainedTrial(
        best_epoch=round(float(np.mean(epochs))) if all(epochs) else 0,
        train=scores["train"],
        valid=scores.get("valid", {}),
        nonzero_share=sum(int(m.sum()) for m in masks) / (sum(m.numel() for m in masks) or 1),
        fit_epochs=sum(fit.row.epoch for fit in fits),
        weights=weights,
    )
