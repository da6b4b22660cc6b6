"""Expected gains in words."""

from __future__ import annotations

from hpo.core.metrics import METRICS
from hpo.selection.result_parts import ExpectedGain
from hpo.space.formatting import format_score

_IN_PERCENT = ("loss", "mae", "brier", "source_loss", "iwv")  # metrics whose changes are given relative to their value


def gain_text(metric: str, gain: ExpectedGain) -> str:
    """Return the expected difference in a sentence: `a 4.2 % lower loss`, `an accuracy 1.3 points higher`."""
    size, direction, name = _size(metric, gain, gain.gain), _direction(metric, gain.gain), _name(metric)
    if metric in _IN_PERCENT:
        article = "an" if size.startswith(("8", "11.", "18.")) else "a"
        return f"{article} {size} {direction} {name}"
    return f"{'an' if name[0] in 'aeiou' else 'a'} {name} {size} {direction}"


def change_text(metric: str, gain: ExpectedGain) -> str:
    """Return the expected difference in a table: `loss −4.2 %`, `accuracy +1.3 points`."""
    sign = "−" if _direction(metric, gain.gain) == "lower" else "+"
    return f"{_name(metric)} {sign}{_size(metric, gain, gain.gain)}"


def certainty_text(metric: str, gain: ExpectedGain) -> str:
    """Return interval and probability: `90 % interval 1.2 % higher to 8.0 % lower; better with probability 96 %`.

    An interval without a width is left out: the rows show no difference, or no error that a gain could be a share of.
    """
    better = f"better with probability {probability_text(gain)}"
    if gain.low == gain.high:
        return better
    low, high = sorted((gain.low, gain.high), key=abs)
    if _direction(metric, low) == _direction(metric, high):
        smallest, unit = _amount(metric, gain, low)
        largest, _ = _amount(metric, gain, high)
        return f"90 % interval {smallest} to {largest}{unit} {_direction(metric, high)}; {better}"
    first, second = (f"{_size(metric, gain, end)} {_direction(metric, end)}" for end in (gain.low, gain.high))
    return f"90 % interval {first} to {second}; {better}"


def probability_text(gain: ExpectedGain) -> str:
    """Return the probability of a gain in percent, never rounded to 0 or 100."""
    percent = 100 * gain.probability
    return "over 99 %" if percent > 99 else "below 1 %" if percent < 1 else f"{percent:.0f} %"


def is_clear(gain: ExpectedGain) -> bool:
    """Return whether the interval contains gains only, or losses only."""
    return gain.low > 0 or gain.high < 0


def _name(metric: str) -> str:
    return metric.replace("_", " ")


def _direction(metric: str, value: float) -> str:
    """Return how the score changes if it gets better by `value`."""
    return "lower" if (METRICS[metric].better == "lower") == (value >= 0) else "higher"


def _size(metric: str, gain: ExpectedGain, value: float) -> str:
    """Return the size of a gain, or of an end of its interval, with its unit."""
    return "".join(_amount(metric, gain, value))


def _amount(metric: str, gain: ExpectedGain, value: float) -> tuple[str, str]:
    """Return the size of a gain, or of an end of its interval, and its unit, which follows after a space or is ""."""
    if metric in _IN_PERCENT:
        error = gain.reference_error
        return f"{100 * abs(value) / error if error else 0.0:.1f}", " %"
    return (f"{100 * abs(value):.1f}", " points") if metric.endswith("accuracy") else (format_score(abs(value)), "")
