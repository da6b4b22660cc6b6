"""The numbers of the final network and of its predictions in words, one function per sentence."""

from __future__ import annotations

import math
from collections.abc import Sequence

from hpo.report.predictions import Bin, ClassPredictions, NumberPredictions, calibration_error
from hpo.space.formatting import format_score

_MAX_COLUMNS = 30  # unused columns that are named
_CONFIDENCE_MARGIN = 0.02  # largest difference of confidence and accuracy that counts as "well calibrated"
_MIN_SLOPE = 0.1  # the smallest slope of residuals over predictions that is described


def zeros(name: str, zeros: int, weights: int) -> str:
    if not zeros:
        return f"None of the {weights:,} weights of {name} is exactly zero."
    return f"{zeros:,} of {weights:,} weights of {name} are exactly zero ({100 * zeros / weights:.1f} %)."


def unused(columns: Sequence[str], total: int) -> str:
    if not columns:
        return ""
    names = ", ".join(columns[:_MAX_COLUMNS]) + (" …" if len(columns) > _MAX_COLUMNS else "")
    return f"{len(columns)} of {total} columns (or terms) are not used, because all weights on them are zero: {names}."


def reliability(bins: Sequence[Bin], predictions: ClassPredictions) -> str:
    confidence = float(predictions.confidence.mean())
    accuracy = float((predictions.true == predictions.predicted).mean())
    verdict = "over-confident" if confidence > accuracy else "under-confident"
    if abs(confidence - accuracy) <= _CONFIDENCE_MARGIN:
        verdict = "well calibrated on average"
    return (
        f"Mean confidence {100 * confidence:.1f} %, accuracy {100 * accuracy:.1f} %: {verdict} "
        f"(expected calibration error {calibration_error(bins):.3f})."
    )


def confused(predictions: ClassPredictions) -> str:
    pairs = predictions.confused()
    if not pairs:
        return f"All {len(predictions.true):,} rows are classified correctly."
    most = "; ".join(f"{true} predicted as {predicted} ({count})" for true, predicted, count in pairs[:3])
    return f"{len(predictions.errors):,} of {len(predictions.true):,} rows are misclassified. Most often: {most}."


def residuals(predictions: NumberPredictions) -> str:
    residuals, predicted = predictions.residuals, predictions.predicted
    bias, deviation, variance = float(residuals.mean()), float(residuals.std()), float(predicted.var())
    slope = float(((predicted - predicted.mean()) * residuals).mean()) / variance if variance else 0.0
    sentence = f"The prediction errors have a standard deviation of {format_score(deviation)}"
    if math.sqrt(len(residuals)) * abs(bias) > 2 * deviation:
        sentence += (
            f" and a mean of {format_score(abs(bias))}: predictions are too {'high' if bias > 0 else 'low'} on average"
        )
    else:
        sentence += " and no significant bias"
    if slope > _MIN_SLOPE:
        sentence += "; high predictions are too high and low ones too low, which more regularization would reduce"
    elif slope < -_MIN_SLOPE:
        sentence += "; high predictions are too low and low ones too high, which less regularization would reduce"
    return f"{sentence}."
