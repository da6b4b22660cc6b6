"""The batched backend, tested without a GPU: on CPU tensors, and on fake tensors.

An epoch of fake tensors raises an error if devices are mixed or a number is copied to the host. (`test_oracle.py`
compares both backends with plain torch.)
"""

from collections import Counter
from pathlib import Path

import pytest
import torch
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

import hpo
from hpo.cli import messages
from hpo.core.errors import InputError
from hpo.core.metrics import METRICS
from hpo.core.trial import Fit
from hpo.nn import device
from hpo.nn.adamw import BatchedAdamW, FusedAdamW
from hpo.nn.backends import BACKENDS
from hpo.nn.module import VmappedModule
from hpo.nn.rng_hashed import HashedNoise, splitmix
from hpo.regularizers import STRENGTHS
from hpo.space.loader import parse
from hpo.space.settings import TrainConfig
from hpo.testing import TRAIN, same
from hpo.training import capacity
from hpo.training.stack import Stack, tracked_scores
from hpo.workflows.prepare import prepare
from tests.helpers.searches import TINY, here, write_space
from tests.helpers.training import (
    FACTORIES,
    dataset,
    memory,
    network,
    population,
    refill,
    shifted,
    suited,
    trained,
    trial,
)

EVERYTHING = {"weight_decay": 0.1, "l1": 1e-3, "dropout": 0.3}
_FEW_STEPS = 64  # rows of a minibatch: an operation takes long on fake tensors
META, GPU = torch.device("meta"), torch.device("cuda")
KINDS = pytest.mark.parametrize("kind", [{"batch_norm": True}, {}, *({"kind": kind} for kind in FACTORIES)], ids=str)
CLASSES = [name for name, metric in METRICS.items() if "classification" in metric.tasks and not metric.is_validator]


@pytest.fixture
def elsewhere(monkeypatch):
    """Make the CPU use the batched backend."""
    monkeypatch.delitem(BACKENDS, "cpu")


def close(a, b):
    weights = all(torch.allclose(a.weights[n], b.weights[n], rtol=0, atol=1e-12, equal_nan=True) for n in a.weights)
    return weights and a.best_epoch == b.best_epoch and a.valid == pytest.approx(b.valid, rel=1e-9, nan_ok=True)


def three():
    return [trial(str(i), depth=1 + i % 2, **EVERYTHING, learning_rate=10 ** (-2 - i / 2)) for i in range(3)]


# Fits are independent of each other.


@KINDS
@pytest.mark.usefixtures("elsewhere")
def test_stacked_fits_equal_single_fits(kind):
    together = trained(dataset(), three(), **kind)
    for alone in three():
        assert close(together[alone.label], trained(dataset(), [alone], **kind)[alone.label])


@pytest.mark.exhaustive
@pytest.mark.usefixtures("elsewhere")
@pytest.mark.parametrize("name", STRENGTHS)
def test_no_regularizer_depends_on_other_fits(name):
    trials = [trial(str(i), depth=3 - i, **{name: s}) for i, s in enumerate(STRENGTHS[name].probe)]
    together = trained(suited(name), trials, batch_norm=True)
    for alone in trials:
        assert close(together[alone.label], trained(suited(name), [alone], batch_norm=True)[alone.label])


@KINDS
@pytest.mark.usefixtures("elsewhere")
@pytest.mark.parametrize("other", [{"dropout": 0.6}, {"learning_rate": 0.3}, {"learning_rate": 1e300}], ids=str)
def test_another_fit_in_the_stack_changes_nothing(kind, other):
    first, *others = three()
    before = trained(dataset(), three(), **kind)
    after = trained(dataset(), [shifted(first, **other), *others], **kind)
    assert not same(before["0"], after["0"])
    assert all(close(before[o.label], after[o.label]) for o in others)
    assert all(torch.isfinite(w).all() for o in others for w in after[o.label].weights.values())


@KINDS
@pytest.mark.usefixtures("elsewhere")
def test_fits_that_enter_and_leave_change_nothing(kind):
    """A fit in a reused slot equals a fresh one, and the remaining fits are not affected."""
    first, second, late = three()
    pop = population(dataset(), **kind)
    refill(pop, first, second, late)
    assert close(pop.release(late), trained(dataset(), [late], **kind)[late.label])
    assert close(pop.release(second), trained(dataset(), [second], epochs=5, **kind)[second.label])


def test_the_same_trial_draws_other_noise_than_on_the_cpu(monkeypatch):
    """This shows that these tests use the batched backend."""
    here = trained(dataset(), three())
    monkeypatch.delitem(BACKENDS, "cpu")
    assert not any(close(here[label], released) for label, released in trained(dataset(), three()).items())


# No operation waits for the device, and no tensor lies on another one.


class OnDevice(TorchDispatchMode):
    """Raises if a tensor is copied to the CPU, and counts operations."""

    count = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        del types
        self.count += 1
        out = func(*args, **(kwargs or {}))
        given, made = (
            {t.device.type for t in tree_leaves(tree) if isinstance(t, torch.Tensor)} for tree in ((args, kwargs), out)
        )
        assert not ("meta" in given and "cpu" in made), f"{func} brings numbers to the CPU"
        return out


def fake_stack(data, train, trials, networks, names=tuple(EVERYTHING)):
    """Return a stack on a device without values, where reading any number raises."""
    assert all(net.depth for net in networks)  # user modules are tried out with real numbers, once
    samples = data.as_samples().to(META)
    stack = Stack(names, samples, train)
    (fold,) = samples.folds
    for of, net in zip(trials, networks, strict=True):
        stack.admit([Fit(of, fold)], net, train)
    return stack


@pytest.mark.parametrize(
    ("kind", "source", "metric"),
    [
        ({"batch_norm": True}, "wine", "roc_auc"),
        *(pytest.param({"batch_norm": True}, "wine", name, marks=pytest.mark.exhaustive) for name in CLASSES),
        ({}, "diabetes", "r2"),
        ({"kind": "mixed"}, "wine", "loss"),
        *(pytest.param({"kind": kind}, "wine", "loss", marks=pytest.mark.exhaustive) for kind in ("resnet", "cnn")),
    ],
    ids=str,
)
def test_an_epoch_never_waits_for_the_device_and_mixes_no_devices(kind, source, metric):
    data, train = dataset(f"sklearn:{source}"), TrainConfig(epochs=3, batch_size=64, schedule="cosine", metric=metric)
    trials = three() if "kind" not in kind else [shifted(of, depth=2) for of in three()]
    networks = [network(data, of, **kind) for of in trials]
    networks = [networks[0]] * 3 if "kind" in kind else networks
    assert networks[0].depth
    with FakeTensorMode(allow_non_fake_inputs=True):
        stack = fake_stack(data, train, trials, networks)
        with OnDevice():
            scores = tracked_scores(stack.evaluate(stack.program.train_epoch(train.batch_size)))
        stack.drop([stack.rows[0].fit])
        with OnDevice():
            stack.program.train_epoch(train.batch_size)
    assert {score.device for score in scores.values()} == {META}
    assert {score.shape for score in scores.values()} == {(3,)}


@pytest.mark.exhaustive
@pytest.mark.parametrize("name", STRENGTHS)
def test_no_regularizer_waits_for_the_device_or_mixes_devices(name):
    trials = [trial(str(i), **{name: s}) for i, s in enumerate(STRENGTHS[name].probe)]
    networks = [network(suited(name), of, batch_norm=True) for of in trials]
    with FakeTensorMode(allow_non_fake_inputs=True):
        stack = fake_stack(suited(name), TRAIN, trials, networks, (name,))
        with OnDevice():
            stack.evaluate(stack.program.train_epoch(_FEW_STEPS))


def test_the_number_of_operations_does_not_depend_on_the_number_of_fits():
    counts = set()
    for rows in (2, 12):
        trials = [trial(str(i), **EVERYTHING) for i in range(rows)]
        with FakeTensorMode(allow_non_fake_inputs=True):
            stack = fake_stack(
                dataset(), TrainConfig(epochs=1, batch_size=64), trials, [network(dataset(), of) for of in trials]
            )
            with OnDevice() as mode:
                stack.evaluate(stack.program.train_epoch(64))
        counts.add(mode.count)
    assert len(counts) == 1


@pytest.mark.parametrize(
    "look",
    [
        lambda t: t.sum().item(),
        lambda t: t.tolist(),
        lambda t: bool((t > 0).any()),
        lambda t: t.nonzero(),
        lambda t: t[t > 0],
        lambda t: torch.bincount(t.long()),
        lambda t: t.cpu(),
        lambda t: t + torch.zeros(3),
    ],
)
def test_reading_a_number_raises_on_the_fake_device(look):
    with FakeTensorMode(allow_non_fake_inputs=True), OnDevice(), pytest.raises((RuntimeError, AssertionError)):
        look(torch.zeros(3, device=META))


def test_a_module_that_keeps_tensors_on_the_cpu_is_refused():
    class Constant(torch.nn.Module):
        def __init__(self, n_inputs, n_outputs):
            super().__init__()
            self.out, self.shift = torch.nn.Linear(n_inputs, n_outputs), torch.ones(n_inputs)

        def forward(self, x):
            return self.out(x + self.shift)

    net = VmappedModule(Constant, "here:Constant", (("n_inputs", 13), ("n_outputs", 3)), 13, 3)
    net.check(2, device.CPU)
    with pytest.raises(
        InputError, match=r"^network: the module of Constant\(.*\) cannot learn from a minibatch of 2 on meta \(Runtime"
    ):
        net.check(2, META)


# The parts of the backend.


def test_splitmix_gives_its_published_numbers():
    """The numbers are those of the reference implementation in C for seed 1234567."""
    expected = [
        6457827717110365317,
        3203168211198807973,
        9817491932198370423,
        4593380528125082431,
        16408922859458223821,
    ]
    found = splitmix(torch.tensor([1234567]), torch.arange(5))
    assert [number % 2**64 for number in found.tolist()] == expected


def test_batched_adamw_updates_as_the_fused_kernel_does():
    torch.manual_seed(0)
    values, grads = torch.randn(2, 3, 40, dtype=torch.float64)
    both = [memory(values.clone(), decay=0.1) for _ in range(2)]
    ways = FusedAdamW(both[0]), BatchedAdamW(both[1])
    for step in range(50):
        for mine, way in zip(both, ways, strict=True):
            mine.grads.copy_(grads * (1 + step) ** 0.5)
            way.set_lr([1e-2 / (1 + step), 0.3, 0.0])
            way.step()
    assert torch.allclose(both[0].params, both[1].params, rtol=1e-12, atol=0)
    assert torch.equal(both[0].steps, both[1].steps)
    assert not torch.equal(both[0].params[1], values[1])


def noise(keys, epochs=None):
    return HashedNoise(keys, epochs or [0] * len(keys), torch.float64, device.CPU)


def test_hashed_dropout_meets_its_rate_and_scales_the_rest():
    rates, n = torch.tensor([0.0, 0.1, 0.5, 0.9], dtype=torch.float64), 200_000
    factors = noise([3, 4, 5, 6]).dropout(rates, (n,))
    share = (factors == 0).double().mean(1)
    assert ((share - rates).abs() <= 4 * (rates * (1 - rates) / n).sqrt()).all()
    assert torch.allclose(factors.amax(1), 1 / (1 - rates))


def test_hashed_permutations_are_uniform():
    drawn = noise(list(range(60_000))).permutation(4)
    assert torch.equal(drawn.sort(1).values, torch.arange(4).expand(60_000, 4))
    counts = torch.tensor(list(Counter(map(tuple, drawn.tolist())).values()), dtype=torch.float64)
    assert len(counts) == 24
    chi_squared = float(((counts - 2500) ** 2 / 2500).sum())
    assert 5 < chi_squared < 58  # 23 degrees of freedom, two sides of one in ten thousand


@pytest.mark.parametrize(
    ("keys", "epochs"),
    [
        (range(64), [0] * 64),
        ([2**40 * i for i in range(64)], [0] * 64),
        ([7] * 64, range(64)),
    ],
    ids=["neighbouring seeds", "far seeds", "epochs"],
)
def test_streams_are_not_correlated(keys, epochs):
    n = 20_000
    bits = noise(list(keys), list(epochs)).dropout(torch.full((64,), 0.5, dtype=torch.float64), (n,)) - 1
    between = bits @ bits.T / n - torch.eye(64)
    along = (bits[:, 1:] * bits[:, :-1]).mean(1)
    assert between.abs().max() < 5 / n**0.5
    assert along.abs().max() < 5 / n**0.5
    assert bits.mean(0).abs().mean() == pytest.approx((2 / (torch.pi * 64)) ** 0.5, rel=0.03)


def test_a_stream_depends_on_its_epoch_and_not_on_other_streams():
    rate = torch.tensor([0.3, 0.3], dtype=torch.float64)
    alone, beside = noise([5], [2]), noise([9, 5], [0, 2])
    for shape in ((20, 30), (7, 3000), (1, 5)):
        assert torch.equal(alone.dropout(rate[:1], shape)[0], beside.dropout(rate, shape)[1])
    assert not torch.equal(noise([5], [2]).permutation(50), noise([5], [3]).permutation(50))


# Choice of the device, and messages.


def test_auto_is_the_gpu_if_there_is_one_and_one_process(monkeypatch):
    for there, expected in ((False, "cpu"), (True, "cuda")):
        monkeypatch.setattr(torch.cuda, "is_available", lambda there=there: there)
        assert device.resolve_device("auto").type == expected
        assert device.resolve_device("auto", workers=2) == device.resolve_device("cpu") == device.CPU
    assert device.resolve_device("cuda") == GPU


@pytest.mark.parametrize(
    ("wanted", "workers", "sentence"),
    [
        (
            "cuda",
            1,
            f"device cuda needs a GPU, but torch {torch.__version__} finds none; use device cpu, or auto.",
        ),
        (
            "cuda",
            3,
            "workers must be 1 on a GPU, because one process uses all of it, got 3; leave it out, or use device cpu.",
        ),
        ("tpu", 1, "device must be auto, cpu or cuda, got 'tpu'."),
    ],
)
def test_an_unavailable_device_is_refused(tmp_path, monkeypatch, wanted, workers, sentence):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(InputError) as caught:
        hpo.search(TINY, store=tmp_path, workers=workers, device=wanted)
    assert str(caught.value) == sentence


def test_the_command_line_refuses_a_gpu_that_is_not_there(store, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    found = here("search", "--space", write_space(store), "--store", store, "--device", "cuda")
    assert found.exit_code == 2
    assert found.stderr.startswith("device cuda needs a GPU")


@pytest.mark.usefixtures("unrecorded")
def test_a_result_names_its_device(store):
    result = hpo.search(TINY, store=store, device="cpu")
    assert result.device == "cpu"


def test_the_headline_names_the_gpu(monkeypatch):
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda _: "Some GPU")
    space = parse(TINY | {"budget": {"trials": 48}})
    assert "16 trials at once on one core" in messages.headline(prepare(space, Path()), 16)[-1]
    assert "16 trials at once on Some GPU" in messages.headline(prepare(space, Path(), device=GPU), 16)[-1]


@pytest.mark.parametrize(("trials", "rows"), [(3, 1), (48, 16), (100, 16), (1000, 125), (10_000, 512), (None, 64)])
def test_a_gpu_trains_hundreds_of_fits_by_the_same_rules(trials, rows):
    assert capacity.row_budget(trials, 1000, device=GPU) == rows
    assert capacity.row_budget(trials, 10_000_000, device=GPU) == rows


def test_fits_take_half_of_the_free_gpu_memory(monkeypatch):
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda _: (64e9, 141e9))
    assert capacity.free_memory(GPU) == 64e9
    assert capacity.row_budget(10_000, 10_000_000, memory=64e9, device=GPU) == 100
