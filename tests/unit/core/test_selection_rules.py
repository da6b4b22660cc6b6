"""What is selected, and how surely: rules and evidence as pure functions."""

import math
from random import Random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from hpo.core import selection_rules as rules
from hpo.core import statistics
from hpo.core.metrics import METRICS
from hpo.core.selection_rules import DEFAULT, SELECTION_RULES, Candidate, choose
from hpo.regularizers import FAMILY
from hpo.regularizers.active import active_params
from hpo.space import regularization
from hpo.space.hyperparameter import Hyperparameter

LOSS, ACCURACY = METRICS["loss"], METRICS["accuracy"]

OVERLAP = 1 / 3
FITS = 12
values = st.floats(0.01, 10, allow_nan=False)
facts = st.floats(0, 1)


@st.composite
def candidates(draw: st.DrawFn) -> list[Candidate]:
    names = [DEFAULT, *map(str, range(draw(st.integers(1, 5))))]
    return [
        Candidate(name, draw(arrays(float, FITS, elements=values)), draw(facts), draw(facts), draw(facts))
        for name in names
    ]


@given(candidates(), st.sampled_from(sorted(SELECTION_RULES)))
def test_the_selected_beats_the_defaults_beyond_noise_or_is_the_defaults(found: list[Candidate], rule: str) -> None:
    chosen = choose(rule, found, OVERLAP)
    better = {c.label for c in rules.better_than_default(found, OVERLAP)}
    assert chosen in better if better else chosen == DEFAULT


@given(candidates(), st.sampled_from(sorted(SELECTION_RULES)), st.randoms(use_true_random=False))
def test_the_order_of_candidates_does_not_matter(found: list[Candidate], rule: str, random: Random) -> None:
    shuffled = list(found)
    random.shuffle(shuffled)
    assert choose(rule, found, OVERLAP) == choose(rule, shuffled, OVERLAP)


@given(candidates())
def test_every_rule_prefers_what_it_says_within_one_paired_error_of_the_best(found: list[Candidate]) -> None:
    better = rules.better_than_default(found, OVERLAP)
    if not better:
        return
    by_label = {c.label: c for c in found}
    best = by_label[choose("best", found, OVERLAP)]
    assert best.mean == min(c.mean for c in better)
    near = []
    for c in better:
        difference = c.scores - best.scores
        error = math.sqrt((1 / FITS + OVERLAP) * np.var(difference, ddof=1))
        if difference.mean() <= error:
            near.append(c)
    assert by_label[choose("one_se", found, OVERLAP)].amount == max(c.amount for c in near)
    assert by_label[choose("fastest", found, OVERLAP)].work == min(c.work for c in near)
    assert by_label[choose("sparsest", found, OVERLAP)].nonzero == min(c.nonzero for c in near)


@given(candidates(), values)
def test_a_change_of_units_changes_nothing(found: list[Candidate], scale: float) -> None:
    scale = 2.0 ** round(math.log2(scale))  # exact
    scaled = [Candidate(c.label, c.scores * scale, c.amount, c.work, c.nonzero) for c in found]
    assert [choose(rule, found, OVERLAP) for rule in SELECTION_RULES] == [
        choose(rule, scaled, OVERLAP) for rule in SELECTION_RULES
    ]


def test_who_dropped_out_or_diverged_is_not_selected() -> None:
    good = np.linspace(1.0, 1.1, FITS)
    found = [
        Candidate(DEFAULT, good + np.linspace(1, 1.1, FITS)),
        Candidate("out", good[:4] - 0.5),
        Candidate("diverged", np.where(np.arange(FITS) == 3, np.inf, good - 0.5)),
        Candidate("stayed", good),
    ]
    assert {choose(rule, found, OVERLAP) for rule in SELECTION_RULES} == {"stayed"}
    assert rules.dropped(found, OVERLAP) == {"out", "diverged", DEFAULT}


def test_where_all_diverge_the_defaults_are_selected() -> None:
    found = [Candidate(label, np.full(FITS, np.inf)) for label in ("3", DEFAULT)]
    assert choose("best", found, OVERLAP) == DEFAULT


def test_one_that_is_better_by_chance_alone_is_selected_as_often_as_was_said() -> None:
    """A rival that is no better than the defaults is preferred in a twentieth of all searches."""
    stream = np.random.default_rng(0)
    preferred = 0
    for _ in range(2000):
        noise = stream.normal(size=(2, FITS))
        found = [Candidate(label, row) for label, row in zip([DEFAULT, "1"], noise, strict=True)]
        preferred += (
            choose("best", found, test_train_ratio=0.0) != DEFAULT
        )  # independent scores, so the plain error is the right one
    assert abs(preferred / 2000 - 0.05) < 4 * math.sqrt(0.05 * 0.95 / 2000)


RANGES = {
    "learning_rate": Hyperparameter(low=1e-4, high=1e-1, log=True),
    "weight_decay": Hyperparameter(low=1e-4, high=1.0, log=True, optional=True),
    "dropout": Hyperparameter(low=0.0, high=0.6),
    "depth": Hyperparameter(low=1, high=5, integer=True),
    "l1": Hyperparameter(choices=(0, 0.001, 0.01)),
}


def sampled(key: str, place: float) -> float:
    domain = RANGES[key]
    if domain.choices:
        return float(domain.choices[round(place * (len(domain.choices) - 1))])
    value = (
        domain.low * (domain.high / domain.low) ** place
        if domain.log
        else domain.low + place * (domain.high - domain.low)
    )
    return domain.clip(value)


@given(st.fixed_dictionaries(dict.fromkeys(RANGES, facts)), st.sampled_from([k for k in RANGES if k in FAMILY]), facts)
def test_more_of_any_member_is_more_regularized(places: dict[str, float], key: str, other: float) -> None:
    params = {name: sampled(name, place) for name, place in places.items()}
    changed = params | {key: sampled(key, other)}
    difference = regularization.amount(RANGES, changed) - regularization.amount(RANGES, params)
    assert difference * (changed[key] - params[key]) * FAMILY[key].direction >= 0
    assert (abs(difference) > 1e-12) == (abs(changed[key] - params[key]) > 1e-9 * abs(params[key])) or abs(
        difference
    ) < 1e-9


def test_off_is_the_least_and_the_learning_rate_is_no_regularizer() -> None:
    params = {key: sampled(key, 0.5) for key in RANGES}
    assert regularization.amount(RANGES, params | {"weight_decay": 0.0}) < regularization.amount(
        RANGES, params | {"weight_decay": 1e-3}
    )
    assert regularization.amount(RANGES, params | {"learning_rate": 1e-4}) == regularization.amount(RANGES, params)
    least = {"weight_decay": 0.0, "dropout": 0.0, "depth": 5, "l1": 0, "learning_rate": 1e-3}
    most = {"weight_decay": 1.0, "dropout": 0.6, "depth": 1, "l1": 0.01, "learning_rate": 1e-3}
    assert (regularization.amount(RANGES, least), regularization.amount(RANGES, most)) == (0.0, 1.0)


# ---- evidence


def test_on_at_the_least_value_is_more_than_off() -> None:
    domain = {"l1": Hyperparameter(low=1e-4, high=1.0, log=True, optional=True)}
    off, least, most = (regularization.amount(domain, {"l1": value}) for value in (0.0, 1e-4, 1.0))
    assert 0 == off < least < most == 1


def test_the_error_is_that_of_nadeau_and_bengio() -> None:
    scores = np.array([1.0, 2.0, 4.0, 5.0])
    assert statistics.standard_error(scores, 0.25) == pytest.approx(math.sqrt((1 / 4 + 0.25) * 10 / 3))
    assert statistics.standard_error(scores[:1], 0.25) == math.inf


@given(arrays(float, FITS, elements=values), arrays(float, FITS, elements=values))
def test_a_gain_is_antisymmetric_and_pairs_are_what_both_have(ours: np.ndarray, theirs: np.ndarray) -> None:
    there, back = statistics.paired_gain(ours, theirs, OVERLAP), statistics.paired_gain(theirs, ours, OVERLAP)
    assert there == (pytest.approx(-back[0]), pytest.approx(back[1]))
    assert statistics.paired_gain(ours[:5], theirs, OVERLAP) == statistics.paired_gain(ours[:5], theirs[:5], OVERLAP)


@settings(max_examples=30)
@given(st.integers(2, 30), st.floats(0, 1), st.integers(0, 2**31))
def test_an_interval_holds_a_new_score_as_often_as_it_says(fits: int, share: float, seed: int) -> None:
    stream = np.random.default_rng(seed)
    tried = 2000
    hits = 0
    for _ in range(tried):
        scores = stream.normal(size=fits)
        low, high = statistics.prediction_interval(scores, 0.0, share)
        hits += low <= math.sqrt(share) * stream.normal() <= high
    assert abs(hits / tried - 0.9) < 5 * math.sqrt(0.09 / tried)


def test_a_lucky_epoch_counts_for_a_fifth() -> None:
    assert statistics.best_window_mean([3, 1, 3, 3, 3, 2, 2, 2, 2, 2], LOSS) == pytest.approx(2)
    assert statistics.best_window_mean([0.5, 0.9, 0.7, 0.7, 0.7, 0.7], ACCURACY) == pytest.approx(0.74)
    assert statistics.best_window_mean([4, 2], LOSS) == pytest.approx(3)


def test_a_fold_is_stopped_by_the_others() -> None:
    epochs = np.arange(30.0)[:, None]
    curve = (epochs - [4, 14, 20]) ** 2  # three folds, best at different epochs
    found = statistics.scores_at_common_stop({"valid_loss": curve, "valid_accuracy": -curve}, LOSS)
    # The others' means are best at 17, 12 and 9; the mean of a square over five epochs is 2 more than in the middle.
    assert found["valid_loss"].tolist() == pytest.approx([13**2 + 2, 2**2 + 2, 11**2 + 2])
    assert found["valid_accuracy"].tolist() == pytest.approx([-171, -6, -123])
    alone = statistics.scores_at_common_stop({"valid_loss": curve[:, :1]}, LOSS)
    assert alone["valid_loss"].tolist() == pytest.approx([2])


def test_a_fold_that_stops_itself_looks_better_than_it_is() -> None:
    """Curves of noise around one value: at its own best epoch a fold seems better, where the others stop it it does
    not."""
    stream = np.random.default_rng(1)
    curves = [1 + stream.normal(size=(40, 4)) for _ in range(300)]
    stopped = np.mean([statistics.scores_at_common_stop({"valid_loss": c}, LOSS)["valid_loss"] for c in curves])
    assert abs(stopped - 1) < 4 / math.sqrt(1200)
    assert np.mean([c.min(0) for c in curves]) < -0.5


def test_the_best_epoch_is_that_of_the_mean_and_a_shorter_draw_stands_with_its_last_scores() -> None:
    long, short = np.abs(np.arange(30.0) - 12)[:, None], np.arange(8.0)[:, None] * 3
    assert statistics.best_epoch([long], LOSS) == 13
    assert statistics.best_epoch([-long], ACCURACY) == 13
    assert statistics.best_epoch([long, short], LOSS) < 13
    assert statistics.best_epoch([long, np.zeros((8, 1))], LOSS) == 13


def test_a_strength_that_is_off_is_as_good_as_one_that_is_not_named() -> None:
    assert active_params({"learning_rate": 0.1, "weight_decay": 0.0, "dropout": 0.2}) == active_params(
        {"dropout": 0.2, "learning_rate": 0.1}
    )
    assert active_params({"dropout": 0.2}) != active_params({"dropout": 0.3})
