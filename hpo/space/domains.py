"""A mapping of keys to fixed values, ranges or choices, as a space file has it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from hpo.core.config import at
from hpo.core.yaml_document import Mistake, Path, said
from hpo.space.hyperparameter import Domain

Parse = Callable[[str, Any, Path], tuple[Domain | None, list[Mistake]]]


def domains(raw: Any, path: tuple[str, ...], parse: Parse) -> dict[str, Domain]:
    """A mapping of keys to fixed values, ranges or choices."""
    if not isinstance(raw, Mapping):
        raise ValueError(f"must be a mapping of keys to numbers or ranges, got {said(raw)}.")
    found_by_key, mistakes = {}, []
    for key, value in raw.items():
        found, wrong = (value, []) if isinstance(value, Domain) else parse(str(key), value, (*path, key))
        mistakes += wrong
        if found is not None:
            found_by_key[key] = found
    if mistakes:
        raise at(*mistakes)
    return found_by_key
