"""Temperature scaling against its oracle: logits whose temperature is known."""

from __future__ import annotations

import math

import pytest
import torch

from hpo.selection.calibration import fit_temperature


def calibrated(rows: int, classes: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Draw logits, and classes from their softmax, so that their temperature is 1."""
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(rows, classes, generator=generator) * 2
    return logits, torch.multinomial(logits.softmax(1), 1, generator=generator)[:, 0]


@pytest.mark.parametrize("factor", [1 / 3, 1.0, 3.0])
def test_the_temperature_undoes_a_multiplication_of_the_logits(factor: float) -> None:
    logits, y = calibrated(20_000, 4)
    assert fit_temperature(factor * logits, y) == pytest.approx(factor, rel=0.05)


def test_a_perfect_separation_has_a_finite_temperature_that_falls_with_the_number_of_rows() -> None:
    few, many = (fit_temperature(torch.eye(2).repeat(pairs, 1), torch.arange(2).repeat(pairs)) for pairs in (5, 5000))
    assert 0.01 <= many < few < 1


def test_the_prior_keeps_a_single_row_near_1() -> None:
    """For one row with the probability of its class p = sigmoid(1 / T), the minimum can be computed on a grid."""
    grid = torch.linspace(-3, 3, 60_001, dtype=torch.float64)
    objective = torch.log1p(torch.exp(-torch.exp(-grid))) + grid**2 / (2 * 0.1**2)
    expected = math.exp(float(grid[objective.argmin()]))
    assert fit_temperature(torch.tensor([[1.0, 0.0]]), torch.tensor([0])) == pytest.approx(expected, rel=1e-3)


def test_without_rows_the_temperature_is_1() -> None:
    assert fit_temperature(torch.empty(0, 3), torch.empty(0, dtype=torch.long)) == 1
