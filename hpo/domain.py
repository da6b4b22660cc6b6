"""One key under `search:`: a fixed number, a range or choices, and every rule that it must keep."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from hpo.document import Mistake, Path
from hpo.errors import cut, did_you_mean
from hpo.regularizers import FAMILY, STRENGTHS

SEARCHABLE = ("learning_rate", *FAMILY)
DEFAULTS: dict[str, float] = {"learning_rate": 1e-3, "depth": 2}
_KEYS = ("low", "high", "log", "step", "choices", "optional")


@dataclass(frozen=True)
class Domain:
    """The values of one search key. Either `choices` (one of them: fixed), or `low` to `high`."""

    choices: tuple[float, ...] = ()
    low: float = 0.0
    high: float = 0.0
    log: bool = False
    step: float | None = None
    integer: bool = False
    optional: bool = False  # "off" is a value too

    @property
    def sampled(self) -> bool:
        return len(self.choices) != 1 or self.optional

    @property
    def gridded(self) -> bool:
        """Whether its values can be counted, as a grid needs."""
        return bool(self.choices or self.step or self.integer)

    def clip(self, value: float) -> float:
        """The value of the domain that is nearest to `value` (on its own scale)."""
        if self.choices:
            return min(self.choices, key=lambda c: abs(c - value))
        value = min(max(value, self.low), self.high)
        step = self.step or (1 if self.integer else None)
        if step is not None and not self.log:
            value = min(self.low + round((value - self.low) / step) * step, self.high)
        return round(value) if self.integer else value

    def middle(self) -> float:
        if self.choices:
            return sorted(self.choices)[len(self.choices) // 2]
        return self.clip(math.sqrt(self.low * self.high) if self.log else (self.low + self.high) / 2)


def parse(key: str, raw: Any, path: Path) -> tuple[Domain | None, list[Mistake]]:
    """The domain of one search key, or everything that is wrong with it."""
    if not isinstance(raw, Mapping):
        wrong = [Mistake(path, text) for text in _value_rules(key, raw)]
        return (None, wrong) if wrong else (Domain(choices=(raw,), integer=_is_integer(key)), [])
    wrong = list(_mapping_rules(key, raw, path))
    if wrong:
        return None, wrong
    choices = tuple(raw.get("choices", ()))
    shape = {name: raw[name] for name in ("low", "high", "log", "step") if name in raw}
    return Domain(choices, **shape, integer=_is_integer(key), optional=raw.get("optional", False)), []


def _is_integer(key: str) -> bool:
    return key in FAMILY and FAMILY[key].integer


def _mapping_rules(key: str, raw: Mapping[str, Any], path: Path) -> Iterator[Mistake]:
    for name in raw:
        if name not in _KEYS:
            yield Mistake((*path, name), f"is not a key of a range.{did_you_mean(name, _KEYS)}")
    for name in ("log", "optional"):
        if not isinstance(raw.get(name, False), bool):
            yield Mistake((*path, name), f"must be true or false, got {cut(raw[name])}.")
    if raw.get("optional") is True and key not in STRENGTHS:
        yield Mistake((*path, "optional"), f"needs something that can be off, and {key} cannot.")
    if "choices" in raw:
        yield from _choices_rules(key, raw, path)
    else:
        yield from _range_rules(key, raw, path)


def _choices_rules(key: str, raw: Mapping[str, Any], path: Path) -> Iterator[Mistake]:
    if others := [name for name in ("low", "high", "log", "step") if name in raw]:
        yield Mistake(path, f"takes either choices or low and high, got choices and {', '.join(others)}.")
    choices = raw["choices"]
    if not isinstance(choices, list | tuple) or not choices:
        yield Mistake((*path, "choices"), f"must be a list with at least one number, got {cut(choices)}.")
        return
    wrong = [Mistake((*path, "choices", i), text) for i, c in enumerate(choices) for text in _value_rules(key, c)]
    yield from wrong
    if not wrong and len(set(choices)) < len(choices):
        yield Mistake((*path, "choices"), f"must differ from each other, got {cut(choices)}.")


def _range_rules(key: str, raw: Mapping[str, Any], path: Path) -> Iterator[Mistake]:
    missing = [name for name in ("low", "high") if name not in raw]
    if missing:
        yield Mistake(path, f"needs choices, or low and high; {' and '.join(missing)} is missing.")
    wrong = [Mistake((*path, n), text) for n in ("low", "high") if n in raw for text in _value_rules(key, raw[n])]
    yield from wrong
    step, log = raw.get("step"), raw.get("log") is True
    if step is not None:
        if not _is_number(step) or not step > 0 or not math.isfinite(step):
            yield Mistake((*path, "step"), f"must be a number above 0, got {cut(step)}.")
            return
        if _is_integer(key) and not isinstance(step, int):
            yield Mistake((*path, "step"), f"must be a whole number, got {cut(step)}.")
        if log:
            yield Mistake(path, "takes either log: true or step, got both.")
    if missing or wrong:
        return
    low, high = raw["low"], raw["high"]
    if not low < high:
        yield Mistake(path, f"low must be below high, got {low=}, {high=}.")
    elif log and low <= 0:
        off = ' (optional: true adds "off")' if key in STRENGTHS else ""
        yield Mistake(path, f"a log range must start above 0, got {low=}{off}.")
    elif step is not None and step > high - low:
        yield Mistake((*path, "step"), f"must fit between low and high, got {step=}, {low=}, {high=}.")


def _value_rules(key: str, value: Any) -> Iterator[str]:
    """What is wrong with one value of a key."""
    if not _is_number(value):
        yield f"must be a number, a range like {{low: …, high: …}} or {{choices: […]}}, got {cut(value)}."
    elif not math.isfinite(value):
        yield f"must be finite, got {value}."
    elif _is_integer(key) and not isinstance(value, int):
        yield f"must be a whole number, got {value}."
    elif key == "learning_rate":
        if value <= 0:
            yield f"must be above 0, got {value}."
    else:
        low, high = FAMILY[key].allowed
        excluded = FAMILY[key].open_high and value == high
        if not low <= value <= high or excluded:
            upper = "" if high == math.inf else f" and {'below' if FAMILY[key].open_high else 'at most'} {high:g}"
            yield f"must be at least {low:g}{upper}, got {cut(value)}."


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
