"""A searched class weight: its formula, its ends, and the scores of trials, which it does not weight."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from sklearn.utils.class_weight import compute_class_weight

from hpo.data.config import DataConfig
from hpo.data.dataset import prepare
from hpo.regularizers import STRENGTHS
from hpo.regularizers.active import active_regularization, active_strengths, is_regularized
from hpo.regularizers.base import Batch
from hpo.space import loader, regularization
from hpo.testing import same
from tests.helpers.training import dataset, network, step, trained, trial

MIXED = {"mixup": 0.4, "label_smoothing": 0.1}
DTYPES = [torch.float32, torch.float64]


def wine(dtype, **more):
    return prepare(DataConfig(source="sklearn:wine", **more), Path(), dtype)


def weighted(s, weight=None, data=None, dtype=torch.float64):
    """The weights of the first 12 rows of `data` at the strengths `s`, (fit, rows), and the rows."""
    data = data or dataset()
    index = torch.arange(12).expand(len(s), -1)
    batch = Batch(data.inputs(index), data.targets(index)[0], weight, None, index)
    return STRENGTHS["class_weight"].batch(torch.tensor(s, dtype=dtype), step(data=data), batch).weight, index


def same_weights(first, second):
    return all(torch.equal(first.weights[name], second.weights[name]) for name in first.weights)


def test_the_weight_of_a_row_is_the_balanced_weight_to_the_power_of_the_strength():
    data, s = dataset(), [0.0, 0.3, 1.0]
    y = data.y[data.folds[0].train].numpy()
    expected = compute_class_weight("balanced", classes=np.unique(y), y=y)
    found, index = weighted(s)
    for weights, strength in zip(found, s, strict=True):
        assert weights.numpy() == pytest.approx(expected[data.y[index[0]]] ** strength)
    assert torch.equal(found[0], torch.ones(12, dtype=torch.float64))


@pytest.mark.parametrize("dtype", DTYPES)
def test_at_zero_and_at_one_the_weights_are_exact(dtype):
    balanced = 1 / torch.linspace(0.1, 7, 12, dtype=dtype)
    data = replace(dataset(), y=torch.arange(12), class_weights=balanced)
    none, full = weighted([0.0, 1.0], data=data, dtype=dtype)[0]
    assert torch.equal(none, torch.ones(12, dtype=dtype))
    assert torch.equal(full, balanced)


def test_other_weights_of_rows_are_multiplied():
    (plain, _), (scaled, _) = weighted([0.5]), weighted([0.5], torch.full((1, 12), 3.0, dtype=torch.float64))
    assert torch.equal(scaled, plain * 3)


@pytest.mark.parametrize("params", [{}, MIXED], ids=["alone", "mixed targets"])
@pytest.mark.parametrize("dtype", DTYPES)
def test_at_one_training_equals_that_with_balanced_classes(dtype, params):
    searched = trained(wine(dtype), [trial("0", class_weight=1.0, **params)])["0"]
    fixed = trained(wine(dtype, class_weight="balanced"), [trial("0", **params)])["0"]
    unweighted = trained(wine(dtype), [trial("0", **params)])["0"]
    assert same_weights(searched, fixed)
    assert not same_weights(searched, unweighted)


@pytest.mark.parametrize("params", [{}, MIXED], ids=["alone", "mixed targets"])
@pytest.mark.parametrize("dtype", DTYPES)
def test_each_row_of_a_stack_equals_the_row_alone_and_at_zero_the_unweighted_one(dtype, params):
    strengths = {"0": 0.0, "1": 0.5, "2": 1.0}
    trials = [trial(label, class_weight=s, **params) for label, s in strengths.items()]
    together = trained(wine(dtype), trials)
    for of in trials:
        assert same(together[of.label], trained(wine(dtype), [of])[of.label])
    assert same(together["0"], trained(wine(dtype), [trial("0", **params)])["0"])


def test_scores_are_not_weighted():
    data, of = dataset(), trial("0", class_weight=1.0)
    found = trained(data, [of])["0"]
    rows = data.folds[0].valid
    logits = network(data, of).predict(found.weights, data.x[rows].unsqueeze(0))[0]
    expected = torch.nn.functional.cross_entropy(logits, data.y[rows])
    assert found.valid["loss"] == pytest.approx(float(expected), rel=1e-9)


def test_the_weights_move_to_a_device_with_the_rows():
    assert dataset().to(torch.device("meta")).class_weights.device == torch.device("meta")
    assert dataset("sklearn:diabetes").class_weights is None


def test_it_is_no_regularization():
    params = {"learning_rate": 0.1, "class_weight": 0.5}
    assert active_strengths(params) == ["class_weight"]
    assert active_regularization(params) == []
    assert not is_regularized(params)
    assert is_regularized(params | {"dropout": 0.2})
    search = {"class_weight": "auto", "dropout": "auto"}
    space = loader.parse({"study": "s", "data": {"source": "sklearn:wine"}, "search": search})
    amounts = [
        regularization.amount(space.hyperparameters, params | {"dropout": 0.2, "class_weight": s}) for s in (0.0, 1.0)
    ]
    assert amounts[0] == amounts[1] > 0
