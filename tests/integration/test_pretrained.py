"""Networks that start from given weights (`network.init`), and regularizers that keep these, against plain torch."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
import yaml
from safetensors.torch import load_file, save_file
from sklearn.datasets import load_wine

from hpo.core.errors import InputError
from hpo.core.importing import import_object
from hpo.core.samples import Fold
from hpo.core.trial import Fit
from hpo.export import network_json
from hpo.nn.backends import backend_for
from hpo.nn.device import CPU
from hpo.nn.module import layer_indices
from hpo.space import loader
from hpo.space.settings import TrainConfig
from hpo.testing import TRAIN, run, same
from hpo.training.builder import NetworkBuilder
from hpo.training.population import Population
from hpo.training.worker import start_workers
from hpo.training.worker_pool import WorkerPool
from hpo.workflows import prepare
from tests.helpers.searches import TINY, here, outcomes
from tests.helpers.training import dataset, network, shifted, trained, trial

pytestmark = pytest.mark.usefixtures("unrecorded")
KINDS = {
    "mlp": {},
    "layer norm": {"layer_norm": True},
    "norms": {"batch_norm": True, "layer_norm": True},
    "residual": {"skip": "residual", "batch_norm": True},
    "shake-shake": {"skip": "shake-shake", "layer_norm": True},
    "resnet": {"kind": "resnet"},
    "cnn": {"kind": "cnn"},
    "mixed": {"kind": "mixed"},
}


def of(case, **params):
    return network(dataset(), trial(**params), **KINDS[case])


def plain(net):
    """The same network in plain torch, in float64."""
    said = net.description(0.0)
    if isinstance(said, list):
        return torch.nn.Sequential(*[getattr(torch.nn, name)(*arguments) for name, *arguments in said]).double()
    module = import_object(said["factory"], Path())(**said["arguments"]).double()
    for part in module.modules():
        if "Dropout" in type(part).__name__:
            part.p = 0.0
    return module


def weights(net, seed=5):
    return net.state_dict(net.init(np.random.default_rng(seed)))


# ---- there and back


@pytest.mark.parametrize("case", KINDS)
def test_a_network_loads_a_state_dict_of_plain_torch(case):
    net = of(case, depth=3)
    module = plain(net)
    with torch.no_grad():
        for name, tensor in module.state_dict().items():
            tensor.copy_(
                torch.full_like(tensor, 3)
                if not tensor.is_floating_point()
                else torch.rand(tensor.shape) + name.endswith("var")
            )
    state = module.state_dict()
    ours = net.load_state(state)
    assert ours.keys() == {p.name for p in (*net.parameters, *net.buffers)}
    assert all(tuple(ours[p.name].shape) == p.shape for p in (*net.parameters, *net.buffers))
    back = net.state_dict(ours)
    assert all(torch.equal(back[name].double(), state[name].double()) for name in back)
    module.eval()
    x = torch.randn(1, 7, dataset().n_inputs, dtype=torch.float64)
    with torch.no_grad():
        said = module(x[0].view(-1, *getattr(net, "image", ())) if getattr(net, "image", ()) else x[0])
    assert torch.allclose(
        net.predict({name: tensor.unsqueeze(0) for name, tensor in ours.items()}, x)[0], said, rtol=1e-9
    )


@pytest.mark.parametrize("case", KINDS)
def test_the_output_layer_has_as_many_rows_as_there_are_outputs(case):
    net = of(case)
    state = weights(net)
    assert {len(state[name]) for name in net.output_names} == {3}
    assert len(net.output_names) == 2
    assert list(state)[-2:] == list(net.output_names) or case != "mlp"


def test_each_matrix_of_a_module_starts_a_layer():
    names = {
        "one.weight": (4, 3),
        "one.bias": (4,),
        "norm.weight": (4,),
        "two.weight": (4, 4),
        "out.weight": (2, 4),
        "out.bias": (2,),
    }
    found = layer_indices([(name, torch.empty(shape)) for name, shape in names.items()])
    assert list(found.values()) == [0, 0, 0, 1, -1, -1]
    assert set(layer_indices([("weight", torch.empty(2, 3)), ("bias", torch.empty(2))]).values()) == {-1}
    assert of("resnet", depth=2).hidden_layers == 5


@pytest.mark.parametrize("case", KINDS)
def test_an_exported_network_describes_its_architecture(case):
    net = of(case, depth=3)
    said = network_json.network_section(json.loads(json.dumps(net.description(0.2))))
    depth = said.pop("depth", None)
    if case == "mixed":
        assert said == {"kind": "module", "factory": "tests.helpers.training:Mixed", "width": 8}
        return
    raw = {**TINY, "network": said, "search": {"depth": depth, "l1": {"low": 0.0, "high": 1.0}}}
    made = loader.parse(raw)
    build = {"resnet": "hpo.nets:resnet", "cnn": "hpo.nets:cnn"}.get(said["kind"])
    again = NetworkBuilder(made, import_object(build, Path()) if build else None, dataset().n_inputs, 3).network_for(
        made.params({"l1": 0.0})
    )
    assert again == net if said["kind"] == "mlp" else dict(again.arguments) == dict(net.arguments)


# ---- every fit begins there


def begun(net, state):
    return replace(net, init_weights=net.load_state(state))


def population(case, state, train=TRAIN):
    return Population(dataset(), lambda one: begun(network(dataset(), one, **KINDS[case]), state), train, 64)


@pytest.mark.parametrize("case", KINDS)
def test_every_fit_starts_from_the_initial_weights(case):
    state = weights(of(case))
    pop = population(case, state)
    for i in range(2):
        pop.admit(trial(str(i)))
    (stack,) = pop.stacks.values()
    views = stack.program.views(stack.tensors.values)
    for i in range(2):
        own = of(case).state_dict({name: tensor[i] for name, tensor in views.items()})
        assert all(torch.equal(own[name].float(), state[name].float()) for name in state)


def test_a_new_output_layer_is_random_and_marked_as_newly_initialized():
    net = of("norms")
    state = {name: tensor for name, tensor in weights(net).items() if name not in net.output_names}
    one = begun(net, state)
    made, drawn = (one.initial_state(np.random.default_rng(7)), net.init(np.random.default_rng(7)))
    assert torch.equal(made["out.weight"], drawn["out.weight"])
    assert not torch.equal(made["0.weight"], drawn["0.weight"])
    assert {p.name for p in one.parameter_infos if p.newly_initialized} == {"out.weight", "out.bias"}
    assert not any(p.newly_initialized for p in net.parameter_infos)


# ---- how strongly they are kept, against plain torch


def tuned(case, state, groups, params, epochs=3, pull=None):
    """Train in plain torch and return the weights; `groups(name)` is a parameter's learning rate, None if frozen."""
    net = plain(of(case))
    net.load_state_dict(state, strict=False)
    fit = Fit(trial(), dataset().folds[0])
    lr = params["learning_rate"]
    rates = {name: groups(name) for name, _ in net.named_parameters()}
    for name, p in net.named_parameters():
        p.requires_grad_(rates[name] is not None)
    known = [{"params": [p], "lr": lr * rates[name]} for name, p in net.named_parameters() if rates[name] is not None]
    optimizer = torch.optim.AdamW(known, weight_decay=params.get("weight_decay", 0.0))
    first = {name: p.detach().clone() for name, p in net.named_parameters()}
    order = backend_for(CPU).stream(fit, "order")
    for epoch in range(epochs):
        net.train()
        drawn = backend_for(CPU).noise([order], [epoch], torch.float64, CPU).permutation(len(fit.fold.train))[0]
        for rows in torch.split(fit.fold.train[drawn], TRAIN.batch_size):
            optimizer.zero_grad()
            loss = torch.nn.functional.cross_entropy(net(dataset().x[rows]), dataset().y[rows])
            if pull:
                loss = loss + pull / 2 * sum(
                    (p - first[name]).square().sum()
                    for name, p in net.named_parameters()
                    if name not in of(case).output_names
                )
            loss.backward()
            optimizer.step()
    return net.state_dict()


def ours(case, state, epochs=3, **params):
    """Return the weights after the same training in hpo."""
    train = TrainConfig(epochs=epochs, batch_size=TRAIN.batch_size, patience=epochs)
    pop = population(case, state, train)
    one = trial(**params)
    pop.admit(one)
    run(pop, epochs)
    (stack,) = pop.stacks.values()
    found = {name: tensor[0] for name, tensor in stack.program.views(stack.tensors.values).items()}
    return found if case == "resnet" else of(case).state_dict(found), one.params  # a module would round them to float32


def layer(case, name):
    """The hidden layer of a plain parameter; -1 for the output layer."""
    net = of(case)
    if case == "resnet":
        return next(p.layer for p in net.parameters if p.name == name)
    return next(p.layer for plain_name, p in net.torch_parameters.items() if plain_name == name)


@pytest.mark.parametrize("case", ["mlp", "norms", "residual", "resnet"])
@pytest.mark.parametrize("s", [1, 2, 9])
def test_freeze_equals_layers_without_gradients(case, s):
    state = weights(of(case))
    found, params = ours(case, state, freeze=s, weight_decay=0.3)
    expected = tuned(case, state, lambda name: None if 0 <= layer(case, name) < s else 1.0, params)
    for name, tensor in found.items():
        assert torch.allclose(tensor.double(), expected[name].double(), rtol=1e-8, atol=1e-8), name
        if name in dict(plain(of(case)).named_parameters()):
            assert torch.equal(tensor.double(), state[name].double()) == (0 <= layer(case, name) < s)


def test_frozen_weights_stay_equal_bit_for_bit_under_all_regularizers():
    state = weights(of("norms"))
    all_of_them = {
        "l1": 1.0,
        "group_lasso": 1.0,
        "max_norm": 0.1,
        "lookahead": 0.5,
        "weight_decay": 1.0,
        "sam": 0.1,
        "layer_lr_decay": 0.3,
    }
    found, _ = ours("norms", state, freeze=1, **all_of_them)
    names = [name for name, _ in plain(of("norms")).named_parameters() if layer("norms", name) == 0]
    assert names
    assert all(torch.equal(found[name].double(), state[name].double()) for name in names)


@pytest.mark.parametrize("case", ["mlp", "norms", "residual", "resnet"])
def test_layer_lr_decay_equals_one_learning_rate_per_layer(case):
    state, depth = weights(of(case)), of(case).hidden_layers
    found, params = ours(case, state, layer_lr_decay=0.4, weight_decay=0.3)

    def rate(name):
        own = layer(case, name)
        return 1.0 if own < 0 else 0.6 ** (depth - own)

    expected = tuned(case, state, rate, params)
    for name, tensor in found.items():
        assert torch.allclose(tensor.double(), expected[name].double(), rtol=1e-8, atol=1e-8), name
    others, _ = ours(case, state, weight_decay=0.3)
    assert not all(torch.allclose(found[name].double(), others[name].double()) for name in found)


def test_layers_are_counted_per_network_in_stacks_of_different_depths():
    """The layer before the output is the second layer of one network, and the third of another."""
    trials = [
        trial("0", depth=3, layer_lr_decay=0.9),
        trial("1", depth=2, layer_lr_decay=0.9),
        trial("2", depth=3, freeze=2),
    ]
    together = trained(dataset(), trials)
    assert all(same(together[one.label], trained(dataset(), [one])[one.label]) for one in trials)


def test_exact_zeros_stay_zeros_with_low_layer_learning_rates():
    (found,) = trained(dataset(), [trial("0", l1=3.0, layer_lr_decay=0.9)], epochs=5).values()
    assert found.nonzero_share < 0.9


@pytest.mark.parametrize(
    "case", ["mlp", "layer norm"]
)  # before batch normalization, a bias has no gradient but by rounding
def test_l2_sp_equals_the_penalty_on_the_distance_from_the_initial_weights(case):
    net = of(case)
    state = {name: tensor for name, tensor in weights(net).items() if name not in net.output_names}
    drawn = net.state_dict(net.init(Fit(trial(), Fold(0, *[torch.arange(1)] * 2)).stream("init")))
    found, params = ours(case, state, l2_sp=0.5)
    expected = tuned(case, drawn | state, lambda _: 1.0, params, pull=0.5)
    for name, tensor in found.items():
        assert torch.allclose(tensor.double(), expected[name].double(), rtol=1e-8, atol=1e-8), name


def test_l2_sp_keeps_a_network_near_its_initial_weights():
    state = weights(of("mlp"))
    ends = [ours("mlp", state, 20, l2_sp=s)[0] for s in (0.0, 0.01, 1.0)]
    far = [sum(float((end[name] - state[name]).square().sum()) for name in state) for end in ends]
    assert far[0] > 1.2 * far[1] > 2 * far[2]


# ---- from a directory to a search


@pytest.fixture(scope="module")
def source(unrecorded, tmp_path_factory):  # noqa: ARG001 - a fixture of a module cannot name it otherwise
    """A folder with two tables of wines on different scales, and `src`, a network trained on the first table."""
    folder = tmp_path_factory.mktemp("source")
    frame = load_wine(as_frame=True).frame.rename(columns=lambda name: name.replace("/", "_"))
    frame["colour"] = np.where(frame["color_intensity"] > 5, "dark", "pale")
    frame.to_csv(folder / "first.csv", index=False)
    frame.assign(alcohol=frame["alcohol"] * 1.1 + 1, more=1.0)[[*frame.columns[::-1], "more"]].to_csv(
        folder / "second.csv", index=False
    )
    space = {
        "study": "first",
        "data": {"source": "first.csv"},
        "network": {"width": 6, "activation": "tanh", "batch_norm": True},
        "search": {"learning_rate": 0.01, "depth": 1},
        "train": {"epochs": 8, "batch_size": 32},
        "budget": {"trials": 1},
        "refit": {"networks": 1},
    }
    (folder / "first.yaml").write_text(yaml.safe_dump(space))
    store = folder / "mlruns"
    assert here("search", "--space", folder / "first.yaml", "--store", store).exit_code == 0
    assert here("export", "--store", store, "--weights", folder / "src", "-o", folder / "best.yaml").exit_code == 0
    return folder


TUNED = {
    "study": "second",
    "data": {"source": "second.csv"},
    "network": {"init": "src"},
    "train": {"epochs": 3, "batch_size": 32},
    "budget": {"trials": 5},
    "search": {
        "learning_rate": {"low": 1e-4, "high": 1e-2, "log": True},
        "freeze": {"low": 0, "high": 1},
        "l2_sp": "auto",
        "layer_lr_decay": "auto",
    },
    "finalists": 1,
    "sampler": "random",
}


def asked(folder, **changes):
    """The experiment of a space beside the source."""
    return prepare.prepare(loader.parse(TUNED | changes), folder)


def refused(folder, **changes):
    with pytest.raises(InputError) as error:
        asked(folder, **changes)
    return str(error.value)


def test_a_space_adopts_architecture_encoding_and_weights(source):
    experiment = asked(source)
    said, there = experiment.space.network, json.loads((source / "src/preprocess.json").read_text())
    assert (said.width, said.activation, said.batch_norm, experiment.space.search["depth"].choices) == (
        6,
        "tanh",
        True,
        (1,),
    )
    assert list(experiment.data.preprocess.features) == there["features"]
    assert all("weights of src" in note for note in experiment.data.notes if "begins" in note)
    assert any("left out: more" in note for note in experiment.data.notes)
    saved, net = (
        load_file(source / "src/weights.safetensors"),
        experiment.networks.network_for(experiment.space.middle()),
    )
    made = net.state_dict(net.initial_state(np.random.default_rng(0)))
    assert made.keys() == saved.keys()
    assert all(torch.equal(made[name], saved[name]) for name in saved)
    frame = pd.read_csv(source / "second.csv")
    alcohol = next(f for f in there["features"] if f["column"] == "alcohol")
    rows = experiment.data.table_rows([0, 1]).index
    at = there["features"].index(alcohol)
    assert np.allclose(
        experiment.data.x[:2, at], (frame["alcohol"][rows] - alcohol["mean"]) / alcohol["scale"], atol=1e-5
    )
    assert not any("Far from all" in note for note in experiment.data.notes)
    unlike = asked(source, network={"init": "src", "activation": "relu"})
    assert (unlike.space.network.activation, unlike.space.network.width) == ("relu", 6)
    assert any("trained with activation: tanh, which is relu here" in note for note in unlike.data.notes)
    assert not any("activation" in note for note in experiment.data.notes)


def test_the_first_of_several_averaged_networks_initializes(source):
    space = yaml.safe_load((source / "first.yaml").read_text()) | {"study": "several", "refit": {"networks": 3}}
    (source / "several.yaml").write_text(yaml.safe_dump(space))
    store, folder = source / "mlruns", source / "several"
    assert here("search", "--space", source / "several.yaml", "--store", store).exit_code == 0
    files = ("--weights", folder, "-o", source / "point.yaml")
    assert here("export", "--store", store, "--study", "several", *files).exit_code == 0
    saved = load_file(folder / "weights.safetensors")
    first = {name.removeprefix("0."): tensor for name, tensor in saved.items() if name.startswith("0.")}
    assert not torch.equal(first["0.weight"], saved["1.0.weight"])
    state = asked(source, network={"init": "several"}).state
    assert state.keys() == first.keys()
    assert all(torch.equal(state[name], tensor) for name, tensor in first.items())


def test_a_fully_frozen_network_predicts_as_its_source(source):
    """The initial weights are unchanged after search, refit, export and prediction."""
    off = {"learning_rate": 1e-12, "freeze": 1}
    (source / "still.yaml").write_text(
        yaml.safe_dump(TUNED | {"study": "still", "search": off, "budget": {"trials": 1}, "refit": {"networks": 1}})
    )
    assert here("search", "--space", source / "still.yaml", "--store", source / "mlruns").exit_code == 0
    assert (
        here(
            "export",
            "--store",
            source / "mlruns",
            "--study",
            "still",
            "--weights",
            source / "still",
            "-o",
            source / "again.yaml",
        ).exit_code
        == 0
    )
    was, now = (load_file(source / name / "weights.safetensors") for name in ("src", "still"))
    assert torch.equal(was["0.weight"], now["0.weight"])
    assert torch.allclose(was["4.weight"], now["4.weight"], atol=1e-6)
    assert (source / "src/preprocess.json").read_bytes() == (source / "still/preprocess.json").read_bytes()
    (source / "elsewhere").mkdir()
    assert (
        here(
            "export", "--store", source / "mlruns", "--study", "still", "-o", source / "elsewhere/again.yaml"
        ).exit_code
        == 0
    )
    again = yaml.safe_load((source / "elsewhere/again.yaml").read_text())
    assert again["network"]["init"] == "../src"
    assert here("search", "--space", source / "elsewhere/again.yaml", "--store", source / "mlruns").exit_code == 0
    assert outcomes(source / "mlruns", "still-best")["0"]["valid"] == outcomes(source / "mlruns", "still")["0"]["valid"]


def test_a_search_starts_from_the_weights_and_is_bound_to_them(source, monkeypatch):
    reported = []
    monkeypatch.setattr("hpo.report.write", lambda material, _: reported.append(material))
    (source / "second.yaml").write_text(yaml.safe_dump(TUNED))
    command = ["search", "--space", source / "second.yaml", "--store", source / "mlruns"]
    ran = here(*command)
    assert ran.exit_code == 0, ran.output
    found = outcomes(source / "mlruns", "second")
    assert {"none", "defaults"} < found.keys()
    assert (
        found["none"]["trial"]["params"] | {"learning_rate": 0}
        == {"learning_rate": 0, "depth": 1, "freeze": 0, "l2_sp": 0.0, "layer_lr_decay": 0.0, "batch_norm": True}
        or "batch_norm" not in found["none"]["trial"]["params"]
    )
    weights, kept = source / "src/weights.safetensors", load_file(source / "src/weights.safetensors")
    before = weights.read_bytes()
    try:
        save_file({name: tensor + 1 for name, tensor in kept.items()}, weights)
        ran = here(*command)
        assert ran.exit_code == 2
        assert "the weights of network.init differ" in ran.output
        ran = here("export", "--store", source / "mlruns", "--study", "second", "--weights", source / "no")
        assert ran.exit_code == 2
        assert "have changed since the search of second" in ran.output
    finally:
        weights.write_bytes(before)
    (source / "src").rename(source / "moved")  # what counts is the content
    try:
        assert (
            here("report", "--store", source / "mlruns", "--study", "second", "-o", source / "page.html").exit_code == 0
        )
        assert reported[-1].missing_reason.startswith("network.init: ")  # the rows are there
        (source / "second.yaml").write_text(yaml.safe_dump(TUNED | {"network": {"init": "moved"}}))
        assert here(*command).exit_code == 0
    finally:
        (source / "moved").rename(source / "src")


def test_rows_far_from_the_pretraining_data_are_noted(source):
    pd.read_csv(source / "second.csv").eval("ash = 1000 * ash").to_csv(source / "far.csv", index=False)
    assert any("trained on: ash. Weights" in note for note in asked(source, data={"source": "far.csv"}).data.notes)


def test_other_classes_get_a_new_output_layer(source):
    frame = pd.read_csv(source / "second.csv")
    for name, target, size in (
        ("two", frame["target"].clip(0, 1), 2),
        ("named", frame["target"].map("abc".__getitem__), 3),
    ):
        frame.assign(target=target).to_csv(source / f"{name}.csv", index=False)
        experiment = asked(source, data={"source": f"{name}.csv"})
        net = experiment.networks.network_for(experiment.space.middle())
        assert {p.name for p in net.parameter_infos if p.newly_initialized} == {"out.weight", "out.bias"}
        assert net.initial_state(np.random.default_rng(0))["out.weight"].shape == (size, 6)
        assert any("output layer is initialized at random" in note for note in experiment.data.notes)
    same_classes = asked(source)
    assert not any(
        p.newly_initialized for p in same_classes.networks.network_for(same_classes.space.middle()).parameter_infos
    )


def test_a_weights_file_initializes_a_network_of_the_same_shape(source):
    bare = {"init": "src/weights.safetensors", "width": 6, "batch_norm": True, "activation": "tanh"}
    search = TUNED["search"] | {"depth": 1}
    experiment = asked(source, network=bare, search=search, data={"source": "second.csv", "drop": ["more"]})
    assert experiment.state.keys() == load_file(source / "src/weights.safetensors").keys()
    assert experiment.data.preprocess.features != tuple(
        json.loads((source / "src/preprocess.json").read_text())["features"]
    )
    text = refused(source, network=bare, search=search)
    assert "0.weight of src/weights.safetensors has the shape (6, 15), and this network needs (6, 16)" in text
    assert "name the exported directory" in text


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        (
            {"network": {"init": "src", "width": 7}},
            ["0.weight of src has the shape (6, 15), and this network needs (7, 15); set network.width: 6, as in src."],
        ),
        (
            {"network": {"init": "src", "batch_norm": False}},
            ["src lacks 3.weight, which this network has; set network.batch_norm: true, as in src."],
        ),
        ({"search": TUNED["search"] | {"depth": {"low": 1, "high": 2}}}, ["src lacks", "search.depth: 1"]),
        ({"network": {"init": "src", "skip": "residual"}}, ["set network.skip: none, as in src."]),
        ({"network": {"init": "src", "kind": "resnet"}}, ["network.kind: mlp"]),
        (
            {"network": {"init": "nowhere"}},
            ["network.init: nowhere must be an exported directory, a .safetensors file or runs:/RUN_ID"],
        ),
        ({"network": {"init": "first.csv"}}, ["must be an exported directory"]),
        ({"network": {"init": "."}}, ["lacks weights.safetensors; write it with: hpo export --weights"]),
        ({"network": {"init": "runs:/abc"}}, ["runs:/abc is not in the MLflow at", "which does not exist"]),
        (
            {"data": {"source": "second.csv", "drop": ["alcohol"]}},
            ["network.init: second lacks the column alcohol, which these weights need"],
        ),
        (
            {"data": {"source": "second.csv", "categorical": ["alcohol"]}},
            ["these weights need the column alcohol of second to be numeric; name it in data.numeric"],
        ),
    ],
)
def test_mismatched_weights_are_refused_in_one_sentence(source, changes, words, monkeypatch):
    monkeypatch.chdir(source / "src")
    text = refused(source, **changes)
    assert text.count("\n") == 0
    assert all(word in text for word in words), text


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("network.json", b"{}", "do not belong together or are damaged"),
        ("preprocess.json", b"[", "do not belong together or are damaged"),
        ("weights.safetensors", b"nothing", "do not belong together or are damaged"),
        ("network.json", b'{"average": 5, "network": []}', "do not belong together or are damaged"),
        ("network.json", b'{"ensemble": "mean"}', "holds an ensemble; export it again without --ensemble"),
    ],
)
def test_damaged_files_are_refused(source, tmp_path, name, content, words):
    for file in (source / "src").iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    (tmp_path / name).write_bytes(content)
    assert words in refused(source, network={"init": str(tmp_path)})


def test_workers_start_from_the_same_weights(source):
    experiment = asked(source)
    task = (experiment.space, experiment.factory, experiment.data.as_samples(), 2, dict(experiment.state))
    one = shifted(trial("0", depth=1), freeze=1, l2_sp=0.0, layer_lr_decay=0.0)
    with start_workers(2) as workers:
        pool = WorkerPool(workers, *task)
        pool.admit(one)
        for _ in range(50):
            if any(score.stop_reason for score in pool.train_epoch()):
                break
        released = pool.release(one)
    here_too = Population.from_space(*task)
    here_too.admit(one)
    run(here_too, 3)
    assert same(released, here_too.release(one))
    assert torch.equal(released.weights["0.weight"][0].T, experiment.state["0.weight"])
