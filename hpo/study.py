"""The study: which trial comes next, which is stopped, what is remembered. The door to Optuna.

The working study lives in memory, where asking and reporting are cheap. Its durable copy is Optuna's journal storage,
written when a trial is proposed and when it has ended, never in between: a trial that was cut off has no half-told
history, so it is simply run again, with its number, parameters and seed.
"""

from __future__ import annotations

import copy
import math
import time
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import optuna
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState

from hpo import sampling, selection
from hpo.errors import InputError, cut
from hpo.ledger import Ledger
from hpo.metrics import METRICS
from hpo.space import Space, flat
from hpo.trial import Outcome, Released, Score, State, Trial

_STATES: dict[State, TrialState] = {
    "complete": TrialState.COMPLETE,
    "pruned": TrialState.PRUNED,
    # Samplers ignore FAIL, so a configuration that diverges would come back: it is told as the worst seen.
    "failed": TrialState.COMPLETE,
}


@dataclass
class _Flight:
    """A trial in training, and what it has shown so far."""

    trial: Trial
    started: float
    curves: dict[str, list[float]] = field(default_factory=dict)
    fold_curves: dict[str, list[list[float]]] = field(default_factory=dict)
    times: list[float] = field(default_factory=list)
    verdict: tuple[State, str] = ("complete", "")


class Study:
    """One search over one space. Create it with the study's lock held."""

    def __init__(self, space: Space, path: Path, fingerprint: str) -> None:
        """Opens the journal at `path`, or begins it. Raises InputError if it belongs to another space or other data."""
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        self._space = space
        self._metric = METRICS[space.train.metric]
        self._direction = StudyDirection.MINIMIZE if self._metric.sign == 1 else StudyDirection.MAXIMIZE
        self._distributions = sampling.distributions(space.domains)
        self._ledger = Ledger(path)
        self._memory = sampling.history(space, self._direction)
        pruner = sampling.pruner(space, self._memory)
        self._study = optuna.create_study(
            storage=self._memory, study_name=space.study, direction=self._direction, pruner=pruner
        )
        self._id = self._memory.get_study_id_from_name(space.study)
        self._asked: set[str] = set()  # what the sampler waits for
        self._pending: deque[Trial] = deque()
        self._flights: dict[str, _Flight] = {}
        self.outcomes: dict[str, Outcome] = {}
        self.counts: dict[State, int] = dict.fromkeys(_STATES, 0)  # of what counts against the budget
        self._best: Outcome | None = None
        self._worst: float | None = None  # finite value that any trial has shown
        self._load(fingerprint)
        self._began = time.time()
        fixed = [self._as_trial(0, {})] if space.is_point else selection.baselines(space)
        self._baselines = len(fixed)
        for trial in fixed:
            self.fix(trial)

    # ---- what the loop asks

    def open(self) -> bool:
        """Whether another trial is to be started."""
        return bool(self._pending) or (self._left() > 0 and not self._out_of_time())

    def ask(self) -> Trial:
        """The next trial: one that was cut off, a fixed one, or a new proposal."""
        trial = self._pending.popleft() if self._pending else self._propose()
        self._flights[trial.label] = _Flight(trial, time.time())
        return trial

    def over(self, score: Score) -> bool:
        """Takes in one epoch of a trial; whether the trial ends with it. To be called once an epoch and trial."""
        flight = self._flights[score.trial.label]
        for name, value in score.means.items():
            flight.curves.setdefault(name, []).append(value)
        for name in self._by_fold(score):
            flight.fold_curves.setdefault(name, []).append(score.values[name].tolist())
        flight.times.append(round(time.time(), 3))  # as precise as MLflow's
        if not score.finite:
            flight.verdict = ("failed", f"diverged in epoch {score.epoch}")
        elif score.last:
            flight.verdict = ("complete", score.last)
        elif self._prune(score):
            flight.verdict = ("pruned", f"{self._space.pruner.kind} pruner in epoch {score.epoch}")
        elif score.trial.role == "search" and self._out_of_time():
            flight.verdict = ("pruned", f"the time was up in epoch {score.epoch}")
        return bool(flight.verdict[1])

    def _by_fold(self, score: Score) -> list[str]:
        """What is kept of every fold: of a proposed trial what pruning follows, of others all that they are judged by."""
        if score.trial.counted or score.trial.role == "ablation":
            several = len(score.values[score.metric]) > 1
            return [score.metric] if several else []
        return [name for name in score.values if name.startswith("valid_")]

    def finish(self, trial: Trial, released: Released) -> Outcome:
        """Stores how a trial ended. When this returns, the outcome survives whatever happens to this process."""
        outcome = self._outcome(trial, released)
        del self._flights[trial.label]
        with self._ledger.batch():
            if trial.label in self._asked:
                self._tell(outcome)
            else:
                self.remember(f"outcome:{trial.label}", outcome.to_json())
            self.remember("elapsed", self.elapsed())
        self._take_in(outcome)
        return outcome

    def _outcome(self, trial: Trial, released: Released) -> Outcome:
        flight = self._flights[trial.label]
        state, reason = flight.verdict
        seen = released.best_epoch > 0
        return Outcome(
            trial=trial,
            state=state,
            reason=reason,
            value=released.valid[self._metric.name] if seen else None,
            best_epoch=released.best_epoch,
            epochs=len(flight.times),
            train=released.train if seen else {},
            valid=released.valid if seen else {},
            nonzero_share=released.nonzero_share,
            curves=flight.curves,
            fold_curves=flight.fold_curves,
            fit_epochs=released.fit_epochs,
            started=flight.started,
            times=flight.times,
        )

    # ---- what a search asks besides

    def fix(self, trial: Trial) -> None:
        """Has `trial` run as it is, unseen by the sampler, unless that was done already."""
        done = self.outcomes.get(trial.label)
        if done is None or done.trial != trial:
            self._pending.append(trial)

    @property
    def pending(self) -> bool:
        """Whether a trial waits that was fixed or cut off."""
        return bool(self._pending)

    def elapsed(self) -> float:
        """Seconds of searching, over all sessions."""
        return self._elapsed_before + time.time() - self._began

    def remember(self, key: str, value: Any) -> None:
        """Stores a value with the study; `recall` gives it back."""
        self._ledger.remember(key, value)

    def recall(self, key: str) -> Any:
        return self._ledger.recall(key)

    def in_flight(self) -> int:
        """How many trials are in training."""
        return len(self._flights)

    def judged(self) -> list[Outcome]:
        """The outcomes that count against the budget: searched trials and baselines."""
        return [o for o in self.outcomes.values() if o.trial.counted]

    def searched(self) -> list[Outcome]:
        """The outcomes of what was proposed."""
        return [o for o in self.outcomes.values() if o.trial.role == "search"]

    def best(self) -> Outcome | None:
        """The best of what is judged."""
        return self._best

    def close(self) -> None:
        self._ledger.close()

    # ---- proposing and pruning

    def _left(self) -> int:
        """How many proposals the budget still has."""
        if self._space.is_point:
            return 0
        budget = self._space.budget.trials
        total = 10**9 if budget is None else budget - self._baselines
        if self._space.sampler.kind == "grid":
            total = min(total, int(self._space.points))
        return total - self._proposed

    def _out_of_time(self) -> bool:
        seconds = self._space.budget.seconds
        return seconds is not None and self.elapsed() > seconds

    def _propose(self) -> Trial:
        number = self._proposed
        self._study.sampler = sampling.sampler(self._space, number, self._memory)
        asked = self._study.ask(self._distributions)
        self._proposed += 1
        trial = self._as_trial(number, asked.params)
        asked.set_user_attr("seed", trial.seed)
        self._asked.add(trial.label)
        with self._ledger.batch():
            self._ledger.keep_sampler_attrs(self._memory.get_study_system_attrs(self._id))
            self._ledger.propose(self._memory.get_trial(number))
        return trial

    def _as_trial(self, number: int, params: Mapping[str, Any]) -> Trial:
        seed = selection.fit_seed(self._space, str(number))
        return Trial(str(number), "search", self._space.params(params), seed)

    def _prune(self, score: Score) -> bool:
        if score.trial.label not in self._asked:
            return False
        number = int(score.trial.label)  # the id, too: there is one study in memory
        self._memory.set_trial_intermediate_value(number, score.epoch, score.value)
        return self._study.pruner.prune(self._study, self._memory.get_trial(number))

    # ---- telling and loading

    def _tell(self, outcome: Outcome) -> None:
        number = int(outcome.trial.label)
        self._asked.remove(outcome.trial.label)
        state, value = _STATES[outcome.state], outcome.value
        if outcome.state == "failed":
            value = self._worst
            self._memory.set_trial_user_attr(number, "diverged", outcome.reason)
            state = TrialState.FAIL if value is None else state
        if outcome.state == "pruned" and self._space.sampler.kind == "gp" and value is not None:
            state = TrialState.COMPLETE  # it does not see pruned trials, and would propose the same point for ever
        told = None if state in (TrialState.PRUNED, TrialState.FAIL) else value
        try:
            self._study.tell(number, told, state=state)
        except RuntimeError:
            # The grid sampler says "enough" by stopping a loop that ask and tell do not have; the trial is stored.
            if not self._memory.get_trial(number).state.is_finished():
                raise
        self._ledger.keep_sampler_attrs(self._memory.get_study_system_attrs(self._id))
        self._ledger.conclude(self._memory.get_trial(number), {"outcome": outcome.to_json()})

    def _take_in(self, outcome: Outcome) -> None:
        """Keeps an outcome, and what is asked of all outcomes together: nobody goes through ten thousand at every epoch."""
        self.outcomes[outcome.trial.label] = outcome
        if outcome.trial.counted:
            self.counts[outcome.state] += 1
            self._best = self._better(outcome)
        finite = [v for v in outcome.curves.get(self._space.train.metric_key, []) if math.isfinite(v)]
        shown = finite if self._worst is None else [*finite, self._worst]
        self._worst = max(shown, key=lambda v: v * self._metric.sign, default=None)

    def _load(self, fingerprint: str) -> None:
        """Brings what the ledger holds into memory, or begins it."""
        name, identity = self._space.study, self._space.identity() | {"data_content": fingerprint}
        if not self._ledger.begun():
            self._ledger.begin(name, self._direction, {"space": identity})
        elif difference := _difference(self.recall("space"), _plain(identity)):
            raise InputError(
                f"The study {name} was begun with another space ({difference}). Set study to another name, "
                f"or remove it with: hpo delete {name}"
            )
        self._elapsed_before = self.recall("elapsed") or 0.0
        for key, attr in self._ledger.sampler_attrs().items():
            self._memory.set_study_system_attr(self._id, key, attr)
        for key, data in self._ledger.remembered().items():
            if key.startswith("outcome:"):
                self._take_in(Outcome.from_json(data))
        trials = self._ledger.trials()
        self._proposed = len(trials)
        for trial in trials:
            if not trial.state.is_finished():
                self._memory.create_new_trial(self._id, template_trial=trial)
                again = self._as_trial(trial.number, trial.params)
                self._asked.add(again.label)
                self._pending.append(again)
                continue
            outcome = Outcome.from_json(trial.user_attrs["outcome"])
            self._take_in(outcome)
            self._memory.create_new_trial(self._id, template_trial=self._as_told(trial, outcome))

    def _better(self, outcome: Outcome) -> Outcome | None:
        """The best of all with this one."""
        return selection.best([o for o in (outcome, self._best) if o], self._metric)

    def _as_told(self, trial: FrozenTrial, outcome: Outcome) -> FrozenTrial:
        """A trial of the ledger as the sampler knew it. What it reported is in its outcome: all epochs but the one that
        ended it, unless that is where it was pruned."""
        curve = outcome.curves.get(self._space.train.metric_key, [])
        told = copy.copy(trial)
        told.user_attrs = {}
        told.intermediate_values = dict(enumerate(curve if outcome.state == "pruned" else curve[:-1], 1))
        return told


def _plain(value: Any) -> Any:
    """A value as it comes back from JSON: tuples as lists."""
    if isinstance(value, Mapping):
        return {key: _plain(v) for key, v in value.items()}
    return [_plain(v) for v in value] if isinstance(value, list | tuple) else value


def _difference(there: Mapping[str, Any], here: Mapping[str, Any]) -> str:
    """What differs between two spaces, in words; "" if nothing does."""
    a, b = flat(there), flat(here)
    keys = [key for key in dict.fromkeys([*a, *b]) if a.get(key) != b.get(key)]
    if keys == ["data_content"]:
        return "the rows of its data differ"
    words = [f"{key}: {cut(a.get(key), 30)} there, {cut(b.get(key), 30)} here" for key in keys if key != "data_content"]
    return "; ".join(words[:3]) + (f"; and {len(words) - 3} more" if len(words) > 3 else "")
