"""The posterior of a gain: what it does with noise, and how often its interval holds the truth."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hpo.core.metrics import METRICS
from hpo.core.posterior import LEVEL, Gain, Measurement, errors, posterior_gain, prior_variance, score

ratios = st.floats(-2, 2)
variances = st.floats(1e-6, 1)
priors = st.floats(1e-4, 1)


@given(ratios, variances, variances, priors)
def test_the_more_noise_the_more_a_gain_is_reduced(measured, one, other, prior):
    less, more = (posterior_gain(Measurement(measured, v), prior) for v in sorted([one, other]))
    assert abs(more.mean) <= abs(less.mean) <= abs(measured)
    assert less.sd <= more.sd <= math.sqrt(prior) * (1 + 1e-12)
    assert less.measured == more.measured == measured


@given(ratios, variances, priors)
def test_a_loss_is_the_opposite_of_a_gain(measured, variance, prior):
    there, back = (posterior_gain(Measurement(value, variance), prior) for value in (measured, -measured))
    assert (there.mean, there.sd) == (-back.mean, back.sd)
    assert there.probability + back.probability == pytest.approx(1)
    (low, high), (back_low, back_high) = there.interval, back.interval
    assert (1 - low) * (1 - back_high) == pytest.approx(1)
    assert (1 - high) * (1 - back_low) == pytest.approx(1)


@given(ratios, variances, priors)
def test_the_expected_gain_lies_within_its_interval(measured, variance, prior):
    gain = posterior_gain(Measurement(measured, variance), prior)
    assert gain.interval[0] < gain.relative < gain.interval[1] < 1


def test_a_gain_is_the_share_by_which_the_error_falls():
    gain = Gain(math.log(2), math.log(2), 0.0)
    assert (gain.relative, *gain.interval) == pytest.approx((0.5, 0.5, 0.5))
    assert (Gain.zero().relative, Gain.zero().probability, Gain.zero().interval) == (0.0, 0.5, (0.0, 0.0))
    assert [Gain(mean, mean, 0.0).probability for mean in (-0.1, 0.1)] == [0.0, 1.0]  # known without uncertainty


def test_the_posterior_is_right_about_gains_that_come_from_its_prior():
    """True gains are drawn from the prior and measured with noise of different sizes."""
    stream, n, prior = np.random.default_rng(0), 20_000, 0.05
    truth = stream.normal(0, math.sqrt(prior), n)
    noise = stream.uniform(0.2, 2, n) * prior
    found = [
        posterior_gain(Measurement(true + math.sqrt(variance) * stream.normal(), variance), prior)
        for true, variance in zip(truth, noise, strict=True)
    ]
    standardized = (truth - [g.mean for g in found]) / [g.sd for g in found]
    assert abs(standardized.mean()) < 4 / math.sqrt(n)
    assert abs(standardized.var() - 1) < 4 * math.sqrt(2 / n)
    reduction = -np.expm1(-truth)
    inside = [low <= true <= high for true, (low, high) in zip(reduction, (g.interval for g in found), strict=True)]
    assert abs(np.mean(inside) - LEVEL) < 4 * math.sqrt(LEVEL * (1 - LEVEL) / n)
    probability = np.array([g.probability for g in found])
    for low, high in ((0.0, 0.2), (0.2, 0.4), (0.4, 0.6), (0.6, 0.8), (0.8, 1.0)):
        some = (probability >= low) & (probability < high)
        error = math.sqrt(0.25 / some.sum())
        assert abs((truth[some] > 0).mean() - probability[some].mean()) < 4 * error


def test_the_prior_is_learned_from_the_finalists():
    """It is wide only if they differ by more than the noise, and a single outlier does not make it vague."""
    stream = np.random.default_rng(1)

    def learned(sd, n=400, variance=0.01):
        measured = stream.normal(0, math.hypot(sd, math.sqrt(variance)), n)
        return prior_variance([Measurement(value, variance) for value in measured])

    assert learned(0.0) < learned(0.05) < learned(0.1) < learned(0.2)
    few = [Measurement(0.01, 0.01)] * 5
    assert prior_variance([]) > prior_variance(few) > 0
    assert prior_variance([*few, Measurement(50.0, 0.01)]) == prior_variance([*few, Measurement(0.5, 0.01)])


def test_more_draws_leave_less_noise_but_never_less_than_that_of_the_rows():
    one, two, many = (Measurement.from_bootstrap(0.1, 0.02, draws) for draws in (1, 2, 10**6))
    assert one.variance > two.variance > many.variance > 0.02
    assert one.variance - two.variance == pytest.approx(two.variance - many.variance, rel=1e-4)


@pytest.mark.parametrize(("value", "variance"), [(math.nan, 0.1), (0.1, math.nan), (0.1, math.inf), (math.inf, 0.1)])
def test_what_the_rows_do_not_define_is_not_known(value, variance):
    unknown, known = Measurement(value, variance), Measurement(0.2, 0.01)
    assert (unknown.known, known.known) == (False, True)
    gain = posterior_gain(unknown, 0.04)
    assert (gain.mean, gain.sd, gain.probability) == (0.0, 0.2, 0.5)
    assert prior_variance([unknown, known]) == prior_variance([known])


@pytest.mark.parametrize("name", ["loss", "accuracy", "balanced_accuracy", "roc_auc", "r2", "mae", "ece", "brier"])
def test_errors_and_scores_are_inverse(name):
    metric, scores = METRICS[name], np.array([0.0, 0.25, 0.9, 1.0])
    found = errors(metric, scores, 50)
    assert [score(metric, error, 50) for error in found] == pytest.approx(scores)
    assert (metric.minimized(scores).argsort() == found.argsort()).all()
    if metric.better == "higher":  # a perfect score has half an error
        assert found[-1] == pytest.approx(0.01)
