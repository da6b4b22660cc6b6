"""Random numbers of both backends have their distributions, and do not depend on other fits."""

import numpy as np
import pytest
import torch
from scipy import stats

from hpo.nn.device import CPU
from hpo.nn.rng import Noise
from hpo.nn.rng_hashed import HashedNoise


def by_generators(seeds, dtype=torch.float64):
    return Noise([np.random.Generator(np.random.SFC64(seed)) for seed in seeds], dtype)


def by_hash(seeds, dtype=torch.float64):
    return HashedNoise(list(seeds), [0] * len(seeds), dtype, CPU)


WAYS = pytest.mark.parametrize("way", [by_generators, by_hash])
N = 100_000


@WAYS
def test_uniform_numbers_are_the_middles_of_65536_parts_and_all_alike(way):
    (draws,) = way([1]).uniform((N,))
    assert set((draws * 65536 % 1).tolist()) == {0.5}
    assert 0 < draws.min() < draws.max() < 1
    assert stats.kstest(draws, "uniform").pvalue > 1e-3


@WAYS
def test_normal_numbers_are_normal(way):
    (draws,) = way([1]).normal((N,))
    assert stats.kstest(draws, "norm").pvalue > 1e-3
    assert abs(float(draws.mean())) < 4 / N**0.5
    assert abs(float(draws.square().mean()) - 1) < 4 * (2 / N) ** 0.5
    assert abs(float(draws[1:] @ draws[:-1]) / N) < 4 / N**0.5


def test_normal_numbers_by_generators_are_all_2_to_the_16_quantiles_with_variance_one():
    draws = by_generators([1]).normal((2_000_000,)).unique()
    assert len(draws) == 65536
    assert float(draws.square().mean()) == pytest.approx(1, abs=1e-12)
    assert float(draws.max()) == pytest.approx(stats.norm.ppf(1 - 0.5 / 65536), rel=1e-4)


@WAYS
@pytest.mark.parametrize("alpha", [0.02, 0.2, 1.0, 3.0, 50.0])
def test_beta_numbers_are_beta(way, alpha):
    (draws,) = way([1]).beta(torch.tensor([alpha], dtype=torch.float64), (N,))
    lower = draws[draws < 0.5]  # above, numbers for a small alpha round to 1
    assert abs(len(lower) / N - 0.5) < 4 * 0.5 / N**0.5
    assert stats.kstest(lower, lambda x: 2 * stats.beta.cdf(x, alpha, alpha)).pvalue > 1e-3


@WAYS
def test_beta_is_one_where_alpha_is_zero(way):
    draws = way([1, 2]).beta(torch.tensor([0.0, 1.0], dtype=torch.float64), (50,))
    assert (draws[0] == 1).all()
    assert (draws[1] < 1).all()


@WAYS
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("shape", [(), (3,), (7, 13), (101, 173)], ids=str)
def test_a_fit_draws_the_same_alone_and_in_a_stack(way, dtype, shape):
    """This also holds for several kinds of draws in turn, and from one block to the next."""
    alpha, rate = torch.rand(2, 9, dtype=dtype)
    together, alone = way(range(9), dtype), way([5], dtype)
    for _ in range(70 if len(shape) < 2 else 3):
        assert torch.equal(together.normal(shape)[5], alone.normal(shape)[0])
        assert torch.equal(together.beta(alpha, shape)[5], alone.beta(alpha[5:6], shape)[0])
        assert torch.equal(together.uniform(shape)[5], alone.uniform(shape)[0])
        assert torch.equal(together.dropout(rate, shape)[5], alone.dropout(rate[5:6], shape)[0])


@WAYS
@pytest.mark.parametrize("kind", ["uniform", "normal"])
def test_no_number_is_returned_twice(way, kind):
    noise = way([1])
    drawn = torch.cat([getattr(noise, kind)((5,)).flatten() for _ in range(40)])
    assert len(drawn.unique()) > 195  # of 200; a few of 65536 values may repeat
