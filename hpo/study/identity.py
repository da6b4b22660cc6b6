"""Whether a stored study is the one that is asked for."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from hpo.core.errors import InputError, truncate
from hpo.space.space import flat


def check(name: str, there: Mapping[str, Any], here: Mapping[str, Any]) -> None:
    """Raises InputError, which says what differs, unless the stored identity is the one at hand."""
    if difference := _difference(there, _plain(here)):
        raise InputError(
            f"The study {name} was begun with another space ({difference}). Set study to another name, "
            f"or remove it with: hpo delete {name}"
        )


def check_deterministic(name: str, there: bool, here: bool) -> None:
    """Raises InputError if a study would change half-way between a search that is deterministic and one that is not."""
    if there != here:
        was, do = ("with", "give it again") if there else ("without", "leave it out")
        raise InputError(
            f"The study {name} was begun {was} deterministic: {do}, set study to another name, or remove it with: hpo delete {name}"
        )


def _plain(value: Any) -> Any:
    """A value as it comes back from JSON: tuples as lists."""
    if isinstance(value, Mapping):
        return {key: _plain(v) for key, v in value.items()}
    return [_plain(v) for v in value] if isinstance(value, list | tuple) else value


def _difference(there: Mapping[str, Any], here: Mapping[str, Any]) -> str:
    """What differs between two spaces, in words; "" if nothing does."""
    a, b = flat(there), flat(here)
    keys = [key for key in dict.fromkeys([*a, *b]) if a.get(key) != b.get(key)]
    if keys == ["data_content"]:
        return "the rows of its data differ"
    if keys == ["first_weights"]:
        return "the weights of network.init differ"
    own = [(key, "there") for key in there["search"] if key not in here["search"]]
    own += [(key, "here") for key in here["search"] if key not in there["search"]]
    words = [f"search.{key} stands only {where}" for key, where in own]
    told = ("data_content", "first_weights", *(f"search.{key}." for key, _ in own))
    words += [
        f"{key}: {truncate(a.get(key), 30)} there, {truncate(b.get(key), 30)} here"
        for key in keys
        if not key.startswith(told)
    ]
    return "; ".join(words[:3]) + (f"; and {len(words) - 3} more" if len(words) > 3 else "")
