"""Build the configuration of a trial from its values by key."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from hpo.core.trial_config import Config, Part
from hpo.regularizers import FAMILY


def make_config(values: Mapping[str, Any]) -> Config:
    """Return the configuration with these values, in their order.

    The part of a key in the family is the kind of its member. All other keys except the learning rate are
    arguments of the network's factory.
    """
    return Config(dict(values), {key: _part(key) for key in values})


def _part(key: str) -> Part:
    if key == "learning_rate":
        return "learning_rate"
    return FAMILY[key].kind if key in FAMILY else "argument"
