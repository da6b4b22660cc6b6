"""The text of `hpo regularizers`, at 80 columns."""

from __future__ import annotations

import inspect
import textwrap
from collections.abc import Mapping
from typing import Any

from hpo.core.errors import InputError, did_you_mean
from hpo.core.yaml_document import format_value
from hpo.regularizers import FAMILY
from hpo.regularizers.base import Regularizer
from hpo.space.hyperparameter import DEFAULTS
from hpo.space.parser import LEARNING_RATE, auto_range, searchable

_KINDS = {
    "strength": "Strengths: one number per network; a strength that a space does not name is off",
    "structure": "Structure: changes the architecture of the network",
    "schedule": "Schedule: for how long and with which steps a network is trained",
}
_NEEDS = {
    "classes": "a target of classes",
    "image": "images (network.image)",
    "text": "a column of text (data.text)",
    "mlp": "network.kind: mlp",
    "auxiliary": "another column to predict (data.auxiliary)",
    "generated": "rows that are generated (data.synthetic)",
    "target": "another domain (data.target.source)",
    "features": "a network that ends in nn.Linear, as all built-in ones do",
}
_LEARNING_RATE = "the step size of AdamW"
_WIDTH = 80


def facts(member: Regularizer) -> dict[str, Any]:
    """Return the facts of a regularizer as plain values."""
    low, high = member.allowed
    return {
        "name": member.name,
        "kind": member.kind,
        "summary": member.summary,
        "direction": member.direction,
        "range": dict(member.prior),
        "default": member.default_value,
        "values": list(member.choices) or [low, high if high < float("inf") else None],
        "needs": list(member.needs),
        "source": member.source,
    }


def learning_rate_facts() -> dict[str, Any]:
    """Return the facts of the learning rate, the only search key that is no regularizer, as plain values."""
    return {
        "name": LEARNING_RATE,
        "kind": "optimizer",
        "summary": _LEARNING_RATE,
        "range": auto_range(LEARNING_RATE),
        "default": DEFAULTS[LEARNING_RATE],
    }


def learning_rate_page() -> list[str]:
    """Describe the learning rate, with its default range."""
    text = f"{LEARNING_RATE}: {_LEARNING_RATE}; auto: {as_yaml(auto_range(LEARNING_RATE))}"
    return textwrap.wrap(text, _WIDTH, break_on_hyphens=False)


def find(name: str) -> Regularizer:
    """Return the regularizer of that name. Raises InputError if there is none."""
    if name not in FAMILY:
        hint = did_you_mean(name, searchable(), " List them with: hpo regularizers")
        raise InputError(f"{name} is not a search key.{hint}")
    return FAMILY[name]


def overview() -> list[str]:
    """List all search keys: the learning rate, then the regularizers by kind and name."""
    lines = [*learning_rate_page(), ""]
    for kind, title in _KINDS.items():
        members = sorted((member for member in FAMILY.values() if member.kind == kind), key=lambda member: member.name)
        lines += [*_wrapped(title, ""), ""] if members else []
        for member in members:
            lines += [
                *_wrapped(f"{member.name}: {member.summary}", "  "),
                *_wrapped(f"{as_yaml(member.prior)} · {_direction(member)}", "      "),
                *_wrapped(member.source, "      "),
                "",
            ]
    return [*lines, *_wrapped("Details and a line to paste: hpo regularizers NAME", "")]


def page(member: Regularizer) -> list[str]:
    """Describe one regularizer, with a line to paste under `search:`."""
    text = inspect.getdoc(type(member)) or member.summary
    optional = {"optional": True} if member.kind == "strength" and not _includes_off(member) else {}
    lines = [f"{member.name} ({member.kind})", "", *_wrapped(text, ""), ""]
    lines += _wrapped(f"{_direction(member).capitalize()}. {_default(member)}", "")
    lines += _wrapped(f"Values: {_values(member)}.", "")
    if member.needs:
        lines += _wrapped(f"Needs {' and '.join(_NEEDS[need] for need in member.needs)}.", "")
    lines += [*_wrapped(f"Source: {member.source}", ""), "", "To search it:", "", "search:"]
    return [*lines, f"  {member.name}: {as_yaml({**member.prior, **optional})}"]


def as_yaml(value: Any) -> str:
    """Return a value as one line of YAML. Small numbers are written like 1.0e-4, which every YAML parser reads as a
    number."""
    if isinstance(value, Mapping):
        return f"{{{', '.join(f'{key}: {as_yaml(item)}' for key, item in value.items())}}}"
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(as_yaml, value))}]"
    if isinstance(value, float) and 0 < abs(value) < 1e-2:
        digits, exponent = f"{value:e}".split("e")
        return f"{float(digits)!r}e{int(exponent)}"
    return format_value(value)


def _direction(member: Regularizer) -> str:
    if not member.direction:
        return "no direction is more regularized"
    if member.choices:
        most = "more" if len(member.choices) == 2 else "the most"
        return f"{format_value(member.choices[-1 if member.direction > 0 else 0])} is {most} regularized"
    return f"{'larger' if member.direction > 0 else 'smaller'} is more regularized"


def _includes_off(member: Regularizer) -> bool:
    """Whether the default range contains "off"."""
    low = member.prior.get("low", 0.0)
    return bool(member.prior.get("optional")) or member.is_off(low)


def _default(member: Regularizer) -> str:
    value = format_value(member.default_value)
    return f"{value} is off." if member.kind == "strength" else f"Default: {value}."


def _values(member: Regularizer) -> str:
    if member.choices:
        return ", ".join(map(format_value, member.choices))
    low, high = member.allowed
    numbers = "integers" if member.integer else "numbers"
    if high == float("inf"):
        return f"{numbers} from {low:g}"
    return f"{numbers} from {low:g} to {'below ' if member.open_high else ''}{high:g}"


def _wrapped(text: str, indent: str) -> list[str]:
    return textwrap.wrap(text, _WIDTH, initial_indent=indent, subsequent_indent=indent)
