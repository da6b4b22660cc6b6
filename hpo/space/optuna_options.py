"""The sections `sampler` and `pruner` of a space file: a name from Optuna, with options."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from typing import Annotated, Any

from pydantic import PlainValidator

from hpo.core.config import MAX_COUNT, Section, config_errors
from hpo.core.errors import did_you_mean
from hpo.core.yaml_document import Mistake, format_value


@dataclasses.dataclass(frozen=True)
class Option:
    """An option of a sampler or pruner: a value of type `kind`, from `low` to `high`, or one of `names`."""

    kind: type
    low: float = 0
    high: float = MAX_COUNT
    names: tuple[str, ...] = ()


_FLAG, _COUNT, _POSITIVE = Option(bool), Option(int), Option(int, low=1)
# Optuna's own names, and the values that it accepts.
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
_SYNONYMS = dict.fromkeys(("quasi_random", "quasi-random", "quasirandom", "sobol", "halton"), "qmc")
_WARMUP = {"n_startup_trials": _COUNT, "n_warmup_steps": _COUNT, "interval_steps": _POSITIVE, "n_min_trials": _POSITIVE}
_HALVING = {"min_resource": _POSITIVE, "reduction_factor": Option(int, low=2)}
PRUNERS: dict[str, dict[str, Option]] = {
    "median": _WARMUP,
    "paired": {"confidence": Option(float, low=0.5, high=1), **_WARMUP},
    "percentile": {"percentile": Option(float, high=100), **_WARMUP},
    "hyperband": {"bootstrap_count": _COUNT, **_HALVING},
    "successive_halving": {"min_early_stopping_rate": Option(int, high=100), **_HALVING},
    "patient": {"patience": _COUNT, "min_delta": Option(float), **_WARMUP},
    "none": {},
}


class Strategy(Section):
    """A sampler or pruner: its kind and options."""

    kind: str
    options: dict[str, Any] = {}


def _strategy(raw: Any, known: Mapping[str, Mapping[str, Option]], section: str) -> Strategy:
    """Parse the value of a section: a name, or `{kind: name, …options}`."""
    if isinstance(raw, Strategy):
        return raw
    is_mapping = isinstance(raw, Mapping)
    options = dict(raw) if is_mapping else {"kind": raw}
    if "kind" not in options:
        raise ValueError(f"needs its kind, such as {{kind: {next(iter(known))}}}, got {format_value(raw)}.")
    kind = options.pop("kind")
    if not isinstance(kind, str) or kind not in known:
        path = (section, "kind") if is_mapping else (section,)
        hint = did_you_mean(_SYNONYMS.get(str(kind), str(kind)), list(known))
        raise config_errors(Mistake(path, f"{format_value(kind)} is not a {section}.{hint}"))
    if mistakes := list(_options(kind, options, known[kind], section)):
        raise config_errors(*mistakes)
    return Strategy(kind=kind, options=options)


def _options(kind: str, options: Mapping[str, Any], known: Mapping[str, Option], section: str) -> Iterator[Mistake]:
    for name, value in options.items():
        if name in known:
            if text := _option_rule(value, known[name]):
                yield Mistake((section, name), text)
        else:
            hint = did_you_mean(str(name), list(known)) if known else " It has none."
            yield Mistake((section, name), f"is not an option of the {section} {kind}.{hint}")


def _option_rule(value: Any, option: Option) -> str:
    """Check the value of an option; "" if it is valid."""
    words: dict[type, str] = {int: "a whole number", float: "a number", bool: "true or false", str: "text"}
    kind = type(value)
    if kind is not option.kind and not (option.kind is float and kind is int):
        return f"must be {words[option.kind]}, got {format_value(value)}."
    if isinstance(value, str):
        if value in option.names:
            return ""
        return f"{format_value(value)} is not known.{did_you_mean(value, option.names)}"
    if isinstance(value, bool) or option.low <= value <= option.high:
        return ""
    return f"must be from {option.low:,} to {option.high:,}, got {format_value(value)}."


Sampler = Annotated[Strategy, PlainValidator(lambda raw: _strategy(raw, SAMPLERS, "sampler"))]
Pruner = Annotated[Strategy, PlainValidator(lambda raw: _strategy(raw, PRUNERS, "pruner"))]
