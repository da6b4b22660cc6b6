"""Expected gains in words: the unit, the interval, and gains that are exactly 0."""

from dataclasses import replace

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from hpo.core.posterior import Gain
from hpo.report.gains import certainty_text, change_text, gain_text
from hpo.selection.result_parts import ExpectedGain


def expected(gain, error):
    """Return the posterior `gain` over a reference with this error, as `hpo.selection.decision` does."""
    low, high = gain.interval
    ends = [value * error for value in (gain.relative, low, high)]
    return ExpectedGain(*ends, relative=gain.relative, probability=gain.probability, measured=0.0, draws=2)


@given(st.floats(-1, 1), st.floats(1e-4, 1), st.floats(1e-6, 1e6))
@example(5e-324, 1.0, 0.5)
def test_the_error_of_the_reference_is_known_from_the_gain_or_from_its_interval(mean, sd, error):
    for gain in (Gain(mean, mean, sd), Gain(0.0, 0.0, sd)):
        assert expected(gain, error).reference_error == pytest.approx(error)


@pytest.mark.parametrize("error", [0.02, 1.0, 300.0])
def test_a_gain_of_exactly_0_has_an_interval(error):
    """Like one whose measurement is unknown, or of two configurations with the same error."""
    gain = expected(Gain(0.0, 0.0, 0.05), error)
    assert gain_text("loss", gain) == "a 0.0 % lower loss"
    assert certainty_text("loss", gain) == "90 % interval 8.6 % higher to 7.9 % lower; better with probability 50 %"


@pytest.mark.parametrize(
    ("gain", "error", "text"),
    [
        (Gain.zero(), 0.5, "better with probability 50 %"),
        (Gain(0.1, 0.1, 0.0), 0.5, "better with probability over 99 %"),
        (Gain(0.1, 0.1, 0.05), 0.0, "better with probability 98 %"),
    ],
)
@pytest.mark.parametrize("metric", ["loss", "accuracy", "r2"])
def test_an_interval_without_a_width_is_left_out(metric, gain, error, text):
    assert certainty_text(metric, expected(gain, error)) == text
    assert change_text(metric, expected(gain, error))


@pytest.mark.parametrize(
    ("metric", "low", "high", "text"),
    [
        ("loss", 0.01, 0.09, "1.0 to 9.0 % lower"),
        ("loss", -0.09, -0.01, "1.0 to 9.0 % higher"),
        ("loss", -0.01, 0.09, "1.0 % higher to 9.0 % lower"),
        ("accuracy", 0.01, 0.09, "1.0 to 9.0 points higher"),
        ("balanced_accuracy", -0.09, -0.01, "1.0 to 9.0 points lower"),
        ("accuracy", -0.01, 0.09, "1.0 points lower to 9.0 points higher"),
        ("roc_auc", 0.01, 0.09, "0.010 to 0.090 higher"),
    ],
)
def test_the_unit_is_named_once_if_both_ends_have_the_same_direction(metric, low, high, text):
    gain = ExpectedGain(0.04, low, high, relative=0.04, probability=0.8, measured=0.05, draws=2)
    gain = replace(gain, gain=(low + high) / 2, relative=(low + high) / 2)  # of a reference with error 1
    assert certainty_text(metric, gain) == f"90 % interval {text}; better with probability 80 %"
