"""The space file: what to train on, what to search, for how long. Parsed at the border, typed inside."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, PlainValidator, field_validator, model_validator
from pydantic_core import PydanticCustomError

from hpo import document, domain
from hpo.document import Mistake
from hpo.domain import DEFAULTS, SEARCHABLE, Domain
from hpo.errors import InputError, cut, did_you_mean
from hpo.metrics import METRICS
from hpo.network import ACTIVATIONS
from hpo.regularizers import FAMILY

SWITCH = "_enabled"  # an optional strength is two parameters: a magnitude, and this one
DATASETS = {name: f"load_{name}" for name in ("digits", "breast_cancer", "wine", "iris", "diabetes")}
# What each sampler and pruner may be told, and of what type; Optuna's own names.
SAMPLERS: dict[str, dict[str, type]] = {
    "tpe": {"n_startup_trials": int, "n_ei_candidates": int, "multivariate": bool, "group": bool, "constant_liar": bool},
    "random": {},
    "grid": {},
    "qmc": {"qmc_type": str, "scramble": bool},
    "gp": {"n_startup_trials": int, "deterministic_objective": bool},
    "cmaes": {"n_startup_trials": int, "sigma0": float, "popsize": int, "with_margin": bool, "consider_pruned_trials": bool},
}
_WARMUP: dict[str, type] = {"n_startup_trials": int, "n_warmup_steps": int, "interval_steps": int, "n_min_trials": int}
PRUNERS: dict[str, dict[str, type]] = {
    "median": _WARMUP,
    "percentile": {"percentile": float, **_WARMUP},
    "hyperband": {"min_resource": int, "reduction_factor": int, "bootstrap_count": int},
    "successive_halving": {"min_resource": int, "reduction_factor": int, "min_early_stopping_rate": int},
    "patient": {"patience": int, "min_delta": float, **_WARMUP},
    "none": {},
}


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, allow_inf_nan=False)


class Split(_Model):
    """Shares of all rows for the test and the validation part."""

    test: Annotated[float, Field(gt=0, lt=1)] = 0.2
    valid: Annotated[float, Field(gt=0, lt=1)] = 0.2
    seed: Annotated[int, Field(ge=0, lt=2**32)] = 0

    @model_validator(mode="after")
    def _leave_something(self) -> Split:
        if self.test + self.valid >= 1:
            raise ValueError(f"test and valid must leave rows to train on, got test={self.test}, valid={self.valid}.")
        return self


class Data(_Model):
    source: str
    target: str = "target"
    task: Literal["classification", "regression"] | None = None
    drop: list[str] = []
    categorical: list[str] = []
    numeric: list[str] = []
    class_weight: Literal["balanced"] | None = None
    split: Split = Split()

    @field_validator("source")
    @classmethod
    def _known(cls, source: str) -> str:
        kind, colon, name = source.partition(":")
        if colon and kind == "sklearn" and name not in DATASETS:
            raise ValueError(f"scikit-learn's {cut(name)} is not a data set of hpo.{did_you_mean(name, list(DATASETS))}")
        if not (kind == "sklearn" and colon) and Path(source).suffix.lower() not in (".csv", ".parquet"):
            raise ValueError(f"must be a .csv or .parquet file or sklearn:NAME, got {cut(source)}.")
        return source


class Network(_Model):
    kind: Literal["mlp"] = "mlp"
    width: Annotated[int, Field(ge=1, le=65_536)] = 128
    activation: Literal[*ACTIVATIONS] = "relu"  # type: ignore[valid-type]
    batch_norm: bool = False


class Train(_Model):
    epochs: Annotated[int, Field(ge=1, le=1_000_000)] = 60
    batch_size: Annotated[int, Field(ge=1, le=65_536)] = 64
    patience: Annotated[int, Field(ge=1)] = 10
    schedule: Literal["constant", "cosine"] = "constant"
    metric: Literal[*METRICS] = "loss"  # type: ignore[valid-type]
    seed: Annotated[int, Field(ge=0, lt=2**63)] | None = None  # one fit seed for all trials; default: one a trial

    @property
    def metric_key(self) -> str:
        """The name of the followed metric's curve."""
        return f"valid_{self.metric}"


class Budget(_Model):
    """Totals, not "more": what is reached first ends the search."""

    trials: Annotated[int, Field(ge=1)] | None = None
    seconds: Annotated[float, Field(gt=0)] | None = None


class Strategy(_Model):
    """A sampler or pruner: its kind and options."""

    kind: str
    options: dict[str, Any] = {}


def _strategy(raw: Any, known: Mapping[str, Mapping[str, type]], what: str) -> Strategy:
    """A name, or `{kind: name, …options}`."""
    if isinstance(raw, Strategy):
        return raw
    options = dict(raw) if isinstance(raw, Mapping) else {"kind": raw}
    kind = options.pop("kind", None)
    if not isinstance(kind, str) or kind not in known:
        raise ValueError(f"{cut(kind)} is not a {what}.{did_you_mean(str(kind), list(known))}")
    mistakes = list(_options(kind, options, known[kind], what))
    if mistakes:
        raise PydanticCustomError("mistakes", "", {"mistakes": mistakes})
    return Strategy(kind=kind, options=options)


def _options(kind: str, options: Mapping[str, Any], known: Mapping[str, type], what: str) -> Iterator[Mistake]:
    words: dict[type, str] = {int: "a whole number", float: "a number", bool: "true or false", str: "text"}
    for name, value in options.items():
        if name not in known:
            hint = did_you_mean(name, list(known)) if known else " It has none."
            yield Mistake((what, name), f"is not an option of the {what} {kind}.{hint}")
        elif not (type(value) is known[name] or (known[name] is float and type(value) is int)):
            yield Mistake((what, name), f"must be {words[known[name]]}, got {cut(value)}.")
        elif isinstance(value, int | float) and value < 0:
            yield Mistake((what, name), f"must not be negative, got {cut(value)}.")


def _search(raw: Any) -> dict[str, Domain]:
    if not isinstance(raw, Mapping):
        raise ValueError(f"must be a mapping of keys to numbers or ranges, got {cut(raw)}.")
    domains, mistakes = {}, []
    for key, value in raw.items():
        if key not in SEARCHABLE:
            mistakes.append(Mistake(("search", key), f"is not a regularizer.{did_you_mean(key, SEARCHABLE)}"))
            continue
        found, wrong = (value, []) if isinstance(value, Domain) else domain.parse(key, value, ("search", key))
        mistakes += wrong
        if found is not None:
            domains[key] = found
    if mistakes:
        raise PydanticCustomError("mistakes", "", {"mistakes": mistakes})
    order = [*SEARCHABLE]
    return {key: domains[key] for key in sorted(domains, key=order.index)}


class Space(_Model):
    model_config = ConfigDict(arbitrary_types_allowed=True)

    study: Annotated[str, Field(pattern=r"^[A-Za-z0-9._-]{1,100}$")]
    data: Data
    network: Network = Network()
    search: Annotated[dict[str, Domain], PlainValidator(_search)]
    train: Train = Train()
    budget: Budget = Budget(trials=100)
    sampler: Annotated[Strategy, PlainValidator(lambda raw: _strategy(raw, SAMPLERS, "sampler"))] = Strategy(kind="tpe")
    pruner: Annotated[Strategy, PlainValidator(lambda raw: _strategy(raw, PRUNERS, "pruner"))] = Strategy(kind="median")
    seed: Annotated[int, Field(ge=0, lt=2**32)] = 0
    exported: dict[str, Any] = {}  # where an exported configuration came from; not read

    @field_validator("study")
    @classmethod
    def _a_folder_name(cls, study: str) -> str:
        if not study.strip("."):
            raise ValueError(f"must hold more than dots, got {study}.")
        return study

    @model_validator(mode="after")
    def _together(self) -> Space:
        sampled = [key for key, found in self.search.items() if found.sampled]
        trials = self.budget.trials
        if trials is None and self.budget.seconds is None:
            raise _at(("budget",), "needs trials, seconds or both.")
        if not sampled and trials != 1:
            raise _at(("search",), "needs at least one range or choices (or budget.trials: 1, to train this one point).")
        if sampled and trials is not None and trials < 3:
            raise _at(("budget", "trials"), f"must be at least 3 (two of them are the baselines), got {trials}.")
        if self.sampler.kind == "grid":
            for key in sampled:
                if not self.search[key].gridded:
                    raise _at(("search", key), "needs choices or a step for the sampler grid.")
        return self

    @property
    def is_point(self) -> bool:
        """Whether this is one configuration, to be trained as it is, without baselines."""
        return not any(found.sampled for found in self.search.values())

    def domain(self, key: str) -> Domain:
        """The domain of a search key; of one that is not named, its default."""
        return self.search.get(key) or Domain(choices=(DEFAULTS[key],), integer=key == "depth")

    def params(self, sampled: Mapping[str, Any]) -> dict[str, float]:
        """The number that each search key takes in a trial: sampled, fixed or default; neutral where switched off."""
        found: dict[str, float] = {}
        for key in dict.fromkeys((*DEFAULTS, *self.search)):
            domain = self.domain(key)
            value = sampled.get(key, domain.choices[0] if domain.choices else None)
            found[key] = value if sampled.get(key + SWITCH, True) else FAMILY[key].neutral
        return found

    def identity(self) -> dict[str, Any]:
        """What makes two searches the same one: all but the budget, and the data by its content instead of its place."""
        parts = {name: getattr(self, name).model_dump(mode="json") for name in ("data", "network", "train")}
        del parts["data"]["source"]
        search = {key: dataclasses.asdict(found) for key, found in self.search.items()}
        strategies = {name: getattr(self, name).model_dump(mode="json") for name in ("sampler", "pruner")}
        return {"study": self.study, **parts, "search": search, **strategies, "seed": self.seed}


def _at(path: document.Path, text: str) -> PydanticCustomError:
    return PydanticCustomError("mistakes", "", {"mistakes": [Mistake(path, text)]})


def task_mistake(space: Space, task: str) -> InputError | None:
    """A metric that the data's task does not have, as a sentence."""
    if task in METRICS[space.train.metric].tasks:
        return None
    known = [m.name for m in METRICS.values() if task in m.tasks]
    return InputError(f"train.metric: {space.train.metric} needs another task than {task}. Known: {', '.join(known)}.")
