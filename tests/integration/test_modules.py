"""User networks: which modules are batched, which are refused, and what a search with them returns."""

import importlib
import json
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
import yaml
from safetensors.torch import load_file
from sklearn.datasets import load_digits

import hpo
from hpo.core.errors import InputError
from hpo.core.importing import import_object, match_arguments, qualified_name
from hpo.core.trial import Fit
from hpo.nn.hook_points import insert_hook_points
from hpo.nn.module import VmappedModule
from hpo.regularizers.configs import make_config
from hpo.space.loader import parse
from hpo.testing import TRAIN, run, same
from hpo.training.builder import NetworkBuilder
from hpo.training.population import Population
from hpo.workflows import requirements
from hpo.workflows.prepare import prepare
from tests.helpers import factories
from tests.helpers.searches import here, write_space
from tests.helpers.training import dataset, trial

pytestmark = pytest.mark.usefixtures("unrecorded")
SEARCH = {"learning_rate": {"low": 1e-3, "high": 1e-2, "log": True}}


def space(network, search=SEARCH, source="wine", **more):
    data = {
        "source": f"sklearn:{source}",
        "split": {"test": 0.6, "valid": 0.2} if source == "digits" else {"valid": 0.4},
    }  # two fresh folds
    return {
        "study": "tiny",
        "data": data,
        "network": {"kind": "module"} | network,
        "search": search,
        "train": {"epochs": 2, "batch_size": 120 if source == "digits" else 32},
        "budget": {"trials": 4},
        "finalists": 1,
    } | more


def module(factory, **more):
    data = dataset()
    offered = {"n_inputs": data.n_inputs, "n_outputs": data.n_outputs, **more}
    return VmappedModule(
        factory, qualified_name(factory), match_arguments(factory, offered, {}), data.n_inputs, data.n_outputs
    )


@pytest.mark.parametrize(
    ("factory", "why"),
    [
        (factories.plain, ""),
        (factories.normed, ""),
        (factories.Tied, ""),
        (factories.Unused, ""),
        (factories.Branching, "its control flow depends on the data"),
        (factories.Item, "its control flow depends on the data"),
        (factories.Masked, "its shapes depend on the data"),
        (
            factories.Functional,
            "it draws random numbers outside nn.Dropout (functional dropout, or the dropout argument of an attention "
            "layer)",
        ),
        (
            factories.Attention,
            "it draws random numbers outside nn.Dropout (functional dropout, or the dropout argument of an attention "
            "layer)",
        ),
    ],
)
def test_modules_that_cannot_be_batched_run_one_fit_at_a_time_with_a_reason(factory, why):
    net = module(factory)
    assert net.sequential_reason == why
    together = _trained(net, [trial(str(i)) for i in range(3)])
    for i in range(3):
        assert same(together[str(i)], _trained(net, [trial(str(i))])[str(i)])
    assert not same(together["0"], together["1"])


def _trained(net, trials):
    pop = Population(dataset(), lambda _: net, TRAIN, 64)
    for of in trials:
        pop.admit(of)
    run(pop, 2)
    return {of.label: pop.release(of) for of in trials}


@pytest.mark.parametrize(
    ("factory", "width"),
    [
        (factories.plain, 8),
        (factories.normed, 4),
        (factories.Named, 7),
        (factories.Tied, 5),
        (factories.Branching, 13),
        (factories.ends_otherwise, None),
    ],
)
def test_features_are_the_inputs_of_the_last_linear_layer(factory, width):
    net = module(factory)
    assert net.width == width
    rows = range(3) if net.batched else range(1)
    tensors = [net.init(np.random.default_rng(i)) for i in rows]
    stacked = {name: torch.stack([one[name] for one in tensors]) for name in tensors[0]}
    x = torch.randn(len(tensors), 5, net.n_inputs, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        out, features = net.forward(stacked, stacked, x, hidden=lambda h, *_: h, noise=None, training=False)
    if width is None:
        assert features is None
        return
    for i in rows:
        plain, given = net.build(0).eval(), []
        plain.load_state_dict(net.state_dict(tensors[i]))
        last = [part for part in plain.modules() if isinstance(part, torch.nn.Linear)][-1]
        last.register_forward_pre_hook(
            lambda _, args, named, given=given: given.append((*args, *named.values())[0]), with_kwargs=True
        )
        assert torch.allclose(out[i], plain(x[i]), atol=1e-6)
        assert torch.allclose(features[i], given[0], atol=1e-6)


def test_a_network_without_a_last_linear_layer_has_no_features_to_align():
    prepared = prepare(parse(space({"factory": "tests.helpers.factories:ends_otherwise"})), Path())
    found = NetworkBuilder(prepared.space, prepared.factory, 13, 3).network_for(make_config({}))
    other = prepared.space.model_copy(update={"search": {**prepared.space.search, "coral": None}})
    with pytest.raises(InputError) as caught:
        requirements.check_networks(other, [found])
    assert str(caught.value) == (
        "search.coral: needs features, the inputs of a network's last nn.Linear, and this network has no "
        "nn.Linear with one output per class (or number) to predict; end it with one, or leave the key out."
    )
    requirements.check_networks(other, [module(factories.plain)])


@pytest.mark.parametrize("kind", ["batched", "alone"])
def test_batch_norm_statistics_are_those_of_labelled_rows(kind):
    """In training, labelled rows have the outputs without target rows, and target rows have those of a prediction."""
    net = module(factories.normed)
    x = torch.randn(1, 9, 13, generator=torch.Generator().manual_seed(0))
    x[:, 6:] *= 5
    results = []
    for labelled in (None, 6):
        tensors = {name: t.unsqueeze(0) for name, t in net.init(np.random.default_rng(0)).items()}
        rows = x[:, :6] if labelled is None else x
        out = net.program.run(
            tensors, tensors, rows, lambda h, *_: h, training=True, batched=kind == "batched", labelled=labelled
        )
        results.append((out.logits, tensors))
    (without, before), (beside, after) = results
    assert torch.allclose(without, beside[:, :6], rtol=0, atol=1e-6)  # a product over more rows may round otherwise
    assert all(torch.allclose(before[name], after[name]) for name in before)
    plain = net.build(0).train()
    plain.load_state_dict(net.state_dict(net.init(np.random.default_rng(0))))
    h = plain[0](x[0])
    h = (h - h[:6].mean(0)) / (h[:6].var(0, correction=0) + plain[1].eps).sqrt()
    assert torch.allclose(beside[0], plain[2](h), atol=1e-5)


def test_unused_parameters_stay_unchanged():
    net, of = module(factories.Unused), trial("0", weight_decay=0.5, l1=0.5)
    assert {p.name for p in net.parameters} == {"out.weight", "out.bias"}
    fold = dataset().folds[0]
    fresh = net.init(Fit(of, fold).stream("init"))
    trained = _trained(net, [of])["0"].weights
    assert torch.equal(trained["forgotten.weight"][0].float(), fresh["forgotten.weight"])
    assert not torch.equal(trained["out.weight"][0].float(), fresh["out.weight"])


def test_a_search_does_not_change_the_global_generator():
    torch.manual_seed(5)
    before = torch.get_rng_state()
    _trained(module(factories.Functional), [trial("0")])
    assert torch.equal(before, torch.get_rng_state())


def test_tensors_with_two_axes_are_weights_and_frozen_tensors_are_not_trained():
    net = module(factories.Tied)
    assert {p.name: p.role for p in net.parameters} == {
        "one.weight": "weight",
        "one.bias": "bias",
        "out.weight": "weight",
        "out.bias": "bias",
    }
    assert {b.name for b in net.buffers} == {"two.bias", "order"}
    plain = factories.Tied(13, 3)
    plain.load_state_dict(net.state_dict(net.init(np.random.default_rng(0))))
    assert torch.equal(plain.one.weight, plain.two.weight)
    assert plain.order.dtype == torch.int64
    assert plain.order.tolist() == list(range(13))[::-1]


REFUSED = {
    "is missing": ({}, "network.factory is missing: kind: module needs it, as in my_package.nets:build."),
    "no file": (
        {"factory": "gone_nets:build"},
        "network.factory: there is no gone_nets to import; it must be in the space file's folder, in the working "
        "directory, or "
        "installed.",
    ),
    "no function": (
        {"factory": "tests.helpers.factories:fail"},
        "network.factory: tests.helpers.factories has no fail. Did you mean fails?",
    ),
    "not callable": (
        {"factory": "tests.helpers.factories:not_a_function"},
        "network.factory: tests.helpers.factories:not_a_function must be a function that returns a torch.nn.Module, "
        "got 3.",
    ),
    "no module": (
        {"factory": "tests.helpers.factories:no_module"},
        "network: no_module() must return a torch.nn.Module, got a network.",
    ),
    "fails": (
        {"factory": "tests.helpers.factories:fails"},
        "network: fails() failed with ZeroDivisionError: one half.",
    ),
    "used in some steps": (
        {"factory": "tests.helpers.factories:Sometimes"},
        "network: the module of Sometimes(n_inputs=13, n_outputs=3) uses some parameters in some steps only, which "
        "a fused optimizer cannot handle.",
    ),
    "complex buffer": (
        {"factory": "tests.helpers.factories:Complex"},
        "network: the module of Complex(n_inputs=13, n_outputs=3) has the tensor turns (torch.complex64), "
        "which float32 cannot represent exactly.",
    ),
    "outputs": (
        {"factory": "tests.helpers.factories:two_outputs"},
        "network: the module of two_outputs(n_inputs=13) must return (batch, 3) for a batch of 3, got (3, 2).",
    ),
    "inputs": (
        {"factory": "tests.helpers.factories:other_inputs"},
        "network: the module of other_inputs(n_outputs=3) failed on a batch of shape (3, 13) with RuntimeError: mat1 "
        "and mat2 "
        "shapes cannot be multiplied (3x13 and 7x3).",
    ),
    "two tensors": (
        {"factory": "tests.helpers.factories:Two"},
        "network: the module of Two(n_inputs=13, n_outputs=3) failed on a batch of shape (3, 13) with TypeError: it "
        "must return "
        "one tensor, got a tuple.",
    ),
    "nothing to train": (
        {"factory": "tests.helpers.factories:no_parameters"},
        "network: the module of no_parameters(n_outputs=3) has no parameter to train.",
    ),
    "lazy": (
        {"factory": "tests.helpers.factories:lazy"},
        "network: the module of lazy(n_outputs=3) has layers without a size; give them one, using n_inputs.",
    ),
    "argument unknown": (
        {"factory": "tests.helpers.factories:plain", "search": {"widht": 8}},
        "network.search.widht: plain takes no widht; it takes n_inputs, n_outputs, width, style, deep.",
    ),
    "width unknown": (
        {"factory": "tests.helpers.factories:deep", "width": 3},
        "network.width: deep takes no width; it takes n_inputs, n_outputs, depth.",
    ),
    "depth missing": (
        {"factory": "tests.helpers.factories:deep"},
        "network.factory: deep needs depth, which nothing sets; set search.depth.",
    ),
    "argument missing": (
        {"factory": "tests.helpers.factories:small", "image": [1, 1, 13]},
        "network.factory: small needs channels, which nothing sets; set network.search.channels.",
    ),
    "an end of the space": (
        {"factory": "tests.helpers.factories:plain", "search": {"style": {"choices": ["relu", "tahn"]}}},
        "network: plain(n_inputs=13, n_outputs=3, style='tahn') failed with KeyError: 'tahn'.",
    ),
    "image": (
        {"factory": "tests.helpers.factories:small", "image": [1, 8, 8], "search": {"channels": 4}},
        "network.image: [1, 8, 8] holds 64 numbers, but the data have 13 inputs.",
    ),
    "no image": (
        {"kind": "cnn"},
        "network.image is missing: kind: cnn needs [channels, height, width], and 13 inputs are not a square.",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_invalid_networks_are_refused_in_one_sentence(store, case):
    network, sentence = REFUSED[case]
    result = here("check", write_space(store, **space(network)))
    assert (result.exit_code, result.stderr) == (2, f"{sentence}\n")


@pytest.mark.parametrize(
    ("key", "domain", "sentence"),
    [
        (
            "depth",
            {"low": 1, "high": 2},
            "search.depth: plain takes no depth; it takes n_inputs, n_outputs, width, style, deep.",
        ),
        ("dropout", 0.3, "search.dropout: the network has no nn.Dropout to act on; add one, or leave the key out."),
    ],
)
def test_a_regularizer_that_the_network_lacks_is_refused_in_one_sentence(key, domain, sentence):
    with pytest.raises(InputError) as caught:
        prepare(parse(space({"factory": "tests.helpers.factories:plain"}, {**SEARCH, key: domain})), Path())
    assert str(caught.value) == sentence


def test_a_last_minibatch_of_one_row_is_refused_before_the_search():
    with pytest.raises(
        InputError, match=r"cannot learn from a minibatch of 1 \(ValueError: Expected more than 1 value per channel"
    ):
        prepare(
            parse(space({"factory": "tests.helpers.factories:normed"}, train={"batch_size": 10})), Path()
        )  # of 71 rows


def test_slow_modules_and_unused_dropouts_are_noted():
    slow = prepare(parse(space({"factory": "tests.helpers.factories:Branching"})), Path()).data.notes
    assert slow == (
        "tests.helpers.factories:Branching is trained one network at a time, which is slower: its control flow "
        "depends on the data.",
    )
    unused = prepare(
        parse(
            space(
                {"factory": "tests.helpers.factories:small", "image": [1, 8, 8], "search": {"channels": 4}},
                source="digits",
            )
        ),
        Path(),
    )
    assert unused.data.notes == (
        "the dropout of tests.helpers.factories:small is off, because the space does not contain the key dropout.",
    )


@pytest.mark.exhaustive
def test_architecture_and_strengths_are_searched_together_and_the_ablation_keeps_the_architecture(store):
    search = {**SEARCH, "dropout": {"low": 0.1, "high": 0.5}}
    network = {
        "factory": "tests.helpers.factories:small",
        "image": [1, 8, 8],
        "search": {"channels": {"choices": [2, 4]}},
    }
    result = hpo.search(space(network, search, source="digits", budget={"trials": 6}), store=store)
    assert result.selected["channels"] in (2, 4)
    entries = result.baselines
    assert {entries[name].params["channels"] for name in ("none", "defaults")} == {4}
    assert entries["ablation"].params["channels"] == result.selected["channels"]
    assert "depth" not in result.selected


def test_an_exported_module_loads_in_plain_torch_and_retrains_to_the_same_score(store, monkeypatch):
    monkeypatch.chdir(store.parent)
    search = {**SEARCH, "dropout": {"low": 0.1, "high": 0.5}}
    network = {
        "factory": "tests.helpers.factories:small",
        "image": [1, 8, 8],
        "search": {"channels": {"low": 2, "high": 6, "step": 2}},
    }
    write_space(store, **space(network, search, source="digits", study="own", refit={"networks": 1}))
    first = here("search", "--space", "own.yaml", "--store", store, "--json")
    assert "network tests.helpers.factories:small" in first.stderr
    assert here("export", "--store", store, "-o", "best.yaml", "--weights", "best").exit_code == 0
    selected = json.loads(first.stdout)["selected"]
    net = factories.small(selected["channels"], 10)
    net.load_state_dict(load_file("best/weights.safetensors"))
    frame = load_digits(as_frame=True).data
    frame.to_csv("new.csv", index=False)
    predicted = here("predict", "new.csv", "--weights", "best", "-o", "out.csv")
    assert predicted.exit_code == 0
    features = json.loads((store.parent / "best" / "preprocess.json").read_text())["features"]
    x = np.column_stack([(frame[f["column"]] - f["mean"]) / f["scale"] for f in features])
    out = net.eval()(torch.tensor(x.astype("float32")).view(-1, 1, 8, 8))
    assert out.argmax(1).tolist() == pd.read_csv("out.csv")["prediction"].tolist()
    point = yaml.safe_load((store.parent / "best.yaml").read_text())
    assert point["network"] == {**network, "kind": "module", "search": {"channels": selected["channels"]}}
    assert "channels" not in point["search"]
    again = here("search", "--space", "best.yaml", "--store", store, "--json")
    assert json.loads(again.stdout)["test"] == json.loads(first.stdout)["test"]


def test_the_code_in_an_exported_configuration_builds_the_network(store):
    network = {
        "factory": "tests.helpers.factories:small",
        "image": [1, 8, 8],
        "search": {"channels": {"choices": [2, 4]}},
    }
    result = hpo.search(space(network, {**SEARCH, "dropout": 0.3}, source="digits"), store=store)
    lines = here("export", "--store", store).stdout.splitlines()
    begin = lines.index("# In your own torch code:") + 1
    end = next(i for i, line in enumerate(lines) if "optimizer =" in line)
    names = {"torch": torch}
    exec("\n".join(line[4:] for line in lines[begin:end]), names)
    assert names["net"](torch.zeros(2, 1, 8, 8)).shape == (2, 10)
    assert [m.p for m in names["net"].modules() if isinstance(m, torch.nn.Dropout)] == [result.selected["dropout"]]


def test_a_factory_may_be_passed_in_python(store):
    def build(n_inputs, n_outputs, size):
        return torch.nn.Sequential(torch.nn.Linear(n_inputs, size), torch.nn.ReLU(), torch.nn.Linear(size, n_outputs))

    raw = space({"search": {"size": {"choices": [4, 8]}}})
    del raw["network"]["kind"]
    result = hpo.search(raw, store=store, factory=build)
    assert result.selected["size"] in (4, 8)


def test_a_factory_in_python_needs_kind_module(store):
    with pytest.raises(InputError) as caught:
        hpo.search(space({"kind": "mlp"}), store=store, factory=factories.plain)
    assert str(caught.value) == "factory: needs network.kind: module, got mlp."


def test_the_folder_of_the_space_is_importable(store):
    (store.parent / "nets_beside_the_space.py").write_text("from tests.helpers.factories import plain\n")
    assert here("check", write_space(store, **space({"factory": "nets_beside_the_space:plain"}))).exit_code == 0
    assert importlib.import_module("nets_beside_the_space").plain is factories.plain


@pytest.mark.exhaustive
@pytest.mark.parametrize(
    "network",
    [
        {"kind": "resnet", "width": 8, "search": {}},
        {"kind": "cnn"},
        {"kind": "mlp"},
    ],
)
def test_every_kind_is_searched_and_exported(store, network, monkeypatch):
    monkeypatch.chdir(store.parent)
    search = {**SEARCH, "depth": {"low": 1, "high": 2}, "dropout": {"low": 0.0, "high": 0.5}}
    search |= {} if "width" in network else {"width": {"choices": [4, 6]}}
    first = hpo.search(space(network, search, source="digits"), store=store)
    assert here("export", "--store", store, "-o", "best.yaml", "--weights", "best").exit_code == 0
    load_digits(as_frame=True).data.head(20).to_csv("new.csv", index=False)
    assert len(here("predict", "new.csv", "--weights", "best").stdout.splitlines()) == 21
    assert hpo.search("best.yaml", store=store).test == first.test


@pytest.mark.exhaustive
@pytest.mark.parametrize("workers", [1, 2])
def test_architectures_are_sampled_by_tpe_together_with_strengths(tmp_path, workers):
    """After the startup trials, and completed by a process that has trained none of them."""
    made = space(
        {"factory": "tests.helpers.factories:plain", "search": {"style": {"choices": ["relu", "tanh"]}}},
        SEARCH
        | {"width": {"low": 2, "high": 9}, "weight_decay": {"low": 1e-3, "high": 1.0, "log": True, "optional": True}},
        train={"epochs": 1},
        budget={"trials": 20},
    )
    hpo.nn.module.vmap_program.cache_clear()
    result = hpo.search(made, store=tmp_path, workers=workers)
    assert sum(result.trials.values()) == 20
    assert 2 <= result.selected["width"] <= 9
    assert 1e-3 <= result.selected["learning_rate"] <= 1e-2


def test_a_network_can_be_built_first_in_a_prediction():
    net = module(factories.plain)
    tensors = {name: t.unsqueeze(0) for name, t in net.init(np.random.default_rng(0)).items()}
    hpo.nn.module.vmap_program.cache_clear()
    net.predict(tensors, torch.zeros(1, 2, net.n_inputs))
    assert [p.name for p in module(factories.plain).parameters]


def test_dropout2d_drops_whole_channels():
    """As in torch, there is one draw for each channel of each row."""
    draws = []

    def hidden(h, *_):
        draws.append(h.shape)
        return h

    site = insert_hook_points(torch.nn.Sequential(torch.nn.Dropout2d()))[0]
    site.hidden, site.rows, site.batched = hidden, 4, True
    for shape in ((4, 8, 5, 6), (4, 8, 5, 6, 7)):
        assert site.apply_hook(torch.ones(shape)).shape == shape
    assert draws == [(4, 8, 5), (4, 8, 5)]


def test_a_module_that_a_factory_reuses_is_not_changed():
    only = torch.nn.Sequential(torch.nn.Linear(13, 8), torch.nn.Dropout(), torch.nn.Linear(8, 3))
    net = VmappedModule(lambda: only, "here:only", (), 13, 3)
    assert net.depth == 1
    assert isinstance(only[1], torch.nn.Dropout)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("def build(:\n", "failed with SyntaxError: invalid syntax (broken_nets.py, line 1)."),
        ("import gone_package\n", "failed with ModuleNotFoundError: No module named 'gone_package'."),
    ],
)
def test_errors_in_a_users_file_are_reported(text, said, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    importlib.invalidate_caches()
    (tmp_path / "broken_nets.py").write_text(text)
    with pytest.raises(InputError) as caught:
        import_object("broken_nets:build", tmp_path)
    assert str(caught.value) == f"network.factory: importing broken_nets {said}"
