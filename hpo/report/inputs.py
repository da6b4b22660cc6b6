"""Everything that a report shows, loaded from a finished study."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property

from torch import Tensor

from hpo.core.trial import Outcome
from hpo.core.trial_config import Config
from hpo.core.trial_key import TrialKey
from hpo.data.dataset import Dataset
from hpo.nn.network import BatchedNetwork
from hpo.regularizers import STRENGTHS
from hpo.regularizers.configs import make_config
from hpo.report.axis import Axis
from hpo.selection.result import SearchResult
from hpo.space.formatting import trial_name
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
    selected configuration (see `hpo.selection.row_predictions`). If there are none, it is {}, and `missing_reason`
    says why. `stack_key` maps a configuration to the stack in which it trains. If the final network adapts to another
    domain, it is compared with `reference`. `store` is the folder of the studies.
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
    store: str = "mlruns"

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
            "There was no re-evaluation (finalists: 0, or a single configuration), or a network diverged in it. "
            "The only held-out predictions are those of the test part, which are not shown row by row."
        )
        weights = WeightStore(directory.weights).load(label, result.refit.networks) if label else {}
        network = builder.network_for(make_config(result.selected))
        reference = _reference(result, builder, WeightStore(directory.weights)) if label else None
        return cls(
            result,
            space,
            outcomes,
            stack_key,
            network,
            weights,
            data,
            oof_predictions,
            missing_reason,
            reference,
            str(directory.root),
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
        return self.training(self.result.trial)

    def training(self, label: str) -> Outcome:
        """Return the outcome of a configuration in the search or, if it was not a trial of the search, in the first
        draw of the re-evaluation."""
        return self.outcomes.get(label) or self.outcomes[_first_reevaluation(label)]

    @cached_property
    def compared(self) -> dict[str, str]:
        """The labels of the selected configuration and its baselines by their names on the page; each trial is listed
        once."""
        result = self.result
        entries = result.configurations
        names = {"selected": "selected", "unadapted": "without adaptation", "ablation": "without regularization"}
        baselines = {key: entries[key].trial for key in ("defaults", "none") if key in entries}
        names |= {key: trial_name(label).removeprefix("the ") for key, label in baselines.items()}
        compared: dict[str, str] = {}
        selected_baselines = [names[key] for key, label in baselines.items() if label == result.trial]
        names["selected"] += f" ({selected_baselines[-1]})" if selected_baselines else ""
        for key, name in names.items():
            if key in entries and entries[key].trial not in compared.values():
                compared[name] = entries[key].trial
        return compared

    @cached_property
    def compared_trainings(self) -> dict[str, Outcome]:
        """The outcomes of the compared configurations by name, all on the same rows, without those that diverged.

        They are those of the first draw of the re-evaluation or, if one of them was not re-evaluated, of the search.
        """
        labels = {name: _first_reevaluation(label) for name, label in self.compared.items()}
        if not self.compared_are_reevaluated:
            labels = {name: label for name, label in self.compared.items() if label in self.outcomes}
        return {name: o for name, label in labels.items() if (o := self.outcomes[label]).valid}

    @property
    def compared_are_reevaluated(self) -> bool:
        """Whether all compared configurations were re-evaluated."""
        return all(_first_reevaluation(label) in self.outcomes for label in self.compared.values())


def _first_reevaluation(label: str) -> str:
    return str(TrialKey.parse(label).reevaluation(1))


def _reference(result: SearchResult, builder: NetworkBuilder, weights: WeightStore) -> ReferenceNetwork | None:
    """Return the stored network that is most similar to the final one but does not adapt."""
    names = {"unadapted": "without adaptation", "ablation": "without regularization", "none": "no regularization"}
    for key, name in names.items():
        label, entry = result.networks.get(key), result.baselines.get(key)
        if label and entry and entry.trial != result.trial and weights.path(label).exists():
            config = make_config(entry.params)
            loaded = weights.load(label, result.refit.networks)
            return ReferenceNetwork(name, config, builder.network_for(config), loaded)
    return None
