"""Each validator equals a plain formula for a single fit, and reads no label of the target domain."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy.optimize import minimize_scalar
from scipy.special import log_softmax
from scipy.stats import entropy
from sklearn.covariance import oas
from sklearn.metrics import log_loss

from hpo.core import validators
from hpo.core.metrics import METRICS, VALIDATORS
from hpo.core.validators import MAX_NEIGHBORS, MAX_RATIO, LabelledOutputs
from hpo.space.settings import TrainConfig
from hpo.testing import same
from hpo.training import evaluation
from tests.helpers.training import foreign, network, population, run, trial

FITS, SOURCE, TARGET, CLASSES, WIDTH = 3, 81, 120, 4, 6
STREAM = np.random.default_rng(0)


def normal(*shape):
    return torch.from_numpy(STREAM.normal(size=shape))


def rows(task="classification", weight=False):
    """Make outputs of three networks for source and target rows, whose features differ in distribution."""
    outputs = CLASSES if task == "classification" else 1
    y = torch.from_numpy(STREAM.integers(CLASSES, size=(FITS, SOURCE))) if outputs > 1 else normal(FITS, SOURCE)
    weights = normal(FITS, SOURCE).abs() + 0.5 if weight else None
    source = LabelledOutputs(
        normal(FITS, SOURCE, outputs), normal(FITS, SOURCE, WIDTH), y, weights, normal(FITS, SOURCE).exp()
    )
    return source, 3 * normal(FITS, TARGET, outputs), normal(FITS, TARGET, WIDTH) + torch.linspace(0, 1, WIDTH)


def each_loss(task, source, fit):
    if task == "regression":
        return ((source.logits[fit, :, 0] - source.y[fit]) ** 2).numpy()
    return -source.logits[fit].log_softmax(1)[torch.arange(SOURCE), source.y[fit]].numpy()


def lda_ratio(fitted_on, target, x):
    """Compute the density ratio with numpy and scikit-learn's shrunk covariance."""
    middle = (fitted_on.mean(0) + target.mean(0)) / 2
    covariance, _ = oas(np.concatenate([fitted_on - fitted_on.mean(0), target - target.mean(0)]), assume_centered=True)
    return np.exp((x - middle) @ np.linalg.inv(covariance) @ (target.mean(0) - fitted_on.mean(0))).clip(
        1 / MAX_RATIO, MAX_RATIO
    )


@pytest.mark.parametrize("task", ["classification", "regression"])
@pytest.mark.parametrize("weight", [False, True])
def test_iwv_is_the_loss_weighed_by_the_density_ratio(task, weight):
    source, logits, features = rows(task, weight)
    found = validators.compute_validators(["iwv"], task, source, logits, features, 3.0)["iwv"]
    own = source.density_ratio * (source.weight if weight else 1)
    expected = [np.average(each_loss(task, source, i), weights=own[i]) for i in range(FITS)]
    assert found.tolist() == pytest.approx([e * (9 if task == "regression" else 1) for e in expected])
    if task == "classification":
        said = [
            log_loss(source.y[i], source.logits[i].softmax(1), sample_weight=own[i], labels=range(CLASSES))
            for i in range(FITS)
        ]
        assert found.tolist() == pytest.approx(said)


@pytest.mark.parametrize("task", ["classification", "regression"])
@pytest.mark.parametrize("weight", [False, True])
def test_dev_is_its_authors_formula_with_a_ratio_fitted_on_the_other_half(task, weight):
    source, logits, features = rows(task, weight)
    found = validators.compute_validators(["dev"], task, source, logits, features, 1.0)["dev"]
    for i in range(FITS):
        own, other = source.features[i].numpy(), features[i].numpy()
        ratio = np.empty(SOURCE)
        for half in (0, 1):
            ratio[half::2] = lda_ratio(own[1 - half :: 2], other, own[half::2])
        loss = each_loss(task, source, i)
        loss = loss * (source.weight[i] / source.weight[i].mean()).numpy() if weight else loss
        weighed = ratio * loss
        eta = -np.cov(weighed, ratio)[0, 1] / ratio.var(ddof=1)
        assert float(found[i]) == pytest.approx(weighed.mean() + eta * ratio.mean() - eta)


def test_the_ratio_of_features_is_that_of_two_gaussians():
    apart = torch.tensor([1.0, -0.5, 0.0], dtype=torch.float64)
    source, target, x = normal(1, 20_000, 3), normal(1, 20_000, 3) + apart, normal(1, 50, 3)
    found = validators.gaussian_ratio(source, target, x)
    assert torch.allclose(found.log(), x @ apart - apart.square().sum() / 2, atol=0.1)


@pytest.mark.parametrize("features", [0.0, 1.0, torch.nan], ids=["zero", "constant", "diverged"])
def test_features_without_a_finite_ratio_give_nan(features):
    source, _, other = rows()
    source = replace(source, features=torch.full_like(source.features, features))
    found = validators.dev("classification", source, torch.full_like(other, features))
    if features == features:  # noqa: PLR0124 -- else it is not a number, and so is the validator
        assert found.tolist() == pytest.approx([each_loss("classification", source, i).mean() for i in range(FITS)])
    else:
        assert found.isnan().all()


def test_dev_without_a_shift_is_close_to_the_loss_and_with_one_to_that_of_the_target():
    features = normal(1, 4000, 2)
    moved = torch.tensor([1.0, 0.0], dtype=torch.float64)
    slope = torch.tensor([[0.7], [0.2]], dtype=torch.float64)  # the error grows in the direction of the shift
    source = LabelledOutputs(features @ slope, features, torch.zeros(1, 4000, dtype=torch.float64), None, None)
    for target in (normal(1, 4000, 2), normal(1, 4000, 2) + moved):
        truth = float((target @ slope).square().mean())
        assert float(validators.dev("regression", source, target)) == pytest.approx(truth, rel=0.1)


def test_snd_is_the_entropy_of_soft_neighbourhoods():
    _, logits, _ = rows()
    for i, found in enumerate(validators.snd(logits)):
        said = logits[i].softmax(1).numpy()
        said /= np.linalg.norm(said, axis=1, keepdims=True)
        alike = np.exp(said @ said.T / 0.05)
        np.fill_diagonal(alike, 0)
        assert float(found) == pytest.approx(entropy(alike / alike.sum(1, keepdims=True), axis=1).mean(), rel=1e-5)


def test_snd_searches_neighbours_among_evenly_spaced_rows():
    logits = normal(1, 2 * MAX_NEIGHBORS + 3, CLASSES)
    assert torch.equal(validators.snd(logits), validators.snd(logits[:, ::3]))


def test_entropies_equal_scipy():
    _, logits, _ = rows()
    chances = logits.softmax(2).numpy()
    mean = entropy(chances, axis=2).mean(1)
    assert validators.target_entropy(logits).tolist() == pytest.approx(mean.tolist())
    assert validators.infomax(logits).tolist() == pytest.approx((mean - entropy(chances.mean(1), axis=1)).tolist())


def test_infomax_is_not_best_for_a_single_class_as_entropy_is():
    balanced = 20 * torch.eye(CLASSES, dtype=torch.float64).repeat(TARGET // CLASSES, 1).unsqueeze(0)
    collapsed = balanced[:, :1].expand_as(balanced)
    assert float(validators.target_entropy(collapsed)) == pytest.approx(float(validators.target_entropy(balanced)))
    assert float(validators.infomax(balanced)) < float(validators.infomax(collapsed)) - 1


@pytest.mark.parametrize("weight", [False, True])
def test_the_temperature_minimizes_the_smoothed_loss(weight):
    source, _, _ = rows(weight=weight)
    source = replace(source, logits=source.logits + 2 * torch.nn.functional.one_hot(source.y, CLASSES))
    chance = 1 / (SOURCE + 1)

    def loss(log_sharpness, i):
        wanted = (1 - chance) * np.eye(CLASSES)[source.y[i]] + chance / CLASSES
        said = log_softmax(source.logits[i].numpy() * np.exp(log_sharpness), axis=1)
        return np.average(-(wanted * said).sum(1), weights=source.weight[i] if weight else None)

    found = validators.inverse_temperature(source).flatten().log()
    expected = [minimize_scalar(loss, bounds=(-4, 4), args=(i,), method="bounded").x for i in range(FITS)]
    assert found.tolist() == pytest.approx(expected, abs=2e-3)


def test_overconfidence_is_not_preferred():
    """Ten times as confident in everything is the same network, and rows that are all correct do not make one
    infinitely confident.
    """
    source, logits, features = rows()
    source = replace(source, logits=source.logits + 2 * torch.nn.functional.one_hot(source.y, CLASSES))
    louder = replace(source, logits=10 * source.logits)
    for name in ("infomax", "target_entropy"):
        plain, loud = (
            validators.compute_validators([name], "classification", *of, 1.0)[name]
            for of in ((source, logits, features), (louder, 10 * logits, features))
        )
        assert loud.tolist() == pytest.approx(plain.tolist(), rel=5e-3)
    right = replace(source, logits=torch.nn.functional.one_hot(source.y, CLASSES).double())
    expected = np.log(1 + CLASSES * SOURCE)  # the margin of the correct class of each row
    assert validators.inverse_temperature(replace(right, logits=3 * right.logits)).flatten().tolist() == pytest.approx(
        [expected / 3] * FITS, rel=3e-3
    )


@pytest.mark.parametrize("name", VALIDATORS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_fit_does_not_depend_on_the_number_of_fits(name, dtype):
    many, m = 17, 70
    source = LabelledOutputs(
        *(normal(many, 40, n).to(dtype) for n in (CLASSES, 64)),
        torch.from_numpy(STREAM.integers(CLASSES, size=(many, 40))),
        None,
        normal(many, 40).exp().to(dtype),
    )
    logits, features = normal(many, m, CLASSES).to(dtype), normal(many, m, 64).to(dtype)

    def measured(chosen):
        own = LabelledOutputs(*(None if t is None else t[chosen] for t in vars(source).values()))
        return validators.compute_validators([name], "classification", own, logits[chosen], features[chosen], 1.0)[name]

    whole = measured(slice(None))
    for some in ([0], [5], [16], [2, 3], [3, 1, 2], list(range(8)), list(range(9, 17))):
        assert torch.equal(measured(some), whole[some])


# ---- in training


def test_a_followed_validator_is_computed_each_epoch_and_all_at_the_end():
    data = foreign()
    for name in VALIDATORS:
        pop = population(data, TrainConfig(epochs=3, batch_size=32, metric=name))
        pop.admit(trial("0"))
        curves = run(pop, 3)["0"]
        assert {f"valid_{other}" for other in VALIDATORS} & curves.keys() == {f"valid_{name}"}
        released = pop.release(trial("0"))
        assert set(VALIDATORS) <= released.valid.keys()
        assert not set(VALIDATORS) & released.train.keys()
        best = min if METRICS[name].better == "lower" else max
        assert released.valid[name] == pytest.approx(best(curves[f"valid_{name}"]), rel=1e-9)


def test_the_followed_validator_equals_the_formula_for_the_trained_networks():
    data = foreign()
    pop = population(data, TrainConfig(epochs=2, batch_size=32, metric="dev"))
    pop.admit(of := trial("0"))
    run(pop, 2)
    released, net, fold = pop.release(of), network(data, of), data.folds[0]
    valid, target = (
        net.predict_parts(released.weights, [data.x[part].unsqueeze(0)], features=True)
        for part in (fold.valid, fold.target_valid)
    )
    source = LabelledOutputs(*valid, data.y[fold.valid].unsqueeze(0), None, data.density_ratio[fold.valid].unsqueeze(0))
    found = validators.compute_validators(VALIDATORS, "classification", source, *target, 1.0)
    assert {name: released.valid[name] for name in VALIDATORS} == pytest.approx(
        {name: float(value) for name, value in found.items()}
    )


@pytest.mark.parametrize("name", VALIDATORS)
def test_no_target_label_is_read(name):
    """Invalid labels would have a visible effect: classes that do not exist, a weight, a ratio."""
    data = foreign()
    hidden = torch.cat([data.folds[0].target, data.folds[0].target_valid])
    poisoned = replace(
        data, y=data.y.clone(), weight=torch.ones_like(data.x[:, 0]), density_ratio=data.density_ratio.clone()
    )
    clean = replace(poisoned, weight=poisoned.weight.clone())
    poisoned.y[hidden], poisoned.weight[hidden], poisoned.density_ratio[hidden] = 10**6, torch.nan, torch.nan
    train = TrainConfig(epochs=3, batch_size=32, metric=name)
    found = []
    for samples in (clean, poisoned):
        pop = population(samples, train)
        pop.admit(of := trial("0", importance=1.0))
        found.append((run(pop, 3), pop.release(of)))
    assert found[0][0] == found[1][0]
    assert same(found[0][1], found[1][1])


def test_held_out_source_rows_are_used_if_validation_rows_are_target_rows():
    data = foreign()
    fold = data.folds[0]
    other = replace(data, folds=(replace(fold, valid=fold.valid[:7], source_valid=fold.valid[7:]),))
    pop = population(other)
    pop.admit(of := trial("0"))
    run(pop, 1)
    released, net = pop.release(of), network(data, of)
    logits = net.predict(released.weights, data.x[fold.valid[7:]].unsqueeze(0))[0]
    expected = log_loss(
        data.y[fold.valid[7:]], logits.softmax(1), sample_weight=data.density_ratio[fold.valid[7:]], labels=range(3)
    )
    assert released.valid["iwv"] == pytest.approx(expected)


def test_unavailable_validators_are_not_computed():
    data = foreign()
    fold, net, none = data.folds[0], network(data, trial("0")), torch.empty(0, dtype=torch.long)
    assert evaluation.available_validators(data, net, fold) == VALIDATORS
    assert "iwv" not in evaluation.available_validators(replace(data, density_ratio=None), net, fold)
    assert evaluation.available_validators(data, net, replace(fold, target_valid=none)) == ()
    assert evaluation.available_validators(data, net, replace(fold, valid=none)) == ()
