"""Two domains in the report: their distance, a common plane, and where adaptation helps."""

import numpy as np
import pytest
from scipy.stats import binomtest
from sklearn import metrics as sk
from sklearn.datasets import load_wine
from sklearn.decomposition import PCA

from hpo.core import statistics
from hpo.report import domain_views
from hpo.report.domain_views import GroupComparison, PredictionChange

RANDOM = np.random.default_rng(0)


def two_domains(shift, rows=300, inputs=4):
    """Return normal rows of a source, and of a target whose first input is shifted."""
    return RANDOM.normal(size=(rows, inputs)), RANDOM.normal(size=(rows + 50, inputs)) + shift * np.eye(inputs)[0]


def test_distances_grow_with_the_shift_from_zero():
    near, middle, far = (domain_views.divergence(*two_domains(shift)) for shift in (0.0, 1.0, 12.0))
    assert near.a_distance < 0.25
    assert abs(near.mmd2) < 0.01
    # The best classifier of two Gaussians with means one deviation apart has the error Φ(-1/2) = 0.309.
    assert middle.a_distance == pytest.approx(2 * (1 - 2 * 0.309), abs=0.2)
    assert far.a_distance == pytest.approx(2, abs=0.02)
    assert near.mmd2 < middle.mmd2 < far.mmd2


def test_mmd_is_the_mean_kernel_within_minus_that_between():
    source, target = two_domains(1.0, rows=40)
    both = np.concatenate([source, target])
    distance = sk.pairwise_distances(both)
    width = np.median(distance[np.triu_indices(len(both), 1)])
    kernel = sk.pairwise.rbf_kernel(both, gamma=1 / (2 * width**2))
    within = [(k.sum() - np.trace(k)) / (len(k) * (len(k) - 1)) for k in (kernel[:40, :40], kernel[40:, 40:])]
    assert domain_views.divergence(source, target).mmd2 == pytest.approx(sum(within) - 2 * kernel[:40, 40:].mean())


def test_domains_of_different_size_have_equal_weight():
    source, target = two_domains(0.0, rows=400)
    # Without equal weight, a classifier that always predicts the source would have an accuracy of 0.91.
    assert domain_views.divergence(source, target[:40]).a_distance < 0.6


def test_the_plane_is_that_of_pca_for_domains_of_equal_size():
    x = load_wine().data
    x = (x - x.mean(0)) / x.std(0)
    source, target = x[:89], x[89:]  # equal sizes, so all rows have equal weight
    plane = np.concatenate(domain_views.principal_plane(source, target))
    expected = PCA(2).fit_transform(np.concatenate([source, target]))
    assert np.allclose(np.abs(plane), np.abs(expected))


def test_a_small_domain_has_as_much_weight_in_the_plane_as_a_large_one():
    source = RANDOM.normal(size=(5000, 3)) * [3, 0.1, 0.1]
    target = RANDOM.normal(size=(50, 3)) * [0.1, 9, 0.1]
    _, plane = domain_views.principal_plane(source, target)
    assert plane.std(0)[0] > 5  # the first axis is that of the small domain


def test_a_single_input_has_a_plane():
    source, target = domain_views.principal_plane(np.array([[0.0], [1.0]]), np.array([[4.0]]))
    assert (source[:, 1] == 0).all()
    assert abs(target[0, 0] - source[0, 0]) == pytest.approx(4)


TRUE, BEFORE, AFTER = np.array([0, 0, 0, 1, 1, 2]), np.array([0, 1, 1, 1, 1, 2]), np.array([0, 0, 1, 2, 1, 2])


def test_classes_are_compared_by_recall():
    groups = domain_views.compare_classes(TRUE, BEFORE, AFTER, ("a", "b", "c", "never"))
    assert [group.name for group in groups] == ["a", "c", "b"]
    before, after = (sk.recall_score(TRUE, predicted, average=None) for predicted in (BEFORE, AFTER))
    assert groups == [
        GroupComparison("abc"[i], n, pytest.approx(before[i]), pytest.approx(after[i]))
        for i, n in ((0, 3), (2, 1), (1, 2))
    ]


def test_changes_are_the_differences_of_confusion_matrices():
    assert domain_views.prediction_changes(TRUE, BEFORE, AFTER, ("a", "b", "c")) == [
        PredictionChange("a", "b", 2, 1),
        PredictionChange("b", "c", 0, 1),
    ]
    difference = sk.confusion_matrix(TRUE, AFTER) - sk.confusion_matrix(TRUE, BEFORE)
    assert (difference[0, 1], difference[1, 2]) == (-1, 1)


def test_numbers_are_compared_by_the_mean_error_of_fifths():
    true = np.arange(10.0)
    groups = domain_views.compare_by_size(true, true + 2, true - np.arange(10) / 10)
    assert [(group.rows, group.before) for group in groups] == [(2, 2.0)] * 5
    assert [group.after for group in groups] == pytest.approx([0.05, 0.25, 0.45, 0.65, 0.85])
    assert groups[0].name == "0 to 1"


def test_paired_counts_are_those_of_mcnemars_exact_test():
    counts = statistics.paired_counts(BEFORE != TRUE, AFTER != TRUE)
    assert (counts.better, counts.worse, counts.p_value) == (1, 1, 1.0)
    lost = np.ones(20)
    assert statistics.paired_counts(lost, np.r_[np.zeros(14), lost[14:16], lost[:4] * 2]).p_value == pytest.approx(
        binomtest(14, 18).pvalue
    )
    assert statistics.paired_counts(lost, lost).p_value == 1.0
