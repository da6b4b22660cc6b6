"""Two domains in the report: how far apart, in one plane, and where adaptation helped."""

import numpy as np
import pytest
from scipy.stats import binomtest
from sklearn import metrics as sk
from sklearn.datasets import load_wine
from sklearn.decomposition import PCA

from hpo.core import statistics
from hpo.report import domain_views
from hpo.report.domain_views import Helped, PredictionChange

RANDOM = np.random.default_rng(0)


def two(shift, rows=300, inputs=4):
    return RANDOM.normal(size=(rows, inputs)), RANDOM.normal(size=(rows + 50, inputs)) + shift * np.eye(inputs)[0]


def test_the_same_domain_is_not_apart_and_another_is():
    near, middle, far = (domain_views.divergence(*two(shift)) for shift in (0.0, 1.0, 12.0))
    assert near.a_distance < 0.25
    assert abs(near.mmd2) < 0.01
    # The best classifier of two Gaussians a deviation apart is wrong with probability Φ(-1/2), 0.309.
    assert middle.a_distance == pytest.approx(2 * (1 - 2 * 0.309), abs=0.2)
    assert far.a_distance == pytest.approx(2, abs=0.02)
    assert near.mmd2 < middle.mmd2 < far.mmd2


def test_mmd_is_the_mean_kernel_within_less_that_between():
    source, target = two(1.0, rows=40)
    both = np.concatenate([source, target])
    distance = sk.pairwise_distances(both)
    width = np.median(distance[np.triu_indices(len(both), 1)])
    kernel = sk.pairwise.rbf_kernel(both, gamma=1 / (2 * width**2))
    within = [(k.sum() - np.trace(k)) / (len(k) * (len(k) - 1)) for k in (kernel[:40, :40], kernel[40:, 40:])]
    assert domain_views.divergence(source, target).mmd2 == pytest.approx(sum(within) - 2 * kernel[:40, 40:].mean())


def test_domains_of_different_size_count_alike():
    source, target = two(0.0, rows=400)
    assert (
        domain_views.divergence(source, target[:40]).a_distance < 0.6
    )  # one that says source to all would be right in 91 of 100


def test_the_plane_is_that_of_scikit_learns_pca():
    x = load_wine().data
    x = (x - x.mean(0)) / x.std(0)
    source, target = x[:89], x[89:]  # as many of both, so that all count alike
    found = np.concatenate(domain_views.plane(source, target))
    expected = PCA(2).fit_transform(np.concatenate([source, target]))
    assert np.allclose(np.abs(found), np.abs(expected))


def test_in_the_plane_a_large_domain_does_not_outvote_a_small_one():
    source = RANDOM.normal(size=(5000, 3)) * [3, 0.1, 0.1]
    target = RANDOM.normal(size=(50, 3)) * [0.1, 9, 0.1]
    _, found = domain_views.plane(source, target)
    assert found.std(0)[0] > 5  # the first axis is the small one's


def test_a_single_input_has_a_plane_too():
    source, target = domain_views.plane(np.array([[0.0], [1.0]]), np.array([[4.0]]))
    assert (source[:, 1] == 0).all()
    assert abs(target[0, 0] - source[0, 0]) == pytest.approx(4)


TRUE, BEFORE, AFTER = np.array([0, 0, 0, 1, 1, 2]), np.array([0, 1, 1, 1, 1, 2]), np.array([0, 0, 1, 2, 1, 2])


def test_help_by_class_is_the_difference_of_recalls():
    found = domain_views.helped(TRUE, BEFORE, AFTER, ("a", "b", "c", "never"))
    assert [one.name for one in found] == ["a", "c", "b"]
    before, after = (sk.recall_score(TRUE, said, average=None) for said in (BEFORE, AFTER))
    assert found == [
        Helped("abc"[i], n, pytest.approx(before[i]), pytest.approx(after[i])) for i, n in ((0, 3), (2, 1), (1, 2))
    ]


def test_changes_are_the_differences_of_confusion_matrices():
    assert domain_views.changes(TRUE, BEFORE, AFTER, ("a", "b", "c")) == [
        PredictionChange("a", "b", 2, 1),
        PredictionChange("b", "c", 0, 1),
    ]
    apart = sk.confusion_matrix(TRUE, AFTER) - sk.confusion_matrix(TRUE, BEFORE)
    assert (apart[0, 1], apart[1, 2]) == (-1, 1)


def test_help_by_size_has_the_mean_error_of_fifths():
    true = np.arange(10.0)
    found = domain_views.helped_by_size(true, true + 2, true - np.arange(10) / 10)
    assert [(one.rows, one.before) for one in found] == [(2, 2.0)] * 5
    assert [one.after for one in found] == pytest.approx([0.05, 0.25, 0.45, 0.65, 0.85])
    assert found[0].name == "0 to 1"


def test_the_balance_is_mcnemars_exact_test():
    found = statistics.paired_counts(BEFORE != TRUE, AFTER != TRUE)
    assert (found.better, found.worse, found.chance) == (1, 1, 1.0)
    lost = np.ones(20)
    assert statistics.paired_counts(lost, np.r_[np.zeros(14), lost[14:16], lost[:4] * 2]).chance == pytest.approx(
        binomtest(14, 18).pvalue
    )
    assert statistics.paired_counts(lost, lost).chance == 1.0
