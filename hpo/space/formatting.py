"""Numbers, configurations and tables as text."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from hpo.core.trial_key import TrialKey
from hpo.core.yaml_document import format_value
from hpo.regularizers import is_off
from hpo.regularizers.active import active_params

_MAX_WIDTH = 100  # characters per line
_MAX_LISTED = 8  # parameters in one line


def format_number(value: float) -> str:
    """Return a short form of a number: 0.031, 2.1e-03, 12.5."""
    if isinstance(value, int) or float(value).is_integer():
        return f"{int(value):,}" if abs(value) < 1e6 else f"{value:.3g}"
    return f"{value:.1e}" if abs(value) < 1e-2 or abs(value) >= 1e4 else f"{value:.3g}"


def format_param(key: str, value: Any) -> str:
    if isinstance(value, str | bool):
        return f"{key} {format_value(value)}"
    return f"{key} {'off' if is_off(key, value) else format_number(value)}"


def config_lines(params: Mapping[str, Any]) -> list[str]:
    """Return a complete configuration in lines of at most 100 characters."""
    lines = [""]
    for text in (format_param(key, value) for key, value in params.items()):
        longer = f"{lines[-1]}   {text}" if lines[-1] else text
        lines[-1:] = [longer] if len(longer) <= _MAX_WIDTH or not lines[-1] else [lines[-1], text]
    return lines


def config_line(params: Mapping[str, Any]) -> str:
    """Return a configuration in one line, for progress messages.

    A long configuration is shortened to the values that are on, and the number of keys that are off.
    """
    shown = params if len(params) <= _MAX_LISTED else active_params(params)
    parts = [format_param(key, value).replace("learning_rate", "lr") for key, value in shown.items()]
    return " · ".join([*parts, *([f"{len(params) - len(shown)} off"] if len(shown) < len(params) else [])])


def format_score(value: float | None) -> str:
    if value is None:
        return "–"
    if 0 < abs(value) < 0.01:
        return f"{value:.2g}"
    return f"{value:.3f}" if abs(value) < 10 else f"{value:,.4g}" if abs(value) < 1e4 else f"{value:.3g}"


def format_minutes(seconds: float) -> str:
    return f"{int(seconds) // 60}:{int(seconds) % 60:02d}"


def align_rows(rows: list[list[str]]) -> list[str]:
    """Align rows of cells; the first column is left-aligned, the others are right-aligned."""
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    return [
        "   ".join(c.rjust(w) if i else c.ljust(w) for i, (c, w) in enumerate(zip(row, widths, strict=True))).rstrip()
        for row in rows
    ]


def trial_name(label: str) -> str:
    key = TrialKey.parse(label)
    name = f"trial {key.config}" if isinstance(key.config, int) else f"the baseline {key.config}"
    return name + {"ablation": " without regularization", "unadapted": " without adaptation"}.get(key.variant, "")


def flat(value: Mapping[str, Any], path: str = "") -> dict[str, Any]:
    """Nested mappings as one mapping with dotted keys."""
    by_key: dict[str, Any] = {}
    for key, part in value.items():
        by_key |= flat(part, f"{path}{key}.") if isinstance(part, Mapping) else {f"{path}{key}": part}
    return by_key
