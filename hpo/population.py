"""The population: every fit in training, as rows of stacks. A trial is admitted whole, trained an epoch at a time, and
released whole."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import numpy as np

from hpo import result as results
from hpo.dataset import Samples
from hpo.network import Mlp
from hpo.regularizers import FAMILY, STRENGTHS
from hpo.space import Space, Train
from hpo.stack import Row, Stack, Tensors
from hpo.trial import Fit, Released, Score, Trial

_LEAST, _MOST = 16, 32  # measured: fewer rows make a step dear, more buy nothing on a CPU
_LEAST_A_WORKER = 12  # fewer make a step dear; more start without being told of others, and are pruned later (docs/decisions.md)


def rows_for(trials: int | None, workers: int = 1) -> int:
    """How many rows train at once, in all workers together, for a budget of that many trials (None: limited by time alone).

    Rows in flight are proposed without knowing each other's results, so they are a small part of the budget: an eighth,
    within what makes a step cheap, and never more than a third.
    """
    rows = _LEAST if trials is None else max(_LEAST, min(_MOST, trials // 8))
    rows = max(rows, _LEAST_A_WORKER * workers)
    return rows if trials is None else max(1, min(rows, trials // 3))


@dataclass(frozen=True)
class Moving:
    """A trial in the middle of its training, on the way from one population to another."""

    trial: Trial
    rows: list[Row]
    tensors: Tensors


@dataclass
class _Member:
    trial: Trial
    network: Mlp
    fits: list[Fit]
    stack: Stack


class Population:
    """Room for `rows` fits of the trials that are proposed for one data set.

    `build` makes the network of a trial's depth.
    """

    def __init__(self, data: Samples, build: Callable[[Trial], Mlp], train: Train, rows: int) -> None:
        self._data = data
        self._build = build
        self._train = train
        self._rows = rows
        self._stacks: dict[object, Stack] = {}
        self._members: dict[str, _Member] = {}

    @classmethod
    def of(cls, space: Space, data: Samples, rows: int) -> Population:
        """The population that a space asks for."""

        def build(trial: Trial) -> Mlp:
            return results.network(space, data.n_inputs, data.n_outputs, trial.params)

        return cls(data, build, space.train, rows)

    def room(self) -> bool:
        """Whether all fits of one more trial find a row (the first trial always does)."""
        in_flight = sum(len(member.fits) for member in self._members.values())
        return not self._members or in_flight + len(self._data.folds) <= self._rows

    def busy(self) -> bool:
        return bool(self._members)

    def admit(self, trial: Trial) -> None:
        """Gives every fit of `trial` a row, freshly initialised."""
        network = self._build(trial)
        stack = self._stack(trial, network)
        fits = [Fit(trial, fold.number, fold.train, fold.valid) for fold in self._data.folds]
        self._members[trial.label] = _Member(trial, network, fits, stack)
        for fit in fits:
            stack.admit(fit, network)

    def give(self, trial: Trial) -> Moving:
        """Frees the rows of `trial` as they are, for another population to `take`."""
        member = self._members.pop(trial.label)
        return Moving(trial, *member.stack.give(member.fits))

    def take(self, moving: Moving) -> None:
        """Goes on with a trial where another population left it."""
        network = self._build(moving.trial)
        stack = self._stack(moving.trial, network)
        for row in moving.rows:
            row.network = network
        self._members[moving.trial.label] = _Member(moving.trial, network, [row.fit for row in moving.rows], stack)
        stack.take(moving.rows, moving.tensors)

    def _stack(self, trial: Trial, network: Mlp) -> Stack:
        """The stack for networks of that shape, with the regularizers that the trial names."""
        names = tuple(name for name in FAMILY if name in STRENGTHS and name in trial.params)
        key = (replace(network, depth=1), names)
        if key not in self._stacks:
            self._stacks[key] = Stack(names, self._data, self._train)
        return self._stacks[key]

    def train_epoch(self) -> Iterator[Score]:
        """Trains every stack for one epoch; one score a trial, as its stack is done. Trials may be released meanwhile."""
        for stack in list(self._stacks.values()):
            if not stack.rows:
                continue
            values = stack.train_epoch()
            rows = list(stack.rows)
            for member in [m for m in self._members.values() if m.stack is stack]:
                mine = [i for i, row in enumerate(rows) if row.fit in member.fits]
                reasons = [rows[i].stopped for i in mine]
                yield Score(
                    trial=member.trial,
                    epoch=rows[mine[0]].epoch,
                    values={name: value[mine] for name, value in values.items()},
                    metric=self._train.metric_key,
                    last=reasons[0] if all(reasons) else "",
                )

    def release(self, trial: Trial) -> Released:
        """Frees the rows of `trial` and returns what it learned."""
        member = self._members.pop(trial.label)
        weights, epochs, train, valid = member.stack.release(member.fits)
        masks = [weights[p.name] != 0 for p in member.network.parameters if p.role == "weight"]
        return Released(
            best_epoch=round(float(np.mean(epochs))),
            train={name: float(value.mean()) for name, value in train.items()},
            valid={name: float(value.mean()) for name, value in valid.items()},
            nonzero_share=sum(int(m.sum()) for m in masks) / sum(m.numel() for m in masks),
            weights=weights,
        )
