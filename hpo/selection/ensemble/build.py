"""An ensemble of a study from beginning to end: made, scored once on the test part beside the single network, kept."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch

from hpo.core.errors import InputError
from hpo.selection.ensemble import bagging, boosting, pool, snapshot
from hpo.selection.ensemble.context import EnsembleContext
from hpo.selection.ensemble.diversity import diversity
from hpo.selection.ensemble.fitted import FittedEnsemble
from hpo.selection.result import plain, test_scores
from hpo.study.weights import WeightStore, digest

KINDS: dict[str, Callable[[EnsembleContext], FittedEnsemble]] = {
    "bagging": bagging.bagged,
    "greedy": pool.selected_greedily,
    "stacking": pool.stacked,
    "snapshot": snapshot.snapshots,
    "boosting": boosting.boosted,
}


def build_ensemble(shop: EnsembleContext, vault: WeightStore) -> dict[str, Any]:
    """Makes the wished ensemble, and returns its entry of the result; its weights are in the vault under a name that no others have:
    what was made before is whole as long as the result names it. Every call is one more look at the test part. Raises InputError if
    there is no network to compare it with, or no folds can be drawn, and SearchFailedError if all its networks diverge."""
    kind, result = shop.config.kind, shop.result
    if result["refit"]["weights"] is None:
        raise InputError(
            f"{result['study']} has no final network that an ensemble could be compared with; search it again with --refit scaled."
        )
    made = KINDS[kind](shop)
    networks, data, rule = shop.job.networks, made.data, made.combination
    weights = tensors(made)
    vault.save(label := f"ensemble-{kind}-{shop.config.size}-{shop.config.pool}-{digest(weights)}", weights)
    shop.study.set_attr("looks", (shop.study.get_attr("looks") or 0) + 1)
    said = made.said(networks, data.test_x)
    test = test_scores(shop.job.space, data, rule.combine(data.task, said).unsqueeze(0))
    shares = rule.shares(data.n_outputs).tolist()
    return {
        "kind": kind,
        "rule": rule.kind,
        "each": rule.each,
        "size": shop.config.size,
        "networks": len(said),
        "members": [
            {"trial": m.label, "params": dict(m.params), "share": s} for m, s in zip(made.members, shares, strict=True)
        ],
        "expected": {name: plain(score) for name, score in made.expected.items()},
        "test": {name: plain(score) for name, score in test.items()},
        "single": dict(result["test"]),
        "diversity": diversity(data.task, made.apart(said), data.test_y, data.target_scale),
        "weights": label,
    }


def tensors(made: FittedEnsemble) -> dict[str, torch.Tensor]:
    """What the vault keeps of an ensemble: the networks of member N as `N.NAME`, and the rule by which they are combined."""
    found = {f"{i}.{name}": tensor for i, member in enumerate(made.members) for name, tensor in member.weights.items()}
    return found | {"combine.weight": made.combination.weight, "combine.bias": made.combination.bias}


def metrics(entries: Mapping[str, Mapping[str, Any]]) -> dict[str, float]:
    """The numbers of the ensembles of a result, as MLflow shows them at the search's run."""
    return {
        f"ensemble_{kind}_{part}{name}": value
        for kind, entry in entries.items()
        for part, prefix in (("test_", "test"), ("expected_", "expected"), ("", "diversity"))
        for name, value in entry[prefix].items()
        if value is not None
    }
