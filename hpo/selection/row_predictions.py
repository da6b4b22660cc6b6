"""Predictions of a configuration, row by row, by networks that were not trained on the row."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from hpo.selection.expectation import average_of_draws, common_rows
from hpo.selection.out_of_fold import DrawPredictions


def row_predictions(draws: Sequence[DrawPredictions], label: str) -> dict[str, Tensor]:
    """Return the `rows` (n,) that all draws of a configuration predict, and its `predictions` averaged over the draws.

    `rows` number the development rows. `predictions` are calibrated logits (n, classes) or, in a regression, the errors
    (n, 1), predicted minus true numbers, in the unit of the target. Returns {} if no draw contains the configuration.
    """
    own = [draw.only(label) for draw in draws if label in draw.logits]
    if not own:
        return {}
    aligned = common_rows(own)
    if aligned[0].task == "regression":
        errors = [(draw.logits[label] - draw.y.unsqueeze(1)) * draw.scale for draw in aligned]
        return {"rows": aligned[0].row, "predictions": torch.stack(errors).mean(0)}
    averaged, temperature = average_of_draws(aligned, label)
    return {"rows": averaged.row, "predictions": averaged.logits[label] / temperature}
