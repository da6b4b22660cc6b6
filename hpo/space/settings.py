"""The sections of a space file that say how a trial is trained, for how long there is a search, and what is made of its end."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from hpo.core.config import MAX_COUNT, Section
from hpo.core.metrics import METRICS

CHOOSING = ("greedy", "stacking")  # ensembles of several configurations
SELECTION_RULES = ("best", "one_se", "fastest", "sparsest")  # how one is selected among those that beat the defaults


class TrainConfig(Section):
    epochs: Annotated[int, Field(ge=1, le=MAX_COUNT)] = 60
    batch_size: Annotated[int, Field(ge=1, le=65_536)] = 64
    patience: Annotated[int, Field(ge=1, le=MAX_COUNT)] = 10
    schedule: Literal["constant", "cosine"] = "constant"
    metric: Literal[*METRICS] = "loss"  # type: ignore[valid-type]
    seed: Annotated[int, Field(ge=0, lt=2**63)] | None = None  # one fit seed for all trials; default: one a trial

    @property
    def metric_key(self) -> str:
        """The name of the followed metric's curve."""
        return f"valid_{self.metric}"

    def of(self, params: Mapping[str, Any]) -> TrainConfig:
        """The same as one trial has it, whose configuration may hold some of these keys."""
        own = {key: params[key] for key in ("epochs", "batch_size", "patience", "schedule") if key in params}
        return self.model_copy(update=own) if own else self


class RefitConfig(Section):
    """How the final network is made of the selected configuration; `epochs` as an exported configuration says it."""

    kind: Literal["scaled", "keep", "average", "none"] = "scaled"
    epochs: Annotated[int, Field(ge=1, le=MAX_COUNT)] | None = None

    @model_validator(mode="after")
    def _stops(self) -> RefitConfig:
        if self.epochs is not None and self.kind != "scaled":
            raise ValueError(f"takes epochs with kind: scaled, got kind: {self.kind}; leave epochs out.")
        return self


class EnsembleConfig(Section):
    """Made of what a search has found, and compared with its final network: how many members, chosen from how many of the best
    configurations."""

    kind: Literal["bagging", "greedy", "stacking", "snapshot", "boosting"]
    size: Annotated[int, Field(ge=2, le=100)] = 10
    pool: Annotated[int, Field(ge=1, le=1000)] = 30

    @model_validator(mode="after")
    def _chooses(self) -> EnsembleConfig:
        if "pool" in self.model_fields_set and self.kind not in CHOOSING:
            raise ValueError(f"takes pool with kind: greedy or stacking, got kind: {self.kind}; leave pool out.")
        return self


class BudgetConfig(Section):
    """Totals, not "more": what is reached first ends the search."""

    trials: Annotated[int, Field(ge=1, le=MAX_COUNT)] | None = None
    seconds: Annotated[float, Field(gt=0)] | None = None

    @model_validator(mode="after")
    def _ends(self) -> BudgetConfig:
        if self.trials is None and self.seconds is None:
            raise ValueError("needs trials, seconds or both.")
        return self
