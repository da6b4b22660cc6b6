"""The contract that every regularizer keeps, ours and yours: `hpo.testing.check(MyOwn())` in a test is all eight points of it.

A member is tried on three rows of one batched program, in float64: the first of them off, the others at its two `probe` strengths.
Each point raises AssertionError with a sentence.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np
import torch

from hpo.core.errors import InputError
from hpo.core.samples import Fold, Samples
from hpo.core.trial import TrainedTrial, Trial
from hpo.data import density_ratio, synthetic
from hpo.data.config import DataConfig
from hpo.data.dataset import prepare
from hpo.nn.mlp import Mlp
from hpo.nn.network import BatchedNetwork
from hpo.regularizers import FAMILY, registered
from hpo.regularizers.base import Regularizer
from hpo.space import plugins
from hpo.space.settings import TrainConfig
from hpo.training.population import Population

TRAIN = TrainConfig(epochs=5, batch_size=32, patience=5)
_SOME = (100, 50)  # rows of images to train on and to judge by: enough for a few steps


@dataclass(frozen=True)
class Case:
    """A member of the family, data that it can act on, and the network that a trial gets."""

    member: Regularizer
    data: Samples
    network: Callable[[Trial], BatchedNetwork]

    def three(self) -> list[Trial]:
        """Three rows of different strengths, the first of them off."""
        strengths = (self.member.default_value, *self.member.probe)
        return [self.trial(str(i), s) for i, s in enumerate(strengths)]

    def trial(self, label: str, strength: object = None) -> Trial:
        """One row; without a strength the space does not name the member."""
        own = {} if strength is None else {self.member.name: strength}
        return Trial(label, "search", {"learning_rate": 1e-2, "depth": 2, **own}, int(label) + 100)

    def population(self) -> Population:
        return Population(self.data, self.network, TRAIN, 64)

    def trained(self, trials: Sequence[Trial], epochs: int = 3) -> dict[str, TrainedTrial]:
        """Trials trained together; what each leaves behind."""
        pop = self.population()
        for trial in trials:
            pop.admit(trial)
        run(pop, epochs)
        return {trial.label: pop.release(trial) for trial in trials}


def check(member: Regularizer, data: Samples | None = None) -> None:
    """The whole contract, for a member that need not be in the family yet; `data` in place of a small table, or small images, of
    ours. Raises AssertionError, InputError if the facts of the member are not sound."""
    if member.name not in FAMILY and (text := plugins.first_problem(member)):
        raise InputError(f"{type(member).__name__}{text}")
    samples = data or small(member)
    with registered([] if member.name in FAMILY else [member]):
        case = Case(member, samples, partial(_mlp, samples))
        for point in CONTRACT:
            point(case)


def small(member: Regularizer) -> Samples:
    """A small table, or small images, in float64; with all else that the member needs."""
    return supplied(member, _small(member))


def supplied(member: Regularizer, data: Samples) -> Samples:
    """The same rows with what a member needs besides them."""
    if "generated" in member.needs:
        x, y, train = (t.numpy() for t in (data.x, data.y, data.folds[0].train))
        made = synthetic.bank("smote", x, y, len(data.classes), train, 3)
        data = replace(data.samples(), augmented={**data.augmented, member.name: torch.from_numpy(made)})
    if "auxiliary" in member.needs:
        shares = (data.x[:, :3] * 2).softmax(1)
        data = replace(data.samples(), auxiliary=torch.where(data.x[:, 3:4] > 1, torch.nan, shares))
    return between(data) if "target" in member.needs else data


def between(data: Samples) -> Samples:
    """The same rows as two domains: of those to learn from, the last half has no labels, and is stretched and moved; of what is left of
    these, a quarter is to judge by. With density ratios."""
    (fold,) = data.folds
    labelled, target = fold.train.chunk(2)
    adapted, judged = target[len(target) // 4 :], target[: len(target) // 4]
    x, y = data.x.clone(), data.y.clone()
    x[target] = 1.5 * x[target] + 0.5
    y[target] = -1 if data.task == "classification" else math.nan
    ratio = torch.from_numpy(density_ratio.ratios(x.numpy(), labelled.numpy(), adapted.numpy())).to(x.dtype)
    ratio[target] = 1
    folds = (replace(fold, train=labelled, target=adapted, target_valid=judged),)
    return replace(data.samples(), x=x, y=y, folds=folds, ratio=ratio)


def _small(member: Regularizer) -> Samples:
    if "image" not in member.needs:
        return prepare(DataConfig(source="sklearn:wine"), Path(), torch.float64)
    data = prepare(DataConfig(source="sklearn:digits"), Path(), torch.float64)
    (fold,), (train, valid) = data.folds, _SOME
    return replace(data.samples(), folds=(Fold(0, fold.train[:train], fold.valid[:valid]),), image=(1, 8, 8))


# ---- the points


def together_equals_alone(case: Case) -> None:
    """A row does not depend on how many others there are."""
    together = case.trained(case.three())
    for trial in case.three():
        alone = case.trained([trial])[trial.label]
        assert same(together[trial.label], alone), (
            f"{_at(case, trial)} alone learns something else than beside other rows."
        )


def neutral_equals_without(case: Case) -> None:
    """At its neutral strength a member is as if nobody had named it; to rounding, if it lets rows of another domain pass: products over
    more rows, whose gradients are zero, add in another order."""
    named, unnamed = case.trained([case.trial("0", case.member.default_value)]), case.trained([case.trial("0")])
    alike = _close if case.member.uses_target_batch else same
    assert alike(named["0"], unnamed["0"]), (
        f"{case.member.name} at {case.member.default_value}, which is off, is not the same as without it."
    )


def neighbours_do_not_feel_a_change(case: Case) -> None:
    """What is changed in one row changes nothing in another."""
    first, *others = case.three()
    before = case.trained([first, *others])
    after = case.trained([_changed(first, **{case.member.name: case.member.probe[0], "learning_rate": 0.02}), *others])
    for trial in others:
        assert same(before[trial.label], after[trial.label]), f"{_at(case, trial)} feels what its neighbour is set to."


def refilled_equals_fresh(case: Case) -> None:
    """A row that another has left is as good as new."""
    first, second, late = case.three()
    pop = case.population()
    for trial in (first, second):
        pop.admit(trial)
    run(pop, 2)
    pop.release(first)
    pop.admit(late)
    run(pop, 3)
    assert same(pop.release(late), case.trained([late])[late.label]), (
        f"{_at(case, late)} in a row that was used learns something else."
    )


def what_is_off_does_not_feel_who_comes_and_goes(case: Case) -> None:
    """Where a member is off in all rows it is left out; that another with it enters in mid-training, and leaves, changes nothing."""
    off, guest = case.trial("0", case.member.default_value), case.trial("1", case.member.probe[1])
    pop = case.population()
    pop.admit(off)
    run(pop, 1)
    pop.admit(guest)
    run(pop, 1)
    pop.release(guest)
    run(pop, 1)
    assert same(pop.release(off), case.trained([off])["0"]), (
        f"{_at(case, off)} feels that one with {case.member.probe[1]} comes and goes."
    )


def divergence_stays_alone(case: Case) -> None:
    """A row that diverges leaves the others as they are, and finite."""
    first, *others = case.three()
    calm, beside = case.trained(others), case.trained([_changed(first, learning_rate=1e300), *others])
    for trial in others:
        assert same(calm[trial.label], beside[trial.label]), f"{_at(case, trial)} feels that its neighbour diverges."
        finite = all(bool(torch.isfinite(w).all()) for w in beside[trial.label].weights.values())
        assert finite, f"{_at(case, trial)} diverges with its neighbour."


def probes_differ(case: Case) -> None:
    """A strength has an effect."""
    weak, strong = (case.trained([case.trial("0", strength)])["0"] for strength in case.member.probe)
    assert not same(weak, strong), (
        f"{case.member.name} does the same at {case.member.probe[0]} and at {case.member.probe[1]}."
    )


def evaluation_is_still(case: Case) -> None:
    """Weights that are scored twice have the same score: nothing is drawn, nothing acts but in training."""
    trials, pop = case.three(), case.population()
    for trial in trials:
        pop.admit(trial)
    curves = run(pop, 3)
    for trial in trials:
        released = pop.release(trial)
        once, again = curves[trial.label]["valid_loss"][released.best_epoch - 1], released.valid["loss"]
        assert math.isclose(once, again, rel_tol=1e-9), f"{_at(case, trial)} is scored {once}, and then {again}."


CONTRACT: tuple[Callable[[Case], None], ...] = (
    together_equals_alone,
    neutral_equals_without,
    neighbours_do_not_feel_a_change,
    refilled_equals_fresh,
    what_is_off_does_not_feel_who_comes_and_goes,
    divergence_stays_alone,
    probes_differ,
    evaluation_is_still,
)


# ---- tools


def run(population: Population, epochs: int) -> dict[str, dict[str, list[float]]]:
    """Trains all rows for some epochs; the curves by trial and name, each the mean over its fits."""
    curves: dict[str, dict[str, list[float]]] = {}
    for _ in range(epochs):
        for score in population.train_epoch():
            for name, value in score.means.items():
                curves.setdefault(score.trial.label, {}).setdefault(name, []).append(value)
    return curves


def same(one: TrainedTrial, other: TrainedTrial) -> bool:
    """Bit for bit, with nan equal to nan."""
    tensors = all(torch.equal(one.weights[n].nan_to_num(7e77), other.weights[n].nan_to_num(7e77)) for n in one.weights)
    return tensors and np.array_equal(_scores(one.valid), _scores(other.valid), equal_nan=True)


def _close(one: TrainedTrial, other: TrainedTrial) -> bool:
    """To what rounding may do in a few epochs of float64."""
    tensors = all(
        torch.allclose(one.weights[n], other.weights[n], rtol=0, atol=1e-9, equal_nan=True) for n in one.weights
    )
    return tensors and np.allclose(_scores(one.valid), _scores(other.valid), rtol=1e-9, equal_nan=True)


def _scores(scores: Mapping[str, float]) -> np.ndarray:
    return np.array(list(scores.values()))


def _changed(trial: Trial, **params: object) -> Trial:
    return replace(trial, params={**trial.params, **params})


def _at(case: Case, trial: Trial) -> str:
    return f"A row with {case.member.name} {trial.params[case.member.name]}"


def _mlp(data: Samples, trial: Trial) -> BatchedNetwork:
    return Mlp(data.n_inputs, data.n_outputs, int(trial.params["depth"]), 8)
