"""Structure and schedule as searched keys: what they do to a network and its training, and what of it can be said
and exported."""

import json
import math
from itertools import pairwise, product
from pathlib import Path

import pytest
import torch

import hpo
from hpo import nets
from hpo.core.errors import InputError, SpaceError
from hpo.data.config import DataConfig
from hpo.data.dataset import prepare
from hpo.export.predict import build_network
from hpo.nn.mlp import Mlp, shake_drop_keep
from hpo.nn.module import VmappedModule
from hpo.regularizers import FAMILY, STRENGTHS
from hpo.space import regularization
from hpo.space.hyperparameter import Hyperparameter
from hpo.space.loader import parse
from hpo.space.settings import TrainConfig
from hpo.study import baselines
from hpo.testing import run, same
from hpo.training.builder import NetworkBuilder
from tests.helpers.searches import here
from tests.helpers.training import dataset, population, refill, shifted, trained, trial

OTHERS = [name for name in FAMILY if name not in STRENGTHS]
SHAPES = [
    dict(zip(("skip", "batch_norm", "layer_norm"), values, strict=True))
    for values in product(nets.SKIPS, (False, True), (False, True))
]
TRAIN = TrainConfig(epochs=12, batch_size=32, patience=12)


def space(**more):
    return parse({"study": "s", "data": {"source": "sklearn:iris"}, **more})


# ---- what they do


@pytest.mark.parametrize("name", OTHERS)
def test_a_member_without_strength_acts_and_neighbours_do_not_feel_it(name):
    trials = [trial(str(i), seed=1, depth=3) for i in range(2)]
    trials = [
        shifted(of, learning_rate=0.1, **{name: value}) for of, value in zip(trials, FAMILY[name].probe, strict=True)
    ]
    together = trained(dataset(), trials, TRAIN, 12)
    alone = {of.label: trained(dataset(), [of], TRAIN, 12)[of.label] for of in trials}
    assert all(same(together[label], alone[label]) for label in alone)
    a, b = alone.values()
    assert a.weights.keys() != b.weights.keys() or not same(a, b)


@pytest.mark.parametrize("skip", nets.SKIPS)
def test_a_refilled_row_of_a_skip_equals_a_fresh_one(skip):
    pop = population(dataset(), skip=skip)
    first, second, late = (trial(str(i), depth=3 - i % 2, dropout=0.2) for i in range(3))
    refill(pop, first, second, late)
    assert same(pop.release(late), trained(dataset(), [late], skip=skip)["2"])


@pytest.mark.exhaustive
@pytest.mark.parametrize("shape", SHAPES, ids=lambda shape: " ".join(map(str, shape.values())))
def test_float32_rows_of_different_depth_are_bit_equal_at_any_number_of_rows(shape):
    data = prepare(DataConfig(source="sklearn:iris"), Path())
    trials = [trial(str(i), depth=1 + 3 * i % 4, dropout=0.3, l1=0.01) for i in range(9)]
    pop = population(data, width=33, **shape)
    for of in trials:
        pop.admit(of)
    assert len(pop.stacks) == 1
    run(pop, 2)
    together = {of.label: pop.release(of) for of in trials}
    for of in trials[:4] + trials[-1:]:
        assert same(together[of.label], trained(data, [of], epochs=2, width=33, **shape)[of.label])


def test_shake_shake_mixes_two_branches_and_divides_the_gradient_otherwise():
    a, b = (torch.tensor([[2.0], [10.0]], requires_grad=True) for _ in range(2))
    draws = torch.tensor([[[0.25], [1.0]], [[0.5], [0.125]]])
    out = nets.combine_branches("shake-shake", [a, 3 * b], 1.0, draws)
    assert out.tolist() == [[0.25 * 2 + 0.75 * 6], [10.0]]
    out.sum().backward()
    assert (a.grad.tolist(), b.grad.tolist()) == ([[0.5], [0.125]], [[3 * 0.5], [3 * 0.875]])
    assert nets.combine_branches("shake-shake", [a, 3 * b], 1.0, None).tolist() == [[4.0], [20.0]]


def test_shake_drop_leaves_a_branch_or_shakes_it():
    h = torch.tensor([[2.0], [10.0]], requires_grad=True)
    draws = torch.tensor([[[0.5], [0.8]], [[0.25], [0.25]], [[0.125], [0.125]]])
    out = nets.combine_branches(
        "shake-drop", [h], 0.75, draws
    )  # 0.5 < 0.75 leaves the first row, 0.8 shakes the second by 2 * 0.25 - 1
    assert out.tolist() == [[2.0], [-5.0]]
    out.sum().backward()
    assert h.grad.tolist() == [[1.0], [0.125]]
    assert nets.combine_branches("shake-drop", [h], 0.75, None).tolist() == [[1.5], [7.5]]


@pytest.mark.parametrize("skip", ["shake-shake", "shake-drop"])
def test_an_evaluation_is_the_expectation_of_training(skip):
    torch.manual_seed(0)
    branches = [torch.randn(1, 5) for _ in range(1 + (skip == "shake-shake"))]
    draws = torch.rand(nets.SKIPS[skip], 100_000, 1)
    mean = nets.combine_branches(skip, [b.expand(100_000, 5) for b in branches], 0.6, draws).mean(0)
    assert torch.allclose(mean, nets.combine_branches(skip, branches, 0.6, None)[0], atol=0.02)


def test_shake_drop_falls_to_one_half_in_the_last_layer_of_each_rows_own_network():
    having = (4, 3, 2, 1)  # rows of depth 4, 3, 2 and 1
    kept = [
        shake_drop_keep(having, layer, torch.float64, torch.device("cpu")).flatten().tolist() for layer in range(1, 4)
    ]
    assert kept == [[1 - 1 / 6, 0.75, 0.5], [1 - 2 / 6, 0.5], [0.5]]


# ---- which network a trial has


def of(network=None, search=None, params=None, n_inputs=4):
    made = space(network=network or {}, search={"l1": {"low": 0, "high": 1}} | (search or {}))
    build = {"resnet": nets.resnet, "cnn": nets.cnn, "module": nets.residual}.get(made.network.kind)
    return NetworkBuilder(made, build, n_inputs, 3).network_for(made.params({"l1": 0.5, **(params or {})}))


def test_search_decides_what_network_does_not_fix():
    fixed = of({"width": 8, "skip": "residual", "batch_norm": True, "layer_norm": True})
    assert fixed == Mlp(4, 3, 2, 8, batch_norm=True, layer_norm=True, skip="residual")
    search = {"width": {"choices": [8, 16]}, "skip": {"choices": ["none", "shake-drop"]}, "layer_norm": True}
    assert of({}, search, {"width": 16, "skip": "shake-drop"}) == Mlp(4, 3, 2, 16, layer_norm=True, skip="shake-drop")
    assert of() == Mlp(4, 3, 2, 128)


@pytest.mark.parametrize("kind", ["resnet", "module"])
def test_a_factory_gets_the_width_and_depth_that_are_searched(kind):
    factory = {"factory": "hpo.nets:residual"} if kind == "module" else {}
    made = of(
        {"kind": kind, **factory},
        {"width": {"low": 2, "high": 9}, "depth": {"low": 1, "high": 3}},
        {"width": 5, "depth": 3},
    )
    assert isinstance(made, VmappedModule)
    assert {"width": 5, "depth": 3}.items() <= dict(made.arguments).items()


@pytest.mark.parametrize(
    ("search", "sentence"),
    [
        ({}, "network.factory: Wide needs width, which nothing sets; set search.width."),
        ({"width": 5, "depth": 2}, "search.depth: Wide takes no depth; it takes n_inputs, n_outputs, width."),
    ],
)
def test_a_factory_is_asked_for_what_it_names(search, sentence):
    class Wide(torch.nn.Module):
        def __init__(self, n_inputs, n_outputs, width):
            pass

    made = space(network={"kind": "module", "factory": "a:b"}, search={"l1": {"low": 0, "high": 1}} | search)
    with pytest.raises(InputError) as caught:
        NetworkBuilder(made, Wide, 4, 3).network_for(made.params({"l1": 0.5}))
    assert str(caught.value) == sentence


@pytest.mark.parametrize(("kind", "image"), [("resnet", ()), ("cnn", (1, 2, 2))])
def test_an_image_is_allowed_everywhere_and_reshapes_the_rows_of_a_cnn_only(kind, image):
    assert of({"kind": kind, "image": [1, 2, 2], "width": 2}).image == image
    assert of({"image": [1, 2, 2]}) == of()
    with pytest.raises(InputError, match=r"^network.image: \[1, 8, 8\] holds 64 numbers, but the data have 4 inputs.$"):
        of({"image": [1, 8, 8]})


@pytest.mark.parametrize(
    ("sections", "sentence"),
    [
        (
            {"network": {"width": 8}, "search": {"width": {"choices": [8, 16]}}},
            "network.width is set twice, here and under search; remove one of them.",
        ),
        (
            {"network": {"batch_norm": False}, "search": {"batch_norm": {"choices": [True, False]}}},
            "network.batch_norm is set twice, here and under search; remove one of them.",
        ),
        (
            {"network": {"kind": "cnn"}, "search": {"skip": {"choices": ["none", "residual"]}}},
            "search.skip: needs kind: mlp, got kind: cnn.",
        ),
        (
            {"search": {"batch_norm": {"choices": [True, False]}}, "train": {"batch_size": 1}},
            "train.batch_size: must be at least 2 with batch_norm, which cannot normalize a single row.",
        ),
        (
            {"search": {"batch_size": {"low": 1, "high": 4}}, "network": {"batch_norm": True}},
            "search.batch_size: must be at least 2 with batch_norm, which cannot normalize a single row.",
        ),
    ],
)
def test_what_cannot_be_is_one_sentence(sections, sentence):
    with pytest.raises(SpaceError) as caught:
        space(**sections)
    assert str(caught.value) == sentence


def test_all_combinations_of_the_structure_are_tried_before_a_search():
    made = space(
        search={
            "depth": {"low": 1, "high": 3},
            "skip": {"choices": ["none", "residual"]},
            "layer_norm": {"choices": [False, True]},
        }
    )
    built = {(one["depth"], one["skip"], one["layer_norm"]) for one in made.architectures()}
    assert built == set(product((1, 2, 3), ("none", "residual"), (False, True)))


def test_of_many_structures_the_largest_is_tried_too():
    search = {"depth": {"low": 1, "high": 6}, "width": {"choices": [8, 16, 32]}, "skip": {"choices": list(nets.SKIPS)}}
    made = space(search=search)
    sizes = [
        sum(math.prod(p.shape) for p in NetworkBuilder(made, None, 4, 3).network_for(one).parameters)
        for one in made.architectures()
    ]
    assert len(sizes) < 6 * 3 * 4
    assert max(sizes) == sum(math.prod(p.shape) for p in Mlp(4, 3, 6, 32, skip="shake-shake").parameters)


# ---- what it is compared with


def test_baselines_have_the_usual_structure_and_schedule_and_the_middle_depth():
    search = {
        "depth": {"low": 1, "high": 5},
        "width": {"choices": [16, 64, 100]},
        "skip": {"choices": ["residual", "shake-drop"]},
        "batch_norm": {"choices": [True, False]},
        "batch_size": {"low": 8, "high": 32},
        "epochs": {"low": 10, "high": 100},
        "schedule": {"choices": ["cosine", "constant"]},
        "dropout": {"low": 0.2, "high": 0.5},
    }
    none, defaults = baselines.baseline_trials(space(search=search))
    frame = {
        "learning_rate": 1e-3,
        "depth": 3,
        "width": 100,
        "skip": "residual",
        "batch_norm": False,
        "batch_size": 32,
        "epochs": 60,
        "schedule": "constant",
    }
    assert none.params == frame | {"dropout": 0.0}
    assert defaults.params == frame | {"dropout": 0.2, "weight_decay": 1e-2}
    (none, _) = baselines.baseline_trials(space(network={"kind": "cnn"}, search={"width": {"low": 4, "high": 64}}))
    assert none.params["width"] == 16


def test_the_ablation_has_the_structure_of_the_selected():
    selected = trial(skip="residual", batch_norm=True, epochs=7, dropout=0.3)
    assert baselines.ablation(selected).params == {**selected.params, "dropout": 0.0}


@pytest.mark.parametrize(
    ("key", "ordered"),
    [
        ("skip", ("none", "residual", "shake-drop")),
        ("batch_norm", (False, True)),
        ("width", (256, 64, 8)),
        ("epochs", (90, 20)),
    ],
)
def test_the_more_regularized_choice_counts_as_more(key, ordered):
    domains = {"l1": Hyperparameter(low=0.0, high=1.0), key: Hyperparameter(choices=ordered)}
    amounts = [regularization.amount(domains, {"l1": 0.5, key: value}) for value in ordered]
    assert (amounts[0], amounts[-1]) == (0.25, 0.75)
    assert all(less < more for less, more in pairwise(amounts))


def test_a_schedule_is_neither_more_nor_less_regularized():
    domains = {"l1": Hyperparameter(low=0.0, high=1.0), "schedule": Hyperparameter(choices=("constant", "cosine"))}
    assert {regularization.amount(domains, {"l1": 0.5, "schedule": value}) for value in ("constant", "cosine")} == {0.5}


# ---- what is exported


@pytest.mark.parametrize("shape", SHAPES, ids=lambda shape: " ".join(map(str, shape.values())))
def test_the_exported_network_predicts_the_same(shape):
    data = dataset()
    trained_ = trained(data, [trial("0", depth=3, dropout=0.2)], **shape)["0"]
    mine = Mlp(data.n_inputs, data.n_outputs, 3, 8, **shape)
    said = json.loads(json.dumps(mine.description(0.2)))
    plain = build_network(said, mine.state_dict({name: t[0] for name, t in trained_.weights.items()}), Path()).double()
    with torch.no_grad():
        theirs = plain(data.x)
    assert torch.allclose(mine.predict(trained_.weights, data.x.unsqueeze(0))[0], theirs, rtol=0, atol=1e-6)
    scope = {"torch": torch, **vars(torch.nn)}
    exec("\n".join(mine.code(0.2)), scope)
    assert scope["net"].state_dict().keys() == plain.state_dict().keys()


@pytest.mark.parametrize("skip", ["shake-shake", "shake-drop"])
def test_the_exported_network_shakes_while_it_is_trained(skip):
    torch.manual_seed(0)
    net, x = nets.residual(4, 3, depth=3, width=8, skip=skip), torch.randn(6, 4)
    assert not torch.equal(net(x), net(x))
    assert torch.equal(net.eval()(x), net(x))


@pytest.mark.usefixtures("unrecorded")
def test_structure_and_schedule_are_searched_and_exported(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    search = {
        "learning_rate": {"low": 1e-3, "high": 1e-1, "log": True},
        "depth": {"low": 1, "high": 3},
        "width": {"choices": [4, 8]},
        "skip": {"choices": list(nets.SKIPS)},
        "batch_norm": {"choices": [False, True]},
        "layer_norm": True,
        "batch_size": {"choices": [32, 64]},
        "epochs": {"low": 1, "high": 4},
        "patience": {"low": 1, "high": 3},
        "schedule": {"choices": ["constant", "cosine"]},
    }
    data = {"source": "sklearn:digits", "split": {"test": 0.6, "valid": 0.2}}
    made = {"study": "tiny", "data": data, "search": search, "budget": {"trials": 8}, "finalists": 1}
    first = hpo.search(made, store="mlruns")
    assert here("export", "--store", "mlruns", "-o", "best.yaml", "--weights", "best").exit_code == 0
    assert hpo.search("best.yaml", store="mlruns").test == first.test
