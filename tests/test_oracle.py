"""The oracle: one row of a stack equals the same network trained by plain torch.nn and torch.optim.AdamW."""

import math

import pytest
import torch

from hpo.network import ACTIVATIONS, Mlp
from hpo.noise import Noise
from hpo.space import Train
from hpo.trial import Fit
from tests.training import dataset, trained, trial


class Mask(torch.nn.Module):
    """Dropout by masks drawn from a fit's own stream."""

    def __init__(self, p, noise, site):
        super().__init__()
        self.p, self.noise, self.site = p, noise, site

    def forward(self, h):
        if not self.training:
            return h
        return h * self.noise[self.site].dropout(torch.tensor([self.p], dtype=h.dtype), tuple(h.shape))[0]


def plain(data, of, train, epochs, width=8, activation="relu", batch_norm=False):
    """The same trial in plain torch; its state_dict after `epochs`, and the validation loss of each."""
    torch.set_num_threads(1)
    fold = data.folds[0]
    fit = Fit(of, 0, fold.train, fold.valid)
    mlp = Mlp(data.n_inputs, data.n_outputs, int(of.params["depth"]), width, activation, batch_norm)
    noise = {}
    dropout = of.params.get("dropout", 0.0)
    sites = iter(range(mlp.depth))
    modules = [
        Mask(dropout, noise, next(sites)) if name == "Dropout" else getattr(torch.nn, name)(*arguments)
        for name, *arguments in mlp.layers(dropout)
    ]
    net = torch.nn.Sequential(*modules).double()
    net.load_state_dict(mlp.state_dict(mlp.init(fit.stream("init"))), strict=not batch_norm)
    lr, l1 = of.params["learning_rate"], of.params.get("l1", 0.0)
    optimizer = torch.optim.AdamW(net.parameters(), lr=lr, weight_decay=of.params.get("weight_decay", 0.0))
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=train.epochs)
    order, drops = fit.stream("order"), [fit.stream(f"dropout/{i}") for i in range(mlp.depth)]
    curve = []
    for _ in range(epochs):
        noise |= {site: Noise([stream], torch.float64) for site, stream in enumerate(drops)}
        net.train()
        for batch in torch.split(fold.train[torch.from_numpy(order.permutation(len(fold.train)))], train.batch_size):
            optimizer.zero_grad()
            loss(data, net(data.x[batch]), batch).backward()
            optimizer.step()
            with torch.no_grad():
                for p in net.parameters():
                    if p.dim() > 1:
                        p.copy_(torch.nn.functional.softshrink(p, optimizer.param_groups[0]["lr"] * l1))
        if train.schedule == "cosine":
            schedule.step()
        net.eval()
        with torch.no_grad():
            curve.append(float(loss(data, net(data.x[fold.valid]), fold.valid)))
    return net.state_dict(), curve


def loss(data, out, rows):
    if data.task == "regression":
        return torch.nn.functional.mse_loss(out[:, 0], data.y[rows])
    if data.weight is None:
        return torch.nn.functional.cross_entropy(out, data.y[rows])
    by_class = torch.stack([data.weight[data.y == c][0] for c in range(len(data.classes))])
    return torch.nn.functional.cross_entropy(out, data.y[rows], weight=by_class)


CASES = {
    "nothing": ({}, {}, {}, {}),
    "everything": ({"weight_decay": 0.3, "l1": 0.02, "dropout": 0.4}, {}, {}, {}),
    "cosine": ({"weight_decay": 0.3, "l1": 0.02}, {"schedule": "cosine"}, {}, {}),
    "one layer": ({"depth": 1, "dropout": 0.2}, {}, {}, {}),
    "batch norm": ({"weight_decay": 0.1, "dropout": 0.2}, {}, {"batch_norm": True}, {}),
    "class weight": ({}, {}, {}, {"class_weight": "balanced"}),
    "regression": ({"l1": 0.01, "dropout": 0.2}, {}, {}, {"source": "sklearn:diabetes"}),
    **{name: ({"weight_decay": 0.1}, {}, {"activation": name}, {}) for name in ACTIVATIONS},
}


@pytest.mark.parametrize("case", CASES)
def test_one_row_equals_plain_torch(case):
    params, train, network, source = CASES[case]
    data, epochs = dataset(**source), 4
    train = Train(epochs=epochs, batch_size=32, patience=epochs, **train)
    of = trial("0", **params)
    expected, curve = plain(data, of, train, epochs, **network)
    actual = trained(data, [of], train, epochs, **network)["0"]
    scale = data.target_scale**2 if data.task == "regression" else 1.0
    best = min(range(epochs), key=curve.__getitem__) + 1
    assert actual.best_epoch == best
    assert actual.valid["loss"] == pytest.approx(curve[best - 1] * scale, rel=1e-9)
    if best == epochs:
        mlp = Mlp(data.n_inputs, data.n_outputs, int(of.params["depth"]), **{"width": 8, **network})
        for name, tensor in mlp.state_dict({n: t[0] for n, t in actual.weights.items()}).items():
            assert torch.allclose(tensor, expected[name], rtol=0, atol=1e-9), name


def test_the_oracle_sees_last_weights_in_most_cases():
    """The comparison of weights above is not idle: the last epoch is the best in the plain case."""
    _, curve = plain(dataset(), trial("0"), Train(epochs=4, batch_size=32), 4)
    assert curve == sorted(curve, reverse=True)
    assert math.isfinite(curve[-1])
