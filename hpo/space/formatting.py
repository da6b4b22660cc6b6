"""Numbers, configurations and tables as text."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from hpo.core.trial_key import TrialKey
from hpo.core.yaml_document import format_value
from hpo.regularizers import is_off
from hpo.regularizers.active import active_params

_MAX_WIDTH = 100  # characters per line
_MAX_LISTED = 8  # parameters in one line
_MAX_DECIMALS = 6  # standard errors that need more are written like 1.2e-07
_FASTER = {"": "", "_fast": " at 3× learning rate", "_faster": " at 10× learning rate"}
_BASELINE_NAMES = {
    baseline + suffix: name + rate
    for baseline, name in (("none", "no regularization"), ("defaults", "the usual defaults"))
    for suffix, rate in _FASTER.items()
}


def format_number(value: float) -> str:
    """Return a short form of a number: 0.031, 2.1e-03, −12.5."""
    if value < 0:
        return f"−{format_number(-value)}"
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
    """Return a short form of a score, or – if there is none; a negative score has a minus sign (U+2212)."""
    if value is None:
        return "–"
    if value < 0:
        return f"−{format_score(-value)}"
    if 0 < value < 0.01:
        return f"{value:.2g}"
    return f"{value:.3f}" if value < 10 else f"{value:,.4g}" if value < 1e4 else f"{value:.3g}"


def format_with_error(value: float, error: float | None) -> str:
    """Return a score and its standard error with the same decimals: 0.000 ± 0.021, 0.0070 ± 0.0084.

    The error has two significant digits. Without a finite error, return the score only.
    """
    if error is None or not math.isfinite(error):
        return format_score(value)
    decimals = max(0, 1 - math.floor(math.log10(error))) if error > 0 else 3
    if decimals > _MAX_DECIMALS or not math.isfinite(value):
        return f"{format_score(value)} ± {format_score(error)}"
    return f"{value:,.{decimals}f} ± {error:,.{decimals}f}".replace("-", "−")


def format_minutes(seconds: float) -> str:
    return f"{int(seconds) // 60}:{int(seconds) % 60:02d}"


def short_metric(name: str) -> str:
    """Return the name of a metric for the head of a narrow column."""
    return {"accuracy": "acc", "balanced_accuracy": "bal. acc"}.get(name, name.replace("_", " "))


def stacked_head(titles: Sequence[str]) -> list[list[str]]:
    """Return the head of a table as rows with one word of a title per cell, aligned at the bottom."""
    words = [title.split() for title in titles]
    height = max(map(len, words))
    columns = [[""] * (height - len(column)) + column for column in words]
    return [list(row) for row in zip(*columns, strict=True)]


def align_rows(rows: list[list[str]], gap: int = 3) -> list[str]:
    """Align rows of cells; the first column is left-aligned, the others are right-aligned, `gap` spaces apart."""
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    lines = []
    for row in rows:
        padded = [cell.rjust(width) for cell, width in zip(row, widths, strict=True)]
        padded[0] = row[0].ljust(widths[0])
        lines.append((" " * gap).join(padded).rstrip())
    return lines


def trial_name(label: str) -> str:
    """Return the name of a trial in a sentence: `trial 5`, `the usual defaults without regularization`."""
    key = TrialKey.parse(label)
    name = f"trial {key.config}" if isinstance(key.config, int) else _BASELINE_NAMES.get(key.config, key.config)
    if key.part:
        return f"{name} without {' and '.join(part.replace('_', ' ') for part in key.part.split('+'))}"
    return name + {"ablation": " without regularization", "unadapted": " without adaptation"}.get(key.variant, "")


def flat(value: Mapping[str, Any], path: str = "") -> dict[str, Any]:
    """Return nested mappings as one mapping with dotted keys."""
    by_key: dict[str, Any] = {}
    for key, part in value.items():
        by_key |= flat(part, f"{path}{key}.") if isinstance(part, Mapping) else {f"{path}{key}": part}
    return by_key
