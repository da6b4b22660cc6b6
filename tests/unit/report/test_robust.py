"""Outliers do not squeeze a plot: the axis ignores them, and they are marked at its border."""

import math

import pytest

from hpo.report import optuna_plots
from hpo.report.optuna_study import OptunaStudy
from hpo.report.robust import limits
from tests.helpers.reports import outcome, report_inputs


def test_limits_leave_out_outliers_but_not_kept_values():
    values = [1.0, 1.1, 1.2, 1.3, 1.4, -15.0]
    found = limits(values)
    assert found.low > 0.9
    assert found.high < 1.5
    assert not found.contains(-15.0)
    assert found.low < found.border(-15.0) < 1.0
    assert limits(values, [-15.0]).contains(-15.0)


def test_without_outliers_there_are_no_limits():
    assert limits([1.0, 1.1, 1.2, 1.3, 1.4]) is None
    assert limits([1.0, 1e6]) is None
    assert limits([1.0] * 6 + [2.0]) is None


def test_on_a_logarithmic_axis_the_logarithms_count():
    values = [0.1, 0.2, 0.3, 0.5, 1.0, 2.0]
    assert limits(values, log=True) is None
    found = limits([*values, 1e9], log=True)
    assert found.plotly_range == pytest.approx([math.log10(found.low), math.log10(found.high)])
    assert 2.0 < found.high < 10
    assert 2.0 < found.border(1e9) < found.high


def with_outlier():
    return [outcome(i, 1.0 + i / 100, 0.1 + i / 100, dropout=i / 40) for i in range(15)] + [
        outcome(15, 900.0, -15.0, dropout=0.4)
    ]


def test_an_outlier_is_marked_at_the_border_of_the_gap_and_of_the_history():
    inputs = report_inputs(with_outlier())
    study = OptunaStudy(inputs.space, inputs.axes, inputs.complete_trials)
    gap = optuna_plots.slice_of_gap(study, inputs, inputs.axes["dropout"])
    low, high = gap["layout"]["yaxis"]["range"]
    assert high - low < 0.5
    (marks,) = (trace for trace in gap["data"] if trace["name"] == "beyond the axis")
    assert (marks["marker"]["symbol"], marks["text"]) == (["triangle-down"], ["trial 15: gap −15"])
    assert low < marks["y"][0] < high
    history = optuna_plots.history(study, inputs)
    assert 10 ** history["layout"]["yaxis"]["range"][1] < 2
    (marks,) = (trace for trace in history["data"] if trace["name"] == "beyond the axis")
    assert marks["x"] == [15]
