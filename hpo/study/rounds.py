"""The rounds of a search: each round starts trials in free slots, trains every trial for one epoch and reports them.

A proposal depends on the trials that have ended before it, so after an interruption, trials must begin and end in the
same rounds as they would have without it. A resumed search therefore goes back to the earliest round in which an
unfinished trial began. Trials that ended in a later round are not trained again but replayed: they occupy their slots,
and the pruner sees their epochs, until the round in which they ended.
"""

from __future__ import annotations

from collections.abc import Iterable

from hpo.core.trial import Outcome


class EpochRounds:
    """The current round, and the replayed trials."""

    def __init__(self, ended: Iterable[Outcome], cut_off: Iterable[int]) -> None:
        """`ended` are the outcomes of ended trials, `cut_off` the rounds in which unfinished trials began."""
        outcomes = list(ended)
        self.now = min(cut_off, default=1 + max((o.rounds[1] for o in outcomes), default=-1))
        self._replayed = {o.trial.label: o for o in outcomes if o.rounds[1] >= self.now}

    def replayed_trials(self) -> list[Outcome]:
        """The replayed trials that occupy slots in this round."""
        return [o for o in self._replayed.values() if o.rounds[0] <= self.now]

    def has_later_replays(self) -> bool:
        """Whether a replayed trial begins in a later round; until then, nothing is proposed."""
        return any(o.rounds[0] > self.now for o in self._replayed.values())

    def has_replays(self) -> bool:
        """Whether any trial is left to replay."""
        return bool(self._replayed)

    @staticmethod
    def epochs(outcome: Outcome, end: int) -> int:
        """The number of epochs that a trial has completed by the end of round `end`; without workers, one per round."""
        begun, ended = outcome.rounds
        return outcome.epochs * (end - begun + 1) // (ended - begun + 1)

    def close(self) -> list[Outcome]:
        """End the round. Returns the replayed trials that ended in it."""
        ended = [o for o in self._replayed.values() if o.rounds[1] <= self.now]
        for outcome in ended:
            del self._replayed[outcome.trial.label]
        self.now += 1
        return ended
