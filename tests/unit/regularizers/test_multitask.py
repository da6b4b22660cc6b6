"""The auxiliary target: a fit equals a network with two heads in plain torch."""

from dataclasses import replace

import pytest
import torch

from hpo.core.trial import Fit
from hpo.nn.backends import backend_for
from hpo.nn.device import CPU
from hpo.regularizers import STRENGTHS
from hpo.regularizers.base import Batch, ForwardOutput
from hpo.testing import TRAIN
from tests.helpers.training import dataset, network, step, trained, trial

F = torch.nn.functional


def having(auxiliary, source="sklearn:wine"):
    return replace(dataset(source).as_samples(), auxiliary=auxiliary(dataset(source).x))


def number(x):
    return torch.where(x[:, 5:6] > 1, torch.nan, x[:, :1] + x[:, 1:2])


def classes(x):
    return torch.where(x[:, 5:6] > 1, torch.nan, F.one_hot((x[:, 0] > 0).long() + (x[:, 1] > 0), 3).double())


def missed(said, true):
    """Return the mean over the rows whose target is known."""
    known = ~true[:, 0].isnan()
    said, true = said[known], true[known]
    return F.mse_loss(said, true) if true.shape[1] == 1 else F.cross_entropy(said, true.argmax(1))


@pytest.mark.parametrize("source", ["sklearn:wine", "sklearn:diabetes"])
@pytest.mark.parametrize("auxiliary", [number, classes])
def test_one_fit_equals_two_heads_in_plain_torch(auxiliary, source):
    data, of = having(auxiliary, source), trial("0", multitask=0.7, weight_decay=0.2)
    fold = data.folds[0]
    fit = Fit(of, fold)
    built = network(data, of)
    net = torch.nn.Sequential(
        *[getattr(torch.nn, name)(*arguments) for name, *arguments in built.description(0.0)]
    ).double()
    net.load_state_dict(built.state_dict(built.init(fit.stream("init"))))
    body, out = net[:-1], net[-1]
    outputs, bound = data.auxiliary.shape[1], 8**-0.5
    weight = torch.from_numpy(fit.stream("multitask.weight/init").uniform(-bound, bound, (8, outputs))).requires_grad_()
    bias = torch.zeros(outputs, dtype=torch.float64, requires_grad=True)
    optimizer = torch.optim.AdamW([*net.parameters(), weight, bias], lr=1e-2, weight_decay=0.2)
    way = backend_for(CPU)
    stream = way.stream(fit, "order")
    for epoch in range(3):
        order = way.noise([stream], [epoch], torch.float64, CPU).permutation(len(fold.train))[0]
        for batch in torch.split(fold.train[order], TRAIN.batch_size):
            h = body(data.x[batch])
            own = F.cross_entropy(out(h), data.y[batch]) if data.classes else F.mse_loss(out(h)[:, 0], data.y[batch])
            optimizer.zero_grad()
            (own + 0.7 * missed(h @ weight + bias, data.auxiliary[batch])).backward()
            optimizer.step()
    released = trained(data, [of])["0"]
    fresh = trained(data, [trial("0", multitask=0.0, weight_decay=0.2)])["0"]
    state = built.state_dict({name: t[0] for name, t in released.weights.items()})
    assert released.best_epoch == 3
    for name, value in net.state_dict().items():
        assert torch.allclose(state[name], value, atol=1e-8), name
    assert not any("multitask" in name for name in released.weights)
    assert not torch.equal(fresh.weights["0.weight"], released.weights["0.weight"])


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
@pytest.mark.parametrize("outputs", [1, 3])
@pytest.mark.parametrize(("rows", "width"), [(7, 24), (13, 5), (64, 64), (33, 130)])
def test_a_fit_is_bit_equal_alone_and_in_a_stack(rows, width, outputs, dtype):
    """This includes numbers, because a product with a single column may use another kernel for a single fit."""
    data = replace(having(number if outputs == 1 else classes), x=dataset().x.to(dtype))
    data = replace(data, auxiliary=data.auxiliary.to(dtype))
    draw = torch.Generator().manual_seed(0)
    index = torch.randint(len(data.x), (5, rows), generator=draw)
    features, weight, bias = (
        torch.randn(shape, generator=draw, dtype=dtype)
        for shape in ((5, rows, width), (5, width, outputs), (5, outputs))
    )

    def told(part):
        leaves = [t[part].clone().requires_grad_() for t in (features, weight, bias)]
        batch = Batch(leaves[0], leaves[0], None, None, index[part])
        own = {"multitask.weight": leaves[1], "multitask.bias": leaves[2]}
        loss = STRENGTHS["multitask"].loss(
            torch.ones(len(leaves[0]), dtype=dtype),
            step(data=data, extra=own),
            ForwardOutput(batch, leaves[0], leaves[0], None, None),
        )
        return [loss, *torch.autograd.grad(loss.sum(), leaves)]

    together = told(slice(None))
    for i in range(5):
        assert all(torch.equal(t[i : i + 1], one) for t, one in zip(together, told(slice(i, i + 1)), strict=True))


def test_rows_with_an_unknown_auxiliary_target_do_not_count():
    data = having(number)
    index = torch.stack([torch.arange(20), torch.arange(20, 40)])
    features, own = (
        torch.randn(2, 20, 4).double(),
        {"multitask.weight": torch.randn(2, 4, 1).double(), "multitask.bias": torch.ones(2, 1).double()},
    )
    batch = Batch(data.x[index], data.y[index], None, None, index)
    s = torch.tensor([0.5, 3.0], dtype=torch.float64)
    found = STRENGTHS["multitask"].loss(
        s, step(data=data, extra=own), ForwardOutput(batch, features, features, None, None)
    )
    expected = [
        s[i] * missed(features[i] @ own["multitask.weight"][i] + own["multitask.bias"][i], data.auxiliary[index[i]])
        for i in (0, 1)
    ]
    assert torch.allclose(found, torch.stack(expected))
    unlabelled = replace(data, auxiliary=torch.full_like(data.auxiliary, torch.nan))
    assert (
        STRENGTHS["multitask"].loss(
            s, step(data=unlabelled, extra=own), ForwardOutput(batch, features, features, None, None)
        )
        == 0
    ).all()
