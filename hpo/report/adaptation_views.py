"""What the final network makes of two domains, and what its twin does that took no other domain into account."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from hpo.core import statistics
from hpo.core.metrics import average_predictions
from hpo.core.statistics import PairedCounts
from hpo.data.dataset import Dataset
from hpo.nn.network import BatchedNetwork, Outputs
from hpo.regularizers import active
from hpo.report import domain_views
from hpo.report.domain_views import Divergence, Helped, PredictionChange
from hpo.report.inputs import ReportInputs, Twin
from hpo.study.ranking import adapting

_ROWS = 400  # of each domain that are shown and compared
_BLOCK = 1024  # rows at a time


@dataclass(frozen=True)
class View:
    """Rows of the source and of the target, (rows, inputs or features), as `name` sees them, and how far they lie apart."""

    name: str
    source: np.ndarray
    target: np.ndarray
    divergence: Divergence


@dataclass(frozen=True)
class Help:
    """Where the final network is better on the target's test rows than its twin `other`, and where worse: by class with `changes`, or
    by size of a number. They differ by strengths that take another domain into account (`adapts`), by others (`besides`), or both."""

    other: str
    adapts: bool
    besides: bool
    classes: bool
    parts: Sequence[Helped]
    changes: Sequence[PredictionChange]
    balance: PairedCounts


@dataclass(frozen=True)
class Seen:
    """`views`: the inputs, the features of the twin, if there is one, and those of the final network, if it tells them."""

    views: Sequence[View]
    help: Help | None


def seen(material: ReportInputs) -> Seen | None:
    """None where there is no other domain, no final network, or no rows."""
    if material.data is None or material.network is None or not material.weights or not material.data.tests_another:
        return None
    data = material.data if material.result["refit"]["kind"] == "keep" else material.data.whole()
    rows, target = _some(data.of_source), _some(np.arange(len(data.test_x)))
    if not len(rows):
        return None
    source = data.x[rows]
    views = [_view("Inputs", source, data.test_x[target])]
    nets: list[tuple[str, BatchedNetwork, Mapping[str, Tensor]]] = [
        (one.name, one.network, one.weights) for one in (material.twin,) if one
    ]
    nets.append(("selected", material.network, material.weights))
    said = []
    for name, network, weights in nets:
        features = _outputs(network, weights, source).features, _outputs(network, weights, data.test_x[target]).features
        if features[0] is not None and features[1] is not None:
            views.append(
                _view(f"Features: {name}", features[0][0], features[1][0])
            )  # of several networks those of the first
        said.append(average_predictions(data.task, _outputs(network, weights, data.test_x).logits))
    params = material.selected.trial.params
    return Seen(views, _help(data, material.twin, params, *said) if material.twin else None)


def _help(data: Dataset, twin: Twin, params: Mapping[str, Any], without: Tensor, selected: Tensor) -> Help:
    """Of what both said of the test rows, (rows, outputs)."""
    adapts = adapting(params)
    ours, theirs = (
        {key: value for key, value in active(own).items() if key not in adapts} for own in (params, twin.params)
    )
    differ = bool(adapts), ours != theirs
    if data.task == "regression":
        true, before, after = (
            values.double().numpy() * data.target_scale + data.target_mean
            for values in (data.test_y, without[:, 0], selected[:, 0])
        )
        balance = statistics.paired_counts(np.abs(before - true), np.abs(after - true))
        return Help(twin.name, *differ, False, domain_views.helped_by_size(true, before, after), (), balance)
    true, before, after = (values.numpy() for values in (data.test_y, without.argmax(1), selected.argmax(1)))
    parts, changes = (
        domain_views.helped(true, before, after, data.classes),
        domain_views.changes(true, before, after, data.classes),
    )
    return Help(twin.name, *differ, True, parts, changes, statistics.paired_counts(before != true, after != true))


def _view(name: str, source: Tensor, target: Tensor) -> View:
    rows = source.numpy(), target.numpy()
    return View(name, *rows, domain_views.divergence(*rows))


def _outputs(network: BatchedNetwork, weights: Mapping[str, Tensor], x: Tensor) -> Outputs:
    fits = len(next(iter(weights.values())))
    blocks = torch.split(x.to(next(iter(weights.values())).dtype).expand(fits, -1, -1), _BLOCK, dim=1)
    return network.predict_parts(weights, blocks, features=True)


def _some(rows: np.ndarray) -> np.ndarray:
    """At most so many, drawn once and for all."""
    return np.asarray(rows[np.sort(np.random.default_rng(0).permutation(len(rows))[:_ROWS])])
