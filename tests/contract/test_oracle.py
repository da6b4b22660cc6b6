"""The oracle: one row of a stack equals the same network trained by plain torch.nn and torch.optim.AdamW, in both ways to
compute it."""

import math
from pathlib import Path

import pytest
import torch

from hpo import nets
from hpo.core.importing import import_object
from hpo.core.trial import Fit
from hpo.nn.backends import CPU_BACKEND, backend_for
from hpo.nn.device import CPU
from hpo.nn.mlp import ACTIVATIONS
from hpo.space.settings import TrainConfig
from tests.helpers.training import FACTORIES, dataset, network, trained, trial


class Mask(torch.nn.Module):
    """Dropout by masks drawn from a fit's own stream; the `shared` last axes have one draw."""

    def __init__(self, p, noise, site, shared=0):
        super().__init__()
        self.p, self.noise, self.site, self.shared = p, noise, site, shared

    def forward(self, h):
        if not self.training:
            return h
        shape = h.shape[: h.dim() - self.shared]
        mask = self.noise[self.site].dropout(torch.tensor([self.p], dtype=h.dtype), tuple(shape))[0]
        return h * mask.view(*shape, *[1] * self.shared)


def made(kind, net, fit, p, noise):
    """The network as a plain module, with its initial weights, and dropout by masks; the number of these."""
    if kind == "mlp":
        said = net.description(p)
        plain = [getattr(torch.nn, name)(*arguments) for name, *arguments in said] if isinstance(said, list) else []
        module = (
            torch.nn.Sequential(*plain) if plain else import_object(said["factory"], Path())(**said["arguments"])
        ).double()
        module.load_state_dict(net.state_dict(net.init(fit.stream("init"))), strict=not net.batch_norm)
        drops = [path for path, part in module.named_modules() if isinstance(part, torch.nn.Dropout)]
        for number, path in enumerate(drops):
            module.set_submodule(path, Mask(p, noise, number if plain else int(path.partition(".")[0])))
        for site, part in enumerate(module):
            if isinstance(part, nets._Skip):
                part.draws = lambda h, skip=part.skip, site=site: noise["network", site].uniform(
                    (nets.SKIPS[skip], len(h), 1)
                )[0]
        return module, net.depth
    module = net.build(int(fit.stream("init").integers(2**63))).double()
    drops = [(path, drop) for path, drop in module.named_modules() if "Dropout" in type(drop).__name__]
    for site, (path, drop) in enumerate(drops):
        module.set_submodule(path, Mask(p, noise, site, shared=isinstance(drop, torch.nn.Dropout1d)))
    return (torch.nn.Sequential(torch.nn.Unflatten(1, net.image), module) if net.image else module), len(drops)


def plain(data, of, train, epochs, kind="mlp", fold=None, **more):
    """The same trial in plain torch; its state_dict after `epochs`, and the validation loss of each."""
    torch.set_num_threads(1)
    fold = fold or data.folds[0]
    fit = Fit(of, fold)
    noise = {}
    net, sites = made(kind, network(data, of, kind, **more), fit, of.params.get("dropout", 0.0), noise)
    lr, l1 = of.params["learning_rate"], of.params.get("l1", 0.0)
    way = backend_for(CPU)
    optimizer = torch.optim.AdamW(net.parameters(), lr=lr, weight_decay=of.params.get("weight_decay", 0.0))
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=train.epochs)
    streams = [
        way.stream(fit, use)
        for use in ("order", *(f"{name}/{i}" for name in ("dropout", "network") for i in range(sites)))
    ]
    curve = []
    for epoch in range(epochs):
        order, *drops = (way.noise([stream], [epoch], torch.float64, CPU) for stream in streams)
        noise |= dict(enumerate(drops[:sites])) | {("network", i): shaking for i, shaking in enumerate(drops[sites:])}
        net.train()
        for batch in torch.split(fold.train[order.permutation(len(fold.train))[0]], train.batch_size):
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
    "layer norm": ({"weight_decay": 0.1, "dropout": 0.2, "l1": 0.01}, {}, {"layer_norm": True}, {}),
    "both norms": ({"depth": 3, "dropout": 0.2}, {}, {"batch_norm": True, "layer_norm": True}, {}),
    "residual": ({"depth": 3, "dropout": 0.2, "weight_decay": 0.1}, {}, {"skip": "residual", "layer_norm": True}, {}),
    "shake-shake": ({"depth": 3, "dropout": 0.2, "l1": 0.01}, {}, {"skip": "shake-shake", "batch_norm": True}, {}),
    "shake-drop": ({"depth": 4, "dropout": 0.2}, {}, {"skip": "shake-drop", "activation": "tanh"}, {}),
    "a skip of one layer": ({"depth": 1}, {}, {"skip": "shake-drop"}, {}),
    "class weight": ({}, {}, {}, {"class_weight": "balanced"}),
    "regression": ({"l1": 0.01, "dropout": 0.2}, {}, {}, {"source": "sklearn:diabetes"}),
    **{name: ({"weight_decay": 0.1}, {}, {"activation": name}, {}) for name in ACTIVATIONS},
    **{kind: ({"weight_decay": 0.3, "l1": 0.02, "dropout": 0.4}, {}, {"kind": kind}, {}) for kind in FACTORIES},
}


@pytest.mark.parametrize("as_elsewhere", [False, True], ids=["cpu", "other"])
@pytest.mark.parametrize("case", CASES)
def test_one_row_equals_plain_torch(case, as_elsewhere, monkeypatch):
    if as_elsewhere:
        monkeypatch.delitem(CPU_BACKEND, "cpu")
    params, train, kind, source = CASES[case]
    data, epochs = dataset(**source), 4
    train = TrainConfig(epochs=epochs, batch_size=32, patience=epochs, **train)
    of = trial("0", **params)
    expected, curve = plain(data, of, train, epochs, **kind)
    actual = trained(data, [of], train, epochs, **kind)["0"]
    scale = data.target_scale**2 if data.task == "regression" else 1.0
    best = min(range(epochs), key=curve.__getitem__) + 1
    assert actual.best_epoch == best
    assert actual.valid["loss"] == pytest.approx(curve[best - 1] * scale, rel=1e-9)
    if best == epochs:
        prefix = "1." if kind.get("kind") == "cnn" else ""  # an image stands behind what reshapes its rows
        for name, tensor in network(data, of, **kind).state_dict({n: t[0] for n, t in actual.weights.items()}).items():
            assert torch.allclose(tensor.double(), expected[prefix + name].double(), rtol=0, atol=1e-6), name


def test_the_oracle_sees_last_weights_in_most_cases():
    """The comparison of weights above is not idle: the last epoch is the best in the plain case."""
    _, curve = plain(dataset(), trial("0"), TrainConfig(epochs=4, batch_size=32), 4)
    assert curve == sorted(curve, reverse=True)
    assert math.isfinite(curve[-1])
