"""The study: which trial comes next, which is stopped, what is remembered.

Its durable copy is Optuna's journal storage, written when a trial is proposed and when it has ended, never in between: a trial
that was cut off has no half-told history, so it is simply run again, with its number, parameters and seed, in the round in
which it began (see `hpo.study.rounds`).
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterable, Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

from hpo.core import objectives
from hpo.core.errors import InputError
from hpo.core.metrics import METRICS
from hpo.core.trial import Outcome, Score, State, TrainedTrial, Trial
from hpo.space.space import Space
from hpo.study import identity, ranking
from hpo.study.in_memory import InMemoryStudy
from hpo.study.ledger import StudyStorage
from hpo.study.progress import RunningTrial
from hpo.study.rounds import EpochRounds

LAG = 16  # numbers by which a deterministic search looks back (docs/decisions/reproducibility.md)


class Study:
    """One search over one space. Create it with the study's lock held."""

    def __init__(
        self, space: Space, path: Path, fingerprint: str, deterministic: bool = False, begins: str = ""
    ) -> None:
        """Opens the journal at `path`, or begins it. Raises InputError if it belongs to another space, other data or other first weights,
        of which `begins` is a hash.

        `deterministic`: a trial is proposed and pruned knowing exactly the trials that are `LAG` numbers older or more, so that the
        same trials come of any number of rows and workers; others wait until those have ended.
        """
        if deterministic and space.budget.seconds is not None:
            raise InputError(
                "budget.seconds: a deterministic search must not depend on speed; leave it out, and give budget.trials."
            )
        if deterministic and "seconds" in space.objective_names:
            raise InputError("objectives: a deterministic search must not depend on speed; leave seconds out.")
        self._space = space
        self._metric = METRICS[space.train.metric]
        self._storage = StudyStorage(path)
        self._lag = LAG if deterministic else None
        self._in_memory = InMemoryStudy(space, self._lag)
        self._pending: list[tuple[int, Trial]] = []  # with the rounds in which they are to begin
        self._running: dict[str, RunningTrial] = {}
        self._unreported: list[Outcome] = []  # ended, which sampler and pruner are still to be told
        self.outcomes: dict[str, Outcome] = {}
        self.counts: dict[State, int] = {"complete": 0, "pruned": 0, "failed": 0}  # of what counts against the budget
        self._best: Outcome | None = None
        fixed = [self._as_trial(0, {})] if space.is_point else ranking.baselines(space)
        self._baselines = len(fixed)
        self._load(fingerprint, begins, fixed)
        self._began, self._rested = time.time(), 0.0

    # ---- what the loop asks

    def is_running(self) -> bool:
        """Whether anything is left to train, or to wait for."""
        return bool(self._pending or self._running or self._rounds.has_replays()) or self._may_propose()

    def has_next(self) -> bool:
        """Whether another trial is to begin in this round."""
        if self._pending:
            return self._pending[0][0] <= self._rounds.now
        return self._may_propose() and not self._rounds.next_round() and self._knows_enough()

    def n_replayed(self) -> int:
        """How many trials hold a row without being trained: they had ended when the search was cut off."""
        return len(self._rounds.replayed_trials())

    def ask(self) -> Trial:
        """The next trial: one that was cut off, a fixed one, or a new proposal."""
        trial = self._pending.pop(0)[1] if self._pending else self._propose()
        begun = self._start_rounds.setdefault(trial.label, self._rounds.now)
        if trial.role != "search":
            self.set_attr(f"begun:{trial.label}", begun)
        self._running[trial.label] = RunningTrial(trial, begun, time.time())
        return trial

    def report(self, scores: Iterable[Score]) -> list[Trial]:
        """Takes in one epoch of the trials in training, and ends the round. Returns the trials that end with it.

        Nobody learns within a round what else has happened in it but by trial number: the order of the scores means nothing.
        """
        self._tell_finished()
        ghosts = self._rounds.replayed_trials()
        heard = {score.trial.label: score for score in scores}
        over = []
        for trial in sorted([o.trial for o in ghosts] + [s.trial for s in heard.values()], key=_place):
            if trial.label not in heard:
                self._follow(self.outcomes[trial.label], self._rounds.now)
            elif self._ends_trial(heard[trial.label]):
                over.append(trial)
        self._unreported += [ghost for ghost in self._rounds.close() if ghost.trial.in_budget]
        return over

    def finish(self, trial: Trial, released: TrainedTrial) -> Outcome:
        """Stores how a trial ended. When this returns, the outcome survives whatever happens to this process."""
        outcome = self._outcome(trial, released)
        del self._running[trial.label]
        with self._storage.batch():
            if self._is_proposed(trial):
                number = int(trial.label)
                self._storage.finish_trial(number, outcome, self._in_memory.trial_attrs(number))
            else:
                self.set_attr(f"outcome:{trial.label}", outcome.to_json())
            self.set_attr("elapsed", self.elapsed())
            self.set_attr("seconds", self.seconds())
        self._add_outcome(outcome)
        if trial.in_budget:
            self._unreported.append(outcome)
        return outcome

    # ---- what a search asks besides

    def enqueue(self, trial: Trial, *, anew: bool = False) -> None:
        """Has `trial` run as it is, unseen by the sampler, unless that was done already and is not wanted `anew`."""
        done = self.outcomes.get(trial.label)
        if done is None or done.trial != trial or anew:
            self._pending.append((self._start_rounds.get(trial.label, self._rounds.now), trial))

    def cancel_pending(self) -> None:
        """Lets go of what has not ended. Of fixed trials nothing is stored; what was proposed begins again with the next session."""
        self._pending.clear()
        self._running.clear()

    @property
    def has_pending(self) -> bool:
        """Whether a trial waits that was fixed or cut off."""
        return bool(self._pending)

    def elapsed(self) -> float:
        """Seconds of searching, over all sessions."""
        return self._elapsed_before + (self._rested or time.time()) - self._began

    def stop_clock(self) -> None:
        """Ends the searching of this session: what is trained from here on costs no time of the budget."""
        self._rested = time.time()

    def seconds(self) -> float:
        """Seconds in all, over all sessions."""
        return self._seconds_before + time.time() - self._began

    def set_attr(self, key: str, value: Any) -> None:
        """Stores a value with the study; `recall` gives it back."""
        self._storage.set_attr(key, value)

    def get_attr(self, key: str) -> Any:
        return self._storage.get_attr(key)

    def batch(self) -> AbstractContextManager[None]:
        """What is remembered inside is stored whole or not at all."""
        return self._storage.batch()

    def in_flight(self) -> int:
        """How many trials are in training."""
        return len(self._running)

    def budget_outcomes(self) -> list[Outcome]:
        """The outcomes that count against the budget: searched trials and baselines."""
        return [o for o in self.outcomes.values() if o.trial.in_budget]

    def search_outcomes(self) -> list[Outcome]:
        """The outcomes of what was proposed."""
        return [o for o in self.outcomes.values() if o.trial.role == "search"]

    def best(self) -> Outcome | None:
        """The best of what is judged."""
        return self._best

    def front(self) -> list[Outcome]:
        """The complete trials of the budget that no other one beats in an objective without being beaten in another."""
        whole = [
            o
            for o in self.budget_outcomes()
            if o.state == "complete" and len(o.values) == len(self._space.objective_names)
        ]
        goals = self._space.objective_names
        found = objectives.pareto_front(
            [[o.values[name] for name in goals] for o in whole], [objectives.sign(name) for name in goals]
        )
        return [whole[index] for index in found]

    def close(self) -> None:
        self._storage.close()

    # ---- proposing and pruning

    def _may_propose(self) -> bool:
        """Whether the budget has another proposal."""
        if self._space.is_point or self._out_of_time():
            return False
        budget = self._space.budget.trials
        total = 10**9 if budget is None else budget - self._baselines
        if self._space.sampler.kind == "grid":
            total = min(total, int(self._space.points))
        return self._in_memory.proposed < total

    def _knows_enough(self) -> bool:
        """Whether all have ended that the next proposal must know."""
        return self._lag is None or self._limit() == self._in_memory.proposed - self._lag

    def _limit(self) -> float:
        """Sampler and pruner may know the trials whose numbers are below."""
        if self._lag is None:
            return math.inf
        training = [flight.trial for flight in self._running.values()] + [trial for _, trial in self._pending]
        return min([self._in_memory.proposed - self._lag, *map(_place, training)])

    def _out_of_time(self) -> bool:
        seconds = self._space.budget.seconds
        return seconds is not None and self.elapsed() > seconds

    def _propose(self) -> Trial:
        self._tell_finished()
        proposed = self._in_memory.propose()
        trial = self._as_trial(proposed.number, proposed.params)
        with self._storage.batch():
            self._storage.set_sampler_attrs(self._in_memory.attrs())
            self._storage.add_trial(proposed, {"seed": trial.seed, "begun": self._rounds.now})
        return trial

    def _as_trial(self, number: int, params: Mapping[str, Any]) -> Trial:
        seed = ranking.fit_seed(self._space, str(number))
        return Trial(str(number), "search", self._space.params(params), seed)

    def _is_proposed(self, trial: Trial) -> bool:
        """Whether the sampler proposed it: a space of one point is a searched trial, too."""
        return trial.role == "search" and not self._space.is_point

    def _ends_trial(self, score: Score) -> bool:
        """Takes in one epoch of a trial; whether the trial ends with it."""
        flight, trial = self._running[score.trial.label], score.trial
        flight.record(score)
        if not score.finite:
            flight.stop("failed", f"diverged in epoch {score.epoch}")
        elif score.stop_reason:
            flight.stop("complete", score.stop_reason)
        elif self._is_proposed(trial) and self._in_memory.prune(
            int(trial.label), score.epoch, score.value, score.metric_per_fit
        ):
            flight.stop("pruned", f"{self._space.pruner.kind} pruner in epoch {score.epoch}")
        elif trial.role == "search" and self._out_of_time():
            flight.stop("pruned", f"the time was up in epoch {score.epoch}")
        return bool(flight.reason)

    def _outcome(self, trial: Trial, released: TrainedTrial) -> Outcome:
        return self._running[trial.label].to_outcome(
            released, self._metric.name, self._space.objective_names, self._rounds.now - 1
        )

    # ---- telling and loading

    def _tell_finished(self) -> None:
        """Tells sampler and pruner what ended in earlier rounds, in the order of rounds and trial numbers; in a deterministic
        search, which knows no rounds, as far as they may know it, in the order of trial numbers."""
        limit = self._limit()
        due = [o for o in self._unreported if _place(o.trial) < limit]
        self._unreported = [o for o in self._unreported if _place(o.trial) >= limit]
        for outcome in sorted(due, key=lambda o: (o.rounds[1] if self._lag is None else 0, _place(o.trial))):
            self._tell(outcome)

    def _tell(self, outcome: Outcome) -> None:
        label = outcome.trial.label
        self._in_memory.tell(outcome, self._trial_attrs.pop(label, {}) if self._is_proposed(outcome.trial) else None)

    def _follow(self, ghost: Outcome, end: int) -> None:
        """Has the pruner see a ghost as it was at the end of a round."""
        if self._is_proposed(ghost.trial):
            self._in_memory.replay(ghost, self._rounds.epochs(ghost, end))

    def _add_outcome(self, outcome: Outcome) -> None:
        """Keeps an outcome, and what is asked of all outcomes together: nobody goes through ten thousand at every epoch."""
        self.outcomes[outcome.trial.label] = outcome
        if outcome.trial.in_budget:
            self.counts[outcome.state] += 1
            self._best = self._better(outcome)

    def _better(self, outcome: Outcome) -> Outcome | None:
        """The best of all with this one."""
        return ranking.best([o for o in (outcome, self._best) if o], self._metric)

    def _load(self, fingerprint: str, begins: str, fixed: list[Trial]) -> None:
        """Brings what the ledger holds into memory, or begins it."""
        first = {"first_weights": begins} if begins else {}
        name, own = self._space.study, self._space.identity() | {"data_content": fingerprint} | first
        deterministic = self._lag is not None
        if not self._storage.exists():
            self._storage.create(name, self._in_memory.directions, {"space": own, "deterministic": deterministic})
        else:
            identity.check(name, self.get_attr("space"), own)
            identity.check_deterministic(name, self.get_attr("deterministic"), deterministic)
        known, trials = self._storage.attrs(), self._storage.trials()
        self._elapsed_before, self._seconds_before = known.get("elapsed") or 0.0, known.get("seconds") or 0.0
        for key, data in known.items():
            if key.startswith("outcome:"):
                self._add_outcome(Outcome.from_json(data))
        for trial in trials:
            if "outcome" in trial.user_attrs:
                self._add_outcome(Outcome.from_json(trial.user_attrs["outcome"]))
        self._start_rounds = {
            key.removeprefix("begun:"): value for key, value in known.items() if key.startswith("begun:")
        }
        self._start_rounds |= {str(trial.number): trial.user_attrs["begun"] for trial in trials}
        self._trial_attrs = {str(trial.number): trial.user_attrs.get("noted", {}) for trial in trials}
        self._in_memory.restore(self._storage.sampler_attrs(), trials)
        lost = [t for t in fixed if t.label not in self.outcomes]
        lost += [self._as_trial(t.number, t.params) for t in trials if str(t.number) not in self.outcomes]
        self._rewind(lost)

    def _rewind(self, lost: list[Trial]) -> None:
        """Begins in the round in which the first trial began that was cut off. A deterministic search knows no rounds."""
        begins = {trial.label: 0 if self._lag is not None else self._start_rounds.get(trial.label, 0) for trial in lost}
        self._rounds = EpochRounds(self.outcomes.values(), begins.values() if self._lag is None else ())
        self._pending = sorted(((begins[t.label], t) for t in lost), key=lambda one: (one[0], _place(one[1])))
        self._unreported = [o for o in self.outcomes.values() if o.rounds[1] < self._rounds.now and o.trial.in_budget]
        self._tell_finished()
        for ghost in self._rounds.replayed_trials():
            self._follow(ghost, self._rounds.now - 1)


def _place(trial: Trial) -> int:
    """Where a trial comes among those of its round: fixed ones first."""
    return int(trial.label) if trial.label.isdigit() else -1
