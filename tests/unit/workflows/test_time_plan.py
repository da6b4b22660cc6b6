"""The division of a time budget, with a clock and a machine whose speed are made up."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from types import SimpleNamespace

import numpy as np
import pytest

from hpo.core.samples import MAX_EPOCH_ROWS
from hpo.core.trial import Score
from hpo.space import loader
from hpo.workflows.time_plan import Allotment, TimePlan
from tests.helpers.searches import TINY

EPOCHS = 20
FOLDS = 4  # of a re-evaluation; a trial of the search is one fit
UNTIMED = {"trials": 30}


@dataclass
class Clock:
    """A clock in seconds that only moves when something is trained."""

    now: float = 0.0

    def monotonic(self) -> float:
        return self.now


@dataclass
class MadeStudy:
    """The part of a study that a plan needs; `began` is when its process began."""

    clock: Clock
    began: float = 0.0
    outcomes: dict = field(default_factory=dict)
    attrs: dict = field(default_factory=dict)
    stopped_after: float | None = None
    reserve: Callable[[], float] = lambda: 0.0
    may_stop_baselines: bool = True

    def elapsed(self):
        return self.clock.now - self.began

    def get_attr(self, key):
        return self.attrs.get(key)

    def set_attr(self, key, value):
        self.attrs[key] = value

    def stop_after(self, seconds):
        self.stopped_after = seconds


class Machine:
    """Trains one fit for an epoch in `seconds`, and tells the plan."""

    def __init__(self, plan, study, seconds):
        self.plan, self.study, self.seconds = plan, study, seconds

    def train(self, fits, epochs=EPOCHS, in_budget=True):
        for epoch in range(1, epochs + 1):
            self.study.clock.now += fits * self.seconds
            values = {"valid_loss": np.zeros(fits)}
            self.plan.record(Score(None, epoch, values, "valid_loss", "", fits))
        trial = SimpleNamespace(in_budget=in_budget)
        done = SimpleNamespace(trial=trial, state="complete", epochs=epochs, fit_epochs=fits * epochs)
        self.study.outcomes[str(len(self.study.outcomes))] = done


@pytest.fixture
def clock(monkeypatch):
    made = Clock()
    monkeypatch.setattr("hpo.workflows.time_plan.time", made)
    return made


def made(clock, budget, study=None, speed=0.01, n_train=300, **changes):
    """Return a plan, its study and a machine that has not trained anything."""
    space = loader.parse(TINY | {"budget": budget, "finalists": 3} | changes)
    calls = []

    def new_fold_sizes(draw):
        calls.append(draw)
        return [(300, 100)] * FOLDS

    study = study or MadeStudy(clock)
    data = SimpleNamespace(new_fold_sizes=new_fold_sizes, folds=[SimpleNamespace(train=range(n_train))])
    plan = TimePlan(SimpleNamespace(space=space, data=data), study)
    plan.begin_training()
    machine = Machine(plan, study, speed)
    machine.calls = calls
    return plan, study, machine


def fits_after_search(allotment):
    """Return the fits of the re-evaluation that the allotment stands for, at most."""
    variants = 3 if allotment.variants else 0  # without weight decay, without dropout, without both
    again = 3 if allotment.second_draw else 0
    return FOLDS * (allotment.finalists + 2 + variants + again)


# ---- the whole


@pytest.mark.parametrize("startup", [0.0, 6.0])
@pytest.mark.parametrize("speed", [1e-4, 0.002, 0.01, 0.05])
@pytest.mark.parametrize("seconds", [30, 60, 300, 3600])
def test_search_re_evaluation_and_final_networks_fit_into_the_budget(clock, seconds, speed, startup):
    """On a machine of constant speed, if there is time for the least that follows a search."""
    clock.now = startup
    plan, study, machine = made(clock, {"seconds": seconds}, speed=speed)
    at_once = math.ceil(seconds / 300 / (EPOCHS * speed))  # so that at most 300 steps are simulated
    while study.elapsed() + plan.reserve() <= seconds:
        machine.train(at_once)
    searched = study.elapsed()
    machine.train(fits_after_search(plan.allot()), in_budget=False)
    machine.train(2 * plan.networks(), in_budget=False)
    least = fits_after_search(Allotment(1, 1, variants=False, second_draw=False)) + 2
    if least * EPOCHS * speed * 1.5 + 5 <= 0.6 * seconds:
        assert study.elapsed() <= 1.01 * seconds
    assert searched >= 0.35 * seconds  # the search is never squeezed out by what follows it


def test_a_fast_machine_does_everything_and_a_slow_one_less(clock):
    found = []
    for speed in (2e-3, 0.02, 0.04, 0.08, 0.3):
        clock.now = 0.0
        plan, study, machine = made(clock, {"seconds": 60}, speed=speed)
        while study.elapsed() + plan.reserve() <= 60:
            machine.train(1)
        found.append(plan.allot())
    work = [fits_after_search(one) + 2 * one.networks for one in found]
    assert work == sorted(work, reverse=True)
    assert found[0] == Allotment(3, 5)
    assert found[-1] == Allotment(1, 1, variants=False, second_draw=False)
    assert len(set(work)) >= 3


# ---- what is kept for the end


def test_without_a_time_budget_nothing_is_reserved_and_everything_is_done(clock):
    plan, study, machine = made(clock, UNTIMED)
    machine.train(1)
    assert (plan.limited, plan.reserve(), plan.left(), plan.networks()) == (False, 0.0, math.inf, 5)
    assert plan.allot() == Allotment(3, 5)
    plan.limit_reevaluation()
    assert (study.stopped_after, study.attrs) == (None, {})
    assert plan.max_epochs([SimpleNamespace(epochs=7)]) is None


def test_what_is_reserved_is_learned_from_the_speed_of_the_search(clock):
    reserved = []
    for speed in (0.001, 0.002, 0.004):
        plan, _, machine = made(clock, {"seconds": 1000}, speed=speed)
        before = plan.reserve()
        machine.train(1)
        reserved.append(plan.reserve() - before)
        assert 0 < before < 10  # the report and the files, whatever the speed
    assert reserved[1:] == pytest.approx([2 * reserved[0], 4 * reserved[0]])


def test_the_folds_are_drawn_once_and_not_in_every_epoch(clock):
    """Drawing them takes a tenth of a second on a large table."""
    plan, _, machine = made(clock, {"seconds": 1000})
    for _ in range(5):
        machine.train(1)
        plan.reserve()
    assert len(machine.calls) == 1


def test_fewer_wishes_reserve_less(clock):
    def reserved(**changes):
        plan, _, machine = made(clock, {"seconds": 1000}, **changes)
        machine.train(1)
        return plan.reserve()

    everything = reserved()
    assert everything > reserved(finalists=1) > reserved(finalists=0) > reserved(finalists=0, refit="none")
    assert everything > reserved(refit="none") == reserved(refit="keep")
    assert reserved(finalists=0, refit="none") == 5.0


# ---- decisions that are kept


def test_the_allotment_is_kept_in_a_resumed_search_but_not_for_a_larger_budget(clock):
    plan, study, machine = made(clock, {"seconds": 60}, speed=0.02)
    machine.train(10)
    first = plan.allot()
    clock.now += 40
    resumed, _, _ = made(clock, {"seconds": 60}, study)
    assert plan.allot() == resumed.allot() == first
    larger, _, _ = made(clock, {"seconds": 6000}, study)
    assert fits_after_search(larger.allot()) >= fits_after_search(first)
    assert larger.allot() == Allotment(3, 5)
    other, _, _ = made(clock, {"seconds": 6000}, study, finalists=2)
    assert other.allot() == Allotment(2, 5)


def test_as_many_final_networks_are_trained_as_the_time_allows(clock):
    def networks(left):
        clock.now = 0.0
        plan, study, machine = made(clock, {"seconds": 100}, speed=0.05)  # a second per fit
        machine.train(1)
        clock.now = 100 - left
        plan.begin_training()
        machine.train(1)  # the speed is that of training, not that of waiting
        return plan.networks(), study

    counts = [networks(left)[0] for left in (2, 10, 14, 17, 40)]
    assert counts == sorted(counts)
    assert (counts[0], counts[-1]) == (1, 5)
    assert len(set(counts)) > 2
    _, study = networks(10)
    study.clock.now = 0.0  # even with more time
    again, _, _ = made(clock, {"seconds": 100}, study)
    assert again.networks() == counts[1] < 5
    larger, _, _ = made(clock, {"seconds": 1000}, study)
    assert larger.networks() == 5


def test_a_resumed_search_knows_the_speed_of_earlier_sessions(clock):
    plan, study, machine = made(clock, {"seconds": 100}, speed=0.05)
    for _ in range(20):
        machine.train(1)
    resumed, _, _ = made(clock, {"seconds": 100}, study)
    assert resumed.reserve() == pytest.approx(plan.reserve())


# ---- the re-evaluation


def test_a_re_evaluation_is_cut_off_in_time_for_the_final_networks(clock):
    plan, study, machine = made(clock, {"seconds": 100}, speed=0.01)
    for _ in range(50):
        machine.train(1)
    allotment = plan.allot()
    plan.limit_reevaluation()
    assert 0 < study.stopped_after < plan.left()
    machine.train(2 * allotment.networks)  # the final networks
    assert study.elapsed() + study.stopped_after <= 100


def test_further_fits_are_allowed_while_the_final_networks_can_still_be_paid_for(clock):
    plan, study, machine = made(clock, {"seconds": 100}, speed=0.01)
    for _ in range(100):
        machine.train(1)  # 20 seconds
    allowed = [fits for fits in range(1000) if plan.allows(fits)]
    assert allowed == list(range(len(allowed)))
    most, second = allowed[-1], EPOCHS * 0.01
    assert (most + 2 * plan.allot().networks) * second < 80  # the seconds that are left
    assert most * second > 80 / 2
    study.clock.now = 99.0
    assert not plan.allows(1)


def test_without_a_time_budget_the_re_evaluation_takes_half_of_the_epochs_of_the_search(clock):
    plan, _, machine = made(clock, UNTIMED)
    for _ in range(10):
        machine.train(2)
    assert [fits for fits in range(30) if plan.allows(fits)] == list(range(11))
    machine.train(6, in_budget=False)
    assert [fits for fits in range(30) if plan.allows(fits)] == list(range(5))


def test_with_limited_time_no_fit_is_trained_for_longer_than_the_finalists_were(clock):
    plan, _, _ = made(clock, {"seconds": 100})
    assert plan.max_epochs([SimpleNamespace(epochs=7), SimpleNamespace(epochs=12)]) == 12


@pytest.mark.parametrize(
    ("budget", "n_train", "cut_off"),
    [
        ({"seconds": 300}, 300, True),
        ({"seconds": 30}, 300, False),
        ({"seconds": 30}, MAX_EPOCH_ROWS + 1, True),
        (UNTIMED, 300, False),
    ],
)
def test_a_short_budget_cuts_nothing_off_unless_the_table_is_large(clock, budget, n_train, cut_off):
    """Networks that are cut off after a few epochs say nothing."""
    plan, study, machine = made(clock, budget, n_train=n_train)
    machine.train(1)
    plan.limit_reevaluation()
    assert (study.stopped_after is not None, study.may_stop_baselines) == (cut_off, cut_off)
    assert plan.max_epochs([SimpleNamespace(epochs=7)]) == (7 if cut_off else None)


# ---- another selection of a finished study


def finished(clock, budget, now, **changes):
    """Return the plan of a study that has a result under `budget` and is searched again under the budget `now`."""
    clock.now = 0.0
    plan, study, machine = made(clock, budget, speed=0.1)
    machine.train(5)
    allotment, clock.now = plan.allot(), 99.0
    first = allotment, plan.networks()
    study.attrs["space_source"] = {"space": {"budget": budget}}
    clock.now = 10_000.0
    return first, *made(clock, now, study, **changes)[:2]


SHORT = {"seconds": 100}


@pytest.mark.parametrize("now", [SHORT, {"seconds": 99}, {"seconds": 100, "trials": 20}])
def test_another_selection_of_a_finished_study_is_not_cut_off(clock, now):
    _, plan, study = finished(clock, SHORT, now)
    plan.limit_reevaluation()
    assert (plan.selects_again, study.stopped_after, plan.overrun_note()) == (True, None, "")
    assert plan.reserve() == math.inf  # nothing is searched in what is left of the time
    assert not plan.allows(1)  # a further draw for those that are not selected


@pytest.mark.parametrize(
    ("before", "now"), [(SHORT, {"seconds": 101}), ({"seconds": 100, "trials": 20}, {"seconds": 100, "trials": 21})]
)
def test_a_larger_budget_is_kept_like_the_first(clock, before, now):
    _, plan, study = finished(clock, before, now)
    plan.limit_reevaluation()
    assert not plan.selects_again
    assert study.stopped_after < 0


def test_what_is_wished_for_after_the_end_is_done_and_the_rest_stays_as_it_was(clock):
    (allotment, networks), plan, _ = finished(clock, SHORT, SHORT)
    assert allotment != Allotment(3, 5)  # or the machine is too fast
    assert networks < 5
    assert (plan.allot(), plan.networks()) == (allotment, networks)
    _, plan, _ = finished(clock, SHORT, SHORT, finalists=7)
    assert plan.allot() == replace(allotment, finalists=7)
    assert plan.networks() == networks
    _, plan, _ = finished(clock, SHORT, SHORT, refit={"kind": "scaled", "networks": 9})
    assert plan.allot() == replace(allotment, networks=9)
    assert plan.networks() == 9


def test_a_search_that_took_more_than_a_tenth_too_long_says_so(clock):
    plan, _, _ = made(clock, {"seconds": 30})
    clock.now = 33.0
    assert plan.overrun_note() == ""
    clock.now = 34.0
    assert plan.overrun_note().startswith("The search took 34 s instead of budget.seconds: 30, because ")
    clock.now = 1e6
    assert made(clock, UNTIMED)[0].overrun_note() == ""


def test_the_study_is_told_what_to_reserve_when_the_training_begins(clock):
    plan, study, machine = made(clock, {"seconds": 1000})
    machine.train(1)
    assert study.reserve() == plan.reserve() > 0
