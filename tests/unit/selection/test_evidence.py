"""The evidence about finalists, compared with slow and simple computations of the same numbers."""

import math

import numpy as np
import pytest
import torch
from sklearn.metrics import accuracy_score, balanced_accuracy_score, log_loss, r2_score, roc_auc_score

from hpo.core.posterior import Measurement
from hpo.selection import evidence
from hpo.selection.calibration import fit_temperature
from tests.helpers.predictions import draw_of

ROWS, SEED = 60, 3


def made(task, labels, draws=2, scales=(1.0, 1.0), weighted=False, rows=ROWS, classes=3):
    """Return draws in which each configuration, of `labels`, predicts all rows in another order."""
    stream = torch.Generator().manual_seed(0)

    def normal(*shape):
        return torch.randn(*shape, generator=stream, dtype=torch.float64)

    target = normal(rows) if task == "regression" else torch.arange(rows) % classes
    weight = (normal(rows).abs() + 0.1) if weighted else None
    found = []
    for draw in range(draws):
        order = torch.randperm(rows, generator=stream)
        y = target[order] / scales[draw] if task == "regression" else target[order]
        truth = y[:, None] if task == "regression" else 2 * torch.nn.functional.one_hot(y, classes).double()
        logits = {
            label: truth + (0.5 + place) / scales[draw] * normal(rows, truth.shape[1])
            for place, label in enumerate(labels)
            if draw == 0 or label != "0"  # which dropped out
        }
        found.append(draw_of(task, y, logits, order, None if weight is None else weight[order], scales[draw]))
    return found


def error(metric, task, y, logits, weight, scale):
    """Return the error of predictions by scikit-learn; half an error is added to 1 - score."""
    if metric == "loss" and task == "regression":
        return float(np.average((scale * (logits[:, 0] - y)) ** 2, weights=weight))
    if metric == "loss":
        return log_loss(y, torch.tensor(logits).softmax(1).numpy(), sample_weight=weight, labels=[0, 1, 2])
    if metric == "roc_auc":
        return 1 - roc_auc_score(y, logits[:, 1] - logits[:, 0]) + 0.5 / ROWS
    if metric == "r2":
        return 1 - r2_score(y, logits[:, 0]) + 0.5 / ROWS
    score = {"accuracy": accuracy_score, "balanced_accuracy": balanced_accuracy_score}[metric]
    return 1 - score(y, logits.argmax(1)) + 0.5 / ROWS


@pytest.mark.parametrize(
    ("task", "metric", "weighted"),
    [
        ("classification", "loss", False),
        ("classification", "loss", True),
        ("classification", "accuracy", True),
        ("classification", "balanced_accuracy", False),
        ("regression", "loss", False),
        ("regression", "loss", True),
        ("regression", "r2", False),
    ],
)
def test_errors_and_their_bootstrap_equal_those_of_repeated_rows(task, metric, weighted):
    """A bootstrap sample is drawn from the development rows, the same one for both draws and all configurations."""
    draws = made(task, ["defaults", "0"], scales=(2.0, 0.5), weighted=weighted)
    found = evidence.measure(draws, metric, SEED)
    assert {label: len(errors) for label, errors in found.errors.items()} == {"defaults": 2, "0": 1}
    counts = evidence.bootstrap_counts(draws, SEED)
    assert counts.sum(1).tolist() == [ROWS] * len(counts)
    for label in ("defaults", "0"):
        own = [draw for draw in draws if label in draw.logits]
        together = [torch.cat(parts) for parts in ([d.logits[label] for d in own], [d.y for d in own])]
        weights = torch.cat([d.weight for d in own]) if weighted else None
        temperature = fit_temperature(*together, weights) if task == "classification" else 1.0
        for place, draw in enumerate(own):
            logits, y = draw.logits[label].numpy() / temperature, draw.y.numpy()
            weight = None if draw.weight is None else draw.weight.numpy()
            expected = error(metric, task, y, logits, weight, draw.scale)
            assert found.errors[label][place] == pytest.approx(expected)
            for sample in (0, 1, 199):
                picked = [i for i, row in enumerate(draw.row.tolist()) for _ in range(counts[sample, row])]
                some = None if weight is None else weight[picked]
                expected = error(metric, task, y[picked], logits[picked], some, draw.scale)
                assert found.resampled[label][sample, place] == pytest.approx(expected)


@pytest.mark.parametrize("metric", ["loss", "accuracy"])
def test_two_configurations_with_the_same_predictions_have_no_gain_over_each_other(metric):
    """Of exactly 0, without variance: both are judged on the same bootstrap samples."""
    draws = made("classification", ["defaults", "7"])
    for draw in draws:
        draw.logits["twin"] = draw.logits["7"]
    found = evidence.measure(draws, metric, SEED)
    assert found.measurement("twin", "7") == Measurement(0.0, 0.0)
    assert found.measurement("twin", "defaults") == found.measurement("7", "defaults")
    assert found.measurement("7", "defaults").variance > 0


def test_a_measurement_is_paired_over_the_draws_that_both_have():
    draws = made("classification", ["defaults", "0", "7"])
    found = evidence.measure(draws, "loss", SEED)
    first = evidence.measure(draws[:1], "loss", SEED)
    assert found.measurement("0", "defaults").value == pytest.approx(
        math.log(found.errors["defaults"][0] / found.errors["0"][0])
    )
    both = found.measurement("7", "defaults")
    assert both.value == pytest.approx(np.log(found.errors["defaults"] / found.errors["7"]).mean())
    back = found.measurement("defaults", "7")
    assert (back.value, back.variance) == pytest.approx((-both.value, both.variance))
    # Paired differences vary less than the errors themselves, because hard rows are hard for both.
    hard = 3 * torch.randn(ROWS, 3, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    for draw in draws:
        draw.logits.update({label: draw.logits[label] + hard[draw.row] for label in ("defaults", "7")})
    paired = evidence.measure(draws, "loss", SEED)
    apart = [np.log(paired.resampled[label]).mean(1).var(ddof=1) for label in ("defaults", "7")]
    measured = np.log(paired.resampled["defaults"] / paired.resampled["7"]).mean(1).var(ddof=1)
    assert measured < 0.5 * sum(apart)
    assert first.errors["7"] != found.errors["7"][:1]  # the temperature is that of all draws


def test_the_bootstrap_variance_is_that_of_new_rows():
    """The variance of the measured log ratio over many new samples of rows, by simulation."""
    stream, rows = np.random.default_rng(0), 400

    def sample():
        y = torch.zeros(rows)
        logits = {label: torch.from_numpy(stream.normal(0, sd, (rows, 1))) for label, sd in (("a", 1.0), ("b", 1.2))}
        return draw_of("regression", y, logits)

    found = [evidence.measure([sample()], "loss", seed) for seed in range(150)]
    measured = np.var([math.log(e.errors["b"][0] / e.errors["a"][0]) for e in found], ddof=1)
    estimated = np.mean([np.log(e.resampled["b"] / e.resampled["a"])[:, 0].var(ddof=1) for e in found])
    assert estimated == pytest.approx(measured, rel=4 * math.sqrt(2 / 150))


def test_bootstrap_samples_without_a_rare_class_do_not_count():
    """Three of 60 rows belong to the positive class, so a sample in twenty has none, and no ROC curve."""
    y = (torch.arange(ROWS) % 20 == 0).long()
    stream = torch.Generator().manual_seed(0)
    logits = {label: torch.randn(ROWS, 2, generator=stream) + y[:, None] for label in ("a", "b")}
    found = evidence.measure([draw_of("classification", y, logits)], "roc_auc", SEED)
    undefined = np.isnan(found.resampled["a"][:, 0])
    assert 0 < undefined.sum() < 40  # or the table above is a bad example
    assert found.errors["a"][0] == pytest.approx(error("roc_auc", "", y.numpy(), logits["a"].numpy(), None, 1.0))
    measurement = found.measurement("a", "b")
    defined = np.log(found.resampled["b"] / found.resampled["a"])[~undefined, 0]
    assert measurement == Measurement.from_bootstrap(measurement.value, defined.var(ddof=1), 1)
    assert measurement.known


def test_a_metric_that_no_row_defines_is_not_known():
    y = torch.zeros(ROWS, dtype=torch.long)
    logits = {label: torch.randn(ROWS, 2, generator=torch.Generator().manual_seed(0)) for label in ("a", "b")}
    found = evidence.measure([draw_of("classification", y, logits)], "roc_auc", SEED)
    assert not found.measurement("a", "b").known


def test_perfect_predictions_are_equal_and_better_than_any_other():
    """A loss of 0, which double precision gives for the second one, has no logarithm."""
    y = torch.arange(ROWS) % 2
    right = torch.nn.functional.one_hot(y, 2).float()
    noise = torch.randn(ROWS, 2, generator=torch.Generator().manual_seed(0))
    found = evidence.measure([draw_of("classification", y, {"a": 20 * right, "b": 40 * right, "c": noise})], "loss", 0)
    assert found.measurement("a", "b") == Measurement(0.0, 0.0)
    assert found.measurement("b", "c").value > 1
    assert found.measurement("b", "c").known


def test_a_small_loss_is_computed_in_double_precision():
    """Single precision would round it to 0."""
    y, logits = torch.zeros(5, dtype=torch.long), torch.tensor([[17.0, 0.0]]).repeat(5, 1)
    (loss,) = evidence.resampled_errors(draw_of("classification", y, {}), logits, "loss", np.zeros((0, 5), np.int32))
    assert loss == pytest.approx(math.log1p(math.exp(-17)))


def test_a_metric_of_folds_is_measured_by_paired_differences():
    """A validator: in units of the mean of the reference, and with the error of Nadeau and Bengio."""
    reference, scores = np.array([2.0, 3.0, 4.0, 3.0]), np.array([1.8, 2.9, 3.5, np.nan])
    found = evidence.measurement_by_folds(scores, reference, 0.25)
    assert found.value == pytest.approx((0.2 + 0.1 + 0.5) / 3 / 3)
    assert found.variance == pytest.approx((1 / 3 + 0.25) * np.var([0.2, 0.1, 0.5], ddof=1) / 9)
    assert not evidence.measurement_by_folds(scores[:1], reference, 0.25).known  # a single fold has no variance
    assert not evidence.measurement_by_folds(scores[3:], reference[3:], 0.25).known
