"""Synthetic rows of each kind, and that they are generated from training rows only."""

import numpy as np
import pytest
import torch
from sklearn.covariance import ledoit_wolf
from sklearn.datasets import load_wine
from sklearn.linear_model import LogisticRegression
from sklearn.neighbors import NearestNeighbors
from sklearn.preprocessing import StandardScaler

from hpo.data import autoencoder, synthetic
from hpo.data.autoencoder import Autoencoder
from hpo.data.synthetic import generate

KINDS = ("smote", "gaussian_mixture", "vae")
X = StandardScaler().fit_transform(load_wine().data).astype(np.float32)
Y = load_wine().target


@pytest.mark.parametrize("kind", KINDS)
def test_a_model_of_synthetic_rows_predicts_the_true_ones(kind):
    generated = generate(kind, X, Y, 3, 2)
    assert generated.shape == (2, *X.shape)
    assert generated.dtype == X.dtype
    learned = LogisticRegression().fit(np.concatenate(generated), np.tile(Y, 2))
    assert learned.score(X, Y) > 0.95
    assert not np.array_equal(generated[0], generated[1])


@pytest.mark.parametrize("kind", KINDS)
def test_generation_is_deterministic_and_leaves_global_generators_alone(kind):
    state = torch.random.get_rng_state()
    first = generate(kind, X, Y, 3, 2)
    torch.manual_seed(99)
    np.random.seed(99)  # noqa: NPY002 - the global generator is under test
    assert np.array_equal(first, generate(kind, X, Y, 3, 2))
    torch.random.set_rng_state(state)


@pytest.mark.exhaustive
@pytest.mark.parametrize("kind", KINDS)
def test_synthetic_rows_keep_their_relation_to_the_number_to_predict(kind):
    x = np.random.default_rng(1).normal(size=(300, 3))
    y = x[:, 0] + 0.1 * np.random.default_rng(2).normal(size=300)
    generated = generate(kind, x, y, 0, 1)[0]
    assert np.corrcoef(generated[:, 0], y)[0, 1] > 0.85
    assert abs(np.corrcoef(generated[:, 1], y)[0, 1]) < 0.2


@pytest.mark.exhaustive
@pytest.mark.parametrize("kind", KINDS)
def test_a_class_may_have_one_row(kind):
    generated = generate(kind, X, np.where(np.arange(len(Y)) == 7, 3, Y), 4, 3)
    assert np.isfinite(generated).all()
    if kind != "vae":
        assert np.array_equal(generated[:, 7], np.repeat(X[7:8], 3, 0))


@pytest.mark.exhaustive
@pytest.mark.parametrize("kind", KINDS)
def test_equal_rows_and_outliers_are_accepted(kind):
    alike = np.repeat(X[:2], 60, 0)  # pytest takes a warning for an error
    far = X[:, :3].copy()
    far[0, 0], far[1, 1] = 100, -100  # a number with a heavy tail is as far out in some ten thousand rows
    for x in (alike, far):
        assert np.isfinite(generate(kind, x, np.zeros(len(x), dtype=int), 1, 1)).all()


def test_smote_interpolates_to_one_of_five_neighbours_of_the_class():
    generated = generate("smote", X.astype(float), Y, 3, 4)
    for c in range(3):
        rows = np.flatnonzero(c == Y)
        near = NearestNeighbors(n_neighbors=5).fit(X[rows]).kneighbors(return_distance=False)
        for place, row in enumerate(rows):
            ends = X[rows[near[place]]].astype(float) - X[row]
            for one in generated[:, row] - X[row]:
                share = (ends @ one) / np.square(ends).sum(1)  # of the way to each
                off = np.abs(one - share[:, None] * ends).max(1)
                assert off.min() < 1e-6
                assert 0 <= share[off.argmin()] <= 1


def test_smote_interpolates_uniformly():
    generated = generate("smote", np.array([[0.0], [1.0]]), np.array([0, 0]), 1, 4000)[:, 0, 0]
    assert generated.mean() == pytest.approx(0.5, abs=0.02)
    assert generated.std() == pytest.approx(12**-0.5, abs=0.01)


def test_a_component_has_the_covariance_of_ledoit_and_wolf():
    x = np.random.default_rng(0).normal(size=(30, 4)) @ np.diag([3.0, 1, 1, 0.2]) + 5
    drawn = synthetic.gaussian(x, 200_000, np.random.default_rng(1))
    assert np.allclose(np.cov(drawn.T), ledoit_wolf(x)[0], atol=0.1)
    assert np.allclose(drawn.mean(0), x.mean(0), atol=0.03)


def test_clusters_of_a_class_become_components():
    random = np.random.default_rng(0)
    x = np.concatenate([random.normal(c, 0.1, size=(100, 2)) for c in (-5, 5)])
    generated = generate("gaussian_mixture", x, np.zeros(200, dtype=int), 1, 5).reshape(-1, 2)
    assert (np.abs(np.abs(generated) - 5) < 1).all()  # nothing between them
    assert (generated[:, 0] > 0).mean() == pytest.approx(0.5, abs=0.06)


def test_the_loss_of_the_autoencoder_matches_torchs_distributions():
    torch.manual_seed(0)
    model, x, told, draws = Autoencoder(5, 2), torch.randn(7, 5), torch.randn(7, 2), torch.randn(7, 5)
    mean, log_variance = model.encoder(torch.cat([x, told], 1)).chunk(2, 1)
    code = torch.distributions.Normal(mean, (log_variance / 2).exp())
    said = torch.distributions.Normal(
        model.decoder(torch.cat([mean + code.scale * draws, told], 1)), model.log_deviation.exp()
    )
    divergence = torch.distributions.kl_divergence(code, torch.distributions.Normal(0.0, 1.0))
    expected = (divergence.sum(1) - said.log_prob(x).sum(1)).mean()
    assert torch.allclose(model.loss(x, told, draws), expected, atol=1e-5)


def test_the_autoencoder_learns_means_deviations_and_correlations_of_a_class():
    random = np.random.default_rng(0)
    told = np.eye(2)[np.repeat([0, 1], 400)]
    factor = random.normal(size=(800, 1))
    x = np.hstack([factor, -factor, random.normal(size=(800, 1))]) * 0.7 + told @ [[2.0, 0, 0], [-2, 0, 0]]
    generated = autoencoder.generate(x, told, 3, 0)
    for c in (0, 1):
        own, true = generated[:, told[:, c] == 1].reshape(-1, 3), x[told[:, c] == 1]
        assert np.allclose(own.mean(0), true.mean(0), atol=0.15)
        assert np.allclose(own.std(0), true.std(0), rtol=0.2)
        assert np.corrcoef(own[:, 0], own[:, 1])[0, 1] < -0.9


@pytest.mark.parametrize("shrinkage", [-7e-17, 1 + 1e-15])  # as they come, of few rows
def test_full_and_no_shrinkage_are_accepted(monkeypatch, shrinkage):
    monkeypatch.setattr("hpo.data.synthetic.ledoit_wolf_shrinkage", lambda *_, **__: shrinkage)
    assert np.isfinite(synthetic.gaussian(X[:3], 9, np.random.default_rng(0))).all()
