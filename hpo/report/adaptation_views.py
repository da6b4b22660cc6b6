"""Compare the final network with a reference that does not adapt: their features and predictions in two domains."""

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
from hpo.regularizers.active import active_adaptation, active_params
from hpo.report import domain_views
from hpo.report.domain_views import Divergence, GroupComparison, PredictionChange
from hpo.report.inputs import ReferenceNetwork, ReportInputs

_MAX_ROWS = 400  # rows of each domain that are shown and compared
_BLOCK = 1024  # rows per forward pass


@dataclass(frozen=True)
class RepresentationView:
    """The rows of both domains in one representation, (rows, inputs or features), and the distance of the domains."""

    name: str
    source: np.ndarray
    target: np.ndarray
    divergence: Divergence


@dataclass(frozen=True)
class TargetEffect:
    """How the final network differs from the network `reference` on the test rows of the target.

    `groups` are the classes, or fifths of a numeric target; `changes` are the confusions whose number changed, empty
    for a numeric target. The two configurations differ in strengths that adapt to the target (`adaptation_differs`), in
    others (`others_differ`), or in both.
    """

    reference: str
    adaptation_differs: bool
    others_differ: bool
    is_classification: bool
    groups: Sequence[GroupComparison]
    changes: Sequence[PredictionChange]
    counts: PairedCounts


@dataclass(frozen=True)
class DomainComparison:
    """The domains in the inputs, in the features of the reference (if any), and in those of the final network.

    A network without a feature layer has no view.
    """

    views: Sequence[RepresentationView]
    effect: TargetEffect | None


def compare_domains(inputs: ReportInputs) -> DomainComparison | None:
    """Compare the domains; None without a target domain, a final network, or source rows."""
    if inputs.data is None or inputs.network is None or not inputs.weights or not inputs.data.origin.test_is_target:
        return None
    data = inputs.data if inputs.result.refit.kind == "keep" else inputs.data.without_validation()
    source_rows, target_rows = _sample(data.origin.source_rows(data.folds[0])), _sample(np.arange(len(data.test)))
    if not len(source_rows):
        return None
    source, test_x = data.x[source_rows], data.test.reveal().x
    views = [_view("Inputs", source, test_x[target_rows])]
    networks: list[tuple[str, BatchedNetwork, Mapping[str, Tensor]]] = []
    if inputs.reference:
        networks.append((inputs.reference.name, inputs.reference.network, inputs.reference.weights))
    networks.append(("selected", inputs.network, inputs.weights))
    predictions = []
    for name, network, weights in networks:
        features = _outputs(network, weights, source).features, _outputs(network, weights, test_x[target_rows]).features
        if features[0] is not None and features[1] is not None:
            # If several networks are averaged, the features are those of the first.
            views.append(_view(f"Features: {name}", features[0][0], features[1][0]))
        predictions.append(average_predictions(data.task, _outputs(network, weights, test_x).logits))
    params = inputs.selected.trial.params
    return DomainComparison(
        views, _adaptation_effect(data, inputs.reference, params, *predictions) if inputs.reference else None
    )


def _adaptation_effect(
    data: Dataset, reference: ReferenceNetwork, params: Mapping[str, Any], unadapted: Tensor, selected: Tensor
) -> TargetEffect:
    """Compare the predictions of the reference and the selected network for the test rows, (rows, outputs)."""
    adaptation = active_adaptation(params)
    selected_others, reference_others = (
        {key: value for key, value in active_params(config).items() if key not in adaptation}
        for config in (params, reference.params)
    )
    differs = bool(adaptation), selected_others != reference_others
    if data.task == "regression":
        true, before, after = (
            values.double().numpy() * data.target_scale + data.target_mean
            for values in (data.test.reveal().y, unadapted[:, 0], selected[:, 0])
        )
        counts = statistics.paired_counts(np.abs(before - true), np.abs(after - true))
        return TargetEffect(
            reference.name, *differs, False, domain_views.compare_by_size(true, before, after), (), counts
        )
    true, before, after = (values.numpy() for values in (data.test.reveal().y, unadapted.argmax(1), selected.argmax(1)))
    groups, changes = (
        domain_views.compare_classes(true, before, after, data.classes),
        domain_views.prediction_changes(true, before, after, data.classes),
    )
    return TargetEffect(
        reference.name, *differs, True, groups, changes, statistics.paired_counts(before != true, after != true)
    )


def _view(name: str, source: Tensor, target: Tensor) -> RepresentationView:
    rows = source.numpy(), target.numpy()
    return RepresentationView(name, *rows, domain_views.divergence(*rows))


def _outputs(network: BatchedNetwork, weights: Mapping[str, Tensor], x: Tensor) -> Outputs:
    fits = len(next(iter(weights.values())))
    blocks = torch.split(x.to(next(iter(weights.values())).dtype).expand(fits, -1, -1), _BLOCK, dim=1)
    return network.predict_parts(weights, blocks, features=True)


def _sample(rows: np.ndarray) -> np.ndarray:
    """Return at most 400 rows, always the same ones."""
    return np.asarray(rows[np.sort(np.random.default_rng(0).permutation(len(rows))[:_MAX_ROWS])])
