"""The space file: what to train on, what to search, for how long. Parsed at the border, typed inside."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path as FilePath
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, PlainValidator, field_validator, model_validator
from pydantic_core import PydanticCustomError

from hpo import domain
from hpo.document import Mistake, Path, said
from hpo.domain import DEFAULTS, SEARCHABLE, Domain
from hpo.errors import InputError, did_you_mean
from hpo.metrics import METRICS
from hpo.mlp import ACTIVATIONS
from hpo.regularizers import FAMILY

SWITCH = "_enabled"  # an optional strength is two parameters: a magnitude, and this one
DATASETS = {name: f"load_{name}" for name in ("digits", "breast_cancer", "wine", "iris", "diabetes")}
_MOST = 1_000_000  # of anything that is counted
_MOST_WIDTH = 65_536
WIDTHS = {"mlp": 128, "resnet": 128, "cnn": 16}  # unless the space says another


@dataclasses.dataclass(frozen=True)
class Option:
    """What a sampler or pruner may be told: a value of `kind`, from `low` to `high`, or one of `names`."""

    kind: type
    low: float = 0
    high: float = _MOST
    names: tuple[str, ...] = ()


_FLAG, _COUNT, _SOME = Option(bool), Option(int), Option(int, low=1)
# Optuna's own names, and the values with which it works.
SAMPLERS: dict[str, dict[str, Option]] = {
    "tpe": {
        "n_startup_trials": _COUNT,
        "n_ei_candidates": Option(int, low=1, high=10_000),
        **dict.fromkeys(("multivariate", "group", "constant_liar"), _FLAG),
    },
    "random": {},
    "grid": {},
    "qmc": {"qmc_type": Option(str, names=("sobol", "halton")), "scramble": _FLAG},
    "gp": {"n_startup_trials": _COUNT, "deterministic_objective": _FLAG},
    "cmaes": {
        "n_startup_trials": _COUNT,
        "popsize": Option(int, low=4, high=10_000),
        **dict.fromkeys(("with_margin", "consider_pruned_trials"), _FLAG),
    },
}
_WARMUP = {"n_startup_trials": _COUNT, "n_warmup_steps": _COUNT, "interval_steps": _SOME, "n_min_trials": _SOME}
_HALVING = {"min_resource": _SOME, "reduction_factor": Option(int, low=2)}
PRUNERS: dict[str, dict[str, Option]] = {
    "median": _WARMUP,
    "percentile": {"percentile": Option(float, high=100), **_WARMUP},
    "hyperband": {"bootstrap_count": _COUNT, **_HALVING},
    "successive_halving": {"min_early_stopping_rate": Option(int, high=100), **_HALVING},
    "patient": {"patience": _COUNT, "min_delta": Option(float), **_WARMUP},
    "none": {},
}
Parse = Callable[[str, Any, Path], tuple[Domain | None, list[Mistake]]]
_MOST_POINTS = 100_000  # of a grid: Optuna lists them all


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
            raise ValueError(f"is not a data set of hpo: {said(source)}.{did_you_mean(name, list(DATASETS))}")
        if not (kind == "sklearn" and colon) and FilePath(source).suffix.lower() not in (".csv", ".parquet"):
            raise ValueError(f"must be a .csv or .parquet file or sklearn:NAME, got {said(source)}.")
        return source


def _arguments(raw: Any) -> dict[str, Domain]:
    """`network.search`: the arguments of a factory, in the order of their names."""
    return dict(sorted(_domains(raw, ("network", "search"), domain.parse_architecture).items()))


class Network(_Model):
    """What is built for each trial; `search` holds what else its factory is given, fixed or sampled."""

    model_config = ConfigDict(arbitrary_types_allowed=True)

    kind: Literal["mlp", "resnet", "cnn", "module"] = "mlp"
    factory: str | None = None  # package.module:function; of kind module
    width: Annotated[int, Field(ge=1, le=_MOST_WIDTH)] | None = None
    activation: Literal[*ACTIVATIONS] = "relu"  # type: ignore[valid-type]
    batch_norm: bool = False
    image: list[int] | None = None  # channels, height, width
    search: Annotated[dict[str, Domain], PlainValidator(_arguments)] = {}

    @model_validator(mode="before")
    @classmethod
    def _usual_width(cls, raw: Any) -> Any:
        """That of its kind, unless it is set, or searched, or is the business of somebody's factory."""
        if not isinstance(raw, Mapping) or (isinstance(raw.get("search"), Mapping) and "width" in raw["search"]):
            return raw
        usual = WIDTHS.get(kind) if isinstance(kind := raw.get("kind", "mlp"), str) else None
        return raw if usual is None else {"width": usual, **raw}

    @field_validator("factory")
    @classmethod
    def _a_name(cls, factory: str | None) -> str | None:
        module, _, function = (factory or "").partition(":")
        if factory is not None and not all(part.isidentifier() for text in (module, function) for part in text.split(".")):
            raise ValueError(f"must be package.module:function, got {said(factory)}.")
        return factory

    @field_validator("image")
    @classmethod
    def _an_image(cls, image: list[int] | None) -> list[int] | None:
        if image is not None and (len(image) != 3 or min(image) < 1):
            raise ValueError(f"must be [channels, height, width], got {said(image)}.")
        return image

    @model_validator(mode="after")
    def _of_its_kind(self) -> Network:
        if mistakes := list(_network_rules(self)):
            raise _at(*mistakes)
        return self


def _network_rules(network: Network) -> Iterator[Mistake]:
    """What is wrong between the keys of a network."""
    kind, named = network.kind, network.model_fields_set
    if network.factory is not None and kind != "module":
        yield Mistake(("network", "factory"), f"needs kind: module, got kind: {kind}.")
    yield from (
        Mistake(("network", key), f"needs kind: mlp, got kind: {kind}.") for key in ("activation", "batch_norm")
        if key in named and kind != "mlp"
    )
    if network.image is not None and kind in ("mlp", "resnet"):
        yield Mistake(("network", "image"), f"needs kind: cnn or module, got kind: {kind}.")
    if network.width is not None and "width" in network.search:
        yield Mistake(("network", "width"), "is set twice: it stands under network.search, too.")
    if kind != "mlp":
        return
    for key, found in network.search.items():
        path = ("network", "search", key)
        values = found.choices or (found.low, found.high)
        if key != "width":
            yield Mistake(path, "is not searched with kind: mlp; only width is (depth stands under search).")
        elif not all(type(value) is int and 1 <= value <= _MOST_WIDTH for value in values):
            yield Mistake(path, f"must hold whole numbers from 1 to {_MOST_WIDTH:,}.")


class Train(_Model):
    epochs: Annotated[int, Field(ge=1, le=_MOST)] = 60
    batch_size: Annotated[int, Field(ge=1, le=65_536)] = 64
    patience: Annotated[int, Field(ge=1, le=_MOST)] = 10
    schedule: Literal["constant", "cosine"] = "constant"
    metric: Literal[*METRICS] = "loss"  # type: ignore[valid-type]
    seed: Annotated[int, Field(ge=0, lt=2**63)] | None = None  # one fit seed for all trials; default: one a trial

    @property
    def metric_key(self) -> str:
        """The name of the followed metric's curve."""
        return f"valid_{self.metric}"


class Budget(_Model):
    """Totals, not "more": what is reached first ends the search."""

    trials: Annotated[int, Field(ge=1, le=_MOST)] | None = None
    seconds: Annotated[float, Field(gt=0)] | None = None

    @model_validator(mode="after")
    def _ends(self) -> Budget:
        if self.trials is None and self.seconds is None:
            raise ValueError("needs trials, seconds or both.")
        return self


class Strategy(_Model):
    """A sampler or pruner: its kind and options."""

    kind: str
    options: dict[str, Any] = {}


def _strategy(raw: Any, known: Mapping[str, Mapping[str, Option]], what: str) -> Strategy:
    """A name, or `{kind: name, …options}`."""
    if isinstance(raw, Strategy):
        return raw
    named = isinstance(raw, Mapping)
    options = dict(raw) if named else {"kind": raw}
    if "kind" not in options:
        raise ValueError(f"needs its kind, such as {{kind: {next(iter(known))}}}, got {said(raw)}.")
    kind = options.pop("kind")
    if not isinstance(kind, str) or kind not in known:
        path = (what, "kind") if named else (what,)
        raise _at(Mistake(path, f"{said(kind)} is not a {what}.{did_you_mean(str(kind), list(known))}"))
    if mistakes := list(_options(kind, options, known[kind], what)):
        raise _at(*mistakes)
    return Strategy(kind=kind, options=options)


def _options(kind: str, options: Mapping[str, Any], known: Mapping[str, Option], what: str) -> Iterator[Mistake]:
    for name, value in options.items():
        if name in known:
            if text := _option_rule(value, known[name]):
                yield Mistake((what, name), text)
        else:
            hint = did_you_mean(str(name), list(known)) if known else " It has none."
            yield Mistake((what, name), f"is not an option of the {what} {kind}.{hint}")


def _option_rule(value: Any, option: Option) -> str:
    """What is wrong with the value of an option; "" if nothing is."""
    words: dict[type, str] = {int: "a whole number", float: "a number", bool: "true or false", str: "text"}
    kind = type(value)
    if kind is not option.kind and not (option.kind is float and kind is int):
        return f"must be {words[option.kind]}, got {said(value)}."
    if isinstance(value, str):
        return "" if value in option.names else f"{said(value)} is not known.{did_you_mean(value, option.names)}"
    if isinstance(value, bool) or option.low <= value <= option.high:
        return ""
    return f"must be from {option.low:,} to {option.high:,}, got {said(value)}."


def _domains(raw: Any, path: tuple[str, ...], parse: Parse) -> dict[str, Domain]:
    """A mapping of keys to fixed values, ranges or choices."""
    if not isinstance(raw, Mapping):
        raise ValueError(f"must be a mapping of keys to numbers or ranges, got {said(raw)}.")
    domains, mistakes = {}, []
    for key, value in raw.items():
        found, wrong = (value, []) if isinstance(value, Domain) else parse(str(key), value, (*path, key))
        mistakes += wrong
        if found is not None:
            domains[key] = found
    if mistakes:
        raise _at(*mistakes)
    return domains


def _parse_strength(key: str, raw: Any, path: Path) -> tuple[Domain | None, list[Mistake]]:
    if key in SEARCHABLE:
        return domain.parse(key, raw, path)
    return None, [Mistake(path, f"is not a regularizer.{did_you_mean(key, SEARCHABLE)}")]


def _search(raw: Any) -> dict[str, Domain]:
    domains, order = _domains(raw, ("search",), _parse_strength), [*SEARCHABLE]
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
            raise ValueError("must hold more than dots.")
        return study

    @model_validator(mode="after")
    def _together(self) -> Space:
        if mistakes := list(_together_rules(self)):
            raise _at(*mistakes)
        return self

    @property
    def is_point(self) -> bool:
        """Whether this is one configuration, to be trained as it is, without baselines."""
        return not any(found.sampled for found in self.domains.values())

    @property
    def points(self) -> float:
        """How many configurations the search has; infinite if a range cannot be counted."""
        return math.prod(found.count for found in self.domains.values())

    @property
    def domains(self) -> dict[str, Domain]:
        """Of every parameter of a trial, in the order in which they are shown: the learning rate, what makes the network,
        the strengths. Where the space does not name one that has a default, that."""
        # Somebody's factory may have no depth, or its own default.
        defaults = {key: value for key, value in DEFAULTS.items() if key != "depth" or self.network.kind != "module"}
        usual = {key: Domain(choices=(value,), integer=key == "depth") for key, value in defaults.items()}
        first = {key: self.search.get(key, usual.get(key)) for key in DEFAULTS}
        return {key: found for key, found in (first | self.network.search | self.search).items() if found}

    def architectures(self) -> Iterator[dict[str, Any]]:
        """Params of the middle of the space, then with one value after another of what makes the network at its ends."""
        middle = {key: found.middle() for key, found in self.domains.items()}
        yield middle
        for key, found in self.domains.items():
            if found.sampled and (key == "depth" or key in self.network.search):
                yield from (middle | {key: value} for value in found.choices or (found.low, found.high))

    def params(self, sampled: Mapping[str, Any]) -> dict[str, Any]:
        """The value that each parameter takes in a trial: sampled, fixed or default; neutral where switched off."""
        found: dict[str, Any] = {}
        for key, own in self.domains.items():
            on = sampled.get(key + SWITCH, True)
            value = own.trained(sampled[key]) if key in sampled else own.choices[0] if own.choices else math.nan
            found[key] = value if on else FAMILY[key].neutral
        return found

    def identity(self) -> dict[str, Any]:
        """What makes two searches the same one: all but the budget, and the data by its content, not by its place."""
        parts = {name: getattr(self, name).model_dump(mode="json", exclude={"search"}) for name in ("data", "network", "train")}
        del parts["data"]["source"]
        search = {key: dataclasses.asdict(found) for key, found in (self.network.search | self.search).items()}
        strategies = {name: getattr(self, name).model_dump(mode="json") for name in ("sampler", "pruner")}
        return {"study": self.study, **parts, "search": search, **strategies, "seed": self.seed}


def _together_rules(space: Space) -> Iterator[Mistake]:
    """What is wrong between the sections of a space."""
    sampled = {key: found for key, found in space.domains.items() if found.sampled}
    trials = space.budget.trials
    if not sampled and trials != 1:
        text = "needs at least one range or choices (or budget.trials: 1, to train this one point)."
        yield Mistake(("search",), text)
    if sampled and trials is not None and trials < 3:
        yield Mistake(("budget", "trials"), f"must be at least 3 (two of them are the baselines), got {trials}.")
    if space.network.batch_norm and space.train.batch_size < 2:
        yield Mistake(("train", "batch_size"), "must be at least 2 with batch_norm, which has nothing to learn from one row.")
    if space.sampler.kind != "grid":
        return
    endless = [key for key, found in sampled.items() if found.count == math.inf]
    yield from (Mistake(_place(space, key), "needs choices or a step for the sampler grid.") for key in endless)
    if not endless and space.points > _MOST_POINTS:
        yield Mistake(("sampler",), f"a grid has at most {_MOST_POINTS:,} points, got {space.points:,}; take longer steps.")


def _place(space: Space, key: str) -> Path:
    return ("network", "search", key) if key in space.network.search else ("search", key)


def _at(*mistakes: Mistake) -> PydanticCustomError:
    return PydanticCustomError("mistakes", "", {"mistakes": mistakes})


def flat(value: Mapping[str, Any], path: str = "") -> dict[str, Any]:
    """Nested mappings as dotted keys."""
    found: dict[str, Any] = {}
    for key, part in value.items():
        found |= flat(part, f"{path}{key}.") if isinstance(part, Mapping) else {f"{path}{key}": part}
    return found


def task_mistake(space: Space, task: str) -> InputError | None:
    """A metric that the data's task does not have, as a sentence."""
    if task in METRICS[space.train.metric].tasks:
        return None
    known = [m.name for m in METRICS.values() if task in m.tasks]
    return InputError(f"train.metric: {space.train.metric} needs another task than {task}. Known: {', '.join(known)}.")
