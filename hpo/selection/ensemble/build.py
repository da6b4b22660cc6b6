"""Build an ensemble from a finished study, score it once on the test part, and store its weights."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import torch

from hpo.core.errors import InputError
from hpo.data.test_part import TestEvaluations
from hpo.selection.ensemble import bagging, boosting, pool, snapshot
from hpo.selection.ensemble.context import EnsembleContext
from hpo.selection.ensemble.diversity import diversity
from hpo.selection.ensemble.fitted import FittedEnsemble
from hpo.selection.result_builder import json_scores, test_scores
from hpo.selection.result_parts import EnsembleMember, EnsembleResult
from hpo.study.weights import WeightStore, digest

KINDS: dict[str, Callable[[EnsembleContext], FittedEnsemble]] = {
    "bagging": bagging.bagged_ensemble,
    "greedy": pool.greedy_ensemble,
    "stacking": pool.stacked_ensemble,
    "snapshot": snapshot.snapshot_ensemble,
    "boosting": boosting.boosted_ensemble,
}


def build_ensemble(context: EnsembleContext, store: WeightStore) -> EnsembleResult:
    """Build the requested ensemble, save its weights in `store`, and return its part of the result.

    The name of the weights contains their digest, so an earlier ensemble stays intact as long as the result names it.
    Every call counts as one more evaluation of the test part. Raises InputError if the study has no final network to
    compare with or no folds can be drawn, and SearchFailedError if every network diverges.
    """
    config, result, study = context.config, context.result, context.study
    if result.refit.weights is None:
        raise InputError(
            f"{result.study} has no final network that an ensemble could be compared with; "
            f"search it again with --refit scaled."
        )
    ensemble = KINDS[config.kind](context)
    data, rule = ensemble.data, ensemble.combination
    weights = stored_tensors(ensemble)
    name = f"ensemble-{config.kind}-{config.size}-{config.pool}-{digest(weights)}"
    store.save(name, weights)
    outputs = data.test.predict(partial(ensemble.network_outputs, context.experiment.networks))
    evaluations = TestEvaluations(study.get_attr("test_evaluations") or 0)
    logits = rule.combine(data.task, outputs).unsqueeze(0)
    test = test_scores(context.experiment.space, data, logits, name, evaluations)
    study.set_attr("test_evaluations", evaluations.count)
    shares = rule.member_shares(data.n_outputs).tolist()
    return EnsembleResult(
        kind=config.kind,
        rule=rule.kind,
        networks_per_member=rule.networks_per_member,
        size=config.size,
        networks=len(outputs),
        members=[
            EnsembleMember(member.label, dict(member.params), share)
            for member, share in zip(ensemble.members, shares, strict=True)
        ],
        expected=json_scores(ensemble.expected),
        test=json_scores(test),
        single=dict(result.test),
        diversity=diversity(data.task, ensemble.member_outputs(outputs), data.test.reveal().y, data.target_scale),
        weights=name,
        temperature=rule.temperature if data.task == "classification" else None,
    )


def stored_tensors(ensemble: FittedEnsemble) -> dict[str, torch.Tensor]:
    """Return the tensors to save: those of member N as `N.NAME`, and those of the combination as `combine.NAME`."""
    tensors = {
        f"{i}.{name}": tensor for i, member in enumerate(ensemble.members) for name, tensor in member.weights.items()
    }
    rule = ensemble.combination
    return tensors | {"combine.weight": rule.weight, "combine.bias": rule.bias}
