"""Density ratios: close to the known ones of made domains, and 1 where there is nothing to tell apart."""

import numpy as np
import pytest
import torch

from hpo.data import density_ratio
from hpo.regularizers import STRENGTHS
from hpo.regularizers.base import Batch
from tests.helpers.training import foreign, step

MOVED = np.array([0.8, 0.0, -0.4])


def domains(source, target, moved, seed=0):
    """Gaussian rows of the source, then of the target, whose mean lies elsewhere."""
    stream = np.random.default_rng(seed)
    x = stream.normal(size=(source + target, len(moved)))
    x[source:] += moved
    return x, np.arange(source), np.arange(source, source + target)


@pytest.mark.parametrize(("source", "target"), [(3000, 3000), (6000, 1000), (1000, 6000)])
def test_ratios_are_those_of_known_densities(source, target):
    x, *parts = domains(source, target, MOVED)
    found, true = density_ratio.ratios(x, *parts), np.exp(x @ MOVED - MOVED @ MOVED / 2)
    inside = true < np.quantile(true[:source], 0.98)
    assert np.sqrt(np.square(np.log(found / true)[inside]).mean()) < 0.15
    assert found[:source].mean() == pytest.approx(1)
    assert (found[:source] * x[:source, 0]).mean() == pytest.approx(
        MOVED[0], abs=0.12
    )  # weighed, the source is as the target is


def test_rows_that_were_not_fitted_on_have_ratios_as_well():
    x, source, target = domains(3000, 3000, MOVED)
    found, true = density_ratio.ratios(x, source[:2000], target[:1500]), np.exp(x @ MOVED - MOVED @ MOVED / 2)
    held = source[2000:]
    assert np.corrcoef(np.log(found[held]), np.log(true[held]))[0, 1] > 0.99
    assert found[held].mean() == pytest.approx(1, abs=0.1)


def test_without_a_shift_no_row_counts_more_than_another_but_for_noise():
    stds = [density_ratio.ratios(*domains(300, 300, np.zeros(40), seed)).std() for seed in range(5)]
    assert np.mean(stds) < 0.1  # in sample, a classifier of 40 inputs would say otherwise


def test_domains_that_have_nothing_in_common_leave_ratios_finite_and_bounded():
    x, source, target = domains(200, 200, np.array([50.0]))
    found = density_ratio.ratios(x, source, target)
    assert np.isfinite(np.log(found)).all()
    assert found[source].max() <= 1 / (1 - density_ratio.QUANTILE)


def test_sparse_rows_have_the_ratios_of_the_same_rows_with_few_zeros_left_out(monkeypatch):
    stream = np.random.default_rng(0)
    x = stream.normal(size=(400, 30)) * (stream.random((400, 30)) < 0.1)
    x[200:, 3] += 1
    found = density_ratio.ratios(x, np.arange(200), np.arange(200, 400))
    monkeypatch.setattr(density_ratio, "_SPARSE", 0.0)
    assert found == pytest.approx(density_ratio.ratios(x, np.arange(200), np.arange(200, 400)), rel=1e-3)


def test_a_single_row_of_the_target_tells_nothing():
    assert (density_ratio.ratios(np.zeros((5, 2)), np.arange(4), np.array([4])) == 1).all()


# ---- the member that trains by them


@pytest.mark.parametrize(
    "weight", [None, torch.full((2, 4), 3.0, dtype=torch.float64)], ids=["alone", "with class weights"]
)
def test_importance_weighs_rows_by_the_ratio_to_the_power_of_its_strength(weight):
    data, index = foreign(), torch.arange(8).view(2, 4)
    batch = Batch(data.inputs(index), data.targets(index)[0], weight, None, index)
    found = STRENGTHS["importance"].batch(torch.tensor([0.0, 0.5], dtype=torch.float64), step(data=data), batch).weight
    own = torch.ones(2, 4, dtype=torch.float64) if weight is None else weight
    assert torch.equal(found[0], own[0])
    assert torch.allclose(found[1], data.ratio[4:8].sqrt() * own[1])
    assert data.ratio[4:8].std() > 0.01
