"""Frozen records as plain JSON values."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from typing import Any


def json_number(value: Any) -> Any:
    """Return the value, or None if it is a number that is not finite, because JSON has no such numbers."""
    return None if isinstance(value, float) and not math.isfinite(value) else value


def to_json(record: Any) -> dict[str, Any]:
    """Return a record as a dictionary of plain values."""
    return {f.name: _plain(getattr(record, f.name)) for f in fields(record)}


def _plain(value: Any) -> Any:
    if is_dataclass(value):
        return to_json(value)
    if isinstance(value, Mapping):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return json_number(value)
