"""Regularizers of weights, gradients and training time, compared with independent formulas."""

from dataclasses import replace

import pytest
import torch

from hpo.core.samples import Fold
from hpo.core.trial import Fit
from hpo.nn.mlp import Mlp
from hpo.nn.parameter import Parameter
from hpo.nn.rng import Noise
from hpo.regularizers import STRENGTHS
from hpo.regularizers.base import Batch
from hpo.space.hyperparameter import Hyperparameter
from hpo.space.regularization import amount
from hpo.space.settings import TrainConfig
from hpo.testing import TRAIN, run, same
from tests.helpers.training import FACTORIES, Masked, dataset, population, step, trained, trial

WEIGHT = Parameter("w", (4, 3), 1, "weight", units=1, inputs=0)
BIAS = Parameter("b", (3,), 1, "bias")


def numbers(*values):
    return torch.tensor(values, dtype=torch.float64)


def drawn(rows, *shape, seed=0):
    return torch.randn(rows, *shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def two(rows, *, biases=None, **facts):
    """Return a step of networks with one matrix and its bias, which only the first rows may have."""
    values, slopes = drawn(rows, 15), drawn(rows, 15, seed=1)
    named = [{"w": t[:, :12].view(-1, 4, 3), "b": t[:biases, 12:]} for t in (values, slopes)]
    given = {
        "params": named[0],
        "grads": named[1],
        "infos": {"w": WEIGHT, "b": BIAS},
        "flat_params": values,
        "flat_grads": slopes,
    }
    return step(**given | facts)


def test_l2_adds_the_gradient_of_half_the_squared_weights():
    before, after, s = two(3), two(3), numbers(0.0, 0.5, 2.0)
    w = before.params["w"].clone().requires_grad_()
    (s * w.square().sum((1, 2)) / 2).sum().backward()
    STRENGTHS["l2"].gradient(s, after)
    assert torch.allclose(after.grads["w"], before.grads["w"] + w.grad, rtol=1e-14)
    assert torch.equal(after.grads["b"], before.grads["b"])


def test_group_lasso_is_the_block_soft_threshold_of_each_column():
    data = replace(dataset(), columns=torch.tensor([1, 0, 1, 2]))  # inputs 0 and 2 belong to one column
    before, lr, s = two(3), numbers(0.1, 0.1, 0.1), numbers(0.0, 2.0, 1e3)
    after = two(3, lr=lr, data=data)
    STRENGTHS["group_lasso"].after_step(s, after)
    for inputs in ([0, 2], [1], [3]):
        group = before.params["w"][:, inputs]
        kept = (1 - lr * s * (3 * len(inputs)) ** 0.5 / group.norm(dim=(1, 2))).clamp(min=0)
        assert torch.allclose(after.params["w"][:, inputs], group * kept.view(-1, 1, 1), rtol=1e-14)
        assert 0 < kept[1] < 1
    assert torch.equal(after.params["w"][0], before.params["w"][0])
    assert (after.params["w"][2] == 0).all()
    assert torch.equal(after.flat_params[:, 12:], before.flat_params[:, 12:])


def test_group_lasso_leaves_weights_that_are_zero_at_zero():
    after = two(1, lr=numbers(0.1), data=replace(dataset(), columns=torch.arange(4)))
    after.flat_params.zero_()
    STRENGTHS["group_lasso"].after_step(numbers(0.0), after)
    assert (after.flat_params == 0).all()


def unused(weight):
    """Return the columns whose weights (inputs, units) are all zero; each column of these data has one input."""
    return (weight == 0).all(1).nonzero().flatten().tolist()


def test_group_lasso_removes_columns_without_information():
    train = TrainConfig(epochs=20, batch_size=32, patience=20)
    found = trained(dataset(), [trial("0", group_lasso=0.5), trial("1")], train, epochs=20)
    none, some = (unused(found[label].weights["0.weight"][0]) for label in ("1", "0"))
    assert none == []
    assert some == [7, 8]
    assert found["0"].valid["accuracy"] == 1


def test_max_norm_scales_the_incoming_weights_of_each_unit():
    before, after, s = two(3), two(3), numbers(0.0, 1.5, 0.1)
    STRENGTHS["max_norm"].after_step(s, after)
    for i in (1, 2):
        for unit in range(3):
            expected = torch.renorm(before.params["w"][i, :, unit].unsqueeze(0), 2, 0, float(s[i]))[0]
            assert torch.allclose(after.params["w"][i, :, unit], expected, rtol=1e-6)  # renorm adds 1e-7
    assert torch.equal(after.flat_params[0], before.flat_params[0])
    assert torch.equal(after.flat_params[:, 12:], before.flat_params[:, 12:])


@pytest.mark.parametrize("of", [WEIGHT, Parameter("w", (4, 3, 2, 2), 1, "weight")])
def test_spectral_adds_the_gradient_of_half_the_squared_largest_singular_value(of):
    s, w, grad = numbers(0.0, 0.5, 2.0), drawn(3, *of.shape), drawn(3, *of.shape, seed=1)
    matrix = w.movedim(of.units + 1, 1).flatten(2)
    matrix += (
        9 * drawn(3, matrix.shape[1], 1, seed=2) * drawn(3, 1, matrix.shape[2], seed=3)
    )  # one singular value is much larger than the others
    w = matrix.unflatten(2, [n for axis, n in enumerate(of.shape) if axis != of.units]).movedim(1, of.units + 1)
    leaf, added = w.clone().requires_grad_(), grad.clone()
    penalty = torch.linalg.matrix_norm(leaf.movedim(of.units + 1, 1).flatten(2), 2).square()
    (s * penalty / 2).sum().backward()
    STRENGTHS["spectral"].gradient(s, step(params={"w": w}, grads={"w": added}, infos={"w": of}))
    assert torch.allclose(added - grad, leaf.grad, rtol=0, atol=1e-3 * leaf.grad.abs().max())
    assert torch.equal(added[0], grad[0])


def test_spectral_of_zeros_is_zero():
    zeros, added = torch.zeros(1, 4, 3), torch.ones(1, 4, 3)
    STRENGTHS["spectral"].gradient(torch.ones(1), step(params={"w": zeros}, grads={"w": added}, infos={"w": WEIGHT}))
    assert (added == 1).all()


def test_gradient_noise_has_the_stated_variance_and_fades_out():
    s, shape = numbers(0.0, 0.04, 4.0), (300, 300)
    fits = [Fit(trial(str(i)), Fold(0, *[torch.arange(1)] * 2)) for i in range(3)]
    noise = {"gradient_noise": {"w": Noise([fit.stream("gradient_noise/w") for fit in fits], torch.float64)}}
    for epoch, minibatch, t in ((1, 0, 0), (3, 2, 12)):
        grads = {"w": torch.ones(3, *shape, dtype=torch.float64)}
        now = step(grads=grads, noise=noise, epoch=torch.full((3,), epoch), minibatch=minibatch, minibatches=5)
        STRENGTHS["gradient_noise"].gradient(s, now)
        assert torch.allclose(grads["w"].var((1, 2)), s / (1 + t) ** 0.55, rtol=0.02)
        assert torch.allclose(grads["w"].mean((1, 2)), numbers(1, 1, 1), atol=0.03)


def test_gradient_clip_equals_torch_for_each_fit():
    before, after, s = two(3, biases=2), two(3, biases=2), numbers(0.0, 0.5, 1e6)
    before.flat_grads[2:, 12:] = after.flat_grads[2:, 12:] = 0  # which the last row does not have
    STRENGTHS["gradient_clip"].gradient(s, after)
    for i in (1, 2):
        alone = torch.nn.Parameter(before.flat_params[i])
        alone.grad = before.flat_grads[i].clone()
        torch.nn.utils.clip_grad_norm_([alone], float(s[i]))
        assert torch.allclose(after.flat_grads[i], alone.grad, rtol=1e-14)
    assert torch.equal(after.flat_grads[[0, 2]], before.flat_grads[[0, 2]])
    assert after.flat_grads[1].norm() == pytest.approx(0.5, rel=1e-5)


def test_sam_moves_by_its_distance_along_the_gradient():
    before, after, s = two(3), two(3), numbers(0.0, 0.05, 2.0)
    batch = Batch(drawn(3, 2, 4), torch.zeros(3, 2), None, None, torch.zeros(3, 2, dtype=torch.long))
    assert STRENGTHS["sam"].perturb(s, after, batch, batch.x) is batch
    way = after.flat_params - before.flat_params
    assert torch.allclose(way.norm(dim=1), s, rtol=1e-11)
    assert torch.allclose(
        way * before.flat_grads.norm(dim=1, keepdim=True), s.unsqueeze(1) * before.flat_grads, atol=1e-11
    )


def test_lookahead_pulls_back_every_six_minibatches_and_at_an_epochs_end():
    s, fast = numbers(0.0, 0.25, 0.5), drawn(3, 15, seed=5)
    for minibatch, acts in enumerate((False, False, False, False, False, True, False, True)):
        slow = drawn(3, 15, seed=6)
        after = two(3, weight_copies={"lookahead": slow}, minibatch=minibatch, minibatches=8)
        after.flat_params.copy_(fast)
        STRENGTHS["lookahead"].after_step(s, after)
        expected = fast + s.unsqueeze(1) * (drawn(3, 15, seed=6) - fast) if acts else fast
        assert torch.allclose(after.flat_params, expected, rtol=1e-14)
        assert torch.equal(slow, after.flat_params) == acts


@pytest.mark.parametrize("s", [0.0, 0.5])
def test_lookahead_leaves_true_zeros_and_bounds(s):
    bounds = [{"l1": 3.0}, {"group_lasso": 1.0}, {"max_norm": 0.5}]
    train = TrainConfig(epochs=20, batch_size=32, patience=20)
    zeros, columns, norms = trained(
        dataset(), [trial(str(i), lookahead=s, **own) for i, own in enumerate(bounds)], train, 20
    ).values()
    assert zeros.nonzero_share < 0.1
    assert unused(columns.weights["0.weight"][0])
    assert norms.weights["0.weight"].norm(dim=1).max() <= 0.5 + 1e-12


def test_ema_is_the_mean_in_which_each_step_counts_s_times_the_next():
    s, kept, steps = numbers(0.0, 0.5, 0.999), drawn(3, 15, seed=7), drawn(3, 8, 15, seed=8)
    for t in range(8):
        now = two(3, weight_copies={"ema": kept}, epoch=torch.full((3,), 1 + t // 4), minibatch=t % 4, minibatches=4)
        now.flat_params.copy_(steps[:, t])
        STRENGTHS["ema"].after_step(s, now)
    weights = s.unsqueeze(1) ** torch.arange(7, -1, -1)
    mean = (steps * weights.unsqueeze(2)).sum(1) / weights.sum(1, keepdim=True)
    scored = STRENGTHS["ema"].after_epoch(s, now, now.flat_params)
    assert torch.allclose(scored, mean, rtol=1e-10)
    assert torch.equal(scored[0], steps[0, 7])


def test_swa_is_the_mean_at_the_ends_of_the_last_epochs():
    s, kept, ends = numbers(0.0, 0.3, 0.75, 1.0), drawn(4, 15, seed=7), drawn(4, 10, 15, seed=8)
    epochs = torch.full((4,), 10.0, dtype=torch.float64)
    for epoch in range(1, 11):
        now = two(4, weight_copies={"swa": kept}, epoch=torch.full_like(epochs, epoch), epochs=epochs)
        scored = STRENGTHS["swa"].after_epoch(s, now, ends[:, epoch - 1])
        for i, first in enumerate((10, 7, 2, 0)):  # of 0.75 × 10 = 7.5 epochs eight
            expected = ends[i, min(first, epoch - 1) : epoch].mean(0)
            assert torch.allclose(scored[i], expected, rtol=1e-12)
    assert torch.equal(scored[0], ends[0, 9])


def test_an_average_restarts_with_each_cycle():
    """Otherwise, the networks of a snapshot ensemble would be averages of each other."""
    pop, ends = population(dataset(), TrainConfig(epochs=6, batch_size=32, patience=9)), []
    pop.admit(replace(trial("0", swa=0.5), epochs=8, cycle=4))
    (stack,) = pop.stacks.values()
    for _ in range(8):
        run(pop, 1)
        ends.append(stack.tensors.values.clone())
    assert torch.allclose(stack.tensors.weight_copies["swa"], torch.stack(ends[6:]).mean(0), rtol=1e-12)


@pytest.mark.parametrize("name", ["ema", "swa"])
def test_averages_are_scored_while_training_continues_with_the_weights(name):
    """The average does not affect training: with a full average and with none, the weights of the last step are the
    same.
    """
    values = []
    for s in (STRENGTHS[name].default_value, STRENGTHS[name].probe[1]):
        pop = population(dataset(), TRAIN)
        pop.admit(trial("0", **{name: s}))
        run(pop, 4)
        (stack,) = pop.stacks.values()
        values.append((stack.tensors.values.clone(), stack.tensors.best.clone()))
    (raw, best), (raw_too, averaged) = values
    assert torch.equal(raw, raw_too)
    assert not torch.equal(best, averaged)


@pytest.mark.parametrize("name", ["ema", "swa", "lookahead"])
def test_infinite_buffers_are_copied_and_not_averaged(name, monkeypatch):
    monkeypatch.setitem(FACTORIES, "masked", Masked)
    off, on = (
        trained(dataset(), [trial("0", **{name: s})], kind="masked")["0"] for s in (0.0, STRENGTHS[name].probe[1])
    )
    assert on.valid["loss"] < 1.2
    assert not same(off, on)
    assert torch.equal(off.weights["mask"], on.weights["mask"])
    assert on.weights["largest"].isfinite().all()


def test_an_mlp_declares_the_axes_of_units_and_inputs():
    net = Mlp(13, 3, 2, 8)
    for p in net.parameters:
        if p.role == "weight":
            assert p.shape[p.units] == (3 if p.name == "out.weight" else 8)
            assert p.inputs == (0 if p.name == "0.weight" else None)


def test_a_bound_that_is_off_does_not_bound():
    bounds = {"max_norm": Hyperparameter(choices=(0.0, 1.0, 2.0, 3.0))}
    assert [amount(bounds, {"max_norm": bound}) for bound in (0.0, 3.0, 2.0, 1.0)] == pytest.approx(
        [0, 0, 1 / 3, 2 / 3]
    )
