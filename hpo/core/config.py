"""What the sections of a space file have in common: strict models, and mistakes that are told all at once."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict
from pydantic_core import PydanticCustomError

from hpo.core.yaml_document import Mistake

MAX_COUNT = 1_000_000  # of anything that is counted


class Section(BaseModel):
    """A mapping of known keys: nothing unknown, nothing converted, nothing infinite."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, allow_inf_nan=False)


def config_errors(*mistakes: Mistake) -> PydanticCustomError:
    """What a validator raises to tell several mistakes, each at its own place in the file."""
    return PydanticCustomError("mistakes", "", {"mistakes": mistakes})
