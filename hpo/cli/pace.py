"""How far a step of a search is, how fast it trains, and how long it will still take."""

from __future__ import annotations

import time
from collections.abc import Mapping

from hpo.core.trial import Score
from hpo.space.space import Space
from hpo.study.study import Study


class Pace:
    """The pace of trials that all train to their end, from their scores.

    `epochs` holds the largest number of epochs of each trial by label. Early stopping makes most trials shorter: a
    trial that has not ended is expected to train the same share of these epochs as those that have ended.
    """

    def __init__(self, epochs: Mapping[str, int]) -> None:
        self._max_epochs = epochs
        self._began = time.monotonic()
        self._largest_share = 0.0
        self._ended: dict[str, int] = {}  # trained epochs by label
        self.running: dict[str, Score] = {}  # the last score by label
        self.fit_epochs = 0

    def add(self, score: Score) -> None:
        """Count an epoch of a trial."""
        self.fit_epochs += score.fits_trained
        self.running[score.trial.label] = score
        if self._has_ended(score):
            del self.running[score.trial.label]
            self._ended[score.trial.label] = score.epoch

    @property
    def is_complete(self) -> bool:
        """Whether all trials have ended."""
        return bool(self._max_epochs) and self._max_epochs.keys() == self._ended.keys()

    @property
    def networks(self) -> int:
        """The number of networks in training."""
        return sum(score.fits_trained for score in self.running.values())

    @property
    def elapsed(self) -> float:
        """The seconds since the step began."""
        return time.monotonic() - self._began

    @property
    def speed(self) -> float:
        """Epochs per second of single networks, since the step began."""
        return self.fit_epochs / max(self.elapsed, 1e-9)

    def share(self) -> float:
        """Return the share of the step that is done, 0 to 1; it never decreases."""
        self._largest_share = max(self._largest_share, min(self._share(), 1.0))
        return self._largest_share

    def seconds_left(self) -> float | None:
        """Estimate the remaining seconds; None if nothing is known yet."""
        share = self.share()
        return self.elapsed * (1 - share) / share if share else None

    def _has_ended(self, score: Score) -> bool:
        return bool(score.stop_reason) or not score.finite

    def _share(self) -> float:
        # The one that is added stands for a trial without early stopping, as long as no trial has ended.
        shares = [1.0, *(epochs / self._max_epochs[label] for label, epochs in self._ended.items())]
        usual = sum(shares) / len(shares)
        trained = {label: score.epoch for label, score in self.running.items()} | self._ended
        unfinished = self._max_epochs.keys() - self._ended
        left = sum(max(usual * self._max_epochs[label] - trained.get(label, 0), 1) for label in unfinished)
        total = sum(trained.values())
        return total / (total + left) if total else 0.0


class SearchPace(Pace):
    """The pace of the trials of a search, whose number is limited by the budget."""

    def __init__(self, space: Space, study: Study) -> None:
        super().__init__({})
        self._space, self._study = space, study
        self._done_before = self.done

    @property
    def done(self) -> int:
        """The number of trials that have ended, in all sessions."""
        return sum(self._study.counts.values())

    @property
    def n_trials(self) -> int | None:
        """The number of trials of the whole search; None if only time limits it."""
        budget = self._space.budget.trials
        if self._space.sampler.kind != "grid" or self._space.is_point:
            return budget
        return min(int(self._space.points) + 2, budget or 10**9)  # the baselines are two more trials

    def seconds_left(self) -> float | None:
        """Estimate the remaining seconds from the pace so far and from the time budget, whichever is less."""
        limits, n_trials, seconds = [], self.n_trials, self._space.budget.seconds
        if n_trials and self.done > self._done_before:
            # The trials in training are half done on average.
            ended = self.done - self._done_before + len(self.running) / 2
            limits.append(self.elapsed / ended * (n_trials - self._done_before - ended))
        elif n_trials == 1:
            limits += filter(None, [super().seconds_left()])
        if seconds:
            limits.append(seconds - self._study.reserve() - self._study.elapsed())
        return max(min(limits), 0.0) if limits else None

    def _has_ended(self, score: Score) -> bool:
        return super()._has_ended(score) or score.trial.label in self._study.outcomes  # a pruned trial has an outcome

    def _share(self) -> float:
        train, n_trials, seconds = self._space.train, self.n_trials, self._space.budget.seconds
        partly = sum(score.epoch / train.of(score.trial.params).epochs for score in self.running.values())
        by_trials = (self.done + partly) / n_trials if n_trials else 0.0
        # The reserve may be larger than the whole budget.
        by_time = self._study.elapsed() / max(seconds - self._study.reserve(), 1e-9) if seconds else 0.0
        return max(by_trials, min(by_time, 1.0))
