"""The words and the form of numbers on the page."""

from __future__ import annotations

import math

from bench.honesty.numbers import Mean, Share

MODES = {"holdout": "hold-out", "folds": "folds", "auto": "as hpo init"}
NAMES = {
    "ours": "hpo",
    "single": "hpo, one network",
    "today": "hpo, rule `safe`",
    "argmax": "plain tuner, one network",
    "argmax_average": "plain tuner, average",
    "argmax_direct": "plain tuner, one network, against hpo's defaults",
    "argmax_average_direct": "plain tuner, average, against hpo's defaults",
    "oracle": "oracle",
}
OF_METRIC = {"loss": "loss", "accuracy": "accuracy", "balanced_accuracy": "balanced accuracy", "r2": "R²"}


def mean_text(mean: Mean, scale: float = 100, unit: str = " %") -> str:
    """Format a mean with its standard error, times `scale`; a dash without searches."""
    if not mean.n:
        return "–"
    digits = 1 if scale == 100 else 3
    error = "" if math.isnan(mean.error) else f" ± {scale * mean.error:.{digits}f}"
    return f"{scale * mean.value:+.{digits}f}{error}{unit}"


def percent(share: Share) -> str:
    """Format a share without its interval."""
    return f"{100 * share.value:.0f} %" if share.n else "–"


def share_text(share: Share) -> str:
    """Format a share with its interval."""
    if not share.n:
        return "–"
    low, high = share.interval
    return f"{share.value:.0%} ({low:.0%} to {high:.0%}), {share.hits} of {share.n}".replace("%", " %")
