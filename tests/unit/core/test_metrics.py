"""Metrics of many fits at once equal scikit-learn's metrics of each fit."""

from itertools import pairwise

import numpy as np
import pytest
import torch
from sklearn import metrics as sk

from hpo.core.metrics import METRICS, compute_metrics

FITS, ROWS = 3, 200
GENERATOR = np.random.default_rng(0)


def classes(n):
    logits = torch.tensor(GENERATOR.normal(size=(FITS, ROWS, n)))
    logits[:, : ROWS // 2] = logits[:, : ROWS // 2].round()  # ties
    y = torch.tensor(GENERATOR.choice(n, p=np.arange(1, n + 1) / sum(range(n + 1)), size=(FITS, ROWS)))
    return logits, y


def sklearn_score(name, logits, y):
    chances, hard = logits.softmax(1).numpy(), logits.argmax(1).numpy()
    if name == "loss":
        return sk.log_loss(y, chances, labels=range(logits.shape[1]))
    if name == "roc_auc":
        return sk.roc_auc_score(y, chances[:, 1] if logits.shape[1] == 2 else chances, multi_class="ovr")
    if name in ("f1_macro", "precision", "recall"):
        return getattr(sk, f"{name.partition('_')[0]}_score")(y, hard, average="macro", zero_division=0)
    if name == "brier":
        return (
            sk.brier_score_loss(y, chances[:, 1])
            if chances.shape[1] == 2
            else np.square(chances - np.eye(chances.shape[1])[y]).sum(1).mean()
        )
    if name == "ece":
        return calibration_error(chances.max(1), hard == y.numpy())
    return {"accuracy": sk.accuracy_score, "balanced_accuracy": sk.balanced_accuracy_score}[name](y, hard)


def calibration_error(confidence, right, bins=15):
    """Compute the calibration error literally as in Guo et al. (2017)."""
    found = 0.0
    for low, high in pairwise(np.linspace(0, 1, bins + 1)):
        inside = (confidence > low) & (confidence <= high)
        if inside.any():
            found += inside.mean() * abs(right[inside].mean() - confidence[inside].mean())
    return found


@pytest.mark.parametrize("n", [2, 4])
@pytest.mark.parametrize(
    "name", [m.name for m in METRICS.values() if "classification" in m.tasks and not m.is_validator]
)
def test_classification(name, n):
    logits, y = classes(n)
    measured = compute_metrics([name], "classification", logits, y, None, 1.0)[name]
    expected = [sklearn_score(name, logits[i], y[i]) for i in range(FITS)]
    assert measured.numpy() == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize("name", ["loss", "r2", "mae"])
def test_regression_in_the_units_of_the_target(name):
    predicted, y = (torch.tensor(GENERATOR.normal(size=(FITS, ROWS))) for _ in range(2))
    measured = compute_metrics([name], "regression", predicted.unsqueeze(2), y, None, 5.0)[name]
    score = {"loss": sk.mean_squared_error, "r2": sk.r2_score, "mae": sk.mean_absolute_error}[name]
    assert measured.numpy() == pytest.approx([score(5 * y[i], 5 * predicted[i]) for i in range(FITS)])


def test_weights_affect_the_loss_only():
    logits, y = classes(3)
    weight = torch.tensor(GENERATOR.uniform(0.5, 2, size=(FITS, ROWS)))
    measured = compute_metrics(["loss", "accuracy"], "classification", logits, y, weight, 1.0)
    plain = compute_metrics(["accuracy"], "classification", logits, y, None, 1.0)
    expected = [sk.log_loss(y[i], logits[i].softmax(1), sample_weight=weight[i], labels=range(3)) for i in range(FITS)]
    assert measured["loss"].numpy() == pytest.approx(expected)
    assert (measured["accuracy"] == plain["accuracy"]).all()


@pytest.mark.parametrize("name", ["precision", "recall", "f1_macro"])
def test_a_class_without_predictions_or_without_rows_counts_as_in_scikit_learn(name):
    logits = torch.nn.functional.one_hot(torch.tensor([[0, 0, 1, 1, 3]]), 5).double()
    y = torch.tensor([[0, 2, 1, 2, 1]])
    found = compute_metrics([name], "classification", logits, y, None, 1.0)[name]
    assert found.tolist() == pytest.approx([sklearn_score(name, logits[0], y[0])])


def test_certain_and_correct_predictions_have_no_calibration_error():
    logits, y = torch.tensor([[[900.0, 0.0], [0.0, 900.0]]]), torch.tensor([[0, 1]])
    right, wrong = (compute_metrics(["ece", "brier"], "classification", logits, said, None, 1.0) for said in (y, 1 - y))
    assert [float(right[name]) for name in right] == [0, 0]
    assert [float(wrong[name]) for name in wrong] == [1, 1]


@pytest.mark.parametrize("name", ["loss", "ece", "brier"])
def test_nan_logits_have_no_score_that_could_be_the_best(name):
    logits = torch.full((1, 4, 3), torch.nan)
    found = compute_metrics([name], "classification", logits, torch.tensor([[0, 1, 2, 0]]), None, 1.0)[name]
    assert found.isnan()


def test_r2_of_a_constant_target_is_undefined():
    flat = torch.ones(1, 9)
    assert compute_metrics(["r2"], "regression", torch.zeros(1, 9, 1), flat, None, 1.0)["r2"].isnan().all()
