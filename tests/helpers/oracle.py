"""Train a trial with plain torch.nn and torch.optim.AdamW, to compare with the batched program."""

from pathlib import Path

import torch

from hpo import nets
from hpo.core.importing import import_object
from hpo.core.trial import Fit
from hpo.nn.backends import backend_for
from hpo.nn.device import CPU
from tests.helpers.training import network


class Mask(torch.nn.Module):
    """Dropout with masks from the random stream of the fit; the last `shared` axes share one mask value."""

    def __init__(self, p, noise, site, shared=0):
        super().__init__()
        self.p, self.noise, self.site, self.shared = p, noise, site, shared

    def forward(self, h):
        if not self.training:
            return h
        shape = h.shape[: h.dim() - self.shared]
        mask = self.noise[self.site].dropout(torch.tensor([self.p], dtype=h.dtype), tuple(shape))[0]
        return h * mask.view(*shape, *[1] * self.shared)


def plain_module(kind, net, fit, p, noise):
    """Build the network as a plain module with its initial weights; return it and the number of dropout masks."""
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
            if isinstance(part, nets.SkipBlock):
                part.draws = lambda h, skip=part.skip, site=site: noise["network", site].uniform(
                    (nets.SKIPS[skip], len(h), 1)
                )[0]
        return module, net.depth
    module = net.build(int(fit.stream("init").integers(2**63))).double()
    drops = [(path, drop) for path, drop in module.named_modules() if "Dropout" in type(drop).__name__]
    for site, (path, drop) in enumerate(drops):
        module.set_submodule(path, Mask(p, noise, site, shared=isinstance(drop, torch.nn.Dropout1d)))
    return (torch.nn.Sequential(torch.nn.Unflatten(1, net.image), module) if net.image else module), len(drops)


def train_plain(data, of, train, epochs, kind="mlp", fold=None, **more):
    """Train the trial in plain torch; return the final state_dict and the validation loss of each epoch."""
    torch.set_num_threads(1)
    fold = fold or data.folds[0]
    fit = Fit(of, fold)
    noise = {}
    net, sites = plain_module(kind, network(data, of, kind, **more), fit, of.params.get("dropout", 0.0), noise)
    lr, l1 = of.params["learning_rate"], of.params.get("l1", 0.0)
    class_weight = balanced(data, fold) ** of.params["class_weight"] if "class_weight" in of.params else None
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
            plain_loss(data, net(data.x[batch]), batch, class_weight).backward()
            optimizer.step()
            with torch.no_grad():
                for p in net.parameters():
                    if p.dim() > 1:
                        p.copy_(torch.nn.functional.softshrink(p, optimizer.param_groups[0]["lr"] * l1))
        if train.schedule == "cosine":
            schedule.step()
        net.eval()
        with torch.no_grad():
            curve.append(float(plain_loss(data, net(data.x[fold.valid]), fold.valid)))
    return net.state_dict(), curve


def balanced(data, fold):
    """The weight of each class that balances the classes of the training rows."""
    counts = torch.bincount(data.y[fold.train]).double()
    return len(fold.train) / (len(counts) * counts)


def plain_loss(data, out, rows, by_class=None):
    """The loss of rows, with a weight of each class if there is one."""
    if data.task == "regression":
        return torch.nn.functional.mse_loss(out[:, 0], data.y[rows])
    if data.weight is not None:
        by_class = torch.stack([data.weight[data.y == c][0] for c in range(len(data.classes))])
    return torch.nn.functional.cross_entropy(out, data.y[rows], weight=by_class)
