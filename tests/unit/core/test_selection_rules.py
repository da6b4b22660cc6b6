"""What is selected, and how surely: rules and evidence as pure functions."""

import math
from random import Random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.stats import t as t_distribution

from hpo.core import statistics
from hpo.core.metrics import METRICS
from hpo.core.posterior import Gain
from hpo.core.selection_rules import DEFAULT, DEFAULTS, PRACTICALLY_EQUAL, SELECTION_RULES, Candidate, choose
from hpo.regularizers import FAMILY
from hpo.regularizers.active import active_params
from hpo.space import regularization
from hpo.space.hyperparameter import Hyperparameter

LOSS, ACCURACY = METRICS["loss"], METRICS["accuracy"]

OVERLAP = 1 / 3
FITS = 12
LIMIT = -math.log1p(-PRACTICALLY_EQUAL)  # the smallest gain that is more than practically equal
NEAR = 0.95 * LIMIT
values = st.floats(0.01, 10, allow_nan=False)
facts = st.floats(0, 1)
steps = st.integers(-8, 8).map(
    lambda step: LIMIT * step / 2
)  # gains on both sides of practical equivalence, also equal ones


@st.composite
def candidates(draw: st.DrawFn) -> list[Candidate]:
    """Sound candidates with the usual defaults, perhaps at two learning rates; gains are over the better of them."""
    reference, *worse = draw(st.sampled_from([[DEFAULT], [DEFAULT, "defaults_fast"], ["defaults_fast", DEFAULT]]))
    names = [reference, *worse, *map(str, range(draw(st.integers(1, 5))))]
    return [
        candidate(
            name,
            0.0 if name == reference else -draw(steps.filter(lambda step: step > 0)) if name in worse else draw(steps),
            draw(arrays(float, FITS, elements=values)),
            amount=draw(facts),
            work=draw(facts),
            nonzero=draw(facts),
        )
        for name in names
    ]


def candidate(label: str, gain: float, scores: np.ndarray | None = None, **facts: float) -> Candidate:
    """Return a candidate whose expected error is exp(-gain) times that of the defaults."""
    return Candidate(label, Gain(gain, gain, 0.01), np.ones(FITS) if scores is None else scores, **facts)


def default_of(found: list[Candidate]) -> Candidate:
    """Return the usual defaults over which gains are measured."""
    return next(c for c in found if c.label in DEFAULTS and c.gain.mean == 0)


@given(candidates(), st.sampled_from(sorted(set(SELECTION_RULES) - {"best", "safe"})))
def test_the_defaults_are_kept_unless_another_is_more_than_practically_better(
    found: list[Candidate], rule: str
) -> None:
    default, chosen = default_of(found), choose(rule, found, OVERLAP)
    better = {c.label for c in found if c.label not in DEFAULTS and c.gain.mean - default.gain.mean >= LIMIT}
    assert chosen in better if better else chosen == default.label


@given(candidates(), st.floats(0, 0.1))
def test_the_largest_expected_gain_is_selected(found: list[Candidate], region: float) -> None:
    default, most = default_of(found), max(c.gain.mean for c in found)
    gains = {c.label: c.gain.mean for c in found}
    assert gains[choose("best", found, OVERLAP, region)] == most
    expected = choose("expected", found, OVERLAP, region)
    assert expected == default.label or gains[expected] == most


def test_a_gain_that_is_practically_nothing_is_taken_by_best_alone() -> None:
    found = [candidate(DEFAULT, 0.0), candidate("1", NEAR), candidate("2", -0.5)]
    assert {rule for rule in SELECTION_RULES if choose(rule, found, OVERLAP) != DEFAULT} == {"best"}
    assert choose("expected", [candidate(DEFAULT, 0.0), candidate("1", 1.05 * LIMIT)], OVERLAP) == "1"


@given(candidates(), st.sampled_from(sorted(SELECTION_RULES)), st.randoms(use_true_random=False))
def test_the_order_of_candidates_does_not_matter(found: list[Candidate], rule: str, random: Random) -> None:
    shuffled = list(found)
    random.shuffle(shuffled)
    assert choose(rule, found, OVERLAP) == choose(rule, shuffled, OVERLAP)


@given(candidates())
def test_every_rule_prefers_what_it_says_among_those_that_are_practically_equal(found: list[Candidate]) -> None:
    by_label = {c.label: c for c in found}
    best = by_label[choose("expected", found, OVERLAP)]
    if best.label in DEFAULTS:
        return
    default = default_of(found).gain.mean
    better = [c for c in found if c.label not in DEFAULTS and c.gain.mean - default >= LIMIT]
    near = [c for c in better if c is best or best.gain.mean - c.gain.mean < LIMIT]
    assert by_label[choose("one_se", found, OVERLAP)].amount == max(c.amount for c in near)
    assert by_label[choose("fastest", found, OVERLAP)].work == min(c.work for c in near)
    assert by_label[choose("sparsest", found, OVERLAP)].nonzero == min(c.nonzero for c in near)


@given(candidates(), st.floats(0, 1))
def test_safe_needs_a_significant_difference_whatever_the_gain(found: list[Candidate], overlap: float) -> None:
    default = default_of(found)
    sure = []
    for c in found:
        difference = default.scores - c.scores
        error = math.sqrt((1 / FITS + overlap) * np.var(difference, ddof=1))
        if c.label not in DEFAULTS and difference.mean() > error * t_distribution.ppf(0.95, FITS - 1):
            sure.append(c)
    gains = {c.label: c.gain.mean for c in found}
    chosen = choose("safe", found, overlap)
    assert gains[chosen] == max(c.gain.mean for c in sure) if sure else chosen == default.label


def test_safe_prefers_one_that_is_no_better_than_the_defaults_in_a_twentieth_of_all_searches() -> None:
    stream = np.random.default_rng(0)
    preferred = 0
    for _ in range(2000):
        noise = stream.normal(size=(2, FITS))
        found = [candidate(label, 0.0, row) for label, row in zip([DEFAULT, "1"], noise, strict=True)]
        preferred += choose("safe", found, test_train_ratio=0.0) != DEFAULT  # independent scores: the plain error
    assert abs(preferred / 2000 - 0.05) < 4 * math.sqrt(0.05 * 0.95 / 2000)


@pytest.mark.parametrize("rule", SELECTION_RULES)
def test_a_diverged_candidate_is_never_selected_while_another_is_left(rule: str) -> None:
    """It has no gain, and its scores are NaN."""
    lost, better = np.full(FITS, np.nan), np.linspace(0.5, 0.6, FITS)
    diverged = candidate("0", 9.0, lost, sound=False, amount=1.0)
    rest = [candidate("1", 0.3, better), candidate("2", -0.3)]
    assert choose(rule, [diverged, candidate(DEFAULT, 0.0), *rest], OVERLAP) == "1"
    assert choose(rule, [diverged, candidate(DEFAULT, 0.0)], OVERLAP) == DEFAULT
    no_default = candidate(DEFAULT, 0.0, lost, sound=False)
    assert choose(rule, [diverged, no_default, *rest], OVERLAP) == "1"
    assert choose(rule, [diverged, no_default, candidate("2", -0.3)], OVERLAP) == "2"
    assert choose(rule, [diverged, no_default, candidate("defaults_fast", -0.3, better)], OVERLAP) == "defaults_fast"
    assert choose(rule, [diverged, no_default], OVERLAP) == DEFAULT


def test_the_defaults_at_another_learning_rate_must_be_beaten_as_well() -> None:
    found = [candidate(DEFAULT, -0.1), candidate("defaults_fast", 0.0), candidate("1", NEAR)]
    assert choose("expected", found, OVERLAP) == "defaults_fast"
    assert choose("best", found, OVERLAP) == "1"


def test_of_two_with_the_same_gain_the_first_label_is_selected() -> None:
    found = [candidate("7", 0.2), candidate(DEFAULT, 0.0), candidate("5", 0.2)]
    assert choose("expected", found, OVERLAP) == "5"


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
