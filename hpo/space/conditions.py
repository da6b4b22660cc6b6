"""Conditional keys: `when` makes a key act only with certain values of others.

A conditional key is sampled in every trial all the same, since a parameter that comes and goes drops out of Optuna's joint
sampling; where its condition does not hold, the trial has its neutral value: off, or the usual one.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from hpo.core.errors import did_you_mean
from hpo.core.yaml_document import Mistake, format_value
from hpo.regularizers import FAMILY, STRENGTHS
from hpo.space.hyperparameter import Hyperparameter

_ON, _OFF = "on", "off"


def resolved(
    domains: Mapping[str, Hyperparameter], values: Mapping[str, Any], usual: Callable[[str], Any]
) -> dict[str, Any]:
    """`values` by key, with the `usual` one where a condition does not hold; a condition sees what is left of the others."""
    found: dict[str, Any] = {}

    def value_of(key: str) -> Any:
        if key not in found:
            acts = all(_holds(other, wanted, domains[other], value_of(other)) for other, wanted in domains[key].when)
            found[key] = values[key] if acts else usual(key)
        return found[key]

    return {key: value_of(key) for key in values}


def rules(domains: Mapping[str, Hyperparameter]) -> Iterator[tuple[str, Mistake]]:
    """What is wrong between keys, by the key that has the condition; the paths begin there."""
    sound = True
    for key, domain in domains.items():
        for other, wanted in domain.when:
            path = ("when", other)
            if other not in domains or other == key:
                sound = False
                hint = did_you_mean(other, [name for name in domains if name != key])
                yield key, Mistake(path, f"is not another key of this search.{hint}")
            else:
                texts = (_value_rule(other, value, domains[other]) for value in wanted)
                yield from ((key, Mistake(path, text)) for text in texts if text)
    if sound and (ring := _ring(domains)):
        yield (
            ring[0],
            Mistake(("when",), f"goes round in a circle: {' needs '.join([*ring, ring[0]])}; leave one condition out."),
        )


def _holds(key: str, wanted: tuple[Any, ...], domain: Hyperparameter, value: Any) -> bool:
    off = key in FAMILY and value == FAMILY[key].default_value
    named = {one for one in wanted if one in (_ON, _OFF) and not domain.contains(one)}
    return Hyperparameter(wanted).contains(value) or (_ON in named and not off) or (_OFF in named and off)


def _value_rule(key: str, value: Any, domain: Hyperparameter) -> str:
    """What is wrong with a value of `key` as a condition; "" if nothing is."""
    can = key in STRENGTHS or (key in FAMILY and FAMILY[key].default_value in (False, "none"))
    if (value in (_ON, _OFF) and can) or (domain.contains(value) and domain.count < math.inf):
        return ""
    if domain.count == math.inf:
        return f"must be {'on or off' if can else 'another key'}, since {key} is a range of numbers, got {format_value(value)}."
    states = ", on or off" if can else ""
    among = (
        ", ".join(map(format_value, domain.choices))
        or f"from {format_value(domain.low)} to {format_value(domain.high)}"
    )
    return f"must be a value that {key} can have ({among}{states}), got {format_value(value)}."


def _ring(domains: Mapping[str, Hyperparameter]) -> list[str]:
    """Keys that wait for each other; [] if there are none."""
    done: set[str] = set()

    def walk(key: str, way: list[str]) -> list[str]:
        if key in way:
            return way[way.index(key) :]
        if key not in done:
            for other, _ in domains[key].when:
                if ring := walk(other, [*way, key]):
                    return ring
            done.add(key)
        return []

    return next((ring for key in domains if (ring := walk(key, []))), [])
