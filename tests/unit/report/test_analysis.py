"""The numbers of a report: axes, the gap and the amount of regularization, predictions, weights."""

import logging
import logging.handlers
from dataclasses import replace

import numpy as np
import pytest
import torch

from hpo.nn.mlp import Mlp
from hpo.report import analysis, network_text, optuna_plots, plots, predictions, sentences
from hpo.report import weights as layers
from hpo.report.analysis import Ridge, Trend
from hpo.report.axis import Axis, format_tick
from hpo.report.optuna_study import OptunaStudy
from hpo.space import loader
from hpo.space.hyperparameter import Hyperparameter
from tests.helpers.reports import outcome, report_inputs, with_falling_gap
from tests.helpers.searches import TINY
from tests.helpers.training import dataset

LOG = Hyperparameter(low=1e-4, high=1.0, log=True, optional=True)


# ---- axes


def test_off_has_a_position_next_to_a_log_range():
    axis = Axis.of("weight_decay", LOG)
    assert axis.off_position == pytest.approx(1e-4 * 10 ** (-4 * 0.12))
    assert [axis.fraction(v) for v in (0.0, 1.0)] == [0.0, 1.0]
    assert axis.position(0.01) == 0.01
    assert axis.ticks() == [
        (axis.off_position, "off"),
        (1e-4, "1e-4"),
        (1e-3, "0.001"),
        (1e-2, "0.01"),
        (0.1, "0.1"),
        (1.0, "1"),
    ]


def test_off_is_at_the_less_regularized_end():
    axis = Axis.of("max_norm", Hyperparameter(low=0.5, high=5.0, log=True, optional=True))
    assert axis.fraction(axis.default_value) == 1.0
    assert axis.ticks()[-1] == (axis.off_position, "off")


def test_off_is_below_the_range_of_a_strength_that_is_no_regularization():
    axis = Axis.of("class_weight", Hyperparameter(low=0.2, high=1.0, optional=True))
    assert axis.position(0.0) == axis.low < 0.2
    assert axis.high == 1.0


def test_an_axis_without_off_does_not_cover_off():
    axis = Axis.of("weight_decay", replace(LOG, optional=False))
    assert not axis.covers({"weight_decay": 0.0})
    assert axis.covers({"weight_decay": 0.5})
    assert not axis.covers({})


def test_choices_are_in_order():
    axis = Axis.of("l1", Hyperparameter(choices=(0.1, 0.0, 0.01)))
    assert [axis.fraction(v) for v in (0.0, 0.01, 0.1)] == [0.0, 0.5, 1.0]
    assert [text for _, text in axis.ticks()] == ["off", "0.01", "0.1"]


@pytest.mark.parametrize(
    ("value", "text"), [(1e-4, "1e-4"), (0.01, "0.01"), (3.2e-5, "3.2e-5"), (0.25, "0.25"), (2e6, "2e6"), (64, "64")]
)
def test_a_tick_is_short(value, text):
    assert format_tick(value) == text


# ---- the gap, and the balance


def test_the_gap_falls_with_a_strength_by_its_rank_correlation():
    trends = analysis.gap_trends(report_inputs(with_falling_gap()))
    assert trends["dropout"].rho == pytest.approx(-1)
    assert trends["dropout"].is_clear
    assert trends["weight_decay"] is None  # constant
    assert (
        sentences.gap_trend("dropout", Trend(-0.6, 0.001, 20))
        == "The gap falls with dropout (Spearman −0.60, 20 trials)."
    )
    assert (
        sentences.gap_trend("l1", Trend(0.1, 0.6, 20))
        == "No clear trend of the gap with l1 (Spearman 0.10, 20 trials)."
    )
    assert sentences.gap_trend("l1", None) == "Gap by l1."
    assert sentences.gap_trend("l1", None, too_few=True) == "Too few trials for a correlation."


def test_pruned_trials_do_not_count_for_the_gap():
    trials = [*with_falling_gap(), outcome(20, 1.0, 9.0, state="pruned", dropout=0.5)]
    assert analysis.gap_trends(report_inputs(trials))["dropout"].trials == 20


def test_along_a_ridge_the_product_is_constant():
    trials = [outcome(i, 1.0, 0.1, learning_rate=1e-3 * 1.2**i, weight_decay=1e-1 / 1.2**i) for i in range(24)]
    found = analysis.ridge(report_inputs(trials))
    assert (found.product, found.low, found.high) == pytest.approx((1e-4,) * 3)
    assert found.is_ridge
    assert analysis.ridge(report_inputs(trials[:19])) is None
    assert not Ridge(Trend(0.9, 0.0, 12), 1.0, 1.0, 1.0, 12).is_ridge


def test_the_size_of_a_stack_is_the_number_of_networks_in_training_at_once():
    trials = [replace(outcome(i, 1.0, 0.1, depth=1 + i // 3), rounds=[i, i + 1]) for i in range(4)]
    stacks = analysis.stack_usage(report_inputs(trials))
    assert [(s.shape, s.trials, s.mean, s.peak, s.only_trial) for s in stacks] == [
        ({"depth": 1}, 3, 1.5, 2, ""),
        ({"depth": 2}, 1, 1.0, 1, "3"),
    ]


def test_best_so_far_lists_the_improvements():
    trials = [outcome(i, v, 0.1) for i, v in enumerate([3.0, 2.0, 2.5, 1.0])]
    assert analysis.best_so_far(trials, "loss") == [(0, 3.0), (1, 2.0), (3, 1.0)]
    assert analysis.best_so_far(trials, "accuracy") == [(0, 3.0)]


def test_a_constant_hyperparameter_logs_no_warning():
    log = logging.handlers.BufferingHandler(10)
    logging.getLogger("optuna").addHandler(log)
    inputs = report_inputs([outcome(i, 1 + i / 10, 0.1, learning_rate=10 ** -(1 + i / 10)) for i in range(6)])
    rate, decay = (inputs.axes[key] for key in ("learning_rate", "weight_decay"))
    study = OptunaStudy(inputs.space, inputs.axes, inputs.complete_trials)
    assert optuna_plots.contour(study, inputs, rate, decay)["data"]
    logging.getLogger("optuna").removeHandler(log)
    assert log.buffer == []


# ---- predictions


def test_the_name_of_a_target_is_escaped_for_plotly():
    drawn = plots.residuals(predictions.NumberPredictions(np.arange(2), np.zeros(2), np.ones(2)), "<b>price")
    assert drawn["layout"]["xaxis"]["title"]["text"] == "predicted &lt;b&gt;price"


def with_predictions(probabilities, rows):
    data = dataset()
    inputs = replace(
        report_inputs(with_falling_gap()),
        data=data,
        oof_predictions={"rows": torch.tensor(rows), "predictions": torch.tensor(probabilities).log()},
    )
    return predictions.class_predictions(inputs)


def test_errors_are_sorted_by_confidence():
    y = dataset().y[:3].tolist()
    n = dataset().n_outputs
    sure = np.full((3, n), 0.1 / (n - 1))
    sure[0, y[0]], sure[1, (y[1] + 1) % n], sure[2, (y[2] + 1) % n] = 0.9, 0.9, 0.9
    sure[2] = sure[2] * 0.5 + 0.5 / n
    predicted = with_predictions(sure, [0, 1, 2])
    assert predicted.errors.tolist() == [1, 2]
    assert predicted.confidence[1] == pytest.approx(0.9)
    assert predicted.confusion().sum() == 3
    assert predicted.confusion()[y[1], (y[1] + 1) % n] >= 1
    assert sum(count for *_, count in predicted.confused()) == 2
    bins = predictions.reliability(predicted)
    assert sum(b.count for b in bins) == 3
    expected = sum(b.count * abs(b.confidence - b.accuracy) for b in bins) / 3
    assert predictions.calibration_error(bins) == pytest.approx(expected)


# ---- weights


def test_zeros_are_counted_and_left_out_of_the_histogram():
    net = Mlp(3, 2, 1, 4)
    weights = {p.name: torch.ones(1, *p.shape) for p in net.parameters}
    weights["0.weight"][0, 1] = 0  # (in, out): the second input
    inputs = replace(report_inputs(with_falling_gap()), network=net, weights=weights)
    first = layers.layers(inputs)[0]
    assert (first.name, first.weights, first.zeros, sum(first.counts)) == ("0.weight", 12, 4, 8)
    assert network_text.zeros("0.weight", 4, 12) == "4 of 12 weights of 0.weight are exactly zero (33.3 %)."


def test_a_column_is_unused_if_all_weights_on_it_are_zero():
    data = dataset()
    net = Mlp(data.n_inputs, data.n_outputs, 1, 4)
    weights = {p.name: torch.ones(1, *p.shape) for p in net.parameters}
    weights["0.weight"][0, 2] = 0
    weights["0.weight"][0, 5, :3] = 0
    inputs = replace(report_inputs(with_falling_gap()), network=net, weights=weights, data=data)
    names = [column for column, _ in data.preprocess.groups]
    assert layers.unused_columns(inputs) == [names[2]]
    assert layers.n_input_columns(inputs) == 13


def test_each_gap_is_plotted_over_the_value_of_its_trial():
    """Optuna groups trials by value, not by number."""
    searched = [outcome(i, 1.0, 0.1 * (i + 1), batch_norm=i % 2 == 0) for i in range(5)]
    inputs = report_inputs(searched)
    inputs = replace(
        inputs, space=loader.parse(TINY | {"search": TINY["search"] | {"batch_norm": {"choices": [False, True]}}})
    )
    drawn = optuna_plots.slice_of_gap(
        OptunaStudy(inputs.space, inputs.axes, inputs.complete_trials), inputs, inputs.axes["batch_norm"]
    )["data"][0]
    shown = sorted(zip(np.round(drawn["y"], 6).tolist(), drawn["x"], strict=True))
    assert shown == [(0.1, "true"), (0.2, "false"), (0.3, "true"), (0.4, "false"), (0.5, "true")]
