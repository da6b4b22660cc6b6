"""The population: all fits in training, as rows of stacks."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from types import MappingProxyType

from torch import Tensor

from hpo.core.errors import SearchFailedError
from hpo.core.importing import Factory
from hpo.core.samples import Samples
from hpo.core.trial import Fit, Score, TrainedTrial, Trial
from hpo.nn.network import BatchedNetwork
from hpo.regularizers import STRENGTHS, overrides
from hpo.regularizers.active import active_strengths
from hpo.space.settings import TrainConfig
from hpo.space.space import Space
from hpo.training.builder import NetworkBuilder
from hpo.training.capacity import out_of_memory
from hpo.training.stack import Stack
from hpo.training.trial_rows import MovedTrial, TrialRows, trained_trial


class Population:
    """Trains trials on one data set, up to `rows` fits at once.

    A trial is admitted, trained epoch by epoch, and released with all its fits; a fit that stops before the other fits
    of its trial frees its row at once. `build` makes the network of a trial.

    When memory runs out in a stack, the trials of that stack start again, with half as many rows in training. Epochs
    that were reported before are not reported again. `on_row_budget` is called with the new number of rows.
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
        self._on_row_budget = on_row_budget
        self.stacks: dict[object, Stack] = {}
        self.members: dict[str, TrialRows] = {}
        self.waiting: dict[str, tuple[Trial, int]] = {}  # interrupted when memory ran out, with their reported epochs
        self.rows_lost = 0  # the number of rows by which running out of memory has reduced the population

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
        """Make the population for the networks and the training settings of a space.

        `factory` builds the networks (None: an MLP), which start from those weights that `state` contains.
        """
        networks = NetworkBuilder(space, factory, data.n_inputs, data.n_outputs, state)
        return cls(data, lambda trial: networks.network_for(trial.params), space.train, rows, on_row_budget)

    # ---- trials enter and leave

    def has_room(self, n_elsewhere: int = 0) -> bool:
        """Return whether there are rows for another trial, counting `n_elsewhere` trials outside the population.

        An empty population always has room for one trial.
        """
        return not self.waiting and self._has_free_rows(n_elsewhere)

    def admit(self, trial: Trial) -> None:
        """Give every fit of `trial` a newly initialized row; if other trials wait for memory, queue it behind them."""
        if self.waiting:
            self.waiting[trial.label] = (trial, 0)
        else:
            self._admit(trial, epochs_reported=0)

    def _admit(self, trial: Trial, epochs_reported: int) -> None:
        network = self._build(trial)
        member = self.members[trial.label] = TrialRows(trial, network, epochs_reported)
        fits: dict[Stack, list[Fit]] = {}
        for fold in self._data.folds:
            fit = Fit(trial, fold)
            fits.setdefault(self._stack(fit, network), []).append(fit)
        for stack, stack_fits in fits.items():
            with self._recover_from_oom(stack, member):
                rows = stack.admit(stack_fits, network, self._train.of(trial.params))
                member.rows += [(row, stack) for row in rows]
            if trial.label in self.waiting:
                return

    def detach(self, trial: Trial) -> MovedTrial | Trial:
        """Free the rows of `trial` and return their state, to be passed to `attach` of another population.

        Returns the trial itself if it has no rows because it waits for memory.
        """
        if self.waiting.pop(trial.label, None):
            return trial
        member = self.members.pop(trial.label)
        parts = [stack.detach([row.fit for row in rows]) for stack, rows in member.rows_by_stack().items()]
        self._drop_empty_stacks()
        return MovedTrial(trial, parts, member.finished_fits, member.cycle_weights)

    def attach(self, moved: MovedTrial) -> None:
        """Continue a trial where another population detached it."""
        trial, network = moved.trial, self._build(moved.trial)
        epoch = max(row.epoch for rows, _ in moved.parts for row in rows)
        member = TrialRows(
            trial, network, epoch, finished_fits=moved.finished_fits, cycle_weights=list(moved.cycle_weights)
        )
        self.members[trial.label] = member
        for rows, tensors in moved.parts:
            for row in rows:
                row.network = network
            stack = self._stack(rows[0].fit, network)
            with self._recover_from_oom(stack, member):
                stack.attach(rows, tensors)
                member.rows += [(row, stack) for row in rows]
            if trial.label in self.waiting:
                return

    def release(self, trial: Trial) -> TrainedTrial:
        """Free the rows of `trial` and return the trained trial."""
        if trial.label in self.waiting:  # memory ran out after its last epoch, while other trials were released
            return self._retrain(*self.waiting.pop(trial.label))
        member = self.members[trial.label]
        trained, groups = trained_trial(member, member.results()), member.rows_by_stack()
        for stack, rows in groups.items():
            if trial.label in self.members:  # else memory ran out in an earlier stack, and the trial lost all its rows
                with self._recover_from_oom(stack):
                    stack.drop([row.fit for row in rows])
        self.members.pop(trial.label, None)
        self.waiting.pop(trial.label, None)
        self._drop_empty_stacks()
        return trained

    def train_alone(self, trial: Trial, epochs: int) -> TrainedTrial:
        """Train one trial for a number of epochs from the start, and return it; the population must be empty."""
        self.admit(trial)
        for _ in range(epochs):
            list(self.train_epoch())
        return self.release(trial)

    def _retrain(self, trial: Trial, epochs: int) -> TrainedTrial:
        return Population(self._data, self._build, self._train, len(self._data.folds)).train_alone(trial, epochs)

    # ---- training

    def train_epoch(self) -> Iterator[Score]:
        """Train every stack for one epoch, and yield the score of each trial as soon as its last stack is done.

        Trials may be released while this generator is suspended.
        """
        while self.waiting and self._has_free_rows():
            self._admit(*self.waiting.pop(next(iter(self.waiting))))
        for key in list(self.stacks):
            if (stack := self.stacks.get(key)) is None:  # dropped since the epoch began
                continue
            with self._recover_from_oom(stack):
                stack.train_epoch()
            for member in [m for m in self.members.values() if m.is_in(stack)]:
                if self.members.get(member.trial.label) is not member:  # interrupted by the release of another trial
                    continue
                member.record_cycle(self._train.metric_key)
                if member.epoch > member.epochs_reported:
                    member.epochs_reported = member.epoch
                    yield member.score(self._train.metric_key)
        self._free_stopped_fits()

    def _free_stopped_fits(self) -> None:
        """Free the rows of fits that have stopped while other fits of their trial continue."""
        for stack in list(self.stacks.values()):
            stopped = [row.fit for m in self.members.values() for row in m.finish_stopped_fits(stack)]
            if stopped:
                with self._recover_from_oom(stack):
                    stack.drop(stopped)
        self._drop_empty_stacks()

    def _stack(self, fit: Fit, network: BatchedNetwork) -> Stack:
        """Return the stack for fits of this architecture, batch size, named regularizers and numbers of data rows."""
        trial, fold = fit.trial, fit.fold
        names = tuple(name for name in STRENGTHS if name in trial.params.strengths)
        unbatched, train = () if network.batched else (trial.label, fold.number), self._train.of(trial.params)
        parts = (fold.train, fold.valid, fold.target, fold.target_valid, fold.source_valid)
        # Trials with a second backward pass have separate stacks, so that other trials do not wait for that pass.
        two_passes = any(overrides(STRENGTHS[name], "perturb") for name in active_strengths(trial.params))
        key = (network.stack_key, names, train.batch_size, *map(len, parts), two_passes, unbatched)
        if key not in self.stacks:
            self.stacks[key] = Stack(names, self._data, train)
        return self.stacks[key]

    def _drop_empty_stacks(self) -> None:
        self.stacks = {key: stack for key, stack in self.stacks.items() if stack.rows}

    def _has_free_rows(self, n_elsewhere: int = 0) -> bool:
        trials = len(self.members) + n_elsewhere
        return not trials or (trials + 1) * len(self._data.folds) <= self._rows

    # ---- when memory runs out

    @contextmanager
    def _recover_from_oom(self, stack: Stack, entering: TrialRows | None = None) -> Iterator[None]:
        """Handle running out of memory in `stack`: its trials, and the trial `entering` it, will start again later.

        Raises SearchFailedError if there is only one trial.
        """
        try:
            yield
        except (MemoryError, RuntimeError) as error:
            if not out_of_memory(error):
                raise
            if len(self.members) == 1:
                raise SearchFailedError(
                    "Memory ran out with a single trial in training: use a smaller network or train.batch_size. "
                    "Trials that have ended are stored."
                ) from error
            before = sum(len(member.rows) for member in self.members.values())
            self._rows = max(len(self._data.folds), before // 2)
            self.rows_lost += before - self._rows
            self._interrupt(stack, entering)
            self._on_row_budget(self._rows)

    def _interrupt(self, stack: Stack, entering: TrialRows | None) -> None:
        """Drop a stack and every stack that shares a trial with it, and queue their trials to start again.

        Whole stacks are dropped, because dropping single rows would need memory.
        """
        members = [entering] if entering else []
        dropped = {stack}.union(*(member.rows_by_stack() for member in members))
        while more := [m for m in self.members.values() if m not in members and dropped & m.rows_by_stack().keys()]:
            members += more
            dropped |= {shared for member in more for shared in member.rows_by_stack()}
        for member in members:
            self.members.pop(member.trial.label)
            self.waiting[member.trial.label] = (member.trial, member.epochs_reported)
        self.stacks = {key: other for key, other in self.stacks.items() if other not in dropped}
