"""How ensembles are chosen and combined, on made predictions: against the formula, against trying everything, and
known cases."""

import math
import time
import tracemalloc
from dataclasses import replace
from itertools import combinations_with_replacement, pairwise

import numpy as np
import pytest
import torch
from sklearn import metrics as sk
from sklearn.linear_model import LogisticRegression, Ridge

from hpo.nn.combination import Combination
from hpo.selection.ensemble import boosting, greedy, stacking
from hpo.selection.ensemble.bagging import bootstrap_folds
from hpo.selection.ensemble.diversity import diversity
from hpo.selection.ensemble.held_out import OutOfFoldPredictions, estimate

ROWS, FOLDS = 60, 3


def unseen(members, task="classification", classes=3, noise=1.5, seed=0, weight=None):
    """What `members` say of rows of which they know something, each something else."""
    draw = np.random.default_rng(seed)
    fold = torch.arange(ROWS) % FOLDS
    if task == "regression":
        y = torch.tensor(draw.normal(size=ROWS))
        said = y.view(1, -1, 1) + torch.tensor(noise * draw.normal(size=(members, ROWS, 1)))
        return OutOfFoldPredictions(task, said, y, weight, fold, ordered=False, scale=2.0)
    y = torch.tensor(draw.integers(classes, size=ROWS))
    true = torch.nn.functional.one_hot(y, classes) * 2.0
    return OutOfFoldPredictions(
        task,
        true + torch.tensor(noise * draw.normal(size=(members, ROWS, classes))),
        y,
        weight,
        fold,
        ordered=False,
        scale=1.0,
    )


def mean(*weight, outputs=3):
    return Combination("mean", torch.tensor(weight, dtype=torch.float64), torch.zeros(outputs))


# ---- combining


def test_a_mean_is_of_probabilities():
    said = unseen(2).logits
    together = mean(0.75, 0.25).combine("classification", said)
    assert together.softmax(1).numpy() == pytest.approx((0.75 * said[0].softmax(1) + 0.25 * said[1].softmax(1)).numpy())


def test_a_mean_of_numbers_and_a_sum_of_outputs():
    said, numbers = unseen(2).logits, unseen(2, "regression").logits
    assert mean(0.75, 0.25, outputs=1).combine("regression", numbers).equal(0.75 * numbers[0] + 0.25 * numbers[1])
    rule = Combination("sum", torch.tensor([0.5, 0.5], dtype=torch.float64), torch.tensor([1.0, 0.0, 0.0]))
    assert rule.combine("classification", said).equal(0.5 * said[0] + 0.5 * said[1] + torch.tensor([1.0, 0.0, 0.0]))


def test_a_linear_function_sees_the_logarithms_of_probabilities_member_by_member():
    said, weight = unseen(2).logits, torch.randn(3, 6, dtype=torch.float64)
    rule = Combination("linear", weight, torch.tensor([0.0, 1.0, 2.0]))
    x = torch.cat([said[0].log_softmax(1), said[1].log_softmax(1)], dim=1)
    assert rule.combine("classification", said).numpy() == pytest.approx((x @ weight.T + rule.bias).numpy())


def test_the_networks_of_a_member_are_averaged_first():
    said = unseen(4).logits
    chances = said.softmax(2)
    together = replace(mean(0.75, 0.25), networks_per_member=2).combine("classification", said).softmax(1)
    assert together.numpy() == pytest.approx((0.75 * chances[:2].mean(0) + 0.25 * chances[2:].mean(0)).numpy())


def test_only_the_logits_of_a_classification_are_divided_by_the_temperature():
    said, numbers, rule = unseen(2).logits, unseen(2, "regression").logits, mean(0.75, 0.25)
    cooled = replace(rule, temperature=0.5)
    chances = (2 * rule.combine("classification", said)).softmax(1)
    assert cooled.combine("classification", said).softmax(1).numpy() == pytest.approx(chances.numpy())
    rule, cooled = replace(rule, bias=torch.zeros(1)), replace(cooled, bias=torch.zeros(1))
    assert cooled.combine("regression", numbers).equal(rule.combine("regression", numbers))


@pytest.mark.parametrize(
    "rule",
    [
        replace(mean(0.5, 0.0, 0.5), temperature=2.0),
        Combination("sum", torch.tensor([0.3, 0.0, 0.3]), torch.zeros(3)),
        Combination(
            "linear", torch.cat([torch.randn(3, 3), torch.zeros(3, 3), torch.randn(3, 3)], dim=1), torch.ones(3)
        ),
    ],
)
def test_who_has_no_weight_can_be_left_out(rule):
    said = unseen(3).logits
    kept, trimmed = rule.without_unused_members(3)
    assert kept == [0, 2]
    assert trimmed.combine("classification", said[kept]).numpy() == pytest.approx(
        rule.combine("classification", said).numpy()
    )
    assert float(trimmed.member_shares(3).sum()) == pytest.approx(1)


# ---- greedy


def loss_of(of, counts):
    chances = (torch.tensor(counts).view(-1, 1, 1) * of.logits.softmax(2)).sum(0) / sum(counts)
    return sk.log_loss(of.y, chances, labels=range(3))


def counts_of(taken, members):
    return [taken.count(i) for i in range(members)]


def test_each_choice_is_the_one_that_helps_the_mean_most():
    """From a start with the best one alone: of a size of two or three, half is one."""
    of = unseen(5)
    first = min(range(5), key=lambda i: loss_of(of, counts_of([i], 5)))
    second = min(range(5), key=lambda i: loss_of(of, counts_of([first, i], 5)))
    third = min(range(5), key=lambda i: loss_of(of, counts_of([first, second, i], 5)))
    assert greedy.choose(of, "loss", 2).tolist() == counts_of([first, second], 5)
    assert greedy.choose(of, "loss", 3).tolist() == counts_of([first, second, third], 5)


def test_it_comes_close_to_the_best_of_all_mixtures():
    of = unseen(4)
    best = min(loss_of(of, counts_of(list(taken), 4)) for taken in combinations_with_replacement(range(4), 6))
    assert best <= loss_of(of, greedy.choose(of, "loss", 6).tolist()) < best + 0.005


@pytest.mark.parametrize("metric", ["loss", "accuracy", "balanced_accuracy", "roc_auc", "f1_macro"])
def test_it_follows_the_metric_of_the_search(metric):
    of = unseen(6, noise=3.0)
    sign = 1 if metric == "loss" else -1
    single = (sign * of.scores((metric,), of.logits)[metric]).min()
    said = greedy.fit(of, metric, 10).combine(of.task, of.logits).unsqueeze(0)
    assert sign * of.scores((metric,), said)[metric] < single


def test_a_perfect_member_is_taken_alone_and_again():
    of = unseen(4)
    of.logits[2] = 50.0 * torch.nn.functional.one_hot(of.y, 3)
    assert greedy.choose(of, "loss", 10).tolist() == [0, 0, 10, 0]


def test_equals_are_ordered_by_loss():
    """All are always right; the surest comes first."""
    of = unseen(3)
    of.logits[:] = torch.tensor([1.0, 3.0, 2.0]).view(-1, 1, 1) * torch.nn.functional.one_hot(of.y, 3)
    assert greedy.choose(of, "accuracy", 3).tolist() == [0, 3, 0]


def test_it_averages_numbers_too():
    of = unseen(8, "regression")
    counts = greedy.choose(of, "r2", 10)
    assert counts.sum() == 10
    said = greedy.fit(of, "r2", 10).combine(of.task, of.logits)[:, 0]
    assert sk.r2_score(of.y, said) > max(sk.r2_score(of.y, one[:, 0]) for one in of.logits)


# ---- stacking


@pytest.mark.parametrize("classes", [2, 3])
def test_a_stack_is_scikit_learns_logistic_regression_at_the_strength_with_the_least_loss_on_other_folds(classes):
    of = unseen(3, classes=classes)
    x = torch.cat([one.log_softmax(1) for one in of.logits], dim=1).numpy()

    def fitted(rows, strength):
        return LogisticRegression(C=1 / (strength * len(rows)), max_iter=5000, tol=1e-8).fit(x[rows], of.y[rows])

    def loss(strength):
        cuts = [(np.flatnonzero(of.fold != f), np.flatnonzero(of.fold == f)) for f in range(FOLDS)]
        return np.mean(
            [sk.log_loss(of.y[valid], fitted(train, strength).predict_proba(x[valid])) for train, valid in cuts]
        )

    best = min((1.0, 1e-1, 1e-2, 1e-3, 1e-4), key=loss)
    said = stacking.fit(of, "loss", 3).combine(of.task, of.logits).softmax(1)
    assert said.numpy() == pytest.approx(fitted(np.arange(ROWS), best).predict_proba(x), abs=1e-3)


def test_a_stack_of_numbers_is_a_ridge():
    of = unseen(3, "regression")
    x = of.logits[:, :, 0].T.numpy()
    said = stacking.fit(of, "loss", 3).combine(of.task, of.logits)[:, 0].numpy()
    ridges = [Ridge(alpha=strength * ROWS).fit(x, of.y).predict(x) for strength in (1.0, 1e-1, 1e-2, 1e-3, 1e-4)]
    assert min(np.abs(said - ridge).max() for ridge in ridges) < 1e-5


def test_a_stack_is_of_the_best_members_alone():
    of = unseen(4)
    of.logits[1] = torch.randn(ROWS, 3)
    assert stacking.fit(of, "loss", 3).without_unused_members(3)[0] == [0, 2, 3]


@pytest.mark.parametrize("known", [[0, 1], [1]])
def test_a_class_without_rows_is_never_predicted(known):
    of = unseen(2)
    of = of.part(torch.isin(of.y, torch.tensor(known)))
    assert set(stacking.fit(of, "loss", 2).combine(of.task, of.logits).argmax(1).tolist()) <= set(known)


@pytest.mark.parametrize(("task", "known"), [("classification", 1), ("regression", 1.0)])
def test_a_stack_of_rows_that_are_all_alike_is_its_bias(task, known):
    """Of a time window in which one class occurs, say."""
    of = unseen(3, task)
    of = replace(of, y=torch.full_like(of.y, known))
    kept, rule = stacking.fit(of, "loss", 3).without_unused_members(of.logits.shape[2])
    assert len(kept) == 1
    said = rule.combine(task, of.logits[kept])
    assert set(said.argmax(1).tolist()) == {known} if task == "classification" else said.numpy() == pytest.approx(1.0)


def test_a_stack_of_many_classes_takes_no_hessian_of_all_pairs_of_weights():
    """Which is 26 classes times 26 classes times 4 members, squared, here: minutes a fit."""
    draw = torch.Generator().manual_seed(0)
    y = torch.randint(26, (520,), generator=draw)
    said = torch.randn(6, 520, 26, generator=draw, dtype=torch.float64) + 3 * torch.nn.functional.one_hot(y, 26)
    began = time.process_time()
    rule = stacking.fit_linear(
        OutOfFoldPredictions("classification", said, y, None, y % 3, ordered=False, scale=1.0), list(range(6)), 1e-2
    )
    assert time.process_time() - began < 5
    assert (rule.combine("classification", said).argmax(1) == y).double().mean() > 0.95


# ---- boosting


def test_boosting_ends_after_the_network_with_which_the_sum_is_best():
    of = unseen(1)
    steps = torch.stack([0.5 * of.logits[0], of.logits[0], -4 * of.logits[0], of.logits[0]])
    rule = boosting.fit(replace(of, logits=steps), "loss")
    sums = [boosting.SHRINKAGE * steps[: n + 1].sum(0) for n in range(4)]
    best = int(np.argmin([sk.log_loss(of.y, one.softmax(1)) for one in sums])) + 1
    assert rule.weight.tolist() == pytest.approx([boosting.SHRINKAGE] * best + [0] * (4 - best))


# ---- bagging


def test_a_bootstrap_draws_with_replacement_and_is_judged_by_what_it_has_not_drawn():
    folds = bootstrap_folds(1000, 20, seed=3, groups=None)
    for fold in folds:
        assert len(fold.train) == 1000
        assert sorted({*fold.train.tolist(), *fold.test.tolist()}) == list(range(1000))
        assert not set(fold.train.tolist()) & set(fold.test.tolist())
    assert np.mean([len(fold.test) for fold in folds]) == pytest.approx(1000 / math.e, rel=0.03)
    assert all(not one.train.equal(other.train) for one, other in pairwise(folds))
    assert folds[0].train.equal(bootstrap_folds(1000, 1, seed=3, groups=None)[0].train)


def test_a_bootstrap_of_groups_leaves_whole_groups_out():
    groups = np.arange(300) % 50
    for fold in bootstrap_folds(300, 10, seed=0, groups=groups):
        assert len(fold.train) == 300
        assert not set(groups[fold.train]) & set(groups[fold.test])
        assert set(groups[fold.train]) | set(groups[fold.test]) == set(range(50))


def test_a_bootstrap_of_a_few_large_groups_needs_no_more_memory_than_its_rows():
    tracemalloc.start()
    bootstrap_folds(20_000, 1, seed=0, groups=np.arange(20_000) % 3)
    assert tracemalloc.get_traced_memory()[1] < 20e6  # in bytes; drawn as often as there are rows, two gigabytes
    tracemalloc.stop()


# ---- diversity


def test_diversity_of_classes():
    y = torch.tensor([0, 0, 1, 1])
    logits = torch.tensor(
        [
            [[3.0, 0], [3.0, 0], [0, 3.0], [0, 3.0]],
            [[3.0, 0], [0, 1.0], [0, 3.0], [0, 2.0]],
            [[0, 3.0], [3.0, 0], [1.0, 0], [0, 3.0]],
        ]
    )
    found = diversity("classification", logits, y, 1.0)
    assert found["disagreement"] == pytest.approx((1 / 4 + 2 / 4 + 3 / 4) / 3)
    errors = 1 - logits.softmax(2)[:, range(4), y].numpy()
    # The first errs alike everywhere, so nothing correlates with it.
    assert found["error_correlation"] == pytest.approx(np.corrcoef(errors[1], errors[2])[0, 1])


def test_diversity_of_numbers_is_in_the_units_of_the_target():
    y, logits = torch.tensor([0.0, 1.0, 2.0]), torch.tensor([[[0.0], [1.0], [3.0]], [[1.0], [1.0], [2.0]]])
    found = diversity("regression", logits, y, 10.0)
    assert found["disagreement"] == pytest.approx(10 * 2 / 3)
    assert found["error_correlation"] == pytest.approx(np.corrcoef([0, 0, 1], [1, 0, 0])[0, 1])
    assert diversity("regression", logits[:1], y, 10.0) == {}


# ---- what to expect


def test_an_estimate_judges_each_fold_by_what_is_fitted_on_the_others():
    of, seen = unseen(3), []

    def fit(part):
        seen.append(sorted(set(part.fold.tolist())))
        return mean(1.0, 0.0, 0.0) if 0 in seen[-1] else mean(0.0, 1.0, 0.0)

    found = estimate(of, fit, ("loss", "accuracy"))
    assert seen == [[1, 2], [0, 2], [0, 1]]
    losses = [
        sk.log_loss(of.y[of.fold == f], of.logits[1 if f == 0 else 0, of.fold == f].softmax(1), labels=range(3))
        for f in range(3)
    ]
    assert found["loss"] == pytest.approx(np.mean(losses))


def test_a_row_that_is_alone_is_enough_to_stack_by():
    """Where few labelled rows judge, a fold may hold one."""
    rule = stacking.fit(unseen(3).part(torch.tensor([0])), "loss", 2)
    assert rule.weight.isfinite().all()


def test_over_time_it_is_fitted_on_what_was_before():
    seen = []

    def fit(part):
        seen.append(sorted(set(part.fold.tolist())))
        return mean(1.0)

    estimate(replace(unseen(1), ordered=True), fit, ("loss",))
    assert seen == [[0], [0, 1]]
    assert estimate(replace(unseen(1), fold=torch.zeros(ROWS)), fit, ("loss",)) == {}


def test_what_is_chosen_on_the_same_rows_looks_better_than_it_is():
    """Of members that know nothing, the estimate says so; the rows that they were chosen on do not."""
    of = unseen(200)
    of = replace(of, logits=torch.randn(200, ROWS, 3, generator=torch.Generator().manual_seed(0)))
    expected = estimate(of, lambda part: greedy.fit(part, "accuracy", 5), ("accuracy",))["accuracy"]
    said = greedy.fit(of, "accuracy", 5).combine(of.task, of.logits).unsqueeze(0)
    assert expected < 0.45
    assert float(of.scores(("accuracy",), said)["accuracy"]) > 0.55
