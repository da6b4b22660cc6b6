"""The test part: where it is read, and how evaluations are counted."""

import ast
from pathlib import Path

import numpy as np
import pytest
import torch

import hpo
from hpo.core.samples import Samples
from hpo.data.dataset import Dataset
from hpo.data.test_part import TestEvaluations, TestPart, TestRows

ROOT = Path(hpo.__file__).parent
REVEALED_IN = {"report/adaptation_views.py", "selection/ensemble/build.py"}  # diagnostics of networks already scored


def attributes(path):
    tree = ast.parse(path.read_text(encoding="utf-8"))
    return {node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute)}


def test_only_diagnostics_of_scored_networks_read_the_test_rows():
    files = {path.relative_to(ROOT).as_posix(): attributes(path) for path in ROOT.rglob("*.py")}
    assert {name for name, used in files.items() if "reveal" in used} == REVEALED_IN
    outside = {name: used for name, used in files.items() if not name.startswith("data/")}
    assert [name for name, used in outside.items() if used & {"test_x", "test_y", "test_weight", "_encoder"}] == []


def test_a_dataset_has_no_test_tensors_of_its_own():
    names = {field for cls in (Samples, Dataset) for field in cls.__dataclass_fields__}
    assert [name for name in names if name.startswith("test")] == ["test"]
    assert [name for name in vars(TestPart) if not name.startswith("_")] == ["predict", "score", "errors", "reveal"]


@pytest.mark.parametrize(
    ("scored", "labels", "count"),
    [((), (), 3), ((), ("a", "b"), 4), (("a", "b"), ("a",), 3), (("a",), ("a", "b"), 4)],
)
def test_scoring_new_networks_is_one_evaluation(scored, labels, count):
    evaluations = TestEvaluations(3, scored)
    for label in labels:
        evaluations.record(label)
    assert (evaluations.count, evaluations.scored) == (count, sorted({*scored, *labels}))


def test_scores_and_errors_of_classes():
    x, y = torch.arange(8.0).view(4, 2), torch.tensor([0, 1, 1, 0])
    part, evaluations = (
        TestPart(TestRows(x, y, torch.tensor([1.0, 1.0, 1.0, 3.0])), "classification", 1.0),
        TestEvaluations(),
    )
    logits = torch.tensor([[2.0, 0.0], [0.0, 2.0], [2.0, 0.0], [2.0, 0.0]])
    assert len(part) == 4
    assert part.predict(lambda rows: rows.sum().item()) == x.sum().item()
    assert part.errors(logits).tolist() == [False, False, True, False]
    expected = torch.nn.functional.cross_entropy(logits, y, reduction="none") @ torch.tensor([1.0, 1.0, 1.0, 3.0]) / 6
    assert part.score(["loss"], logits[None], "0-scaled", evaluations) == {"loss": pytest.approx(expected.item())}
    assert (evaluations.count, evaluations.scored) == (1, ["0-scaled"])


def test_scores_and_errors_of_numbers_are_in_units_of_the_target_and_standardized():
    part = TestPart(TestRows(torch.zeros(2, 1), torch.tensor([1.0, -1.0]), None), "regression", 10.0)
    logits = torch.tensor([[1.5], [-2.0]])
    assert part.errors(logits) == pytest.approx(np.array([0.5, 1.0]))
    assert part.score(["mae"], logits[None], "0", TestEvaluations()) == {"mae": pytest.approx(7.5)}
