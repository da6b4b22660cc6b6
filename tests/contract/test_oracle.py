"""A fit of a stack equals the same network trained by plain torch.nn and torch.optim.AdamW, on both backends."""

import math

import pytest
import torch

from hpo.nn.backends import BACKENDS
from hpo.nn.mlp import ACTIVATIONS
from hpo.space.settings import TrainConfig
from tests.helpers.oracle import train_plain
from tests.helpers.training import FACTORIES, dataset, network, trained, trial

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
    "searched class weight": ({"class_weight": 0.6, "weight_decay": 0.3}, {}, {}, {}),
    "regression": ({"l1": 0.01, "dropout": 0.2}, {}, {}, {"source": "sklearn:diabetes"}),
    **{name: ({"weight_decay": 0.1}, {}, {"activation": name}, {}) for name in ACTIVATIONS},
    **{kind: ({"weight_decay": 0.3, "l1": 0.02, "dropout": 0.4}, {}, {"kind": kind}, {}) for kind in FACTORIES},
}


@pytest.mark.parametrize("batched", [False, True], ids=["cpu", "other"])
@pytest.mark.parametrize("case", CASES)
def test_one_fit_equals_plain_torch(case, batched, monkeypatch):
    if batched:
        monkeypatch.delitem(BACKENDS, "cpu")
    params, train, kind, source = CASES[case]
    data, epochs = dataset(**source), 4
    train = TrainConfig(epochs=epochs, batch_size=32, patience=epochs, **train)
    of = trial("0", **params)
    expected, curve = train_plain(data, of, train, epochs, **kind)
    actual = trained(data, [of], train, epochs, **kind)["0"]
    scale = data.target_scale**2 if data.task == "regression" else 1.0
    best = min(range(epochs), key=curve.__getitem__) + 1
    assert actual.best_epoch == best
    assert actual.valid["loss"] == pytest.approx(curve[best - 1] * scale, rel=1e-9)
    if best == epochs:
        # For images, plain torch has a layer in front of the network that reshapes the rows.
        prefix = "1." if kind.get("kind") == "cnn" else ""
        for name, tensor in network(data, of, **kind).state_dict({n: t[0] for n, t in actual.weights.items()}).items():
            assert torch.allclose(tensor.double(), expected[prefix + name].double(), rtol=0, atol=1e-6), name


def test_the_last_epoch_is_the_best_in_the_plain_case():
    """In the plain case the last epoch is the best, so that the comparison of weights above is effective."""
    _, curve = train_plain(dataset(), trial("0"), TrainConfig(epochs=4, batch_size=32), 4)
    assert curve == sorted(curve, reverse=True)
    assert math.isfinite(curve[-1])
