"""The sections `sampler` and `pruner` of a space file: a name of Optuna's, with options."""

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
    """What a sampler or pruner may be told: a value of `kind`, from `low` to `high`, or one of `names`."""

    kind: type
    low: float = 0
    high: float = MAX_COUNT
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
_ALSO = {
    "quasi_random": "qmc",
    "quasi-random": "qmc",
    "quasirandom": "qmc",
    "sobol": "qmc",
    "halton": "qmc",
}  # what others call it
_WARMUP = {"n_startup_trials": _COUNT, "n_warmup_steps": _COUNT, "interval_steps": _SOME, "n_min_trials": _SOME}
_HALVING = {"min_resource": _SOME, "reduction_factor": Option(int, low=2)}
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


def _strategy(raw: Any, known: Mapping[str, Mapping[str, Option]], what: str) -> Strategy:
    """A name, or `{kind: name, …options}`."""
    if isinstance(raw, Strategy):
        return raw
    named = isinstance(raw, Mapping)
    options = dict(raw) if named else {"kind": raw}
    if "kind" not in options:
        raise ValueError(f"needs its kind, such as {{kind: {next(iter(known))}}}, got {format_value(raw)}.")
    kind = options.pop("kind")
    if not isinstance(kind, str) or kind not in known:
        path = (what, "kind") if named else (what,)
        raise config_errors(
            Mistake(
                path,
                f"{format_value(kind)} is not a {what}.{did_you_mean(_ALSO.get(str(kind), str(kind)), list(known))}",
            )
        )
    if mistakes := list(_options(kind, options, known[kind], what)):
        raise config_errors(*mistakes)
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
        return f"must be {words[option.kind]}, got {format_value(value)}."
    if isinstance(value, str):
        return (
            "" if value in option.names else f"{format_value(value)} is not known.{did_you_mean(value, option.names)}"
        )
    if isinstance(value, bool) or option.low <= value <= option.high:
        return ""
    return f"must be from {option.low:,} to {option.high:,}, got {format_value(value)}."


Sampler = Annotated[Strategy, PlainValidator(lambda raw: _strategy(raw, SAMPLERS, "sampler"))]
Pruner = Annotated[Strategy, PlainValidator(lambda raw: _strategy(raw, PRUNERS, "pruner"))]
