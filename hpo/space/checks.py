"""The rules for one key under `search:`; each violation is reported as a sentence."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any, get_args

from hpo.core.errors import did_you_mean
from hpo.core.yaml_document import Mistake, Path, format_value
from hpo.regularizers import FAMILY, STRENGTHS
from hpo.space.hyperparameter import Confidence, Hyperparameter, is_number, steps_between

AUTO = "auto"
_LARGEST = 1e300  # so that sums of ranges and steps remain finite
_FINEST = 1e-9  # the smallest step as a fraction of the range: the limit of decimal arithmetic, here and in Optuna
_MAX_POINTS = 1000


def is_integer(key: str) -> bool:
    return key in FAMILY and FAMILY[key].integer


def _named_values(key: str) -> tuple[str | bool, ...]:
    """Return the legal values of a key whose values are names or truth values; () if they are numbers."""
    return FAMILY[key].choices if key in FAMILY else ()


def fixed(key: str, value: Any) -> Iterator[str]:
    """Check a fixed value."""
    if is_number(value) or (_named_values(key) and isinstance(value, str | bool)):
        yield from _value(key, value)
    elif names := _named_values(key):
        yield f"must be one of {_listed(names)}, auto or {{choices: […]}}, got {format_value(value)}."
    else:
        off = key in STRENGTHS and (value is None or value is False or value in ("off", "none"))
        loader = " (yaml.safe_load reads off as false)" if value is False else ""
        hint = f" To switch it off, remove the key{loader}." if off else ""
        yield f"must be a number, auto, {{low: …, high: …}} or {{choices: […]}}, got {format_value(value)}.{hint}"


def shape(key: str, raw: Mapping[str, Any], path: Path) -> Iterator[Mistake]:
    """Check a range or choices."""
    if raw.get("optional") is True and key not in STRENGTHS:
        yield Mistake((*path, "optional"), f"must be left out: {key} cannot be off.")
    if "choices" in raw:
        yield from _choices(key, raw, path)
    elif names := _named_values(key):
        yield Mistake(path, f"must be choices of {_listed(names)}, got a range.")
    else:
        yield from _range(key, raw, path)


def extras(key: str, raw: Mapping[str, Any], values: Hyperparameter | None, path: Path) -> Iterator[Mistake]:
    """Check `when` and `prior`, except whether the keys in `when` exist.

    `values` is None if the values of `key` are invalid.
    """
    if "when" in raw:
        yield from _when(key, raw["when"], (*path, "when"))
    if "prior" in raw:
        yield from _prior(key, raw, values, (*path, "prior"))


def _choices(key: str, raw: Mapping[str, Any], path: Path) -> Iterator[Mistake]:
    if others := [name for name in ("low", "high", "log", "step", "points") if name in raw]:
        yield Mistake(path, f"must have either choices or low and high, got choices and {', '.join(others)}.")
    choices = raw["choices"]
    if not isinstance(choices, list | tuple) or not choices:
        kind = "value" if _named_values(key) else "number"
        yield Mistake((*path, "choices"), f"must be a list with at least one {kind}, got {format_value(choices)}.")
        return
    free = key not in FAMILY and key != "learning_rate"  # a factory's argument may be text or a truth value
    checked = [(i, c) for i, c in enumerate(choices) if not (free and isinstance(c, str | bool))]
    wrong = [Mistake((*path, "choices", i), text) for i, c in checked for text in _value(key, c)]
    yield from wrong
    if not wrong and len(set(choices)) < len(choices):
        yield Mistake((*path, "choices"), f"must all be different, got {format_value(choices)}.")


def _range(key: str, raw: Mapping[str, Any], path: Path) -> Iterator[Mistake]:
    missing = [name for name in ("low", "high") if name not in raw]
    if missing:
        verb = "is" if len(missing) == 1 else "are"
        yield Mistake(path, f"needs choices, or low and high; {' and '.join(missing)} {verb} missing.")
    wrong = [Mistake((*path, n), text) for n in ("low", "high") if n in raw for text in _value(key, raw[n])]
    yield from wrong
    step, points, log = raw.get("step"), raw.get("points"), raw.get("log") is True
    if text := "" if step is None else _step(key, step):
        yield Mistake((*path, "step"), text)
    elif text := "" if points is None else _points(points):
        yield Mistake((*path, "points"), text)
    elif step is not None and (log or points is not None):
        yield Mistake(path, f"must have either {'log: true' if log else 'points'} or step, got both.")
    elif not missing and not wrong:
        yield from _order(key, raw["low"], raw["high"], step, log, path)


def _step(key: str, step: Any) -> str:
    """Check the type and size of a step, independently of the range. Returns "" if it is valid."""
    if not is_number(step) or not 0 < step <= _LARGEST:
        return f"must be a number above 0, got {format_value(step)}."
    return f"must be a whole number, got {format_value(step)}." if is_integer(key) and not isinstance(step, int) else ""


def _points(points: Any) -> str:
    if isinstance(points, int) and not isinstance(points, bool) and 2 <= points <= _MAX_POINTS:
        return ""
    return f"must be a whole number from 2 to {_MAX_POINTS:,}, got {format_value(points)}."


def _order(key: str, low: float, high: float, step: float | None, log: bool, path: Path) -> Iterator[Mistake]:
    if not low < high:
        yield Mistake(path, f"low must be below high, got {low=}, {high=}.")
    elif log and low <= 0:
        off = ' (optional: true adds "off")' if key in STRENGTHS else ""
        yield Mistake(path, f"a log range must start above 0, got {low=}{off}.")
    elif step is not None and step < (high - low) * _FINEST:
        yield Mistake((*path, "step"), f"must be at least a billionth of the range, got {step=}, {low=}, {high=}.")
    elif step is not None and not steps_between(low, high, step):
        yield Mistake((*path, "step"), f"must fit between low and high, got {step=}, {low=}, {high=}.")


def _value(key: str, value: Any) -> Iterator[str]:
    """Check one value of a key."""
    if names := _named_values(key):
        if not Hyperparameter(names).contains(value):
            hint = did_you_mean(str(value), [*map(format_value, names)], "")
            yield f"must be one of {_listed(names)}, got {format_value(value)}.{hint}"
    elif not is_number(value):
        yield f"must be a number, got {format_value(value)}."
    elif not abs(value) <= _LARGEST:  # in this form, the check also rejects NaN
        yield f"must be {f'at most {_LARGEST:g}' if abs(value) < math.inf else 'finite'}, got {format_value(value)}."
    elif is_integer(key) and not isinstance(value, int):
        yield f"must be a whole number, got {value}."
    elif key == "learning_rate":
        if value <= 0:
            yield f"must be above 0, got {value}."
    elif key in FAMILY:
        low, high = FAMILY[key].allowed
        excluded = FAMILY[key].open_high and value == high
        if not low <= value <= high or excluded:
            upper = "" if high == math.inf else f" and {'below' if FAMILY[key].open_high else 'at most'} {high:g}"
            yield f"must be at least {low:g}{upper}, got {format_value(value)}."


def _listed(names: tuple[str | bool, ...]) -> str:
    """Return the names as one phrase, such as `none, residual or shake-drop`."""
    *most, last = map(format_value, names)
    return f"{', '.join(most)} or {last}" if most else last


def _when(key: str, raw: Any, path: Path) -> Iterator[Mistake]:
    if key not in FAMILY:
        yield Mistake(
            path, f"must be left out: {key} has no default value for trials in which the condition does not hold."
        )
    elif not isinstance(raw, Mapping) or not raw:
        yield Mistake(
            path, f"must be a mapping of other keys to the values with which {key} is active, got {format_value(raw)}."
        )
    else:
        for other, values in raw.items():
            listed = values if isinstance(values, list | tuple) else [values]
            if not listed or not all(isinstance(value, str | bool | int | float) for value in listed):
                yield Mistake((*path, other), f"must be a value or a list of values, got {format_value(values)}.")


def _prior(key: str, raw: Mapping[str, Any], values: Hyperparameter | None, path: Path) -> Iterator[Mistake]:
    prior = raw["prior"]
    if not isinstance(prior, Mapping) or "best" not in prior:
        yield Mistake(path, f"must be {{best: …, confidence: low|medium|high}}, got {format_value(prior)}.")
        return
    for name in prior:
        if name not in ("best", "confidence"):
            yield Mistake((*path, name), f"is not a key of a prior.{did_you_mean(str(name), ['best', 'confidence'])}")
    confidence = prior.get("confidence", "medium")
    if confidence not in get_args(Confidence):
        hint = did_you_mean(str(confidence), get_args(Confidence))
        yield Mistake((*path, "confidence"), f"{format_value(confidence)} is not known.{hint}")
    if values is not None and not values.sampled:
        yield Mistake(path, f"must be left out: {key} has a single value.")
    elif values is not None and (text := _best(key, prior["best"], values, listed="choices" in raw)):
        yield Mistake((*path, "best"), text)


def _best(key: str, best: Any, values: Hyperparameter, *, listed: bool) -> str:
    """Check the expected best value; "" if it is valid. In a range, it may be any number, also between two steps."""
    if best == "off" and not values.contains(best):  # "off" may also be a regular value of a factory's argument
        return (
            "" if values.optional else f"must be a value of {key}, got off; add optional: true to search off as well."
        )
    if listed or not values.numeric:
        return "" if values.contains(best) else f"must be one of {_listed(values.choices)}, got {format_value(best)}."
    low, high = values.bounds
    if is_number(best) and low <= best <= high:
        return ""
    return f"must be from {format_value(low)} to {format_value(high)}, got {format_value(best)}.{yaml_1_1(best)}"


def yaml_1_1(value: Any) -> str:
    """Return a hint for spaces that were read with `yaml.safe_load`; "" unless the value is a truth value."""
    if not isinstance(value, bool):
        return ""
    return f" (yaml.safe_load reads {'on' if value else 'off'} as {format_value(value)}; put it in quotes.)"
