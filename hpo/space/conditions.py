"""Conditional keys: `when` makes a key active only with certain values of other keys.

A conditional key is sampled in every trial, because Optuna does not sample a parameter jointly with others if it is
missing in some trials. In a trial in which its condition does not hold, the key has its default value, which is off
for a strength.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from hpo.core.errors import did_you_mean
from hpo.core.yaml_document import Mistake, format_value
from hpo.regularizers import FAMILY, STRENGTHS
from hpo.space.checks import yaml_1_1
from hpo.space.hyperparameter import Hyperparameter

_ON, _OFF = "on", "off"


def resolved(
    hyperparameters: Mapping[str, Hyperparameter], values: Mapping[str, Any], default_of: Callable[[str], Any]
) -> dict[str, Any]:
    """Return `values`, with the default value for each key whose condition does not hold.

    A condition on another conditional key is checked against the resolved value of that key.
    """
    by_key: dict[str, Any] = {}

    def value_of(key: str) -> Any:
        if key not in by_key:
            conditions = hyperparameters[key].when
            active = all(
                _holds(other, expected, hyperparameters[other], value_of(other)) for other, expected in conditions
            )
            by_key[key] = values[key] if active else default_of(key)
        return by_key[key]

    return {key: value_of(key) for key in values}


def check(hyperparameters: Mapping[str, Hyperparameter]) -> Iterator[tuple[str, Mistake]]:
    """Check the conditions. Yields the key that has the condition, and the mistake with its path below that key."""
    names_are_known = True
    for key, hyperparameter in hyperparameters.items():
        for other, expected in hyperparameter.when:
            path = ("when", other)
            if other not in hyperparameters or other == key:
                names_are_known = False
                hint = did_you_mean(other, [name for name in hyperparameters if name != key])
                yield key, Mistake(path, f"is not another key of this search.{hint}")
            else:
                texts = (_check_value(other, value, hyperparameters[other]) for value in expected)
                yield from ((key, Mistake(path, text)) for text in texts if text)
    if names_are_known and (cycle := _cycle(hyperparameters)):
        chain = " needs ".join([*cycle, cycle[0]])
        yield cycle[0], Mistake(("when",), f"must not be circular: {chain}; remove one condition.")


def _holds(key: str, expected: tuple[Any, ...], hyperparameter: Hyperparameter, value: Any) -> bool:
    off = key in FAMILY and FAMILY[key].is_off(value)
    states = {word for word in expected if word in (_ON, _OFF) and not hyperparameter.contains(word)}
    return Hyperparameter(expected).contains(value) or (_ON in states and not off) or (_OFF in states and off)


def _check_value(key: str, value: Any, hyperparameter: Hyperparameter) -> str:
    """Check a value of `key` as a condition; "" if it is valid."""
    can_be_off = key in STRENGTHS or (key in FAMILY and FAMILY[key].default_value in (False, "none"))
    countable = hyperparameter.count < math.inf
    if (value in (_ON, _OFF) and can_be_off) or (hyperparameter.contains(value) and countable):
        return ""
    got = f"got {format_value(value)}.{yaml_1_1(value) if can_be_off else ''}"
    if not countable:
        return f"must be {'on or off' if can_be_off else 'another key'}, since {key} is a range of numbers, {got}"
    states = ", on or off" if can_be_off else ""
    low, high = format_value(hyperparameter.low), format_value(hyperparameter.high)
    values = ", ".join(map(format_value, hyperparameter.choices)) or f"from {low} to {high}"
    return f"must be a value that {key} can have ({values}{states}), {got}"


def _cycle(hyperparameters: Mapping[str, Hyperparameter]) -> list[str]:
    """Return keys whose conditions depend on each other in a circle; [] if there are none."""
    done: set[str] = set()

    def visit(key: str, path: list[str]) -> list[str]:
        if key in path:
            return path[path.index(key) :]
        if key not in done:
            for other, _ in hyperparameters[key].when:
                if cycle := visit(other, [*path, key]):
                    return cycle
            done.add(key)
        return []

    return next((cycle for key in hyperparameters if (cycle := visit(key, []))), [])
