"""The study: which trial comes next, which one is stopped, and what is stored.

The storage is written when a trial is proposed and when it ends, never in between. A trial that was cut off therefore
has no partial history: it is trained again, with its number, parameters and seed, in the round in which it began (see
`hpo.study.rounds`).
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

from hpo.core.metrics import METRICS
from hpo.core.trial import Outcome, Score, State, TrainedTrial, Trial
from hpo.core.trial_key import TrialKey
from hpo.space.space import Space
from hpo.study import baselines, ranking, seeds
from hpo.study.in_memory import InMemoryStudy
from hpo.study.progress import RunningTrial
from hpo.study.resume import StoredStudy, open_study, refuse_time, study_identity
from hpo.study.rounds import EpochRounds
from hpo.study.storage import open_storage

# In a deterministic search, a trial depends only on trials that are older by more than this many numbers
# (docs/decisions/reproducibility.md).
LAG = 16


class Study:
    """One search over one space. Hold the study's lock when you create it."""

    def __init__(
        self, space: Space, location: Path | str, fingerprint: str, deterministic: bool = False, init_digest: str = ""
    ) -> None:
        """Open the study stored at `location` (see `open_storage`), or create it. Raises InputError if it was started
        with another space, other data (`fingerprint`) or other initial weights (`init_digest`).

        `deterministic`: a trial depends on exactly the trials that are older by more than `LAG` numbers, never on the
        number of slots or workers; a proposal waits until they have ended.
        """
        if deterministic:
            refuse_time(space)
        self._space = space
        self.metric = METRICS[space.train.metric]
        self._storage = open_storage(location)
        self._lag = LAG if deterministic else None
        self.in_memory = InMemoryStudy(space, self._lag)
        self._pending: list[tuple[int, Trial]] = []  # trials, each with the round in which it begins
        self._running: dict[str, RunningTrial] = {}
        self._unreported: list[Outcome] = []  # ended, but not yet reported to sampler and pruner
        self.outcomes: dict[str, Outcome] = {}
        self.counts: dict[State, int] = {"complete": 0, "pruned": 0, "failed": 0}  # of the trials in the budget
        self._best: Outcome | None = None
        fixed = [self._as_trial(0, {})] if space.is_point else baselines.baseline_trials(space)
        self._baselines = len(fixed)
        identity = study_identity(space, fingerprint, init_digest)
        self._load(open_study(self._storage, identity, self.in_memory.directions, deterministic), fixed)
        self._began = time.time()
        self.reserve: Callable[[], float] = lambda: 0.0  # seconds of the time budget that are not for the search
        self.may_stop_baselines = True  # whether the time budget also ends the baselines
        self._deadline = math.inf

    # ---- the loop

    def is_running(self) -> bool:
        """Whether there is a trial to train or to wait for."""
        return bool(self._pending or self._running or self._rounds.has_replays()) or self._may_propose()

    def has_next(self) -> bool:
        """Whether another trial begins in this round."""
        if self._pending:
            return self._pending[0][0] <= self._rounds.now
        return self._may_propose() and not self._rounds.has_later_replays() and self._has_enough_results()

    def n_replayed(self) -> int:
        """The number of trials that occupy a slot without being trained, because they had ended before the search was
        interrupted."""
        return len(self._rounds.replayed_trials())

    def ask(self) -> Trial:
        """Return the next trial: one that was cut off, a fixed one, or a new proposal."""
        trial = self._pending.pop(0)[1] if self._pending else self.propose()
        start_round = self._start_rounds.setdefault(trial.label, self._rounds.now)
        if trial.role != "search":
            self.set_attr(f"start_round:{trial.label}", start_round)
        self._running[trial.label] = RunningTrial(trial, start_round, time.time())
        return trial

    def report(self, scores: Iterable[Score]) -> list[Trial]:
        """Record one epoch of the trials in training, and end the round. Returns the trials that end.

        The scores are processed in the order of trial numbers, so their own order has no influence.
        """
        self._tell_finished()
        replayed = self._rounds.replayed_trials()
        by_label = {score.trial.label: score for score in scores}
        ending = []
        for trial in sorted([o.trial for o in replayed] + [s.trial for s in by_label.values()], key=_position):
            if trial.label not in by_label:
                self._replay(self.outcomes[trial.label], self._rounds.now)
            elif self._ends_trial(by_label[trial.label]):
                ending.append(trial)
        self._unreported += [outcome for outcome in self._rounds.close() if outcome.trial.in_budget]
        return ending

    def finish(self, trial: Trial, released: TrainedTrial) -> Outcome:
        """Store the outcome of a trial. Once this has returned, the outcome survives the end of this process."""
        running, ended = self._running.pop(trial.label), self._rounds.now - 1
        outcome = running.to_outcome(released, self.metric.name, self._space.objective_names, ended)
        with self._storage.batch():
            if self._is_proposed(trial):
                number = trial.key.number
                self._storage.finish_trial(number, outcome, self.in_memory.trial_attrs(number))
            else:
                self.set_attr(f"outcome:{trial.label}", outcome.to_json())
            self.set_attr("elapsed", self.elapsed())
        self._add_outcome(outcome)
        if trial.in_budget:
            self._unreported.append(outcome)
        return outcome

    # ---- fixed trials, time, attributes, outcomes

    def enqueue(self, trial: Trial, *, anew: bool = False) -> bool:
        """Train a trial that the sampler did not propose. If it has an outcome, it is trained again only if `anew`, or
        if the time was up during its training and now there is time, because the budget was raised.

        Returns whether it will be trained.
        """
        done = self.outcomes.get(trial.label)
        anew |= done is not None and done.state == "pruned" and time.time() < self._deadline
        if done is not None and done.trial == trial and not anew:
            return False
        self._pending.append((self._start_rounds.get(trial.label, self._rounds.now), trial))
        return True

    def cancel_pending(self) -> None:
        """Drop the unfinished trials. Fixed trials leave nothing in the storage; proposed trials begin again in the
        next session."""
        self._pending.clear()
        self._running.clear()

    def elapsed(self) -> float:
        """The seconds of all sessions, which `budget.seconds` limits."""
        return self._elapsed_before + time.time() - self._began

    def include_startup(self, seconds: float) -> None:
        """Count the seconds that this process took until now to load its packages and data."""
        self._began -= seconds

    def stop_after(self, seconds: float) -> None:
        """End the re-evaluations that are still in training `seconds` from now; they have no result then."""
        self._deadline = time.time() + seconds

    def set_attr(self, key: str, value: Any) -> None:
        """Store a JSON value with the study; `get_attr` returns it."""
        self._storage.set_attr(key, value)

    def get_attr(self, key: str) -> Any:
        return self._storage.get_attr(key)

    def batch(self) -> AbstractContextManager[None]:
        """Group writes: all of them are stored when the context ends, none of them if it ends with an exception."""
        return self._storage.batch()

    def in_flight(self) -> int:
        """The number of trials in training."""
        return len(self._running)

    def budget_outcomes(self) -> list[Outcome]:
        """The outcomes that count against the budget: searched trials and baselines."""
        return [o for o in self.outcomes.values() if o.trial.in_budget]

    def search_outcomes(self) -> list[Outcome]:
        """The outcomes of the searched trials."""
        return [o for o in self.outcomes.values() if o.trial.role == "search"]

    def best(self) -> Outcome | None:
        """The best outcome of the budget (see `ranking.best`)."""
        return self._best

    def front(self) -> list[Outcome]:
        """The Pareto front: complete trials of the budget that no other trial dominates."""
        return ranking.pareto_front(self.budget_outcomes(), self._space.objective_names)

    def close(self) -> None:
        self._storage.close()

    # ---- proposing and pruning

    def _may_propose(self) -> bool:
        """Whether the budget has room for another proposal."""
        if self._space.is_point or self._out_of_time():
            return False
        budget = self._space.budget.trials
        total = 10**9 if budget is None else budget - self._baselines
        if self._space.sampler.kind == "grid":
            total = min(total, int(self._space.points))
        return self.in_memory.proposed < total

    def _has_enough_results(self) -> bool:
        """Whether all trials on which the next proposal depends have ended."""
        return self._lag is None or self._visible_below() == self.in_memory.proposed - self._lag

    def _visible_below(self) -> float:
        """The trial number below which outcomes are visible to sampler and pruner."""
        if self._lag is None:
            return math.inf
        unfinished = [running.trial for running in self._running.values()] + [trial for _, trial in self._pending]
        return min([self.in_memory.proposed - self._lag, *map(_position, unfinished)])

    def _time_is_up(self, trial: Trial) -> bool:
        if trial.role == "finalist":
            return time.time() > self._deadline
        return (trial.role == "search" or self.may_stop_baselines) and trial.in_budget and self._out_of_time()

    def _out_of_time(self) -> bool:
        seconds = self._space.budget.seconds
        return seconds is not None and self.elapsed() + self.reserve() > seconds

    def propose(self) -> Trial:
        self._tell_finished()
        proposed = self.in_memory.propose()
        trial = self._as_trial(proposed.number, proposed.params)
        with self._storage.batch():
            self._storage.set_sampler_attrs(self.in_memory.attrs())
            self._storage.add_trial(proposed, {"seed": trial.seed, "start_round": self._rounds.now})
        return trial

    def _as_trial(self, number: int, params: Mapping[str, Any]) -> Trial:
        key = TrialKey(number)
        return Trial(key, "search", self._space.params(params), seeds.fit_seed(self._space, key))

    def _is_proposed(self, trial: Trial) -> bool:
        """Whether the sampler proposed the trial. In a space with a single point, the searched trial is fixed."""
        return trial.role == "search" and not self._space.is_point

    def _ends_trial(self, score: Score) -> bool:
        """Record one epoch of a trial; return whether the trial ends with it."""
        running, trial = self._running[score.trial.label], score.trial
        running.record(score)
        if not score.finite:
            running.stop("failed", f"diverged in epoch {score.epoch}")
        elif score.stop_reason:
            running.stop("complete", score.stop_reason)
        elif self._is_proposed(trial) and self.in_memory.prune(
            trial.key.number, score.epoch, score.value, score.metric_per_fit
        ):
            running.stop("pruned", f"{self._space.pruner.kind} pruner in epoch {score.epoch}")
        elif self._time_is_up(trial):
            running.stop("pruned", f"the time was up in epoch {score.epoch}")
        return bool(running.reason)

    # ---- outcomes and loading

    def _tell_finished(self) -> None:
        """Tell sampler and pruner the outcomes of earlier rounds, in the order of rounds and trial numbers. In a
        deterministic search, tell them the outcomes that they are allowed to see, in the order of trial numbers."""
        limit = self._visible_below()
        due = [o for o in self._unreported if _position(o.trial) < limit]
        self._unreported = [o for o in self._unreported if _position(o.trial) >= limit]
        for outcome in sorted(due, key=lambda o: (o.rounds[1] if self._lag is None else 0, _position(o.trial))):
            self._tell(outcome)

    def _tell(self, outcome: Outcome) -> None:
        label = outcome.trial.label
        self.in_memory.tell(outcome, self._trial_attrs.pop(label, {}) if self._is_proposed(outcome.trial) else None)

    def _replay(self, outcome: Outcome, end: int) -> None:
        """Report an ended trial to the pruner with the epochs that it had at the end of round `end`."""
        if self._is_proposed(outcome.trial):
            self.in_memory.replay(outcome, self._rounds.epochs(outcome, end))

    def _add_outcome(self, outcome: Outcome) -> None:
        """Add an outcome, and update the counts and the best outcome, so that no epoch goes through all outcomes."""
        self.outcomes[outcome.trial.label] = outcome
        if outcome.trial.in_budget:
            self.counts[outcome.state] += 1
            self._best = ranking.best([o for o in (outcome, self._best) if o], self.metric)

    def _load(self, stored: StoredStudy, fixed: list[Trial]) -> None:
        """Restore the stored state; trials without an outcome are trained again."""
        self._elapsed_before = stored.elapsed
        for outcome in stored.outcomes:
            self._add_outcome(outcome)
        self._start_rounds, self._trial_attrs = stored.start_rounds, stored.trial_attrs
        self.in_memory.restore(stored.sampler_attrs, stored.trials)
        cut_off = [t for t in fixed if t.label not in self.outcomes]
        cut_off += [self._as_trial(t.number, t.params) for t in stored.trials if str(t.number) not in self.outcomes]
        self._rewind(cut_off)

    def _rewind(self, cut_off: list[Trial]) -> None:
        """Go back to the round in which the first of these trials began; a deterministic search ignores rounds."""
        starts = {t.label: 0 if self._lag is not None else self._start_rounds.get(t.label, 0) for t in cut_off}
        self._rounds = EpochRounds(self.outcomes.values(), starts.values() if self._lag is None else ())
        self._pending = sorted(((starts[t.label], t) for t in cut_off), key=lambda pair: (pair[0], _position(pair[1])))
        self._unreported = [o for o in self.outcomes.values() if o.rounds[1] < self._rounds.now and o.trial.in_budget]
        self._tell_finished()
        for outcome in self._rounds.replayed_trials():
            self._replay(outcome, self._rounds.now - 1)


def _position(trial: Trial) -> int:
    """The position of a trial in its round: searched trials are ordered by number and follow the fixed trials."""
    return trial.key.number if trial.key.is_searched else -1
