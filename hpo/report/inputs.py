"""Everything that a report shows, loaded from a finished study."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property

from torch import Tensor

from hpo.core.trial import Outcome
from hpo.core.trial_config import Config
from hpo.data.dataset import Dataset
from hpo.nn.network import BatchedNetwork
from hpo.regularizers import STRENGTHS
from hpo.regularizers.configs import make_config
from hpo.report.axis import Axis
from hpo.selection.result import SearchResult
from hpo.space.space import Space
from hpo.study.directory import StudyDirectory
from hpo.study.weights import WeightStore
from hpo.training.builder import NetworkBuilder


@dataclass(frozen=True)
class ReferenceNetwork:
    """A final network that does not adapt to the target domain.

    `name` describes it in words, `params` is its configuration; the weights have the shape (fit, …).
    """

    name: str
    params: Config
    network: BatchedNetwork
    weights: Mapping[str, Tensor]


@dataclass(frozen=True)
class ReportInputs:
    """The `result` of a search, the outcome of each trial by label, and the final network.

    `weights` are those of the final `network`, of shape (fit, …), or {} if there is no final network. `oof_predictions`
    holds the indices `rows` (n,) of rows of `data`, and the out-of-fold `predictions` for them by networks of the
    selected configuration (see `hpo.selection.refit_comparison`). If there are none, it is {}, and `missing_reason`
    says why. `stack_key` maps a configuration to the stack in which it trains. If the final network adapts to another
    domain, it is compared with `reference`.
    """

    result: SearchResult
    space: Space
    outcomes: Mapping[str, Outcome]
    stack_key: Callable[[Config], object]
    network: BatchedNetwork | None = None
    weights: Mapping[str, Tensor] = field(default_factory=dict)
    data: Dataset | None = None
    oof_predictions: Mapping[str, Tensor] = field(default_factory=dict)
    missing_reason: str = ""
    reference: ReferenceNetwork | None = None

    @classmethod
    def from_study(
        cls,
        result: SearchResult,
        space: Space,
        outcomes: Mapping[str, Outcome],
        builder: NetworkBuilder,
        data: Dataset | None,
        directory: StudyDirectory,
        data_error: str = "",
    ) -> ReportInputs:
        """Load what a study has stored; `data_error` says why its `data` cannot be loaded."""

        def stack_key(config: Config) -> object:
            strengths = tuple(name for name in STRENGTHS if name in config.strengths)
            return builder.network_for(config).stack_key, strengths, space.train.of(config).batch_size

        label, oof_store = result.refit.weights, WeightStore(directory.oof_predictions)
        oof_predictions = oof_store.load(result.trial) if oof_store.path(result.trial).exists() else {}
        missing_reason = data_error or (
            "There was no nested cross-validation (refit: none, no finalists, too few rows, or a network diverged). "
            "The only held-out predictions are those of the test part, which are not shown row by row."
        )
        weights = WeightStore(directory.weights).load(label) if label else {}
        network = builder.network_for(make_config(result.selected))
        reference = _reference(result, builder, WeightStore(directory.weights)) if label else None
        return cls(
            result, space, outcomes, stack_key, network, weights, data, oof_predictions, missing_reason, reference
        )

    @cached_property
    def search_trials(self) -> list[Outcome]:
        """The trials that the search proposed, in the order of the proposals."""
        trials = [o for o in self.outcomes.values() if o.trial.role == "search"]
        return sorted(trials, key=lambda o: o.trial.key.number)

    @cached_property
    def complete_trials(self) -> list[Outcome]:
        """The search trials that completed training with a finite score; only their scores are comparable."""
        return [o for o in self.search_trials if o.state == "complete" and o.value is not None and o.valid]

    @cached_property
    def axes(self) -> dict[str, Axis]:
        """The axis of each hyperparameter that was sampled."""
        return {key: Axis.of(key, value) for key, value in self.space.hyperparameters.items() if value.sampled}

    @cached_property
    def strengths(self) -> list[str]:
        """The sampled hyperparameters that are strengths of regularizers."""
        return [key for key in self.axes if key in STRENGTHS]

    @property
    def selected(self) -> Outcome:
        return self.outcomes[self.result.trial]

    @cached_property
    def compared(self) -> dict[str, Outcome]:
        """The selected configuration and its baselines by their names on the page; each trial is listed once."""
        result = self.result
        entries = result.configurations
        names = {"selected": "selected", "unadapted": "without adaptation", "ablation": "without regularization"}
        names |= {"defaults": "usual defaults", "none": "no regularization"}
        compared: dict[str, Outcome] = {}
        selected_baselines = [
            names[key] for key in ("defaults", "none") if key in result.baselines and entries[key].trial == result.trial
        ]
        names["selected"] += f" ({selected_baselines[-1]})" if selected_baselines else ""
        for key, name in names.items():
            if key in entries and self.outcomes[entries[key].trial] not in compared.values():
                compared[name] = self.outcomes[entries[key].trial]
        return compared


def _reference(result: SearchResult, builder: NetworkBuilder, weights: WeightStore) -> ReferenceNetwork | None:
    """Return the stored network that is most similar to the final one but does not adapt."""
    names = {"unadapted": "without adaptation", "ablation": "without regularization", "none": "no regularization"}
    for key, name in names.items():
        label, entry = result.networks.get(key), result.baselines.get(key)
        if label and entry and entry.trial != result.trial and weights.path(label).exists():
            config = make_config(entry.params)
            return ReferenceNetwork(name, config, builder.network_for(config), weights.load(label))
    return None
