"""The statistics of the honesty benchmark, against simple oracles and records whose answers are known."""

import math

import numpy as np
import pytest
from scipy import stats

from bench.honesty import cost, numbers, reported
from bench.honesty.numbers import Mean, Share
from tests.helpers.honesty import made_record


def test_the_trimmed_mean_and_its_error_for_independent_values_are_those_of_scipy():
    values = np.random.default_rng(0).standard_t(3, 103)
    found = numbers.trimmed({str(i): [v] for i, v in enumerate(values)}, 0.1)
    assert found.value == pytest.approx(stats.trim_mean(values, 0.1))
    # scipy trims 10 of 103 values, which is a share of 10 / 103.
    published = stats.mstats.trimmed_stde(np.ma.array(values), limits=(0.1, 0.1), inclusive=(True, True))
    assert found.error == pytest.approx(float(published) * (1 - 2 * 0.1) / (1 - 2 * 10 / 103), rel=1e-6)


def test_the_error_of_a_mean_over_sets_of_equal_size_is_that_of_the_means_by_set():
    sets = {
        name: list(values) for name, values in zip("abcd", np.random.default_rng(1).normal(size=(4, 5)), strict=True)
    }
    found = numbers.trimmed(sets, 0.0)
    means = [np.mean(v) for v in sets.values()]
    assert found == pytest.approx(Mean(np.mean(means), np.std(means, ddof=1) / 2, 20))


def test_the_clustered_error_is_the_spread_of_means_over_repeated_draws_of_sets():
    """Sets with a common effect: the mean error that is estimated is the true one, and the naive one is not."""
    rng = np.random.default_rng(2)
    draws = rng.normal(size=(400, 30, 1)) + 0.3 * rng.normal(size=(400, 30, 10))
    found = [numbers.trimmed({str(i): list(v) for i, v in enumerate(draw)}) for draw in draws]
    spread = np.std([m.value for m in found])
    assert np.mean([m.error for m in found]) == pytest.approx(spread, rel=0.1)
    assert draws[0].std() / math.sqrt(300) < spread / 2


def test_the_error_of_a_single_set_is_that_of_its_searches():
    assert numbers.trimmed({"a": [1.0, 2.0, 3.0]}) == pytest.approx(Mean(2.0, 1 / math.sqrt(3), 3))
    assert math.isnan(numbers.trimmed({"a": [1.0]}).error)
    assert numbers.trimmed({}).n == 0


def test_the_oracle_is_scored_on_the_half_that_did_not_choose_it():
    errors = {"a": (0.1, 0.9), "b": (0.4, 0.3), "c": (0.5, 0.5)}
    assert numbers.split_half_choices(errors) == ("b", "a")
    # On the first half b gains 1 - 0.7 / 1, since 7 wins there with its luck, which 8 has on the second half.
    record = made_record(ours=(0.7, 0.8, 1.0))
    record["pool"]["7"]["halves"], record["pool"]["8"]["halves"] = [0.7, 0.9], [0.9, 0.8]
    assert numbers.gain("oracle")(record) == pytest.approx(((1 - 0.9) + (1 - 0.9)) / 2)


def test_an_oracle_among_equal_configurations_gains_nothing():
    """With as many lucky halves as candidates, the best on all rows seems to gain, and the split halves do not."""
    rng = np.random.default_rng(3)
    gains, naive = [], []
    for _ in range(300):
        halves = 1 + 0.1 * rng.normal(size=(10, 2))
        pool = {str(i): {"halves": list(pair)} for i, pair in enumerate(halves[1:])}
        pool["defaults"] = {"halves": list(halves[0])}
        gains.append(numbers.gain("oracle")(made_record(pool=pool)))
        naive.append(1 - halves.mean(1).min() / halves[0].mean())
    assert abs(np.mean(gains)) < 3 * np.std(gains) / math.sqrt(300) + 0.01
    assert np.mean(naive) > 0.08


def test_a_gain_is_relative_to_the_error_of_the_defaults_in_the_followed_metric():
    record = made_record(ours=(0.5, 0.8, 1.0), argmax=(0.4, 0.9, 1.2))
    found = {who: numbers.gain(who)(record) for who in (*numbers.CHOICES, "expected") if who != "oracle"}
    assert found == pytest.approx(
        {
            "ours": 0.2,
            "single": 0.1,
            "today": 0.0,
            "argmax": 1 - 0.9 / 1.2,
            "argmax_average": 1 - 0.85 / 1.2,
            "argmax_direct": 1 - 0.9,
            "argmax_average_direct": 1 - 0.85,
            "expected": 0.2,
        }
    )
    balanced = made_record(metric="balanced_accuracy", ours=(0.5, 0.2, 0.4))
    assert numbers.gain("ours")(balanced) == pytest.approx(1 - (0.2 + 0.001) / (0.4 + 0.001))


def test_a_gain_in_points_is_the_difference_of_the_scores():
    record = made_record(metric="balanced_accuracy", ours=(0.5, 0.22, 0.2))
    assert numbers.gain("ours", points=True)(record) == pytest.approx(-0.02)
    assert numbers.worse([record], "ours", points=True) == Share(1, 1)
    assert numbers.worse([record], "ours", 0.03, points=True) == Share(0, 1)
    record["pool"]["7"]["halves"] = [0.9, 0.9]
    assert numbers.gain("oracle", points=True)(record) == pytest.approx(0.1)


def test_a_choice_that_diverged_has_no_gain():
    record = made_record()
    record["argmax"]["single"] = None
    record["rules"]["safe"] = "9"
    assert [numbers.gain(who)(record) for who in ("argmax", "today")] == [None, None]
    assert numbers.mean_gain([record, made_record()], "argmax").n == 1
    assert reported.surprise("argmax", "loss")(record | {"argmax": record["argmax"]}) is None


def test_worse_is_a_larger_error_by_more_than_one_percent():
    records = [made_record(ours=(0.5, loss, 1.0)) for loss in (1.3, 1.005, 0.9)]
    assert numbers.worse(records, "ours") == Share(1, 3)
    assert numbers.worse(records, "ours", 0.0) == Share(2, 3)


def test_kept_defaults_are_counted_by_rule():
    assert numbers.kept_defaults([made_record()]) == Share(0, 1)
    assert numbers.kept_defaults([made_record()], "safe") == Share(1, 1)


def test_the_head_room_taken_is_relative_to_the_oracle():
    record = made_record()
    record["pool"]["7"]["halves"] = [0.6, 0.6]
    assert numbers.headroom([record], "ours") == pytest.approx(0.2 / 0.4)
    record["pool"]["7"]["halves"] = record["pool"]["8"]["halves"] = [1.1, 1.1]
    assert math.isnan(numbers.headroom([record], "ours"))


def test_a_surprise_is_the_reported_minus_the_test_score():
    record = made_record(ours=(0.75, 0.8, 2.0))
    assert reported.surprise("ours", "loss")(record) == pytest.approx(-0.05 / 2)
    assert reported.surprise("ours", "balanced_accuracy")(record) == pytest.approx(0.05)
    assert reported.surprise("ours", "r2")(record) is None


def test_coverage_counts_the_intervals_that_are_given():
    records = [made_record(interval=i) for i in ((0.7, 0.9), (0.8, 0.9), (0.81, 0.9), (0.1, 0.79))]
    records[0]["ours"]["interval"]["r2"] = [None, None]
    assert reported.coverage(records, "loss") == Share(2, 4)
    assert reported.coverage(records, "r2") == Share(0, 0)


def test_stated_probabilities_are_compared_with_what_came_true():
    def stated(probability, loss):
        return made_record(
            ours=(0.5, loss, 1.0),
            verdict={"rival": "7", "reference": "defaults", "gain": {"relative": 0.1, "probability": probability}},
        )

    records = [stated(0.82, 0.9), stated(0.88, 1.1), stated(1.0, 0.5), made_record(verdict=None)]
    first, second = reported.reliability(records)
    assert (first.low, first.high, first.stated, first.right) == (0.8, 0.9, pytest.approx(0.85), Share(1, 2))
    assert (second.low, second.stated, second.right) == (0.95, 1.0, Share(1, 1))
    assert reported.stated_gain(records[0]) == 0.1
    assert reported.rival_gain(records[1]) == pytest.approx(-0.1)


@pytest.mark.parametrize(
    ("hits", "n", "low", "high"), [(9, 10, 0.5958, 0.9821), (0, 20, 0.0, 0.1611), (50, 50, 0.9287, 1.0)]
)
def test_wilsons_interval_is_the_published_one(hits, n, low, high):
    assert Share(hits, n).interval == pytest.approx((low, high), abs=1e-4)


def test_the_split_of_init_repeats_the_searches_of_the_mode_that_it_resolves_to():
    large = {"rows": {"dev": 3000, "test": 500}}
    records = [made_record(mode="holdout"), made_record(mode="folds"), made_record("b", mode="holdout", **large)]
    auto = numbers.of_mode(numbers.with_auto(records), "auto")
    assert [(r["set"], r["epochs"]["search"]) for r in auto] == [("a", 400), ("b", 100)]


def test_the_time_after_the_last_proposal_is_relative_to_the_whole():
    record = made_record()
    assert cost.after_last_proposal(record) == pytest.approx(0.5)
    assert cost.rows_in_flight(record) == pytest.approx(8.0)
    assert cost.training_share(record) == pytest.approx(1 / 3)
    assert cost.extra_epochs(record) == pytest.approx(0.25)


def test_folds_are_paired_with_the_hold_out_search_of_the_same_rows():
    records = [
        made_record(),
        made_record(mode="folds", ours=(0.5, 0.4, 9.0)),
        made_record("b", seed=1),
        made_record("b", seed=1, mode="folds", ours=(0.5, 1.2, 9.0)),
        made_record("c"),
        made_record("d", mode="folds"),
    ]
    assert [(one["set"], folds["mode"]) for one, folds in cost.pairs(records)] == [("a", "folds"), ("b", "folds")]
    assert cost.folds_cost(records, cost.total_epochs) == pytest.approx(Mean(485 / 125, 0.0, 2))
    assert cost.folds_gain(records) == pytest.approx(Mean(0.0, 0.5, 2))
