"""A mapping of keys to fixed values, ranges or choices, as a space file has it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from hpo.core.config import config_errors
from hpo.core.yaml_document import Mistake, Path, format_value
from hpo.space.hyperparameter import Hyperparameter

Parse = Callable[[str, Any, Path], tuple[Hyperparameter | None, list[Mistake]]]


def parse_mapping(raw: Any, path: tuple[str, ...], parse: Parse) -> dict[str, Hyperparameter]:
    """A mapping of keys to fixed values, ranges or choices."""
    if not isinstance(raw, Mapping):
        raise ValueError(f"must be a mapping of keys to numbers or ranges, got {format_value(raw)}.")
    found_by_key, mistakes = {}, []
    for key, value in raw.items():
        found, wrong = (value, []) if isinstance(value, Hyperparameter) else parse(str(key), value, (*path, key))
        mistakes += wrong
        if found is not None:
            found_by_key[key] = found
    if mistakes:
        raise config_errors(*mistakes)
    return found_by_key
