"""What the sections of a space file have in common: strict models, and mistakes that are told all at once."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from pydantic import BaseModel, ConfigDict
from pydantic_core import PydanticCustomError

from hpo.document import Mistake, Path, said
from hpo.domain import Domain

MOST = 1_000_000  # of anything that is counted
Parse = Callable[[str, Any, Path], tuple[Domain | None, list[Mistake]]]


class Section(BaseModel):
    """A mapping of known keys: nothing unknown, nothing converted, nothing infinite."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, allow_inf_nan=False)


def at(*mistakes: Mistake) -> PydanticCustomError:
    """What a validator raises to tell several mistakes, each at its own place in the file."""
    return PydanticCustomError("mistakes", "", {"mistakes": mistakes})


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
