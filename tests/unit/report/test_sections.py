"""Headings, captions and the finalists' plot follow the numbers of their section."""

from dataclasses import replace

import numpy as np
import pytest

from hpo.report import next_steps, plots, sentences, tables
from hpo.report.analysis import Ridge, Trend
from hpo.report.optuna_study import OptunaStudy
from hpo.report.search_sections import opening, search_sections
from hpo.selection.result_parts import FinalistScores, RefitResult, Verdict
from tests.helpers.reports import config_scores, gain, outcome, report_inputs, with_falling_gap
from tests.helpers.results import search_result

FALLS, RISES, UNCLEAR = Trend(-0.7, 0.001, 20), Trend(0.6, 0.004, 20), Trend(0.1, 0.6, 20)


def finalist(expected, search=1.0, reevaluated=1.0):
    return FinalistScores(search=search, reevaluated=reevaluated, standard_error=0.1, fits=8, gain=expected)


def sections(inputs):
    study = OptunaStudy(inputs.space, inputs.axes, inputs.complete_trials)
    return {section.short or section.title: section for section in search_sections(inputs, study, study.importances())}


def by_epoch(*gaps):
    """Return an outcome with these gaps by epoch, whose best epoch is the last one but one."""
    made = outcome(0, 1.0, gaps[-2])
    curves = {"train_loss": [1.0 - gap for gap in gaps], "valid_loss": [1.0] * len(gaps)}
    return replace(made, curves=curves, best_epoch=len(gaps) - 1, epochs=len(gaps))


def test_the_heading_of_the_curves_follows_the_gap():
    title = sentences.curves_title
    assert title(by_epoch(-0.2, -0.3, -0.2)) == "No train–valid gap: validation loss is not above training loss"
    assert title(by_epoch(0.1, 0.3, 0.4)).startswith("The train–valid gap of the selected configuration grows to 0.300")
    assert title(by_epoch(0.4, 0.3, 0.2)).startswith("The train–valid gap of the selected configuration is 0.300")
    assert title(None) == "Training and validation loss by epoch"


def test_a_negative_gap_is_not_called_overfitting():
    text = sentences.curves_text({"selected": by_epoch(-0.2, -0.3, -0.2)}, reevaluated=True)
    assert "Validation below training (selected) is not overfitting" in text
    assert "not overfitting" not in sentences.curves_text({"selected": by_epoch(0.2, 0.3, 0.2)}, reevaluated=True)


def test_a_curve_of_one_epoch_is_a_point():
    axis = {"type": "linear"}
    assert [trace["mode"] for trace in plots.curves(outcome(0, 1.0, 0.1), axis)["data"][:2]] == ["markers", "markers"]
    assert plots.curves(by_epoch(0.1, 0.2), axis)["data"][0]["mode"] == "lines"


def test_a_baseline_is_named_by_its_trial():
    baselines = {"defaults": config_scores("defaults", 1.0, 0.1), "ablation": config_scores("ablation-0", 1.0, 0.1)}
    assert report_inputs(with_falling_gap(), baselines=baselines).compared == {
        "selected": "0",
        "without regularization": "ablation-0",
        "usual defaults": "defaults",
    }


def test_networks_that_were_still_improving_are_named():
    trainings = {"selected": by_epoch(0.1, 0.2, 0.3), "usual defaults": outcome(1, 1.0, 0.1)}
    assert "Still improving at their last epoch: usual defaults." in sentences.curves_text(trainings, reevaluated=False)


@pytest.mark.parametrize(
    ("trends", "title"),
    [
        ({"l1": RISES}, "The train–valid gap rises with l1"),
        ({"l1": RISES, "dropout": FALLS}, "The train–valid gap falls with dropout and rises with l1"),
        ({"l1": UNCLEAR, "dropout": None}, "Train–valid gap: no clear trend with any hyperparameter"),
        ({"l1": None}, "Train–valid gap: too few trials to tell a trend"),
    ],
)
def test_the_heading_of_the_gap_names_every_clear_trend(trends, title):
    assert sentences.gap_title(trends) == title


def test_without_enough_trials_nothing_is_said_about_learning_rate_and_weight_decay():
    few = [outcome(i, 1.0 + i / 10, 0.1, learning_rate=1e-3 * 1.2**i, weight_decay=0.1) for i in range(12)]
    section = sections(report_inputs(few))["Learning rate × weight decay"]
    assert section.title == "Learning rate × weight decay: too few trials to tell"
    assert "at least 20 complete trials" in section.panels[0].caption
    assert all(trace["type"] == "scatter" for trace in section.panels[0].plot["data"])  # no contours
    assert [len(trace["x"]) for trace in section.panels[0].plot["data"]][:2] == [6, 6]
    ridge = Ridge(FALLS, 1e-4, 1e-4, 1e-4, 20)
    assert sentences.ridge_title(ridge) == "A higher learning rate goes with a lower weight decay"
    assert sentences.ridge_title(replace(ridge, trend=UNCLEAR)) == "Learning rate × weight decay: no clear relation"


def test_the_headings_of_a_section_and_of_the_importances_do_not_contradict_each_other():
    """With 20 trials, no hyperparameter is said to decide, and the trend has the same sign in heading and caption."""
    found = sections(report_inputs(with_falling_gap()))
    assert found["Train–valid gap"].title == "The train–valid gap falls with dropout"
    assert found["Train–valid gap"].panels[0].caption.startswith("The gap falls with dropout")
    assert found["Hyperparameter importance"].title == "Hyperparameter importance: 20 trials are too few to tell"


def test_the_selected_configuration_comes_before_every_conclusion():
    inputs = report_inputs(with_falling_gap(), "5", gap_without=0.6)
    top = opening(inputs, {})
    assert top.index("<dl>") < top.index('<p class="lead">Cannot tell') < top.index("<table>")


def test_the_finalists_are_plotted_as_gains_over_the_defaults():
    scored = {"3": finalist(gain(0.1, 0.3)), "7": finalist(gain(-0.2, 0.1)), "defaults": finalist(gain(0, 0))}
    drawn = plots.finalists(search_result(finalists=scored, trial="3"), "loss")
    intervals, measured, zero = drawn["data"]
    assert intervals["y"] == ["trial 7", "trial 3 ★"]
    assert intervals["x"] == pytest.approx([-0.05, 0.2])
    assert intervals["error_x"]["array"] == pytest.approx([0.15, 0.1])
    assert intervals["error_x"]["arrayminus"] == pytest.approx([0.15, 0.1])
    assert measured["x"] == pytest.approx([-0.1, 0.4])
    assert (zero["x"], zero["y"]) == ([0.0], ["usual defaults"])
    assert drawn["layout"]["yaxis"]["categoryarray"][-1] == "usual defaults"


def test_a_finalist_far_behind_is_marked_at_the_border():
    scored = {str(i): finalist(gain(-0.1 + i / 100, 0.1 + i / 100)) for i in range(6)} | {"9": finalist(gain(-80, -70))}
    drawn = plots.finalists(search_result(finalists=scored, trial="3"), "loss")
    low, high = drawn["layout"]["xaxis"]["range"]
    assert high - low < 1
    place = drawn["data"][0]["y"].index("trial 9")
    assert drawn["data"][0]["marker"]["symbol"][place] == "triangle-left"
    assert low < drawn["data"][0]["x"][place] < high


def test_the_heading_of_the_finalists_counts_those_clearly_better():
    def title(finalists):
        return sentences.finalists_title(search_result(finalists=finalists))

    three = {"3": finalist(gain(0.1, 0.3)), "7": finalist(gain(-0.2, 0.1)), "defaults": finalist(gain(0, 0))}
    assert title(three) == "Re-evaluation: 1 of 2 is clearly better than the usual defaults"
    assert title({"7": three["7"]}) == "Re-evaluation: none of 1 is clearly better than the usual defaults"
    assert title({"3": finalist(None)}) == "Re-evaluation: nothing can be compared with the usual defaults"


def test_the_table_of_finalists_shows_the_search_score():
    html = tables.finalists(report_inputs(with_falling_gap(), finalists={"0": finalist(gain(0.1, 0.3), 0.123, 0.456)}))
    assert "<td>trial 0 ★</td><td>0.123</td><td>0.456</td>" in html


def test_the_finalists_are_compared_with_the_defaults_that_the_gains_are_measured_over():
    scored = {"3": finalist(gain(0.1, 0.3)), "defaults_fast": finalist(gain(0, 0)), "defaults": finalist(gain(-2, -1))}
    verdict = Verdict("3", "defaults_fast", gain(0.1, 0.3), 8, significant=True, detectable=None)
    inputs, name = report_inputs(with_falling_gap(), "3", finalists=scored, verdict=verdict), "at 3× learning rate"
    section = sections(inputs)["Finalists"]
    assert section.title == f"Re-evaluation: 1 of 2 is clearly better than the usual defaults {name}"
    captions = [panel.caption for panel in section.panels]
    assert captions[0].startswith(f"Each configuration is compared with the usual defaults {name} on the same rows")
    assert captions[1].startswith("The scores in the search and in the re-evaluation are those of single networks, not")
    drawn, table = section.panels[0].plot, section.panels[1].html
    assert drawn["data"][0]["y"] == ["usual defaults", "trial 3 ★"]
    assert [" ".join(y.split("<br>")) for y in drawn["data"][2]["y"]] == [f"usual defaults {name}"]
    assert drawn["layout"]["xaxis"]["title"]["text"] == f"gain in loss over the usual defaults {name}"
    assert f"<th>compared with the usual defaults {name}</th>" in table
    assert table.count("<td>–</td><td>–</td></tr>") == 1
    assert f"<td>the usual defaults {name}</td><td>1.000</td><td>1.000</td><td>–</td><td>–</td>" in table


@pytest.mark.parametrize(
    ("label", "title"),
    [
        ("5", "trial 5 is"),
        ("none", "no regularization is"),
        ("defaults", "the usual defaults are"),
        ("defaults_fast", "the usual defaults at 3× learning rate are"),
    ],
)
def test_the_title_names_the_selected_configuration(label, title):
    inputs = report_inputs(with_falling_gap())
    assert sentences.title(replace(inputs, result=replace(inputs.result, trial=label))) == f"tiny: {title} selected"


def commands(inputs):
    return next_steps.section(inputs).panels[0].html


def test_the_last_section_has_the_commands_of_this_study():
    inputs = report_inputs(with_falling_gap(), "5")
    assert "<code>hpo export --study tiny -o best.yaml</code>" in commands(inputs)
    assert "<code>hpo export --study tiny --trial 0 -o trial-0.yaml</code>" in commands(inputs)
    assert "--weights" not in commands(inputs)
    assert "--trial" not in commands(report_inputs(with_falling_gap(), "0"))
    stored = replace(inputs, store="my runs")
    assert "hpo export --study tiny --store &#x27;my runs&#x27; -o best.yaml" in commands(stored)
    refit = report_inputs(with_falling_gap(), "5", refit=RefitResult("scaled", "5-scaled-9", 9, 10))
    assert "hpo export --study tiny --weights best" in commands(refit)


def test_the_advice_follows_the_findings():
    def advice(**result):
        panels = next_steps.section(report_inputs(with_falling_gap(), "5", gap_without=0.6, **result)).panels
        return "".join(panel.html for panel in panels[1:])

    assert "finalists: 4" in advice(finalists={})
    assert "Allow less regularization" in advice(regularization=gain(-0.3, -0.1))
    assert "data.split.folds" in advice(regularization=gain(-0.1, 0.1))
    assert "raise budget.seconds" in advice()  # one epoch of four


def test_all_plots_have_finite_coordinates():
    rng = np.random.default_rng(0)
    trials = [
        outcome(i, float(loss), float(gap), dropout=i / 80, weight_decay=0.1, learning_rate=1e-3 * 1.1**i)
        for i, (loss, gap) in enumerate(zip(10 ** rng.normal(size=30), rng.standard_cauchy(30), strict=True))
    ]
    for section in sections(report_inputs(trials)).values():
        for panel in section.panels:
            for trace in (panel.plot or {"data": []})["data"]:
                values = [v for name in ("x", "y") for v in trace.get(name) or [] if isinstance(v, float)]
                assert np.isfinite(values).all()
