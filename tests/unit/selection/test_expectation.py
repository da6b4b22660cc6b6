"""The expected scores of an average of networks, against simulated networks whose errors are known."""

import math

import numpy as np
import pytest
import torch

from hpo.selection.calibration import fit_temperature
from hpo.selection.expectation import average_of_draws, common_rows, expect
from tests.helpers.predictions import draw_of

TEST_ROWS = 500


def noisy(rows, noise, rest, draws=2, scale=1.0, seed=0):
    """Return draws of a regression: networks that make a common error of variance `rest` in addition to independent
    noise of variance `noise`."""
    stream = torch.Generator().manual_seed(seed)

    def normal(variance):
        return math.sqrt(variance) * torch.randn(rows, generator=stream, dtype=torch.float64)

    y, common = normal(1.0), normal(rest)
    found = []
    for draw in range(draws):
        order = torch.randperm(rows, generator=stream)
        predicted = (y + common + normal(noise))[order]
        factor = scale * (1 + draw)
        found.append(draw_of("regression", y[order] / factor, {"5": predicted[:, None] / factor}, order, scale=factor))
    return found


@pytest.mark.parametrize("networks", [1, 5])
@pytest.mark.parametrize(("noise", "rest"), [(0.5, 0.0), (0.5, 0.5), (0.1, 1.0)])
def test_the_error_of_an_average_of_networks_is_extrapolated_from_two(networks, noise, rest):
    """Squared errors are exact: noise / K + rest. The mean over 30 tables leaves little of the sampling error."""
    found = [
        expect(noisy(2000, noise, rest, seed=seed), "5", ["loss", "r2"], networks, TEST_ROWS, 0) for seed in range(30)
    ]
    truth = noise / networks + rest
    error = 4 * math.sqrt(2 / 2000 / 30) * (noise + rest)
    assert abs(np.mean([e.average["loss"] for e in found]) - truth) < error
    assert abs(np.mean([e.single["loss"] for e in found]) - (noise + rest)) < error
    assert abs(np.mean([e.average["r2"] for e in found]) - (1 - truth)) < 2 * error
    assert {e.temperature for e in found} == {1.0}
    inside = [low < e.average["loss"] < high for e in found for low, high in [e.interval["loss"]]]
    assert all(inside)


def test_the_unit_is_that_of_the_target():
    one, other = (expect(noisy(200, 0.5, 0.1, scale=s), "5", ["loss", "r2"], 3, TEST_ROWS, 0) for s in (1.0, 50.0))
    assert one.average == pytest.approx(other.average)
    assert one.single == pytest.approx(other.single)


def test_an_average_has_at_least_the_error_of_independent_networks():
    """Two networks with opposite errors promise an average without any error; only a K-th is believed."""
    y, order = torch.zeros(50, dtype=torch.float64), torch.arange(50)
    error = torch.linspace(0.1, 1, 50, dtype=torch.float64)[:, None]
    draws = [draw_of("regression", y, {"5": sign * error + 1e-9}, order) for sign in (1, -1)]
    found = expect(draws, "5", ["loss"], 5, TEST_ROWS, 0)
    assert found.average["loss"] == pytest.approx(found.single["loss"] / 5)


@pytest.mark.parametrize("networks", [1, 5])
def test_with_one_draw_an_average_is_expected_to_be_as_good_as_a_single_network(networks):
    found = expect(noisy(300, 0.5, 0.1, draws=1), "5", ["loss", "r2", "mae"], networks, TEST_ROWS, 0)
    assert found.average == found.single
    assert found.single["loss"] == pytest.approx(0.6, rel=0.3)


def test_a_draw_without_the_configuration_does_not_count():
    """A finalist that dropped out after the first draw."""
    draws = noisy(300, 0.5, 0.1)
    draws[1].logits["other"] = draws[1].logits.pop("5")
    found = expect(draws, "5", ["loss"], 5, TEST_ROWS, 0)
    assert found == expect(draws[:1], "5", ["loss"], 5, TEST_ROWS, 0)


def test_rows_that_only_some_draws_have():
    """All rows count for a single network; only the common ones can be averaged, and show what averaging removes."""
    rows, noise, rest = 3000, 0.5, 0.25
    whole = noisy(rows, noise, rest)
    easy = [torch.nonzero(draw.row < 2000)[:, 0] for draw in whole]
    parts = [whole[0], whole[1].part(easy[1])]
    shared = common_rows(parts)
    assert shared[0].row.tolist() == shared[1].row.tolist() == list(range(2000))
    assert (shared[0].y * shared[0].scale).tolist() == pytest.approx((shared[1].y * shared[1].scale).tolist())
    found = expect(parts, "5", ["loss"], 5, TEST_ROWS, 0)
    errors = [((d.logits["5"][:, 0] - d.y) * d.scale).square().mean().item() for d in parts]
    assert found.single["loss"] == pytest.approx(np.mean(errors))
    aligned = [(d.logits["5"][:, 0] - d.y) * d.scale for d in shared]
    one, two = np.mean([e.square().mean().item() for e in aligned]), ((aligned[0] + aligned[1]) / 2).square().mean()
    assert found.average["loss"] == pytest.approx(np.mean(errors) * (1 + 1.6 * (float(two) / one - 1)))


def test_probabilities_are_averaged_before_they_are_calibrated():
    """Overconfident networks: single networks need a higher temperature than their average."""
    stream, rows = torch.Generator().manual_seed(0), 2000
    signal = 2 * torch.randn(rows, 3, generator=stream)
    y = torch.multinomial(signal.softmax(1), 1, generator=stream)[:, 0]
    draws = [
        draw_of("classification", y, {"5": 2 * (signal + 2 * torch.randn(rows, 3, generator=stream))}) for _ in range(2)
    ]
    names = ["loss", "accuracy"]
    one, five = (expect(draws, "5", names, networks, TEST_ROWS, 0) for networks in (1, 5))
    assert one.average == one.single == five.single
    assert one.temperature > five.temperature > 1
    assert five.average["loss"] < five.single["loss"]
    assert five.average["accuracy"] > five.single["accuracy"]


def test_the_temperatures_are_those_of_the_weighted_loss():
    """Rows with a large weight are predicted with less certainty than the others."""
    stream, rows = torch.Generator().manual_seed(0), 1000
    signal = 2 * torch.randn(rows, 3, generator=stream)
    y, weight = torch.multinomial(signal.softmax(1), 1, generator=stream)[:, 0], torch.ones(rows)
    weight[::2] = 9
    logits = torch.where(weight[:, None] > 1, 2 * signal, signal)
    weighted, plain = ([draw_of("classification", y, {"5": logits}, weight=w)] * 2 for w in (weight, None))
    for networks in (1, 5):
        found, other = (expect(draws, "5", ["loss"], networks, TEST_ROWS, 0) for draws in (weighted, plain))
        assert found.temperature > other.temperature + 0.05
    assert average_of_draws(weighted, "5")[1] == pytest.approx(fit_temperature(logits, y, weight))


def test_a_score_stays_within_its_bounds_and_its_interval_is_wider_for_few_test_rows():
    y = torch.arange(80) % 2
    sure = 5.0 * torch.nn.functional.one_hot(y, 2)
    wrong = torch.tensor([[1.0, 0.0]]).repeat(80, 1)
    perfect = expect([draw_of("classification", y, {"5": sure})] * 2, "5", ["accuracy"], 5, TEST_ROWS, 0)
    assert perfect.average["accuracy"] == pytest.approx(1.0)
    assert perfect.interval["accuracy"][1] <= 1
    few, many = (
        expect(
            [draw_of("classification", y, {"5": sure.where(torch.arange(80)[:, None] > 9, wrong)})],
            "5",
            ["accuracy"],
            1,
            n,
            0,
        )
        for n in (20, 2000)
    )
    (few_low, few_high), (low, high) = few.interval["accuracy"], many.interval["accuracy"]
    assert 0 <= few_low < low < many.average["accuracy"] < high < few_high <= 1


def test_a_metric_that_the_rows_do_not_define_is_left_out():
    y = torch.zeros(40, dtype=torch.long)
    logits = torch.randn(40, 2, generator=torch.Generator().manual_seed(0))
    found = expect([draw_of("classification", y, {"5": logits})] * 2, "5", ["loss", "roc_auc"], 5, TEST_ROWS, 0)
    assert found.single.keys() == found.average.keys() == found.interval.keys() == {"loss"}
