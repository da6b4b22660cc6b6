"""Domain adaptation regularizers, compared with their formulas and with plain torch."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from sklearn.datasets import make_moons
from sklearn.metrics import pairwise_distances
from sklearn.metrics.pairwise import rbf_kernel

from hpo.core.samples import Fold, Samples
from hpo.core.trial import Fit
from hpo.nn.backends import backend_for
from hpo.nn.device import CPU
from hpo.regularizers import STRENGTHS
from hpo.regularizers.base import Batch, ForwardOutput
from hpo.regularizers.cdan import outer_product
from hpo.regularizers.infomax import entropy_of_mean, log_probabilities, mean_entropy
from hpo.regularizers.mmd import mmd_squared
from hpo.space.settings import TrainConfig
from hpo.testing import as_two_domains, same
from hpo.training.stack import initial_value
from tests.helpers.oracle import plain_module
from tests.helpers.training import dataset, network, shifted, step, trained, trial

ADVERSARIAL = ("dann", "cdan")
MEMBERS = ("mmd", "coral", *ADVERSARIAL, "entropy", "infomax")


def drawn(*shape, seed=0, dtype=torch.float64):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64).to(dtype)


def forward_output(fits, rows, width, classes=3, dtype=torch.float64):
    """Return a forward output in the memory layout of a network: parts of one tensor, classes before rows."""
    h = drawn(fits, 2 * rows, width, seed=1, dtype=dtype).relu().requires_grad_()
    logits = drawn(fits, classes, 2 * rows, seed=2, dtype=dtype).requires_grad_()
    said = logits.transpose(1, 2)
    batch = Batch(h, h, None, None, h, h)
    return h, logits, ForwardOutput(batch, said[:, :rows], h[:, :rows], said[:, rows:], h[:, rows:])


def losses(name, fits, rows, width, part=slice(None), dtype=torch.float64, s=0.7):
    """Return the losses of some fits, and their gradients by features, logits and extra parameters."""
    h, logits, whole = forward_output(fits, rows, width, dtype=dtype)
    data = as_two_domains(dataset())
    own = {
        p.name: drawn(fits, *p.shape, seed=3, dtype=dtype)[part].clone().requires_grad_()
        for p in STRENGTHS[name].extra_parameters(width, data)
    }
    mine = ForwardOutput(
        whole.batch, *(t[part] for t in (whole.logits, whole.features, whole.target_logits, whole.target_features))
    )
    strengths = torch.full((len(mine.logits),), s, dtype=dtype)
    now = step(
        extra=own,
        epoch=torch.full_like(strengths, 2),
        epochs=torch.full_like(strengths, 10),
        minibatch=1,
        minibatches=4,
    )
    loss = STRENGTHS[name].loss(strengths, now, mine)
    grads = torch.autograd.grad(loss.sum(), [h, logits, *own.values()], allow_unused=True)
    shared = [grad[part] for grad in grads[:2] if grad is not None]
    return [loss, *shared, *grads[2:]]


@pytest.mark.exhaustive
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
@pytest.mark.parametrize("name", MEMBERS)
@pytest.mark.parametrize(("rows", "width"), [(2, 3), (7, 24), (13, 5), (64, 64), (33, 130)])
def test_a_fit_is_bit_equal_alone_and_in_a_stack(name, rows, width, dtype):
    """Some shapes let a row end in the middle of a vector register."""
    together = losses(name, 5, rows, width, dtype=dtype)
    for i in range(5):
        alone = losses(name, 5, rows, width, slice(i, i + 1), dtype=dtype)
        assert all(torch.equal(t[i : i + 1], one) for t, one in zip(together, alone, strict=True))


@pytest.mark.parametrize(("n", "m"), [(20, 20), (9, 14)])
def test_mmd_is_the_unbiased_estimate_with_the_mean_of_five_kernels(n, m):
    source, target = drawn(3, n, 4), 1.5 * drawn(3, m, 4, seed=1) + 0.5
    for i, found in enumerate(mmd_squared(source, target)):
        rows = torch.cat([source[i], target[i]]).numpy()
        squared = pairwise_distances(rows, metric="sqeuclidean")
        mean = squared[~np.eye(n + m, dtype=bool)].mean()
        kernel = np.mean([rbf_kernel(rows, gamma=1 / (c * mean)) for c in (0.25, 0.5, 1, 2, 4)], axis=0)
        within = [(k.sum() - np.trace(k)) / (len(k) * (len(k) - 1)) for k in (kernel[:n, :n], kernel[n:, n:])]
        assert float(found) == pytest.approx(sum(within) - 2 * kernel[:n, n:].mean(), rel=1e-10)


def test_mmd_is_zero_in_the_mean_of_one_domain_and_not_between_two():
    rows = drawn(400, 40, 4)
    same, moved = mmd_squared(rows[:, :20], rows[:, 20:]), mmd_squared(rows[:, :20], rows[:, 20:] + 1)
    assert abs(float(same.mean())) < 4 * float(same.std()) / 20
    assert float(moved.mean()) > 0.1


@pytest.mark.parametrize("h", [torch.zeros(2, 12, 4), torch.full((2, 12, 4), 1e3), torch.full((2, 12, 4), 0.1)])
def test_equal_features_have_no_gradient(h):
    """Networks whose units are all dead have such features."""
    h = h.requires_grad_()
    mmd_squared(h[:, :6], h[:, 6:]).sum().backward()
    assert h.grad.abs().max() < 1e-6


def test_no_gradient_goes_through_the_bandwidth():
    """Otherwise, larger features would count as closer ones."""
    source, target = drawn(1, 8, 4), drawn(1, 8, 4, seed=1) + 0.5
    scale = torch.ones((), dtype=torch.float64, requires_grad=True)
    found = mmd_squared(source * scale, target * scale).sum()
    assert torch.allclose(mmd_squared(source * 3, target * 3), found)
    (slope,) = torch.autograd.grad(found, scale)
    assert abs(float(slope)) > 1e-3


def test_coral_is_the_distance_of_covariances():
    _, _, whole = forward_output(3, 9, 4)
    s = torch.tensor([0.0, 0.5, 2.0], dtype=torch.float64)
    found = STRENGTHS["coral"].loss(s, step(), whole).detach()
    for i in range(3):
        source, target = (np.cov(h[i].detach().numpy(), rowvar=False) for h in (whole.features, whole.target_features))
        assert float(found[i]) == pytest.approx(float(s[i]) * np.linalg.norm(source - target) ** 2 / (4 * 4**2))


@pytest.mark.parametrize("name", ["mmd", "coral"])
def test_a_last_minibatch_of_one_sample_adds_no_loss(name):
    assert STRENGTHS[name].loss(torch.ones(2), step(), forward_output(2, 1, 4)[2]) is None


def test_entropies_are_those_of_predictions_and_of_their_mean():
    logits = drawn(3, 7, 4) * 3
    shares = torch.softmax(logits, 2)
    said = log_probabilities(logits)
    assert torch.allclose(mean_entropy(said), torch.distributions.Categorical(shares).entropy().mean(1))
    assert torch.allclose(entropy_of_mean(said), torch.distributions.Categorical(shares.mean(1)).entropy())


def test_infomax_is_lowest_for_certain_predictions_of_all_classes():
    sure = torch.full((2, 6, 3), -50.0)
    sure[0, :, 0] = 50  # a single class
    sure[1, torch.arange(6), torch.arange(6) % 3] = 50
    whole = ForwardOutput(Batch(sure, sure, None, None, sure, sure), sure, None, sure, None)
    assert STRENGTHS["entropy"].loss(torch.ones(2), step(), whole).tolist() == pytest.approx([0, 0], abs=1e-6)
    assert STRENGTHS["infomax"].loss(torch.ones(2), step(), whole).tolist() == pytest.approx(
        [0, -math.log(3)], abs=1e-6
    )


def test_the_outer_product_is_that_of_features_and_probabilities():
    h, shares = drawn(2, 5, 4), torch.softmax(drawn(2, 5, 3, seed=1), 2)
    expected = torch.stack(
        [
            torch.stack([torch.outer(g, f).flatten() for f, g in zip(*both, strict=True)])
            for both in zip(h, shares, strict=True)
        ]
    )
    assert torch.allclose(outer_product(h, shares), expected)


def test_the_randomized_product_keeps_inner_products():
    """Theorem 2 of the paper: on average, inner products equal those of the full outer products."""
    h, shares = drawn(1, 30, 400), torch.softmax(drawn(1, 30, 10, seed=1), 2)
    random = outer_product(h, shares)[0]
    assert random.shape == (30, 256)
    whole = (h[0] @ h[0].T) * (shares[0] @ shares[0].T)
    found = random @ random.T
    assert float((found - whole).abs().mean() / whole.diagonal().mean()) < 0.1
    assert np.corrcoef(found.flatten().numpy(), whole.flatten().numpy())[0, 1] > 0.9


# Complete trainings.


def moons():
    """Return two moons and a copy rotated by 35 degrees, as in figure 2 of Ganin et al. (2016), and the classes of
    the copy.
    """
    x, y = make_moons(700, noise=0.1, random_state=0)
    x, angle = torch.tensor(x - x.mean(0)), math.radians(35)
    turn = torch.tensor([[math.cos(angle), math.sin(angle)], [-math.sin(angle), math.cos(angle)]], dtype=torch.float64)
    x[400:] = x[400:] @ turn
    labels, rows = torch.tensor(y), torch.arange(700)
    y = torch.where(rows < 400, labels, -1)
    return Samples(
        "classification", x, y, None, (Fold(0, rows[:400], rows[:0], target=rows[400:]),), (0, 1), 1.0
    ), labels[400:]


@pytest.mark.parametrize(("name", "s"), [("dann", 0.3), ("cdan", 1.0)])
def test_adversaries_adapt_to_rotated_moons(name, s):
    data, labels = moons()
    train = TrainConfig(epochs=60, batch_size=50, patience=60)
    trials = [trial(str(i), learning_rate=0.01, **{name: s * (i % 2)}) for i in range(6)]
    found = trained(data, trials, train, 60, width=16)
    right = [
        (network(data, of, width=16).predict(found[of.label].weights, data.x[None, 400:])[0].argmax(1) == labels)
        .double()
        .mean()
        for of in trials
    ]
    off, on = torch.stack(right).view(3, 2).mean(0)
    assert 0.5 < off < 0.8
    assert on > off + 0.1


def test_offsets_apply_to_the_target_domain_too():
    """The offsets of boosting are such predictions: where they are certain, there is no entropy to minimize."""
    data = as_two_domains(dataset())
    base = torch.zeros(len(data.x), 3, dtype=torch.float64)
    base[torch.cat([data.folds[0].target, data.folds[0].target_valid]), 0] = 1e3
    off, on = (trial("0", entropy=s) for s in (0.0, 0.5))
    far = [trained(data, [of])["0"].weights["0.weight"] for of in (off, on)]
    near = [trained(replace(data, offset=base), [of])["0"].weights["0.weight"] for of in (off, on)]
    assert not torch.allclose(*far, atol=1e-3)
    assert torch.allclose(*near, rtol=0, atol=1e-12)


@pytest.mark.parametrize("name", MEMBERS)
def test_a_second_pass_is_bit_equal_alone_and_in_a_stack(name):
    trials = [trial(str(i), sam=0.1 * i, adversarial=0.05, dropout=0.2, **{name: 0.5}) for i in range(3)]
    together = trained(as_two_domains(dataset()), trials)
    for of in trials:
        assert same(together[of.label], trained(as_two_domains(dataset()), [of])[of.label])
    assert together["2"].valid["loss"] < 1.2


# In plain torch.


def plain(data, of, name, train):
    """Train the same trial with one regularizer in plain torch, and return the state_dict of the network."""
    fold, s = data.folds[0], of.params[name]
    fit = Fit(of, fold)
    net, _ = plain_module("mlp", network(data, of), fit, 0.0, {})
    net.eval()  # no dropout
    body, head = net[:-1], net[-1]
    own = [initial_value(p, fit).double().requires_grad_() for p in STRENGTHS[name].extra_parameters(8, data)]
    weights = list(net.parameters())
    optimizer = torch.optim.AdamW(
        [*weights, *own], lr=of.params["learning_rate"], weight_decay=of.params["weight_decay"]
    )
    way = backend_for(CPU)
    streams = [way.stream(fit, use) for use in ("order", "target/0")]
    for epoch in range(train.epochs):
        order, beside = (way.noise([stream], [epoch], torch.float64, CPU) for stream in streams)
        labelled = torch.split(fold.train[order.permutation(len(fold.train))[0]], train.batch_size)
        target = fold.target[beside.permutation(len(fold.target))[0]].repeat(3)
        for number, rows in enumerate(labelled):
            others = target[number * train.batch_size :][: len(rows)]
            source_h, target_h = body(data.x[rows]), body(data.x[others])
            out = head(source_h)
            error = (
                torch.nn.functional.mse_loss(out[:, 0], data.y[rows])
                if data.task == "regression"
                else (torch.nn.functional.cross_entropy(out, data.y[rows]))
            )
            progress = (epoch + number / len(labelled)) / train.epochs
            extra, factor = added_loss(name, s, source_h, target_h, out, head(target_h), own, progress)
            grads = torch.autograd.grad(error + factor * extra, weights, retain_graph=True)
            full = torch.autograd.grad(extra, own) if own else []
            for p, grad in zip([*weights, *own], [*grads, *full], strict=True):
                p.grad = grad
            optimizer.step()
    return net.state_dict()


def added_loss(name, s, source_h, target_h, source_out, target_out, own, progress):
    """Return the term that a regularizer adds, and the factor of its gradient for the network."""
    p = torch.softmax(target_out, 1)
    entropy = -(p * p.log()).sum(1).mean()
    if name == "mmd":
        squared = torch.cdist(
            *[torch.cat([source_h, target_h])] * 2, compute_mode="donot_use_mm_for_euclid_dist"
        ).square()
        n, mean = len(source_h), squared.detach().sum() / (2 * len(source_h) * (2 * len(source_h) - 1))
        kernel = sum(torch.exp(-squared / (c * mean)) for c in (0.25, 0.5, 1, 2, 4)) / 5
        kernel = kernel - torch.diag(torch.diag(kernel))
        return (kernel[:n, :n].sum() + kernel[n:, n:].sum()) / (n * (n - 1)) - 2 * kernel[:n, n:].mean(), s
    if name == "coral":
        return (torch.cov(source_h.T) - torch.cov(target_h.T)).square().sum() / (4 * source_h.shape[1] ** 2), s
    if name == "entropy":
        return entropy, s
    if name == "infomax":
        return entropy + (p.mean(0) * p.mean(0).log()).sum(), s
    h, out = torch.cat([source_h, target_h]), torch.cat([source_out, target_out]).detach()
    if name == "cdan":
        h = torch.einsum("bc,bf->bcf", torch.softmax(out, 1), h).flatten(1)
    says = torch.relu(h @ own[0] + own[1]) @ own[2] + own[3]
    domain = torch.cat([torch.zeros(len(source_h)), torch.ones(len(target_h))]).double()
    told = torch.nn.functional.binary_cross_entropy_with_logits(says[:, 0], domain)
    return told, -s * (2 / (1 + math.exp(-10 * progress)) - 1)


@pytest.mark.parametrize("source", ["wine", "diabetes"])
@pytest.mark.parametrize("name", MEMBERS)
def test_one_fit_equals_plain_torch(name, source):
    if source == "diabetes" and "classes" in STRENGTHS[name].needs:
        pytest.skip("it needs classes")
    data, train = as_two_domains(dataset(f"sklearn:{source}")), TrainConfig(epochs=4, batch_size=16, patience=4)
    (fold,) = data.folds
    data = replace(
        data, folds=(Fold(0, fold.train[:60], fold.valid[:0], target=fold.target[:25]),)
    )  # the last epoch's weights are kept
    off = trial("0", weight_decay=0.1)
    of = shifted(off, **{name: 0.5})
    expected = plain(data, of, name, train)
    actual = trained(data, [of], train, 4)["0"]
    state = network(data, of).state_dict({n: t[0] for n, t in actual.weights.items()})
    without = trained(data, [off], train, 4)["0"]
    for key, tensor in state.items():
        assert torch.allclose(tensor, expected[key], rtol=0, atol=1e-9), key
    assert not all(torch.allclose(actual.weights[n], t, rtol=0, atol=1e-4) for n, t in without.weights.items())
