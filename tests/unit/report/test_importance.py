"""Importances carry an uncertainty, and without enough trials they have no order."""

import numpy as np
import pytest

from hpo.report import optuna_plots, sentences
from hpo.report.importance import Importance, hardly_matter, leader, summarize
from hpo.report.optuna_study import OptunaStudy
from tests.helpers.reports import outcome, report_inputs, with_falling_gap


def drawn(n, noise=0.0):
    """Return trials whose loss rises with dropout, and whose gap falls with weight decay."""
    rng = np.random.default_rng(0)
    values = zip(rng.uniform(0, 0.5, n), 10 ** rng.uniform(-4, 0, n), 10 ** rng.uniform(-3, -1, n), strict=True)
    return [
        outcome(
            i,
            1 + dropout + noise * rng.normal(),
            -np.log10(decay),
            dropout=dropout,
            weight_decay=decay,
            learning_rate=rate,
        )
        for i, (dropout, decay, rate) in enumerate(values)
    ]


def study(inputs):
    return OptunaStudy(inputs.space, inputs.axes, inputs.complete_trials)


def test_importances_for_the_score_and_for_the_gap():
    inputs = report_inputs(drawn(60))
    found = study(inputs).importances()
    assert leader(found["score"], 60) == "dropout"
    assert leader(found["gap"], 60) == "weight_decay"
    assert found["score"]["dropout"].share > 0.7
    assert [sum(one.share for one in shares.values()) for shares in found.values()] == pytest.approx([1, 1])
    assert all(0 < found["score"][key].sd < 0.3 for key in ("dropout", "weight_decay", "learning_rate"))
    sentence = sentences.importance(inputs, found)
    assert sentence.startswith("Dropout explains ")
    assert sentence.endswith("(fANOVA, 60 trials).")
    assert sentences.importance_title(found, 60) == "Dropout matters most for the score"


def test_noise_has_no_most_important_hyperparameter():
    inputs = report_inputs(drawn(40, noise=100.0))
    found = study(inputs).importances()
    assert leader(found["score"], 40) == ""
    assert sentences.importance_title(found, 40) == "Hyperparameter importance: the intervals overlap"


def test_few_trials_have_importances_without_an_order():
    inputs = report_inputs(drawn(20))
    found = study(inputs).importances()
    assert leader(found["score"], 20) == ""
    assert sentences.importance(inputs, found) == (
        "20 trials are too few to tell, so the hyperparameters have no order of importance (fANOVA, 20 trials)."
    )
    assert study(report_inputs(drawn(14))).importances() == {}


def test_trials_that_are_all_equal_have_no_importances():
    assert study(report_inputs([outcome(i, 1.0, 0.1, dropout=i / 40) for i in range(20)])).importances() == {}


def test_overlapping_intervals_have_no_leader():
    apart = {"l1": Importance(0.8, 0.05), "dropout": Importance(0.2, 0.05)}
    assert leader(apart, 40) == "l1"
    assert leader(apart, 29) == ""
    assert leader({"l1": Importance(0.55, 0.2), "dropout": Importance(0.45, 0.2)}, 40) == ""
    assert hardly_matter({"l1": Importance(0.9, 0.05), "dropout": Importance(0.05, 0.01)}, 40) == ["dropout"]
    assert hardly_matter({"l1": Importance(0.9, 0.05), "dropout": Importance(0.05, 0.3)}, 40) == []


def test_the_bars_have_intervals():
    found = {name: summarize([{"l1": 0.6, "dropout": 0.4}, {"l1": 0.8, "dropout": 0.2}]) for name in ("score", "gap")}
    assert found["score"]["l1"].share == pytest.approx(0.7)
    assert found["score"]["l1"].sd == pytest.approx(0.2 / np.sqrt(2))
    bars = optuna_plots.importance(found)["data"][0]
    assert (bars["y"], bars["x"]) == (["dropout", "l1"], pytest.approx([0.3, 0.7]))
    assert bars["error_x"]["arrayminus"] == pytest.approx([0.1645 * np.sqrt(2)] * 2)


def test_the_sentence_names_what_hardly_matters():
    one = {"weight_decay": Importance(0.9, 0.02), "dropout": Importance(0.1, 0.02)}
    sentence = sentences.importance(report_inputs(with_falling_gap(40)), {"score": one, "gap": one})
    assert sentence == (
        "Weight decay explains 90 % ± 2 % of the differences in score and 90 % ± 2 % of those in the gap; dropout "
        "hardly matters for the score (fANOVA, 40 trials)."
    )
