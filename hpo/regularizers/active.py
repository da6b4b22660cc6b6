"""Which strengths of a configuration are on."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from hpo.regularizers import STRENGTHS, is_off


def active_params(params: Mapping[str, Any]) -> dict[str, Any]:
    """Return a configuration without the strengths that are off; configurations that this makes equal train alike."""
    return {key: value for key, value in params.items() if not is_off(key, value)}


def active_strengths(params: Mapping[str, Any]) -> list[str]:
    """Return the strengths that are on."""
    return [key for key, value in params.items() if key in STRENGTHS and not is_off(key, value)]


def active_adaptation(params: Mapping[str, Any]) -> list[str]:
    """Return the strengths that are on and use the rows of the target domain."""
    return [key for key in active_strengths(params) if "target" in STRENGTHS[key].needs]


def active_regularization(params: Mapping[str, Any]) -> list[str]:
    """Return the strengths that are on and regularize: all with a direction, so not a class weight."""
    return [key for key in active_strengths(params) if STRENGTHS[key].direction]


def is_regularized(params: Mapping[str, Any]) -> bool:
    """Return whether any strength that regularizes is on."""
    return bool(active_regularization(params))
