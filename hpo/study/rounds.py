"""The rounds of a search. In each, rows are filled, every trial in training has one epoch, and all of them are judged.

What a sampler proposes depends on what had ended by then, so a search that was cut off must let its trials begin and end in
the rounds in which they would have. It goes back to the first round in which a trial began that is lost. Trials that had
ended by themselves are not trained again: as ghosts they hold their rows, and are heard of, until the round in which they
ended.
"""

from __future__ import annotations

from collections.abc import Iterable

from hpo.core.trial import Outcome


class EpochRounds:
    """The present round, and the ghosts."""

    def __init__(self, ended: Iterable[Outcome], lost: Iterable[int]) -> None:
        """`ended` are the trials that have ended, `lost` the rounds in which trials began that have not."""
        known = list(ended)
        self.now = min(lost, default=1 + max((o.rounds[1] for o in known), default=-1))
        self._ghosts = {o.trial.label: o for o in known if o.rounds[1] >= self.now}

    def replayed_trials(self) -> list[Outcome]:
        """Those who hold rows in this round."""
        return [o for o in self._ghosts.values() if o.rounds[0] <= self.now]

    def next_round(self) -> bool:
        """Whether any is still to begin; until then nothing new is proposed."""
        return any(o.rounds[0] > self.now for o in self._ghosts.values())

    def has_replays(self) -> bool:
        """Whether any is left."""
        return bool(self._ghosts)

    @staticmethod
    def epochs(ghost: Outcome, end: int) -> int:
        """How many epochs a ghost had trained by the end of a round. In one process that is one a round."""
        begun, ended = ghost.rounds
        return ghost.epochs * (end - begun + 1) // (ended - begun + 1)

    def close(self) -> list[Outcome]:
        """Ends the round, and with it the ghosts that are returned."""
        gone = [o for o in self._ghosts.values() if o.rounds[1] <= self.now]
        for outcome in gone:
            del self._ghosts[outcome.trial.label]
        self.now += 1
        return gone
