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
from hpo.core.trial import Fit, Released, Score, Trial
from hpo.nn.network import Network
from hpo.regularizers import FAMILY, STRENGTHS, acting, overrides
from hpo.space.settings import Train
from hpo.space.space import Space
from hpo.training.builder import Networks
from hpo.training.capacity import out_of_memory
from hpo.training.stack import Stack
from hpo.training.state import Learned, Row, Tensors


@dataclass(frozen=True)
class Moving:
    """A trial in the middle of its training, on the way from one population to another: the rows of each of its stacks with
    what belongs to them, and what those of its fits have learned that have stopped before the others."""

    trial: Trial
    parts: list[tuple[list[Row], Tensors]]
    aside: list[Learned]


@dataclass(eq=False)
class _Member:
    trial: Trial
    network: Network
    rows: list[tuple[Row, Stack]]  # of the fits that have a row
    aside: list[Learned]  # by those that had
    told: int = 0  # the last epoch that was told

    def homes(self) -> dict[Stack, list[Row]]:
        """The stacks that its rows lie in, and which these are."""
        found: dict[Stack, list[Row]] = {}
        for row, stack in self.rows:
            found.setdefault(stack, []).append(row)
        return found

    def every(self) -> list[Row]:
        """Of all its fits, in the order of the folds."""
        rows = [row for row, _ in self.rows] + [learned.row for learned in self.aside]
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
        cls,
        space: Space,
        factory: Factory | None,
        data: Samples,
        rows: int,
        state: Mapping[str, Tensor] = MappingProxyType({}),
        less: Callable[[int], None] = lambda _: None,
    ) -> Population:
        """The population that a space asks for; its networks begin with `state`."""

        networks = Networks(space, factory, data.n_inputs, data.n_outputs, state)
        return cls(data, lambda trial: networks.of(trial.params), space.train, rows, less)

    def room(self, besides: int = 0) -> bool:
        """Whether all fits of one more trial find a row, `besides` so many that are not here (the first trial always does)."""
        return not self._waiting and self._free(besides)

    def admit(self, trial: Trial) -> None:
        """Gives every fit of `trial` a row, freshly initialised; while others wait for memory, it waits behind them."""
        if self._waiting:
            self._waiting[trial.label] = (trial, 0)
        else:
            self._admit(trial, told=0)

    def _admit(self, trial: Trial, told: int) -> None:
        network = self._build(trial)
        member = self._members[trial.label] = _Member(trial, network, [], [], told)
        fits: dict[Stack, list[Fit]] = {}
        for fold in self._data.folds:
            fit = Fit(trial, fold)
            fits.setdefault(self._stack(fit, network), []).append(fit)
        for stack, mine in fits.items():
            with self._spared(stack, member):
                member.rows += [(row, stack) for row in stack.admit(mine, network, self._train.of(trial.params))]
            if trial.label in self._waiting:
                return

    def give(self, trial: Trial) -> Moving | Trial:
        """Frees the rows of `trial` as they are, for another population to `take`; the trial alone if it has none now."""
        if self._waiting.pop(trial.label, None):
            return trial
        member = self._members.pop(trial.label)
        parts = [stack.give([row.fit for row in rows]) for stack, rows in member.homes().items()]
        self._tidy()
        return Moving(trial, parts, member.aside)

    def take(self, moving: Moving) -> None:
        """Goes on with a trial where another population left it."""
        trial, network = moving.trial, self._build(moving.trial)
        member = self._members[trial.label] = _Member(trial, network, [], moving.aside)
        member.told = max(row.epoch for rows, _ in moving.parts for row in rows)
        for rows, tensors in moving.parts:
            for row in rows:
                row.network = network
            stack = self._stack(rows[0].fit, network)
            with self._spared(stack, member):
                stack.take(rows, tensors)
                member.rows += [(row, stack) for row in rows]
            if trial.label in self._waiting:
                return

    def _stack(self, fit: Fit, network: Network) -> Stack:
        """The stack for networks of that shape and as many rows of data, with the regularizers that the trial names."""
        trial, fold = fit.trial, fit.fold
        names = tuple(name for name in FAMILY if name in STRENGTHS and name in trial.params)
        alone, train = () if network.batched else (trial.label, fold.number), self._train.of(trial.params)
        parts = (fold.train, fold.valid, fold.target, fold.target_valid, fold.source_valid)
        twice = any(
            overrides(STRENGTHS[name], "ascend") for name in acting(trial.params) if name in STRENGTHS
        )  # others need not wait for it
        key = (network.alike, names, train.batch_size, *map(len, parts), twice, alone)
        if key not in self._stacks:
            self._stacks[key] = Stack(names, self._data, train)
        return self._stacks[key]

    def train_epoch(self) -> Iterator[Score]:
        """Trains every stack for one epoch; one score a trial, as its last stack is done. Trials may be released meanwhile."""
        while self._waiting and self._free():
            self._admit(*self._waiting.pop(next(iter(self._waiting))))
        for key in list(self._stacks):
            if (stack := self._stacks.get(key)) is None:  # let go of meanwhile
                continue
            with self._spared(stack):
                stack.train_epoch()
            for member in [m for m in self._members.values() if any(home is stack for _, home in m.rows)]:
                epoch = min(row.epoch for row, _ in member.rows)
                cut_short = self._members.get(member.trial.label) is not member  # since the epoch, by another's release
                if epoch > member.told and not cut_short:
                    member.told = epoch
                    yield self._score(member)
        self._put_aside()

    def _score(self, member: _Member) -> Score:
        rows = member.every()
        latest = max(rows, key=lambda row: row.epoch)
        return Score(
            trial=member.trial,
            epoch=member.told,
            values={name: np.array([row.values[name] for row in rows]) for name in latest.values},
            metric=self._train.metric_key,
            last=latest.stopped if all(row.stopped for row in rows) else "",
        )

    def _put_aside(self) -> None:
        """Frees the rows of fits that have stopped while others of their trial go on, and keeps what they have learned."""
        for stack in list(self._stacks.values()):
            leaving = []
            for member in self._members.values():
                stopped = [row for row, home in member.rows if home is stack and row.stopped]
                if stopped and not all(row.stopped for row, _ in member.rows):
                    member.aside += stack.learned([row.fit for row in stopped])
                    member.rows = [(row, home) for row, home in member.rows if row not in stopped]
                    leaving += [row.fit for row in stopped]
            if leaving:
                with self._spared(stack):
                    stack.drop(leaving)
        self._tidy()

    @contextmanager
    def _spared(self, stack: Stack, entering: _Member | None = None) -> Iterator[None]:
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
            self.surrendered += before - self._rows
            members = [entering] if entering else []
            gone = {stack}.union(*(member.homes() for member in members))
            while found := [m for m in self._members.values() if m not in members and gone & m.homes().keys()]:
                members += (
                    found  # their fits in other stacks start again, too, and so do these: letting go needs no memory
                )
                gone |= {home for member in found for home in member.homes()}
            for member in members:
                self._members.pop(member.trial.label)
                self._waiting[member.trial.label] = (member.trial, member.told)
            self._stacks = {
                key: other for key, other in self._stacks.items() if other not in gone
            }  # with what they hold
            self._less(self._rows)

    def _tidy(self) -> None:
        """Lets go of stacks that nobody is in."""
        self._stacks = {key: stack for key, stack in self._stacks.items() if stack.rows}

    def _in_flight(self) -> int:
        return sum(len(member.rows) for member in self._members.values())

    def _free(self, besides: int = 0) -> bool:
        held = len(self._members) + besides
        return not held or (held + 1) * len(self._data.folds) <= self._rows

    def release(self, trial: Trial) -> Released:
        """Frees the rows of `trial` and returns what it learned."""
        if trial.label in self._waiting:  # memory ran out since its last epoch, as others left
            return self._again(*self._waiting.pop(trial.label))
        member = self._members[trial.label]
        found, homes = _learned(member), member.homes()
        for stack, rows in homes.items():
            if trial.label in self._members:  # else memory ran out over an earlier one, and nothing is left of any
                with self._spared(stack):
                    stack.drop([row.fit for row in rows])
        self._members.pop(trial.label, None)
        self._waiting.pop(trial.label, None)
        self._tidy()
        return _released(member.network, found)

    def weights(self, trial: Trial) -> Mapping[str, Tensor]:
        """What a trial would leave behind if it were released now; it goes on."""
        member = self._members[trial.label]
        return _released(member.network, _learned(member)).weights

    def _again(self, trial: Trial, epochs: int) -> Released:
        """Trains a trial as far as it had come, by itself."""
        alone = Population(self._data, self._build, self._train, len(self._data.folds))
        alone.admit(trial)
        for _ in range(epochs):
            list(alone.train_epoch())
        return alone.release(trial)


def _learned(member: _Member) -> list[Learned]:
    """By all its fits, in the order of the folds."""
    found = list(member.aside)
    for stack, rows in member.homes().items():
        found += stack.learned([row.fit for row in rows])
    return sorted(found, key=lambda learned: learned.row.fit.fold.number)


def _released(network: Network, fits: list[Learned]) -> Released:
    weights = {name: torch.stack([fit.weights[name] for fit in fits]) for name in fits[0].weights}
    masks = [weights[p.name] != 0 for p in network.parameters if p.role == "weight"]
    epochs = [fit.row.best_epoch for fit in fits]
    scores = {
        part: {name: float(np.mean([fit.scores[part][name] for fit in fits])) for name in said}
        for part, said in fits[0].scores.items()
    }
    return Released(
        best_epoch=round(float(np.mean(epochs))) if all(epochs) else 0,
        train=scores["train"],
        valid=scores.get("valid", {}),
        nonzero_share=sum(int(m.sum()) for m in masks) / (sum(m.numel() for m in masks) or 1),
        fit_epochs=sum(fit.row.epoch for fit in fits),
        weights=weights,
    )
