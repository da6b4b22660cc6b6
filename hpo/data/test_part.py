"""The test part. Only this module reads its rows; it also counts how often they are evaluated."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import ClassVar, TypeVar

import numpy as np
from torch import Tensor

from hpo.core.metrics import Task, compute_metrics

T = TypeVar("T")


@dataclass(frozen=True, eq=False)
class TestRows:
    """The tensors of the test part: `x` (rows, inputs), `y` (rows,), `weight` (rows,) or None without class weights."""

    __test__: ClassVar = False  # pytest would collect a class of this name

    x: Tensor
    y: Tensor
    weight: Tensor | None


class TestEvaluations:
    """Counts the evaluations of the test part.

    Scoring any number of networks is one evaluation; scoring only networks that were scored before is none, since it
    reveals nothing new.
    """

    __test__: ClassVar = False

    def __init__(self, count: int = 0, scored: Iterable[str] = ()) -> None:
        self._count, self._scored, self._new = count, set(scored), set[str]()

    @property
    def count(self) -> int:
        """The number of evaluations, including the current one."""
        return self._count + bool(self._new)

    @property
    def scored(self) -> list[str]:
        """Sorted labels of all networks that were ever scored."""
        return sorted(self._scored | self._new)

    def record(self, label: str) -> None:
        """Record that the network `label` is scored."""
        if label not in self._scored:
            self._new.add(label)


@dataclass(frozen=True, eq=False)
class TestPart:
    """The rows on which only final networks and ensembles are scored, encoded like the training rows of these networks.

    The tensors are private: code outside this class passes in functions or predictions. Only `reveal` returns them.
    """

    __test__: ClassVar = False

    _rows: TestRows
    _task: Task
    _target_scale: float

    def __len__(self) -> int:
        return len(self._rows.x)

    def predict(self, function: Callable[[Tensor], T]) -> T:
        """Apply `function` to the inputs (rows, inputs) and return its result."""
        return function(self._rows.x)

    def score(
        self, metrics: Sequence[str], logits: Tensor, label: str, evaluations: TestEvaluations
    ) -> dict[str, float]:
        """Compute `metrics` from the logits (1, rows, outputs) of the network `label` and record the evaluation."""
        evaluations.record(label)
        y, weight = self._rows.y.unsqueeze(0), None if self._rows.weight is None else self._rows.weight.unsqueeze(0)
        scores = compute_metrics(metrics, self._task, logits, y, weight, self._target_scale)
        return {name: float(score) for name, score in scores.items()}

    def errors(self, logits: Tensor) -> np.ndarray:
        """Return, for logits (rows, outputs), whether the predicted class is wrong, or the absolute error, (rows,)."""
        if self._task == "classification":
            return np.asarray(logits.argmax(1) != self._rows.y)
        return np.asarray((logits[:, 0] - self._rows.y).abs())

    def reveal(self) -> TestRows:
        """Return the tensors, for diagnostics of networks that are already scored."""
        return self._rows
