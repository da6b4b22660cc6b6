"""Divide the budget between the search and what follows it: re-evaluation, final networks and report."""

from __future__ import annotations

import math
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from hpo.core.samples import MAX_EPOCH_ROWS
from hpo.core.trial import Outcome, Score
from hpo.regularizers import STRENGTHS
from hpo.selection.finals import n_folds
from hpo.space.space import Space
from hpo.study.baselines import faster_baselines
from hpo.study.study import Study
from hpo.training.experiment import Experiment

# Seconds that neither search nor re-evaluation can use: the report, the MLflow run and the files of the result.
_FIXED_SECONDS = 5.0
_LEAST_SECONDS = 60.0  # a shorter budget may be exceeded
_TOLERANCE = 1.1
_MOST_RESERVED = 0.6  # share of the time budget that is kept for what follows the search
_MOST_EPOCHS_AFTERWARDS = 0.5  # without a time budget: epochs of the re-evaluation, relative to those of the search
_MOST_VARIANTS = 4  # strengths of the selected configuration that are on, and all of them; an estimate
_REFIT_ROWS = 1.25  # training rows of a final network, relative to those of a fit of the search
_SLACK = 1.05  # the last epochs of the search have used a part of what was reserved for all that follows it
_MARGIN = 1.15  # the work that follows is slower than estimated: fewer networks train together towards its end


@dataclass(frozen=True)
class Allotment:
    """What follows the search: the numbers of finalists besides the baselines and of final networks of each
    configuration, and whether the variants without single strengths and a second draw can be paid for."""

    finalists: int
    networks: int
    variants: bool = True
    second_draw: bool = True


class TimePlan:
    """Estimates the cost of what follows the search from the speed of the search.

    With `budget.seconds`, all of it must fit into the budget. Without, the finalists, the variants of the leader and
    the final networks are always trained, and a second draw is limited to those that need it.

    `selects_again` says that the study has a result that was made under at least this budget. Its search has ended
    then, and another selection, number of finalists or refit may exceed the time budget.
    """

    def __init__(self, experiment: Experiment, study: Study) -> None:
        self._experiment, self._study = experiment, study
        self._fit_epochs, self._longest, self._began = 0, 1, time.monotonic()
        self._mean_epochs: tuple[int, float] | None = None  # with the number of outcomes that it is the mean of
        self.selects_again = self._has_result()

    @property
    def _space(self) -> Space:
        return self._experiment.space

    @property
    def limited(self) -> bool:
        """Whether the time is limited."""
        return self._space.budget.seconds is not None

    @property
    def _strict(self) -> bool:
        """Whether training is cut short to keep the time budget.

        Networks that are cut off after a few epochs say nothing. A short budget is therefore exceeded, except on large
        tables, where it would be exceeded by minutes.
        """
        large = any(len(fold.train) > MAX_EPOCH_ROWS for fold in self._experiment.data.folds)
        return self.limited and (self._seconds >= _LEAST_SECONDS or large)

    def begin_training(self) -> None:
        """Measure the speed from now on, and end the search in time for what follows it."""
        self._study.reserve, self._study.may_stop_baselines = self.reserve, self._strict
        self._fit_epochs, self._began = 0, time.monotonic()

    def record(self, score: Score) -> None:
        """Count the epochs that the fits of a trial have just trained."""
        self._longest = max(self._longest, score.epoch)
        self._fit_epochs += len(next(iter(score.values.values())))

    def reserve(self) -> float:
        """Return the seconds to keep for what follows the search: all of them if it has ended."""
        if not self.limited:
            return 0.0
        if self.selects_again:
            return math.inf
        return min(_MOST_RESERVED * self._seconds, self._cost(self._wishes()[0]))

    def allot(self) -> Allotment:
        """Decide, at the end of the search, what follows it: the most that fits into the remaining time.

        The decision is stored with the study, so that a resumed search and another selection keep it.
        """
        if not self.limited:
            return self._wishes()[0]
        stored = self._study.get_attr("allotment")
        if stored and stored["wished"] == self._wished:
            return Allotment(**stored["allotted"])
        if self.selects_again:
            allotment = self._changed_allotment(stored)
        else:
            left = self.left() * _SLACK
            allotment = next((wish for wish in self._wishes() if self._cost(wish) <= left), self._wishes()[-1])
        self._study.set_attr("allotment", {"wished": self._wished, "allotted": vars(allotment)})
        return allotment

    def networks(self) -> int:
        """Decide, after the re-evaluation, how many final networks of each configuration the remaining time allows.

        The decision is stored with the study, so that a resumed search, and another selection, keep it.
        """
        most = self._space.refit.networks
        if not self.limited:
            return most
        stored = self._study.get_attr("final_networks")
        if stored and stored["wished"] == self._wished:
            return int(stored["networks"])
        if self.selects_again:
            networks = stored["networks"] if stored and stored["wished"][2] == most else most
        else:
            left = self.left()
            networks = next((n for n in range(most, 1, -1) if self._cost_of_networks(n) <= left), 1)
        self._study.set_attr("final_networks", {"wished": self._wished, "networks": networks})
        return networks

    def left(self) -> float:
        """Return the seconds that are left of the time budget; infinity without one."""
        return self._seconds - self._study.elapsed() if self.limited else math.inf

    def limit_reevaluation(self) -> None:
        """End a re-evaluation that takes longer than planned in time for the final networks."""
        if self._strict and not self.selects_again:
            self._study.stop_after(self.left() - self._cost_of_networks(self.allot().networks))

    def max_epochs(self, finalists: Iterable[Outcome]) -> int | None:
        """Return the largest number of epochs of the re-evaluation: with limited time, that of the finalists so far."""
        return max(outcome.epochs for outcome in finalists) if self._strict else None

    def allows(self, fits: int) -> bool:
        """Return whether `fits` more fits of a re-evaluation can be paid for."""
        if self.limited:
            later = self._cost_of_networks(self.allot().networks)
            return fits * self._seconds_per_fit() * _MARGIN + later <= self.left()
        outcomes = self._study.outcomes.values()
        searched = sum(o.fit_epochs for o in outcomes if o.trial.in_budget)
        afterwards = sum(o.fit_epochs for o in outcomes if not o.trial.in_budget)
        return afterwards + fits * self._epochs_per_fit() <= _MOST_EPOCHS_AFTERWARDS * searched

    def overrun_note(self) -> str:
        """Return a note if the whole took more than a tenth longer than the time budget, else ""."""
        elapsed = self._study.elapsed()
        if not self.limited or self.selects_again or elapsed <= _TOLERANCE * self._seconds:
            return ""
        return (
            f"The search took {elapsed:.0f} s instead of budget.seconds: {self._seconds:g}, because loading, the two "
            f"baselines, the least re-evaluation, the final network and the report take this long."
        )

    def _has_result(self) -> bool:
        source = self._study.get_attr("space_source")  # stored with the result
        if not source:
            return False
        earlier: Mapping[str, float] = source["space"]["budget"]
        now = {"seconds": self._seconds, "trials": self._space.budget.trials or math.inf}
        return all(earlier.get(name, math.inf) >= limit for name, limit in now.items())

    def _changed_allotment(self, stored: Mapping[str, Any] | None) -> Allotment:
        """Return the stored allotment with those numbers that are wished for now and were not when it was made."""
        if not stored:
            return self._wishes()[0]
        names = ("finalists", "networks")
        pairs = zip(names, self._wished[1:], stored["wished"][1:], strict=True)
        return Allotment(**stored["allotted"] | {name: int(now) for name, now, earlier in pairs if now != earlier})

    # ---- estimates

    @property
    def _seconds(self) -> float:
        return self._space.budget.seconds or math.inf

    @property
    def _wished(self) -> list[float]:
        return [self._seconds, self._space.finalists, self._space.refit.networks]

    def _wishes(self) -> list[Allotment]:
        """Return what may follow the search, from the most to the least."""
        n, networks = self._space.finalists, self._space.refit.networks
        fewer, half = min(networks, 3), min(n, math.ceil(n / 2))
        return [
            Allotment(n, networks),
            Allotment(n, networks, second_draw=False),
            Allotment(n, fewer, second_draw=False),
            Allotment(half, fewer, second_draw=False),
            Allotment(half, fewer, variants=False, second_draw=False),
            Allotment(min(n, 1), 1, variants=False, second_draw=False),
        ]

    def _cost(self, allotment: Allotment) -> float:
        """Return the seconds that an allotment is estimated to take."""
        space, fits = self._space, 0.0
        if space.finalists and not space.is_point:
            configurations = allotment.finalists + 2 + self._n_faster_baselines
            configurations += min(_MOST_VARIANTS, self._n_strengths) if allotment.variants else 0
            configurations += 3 if allotment.second_draw else 0
            fits = configurations * self._n_folds
        return fits * self._seconds_per_fit() * _MARGIN + self._cost_of_networks(allotment.networks)

    def _cost_of_networks(self, scaled: int) -> float:
        """Return the seconds that the final networks and the report are estimated to take."""
        compared, kind = 1 if self._space.is_point else 2, self._space.refit.kind
        networks = {"scaled": scaled, "average": self._n_folds}.get(kind, 0)
        return _FIXED_SECONDS + compared * networks * _REFIT_ROWS * self._seconds_per_fit() * _MARGIN

    @cached_property
    def _n_folds(self) -> int:
        return n_folds(self._experiment.data)  # it draws folds, which takes a tenth of a second on a large table

    @property
    def _n_faster_baselines(self) -> int:
        known = (self._study.outcomes.get(name) for name in ("none", "defaults"))
        return sum(len(faster_baselines(outcome, self._space)) for outcome in known if outcome)

    @property
    def _n_strengths(self) -> int:
        return sum(key in STRENGTHS for key in self._space.hyperparameters) + 1

    def _seconds_per_fit(self) -> float:
        seconds, fit_epochs = time.monotonic() - self._began, self._fit_epochs
        if not fit_epochs:  # nothing has been trained in this session: the speed is that of earlier ones
            seconds, fit_epochs = self._study.elapsed(), sum(o.fit_epochs for o in self._study.outcomes.values())
        return self._epochs_per_fit() * seconds / fit_epochs if fit_epochs else 0.0

    def _epochs_per_fit(self) -> float:
        outcomes = self._study.outcomes
        if self._mean_epochs is None or self._mean_epochs[0] != len(outcomes):  # not in every epoch: there may be many
            complete = [o.epochs for o in outcomes.values() if o.state == "complete"]
            self._mean_epochs = (len(outcomes), sum(complete) / len(complete) if complete else 0.0)
        return self._mean_epochs[1] or self._longest
