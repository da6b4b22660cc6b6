"""Words that several sentences of the page share."""

from __future__ import annotations

from collections.abc import Sequence

from hpo.report.analysis import Trend


def named(key: str) -> str:
    """Return the name of a hyperparameter or of a metric in a sentence."""
    return key.replace("_", " ")


def listed(keys: Sequence[str]) -> str:
    """Join the names of hyperparameters: a, b and c."""
    names = [named(key) for key in keys]
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"


def capitalized(text: str) -> str:
    return f"{text[:1].upper()}{text[1:]}"


def rho(trend: Trend) -> str:
    return f"Spearman {f'{trend.rho:.2f}'.replace('-', '−')}, {trend.trials} trials"
