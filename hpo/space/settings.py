"""The sections `train`, `refit`, `ensemble` and `budget` of a space file."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BeforeValidator, Field, model_validator

from hpo.core.config import MAX_COUNT, Section
from hpo.core.metrics import METRICS
from hpo.core.trial_config import Config

POOLED_ENSEMBLES = ("greedy", "stacking")  # the kinds that choose from a pool of trials


def auto_batch_size(n_train: int) -> int:
    """The batch size for a number of training rows: the least power of two that is at least their square root, but 32
    to 256."""
    return next((size for size in (32, 64, 128) if size**2 >= n_train), 256)


class TrainConfig(Section):
    epochs: Annotated[int, Field(ge=1, le=MAX_COUNT)] = 60
    # None stands for `auto`, which `with_batch_size` replaces by a number when the data are known.
    batch_size: Annotated[
        Annotated[int, Field(ge=1, le=65_536)] | None, BeforeValidator(lambda raw: None if raw == "auto" else raw)
    ] = None
    patience: Annotated[int, Field(ge=1, le=MAX_COUNT)] = 10
    schedule: Literal["constant", "cosine"] = "constant"
    metric: Literal[*METRICS] = "loss"  # type: ignore[valid-type]  # from a table
    seed: Annotated[int, Field(ge=0, lt=2**63)] | None = None  # one fit seed for all trials; default: one per trial

    @property
    def metric_key(self) -> str:
        """The name of the curve of the followed metric."""
        return f"valid_{self.metric}"

    @property
    def minibatch(self) -> int:
        """The batch size as a number. Raises ValueError while it is still `auto`."""
        if self.batch_size is None:
            raise ValueError("batch_size: auto must be replaced by a number first; call with_batch_size.")
        return self.batch_size

    def with_batch_size(self, n_train: int) -> TrainConfig:
        """The settings with `auto` replaced by the batch size for `n_train` training rows."""
        return self if self.batch_size else self.model_copy(update={"batch_size": auto_batch_size(n_train)})

    def of(self, config: Config) -> TrainConfig:
        """The settings of one trial, whose configuration may contain some of these keys."""
        return self.model_copy(update=config.schedule) if config.schedule else self


class RefitConfig(Section):
    """How the final networks are trained from the selected configuration.

    `scaled` averages the predictions of several `networks`. Exported configurations set `epochs` and `temperature`, the
    number by which the logits of a classification are divided; otherwise the re-evaluation determines both.
    """

    kind: Literal["scaled", "keep", "average", "none"] = "scaled"
    networks: Annotated[int, Field(ge=1, le=100)] = 5
    epochs: Annotated[int, Field(ge=1, le=MAX_COUNT)] | None = None
    temperature: Annotated[float, Field(gt=0, le=1e6)] | None = None

    @model_validator(mode="after")
    def _keys_match_kind(self) -> RefitConfig:
        if self.kind == "scaled":
            return self
        if "networks" in self.model_fields_set:
            uses = {"keep": "one network", "average": "one network per fold", "none": "no network"}[self.kind]
            raise ValueError(f"networks needs kind: scaled, because kind: {self.kind} trains {uses}; remove networks.")
        if self.epochs is not None:
            raise ValueError(f"epochs needs kind: scaled, got kind: {self.kind}; remove epochs.")
        return self

    def with_networks(self, networks: int) -> RefitConfig:
        """The settings with at most so many networks."""
        return self.model_copy(update={"networks": min(networks, self.networks)})


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
