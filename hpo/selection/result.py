"""The result of a search as frozen records, stored and printed as JSON."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Any, Self

from hpo.core import json_values
from hpo.core.metrics import Task
from hpo.nn.combination import Kind
from hpo.selection.score_table import selected_lines, table_lines

Scores = Mapping[str, float | None]
"""Scores by metric; None if the rows do not define the metric (a ROC curve needs two classes) or training diverged."""


@dataclass(frozen=True)
class ConfigScores:
    """One configuration of the final table, with its scores in the search, in the re-evaluation and on the test rows.

    `train` and `valid` are its scores at its best epoch in the search. `reevaluated` holds means over the fits on new
    splits and seeds and is empty without a re-evaluation; `test` is empty if the configuration has no final network.
    """

    trial: str
    params: Mapping[str, Any]
    fit_seed: int
    best_epoch: int
    nonzero_share: float
    train: Scores
    valid: Scores
    reevaluated: Scores
    test: Scores

    @property
    def gap(self) -> float | None:
        """The train–valid gap, validation loss minus training loss; None if training diverged."""
        train, valid = self.train.get("loss"), self.valid.get("loss")
        return None if train is None or valid is None else valid - train


@dataclass(frozen=True)
class Verdict:
    """The paired comparison of the defaults with their rival: the selected configuration or, if the defaults are
    selected, the best other finalist.

    `gain` is the mean advantage of the rival over `fits` pairs, in the metric of the search; `significant` is the
    outcome of the one-sided t-test.
    """

    rival: str
    gain: float | None
    standard_error: float | None
    fits: int
    significant: bool


@dataclass(frozen=True)
class PairedGain:
    """The mean gain in one metric over paired fits, its standard error, and the outcome of a two-sided t-test."""

    metric: str
    gain: float | None
    standard_error: float | None
    significant: bool


@dataclass(frozen=True)
class RegularizationEffect(PairedGain):
    """The gain of the selected configuration over its ablation in the displayed metric and, if the search follows
    another one, in the `followed` metric."""

    followed: PairedGain | None

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Self:
        followed = data["followed"] and PairedGain(**data["followed"])
        return cls(**{**data, "followed": followed})


@dataclass(frozen=True)
class ScorePath:
    """One metric of the selected configuration in the search, in the re-evaluation and on the test rows.

    `interval` contains the test score with a probability of 90 % (None: a single fit gives no interval).
    """

    search: float | None
    reevaluated: float | None
    interval: Sequence[float | None]
    test: float | None


@dataclass(frozen=True)
class FinalistScores:
    """The score of a finalist in the search and in the re-evaluation, in the metric of the search."""

    search: float | None
    reevaluated: float | None
    standard_error: float | None
    fits: int


@dataclass(frozen=True)
class RefitResult:
    """The final network: the requested `kind`, the name of its `weights` (None: it diverged, or none was requested),
    its epochs (None: early stopping) and training rows.

    `comparison` holds the result of nested cross-validation for each kind: the mean of one metric, the `gain` over
    `scaled` and the `standard_error` of the gain. It is empty if the kinds could not be compared.
    """

    kind: str
    weights: str | None
    epochs: int | None
    rows: int | None
    comparison: Mapping[str, Scores]


@dataclass(frozen=True)
class AdaptationEffect:
    """The numbers of test rows of the target domain on which the selected network is `better` and `worse` than the
    network of `reference`, which does not adapt; `p_value` is from the sign test (McNemar's test for classes)."""

    reference: str
    better: int
    worse: int
    p_value: float


@dataclass(frozen=True)
class ValidatorScore:
    """How well a validator, which needs no target labels, ranks `trials` finished trials.

    `spearman` is the rank correlation with the labelled metric, 1 if both rank the trials alike (None: one of them is
    constant). `regret` is the difference in that metric between the best trial and `chosen`, the trial that the
    validator rates best.
    """

    validator: str
    trials: int
    spearman: float | None
    chosen: str
    regret: float


@dataclass(frozen=True)
class ParetoTrial:
    """A trial of the Pareto front; `values` are its objectives."""

    trial: str
    params: Mapping[str, Any]
    fit_seed: int
    best_epoch: int
    values: Mapping[str, float]
    train: Scores
    valid: Scores


@dataclass(frozen=True)
class EnsembleMember:
    """One configuration of an ensemble and its share in the combined prediction."""

    trial: str
    params: Mapping[str, Any]
    share: float


@dataclass(frozen=True)
class EnsembleResult:
    """An ensemble of `networks` networks, `networks_per_member` for each member, combined by `rule`.

    `expected` holds its scores on out-of-fold rows; `single` holds the test scores of the final network for comparison.
    """

    kind: str
    rule: Kind
    networks_per_member: int
    size: int
    networks: int
    members: Sequence[EnsembleMember]
    expected: Scores
    test: Scores
    single: Scores
    diversity: Scores
    weights: str

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Self:
        return cls(**{**data, "members": [EnsembleMember(**member) for member in data["members"]]})


@dataclass(frozen=True, repr=False)
class SearchResult:
    """The selected configuration, why it was selected, the configurations it is compared with, and the scores of all.

    The attributes from `selected` (its parameters) to `test` describe the selected configuration as those of
    `ConfigScores` do. `baselines` holds the others by name: `defaults`, `none`, `ablation` and `unadapted`. `rules`
    maps each selection rule to the trial that it would select. `networks` names the weights of the final network of
    each configuration. `test_evaluations` counts how often the test rows have been scored; `test_domain_differs` says
    whether the test rows come from another domain than all rows that the selection used.
    """

    study: str
    result_options: Mapping[str, Any]
    trials: Mapping[str, int]
    selected: Mapping[str, Any]
    trial: str
    fit_seed: int
    best_epoch: int
    nonzero_share: float
    train: Scores
    valid: Scores
    reevaluated: Scores
    test: Scores
    baselines: Mapping[str, ConfigScores]
    rule: str
    rules: Mapping[str, str]
    score: Mapping[str, ScorePath]
    verdict: Verdict | None
    regularization: RegularizationEffect | None
    finalists: Mapping[str, FinalistScores]
    reevaluated_scores: Mapping[str, Sequence[float | None]]
    test_train_ratio: float | None
    networks: Mapping[str, str]
    test_evaluations: int
    test_domain_differs: bool
    front: Sequence[ParetoTrial]
    validators: Sequence[ValidatorScore]
    adaptation: AdaptationEffect | None
    refit: RefitResult
    metric: str
    task: Task
    epochs_trained: int
    epochs_possible: int
    fit_epochs: Mapping[str, int]
    slots: int
    workers: int
    device: str
    notes: Sequence[str]
    fingerprint: str
    init_digest: str
    shape: Mapping[str, int]
    versions: Mapping[str, str]
    date: str
    tracking_uri: str
    run_id: str
    experiment_id: str
    startup_seconds: float
    ensembles: Mapping[str, EnsembleResult] = field(default_factory=dict)
    report_seconds: float | None = None
    seconds: float = 0.0

    @property
    def configurations(self) -> dict[str, ConfigScores]:
        """The selected configuration, under the name `selected`, and its baselines."""
        shared = {f.name: getattr(self, f.name) for f in fields(ConfigScores) if f.name != "params"}
        return {"selected": ConfigScores(params=self.selected, **shared), **self.baselines}

    def to_json(self) -> dict[str, Any]:
        """Return the result as plain values, as `hpo search --json` prints it."""
        return json_values.to_json(self)

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Self:
        """Restore a result from `to_json`."""
        records = {
            "baselines": {name: ConfigScores(**scores) for name, scores in data["baselines"].items()},
            "score": {name: ScorePath(**path) for name, path in data["score"].items()},
            "finalists": {label: FinalistScores(**scores) for label, scores in data["finalists"].items()},
            "ensembles": {kind: EnsembleResult.from_json(one) for kind, one in data["ensembles"].items()},
            "verdict": data["verdict"] and Verdict(**data["verdict"]),
            "regularization": data["regularization"] and RegularizationEffect.from_json(data["regularization"]),
            "adaptation": data["adaptation"] and AdaptationEffect(**data["adaptation"]),
            "front": [ParetoTrial(**trial) for trial in data["front"]],
            "validators": [ValidatorScore(**score) for score in data["validators"]],
            "refit": RefitResult(**data["refit"]),
        }
        return cls(**{**data, **records})

    def __repr__(self) -> str:
        return "\n".join([*selected_lines(self.trial, self.selected), "", *table_lines(self)])
