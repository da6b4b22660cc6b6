"""The numbers of a report: where values stand on an axis, what goes with the gap, what could be dropped, what is predicted wrongly."""

import logging
import logging.handlers
from dataclasses import replace

import numpy as np
import pytest
import torch

from hpo.core.trial import Outcome, Trial
from hpo.nn.mlp import Mlp
from hpo.regularizers import registered
from hpo.regularizers.base import Regularizer
from hpo.report import analysis, optuna_plots, plots, predictions, sentences
from hpo.report import weights as layers
from hpo.report.analysis import Ridge, Trend
from hpo.report.axis import Scale, short
from hpo.report.inputs import ReportInputs
from hpo.report.optuna_study import Past
from hpo.space import loader
from hpo.space.hyperparameter import Hyperparameter
from tests.helpers.searches import TINY
from tests.helpers.training import dataset

LOG = Hyperparameter(low=1e-4, high=1.0, log=True, optional=True)


def outcome(label, value, gap, role="search", state="complete", **params):
    trial = Trial(
        str(label), role, {"learning_rate": 1e-2, "depth": 1, "weight_decay": 0.0, "dropout": 0.0} | params, 0
    )
    train, valid = {"loss": value - gap}, {"loss": value}
    curves = {"train_loss": [value - gap], "valid_loss": [value]}
    return Outcome(
        trial,
        state,
        "",
        value,
        1,
        1,
        train,
        valid,
        1.0,
        curves,
        {},
        1,
        0.0,
        [1.0],
        [int(label) if str(label).isdigit() else 0] * 2,
        {},
    )


def material(outcomes, selected="0", regularization=None, error=0.1):
    known = {o.trial.label: o for o in outcomes}
    result = {
        "trial": selected,
        "selected": known[selected].trial.params,
        "regularization": regularization,
        "baselines": {},
        "finalists": {selected: {"standard_error": error, "search": 1.0, "fresh": 1.0}},
        "study": "tiny",
        "task": "classification",
    }
    return ReportInputs(result, loader.parse(TINY), known, lambda params: params["depth"])


# ---- axes


def test_off_stands_beside_a_log_range_and_every_other_value_where_it_is():
    scale = Scale.of("weight_decay", LOG)
    assert scale.off == pytest.approx(1e-4 * 10 ** (-4 * 0.12))
    assert [scale.share(v) for v in (0.0, 1.0)] == [0.0, 1.0]
    assert scale.place(0.01) == 0.01
    assert scale.ticks() == [
        (scale.off, "off"),
        (1e-4, "1e-4"),
        (1e-3, "0.001"),
        (1e-2, "0.01"),
        (0.1, "0.1"),
        (1.0, "1"),
    ]


def test_off_stands_at_the_end_that_is_less_regularized():
    scale = Scale.of("max_norm", Hyperparameter(low=0.5, high=5.0, log=True, optional=True))
    assert scale.share(scale.neutral) == 1.0
    assert scale.ticks()[-1] == (scale.off, "off")


def test_a_range_that_has_no_off_does_not_hold_it():
    scale = Scale.of("weight_decay", replace(LOG, optional=False))
    assert not scale.has({"weight_decay": 0.0})
    assert scale.has({"weight_decay": 0.5})
    assert not scale.has({})


def test_choices_stand_in_order():
    scale = Scale.of("l1", Hyperparameter(choices=(0.1, 0.0, 0.01)))
    assert [scale.share(v) for v in (0.0, 0.01, 0.1)] == [0.0, 0.5, 1.0]
    assert [text for _, text in scale.ticks()] == ["off", "0.01", "0.1"]


@pytest.mark.parametrize(
    ("value", "text"), [(1e-4, "1e-4"), (0.01, "0.01"), (3.2e-5, "3.2e-5"), (0.25, "0.25"), (2e6, "2e6"), (64, "64")]
)
def test_a_tick_is_short(value, text):
    assert short(value) == text


# ---- the gap, and the balance


def falling(n=20):
    """The more dropout, the smaller the gap; the loss does not care."""
    return [outcome(i, 1.0 + (i * 7 % n) / 100, 0.5 - i / 100, dropout=0.5 * i / n) for i in range(n)]


def test_the_gap_falls_with_a_strength_by_its_rank_correlation():
    found = analysis.gap_trends(material(falling()))
    assert found["dropout"].rho == pytest.approx(-1)
    assert found["dropout"].clear
    assert found["weight_decay"] is None  # it was the same everywhere
    assert (
        sentences.gap_trend("dropout", Trend(-0.6, 0.001, 20))
        == "The gap falls with dropout (Spearman −0.60, 20 trials)."
    )
    assert sentences.gap_trend("l1", Trend(0.1, 0.6, 20)) == "The gap does not go with l1 (Spearman 0.10, 20 trials)."


def test_losses_that_are_all_zero_can_be_drawn():
    trials = [outcome(i, 0.0, 0.0, weight_decay=10 ** -(1 + i / 10)) for i in range(6)]
    found = material([*trials, outcome("ablation-0", 0.0, 0.0, role="ablation")])
    found = replace(
        found,
        result=found.result
        | {"baselines": {"ablation": {"trial": "ablation-0", "valid": {"loss": 0.0}, "train": {"loss": 0.0}}}},
    )
    assert (
        optuna_plots.history(Past(found.space, found.scales, found.complete), found)["layout"]["yaxis"]["type"]
        == "linear"
    )
    assert analysis.balance(found).standing == "little"


def test_pruned_trials_say_nothing_about_the_gap():
    trials = [*falling(), outcome(20, 1.0, 9.0, state="pruned", dropout=0.5)]
    assert analysis.gap_trends(material(trials))["dropout"].trials == 20


def test_more_regularization_with_better_scores_than_the_selected_has_is_under_regularized():
    trials = [outcome(i, 2.0 - i / 20, 0.5, dropout=0.4 * i / 20) for i in range(20)]
    assert analysis.balance(material(trials, selected="2")).standing == "under"
    assert analysis.balance(material(trials, selected="19")).standing == "well"


def test_less_regularization_with_better_scores_than_the_selected_has_is_over_regularized():
    trials = [outcome(i, 1.0 + i / 20, 0.5, dropout=0.4 * i / 20) for i in range(20)]
    assert analysis.balance(material(trials, selected="15")).standing == "over"


def test_what_lost_beyond_noise_against_none_is_over_regularized():
    lost = {"metric": "accuracy", "gain": -0.1, "standard_error": 0.01, "beyond_noise": True, "followed": None}
    assert analysis.balance(material(falling(), regularization=lost)).standing == "over"


def test_a_strength_at_the_end_of_its_range_is_under_regularized_where_there_is_a_gap():
    trials = [*falling(), outcome(20, 1.0, 0.5, dropout=0.5)]
    found = analysis.balance(material(trials, selected="20"))
    assert (found.standing, found.edges, found.share) == ("under", ("dropout",), 0.5)
    assert (
        analysis.balance(material([*falling(), outcome(20, 1.0, 0.01, dropout=0.5)], selected="20")).standing
        == "little"
    )


class Temperature(Regularizer):
    """Of which neither more nor less is more regularized."""

    name, summary, source, direction = "temperature", "…", "…", 0
    prior = {"low": 0.5, "high": 2.0}


def test_a_strength_without_a_direction_stands_at_no_regularized_end():
    with registered([Temperature()]):
        for value in (0.5, 2.0):
            found = material([*falling(), outcome(20, 1.0, 0.5, temperature=value)], selected="20")
            found = replace(
                found,
                space=loader.parse(TINY | {"search": TINY["search"] | {"temperature": {"low": 0.5, "high": 2.0}}}),
            )
            assert analysis.balance(found).edges == ()


def test_a_strength_can_be_dropped_if_the_best_trial_without_it_is_as_good_but_for_noise():
    trials = [
        outcome(0, 1.0, 0.1, weight_decay=0.1, dropout=0.2),
        outcome(1, 1.05, 0.1, dropout=0.3),
        outcome(2, 1.5, 0.1, weight_decay=0.1),
    ]
    found = material(trials, error=0.1)
    assert analysis.without(found) == {"weight_decay": (1.0, 1.05), "dropout": (1.0, 1.5)}
    assert analysis.droppable(found) == ["weight_decay"]


def test_the_ridge_is_where_the_product_stays_the_same():
    trials = [outcome(i, 1.0, 0.1, learning_rate=1e-3 * 1.2**i, weight_decay=1e-1 / 1.2**i) for i in range(12)]
    found = analysis.ridge(material(trials))
    assert (found.product, found.low, found.high) == pytest.approx((1e-4,) * 3)
    assert found.is_one
    assert analysis.ridge(material(trials[:5])) is None
    assert not Ridge(Trend(0.9, 0.0, 12), 1.0, 1.0, 1.0, 12).is_one


def test_the_rows_of_a_stack_are_those_in_training_at_once():
    trials = [replace(outcome(i, 1.0, 0.1, depth=1 + i // 3), rounds=[i, i + 1]) for i in range(4)]
    found = analysis.stacks(material(trials))
    assert [(s.shape, s.trials, s.mean, s.most, s.only) for s in found] == [
        ({"depth": 1}, 3, 1.5, 2, ""),
        ({"depth": 2}, 1, 1.0, 1, "3"),
    ]


def test_where_the_best_score_came_from():
    trials = [outcome(i, v, 0.1) for i, v in enumerate([3.0, 2.0, 2.5, 1.0])]
    assert analysis.best_score(trials, "loss") == [(0, 3.0), (1, 2.0), (3, 1.0)]
    assert analysis.best_score(trials, "accuracy") == [(0, 3.0)]


def test_what_decides_about_the_score_and_what_about_the_gap():
    rng = np.random.default_rng(0)
    drawn = zip(rng.uniform(0, 0.5, 60), 10 ** rng.uniform(-4, 0, 60), 10 ** rng.uniform(-3, -1, 60), strict=True)
    trials = [
        outcome(i, 1 + dropout, -np.log10(decay), dropout=dropout, weight_decay=decay, learning_rate=rate)
        for i, (dropout, decay, rate) in enumerate(drawn)
    ]
    found = material(trials)
    shares = Past(found.space, found.scales, found.complete).importances()
    assert next(iter(shares["score"])) == "dropout"
    assert next(iter(shares["gap"])) == "weight_decay"
    assert shares["score"]["dropout"] > 0.8
    assert [sum(one.values()) for one in shares.values()] == pytest.approx([1, 1])
    assert Past(found.space, found.scales, found.complete[:14]).importances() == {}
    assert sentences.mattered(found, {"score": {"l1": 0.7, "dropout": 0.3}, "gap": {"dropout": 0.9, "l1": 0.1}}) == (
        "For the score l1 mattered most (70 % of the importance); for the gap dropout did (90 %)."
    )


def test_one_value_everywhere_is_no_news_in_the_terminal():
    heard = logging.handlers.BufferingHandler(10)
    logging.getLogger("optuna").addHandler(heard)
    found = material([outcome(i, 1 + i / 10, 0.1, learning_rate=10 ** -(1 + i / 10)) for i in range(6)])
    rate, decay = (found.scales[key] for key in ("learning_rate", "weight_decay"))
    assert optuna_plots.contour(Past(found.space, found.scales, found.complete), found, rate, decay)["data"]
    logging.getLogger("optuna").removeHandler(heard)
    assert heard.buffer == []


# ---- predictions


def test_the_name_of_a_target_is_text_to_plotly_too():
    drawn = plots.residuals(predictions.Predicted(np.arange(2), np.zeros(2), np.ones(2)), "<b>price")
    assert drawn["layout"]["xaxis"]["title"]["text"] == "predicted &lt;b&gt;price"


def judged(chances, rows):
    data = dataset()
    found = replace(
        material(falling()), data=data, said={"rows": torch.tensor(rows), "said": torch.tensor(chances).log()}
    )
    return predictions.classified(found)


def test_what_is_wrong_comes_with_the_most_confident_first():
    y = dataset().y[:3].tolist()
    n = dataset().n_outputs
    sure = np.full((3, n), 0.1 / (n - 1))
    sure[0, y[0]], sure[1, (y[1] + 1) % n], sure[2, (y[2] + 1) % n] = 0.9, 0.9, 0.9
    sure[2] = sure[2] * 0.5 + 0.5 / n
    found = judged(sure, [0, 1, 2])
    assert found.wrong.tolist() == [1, 2]
    assert found.confidence[1] == pytest.approx(0.9)
    assert found.confusion().sum() == 3
    assert found.confusion()[y[1], (y[1] + 1) % n] >= 1
    assert sum(count for *_, count in found.confused()) == 2
    bins = predictions.reliability(found)
    assert sum(b.count for b in bins) == 3
    expected = sum(b.count * abs(b.confidence - b.right) for b in bins) / 3
    assert predictions.calibration_error(bins) == pytest.approx(expected)


# ---- weights


def test_zeros_are_counted_and_do_not_stand_in_the_histogram():
    net = Mlp(3, 2, 1, 4)
    weights = {p.name: torch.ones(1, *p.shape) for p in net.parameters}
    weights["0.weight"][0, 1] = 0  # (in, out): the second input
    found = replace(material(falling()), network=net, weights=weights)
    first = layers.layers(found)[0]
    assert (first.name, first.weights, first.zeros, sum(first.counts)) == ("0.weight", 12, 4, 8)
    assert sentences.zeros("0.weight", 4, 12) == "4 of 12 weights of 0.weight are exactly zero (33.3 %)."


def test_a_column_is_unused_if_all_weights_that_it_meets_are_zero():
    data = dataset()
    net = Mlp(data.n_inputs, data.n_outputs, 1, 4)
    weights = {p.name: torch.ones(1, *p.shape) for p in net.parameters}
    weights["0.weight"][0, 2] = 0
    weights["0.weight"][0, 5, :3] = 0
    found = replace(material(falling()), network=net, weights=weights, data=data)
    names = [column for column, _ in data.preprocess.groups]
    assert layers.unused(found) == [names[2]]
    assert layers.columns(found) == 13


def test_a_gap_stands_over_the_value_of_its_own_trial():
    """Optuna lists trials by value, not by number."""
    searched = [outcome(i, 1.0, 0.1 * (i + 1), batch_norm=i % 2 == 0) for i in range(5)]
    found = material(searched)
    found = replace(
        found, space=loader.parse(TINY | {"search": TINY["search"] | {"batch_norm": {"choices": [False, True]}}})
    )
    drawn = optuna_plots.slice_of_gap(
        Past(found.space, found.scales, found.complete), found, found.scales["batch_norm"]
    )["data"][0]
    shown = sorted(zip(np.round(drawn["y"], 6).tolist(), drawn["x"], strict=True))
    assert shown == [(0.1, "true"), (0.2, "false"), (0.3, "true"), (0.4, "false"), (0.5, "true")]
