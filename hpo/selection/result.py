"""The result of a search as frozen records, stored and printed as JSON."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Any, Self

from hpo.core import json_values
from hpo.core.metrics import Task
from hpo.core.selection_rules import DEFAULT
from hpo.selection.result_parts import (
    AdaptationEffect,
    BestFound,
    ConfigScores,
    EnsembleResult,
    ExpectedGain,
    FinalistScores,
    ParetoTrial,
    RefitResult,
    ScorePath,
    Scores,
    ValidatorScore,
    Verdict,
)
from hpo.selection.score_table import selected_lines, table_lines


@dataclass(frozen=True, repr=False)
class SearchResult:
    """The selected configuration, why it was selected, the configurations it is compared with, and the scores of all.

    The attributes from `selected` (its parameters) to `test_single` describe the selected configuration as those of
    `ConfigScores` do. `baselines` holds the others by name: `defaults`, `none`, `ablation` and `unadapted`. `rules`
    maps each selection rule to the trial that it would select. `regularization` is the gain of the selected
    configuration over the same without regularization, and `contributions` that over the same without one strength, by
    the name of the strength. `best_found` is None without a re-evaluation, or if only baselines completed it.
    `networks` names the weights of the final networks of each configuration, and `temperatures` holds the numbers that
    divide the logits of their averages (1 in a regression). `test_evaluations` counts how often the test rows have been
    scored; `test_domain_differs` says whether the test rows come from another domain than all rows that the selection
    used. `reevaluated_scores` holds, by metric, the score of each re-evaluation fit of the selected configuration: of
    single networks, not calibrated, while the losses in `reevaluated`, `expected` and `test` are.
    """

    study: str
    result_options: Mapping[str, Any]
    trials: Mapping[str, int]
    selected: Mapping[str, Any]
    trial: str
    fit_seed: int
    best_epoch: int
    nonzero_share: float
    search_score: float | None
    train: Scores
    valid: Scores
    gap: float | None
    reevaluated: Scores
    expected: Scores
    test: Scores
    test_single: Scores
    baselines: Mapping[str, ConfigScores]
    rule: str
    rules: Mapping[str, str]
    score: Mapping[str, ScorePath]
    verdict: Verdict | None
    regularization: ExpectedGain | None
    contributions: Mapping[str, ExpectedGain]
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
    best_found: BestFound | None = None
    temperatures: Mapping[str, float] = field(default_factory=dict)
    report_seconds: float | None = None
    seconds: float = 0.0

    @property
    def reference(self) -> str:
        """The label of the usual defaults over which gains are measured: those with the best of several learning rates
        if they needed more epochs."""
        return self.verdict.reference if self.verdict else DEFAULT

    @property
    def gains(self) -> dict[str, ExpectedGain]:
        """The gain of each other finalist over the `reference`, by label, best first. Those that diverged have none."""
        return {label: f.gain for label, f in self.finalists.items() if f.gain and label != self.reference}

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
            "finalists": {label: FinalistScores.from_json(scores) for label, scores in data["finalists"].items()},
            "ensembles": {kind: EnsembleResult.from_json(one) for kind, one in data["ensembles"].items()},
            "best_found": data["best_found"] and BestFound.from_json(data["best_found"]),
            "verdict": data["verdict"] and Verdict.from_json(data["verdict"]),
            "regularization": data["regularization"] and ExpectedGain(**data["regularization"]),
            "contributions": {name: ExpectedGain(**gain) for name, gain in data["contributions"].items()},
            "adaptation": data["adaptation"] and AdaptationEffect(**data["adaptation"]),
            "front": [ParetoTrial(**trial) for trial in data["front"]],
            "validators": [ValidatorScore(**score) for score in data["validators"]],
            "refit": RefitResult(**data["refit"]),
        }
        return cls(**{**data, **records})

    def __repr__(self) -> str:
        return "\n".join([*selected_lines(self.trial, self.selected), "", *table_lines(self)])
