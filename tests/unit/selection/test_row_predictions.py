"""Out-of-fold predictions, averaged over draws that list the rows in different orders."""

import pytest
import torch

from hpo.selection.out_of_fold import DrawPredictions
from hpo.selection.row_predictions import row_predictions


def draw(task, rows, y, logits, scale=1.0):
    rows = torch.tensor(rows)
    return DrawPredictions(
        task, rows, torch.zeros_like(rows), torch.tensor(y), None, scale, {"5": torch.tensor(logits)}
    )


def test_errors_of_a_regression_are_averaged_by_row_in_the_unit_of_the_target():
    """The draws divide the target by different numbers; row 9 is in one of them only."""
    first = draw("regression", [2, 0, 9], [2.0, 1.0, 5.0], [[3.0], [1.5], [9.0]], scale=10.0)
    second = draw("regression", [0, 2], [0.5, 1.0], [[0.0], [2.0]], scale=20.0)
    found = row_predictions([first, second], "5")
    assert found["rows"].tolist() == [0, 2]
    assert found["predictions"].tolist() == [[(5.0 - 10.0) / 2], [(10.0 + 20.0) / 2]]


def test_probabilities_are_averaged_by_row_and_calibrated():
    even, sure = [0.0, 0.0], [4.0, 0.0]
    draws = [draw("classification", [1, 0], [0, 1], [sure, even]), draw("classification", [0, 1], [1, 0], [even, even])]
    found = row_predictions(draws, "5")
    chances = (torch.tensor([0.5, 0.5]) + torch.tensor(sure).softmax(0)) / 2
    ratio = found["predictions"][1].softmax(0).log() / chances.log().softmax(0).log()
    assert found["rows"].tolist() == [0, 1]
    assert found["predictions"][0].softmax(0).tolist() == pytest.approx([0.5, 0.5])
    assert ratio[0] < 1 < ratio[1]  # all rows are predicted correctly, so the prediction becomes more certain


def test_there_are_none_for_a_configuration_that_diverged():
    assert row_predictions([draw("regression", [0], [1.0], [[1.0]])], "6") == {}
