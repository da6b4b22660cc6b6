"""Small data sets in float64, networks and populations of given trials."""

import math
from collections.abc import Callable
from dataclasses import replace
from functools import cache, partial
from pathlib import Path

import torch

from hpo import nets
from hpo.core.importing import Factory, match_arguments, qualified_name
from hpo.core.samples import Fold, Samples
from hpo.core.trial import TrainedTrial, Trial
from hpo.core.trial_key import TrialKey
from hpo.data.config import DataConfig
from hpo.data.dataset import Dataset, prepare
from hpo.data.text_augmentation import REGULARIZERS
from hpo.nn.adamw import OptimizerState
from hpo.nn.mlp import Mlp
from hpo.nn.module import VmappedModule
from hpo.nn.network import BatchedNetwork
from hpo.regularizers import FAMILY
from hpo.regularizers.base import Step
from hpo.regularizers.configs import make_config
from hpo.space.settings import TrainConfig
from hpo.testing import TRAIN, add_needs, as_two_domains, run
from hpo.training.population import Population
from hpo.training.program import Program
from hpo.training.stack import Stack
from hpo.training.worker_pool import WorkerPool

torch.set_num_threads(1)  # two that wait for each other are slower than one


class Mixed(torch.nn.Module):
    """A user's network with convolution, attention, all norms, a skip connection, dropouts and a counting buffer."""

    def __init__(self, n_outputs: int, width: int) -> None:
        super().__init__()
        nn = torch.nn
        self.conv, self.group, self.batch = (
            nn.Conv1d(1, width, 3, padding=1),
            nn.GroupNorm(2, width),
            nn.BatchNorm1d(width),
        )
        self.layer, self.attention = nn.LayerNorm(width), nn.MultiheadAttention(width, 2, batch_first=True)
        self.drop, self.channels, self.out = nn.Dropout(), nn.Dropout1d(), nn.Linear(width, n_outputs)
        self.scale = nn.Parameter(torch.ones(width, 1))
        self.register_buffer("steps", torch.zeros((), dtype=torch.long))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        h = self.channels(torch.relu(self.group(self.conv(x.unsqueeze(1)))))
        h = (h * self.scale + self.drop(torch.relu(self.batch(h)))).transpose(1, 2)
        q = self.layer(h)
        h = h + self.drop(self.attention(q, q, q, need_weights=False)[0])
        if self.training:
            self.steps = self.steps + 1
        return self.out(h.mean(1))


class Recurrent(torch.nn.Module):
    """A user's network that torch.func cannot batch."""

    def __init__(self, n_outputs: int, width: int) -> None:
        super().__init__()
        self.cell, self.drop, self.out = (
            torch.nn.GRU(1, width, batch_first=True),
            torch.nn.Dropout(),
            torch.nn.Linear(width, n_outputs),
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.out(self.drop(self.cell(x.unsqueeze(2))[0][:, -1]))


class Tokens(torch.nn.Module):
    """A user's network that uses its inputs as indices of an embedding."""

    def __init__(self, n_outputs: int, width: int) -> None:
        super().__init__()
        self.embedding, self.out = torch.nn.Embedding(8, width), torch.nn.Linear(width, n_outputs)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.out(self.embedding(x.clamp(-2, 2).add(3).long()).mean(1))


class Masked(torch.nn.Module):
    """A user's network with an infinite mask and a buffer, initially infinite, of the largest value so far."""

    def __init__(self, n_inputs: int, n_outputs: int, width: int) -> None:
        super().__init__()
        self.hidden, self.out = torch.nn.Linear(1, width), torch.nn.Linear(width, n_outputs)
        self.register_buffer("mask", torch.full((n_inputs, n_inputs), -torch.inf).triu(1))
        self.register_buffer("largest", torch.tensor(-torch.inf))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        h = self.hidden(x.unsqueeze(2))
        if self.training:
            self.largest = torch.maximum(self.largest, h.detach().amax())
        return self.out(((h @ h.transpose(1, 2) + self.mask).softmax(2) @ h).mean(1))


FACTORIES: dict[str, Factory] = {"resnet": nets.resnet, "cnn": nets.cnn, "mixed": Mixed, "recurrent": Recurrent}


@cache
def dataset(source: str = "sklearn:wine", **more: object) -> Dataset:
    return prepare(DataConfig(source=source, **more), Path(), torch.float64)


@cache
def pictures() -> Samples:
    """A few digits, as images."""
    data = dataset("sklearn:digits")
    (fold,) = data.folds
    return replace(data, folds=(Fold(0, fold.train[:100], fold.valid[:50]),), image=(1, 8, 8))


@cache
def foreign() -> Samples:
    """A small table as two domains, with density ratios."""
    return as_two_domains(dataset())


@cache
def written() -> Samples:
    """Rows that stand for texts, each with three altered ones."""
    x = dataset().x
    return replace(
        dataset().as_samples(), augmented=dict.fromkeys(REGULARIZERS, torch.stack([x.flip(1), x / 2, x.roll(1, 0)]))
    )


@cache
def suited(name: str) -> Samples:
    """Data that a member of the family can act on."""
    needs = FAMILY[name].needs
    if "target" in needs:
        return foreign()
    return add_needs(FAMILY[name], pictures() if "image" in needs else written() if "text" in needs else dataset())


def trial(label: str = "0", seed: int | None = None, **params: float) -> Trial:
    seed = int(label) + 100 if seed is None else seed
    return Trial(TrialKey.parse(label), "search", make_config({"learning_rate": 1e-2, "depth": 2, **params}), seed)


def network(data: Samples, of: Trial, kind: str = "mlp", width: int = 8, **more: object) -> BatchedNetwork:
    depth = int(of.params["depth"])
    if kind == "mlp":
        own = {key: of.params[key] for key in ("width", "skip", "batch_norm", "layer_norm") if key in of.params}
        return Mlp(data.n_inputs, data.n_outputs, depth, **{"width": width, **more, **own})
    side = round(data.n_inputs**0.5)
    image = () if kind != "cnn" else (1, side, side) if side**2 == data.n_inputs else (1, 1, data.n_inputs)
    offered = {"n_inputs": data.n_inputs, "n_outputs": data.n_outputs, "depth": depth, "width": width, "image": image}
    factory = FACTORIES[kind]
    return VmappedModule(
        factory, qualified_name(factory), match_arguments(factory, offered, {}), data.n_inputs, data.n_outputs, image
    )


def population(
    data: Samples,
    train: TrainConfig = TRAIN,
    rows: int = 64,
    less: Callable[[int], None] = lambda _: None,
    **kind: object,
) -> Population:
    return Population(data, partial(network, data, **kind), train, rows, less)


def busy(pop: Population | WorkerPool) -> bool:
    """Whether a trial is in training, or waits for memory."""
    return bool(pop.members or (isinstance(pop, Population) and pop.waiting))


def refill(pop: Population, first: Trial, second: Trial, late: Trial) -> None:
    """Two trials train two epochs, the first leaves, and a late one takes its row for three."""
    for of in (first, second):
        pop.admit(of)
    run(pop, 2)
    pop.release(first)
    pop.admit(late)
    run(pop, 3)


def trained(
    data: Samples, trials: list[Trial], train: TrainConfig = TRAIN, epochs: int = 3, **kind: object
) -> dict[str, TrainedTrial]:
    """The trials trained together; what each leaves behind."""
    pop = population(data, train, **kind)
    for of in trials:
        pop.admit(of)
    run(pop, epochs)
    return {of.label: pop.release(of) for of in trials}


def memory(values: torch.Tensor, decay: float = 0.0) -> OptimizerState:
    """Of rows that train nothing but weights, before their first step."""
    grads, exp_avg, exp_avg_sq = torch.zeros(3, *values.shape, dtype=values.dtype)
    fits, size = values.shape
    pieces = [(slice(0, size), slice(size, size), slice(size, size))] * fits
    return OptimizerState(
        values, grads, exp_avg, exp_avg_sq, torch.zeros(fits, 1), torch.full((fits,), decay, dtype=values.dtype), pieces
    )


def step(**facts: object) -> Step:
    """A step of which a hook sees only what it is given."""
    nothing = torch.empty(0)
    empty = {
        "weights": (),
        "buffers": slice(0),
        "data": dataset(),
        "previous_params": None,
        "minibatch": 0,
        "minibatches": 1,
        "training": True,
    }
    empty |= {key: {} for key in ("params", "grads", "infos", "extra", "weight_copies", "noise")}
    empty |= dict.fromkeys(("flat_params", "flat_grads", "lr", "epoch", "epochs", "layers"), nothing) | {
        "views": lambda _: {}
    }
    return Step(**empty | facts)


def shifted(of: Trial, **params: float) -> Trial:
    return replace(of, params=make_config({**of.params, **params}))


def diverge(monkeypatch, which, after=0):
    """Set the weights of rows to nan after each epoch from epoch `after` on, if `which(trial)` is true."""
    before = Program.train_epoch

    def train_epoch(program, batch_size):
        values = before(program, batch_size)
        for i, row in enumerate(program.rows):
            if which(row.fit.trial) and row.epoch >= after:
                values[i] = math.nan
        return values

    monkeypatch.setattr(Program, "train_epoch", train_epoch)


EVERYTHING = {"weight_decay": 0.1, "l1": 1e-3, "dropout": 0.3, "learning_rate": 1e-3}


def limit_memory(monkeypatch, moment, most):
    """From now on a stack of more rows has no memory at that moment."""
    before = getattr(Stack, moment)

    def limited(stack, *given):
        if len(stack.rows) > most:
            raise torch.OutOfMemoryError("out of memory")
        return before(stack, *given)

    monkeypatch.setattr(Stack, moment, limited)
