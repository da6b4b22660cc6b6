"""The sections `train`, `refit`, `ensemble` and `budget` of a space file."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from hpo.core.config import MAX_COUNT, Section
from hpo.core.metrics import METRICS
from hpo.core.trial_config import Config

POOLED_ENSEMBLES = ("greedy", "stacking")  # the kinds that choose from a pool of trials


class TrainConfig(Section):
    epochs: Annotated[int, Field(ge=1, le=MAX_COUNT)] = 60
    batch_size: Annotated[int, Field(ge=1, le=65_536)] = 64
    patience: Annotated[int, Field(ge=1, le=MAX_COUNT)] = 10
    schedule: Literal["constant", "cosine"] = "constant"
    metric: Literal[*METRICS] = "loss"  # type: ignore[valid-type]  # from a table
    seed: Annotated[int, Field(ge=0, lt=2**63)] | None = None  # one fit seed for all trials; default: one per trial

    @property
    def metric_key(self) -> str:
        """The name of the curve of the followed metric."""
        return f"valid_{self.metric}"

    def of(self, config: Config) -> TrainConfig:
        """The settings of one trial, whose configuration may contain some of these keys."""
        return self.model_copy(update=config.schedule) if config.schedule else self


class RefitConfig(Section):
    """How the final network is trained from the selected configuration; exported configurations set `epochs`."""

    kind: Literal["scaled", "keep", "average", "none"] = "scaled"
    epochs: Annotated[int, Field(ge=1, le=MAX_COUNT)] | None = None

    @model_validator(mode="after")
    def _epochs_match_kind(self) -> RefitConfig:
        if self.epochs is not None and self.kind != "scaled":
            raise ValueError(f"epochs needs kind: scaled, got kind: {self.kind}; remove epochs.")
        return self


class EnsembleConfig(Section):
    """An ensemble of `size` members from the `pool` best configurations; it is compared with the final network."""

    kind: Literal["bagging", "greedy", "stacking", "snapshot", "boosting"]
    size: Annotated[int, Field(ge=2, le=100)] = 10
    pool: Annotated[int, Field(ge=1, le=1000)] = 30

    @model_validator(mode="after")
    def _pool_matches_kind(self) -> EnsembleConfig:
        if "pool" in self.model_fields_set and self.kind not in POOLED_ENSEMBLES:
            raise ValueError(f"pool needs kind: greedy or stacking, got kind: {self.kind}; remove pool.")
        return self


class BudgetConfig(Section):
    """Totals over all sessions; the limit that is reached first ends the search."""

    trials: Annotated[int, Field(ge=1, le=MAX_COUNT)] | None = None
    seconds: Annotated[float, Field(gt=0)] | None = None

    @model_validator(mode="after")
    def _has_a_limit(self) -> BudgetConfig:
        if self.trials is None and self.seconds is None:
            raise ValueError("needs trials, seconds or both.")
        return self
