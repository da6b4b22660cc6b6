"""The rules of one key under `search:`, each broken one a sentence."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any, get_args

from hpo.core.errors import did_you_mean
from hpo.core.yaml_document import Mistake, Path, format_value
from hpo.regularizers import FAMILY, STRENGTHS
from hpo.space.hyperparameter import Confidence, Hyperparameter, is_number, steps_between

AUTO = "auto"
_LARGEST = 1e300  # so that ranges and steps can still be added up
_FINEST = 1e-9  # the smallest step, as a share of the range: what decimal arithmetic, ours and Optuna's, can count
_MOST_POINTS = 1000


def is_integer(key: str) -> bool:
    return key in FAMILY and FAMILY[key].integer


def _named(key: str) -> tuple[str | bool, ...]:
    """The values of a member whose values are no numbers."""
    return FAMILY[key].choices if key in FAMILY else ()


def fixed(key: str, value: Any) -> Iterator[str]:
    """What is wrong with a value that stands for itself."""
    if is_number(value) or (_named(key) and isinstance(value, str | bool)):
        yield from _value(key, value)
    elif names := _named(key):
        yield f"must be one of {_listed(names)}, auto or {{choices: […]}}, got {format_value(value)}."
    else:
        off = " To have it off, leave the key out." if key in STRENGTHS and value in (None, "off", "none") else ""
        yield f"must be a number, auto, {{low: …, high: …}} or {{choices: […]}}, got {format_value(value)}.{off}"


def shape(key: str, raw: Mapping[str, Any], path: Path) -> Iterator[Mistake]:
    """What is wrong with a range or choices."""
    if raw.get("optional") is True and key not in STRENGTHS:
        yield Mistake((*path, "optional"), f"needs something that can be off, and {key} cannot.")
    if "choices" in raw:
        yield from _choices(key, raw, path)
    elif names := _named(key):
        yield Mistake(path, f"takes no range but choices of {_listed(names)}.")
    else:
        yield from _range(key, raw, path)


def extras(key: str, raw: Mapping[str, Any], found: Hyperparameter | None, path: Path) -> Iterator[Mistake]:
    """What is wrong with `when` and `prior`, as far as the key itself tells; `found` are its values, if these are sound."""
    if "when" in raw:
        yield from _when(key, raw["when"], (*path, "when"))
    if "prior" in raw:
        yield from _prior(key, raw, found, (*path, "prior"))


def _choices(key: str, raw: Mapping[str, Any], path: Path) -> Iterator[Mistake]:
    if others := [name for name in ("low", "high", "log", "step", "points") if name in raw]:
        yield Mistake(path, f"takes either choices or low and high, got choices and {', '.join(others)}.")
    choices = raw["choices"]
    if not isinstance(choices, list | tuple) or not choices:
        yield Mistake(
            (*path, "choices"),
            f"must be a list with at least one {'value' if _named(key) else 'number'}, got {format_value(choices)}.",
        )
        return
    free = key not in FAMILY and key != "learning_rate"  # an architecture's may be text or truth values
    judged = [(i, c) for i, c in enumerate(choices) if not (free and isinstance(c, str | bool))]
    wrong = [Mistake((*path, "choices", i), text) for i, c in judged for text in _value(key, c)]
    yield from wrong
    if not wrong and len(set(choices)) < len(choices):
        yield Mistake((*path, "choices"), f"must differ from each other, got {format_value(choices)}.")


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
        yield Mistake(path, f"takes either {'log: true' if log else 'points'} or step, got both.")
    elif not missing and not wrong:
        yield from _order(key, raw["low"], raw["high"], step, log, path)


def _step(key: str, step: Any) -> str:
    """What is wrong with a step by itself; "" if nothing is."""
    if not is_number(step) or not 0 < step <= _LARGEST:
        return f"must be a number above 0, got {format_value(step)}."
    return f"must be a whole number, got {format_value(step)}." if is_integer(key) and not isinstance(step, int) else ""


def _points(points: Any) -> str:
    if isinstance(points, int) and not isinstance(points, bool) and 2 <= points <= _MOST_POINTS:
        return ""
    return f"must be a whole number from 2 to {_MOST_POINTS:,}, got {format_value(points)}."


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
    """What is wrong with one value of a key."""
    if names := _named(key):
        if not Hyperparameter(names).contains(value):
            yield f"must be one of {_listed(names)}, got {format_value(value)}.{did_you_mean(str(value), [*map(format_value, names)], '')}"
    elif not is_number(value):
        yield f"must be a number, got {format_value(value)}."
    elif not abs(value) <= _LARGEST:  # not a number is not below anything
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
    """`none, residual or shake-drop`"""
    *most, last = map(format_value, names)
    return f"{', '.join(most)} or {last}" if most else last


def _when(key: str, raw: Any, path: Path) -> Iterator[Mistake]:
    if key not in FAMILY:
        yield Mistake(path, f"needs something that can be off or has a usual value, and {key} has none.")
    elif not isinstance(raw, Mapping) or not raw:
        yield Mistake(
            path, f"must be a mapping of other keys to the values with which {key} acts, got {format_value(raw)}."
        )
    else:
        for other, values in raw.items():
            one = values if isinstance(values, list | tuple) else [values]
            if not one or not all(isinstance(value, str | bool | int | float) for value in one):
                yield Mistake((*path, other), f"must be a value or a list of values, got {format_value(values)}.")


def _prior(key: str, raw: Mapping[str, Any], found: Hyperparameter | None, path: Path) -> Iterator[Mistake]:
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
    if found is not None and not found.sampled:
        yield Mistake(path, f"is of what is searched, and {key} has one value.")
    elif found is not None and (text := _best(key, prior["best"], found, listed="choices" in raw)):
        yield Mistake((*path, "best"), text)


def _best(key: str, best: Any, found: Hyperparameter, *, listed: bool) -> str:
    """What is wrong with the value that is expected to be the best; "" if nothing is. Of a range it may be any number."""
    if best == "off" and not found.contains(best):  # an argument of a factory may be that word itself
        return "" if found.optional else f"is off, which {key} cannot be here; add optional: true."
    if listed or not found.numeric:
        return "" if found.contains(best) else f"must be one of {_listed(found.choices)}, got {format_value(best)}."
    low, high = found.bounds
    return (
        ""
        if is_number(best) and low <= best <= high
        else f"must be from {format_value(low)} to {format_value(high)}, got {format_value(best)}."
    )
