"""The judgement of over- and under-regularization rests on the re-evaluation; without evidence there is none."""

from dataclasses import replace

import pytest

from hpo.core.selection_rules import PRACTICALLY_EQUAL
from hpo.regularizers import registered
from hpo.regularizers.base import Regularizer
from hpo.report import balance_text
from hpo.report.balance import balance
from hpo.selection.result_parts import FinalistScores
from hpo.space import loader
from tests.helpers.reports import gain, outcome, report_inputs, with_falling_gap
from tests.helpers.searches import TINY

HELPS, HURTS, UNCLEAR = gain(0.02, 0.2), gain(-0.2, -0.02), gain(-0.1, 0.1)


def better_with_more():
    """Return trials whose loss falls with dropout, so that more regularization goes with better scores."""
    return [outcome(i, 2.0 - i / 20, 0.5, dropout=0.4 * i / 20) for i in range(20)]


def better_with_less():
    return [outcome(i, 1.0 + i / 20, 0.5, dropout=0.4 * i / 20) for i in range(20)]


def judged(trials, selected, **result):
    inputs = report_inputs(trials, selected, **{"gap_without": 0.6} | result)
    found = balance(inputs)
    return found.standing, balance_text.standing(inputs, found)


def test_regularization_that_was_measured_as_harmful_is_over_regularization():
    standing, text = judged(with_falling_gap(), "5", regularization=HURTS)
    assert standing == "over"
    assert text == "Over-regularized: the same configuration without regularization is measurably better."
    _, text = judged(with_falling_gap(), "5", regularization=UNCLEAR, contributions={"dropout": HURTS})
    assert text == "Over-regularized: it is measurably better without dropout."


@pytest.mark.parametrize("trials", [better_with_more(), better_with_less()])
@pytest.mark.parametrize("selected", ["2", "15"])
def test_trends_alone_give_no_verdict(trials, selected):
    assert judged(trials, selected, regularization=UNCLEAR)[0] == "unclear"
    assert judged(trials, selected, regularization=None)[0] == "unmeasured"


def test_if_regularization_helps_the_trend_says_whether_more_would():
    assert judged(better_with_more(), "2", regularization=HELPS)[0] == "more"
    assert judged(better_with_more(), "19", regularization=HELPS)[0] == "well"
    assert judged(better_with_less(), "15", regularization=HELPS)[0] == "less"
    assert judged(better_with_more()[:10], "2", regularization=HELPS)[0] == "helps"


def test_well_regularized_is_said_only_where_regularization_helps():
    _, text = judged(better_with_more(), "19", regularization=HELPS)
    assert text.startswith("Well regularized: regularization helps")
    for effect in (UNCLEAR, HURTS, None):
        assert "Well regularized" not in judged(better_with_more(), "19", regularization=effect)[1]


def test_no_verdict_names_what_is_missing():
    _, text = judged(with_falling_gap(), "5", regularization=UNCLEAR)
    assert text.startswith("Cannot tell whether more or less regularization would be better: the effect of all of it")
    _, text = judged(with_falling_gap(), "5", finalists={})
    assert text.endswith("nothing was re-evaluated on new splits and seeds (finalists: 0, or a single configuration).")
    _, text = judged(with_falling_gap(), "5")
    assert "not compared with the same configuration without regularization" in text


def test_little_overfitting_needs_a_small_gap_without_regularization():
    assert judged(with_falling_gap(), "5", regularization=UNCLEAR, gap_without=0.05)[0] == "little"
    assert judged(with_falling_gap(), "5", regularization=UNCLEAR, gap_without=-0.1)[0] == "little"
    assert judged(with_falling_gap(), "5", regularization=HELPS, gap_without=0.05)[0] != "little"


def test_no_regularization_is_right_only_if_some_was_tried():
    def finalist(expected):
        return FinalistScores(search=1.0, reevaluated=1.0, standard_error=0.1, fits=4, gain=expected)

    trials, finalists = with_falling_gap(), {"0": finalist(gain(0.1, 0.2)), "5": finalist(gain(0.0, 0.1))}
    assert judged(trials, "0", finalists=finalists)[0] == "none"
    standing, text = judged(trials, "0", finalists=finalists | {"5": finalist(gain(-0.1, 0.2))})
    assert standing == "none_unclear"
    assert text.startswith("Cannot tell whether some regularization would be better than none")
    assert judged(trials, "0", finalists={"0": finalists["0"]})[0] == "unmeasured"


def test_a_strength_at_the_end_of_its_range_is_extended_only_if_regularization_helps():
    trials = [*with_falling_gap(), outcome(20, 1.0, 0.5, dropout=0.5)]
    for effect, words in ((HELPS, "its range: extend its range."), (UNCLEAR, "its range."), (HURTS, "its range.")):
        inputs = report_inputs(trials, "20", gap_without=0.6, regularization=effect)
        found = balance(inputs)
        assert found.at_bounds == ("dropout",)
        assert balance_text.reasons(inputs, found).endswith(f"Dropout is at the most regularized end of {words}")
    assert balance(report_inputs(trials, "20", gap_without=0.6, regularization=HELPS)).standing == "more"


class Temperature(Regularizer):
    """A strength without a more regularized end."""

    name, summary, source, direction = "temperature", "…", "…", 0
    prior = {"low": 0.5, "high": 2.0}


def test_a_strength_without_a_direction_is_never_at_its_regularized_end():
    with registered([Temperature()]):
        for value in (0.5, 2.0):
            inputs = report_inputs([*with_falling_gap(), outcome(20, 1.0, 0.5, temperature=value)], "20")
            inputs = replace(
                inputs,
                space=loader.parse(TINY | {"search": TINY["search"] | {"temperature": {"low": 0.5, "high": 2.0}}}),
            )
            assert balance(inputs).at_bounds == ()


def test_a_loss_of_zero_has_no_share():
    trials = [outcome(i, 0.0, 0.0, weight_decay=10 ** -(1 + i / 10)) for i in range(6)]
    assert judged(trials, "0", gap_without=0.0, regularization=gain(0.0, 0.0))[0] == "little"


def test_only_strengths_that_were_measured_could_be_left_out():
    trials = with_falling_gap()
    measured = {"dropout": gain(0.05, 0.2), "weight_decay": gain(-0.05, 0.06)}
    assert balance_text.droppable(report_inputs(trials, "5", contributions=measured)) == (
        "Could be left out: weight decay. Without it, the expected error is not more than "
        f"{100 * PRACTICALLY_EQUAL:.2g} % higher."
    )
    unclear_but_large = {"dropout": gain(-0.05, 0.2)}
    assert balance_text.droppable(report_inputs(trials, "5", contributions=unclear_but_large)) == ""
    assert balance_text.droppable(report_inputs(trials, "5")) == ""
