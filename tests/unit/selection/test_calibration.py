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
    assert fit_temperature(factor * logits, y, None) == pytest.approx(factor, rel=0.05)


def test_a_perfect_separation_has_a_finite_temperature_that_falls_with_the_number_of_rows() -> None:
    few, many = (
        fit_temperature(torch.eye(2).repeat(pairs, 1), torch.arange(2).repeat(pairs), None) for pairs in (5, 5000)
    )
    assert 0.01 <= many < few < 1


def test_the_prior_keeps_a_single_row_near_1() -> None:
    """For one row with the probability of its class p = sigmoid(1 / T), the minimum can be computed on a grid."""
    grid = torch.linspace(-3, 3, 60_001, dtype=torch.float64)
    objective = torch.log1p(torch.exp(-torch.exp(-grid))) + grid**2 / (2 * 0.1**2)
    expected = math.exp(float(grid[objective.argmin()]))
    assert fit_temperature(torch.tensor([[1.0, 0.0]]), torch.tensor([0]), None) == pytest.approx(expected, rel=1e-3)


def test_without_rows_the_temperature_is_1() -> None:
    assert fit_temperature(torch.empty(0, 3), torch.empty(0, dtype=torch.long), None) == 1


def test_weighted_rows_count_as_often_as_their_weight() -> None:
    """The temperature of a loss with `class_weight: balanced`: here, half of the rows are overconfident."""
    logits, y = calibrated(20_000, 3)
    logits[::2] *= 3
    weight = torch.ones(len(y))
    weight[::2] = 4
    repeated = [part.repeat_interleave(weight.long(), dim=0) for part in (logits, y)]
    found = fit_temperature(logits, y, weight)
    assert found == pytest.approx(fit_temperature(*repeated, None), rel=0.02)  # it has more rows
    assert found > 1.1 * fit_temperature(logits, y, None)


def test_the_weights_of_few_rows_change_the_prior_only_by_their_inequality() -> None:
    """Equal weights are as none, whatever they are, and a row without weight is as no row."""
    logits, y = calibrated(10, 3)
    none, same = fit_temperature(3 * logits, y, None), fit_temperature(3 * logits, y, torch.full((10,), 7.0))
    assert same == pytest.approx(none, rel=1e-6)
    without = fit_temperature(3 * logits, y, (torch.arange(10) < 6).float())
    assert without == pytest.approx(fit_temperature(3 * logits[:6], y[:6], None), rel=1e-6)
