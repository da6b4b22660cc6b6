"""Base of the sections of a space file: strict models, and validators that report several mistakes at once."""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict
from pydantic_core import PydanticCustomError

from hpo.core.importing import is_object_name
from hpo.core.yaml_document import Mistake, format_value

MAX_COUNT = 1_000_000  # upper bound of all counts, such as epochs or trials


class Section(BaseModel):
    """A mapping with known keys: unknown keys, conversions and infinite numbers are errors."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, allow_inf_nan=False)


def config_errors(*mistakes: Mistake) -> PydanticCustomError:
    """Return the exception with which a validator reports several mistakes, each with its own place in the file."""
    return PydanticCustomError("mistakes", "", {"mistakes": mistakes})


def _check_object_name(name: str) -> str:
    if not is_object_name(name):
        raise ValueError(f"must be package.module:function, got {format_value(name)}.")
    return name


ObjectName = Annotated[str, AfterValidator(_check_object_name)]
"""The name of a user's function, in the form `package.module:function`."""
