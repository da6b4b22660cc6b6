"""The contract of regularizers: `hpo.testing.check(MyRegularizer())` tests its eight points.

A regularizer is tested on three networks that train in one batched program, in float64: the first one has the
default value, the others the two `probe` strengths. Each point raises AssertionError with an explanation.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

import numpy as np
import torch

from hpo.core.errors import InputError
from hpo.core.samples import Fold, Samples
from hpo.core.trial import TrainedTrial, Trial
from hpo.core.trial_key import TrialKey
from hpo.data import density_ratio, synthetic
from hpo.data.config import DataConfig
from hpo.data.dataset import prepare
from hpo.nn.mlp import Mlp
from hpo.nn.network import BatchedNetwork
from hpo.regularizers import FAMILY, registered
from hpo.regularizers.base import Regularizer
from hpo.regularizers.configs import make_config
from hpo.space import plugins
from hpo.space.settings import TrainConfig
from hpo.training.population import Population

TRAIN = TrainConfig(epochs=5, batch_size=32, patience=5)
_IMAGE_ROWS = (100, 50)  # images for training and validation: enough for a few steps
_ROUNDING = 1e-9  # the largest difference of weights that rounding causes in a few epochs of float64
_ROUNDING_HINT = (
    "So small a difference comes from rounding: the memory layout of a gradient, and with it the order of its sums, "
    "depends on the number of networks in the stack. In a loss, this happens if a mean or another element-wise factor "
    "is applied to strided tensors such as the logits. Use a sum, and divide the result: x.sum((1, 2)) / n in place of "
    "x.mean((1, 2)). Matrix products with a single row or column cause it, too: multiply and sum instead."
)
_DEPENDENCE_HINT = (
    "So large a difference is not rounding. Usual causes: random numbers that do not come from step.noise[self.name], "
    "a sum or mean over the fit axis, values read from another fit, a branch on the values of s, or state that is "
    "stored in the object instead of step.weight_copies."
)


@dataclass(frozen=True)
class Case:
    """A regularizer, data that it can act on, and the network of each trial."""

    member: Regularizer
    data: Samples
    network: Callable[[Trial], BatchedNetwork]
    cache: dict[str, dict[str, TrainedTrial]] = field(default_factory=dict, compare=False, repr=False)

    def three_trials(self) -> list[Trial]:
        """Return three trials: with the default value and with the two probe strengths."""
        strengths = (self.member.default_value, *self.member.probe)
        return [self.trial(str(i), s) for i, s in enumerate(strengths)]

    def trial(self, label: str, strength: object = None) -> Trial:
        """Return a trial; without a strength, its search does not contain the regularizer."""
        params = {} if strength is None else {self.member.name: strength}
        key = TrialKey.parse(label)
        return Trial(key, "search", make_config({"learning_rate": 1e-2, "depth": 2, **params}), key.number + 100)

    def population(self) -> Population:
        return Population(self.data, self.network, TRAIN, 64)

    def train(self, trials: Sequence[Trial], epochs: int = 3) -> dict[str, TrainedTrial]:
        """Train trials together and return their results by label; a case trains the same trials only once."""
        key = repr((tuple(trials), epochs))
        if key not in self.cache:
            population = self.population()
            for trial in trials:
                population.admit(trial)
            run(population, epochs)
            self.cache[key] = {trial.label: population.release(trial) for trial in trials}
        return self.cache[key]


def check(member: Regularizer, data: Samples | None = None) -> None:
    """Test the whole contract for a regularizer, which need not be registered, on `data` or on a small data set.

    Raises AssertionError if a point of the contract is violated, and InputError if a class attribute is invalid.
    """
    if member.name not in FAMILY and (text := plugins.first_problem(member)):
        raise InputError(f"{type(member).__name__}{text}")
    samples = data or small_data(member)
    with registered([] if member.name in FAMILY else [member]):
        case = Case(member, samples, partial(mlp, samples))
        for point in CONTRACT:
            point(case)


def small_data(member: Regularizer) -> Samples:
    """Return a small table, or small images, in float64, with everything that the regularizer `needs`."""
    if "image" not in member.needs:
        return add_needs(member, prepare(DataConfig(source="sklearn:wine"), Path(), torch.float64))
    data = prepare(DataConfig(source="sklearn:digits"), Path(), torch.float64)
    (fold,), (train, valid) = data.folds, _IMAGE_ROWS
    fold = Fold(0, fold.train[:train], fold.valid[:valid])
    return add_needs(member, replace(data.as_samples(), folds=(fold,), image=(1, 8, 8)))


def add_needs(member: Regularizer, data: Samples) -> Samples:
    """Return the same rows with the additional data that the regularizer `needs`."""
    if "generated" in member.needs:
        x, y, train = (t.numpy() for t in (data.x, data.y, data.folds[0].train))
        generated = synthetic.augment("smote", x, y, len(data.classes), train, 3)
        data = replace(data.as_samples(), augmented={**data.augmented, member.name: torch.from_numpy(generated)})
    if "auxiliary" in member.needs:
        probabilities = (data.x[:, :3] * 2).softmax(1)
        data = replace(data.as_samples(), auxiliary=torch.where(data.x[:, 3:4] > 1, torch.nan, probabilities))
    return as_two_domains(data) if "target" in member.needs else data


def as_two_domains(data: Samples) -> Samples:
    """Return the same rows as two domains, with density ratios.

    The second half of the training rows becomes the target domain: its labels are removed, and its inputs are
    scaled and shifted. A quarter of it serves as target validation rows.
    """
    (fold,) = data.folds
    labelled, target = fold.train.chunk(2)
    adapted, valid = target[len(target) // 4 :], target[: len(target) // 4]
    x, y = data.x.clone(), data.y.clone()
    x[target] = 1.5 * x[target] + 0.5
    y[target] = -1 if data.task == "classification" else math.nan
    ratio = torch.from_numpy(density_ratio.estimate(x.numpy(), labelled.numpy(), adapted.numpy())).to(x.dtype)
    ratio[target] = 1
    folds = (replace(fold, train=labelled, target=adapted, target_valid=valid),)
    return replace(data.as_samples(), x=x, y=y, folds=folds, density_ratio=ratio)


def stacked_fits_equal_single_fits(case: Case) -> None:
    """Check that a fit does not depend on how many others train with it."""
    stacked = case.train(case.three_trials())
    for trial in case.three_trials():
        single = case.train([trial])[trial.label]
        _assert_same(stacked[trial.label], single, f"{_network(case, trial)} depends on the other fits of its stack")


def default_value_equals_absence(case: Case) -> None:
    """Check that a regularizer at its default value has no effect.

    If the regularizer passes a target batch through the network, this holds up to rounding: the matrix products then
    have additional rows, whose gradients are zero, and are summed in another order.
    """
    with_key, without_key = case.train([case.trial("0", case.member.default_value)]), case.train([case.trial("0")])
    claim = f"{case.member.name} has an effect at {case.member.default_value}, its default value"
    if case.member.uses_target_batch:
        assert _close(with_key["0"], without_key["0"]), f"{claim}."
    else:
        _assert_same(with_key["0"], without_key["0"], claim)


def changing_one_fit_leaves_the_others_bit_equal(case: Case) -> None:
    """Check that changing the configuration of one fit changes nothing in the other fits."""
    first, *others = case.three_trials()
    changed = _changed(first, **{case.member.name: case.member.probe[0], "learning_rate": 0.02})
    before, after = case.train([first, *others]), case.train([changed, *others])
    for trial in others:
        claim = f"{_network(case, trial)} depends on the configuration of another fit"
        _assert_same(before[trial.label], after[trial.label], claim)


def reused_slot_equals_new_slot(case: Case) -> None:
    """Check that a fit does not depend on the trial that occupied its slot before."""
    first, second, late = case.three_trials()
    population = case.population()
    for trial in (first, second):
        population.admit(trial)
    run(population, 2)
    population.release(first)
    population.admit(late)
    run(population, 3)
    claim = f"{_network(case, late)} depends on the trial that used its slot before"
    _assert_same(population.release(late), case.train([late])[late.label], claim)


def entering_and_leaving_fits_leave_the_default_bit_equal(case: Case) -> None:
    """Check that a fit at the default value is not affected while another fit with a strength enters and leaves.

    A regularizer that is off in all fits is left out of the program, so the program changes twice.
    """
    off, entering = case.trial("0", case.member.default_value), case.trial("1", case.member.probe[1])
    population = case.population()
    population.admit(off)
    run(population, 1)
    population.admit(entering)
    run(population, 1)
    population.release(entering)
    run(population, 1)
    claim = f"{_network(case, off)} depends on a fit with {case.member.probe[1]} that enters and leaves its stack"
    _assert_same(population.release(off), case.train([off])["0"], claim)


def diverging_fit_leaves_the_others_bit_equal(case: Case) -> None:
    """Check that the other fits stay the same, and finite, if one diverges."""
    first, *others = case.three_trials()
    diverging = _changed(first, learning_rate=1e300)
    expected, actual = case.train(others), case.train([diverging, *others])
    for trial in others:
        claim = f"{_network(case, trial)} depends on another fit that diverges"
        _assert_same(expected[trial.label], actual[trial.label], claim)
        finite = all(bool(torch.isfinite(w).all()) for w in actual[trial.label].weights.values())
        assert finite, f"{_network(case, trial)} diverges together with another fit."


def probe_strengths_differ(case: Case) -> None:
    """Check that the strength has an effect."""
    weak, strong = (case.train([case.trial("0", strength)])["0"] for strength in case.member.probe)
    assert not same(weak, strong), (
        f"{case.member.name} has the same effect at both probe strengths, {case.member.probe[0]} and "
        f"{case.member.probe[1]}. Does it override a hook, and use s?"
    )


def evaluation_is_deterministic(case: Case) -> None:
    """Check that the same weights get the same score twice: no regularizer acts outside training."""
    trials, population = case.three_trials(), case.population()
    for trial in trials:
        population.admit(trial)
    curves = run(population, 3)
    for trial in trials:
        trained = population.release(trial)
        first, second = curves[trial.label]["valid_loss"][trained.best_epoch - 1], trained.valid["loss"]
        assert math.isclose(first, second, rel_tol=1e-9), (
            f"{_network(case, trial)} has a validation loss of {first}, and {second} for the same weights. A hook must "
            f"have no effect if step.training is false."
        )


CONTRACT: tuple[Callable[[Case], None], ...] = (
    stacked_fits_equal_single_fits,
    default_value_equals_absence,
    changing_one_fit_leaves_the_others_bit_equal,
    reused_slot_equals_new_slot,
    entering_and_leaving_fits_leave_the_default_bit_equal,
    diverging_fit_leaves_the_others_bit_equal,
    probe_strengths_differ,
    evaluation_is_deterministic,
)


def run(population: Population, epochs: int) -> dict[str, dict[str, list[float]]]:
    """Train a population for some epochs; return the curves by trial and name, averaged over the fits of a trial."""
    curves: dict[str, dict[str, list[float]]] = {}
    for _ in range(epochs):
        for score in population.train_epoch():
            for name, value in score.means.items():
                curves.setdefault(score.trial.label, {}).setdefault(name, []).append(value)
    return curves


def same(first: TrainedTrial, second: TrainedTrial) -> bool:
    """Return whether two trained trials are equal bit for bit, nan being equal to nan."""
    tensors = all(
        torch.equal(first.weights[n].nan_to_num(7e77), second.weights[n].nan_to_num(7e77)) for n in first.weights
    )
    return tensors and np.array_equal(_scores(first.valid), _scores(second.valid), equal_nan=True)


def _assert_same(first: TrainedTrial, second: TrainedTrial, claim: str) -> None:
    """Raise AssertionError with the claim and a hint at its cause if two trained trials differ in any bit."""
    if same(first, second):
        return
    largest = max(float((first.weights[n] - second.weights[n]).abs().max()) for n in first.weights)
    hint = _ROUNDING_HINT if _close(first, second) else _DEPENDENCE_HINT
    raise AssertionError(f"{claim}: weights differ by up to {largest:.2g}. {hint}")


def _close(first: TrainedTrial, second: TrainedTrial) -> bool:
    """Return whether two trained trials are equal up to rounding."""
    tensors = all(
        torch.allclose(first.weights[n], second.weights[n], rtol=0, atol=_ROUNDING, equal_nan=True)
        for n in first.weights
    )
    return tensors and np.allclose(_scores(first.valid), _scores(second.valid), rtol=_ROUNDING, equal_nan=True)


def _scores(scores: Mapping[str, float]) -> np.ndarray:
    return np.array(list(scores.values()))


def _changed(trial: Trial, **params: object) -> Trial:
    return replace(trial, params=make_config({**trial.params, **params}))


def _network(case: Case, trial: Trial) -> str:
    return f"A network with {case.member.name} {trial.params[case.member.name]}"


def mlp(data: Samples, trial: Trial) -> BatchedNetwork:
    """Return the network of a trial: an MLP with 8 units per layer."""
    return Mlp(data.n_inputs, data.n_outputs, int(trial.params.structure["depth"]), 8)
