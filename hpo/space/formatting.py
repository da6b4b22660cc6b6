"""Numbers, configurations and tables as a person reads them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from hpo.core.yaml_document import format_value
from hpo.regularizers import STRENGTHS, active

_WIDE = 100
_FEW = 8  # parameters that a line bears


def number(value: float) -> str:
    """Four digits at most: 0.031, 2.1e-03, 12.5."""
    if isinstance(value, int) or float(value).is_integer():
        return f"{int(value):,}" if abs(value) < 1e6 else f"{value:.3g}"
    return f"{value:.1e}" if abs(value) < 1e-2 or abs(value) >= 1e4 else f"{value:.3g}"


def strength(key: str, value: Any) -> str:
    if isinstance(value, str | bool):
        return f"{key} {format_value(value)}"
    off = key in STRENGTHS and value == STRENGTHS[key].default_value
    return f"{key} {'off' if off else number(value)}"


def strengths(params: Mapping[str, Any]) -> list[str]:
    """All of a configuration, in lines of at most 100 characters."""
    lines = [""]
    for one in (strength(key, value) for key, value in params.items()):
        longer = f"{lines[-1]}   {one}" if lines[-1] else one
        lines[-1:] = [longer] if len(longer) <= _WIDE or not lines[-1] else [lines[-1], one]
    return lines


def in_a_line(params: Mapping[str, Any]) -> str:
    """A configuration for a line that comes again and again; of a long one only what acts, and how much is off."""
    shown = params if len(params) <= _FEW else active(params)
    said = [strength(key, value).replace("learning_rate", "lr") for key, value in shown.items()]
    return " · ".join([*said, *([f"{len(params) - len(shown)} off"] if len(shown) < len(params) else [])])


def score(value: float | None) -> str:
    if value is None:
        return "–"
    if 0 < abs(value) < 0.01:
        return f"{value:.2g}"
    return f"{value:.3f}" if abs(value) < 10 else f"{value:,.4g}" if abs(value) < 1e4 else f"{value:.3g}"


def clock(seconds: float) -> str:
    return f"{int(seconds) // 60}:{int(seconds) % 60:02d}"


def table(rows: list[list[str]]) -> list[str]:
    """Rows of cells as aligned lines: the first column to the left, the others to the right."""
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    return [
        "   ".join(c.rjust(w) if i else c.ljust(w) for i, (c, w) in enumerate(zip(row, widths, strict=True))).rstrip()
        for row in rows
    ]


def trial_name(label: str) -> str:
    if label.isdigit():
        return f"trial {label}"
    if label in ("none", "defaults"):
        return f"the baseline {label}"
    if label.startswith("unadapted-"):
        return f"{trial_name(label.removeprefix('unadapted-'))} without adaptation"
    return f"{trial_name(label.removeprefix('ablation-'))} without regularization"
