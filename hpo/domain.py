"""One key under `search:`: a fixed number, a range or choices, and every rule that it must keep."""

from __future__ import annotations

import keyword
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Any

from hpo.document import Mistake, Path, said
from hpo.errors import did_you_mean
from hpo.regularizers import FAMILY, STRENGTHS

SEARCHABLE = ("learning_rate", *FAMILY)
DEFAULTS: dict[str, float] = {"learning_rate": 1e-3, "depth": 2}
_KEYS = ("low", "high", "log", "step", "choices", "optional")
_LARGEST = 1e300  # so that ranges and steps can still be added up
_FINEST = 1e-9  # the smallest step, as a share of the range: what decimal arithmetic, ours and Optuna's, can count


@dataclass(frozen=True)
class Domain:
    """The values of one search key. Either `choices` (one of them: fixed), or `low` to `high`."""

    choices: tuple[Any, ...] = ()  # numbers; of an architecture, text and truth values, too
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
    def count(self) -> float:
        """How many values it has; infinite without choices, step or whole numbers."""
        steps = self.step or (1 if self.integer else None)
        values = len(self.choices) or (math.inf if steps is None else _steps(self.low, self.high, steps) + 1)
        return values * (2 if self.optional else 1)

    def values(self) -> list[float]:
        """All of them, where they can be counted; "off" is not among them."""
        if self.choices:
            return list(self.choices)
        step = self.step or 1
        return [min(self.low + i * step, self.high) for i in range(int(_steps(self.low, self.high, step)) + 1)]

    def trained(self, value: Any) -> Any:
        """The number that a sampled value becomes: from a continuous range one of four digits, as a person would write it,
        so that what is exported, recorded and trained is the same short number."""
        if self.choices or self.step or self.integer:
            return value
        return min(max(float(f"{value:.4g}"), self.low), self.high)

    def clip(self, value: float) -> Any:
        """The value of the domain that is nearest to `value` (on its own scale)."""
        if self.choices:
            return min(self.choices, key=lambda c: abs(c - value))
        value = min(max(value, self.low), self.high)
        step = self.step or (1 if self.integer else None)
        if step is not None and not self.log:
            value = min(self.low + round((value - self.low) / step) * step, self.high)
        return round(value) if self.integer else value

    def middle(self) -> Any:
        if self.choices:
            numbers = all(map(_is_number, self.choices))
            return sorted(self.choices)[len(self.choices) // 2] if numbers else self.choices[0]
        return self.clip(math.sqrt(self.low * self.high) if self.log else (self.low + self.high) / 2)


def parse_architecture(key: str, raw: Any, path: Path) -> tuple[Domain | None, list[Mistake]]:
    """The domain of an argument of a network's factory, or everything that is wrong with it."""
    if not key.isidentifier() or keyword.iskeyword(key):
        return None, [Mistake(path, "must be the name of an argument of the factory.")]
    if key in SEARCHABLE:
        return None, [Mistake(path, f"is a key of search, not of the network: write search.{key}.")]
    if key in ("n_inputs", "n_outputs", "image"):
        return None, [Mistake(path, "comes from the data, or is a key of network; it is not searched.")]
    if isinstance(raw, str | bool):
        return Domain(choices=(raw,)), []
    found, wrong = parse(key, raw, path)
    if found and not found.choices:
        whole = all(isinstance(value, int) for value in (found.low, found.high, found.step or 1))
        found = replace(found, integer=whole)
    return found, wrong


def parse(key: str, raw: Any, path: Path) -> tuple[Domain | None, list[Mistake]]:
    """The domain of one search key, or everything that is wrong with it."""
    if not isinstance(raw, Mapping):
        wrong = [Mistake(path, text) for text in (_value_rules(key, raw) if _is_number(raw) else _no_number(key, raw))]
        return (None, wrong) if wrong else (Domain(choices=(raw,), integer=_is_integer(key)), [])
    wrong = list(_mapping_rules(key, raw, path))
    if wrong:
        return None, wrong
    choices = tuple(raw.get("choices", ()))
    shape = {name: raw[name] for name in ("low", "high", "log", "step") if name in raw}
    if shape.get("step") is not None:
        shape["high"] = _last(**{name: shape[name] for name in ("low", "high", "step")})
    return Domain(choices, **shape, integer=_is_integer(key), optional=raw.get("optional", False)), []


def _is_integer(key: str) -> bool:
    return key in FAMILY and FAMILY[key].integer


def _steps(low: float, high: float, step: float) -> int:
    """How often `step` fits between `low` and `high`, as they are written: in binary, 0.3 - 0.1 is less than 0.2."""
    return int((Decimal(str(high)) - Decimal(str(low))) // Decimal(str(step)))


def _last(low: float, high: float, step: float) -> float:
    """The last value of a range: where its steps end, at `high` or before."""
    last = Decimal(str(low)) + _steps(low, high, step) * Decimal(str(step))
    return high if last == Decimal(str(high)) else type(low + step)(last)


def _mapping_rules(key: str, raw: Mapping[str, Any], path: Path) -> Iterator[Mistake]:
    for name in raw:
        if name not in _KEYS:
            yield Mistake((*path, name), f"is not a key of a range.{did_you_mean(str(name), _KEYS)}")
    for name in ("log", "optional"):
        if not isinstance(raw.get(name, False), bool):
            yield Mistake((*path, name), f"must be true or false, got {said(raw[name])}.")
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
        yield Mistake((*path, "choices"), f"must be a list with at least one number, got {said(choices)}.")
        return
    free = key not in SEARCHABLE  # an architecture's may be text or truth values
    judged = [(i, c) for i, c in enumerate(choices) if not (free and isinstance(c, str | bool))]
    wrong = [Mistake((*path, "choices", i), text) for i, c in judged for text in _value_rules(key, c)]
    yield from wrong
    if not wrong and len(set(choices)) < len(choices):
        yield Mistake((*path, "choices"), f"must differ from each other, got {said(choices)}.")


def _range_rules(key: str, raw: Mapping[str, Any], path: Path) -> Iterator[Mistake]:
    missing = [name for name in ("low", "high") if name not in raw]
    if missing:
        verb = "is" if len(missing) == 1 else "are"
        yield Mistake(path, f"needs choices, or low and high; {' and '.join(missing)} {verb} missing.")
    wrong = [Mistake((*path, n), text) for n in ("low", "high") if n in raw for text in _value_rules(key, raw[n])]
    yield from wrong
    step, log = raw.get("step"), raw.get("log") is True
    if text := "" if step is None else _step_rule(key, step):
        yield Mistake((*path, "step"), text)
    elif step is not None and log:
        yield Mistake(path, "takes either log: true or step, got both.")
    elif not missing and not wrong:
        yield from _order_rules(key, raw["low"], raw["high"], step, log, path)


def _step_rule(key: str, step: Any) -> str:
    """What is wrong with a step by itself; "" if nothing is."""
    if not _is_number(step) or not 0 < step <= _LARGEST:
        return f"must be a number above 0, got {said(step)}."
    return f"must be a whole number, got {said(step)}." if _is_integer(key) and not isinstance(step, int) else ""


def _order_rules(
    key: str, low: float, high: float, step: float | None, log: bool, path: Path
) -> Iterator[Mistake]:
    if not low < high:
        yield Mistake(path, f"low must be below high, got {low=}, {high=}.")
    elif log and low <= 0:
        off = ' (optional: true adds "off")' if key in STRENGTHS else ""
        yield Mistake(path, f"a log range must start above 0, got {low=}{off}.")
    elif step is not None and step < (high - low) * _FINEST:
        yield Mistake((*path, "step"), f"must be at least a billionth of the range, got {step=}, {low=}, {high=}.")
    elif step is not None and not _steps(low, high, step):
        yield Mistake((*path, "step"), f"must fit between low and high, got {step=}, {low=}, {high=}.")


def _no_number(key: str, value: Any) -> Iterator[str]:
    off = " To have it off, leave the key out." if key in STRENGTHS and value in (None, "off", "none") else ""
    yield f"must be a number, {{low: …, high: …}} or {{choices: […]}}, got {said(value)}.{off}"


def _value_rules(key: str, value: Any) -> Iterator[str]:
    """What is wrong with one value of a key."""
    if not _is_number(value):
        yield f"must be a number, got {said(value)}."
    elif not abs(value) <= _LARGEST:  # not a number is not below anything
        yield f"must be {f'at most {_LARGEST:g}' if abs(value) < math.inf else 'finite'}, got {said(value)}."
    elif _is_integer(key) and not isinstance(value, int):
        yield f"must be a whole number, got {value}."
    elif key == "learning_rate":
        if value <= 0:
            yield f"must be above 0, got {value}."
    elif key in FAMILY:
        low, high = FAMILY[key].allowed
        excluded = FAMILY[key].open_high and value == high
        if not low <= value <= high or excluded:
            upper = "" if high == math.inf else f" and {'below' if FAMILY[key].open_high else 'at most'} {high:g}"
            yield f"must be at least {low:g}{upper}, got {said(value)}."


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
