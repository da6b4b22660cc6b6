"""What a report is made of."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from torch import Tensor

from hpo.core.trial import Outcome
from hpo.data.dataset import Dataset
from hpo.nn.network import BatchedNetwork
from hpo.regularizers import STRENGTHS
from hpo.report.axis import Scale
from hpo.space.space import Space
from hpo.study.directory import StudyDirectory
from hpo.study.weights import WeightStore
from hpo.training.builder import NetworkBuilder


@dataclass(frozen=True)
class Twin:
    """A final network that took no other domain into account, `name` in words, its configuration, and its weights, fit axis first."""

    name: str
    params: Mapping[str, Any]
    network: BatchedNetwork
    weights: Mapping[str, Tensor]


@dataclass(frozen=True)
class ReportInputs:
    """A search that has its `result`, and every trial's outcome by label.

    `weights` are those of the final `network`, fit axis first, {} if there is none. `said` holds `rows` (n,) of `data`, and what
    networks of the selected configuration `said` of them that had not seen them (see `hpo.selection.refit_comparison`), {} if nobody did; `why` there is
    none, in words. `alike` tells which stack a configuration trains in. `twin`: with which the final network can be compared, if it
    takes another domain into account.
    """

    result: Mapping[str, Any]
    space: Space
    outcomes: Mapping[str, Outcome]
    alike: Callable[[Mapping[str, Any]], object]
    network: BatchedNetwork | None = None
    weights: Mapping[str, Tensor] = field(default_factory=dict)
    data: Dataset | None = None
    said: Mapping[str, Tensor] = field(default_factory=dict)
    why: str = ""
    twin: Twin | None = None

    @classmethod
    def of(
        cls,
        result: Mapping[str, Any],
        space: Space,
        outcomes: Mapping[str, Outcome],
        networks: NetworkBuilder,
        data: Dataset | None,
        place: StudyDirectory,
        lost: str = "",
    ) -> ReportInputs:
        """What is stored of a search; `data` are its rows, if they are still to be had, `lost` says why they are not."""

        def alike(params: Mapping[str, Any]) -> object:
            named = tuple(name for name in STRENGTHS if name in params)
            return networks.network_for(params).stack_key, named, space.train.of(params).batch_size

        label, unseen = result["refit"]["weights"], WeightStore(place.oof_predictions)
        said = unseen.load(result["trial"]) if unseen.path(result["trial"]).exists() else {}
        why = lost or (
            "There were no folds within folds (refit: none, no finalists, too few rows, or a network diverged): no network has predicted "
            "rows that it had not seen, but those of the test part, which are not to be looked at one by one."
        )
        weights = WeightStore(place.weights).load(label) if label else {}
        network, twin = (
            networks.network_for(result["selected"]),
            _twin(result, networks, WeightStore(place.weights)) if label else None,
        )
        return cls(result, space, outcomes, alike, network, weights, data, said, why, twin)

    @cached_property
    def searched(self) -> list[Outcome]:
        """What the search proposed, in that order."""
        found = [o for o in self.outcomes.values() if o.trial.role == "search"]
        return sorted(found, key=lambda o: int(o.trial.label))

    @cached_property
    def complete(self) -> list[Outcome]:
        """Of these the trials that were trained to their end: only their scores can be compared."""
        return [o for o in self.searched if o.state == "complete" and o.value is not None and o.valid]

    @cached_property
    def scales(self) -> dict[str, Scale]:
        """Of every parameter that was sampled."""
        return {key: Scale.of(key, domain) for key, domain in self.space.hyperparameters.items() if domain.sampled}

    @cached_property
    def strengths(self) -> list[str]:
        """The sampled parameters that are strengths of regularizers."""
        return [key for key in self.scales if key in STRENGTHS]

    @property
    def selected(self) -> Outcome:
        return self.outcomes[self.result["trial"]]

    @cached_property
    def compared(self) -> dict[str, Outcome]:
        """The selected configuration and what it is compared with, by the name under which it is shown; each once."""
        result = self.result
        entries = {"selected": result, **result["baselines"]}
        names = {"selected": "selected", "unadapted": "without adaptation", "ablation": "without regularization"}
        names |= {"defaults": "usual defaults", "none": "no regularization"}
        found: dict[str, Outcome] = {}
        twins = [
            names[key]
            for key in ("defaults", "none")
            if key in result["baselines"] and entries[key]["trial"] == result["trial"]
        ]
        names["selected"] += f" ({twins[-1]})" if twins else ""
        for key, name in names.items():
            if key in entries and self.outcomes[entries[key]["trial"]] not in found.values():
                found[name] = self.outcomes[entries[key]["trial"]]
        return found


def _twin(result: Mapping[str, Any], networks: NetworkBuilder, vault: WeightStore) -> Twin | None:
    """Of the networks beside the final one the most like it that does not adapt."""
    names = {"unadapted": "without adaptation", "ablation": "without regularization", "none": "no regularization"}
    for key, name in names.items():
        label, entry = result.get("networks", {}).get(key), result["baselines"].get(key)  # an older hpo did not say
        if label and entry["trial"] != result["trial"] and vault.path(label).exists():
            return Twin(name, entry["params"], networks.network_for(entry["params"]), vault.load(label))
    return None


def gap(outcome: Outcome) -> float:
    """Validation loss minus training loss at the best epoch, both without noise."""
    return outcome.valid["loss"] - outcome.train["loss"]
