"""The space: the parsed and checked content of a space file."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator, Mapping
from itertools import product
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, ConfigDict, Field, PlainValidator, field_validator, model_validator

from hpo.core.config import Section, config_errors
from hpo.core.metrics import VALIDATORS
from hpo.core.objectives import OBJECTIVES
from hpo.core.selection_rules import SELECTION_RULES
from hpo.core.trial_config import Config
from hpo.core.yaml_document import Mistake, Path, format_value
from hpo.data.config import DataConfig
from hpo.regularizers import FAMILY
from hpo.regularizers.configs import make_config
from hpo.space import conditions
from hpo.space.hyperparameter import DEFAULTS, Hyperparameter
from hpo.space.network import WIDTHS, NetworkConfig
from hpo.space.optuna_options import Pruner, Sampler, Strategy
from hpo.space.parser import parse_mapping, parse_search_key, searchable
from hpo.space.priors import SWITCH
from hpo.space.settings import POOLED_ENSEMBLES, BudgetConfig, EnsembleConfig, RefitConfig, TrainConfig

_MAX_ARCHITECTURES = 32  # up to this many are all tried before a search; of more, only some are
_MAX_GRID_POINTS = 100_000  # Optuna lists all points of a grid


def _search(raw: Any) -> dict[str, Hyperparameter]:
    by_key, order = parse_mapping(raw, ("search",), parse_search_key), searchable()
    return {key: by_key[key] for key in sorted(by_key, key=order.index)}


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
    objectives: Annotated[list[Literal[*OBJECTIVES]], Field(min_length=1)] | None = None  # type: ignore[valid-type]  # from a table
    finalists: Annotated[int, Field(ge=0, le=100)] = 4
    select: Literal[*SELECTION_RULES] = "expected"  # type: ignore[valid-type]  # from a table
    refit: Annotated[RefitConfig, BeforeValidator(lambda raw: {"kind": raw} if isinstance(raw, str) else raw)] = (
        RefitConfig()
    )
    ensemble: Annotated[
        EnsembleConfig | None, BeforeValidator(lambda raw: {"kind": raw} if isinstance(raw, str) else raw)
    ] = None
    seed: Annotated[int, Field(ge=0, lt=2**32)] = 0
    exported: dict[str, Any] = {}  # the origin of an exported configuration; not read

    @model_validator(mode="before")
    @classmethod
    def _default_pruner(cls, raw: Any) -> Any:
        """With folds, the default pruner is `paired`."""
        data = raw.get("data") if isinstance(raw, Mapping) else None
        split = data.get("split") if isinstance(data, Mapping) else None
        if isinstance(split, Mapping) and split.get("folds") is not None and "pruner" not in raw:
            return {**raw, "pruner": "paired"}
        return raw

    @model_validator(mode="before")
    @classmethod
    def _searched_width(cls, raw: Any) -> Any:
        """If the width is searched, the network has no default width."""
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
    def _valid_folder_name(cls, study: str) -> str:
        if not study.strip("."):
            raise ValueError("must contain more than dots.")
        return study

    @model_validator(mode="after")
    def _sections_match(self) -> Space:
        if mistakes := list(_cross_section_rules(self)):
            raise config_errors(*mistakes)
        return self

    @property
    def is_point(self) -> bool:
        """Whether the space is a single configuration, which is trained without baselines."""
        return not any(values.sampled for values in self.hyperparameters.values())

    @property
    def objective_names(self) -> tuple[str, ...]:
        """The objectives. The first is the followed metric, by which trials are pruned and selected."""
        return tuple(self.objectives or [self.train.metric_key])

    @property
    def points(self) -> float:
        """The number of configurations; infinite if a range is continuous."""
        return math.prod(values.count for values in self.hyperparameters.values())

    @property
    def hyperparameters(self) -> dict[str, Hyperparameter]:
        """Every parameter of a trial, in the order in which parameters are shown: the learning rate, the structure of
        the network, the strengths. A parameter that the space does not name has its default value, if any."""
        # A module's factory may have no depth, or its own default.
        defaults = {key: value for key, value in DEFAULTS.items() if key != "depth" or self.network.kind != "module"}
        fixed = {key: Hyperparameter(choices=(value,), integer=key == "depth") for key, value in defaults.items()}
        first = {key: self.search.get(key, fixed.get(key)) for key in DEFAULTS}
        return {key: values for key, values in (first | self.network.search | self.search).items() if values}

    @property
    def max_epochs(self) -> int:
        """The largest number of epochs of any trial."""
        values = self.search.get("epochs")
        return self.train.epochs if values is None else max([int(values.bounds[1]), *self._inactive_values("epochs")])

    @property
    def batch_sizes(self) -> list[int]:
        """The batch sizes that a trial may have; none while it is `auto`."""
        values = self.search.get("batch_size")
        if values is None:
            return [] if self.train.batch_size is None else [self.train.batch_size]
        return [*values.values(), *self._inactive_values("batch_size")]

    def default_of(self, key: str) -> Any:
        """The value of a key whose condition does not hold: its default value; for the width, that of the network's
        kind."""
        return WIDTHS.get(self.network.kind, FAMILY[key].default_value) if key == "width" else FAMILY[key].default_value

    def _inactive_values(self, key: str) -> list[Any]:
        """The value that a key of `search` has in trials in which its condition does not hold."""
        return [self.default_of(key)] if self.search[key].when else []

    def middle(self, given: Mapping[str, Any] | None = None) -> Config:
        """The parameters at the middle of the space, except for the `given` ones."""
        middle = {key: values.middle() for key, values in self.hyperparameters.items()}
        return self._config(middle | dict(given or {}))

    def architectures(self) -> Iterator[Config]:
        """The parameters at the middle of the space, then with every combination of the structure. If there are too
        many combinations, they are replaced by each value of each structural parameter (for a range, its bounds), with
        the others at their middle and at their largest value."""
        yield self.middle()
        structure = {
            key: values
            for key, values in self.hyperparameters.items()
            if values.sampled and (key in self.network.search or _is_structure(key))
        }
        if math.prod(values.count for values in structure.values()) <= _MAX_ARCHITECTURES:
            yield from (
                self.middle(dict(zip(structure, combination, strict=True)))
                for combination in product(*(values.values() for values in structure.values()))
            )
            return
        largest = {key: values.bounds[1] for key, values in structure.items()}
        for others, (key, values) in product(({}, largest), structure.items()):
            yield from (self.middle(others | {key: value}) for value in values.choices or values.bounds)

    def params(self, sampled: Mapping[str, Any]) -> Config:
        """The value of each parameter in a trial: sampled, fixed or default. Where the parameter is switched off or its
        condition does not hold, its value is the default."""
        by_key: dict[str, Any] = {}
        for key, values in self.hyperparameters.items():
            on = sampled.get(key + SWITCH, True)
            value = (
                values.rounded(sampled[key]) if key in sampled else values.choices[0] if values.choices else math.nan
            )
            by_key[key] = value if on else FAMILY[key].default_value
        return self._config(by_key)

    def _config(self, by_key: Mapping[str, Any]) -> Config:
        return make_config(conditions.resolved(self.hyperparameters, by_key, self.default_of))

    def identity(self) -> dict[str, Any]:
        """The settings that identify a study: all but the budget, the selection, and the files of data and initial
        weights, whose content is compared instead."""
        parts = {
            name: getattr(self, name).model_dump(mode="json", exclude={"search", "init"})
            for name in ("data", "network", "train")
        }
        del parts["data"]["source"]
        for key in self.data.target.files:
            del parts["data"]["target"][key]
        search = {key: dataclasses.asdict(values) for key, values in (self.network.search | self.search).items()}
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


def _cross_section_rules(space: Space) -> Iterator[Mistake]:
    """Check the sections against each other."""
    sampled = {key: values for key, values in space.hyperparameters.items() if values.sampled}
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
        yield Mistake(("pruner",), "compares folds, so it needs data.split.folds; set it, or choose median.")
    yield from (Mistake((*_path_of(space, key), *m.path), m.text) for key, m in conditions.check(space.hyperparameters))
    twice = [("train", key) for key in sorted(space.train.model_fields_set & space.search.keys())]
    twice += [("data", "class_weight")] if space.data.class_weight and "class_weight" in space.search else []
    yield from (Mistake(path, "is set twice, here and under search; remove one of them.") for path in twice)
    yield from _architecture_rules(space)
    if space.sampler.kind != "grid":
        return
    for key, values in sampled.items():
        if values.prior is not None:
            yield Mistake(
                (*_path_of(space, key), "prior"),
                "has no effect with the sampler grid, which tries all values; remove it.",
            )
    continuous = [key for key, values in sampled.items() if values.count == math.inf]
    yield from (
        Mistake(_path_of(space, key), "needs choices, a step or points for the sampler grid.") for key in continuous
    )
    if not continuous and space.points > _MAX_GRID_POINTS:
        yield Mistake(
            ("sampler",), f"a grid has at most {_MAX_GRID_POINTS:,} points, got {space.points:,}; use larger steps."
        )


def _architecture_rules(space: Space) -> Iterator[Mistake]:
    """Check `network` against the structural keys of `search`."""
    network, kind = space.network, space.network.kind
    for key in sorted(network.model_fields_set & space.search.keys()):
        if getattr(network, key) is not None:  # `_searched_width` has set the width to None
            yield Mistake(("network", key), "is set twice, here and under search; remove one of them.")
    mlp_keys = [key for key in space.search if key in FAMILY and "mlp" in FAMILY[key].needs]
    yield from (Mistake(("search", key), f"needs kind: mlp, got kind: {kind}.") for key in mlp_keys if kind != "mlp")
    batch_norm = space.search["batch_norm"].contains(True) if "batch_norm" in space.search else network.batch_norm
    if batch_norm and any(size < 2 for size in space.batch_sizes):
        section = ("search",) if "batch_size" in space.search else ("train",)
        yield Mistake(
            (*section, "batch_size"), "must be at least 2 with batch_norm, which cannot normalize a single row."
        )


def _objective_rules(space: Space) -> Iterator[Mistake]:
    """Check the objectives, and that sampler and pruner support several objectives: not all of Optuna's do."""
    names = space.objective_names
    if names[0] != space.train.metric_key:
        yield Mistake(
            ("objectives",),
            f"must begin with {space.train.metric_key}, the followed metric (train.metric), got {names[0]}.",
        )
    if len(set(names)) < len(names):
        yield Mistake(("objectives",), f"must all be different, got {format_value(list(names))}.")
    if len(names) > 1 and space.sampler.kind == "cmaes":
        yield Mistake(("sampler",), "cmaes supports a single objective; choose tpe, or remove objectives.")
    if len(names) > 1 and space.pruner.kind in ("hyperband", "successive_halving", "patient"):
        yield Mistake(
            ("pruner",), f"{space.pruner.kind} supports a single objective; choose median, or remove objectives."
        )


def _path_of(space: Space, key: str) -> Path:
    return ("network", "search", key) if key in space.network.search else ("search", key)


def ensemble_mistake(space: Space, config: EnsembleConfig) -> str:
    """Return why a search of this space cannot build the ensemble, as the end of a sentence; "" if it can."""
    if space.refit.kind == "none":
        return "needs a final network to be compared with; set refit to another value than none."
    if space.train.metric in VALIDATORS and config.kind in (*POOLED_ENSEMBLES, "boosting"):
        return (
            f"{config.kind} needs the labels of held-out rows, which train.metric: {space.train.metric} does not use; "
            "choose bagging."
        )
    if space.is_point and config.kind in POOLED_ENSEMBLES:
        return f"{config.kind} combines several configurations, and this space has a single one; choose bagging."
    return ""
