"""Stored weights, of all fits or of the first ones."""

import pytest
import torch

from hpo.core.errors import InputError
from hpo.study.weights import WeightStore


def test_the_first_fits_can_be_loaded_alone(tmp_path):
    store, weights = WeightStore(tmp_path), {"w": torch.randn(3, 2, 2), "b": torch.randn(3, 2)}
    store.save("12-scaled-39", weights)
    assert store.n_fits("12-scaled-39") == 3
    for n_fits in (None, 1, 2, 3):
        loaded = store.load("12-scaled-39", n_fits)
        assert all(torch.equal(loaded[name], tensor[:n_fits]) for name, tensor in weights.items())


def test_weights_that_are_not_stored_have_no_fits(tmp_path):
    assert WeightStore(tmp_path).n_fits("12-keep") == 0
    with pytest.raises(InputError, match="The weights of trial 12-keep are missing"):
        WeightStore(tmp_path).load("12-keep")
