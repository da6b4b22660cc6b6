"""The population: every fit in training, as rows of stacks. A trial is admitted whole, trained an epoch at a time, and
released whole."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np

from hpo.capacity import out_of_memory
from hpo.dataset import Samples
from hpo.errors import SearchFailedError
from hpo.factory import Factory
from hpo.network import Network
from hpo.networks import Networks
from hpo.regularizers import FAMILY, STRENGTHS
from hpo.space import Space, Train
from hpo.stack import Row, Stack, Tensors
from hpo.trial import Fit, Released, Score, Trial


@dataclass(frozen=True)
class Moving:
    """A trial in the middle of its training, on the way from one population to another."""

    trial: Trial
    rows: list[Row]
    tensors: Tensors


@dataclass
class _Member:
    trial: Trial
    network: Network
    fits: list[Fit]
    stack: Stack
    told: int = 0  # the last epoch that was told


class Population:
    """Room for `rows` fits of the trials that are proposed for one data set.

    `build` makes the network of a trial. When memory runs out, the trials of the stack that needed it start again, half as
    many rows at once, and their epochs are told where they had been; `less` is called with the new number of rows.
    """

    def __init__(
        self,
        data: Samples,
        build: Callable[[Trial], Network],
        train: Train,
        rows: int,
        less: Callable[[int], None] = lambda _: None,
    ) -> None:
        self._data = data
        self._build = build
        self._train = train
        self._rows = rows
        self._less = less
        self._stacks: dict[object, Stack] = {}
        self._members: dict[str, _Member] = {}
        self._waiting: dict[str, tuple[Trial, int]] = {}  # cut short, with the epochs that were told
        self.surrendered = 0  # rows, for want of memory, so far

    @classmethod
    def of(
        cls, space: Space, factory: Factory | None, data: Samples, rows: int, less: Callable[[int], None] = lambda _: None
    ) -> Population:
        """The population that a space asks for."""

        networks = Networks(space, factory, data.n_inputs, data.n_outputs)
        return cls(data, lambda trial: networks.of(trial.params), space.train, rows, less)

    def room(self, besides: int = 0) -> bool:
        """Whether all fits of one more trial find a row, `besides` so many that are not here (the first trial always does)."""
        return not self._waiting and self._free(besides)

    def busy(self) -> bool:
        return bool(self._members or self._waiting)

    def admit(self, trial: Trial) -> None:
        """Gives every fit of `trial` a row, freshly initialised; while others wait for memory, it waits behind them."""
        if self._waiting:
            self._waiting[trial.label] = (trial, 0)
        else:
            self._admit(trial, told=0)

    def _admit(self, trial: Trial, told: int) -> None:
        network = self._build(trial)
        stack = self._stack(trial, network)
        fits = [Fit(trial, fold.number, fold.train, fold.valid) for fold in self._data.folds]
        self._members[trial.label] = _Member(trial, network, fits, stack, told)
        with self._spared(stack):
            for fit in fits:
                stack.admit(fit, network)

    def give(self, trial: Trial) -> Moving | Trial:
        """Frees the rows of `trial` as they are, for another population to `take`; the trial alone if it has none now."""
        if self._waiting.pop(trial.label, None):
            return trial
        member = self._members.pop(trial.label)
        moving = Moving(trial, *member.stack.give(member.fits))
        self._tidy()
        return moving

    def take(self, moving: Moving) -> None:
        """Goes on with a trial where another population left it."""
        network = self._build(moving.trial)
        stack = self._stack(moving.trial, network)
        for row in moving.rows:
            row.network = network
        told = max(row.epoch for row in moving.rows)
        self._members[moving.trial.label] = _Member(moving.trial, network, [row.fit for row in moving.rows], stack, told)
        with self._spared(stack):
            stack.take(moving.rows, moving.tensors)

    def _stack(self, trial: Trial, network: Network) -> Stack:
        """The stack for networks of that shape, with the regularizers that the trial names."""
        names = tuple(name for name in FAMILY if name in STRENGTHS and name in trial.params)
        key = (network.alike, names, "" if network.batched else trial.label)
        if key not in self._stacks:
            self._stacks[key] = Stack(names, self._data, self._train)
        return self._stacks[key]

    def train_epoch(self) -> Iterator[Score]:
        """Trains every stack for one epoch; one score a trial, as its stack is done. Trials may be released meanwhile."""
        while self._waiting and self._free():
            self._admit(*self._waiting.pop(next(iter(self._waiting))))
        for stack in list(self._stacks.values()):
            values: dict[str, np.ndarray] = {}
            with self._spared(stack):
                values = stack.train_epoch() if stack.rows else {}
            rows = list(stack.rows)
            for member in [m for m in self._members.values() if m.stack is stack]:
                mine = [i for i, row in enumerate(rows) if row.fit in member.fits]
                reasons = [rows[i].stopped for i in mine]
                cut_short = self._members.get(member.trial.label) is not member  # since the epoch, by another's release
                if rows[mine[0]].epoch > member.told and not cut_short:
                    member.told = rows[mine[0]].epoch
                    yield Score(
                        trial=member.trial,
                        epoch=member.told,
                        values={name: value[mine] for name, value in values.items()},
                        metric=self._train.metric_key,
                        last=reasons[0] if all(reasons) else "",
                    )

    @contextmanager
    def _spared(self, stack: Stack) -> Iterator[None]:
        """Within it, memory may run out over `stack`: its trials are cut short, and start again."""
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
            self._rows = max(1, before // 2)
            self.surrendered += before - self._rows
            for member in [m for m in self._members.values() if m.stack is stack]:
                del self._members[member.trial.label]
                self._waiting[member.trial.label] = (member.trial, member.told)
            self._stacks = {key: other for key, other in self._stacks.items() if other is not stack}  # with what it holds
            self._less(self._rows)

    def _tidy(self) -> None:
        """Lets go of stacks that nobody is in."""
        self._stacks = {key: stack for key, stack in self._stacks.items() if stack.rows}

    def _in_flight(self) -> int:
        return sum(len(member.fits) for member in self._members.values())

    def _free(self, besides: int = 0) -> bool:
        held = self._in_flight() + besides * len(self._data.folds)
        return not held or held + len(self._data.folds) <= self._rows

    def release(self, trial: Trial) -> Released:
        """Frees the rows of `trial` and returns what it learned."""
        if trial.label in self._waiting:  # memory ran out since its last epoch, as others left
            return self._again(*self._waiting.pop(trial.label))
        member = self._members[trial.label]
        weights, epochs, train, valid = member.stack.learned(member.fits)
        trained = sum(row.epoch for row in member.stack.rows if row.fit in member.fits)
        with self._spared(member.stack):
            member.stack.drop(member.fits)
        self._members.pop(trial.label, None)
        self._waiting.pop(trial.label, None)
        self._tidy()
        masks = [weights[p.name] != 0 for p in member.network.parameters if p.role == "weight"]
        return Released(
            best_epoch=round(float(np.mean(epochs))),
            train={name: float(value.mean()) for name, value in train.items()},
            valid={name: float(value.mean()) for name, value in valid.items()},
            fit_epochs=trained,
            nonzero_share=sum(int(m.sum()) for m in masks) / (sum(m.numel() for m in masks) or 1),
            weights=weights,
        )

    def _again(self, trial: Trial, epochs: int) -> Released:
        """Trains a trial as far as it had come, by itself."""
        alone = Population(self._data, self._build, self._train, len(self._data.folds))
        alone.admit(trial)
        for _ in range(epochs):
            list(alone.train_epoch())
        return alone.release(trial)
