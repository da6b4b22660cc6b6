"""The space file: what to train on, what to search, for how long. Parsed at the border, typed inside."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator, Mapping
from itertools import product
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, ConfigDict, Field, PlainValidator, field_validator, model_validator

from hpo.core.config import Section, config_errors
from hpo.core.errors import InputError
from hpo.core.metrics import METRICS, VALIDATORS, Task, reported_metrics
from hpo.core.objectives import OBJECTIVES
from hpo.core.yaml_document import Mistake, Path, format_value
from hpo.data.config import DataConfig
from hpo.regularizers import FAMILY
from hpo.space import conditions
from hpo.space.domains import parse_mapping
from hpo.space.hyperparameter import DEFAULTS, Hyperparameter
from hpo.space.network import WIDTHS, NetworkConfig
from hpo.space.optuna_options import Pruner, Sampler, Strategy
from hpo.space.parser import parse_strength, searchable
from hpo.space.priors import SWITCH
from hpo.space.settings import CHOOSING, SELECTION_RULES, BudgetConfig, EnsembleConfig, RefitConfig, TrainConfig

_FEW = 32  # architectures, all of which are tried before a search
_MOST_POINTS = 100_000  # of a grid: Optuna lists them all


def _search(raw: Any) -> dict[str, Hyperparameter]:
    found, order = parse_mapping(raw, ("search",), parse_strength), searchable()
    return {key: found[key] for key in sorted(found, key=order.index)}


class Space(Section):
    model_config = ConfigDict(arbitrary_types_allowed=True)

    study: Annotated[str, Field(pattern=r"^[A-Za-z0-9._-]{1,100}$")]
    data: DataConfig
    network: NetworkConfig = NetworkConfig()
    search: Annotated[dict[str, Hyperparameter], PlainValidator(_search)]
    train: TrainConfig = TrainConfig()
    budget: BudgetConfig = BudgetConfig(trials=100)
    sampler: Sampler = Strategy(kind="tpe")
    pruner: Pruner = Strategy(kind="median")
    objectives: Annotated[list[Literal[*OBJECTIVES]], Field(min_length=1)] | None = None  # type: ignore[valid-type]
    finalists: Annotated[int, Field(ge=0, le=100)] = 4
    select: Literal[*SELECTION_RULES] = "one_se"  # type: ignore[valid-type]
    refit: Annotated[RefitConfig, BeforeValidator(lambda raw: {"kind": raw} if isinstance(raw, str) else raw)] = (
        RefitConfig()
    )
    ensemble: Annotated[
        EnsembleConfig | None, BeforeValidator(lambda raw: {"kind": raw} if isinstance(raw, str) else raw)
    ] = None
    seed: Annotated[int, Field(ge=0, lt=2**32)] = 0
    exported: dict[str, Any] = {}  # where an exported configuration came from; not read

    @model_validator(mode="before")
    @classmethod
    def _usual_pruner(cls, raw: Any) -> Any:
        """Folds are compared in pairs, where there are any and no pruner is named."""
        data = raw.get("data") if isinstance(raw, Mapping) else None
        split = data.get("split") if isinstance(data, Mapping) else None
        if isinstance(split, Mapping) and split.get("folds") is not None and "pruner" not in raw:
            return {**raw, "pruner": "paired"}
        return raw

    @model_validator(mode="before")
    @classmethod
    def _searched_width(cls, raw: Any) -> Any:
        """A width that is searched leaves the network without a usual one."""
        search, network = (raw.get("search"), raw.get("network", {})) if isinstance(raw, Mapping) else (None, None)
        if (
            isinstance(search, Mapping)
            and "width" in search
            and isinstance(network, Mapping)
            and "width" not in network
        ):
            return {**raw, "network": {**network, "width": None}}
        return raw

    @field_validator("study")
    @classmethod
    def _a_folder_name(cls, study: str) -> str:
        if not study.strip("."):
            raise ValueError("must hold more than dots.")
        return study

    @model_validator(mode="after")
    def _together(self) -> Space:
        if mistakes := list(_together_rules(self)):
            raise config_errors(*mistakes)
        return self

    @property
    def is_point(self) -> bool:
        """Whether this is one configuration, to be trained as it is, without baselines."""
        return not any(found.sampled for found in self.hyperparameters.values())

    @property
    def objective_names(self) -> tuple[str, ...]:
        """The objectives; the first is the followed metric, by which trials are pruned and selected."""
        return tuple(self.objectives or [self.train.metric_key])

    @property
    def points(self) -> float:
        """How many configurations the search has; infinite if a range cannot be counted."""
        return math.prod(found.count for found in self.hyperparameters.values())

    @property
    def hyperparameters(self) -> dict[str, Hyperparameter]:
        """Of every parameter of a trial, in the order in which they are shown: the learning rate, what makes the network,
        the strengths. Where the space does not name one that has a default, that."""
        # Somebody's factory may have no depth, or its own default.
        defaults = {key: value for key, value in DEFAULTS.items() if key != "depth" or self.network.kind != "module"}
        usual = {key: Hyperparameter(choices=(value,), integer=key == "depth") for key, value in defaults.items()}
        first = {key: self.search.get(key, usual.get(key)) for key in DEFAULTS}
        return {key: found for key, found in (first | self.network.search | self.search).items() if found}

    @property
    def most_epochs(self) -> int:
        """That a trial may train."""
        found = self.search.get("epochs")
        return self.train.epochs if found is None else max([int(found.bounds[1]), *self._otherwise("epochs")])

    @property
    def batch_sizes(self) -> list[int]:
        """Those that a trial may have."""
        found = self.search.get("batch_size")
        return [self.train.batch_size] if found is None else [*found.values(), *self._otherwise("batch_size")]

    def default_of(self, key: str) -> Any:
        """What a key of the family is where its condition does not hold: off, or as a network of this kind has it."""
        return WIDTHS.get(self.network.kind, FAMILY[key].default_value) if key == "width" else FAMILY[key].default_value

    def _otherwise(self, key: str) -> list[Any]:
        """What a key of `search` may be besides its own values."""
        return [self.default_of(key)] if self.search[key].when else []

    def middle(self, given: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """Params of the middle of the space, but for those that are `given`."""
        middle = {key: found.middle() for key, found in self.hyperparameters.items()}
        return conditions.resolved(self.hyperparameters, middle | dict(given or {}), self.default_of)

    def architectures(self) -> Iterator[dict[str, Any]]:
        """Params of the middle of the space, then with every combination of what makes the network, or where these are many
        one value after another at its ends, by itself and where all others are at their largest."""
        yield self.middle()
        made = {
            key: found
            for key, found in self.hyperparameters.items()
            if found.sampled and (key in self.network.search or _is_structure(key))
        }
        if math.prod(found.count for found in made.values()) <= _FEW:
            yield from (
                self.middle(dict(zip(made, values, strict=True)))
                for values in product(*(found.values() for found in made.values()))
            )
            return
        largest = {key: found.bounds[1] for key, found in made.items()}
        for others, (key, found) in product(({}, largest), made.items()):
            yield from (self.middle(others | {key: value}) for value in found.choices or found.bounds)

    def params(self, sampled: Mapping[str, Any]) -> dict[str, Any]:
        """The value that each parameter takes in a trial: sampled, fixed or default; neutral where it is switched off, or its
        condition does not hold."""
        found: dict[str, Any] = {}
        for key, own in self.hyperparameters.items():
            on = sampled.get(key + SWITCH, True)
            value = own.rounded(sampled[key]) if key in sampled else own.choices[0] if own.choices else math.nan
            found[key] = value if on else FAMILY[key].default_value
        return conditions.resolved(self.hyperparameters, found, self.default_of)

    def identity(self) -> dict[str, Any]:
        """What makes two searches the same one: all but the budget, and data and first weights by their content, not by their place."""
        parts = {
            name: getattr(self, name).model_dump(mode="json", exclude={"search", "init"})
            for name in ("data", "network", "train")
        }
        del parts["data"]["source"]
        for key in self.data.target.files:
            del parts["data"]["target"][key]
        search = {key: dataclasses.asdict(found) for key, found in (self.network.search | self.search).items()}
        strategies = {name: getattr(self, name).model_dump(mode="json") for name in ("sampler", "pruner")}
        return {
            "study": self.study,
            **parts,
            "search": search,
            **strategies,
            "seed": self.seed,
            "objectives": list(self.objective_names),
        }


def _is_structure(key: str) -> bool:
    return key in FAMILY and FAMILY[key].kind == "structure"


def _together_rules(space: Space) -> Iterator[Mistake]:
    """What is wrong between the sections of a space."""
    sampled = {key: found for key, found in space.hyperparameters.items() if found.sampled}
    trials = space.budget.trials
    if not sampled and trials != 1:
        text = "needs at least one range or choices (or budget.trials: 1, to train this one point)."
        yield Mistake(("search",), text)
    if sampled and trials is not None and trials < 3:
        yield Mistake(("budget", "trials"), f"must be at least 3 (two of them are the baselines), got {trials}.")
    yield from _objective_rules(space)
    if space.ensemble and (text := ensemble_mistake(space, space.ensemble)):
        yield Mistake(("ensemble",), text)
    if space.pruner.kind == "paired" and space.data.split.folds is None:
        yield Mistake(("pruner",), "compares folds, and there are none; set data.split.folds, or take median.")
    yield from (Mistake((*_place(space, key), *m.path), m.text) for key, m in conditions.rules(space.hyperparameters))
    for key in sorted(space.train.model_fields_set & space.search.keys()):
        yield Mistake(("train", key), "is set twice: it stands under search, too; leave one of them out.")
    yield from _architecture_rules(space)
    if space.sampler.kind != "grid":
        return
    for key, found in sampled.items():
        if found.prior is not None:
            yield Mistake(
                (*_place(space, key), "prior"),
                "means nothing to the sampler grid, which tries everything; leave it out.",
            )
    endless = [key for key, found in sampled.items() if found.count == math.inf]
    yield from (Mistake(_place(space, key), "needs choices, a step or points for the sampler grid.") for key in endless)
    if not endless and space.points > _MOST_POINTS:
        yield Mistake(
            ("sampler",), f"a grid has at most {_MOST_POINTS:,} points, got {space.points:,}; take longer steps."
        )


def _architecture_rules(space: Space) -> Iterator[Mistake]:
    """What is wrong between `network` and what `search` says of the structure."""
    network, kind = space.network, space.network.kind
    for key in sorted(network.model_fields_set & space.search.keys()):
        if getattr(network, key) is not None:  # the width that `_searched_width` took away
            yield Mistake(("network", key), "is set twice: it stands under search, too; leave one of them out.")
    ours = [key for key in space.search if key in FAMILY and "mlp" in FAMILY[key].needs]
    yield from (Mistake(("search", key), f"needs kind: mlp, got kind: {kind}.") for key in ours if kind != "mlp")
    normed = space.search["batch_norm"].contains(True) if "batch_norm" in space.search else network.batch_norm
    if normed and min(space.batch_sizes) < 2:
        where = ("search",) if "batch_size" in space.search else ("train",)
        yield Mistake(
            (*where, "batch_size"), "must be at least 2 with batch_norm, which has nothing to learn from one row."
        )


def _objective_rules(space: Space) -> Iterator[Mistake]:
    """What several objectives cannot be combined with: Optuna has samplers and pruners that know only one."""
    goals = space.objective_names
    if goals[0] != space.train.metric_key:
        yield Mistake(
            ("objectives",),
            f"must begin with {space.train.metric_key}, the metric that is followed (train.metric), got {goals[0]}.",
        )
    if len(set(goals)) < len(goals):
        yield Mistake(("objectives",), f"must differ from each other, got {format_value(list(goals))}.")
    if len(goals) > 1 and space.sampler.kind == "cmaes":
        yield Mistake(("sampler",), "cmaes knows one objective only; take tpe, or leave objectives out.")
    if len(goals) > 1 and space.pruner.kind in ("hyperband", "successive_halving", "patient"):
        yield Mistake(
            ("pruner",), f"{space.pruner.kind} knows one objective only; take median, or leave objectives out."
        )


def _place(space: Space, key: str) -> Path:
    return ("network", "search", key) if key in space.network.search else ("search", key)


def flat(value: Mapping[str, Any], path: str = "") -> dict[str, Any]:
    """Nested mappings as dotted keys."""
    found: dict[str, Any] = {}
    for key, part in value.items():
        found |= flat(part, f"{path}{key}.") if isinstance(part, Mapping) else {f"{path}{key}": part}
    return found


def ensemble_mistake(space: Space, wish: EnsembleConfig) -> str:
    """Why such an ensemble cannot be made of a search, as the end of a sentence; "" if it can."""
    if space.refit.kind == "none":
        return "needs a final network to be compared with; take another refit than none."
    if space.train.metric in VALIDATORS and wish.kind in (*CHOOSING, "boosting"):
        return f"{wish.kind} chooses by labels of rows that it has not seen, and train.metric: {space.train.metric} asks for none; take bagging."
    if space.is_point and wish.kind in CHOOSING:
        return f"{wish.kind} chooses among the configurations of a search, and there is one; take bagging."
    return ""


def task_mistake(space: Space, task: Task) -> InputError | None:
    """A metric that the data's task does not have, as a sentence."""
    if task in METRICS[space.train.metric].tasks or space.train.metric in VALIDATORS:  # of these, see hpo/needs.py
        measured = (*reported_metrics(task, space.train.metric), *VALIDATORS)
        strange = [
            name
            for name in space.objective_names
            if name.startswith("valid_") and name.removeprefix("valid_") not in measured
        ]
        if not strange:
            return None
        text = ", ".join(f"valid_{name}" for name in measured if name not in VALIDATORS)
        return InputError(f"objectives: {strange[0]} is not measured in this search. Known: {text}.")
    known = [m.name for m in METRICS.values() if task in m.tasks and m.judges == "labels"]
    return InputError(f"train.metric: {space.train.metric} needs another task than {task}. Known: {', '.join(known)}.")
