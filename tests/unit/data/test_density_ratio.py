"""Density ratios: close to the true ones of generated domains, and 1 if the domains do not differ."""

import numpy as np
import pytest
import torch

from hpo.data import density_ratio
from hpo.regularizers import STRENGTHS
from hpo.regularizers.base import Batch
from tests.helpers.training import foreign, step

MOVED = np.array([0.8, 0.0, -0.4])


def domains(source, target, moved, seed=0):
    """Return Gaussian rows of the source, then of the target, which has another mean."""
    stream = np.random.default_rng(seed)
    x = stream.normal(size=(source + target, len(moved)))
    x[source:] += moved
    return x, np.arange(source), np.arange(source, source + target)


@pytest.mark.parametrize(("source", "target"), [(3000, 3000), (6000, 1000), (1000, 6000)])
def test_estimates_match_the_true_ratio(source, target):
    x, *parts = domains(source, target, MOVED)
    ratio, true = density_ratio.estimate(x, *parts), np.exp(x @ MOVED - MOVED @ MOVED / 2)
    inside = true < np.quantile(true[:source], 0.98)
    assert np.sqrt(np.square(np.log(ratio / true)[inside]).mean()) < 0.15
    assert ratio[:source].mean() == pytest.approx(1)
    assert (ratio[:source] * x[:source, 0]).mean() == pytest.approx(
        MOVED[0], abs=0.12
    )  # weighed, the source is as the target is


def test_rows_outside_of_the_fit_have_ratios():
    x, source, target = domains(3000, 3000, MOVED)
    ratio, true = density_ratio.estimate(x, source[:2000], target[:1500]), np.exp(x @ MOVED - MOVED @ MOVED / 2)
    held = source[2000:]
    assert np.corrcoef(np.log(ratio[held]), np.log(true[held]))[0, 1] > 0.99
    assert ratio[held].mean() == pytest.approx(1, abs=0.1)


def test_without_a_shift_ratios_are_close_to_one():
    stds = [density_ratio.estimate(*domains(300, 300, np.zeros(40), seed)).std() for seed in range(5)]
    assert np.mean(stds) < 0.1  # in sample, a classifier of 40 inputs would say otherwise


def test_ratios_of_disjoint_domains_are_finite_and_bounded():
    x, source, target = domains(200, 200, np.array([50.0]))
    ratio = density_ratio.estimate(x, source, target)
    assert np.isfinite(np.log(ratio)).all()
    assert ratio[source].max() <= 1 / (1 - density_ratio.CLIP_QUANTILE)


def test_sparse_and_dense_matrices_have_the_same_ratios(monkeypatch):
    stream = np.random.default_rng(0)
    x = stream.normal(size=(400, 30)) * (stream.random((400, 30)) < 0.1)
    x[200:, 3] += 1
    ratio = density_ratio.estimate(x, np.arange(200), np.arange(200, 400))
    monkeypatch.setattr(density_ratio, "SPARSE_SHARE", 0.0)
    assert ratio == pytest.approx(density_ratio.estimate(x, np.arange(200), np.arange(200, 400)), rel=1e-3)


def test_with_one_target_row_all_ratios_are_one():
    assert (density_ratio.estimate(np.zeros((5, 2)), np.arange(4), np.array([4])) == 1).all()


# ---- the regularizer that uses them


@pytest.mark.parametrize(
    "weight", [None, torch.full((2, 4), 3.0, dtype=torch.float64)], ids=["alone", "with class weights"]
)
def test_importance_weights_rows_by_the_ratio_to_the_power_of_its_strength(weight):
    data, index = foreign(), torch.arange(8).view(2, 4)
    batch = Batch(data.inputs(index), data.targets(index)[0], weight, None, index)
    ratio = STRENGTHS["importance"].batch(torch.tensor([0.0, 0.5], dtype=torch.float64), step(data=data), batch).weight
    own = torch.ones(2, 4, dtype=torch.float64) if weight is None else weight
    assert torch.equal(ratio[0], own[0])
    assert torch.allclose(ratio[1], data.density_ratio[4:8].sqrt() * own[1])
    assert data.density_ratio[4:8].std() > 0.01
