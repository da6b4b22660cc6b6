"""The parts of a search result, as frozen records."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

from hpo.nn.combination import Kind

Scores = Mapping[str, float | None]
"""Scores by metric; None if the rows do not define the metric (a ROC curve needs two classes) or training diverged."""


_SMALLEST = 1e-200  # the ratio of smaller numbers is not accurate


@dataclass(frozen=True)
class ConfigScores:
    """One configuration of the final table, with its scores in the search, in the re-evaluation and on the test rows.

    `search_score` is the score by which the search ranks its trials, in the followed metric. `train` and `valid` are
    the scores at its best epoch; `valid` is that of the search. Without a trial of the search, `search_score` is None
    and `valid` is empty. `gap` is the train–valid gap, validation loss minus training loss, at the best epoch of the
    re-evaluation or, without one, of the search (None: training diverged).

    `reevaluated` holds the scores of a single network on new splits and seeds, and `expected` those of the average of
    the final networks; both are empty without a re-evaluation. `test` holds the test scores of that average, and
    `test_single` those of the first of its networks; both are empty if there is no final network.
    """

    trial: str
    params: Mapping[str, Any]
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


@dataclass(frozen=True)
class ExpectedGain:
    """How much better one configuration is expected to be than another on new rows, by the posterior.

    `gain`, `low` and `high` are in the unit of the followed metric and positive if the configuration is better; it is
    between `low` and `high` with a probability of 90 %. `relative` is the gain as a share of the error of the other
    configuration; `probability` is that of being better at all. `measured` is the gain on the evaluated rows of
    `draws` draws of new splits, which is on average too large.
    """

    gain: float
    low: float
    high: float
    relative: float
    probability: float
    measured: float
    draws: int

    @property
    def reference_error(self) -> float:
        """The error of the other configuration, in the unit of the followed metric; 0 if it is 0, or if neither the
        gain nor its interval differ from 0.

        A gain of 0 has no share in that error, but its interval has: the logarithms of the ratio of the errors at its
        ends are opposite numbers, so `(1 - low / error) * (1 - high / error)` is 1.
        """
        if abs(self.relative) > _SMALLEST:
            return self.gain / self.relative
        ends = self.low + self.high
        return self.low * self.high / ends if ends else 0.0


@dataclass(frozen=True)
class Verdict:
    """The comparison of the usual defaults with their rival: the selected configuration or, if the defaults are
    selected, the other finalist with the largest expected gain. `reference` is the label of the defaults: if they
    needed more epochs, those with the best of several learning rates.

    `gain` is None if one of the two diverged. `significant` is the outcome of the paired t-test of the rule `safe` over
    `fits` pairs of fits. `detectable` is the smallest measured gain, in the unit of the followed metric, that would
    have been selected with this evidence (None: unknown, or the rule has no smallest gain, as `best` and `safe`).
    """

    rival: str
    reference: str
    gain: ExpectedGain | None
    fits: int
    significant: bool
    detectable: float | None

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Self:
        return cls(**{**data, "gain": data["gain"] and ExpectedGain(**data["gain"])})


@dataclass(frozen=True)
class BestFound:
    """The finalist with the largest expected gain over the usual defaults, baselines excluded.

    `gain` is None if the defaults diverged. `reason` says why another configuration was selected, as a clause that
    follows "because"; it is empty if this one was selected.
    """

    trial: str
    params: Mapping[str, Any]
    gain: ExpectedGain | None
    reason: str

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Self:
        return cls(**{**data, "gain": data["gain"] and ExpectedGain(**data["gain"])})


@dataclass(frozen=True)
class ScorePath:
    """One metric of the selected configuration: in the search, of a single network in the re-evaluation, expected of
    the average of the final networks, and on the test rows.

    `interval` contains the test score with a probability of 90 % (None: unknown).
    """

    search: float | None
    reevaluated: float | None
    expected: float | None
    interval: Sequence[float | None]
    test: float | None


@dataclass(frozen=True)
class FinalistScores:
    """The score of a finalist in the search and in the re-evaluation, in the metric of the search, and its expected
    gain over the usual defaults (None: one of the two diverged).

    Both scores are those of single networks, not calibrated, so that they can be compared with each other.
    """

    search: float | None
    reevaluated: float | None
    standard_error: float | None
    fits: int
    gain: ExpectedGain | None

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Self:
        return cls(**{**data, "gain": data["gain"] and ExpectedGain(**data["gain"])})


@dataclass(frozen=True)
class RefitResult:
    """The final networks: the requested `kind`, the name of their `weights` (None: one of them diverged, or none was
    requested), their epochs (None: early stopping) and training rows.

    The predictions of `networks` networks are averaged. In a classification, the logits of the average are divided by
    `temperature` (None: a regression, or no final network).
    """

    kind: str
    weights: str | None
    epochs: int | None
    rows: int | None
    networks: int = 0
    temperature: float | None = None


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

    `expected` holds its scores on out-of-fold rows; `single` holds the test scores of the final network, or of the
    average of the final networks, for comparison. In a classification, the combined logits are divided by `temperature`
    (None: a regression).
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
    temperature: float | None = None

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Self:
        return cls(**{**data, "members": [EnsembleMember(**member) for member in data["members"]]})
