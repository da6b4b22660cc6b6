"""Parse one key under `search:`: a fixed value, `auto`, a range or choices."""

from __future__ import annotations

import keyword
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from typing import Any

from hpo.core.config import config_errors
from hpo.core.errors import did_you_mean
from hpo.core.yaml_document import Mistake, Path, format_value
from hpo.regularizers import FAMILY
from hpo.space import checks
from hpo.space.checks import AUTO
from hpo.space.hyperparameter import Hyperparameter, Prior, is_number, last_step

LEARNING_RATE = "learning_rate"
_AUTO_LEARNING_RATE = {"low": 1e-4, "high": 1e-1, "log": True}  # for AdamW
_KEYS = ("low", "high", "log", "step", "points", "choices", "range", "optional", "when", "prior")
_SHAPE = ("low", "high", "log", "step", "points", "choices")
Parse = Callable[[str, Any, Path], tuple[Hyperparameter | None, list[Mistake]]]


def searchable() -> tuple[str, ...]:
    """The keys that are allowed under `search:`; plugins add theirs."""
    return (LEARNING_RATE, *FAMILY)


def parse_mapping(raw: Any, path: tuple[str, ...], parse_key: Parse) -> dict[str, Hyperparameter]:
    """Parse a mapping of keys to fixed values, ranges or choices. Raises pydantic's error with all mistakes."""
    if not isinstance(raw, Mapping):
        raise ValueError(f"must be a mapping of keys to numbers or ranges, got {format_value(raw)}.")
    by_key, mistakes = {}, []
    for key, value in raw.items():
        parsed, wrong = (value, []) if isinstance(value, Hyperparameter) else parse_key(str(key), value, (*path, key))
        mistakes += wrong
        if parsed is not None:
            by_key[key] = parsed
    if mistakes:
        raise config_errors(*mistakes)
    return by_key


def parse_search_key(key: str, raw: Any, path: Path) -> tuple[Hyperparameter | None, list[Mistake]]:
    """Parse a key of `search:`; return None and the mistakes if it is wrong."""
    if key in searchable():
        return parse(key, raw, path)
    hint = did_you_mean(key, searchable(), " List them with: hpo regularizers")
    return None, [Mistake(path, f"is not a search key.{hint}")]


def parse_argument(key: str, raw: Any, path: Path) -> tuple[Hyperparameter | None, list[Mistake]]:
    """Parse a key of `network.search:`, an argument of the factory; return None and the mistakes if it is wrong."""
    if not key.isidentifier() or keyword.iskeyword(key):
        return None, [Mistake(path, "must be the name of an argument of the factory.")]
    if key in FAMILY and "mlp" in FAMILY[key].needs:
        text = f"is reserved for kind: mlp (search.{key}); give the factory's argument another name."
        return None, [Mistake(path, text)]
    if key in searchable():
        return None, [Mistake(path, f"is a key of search, not of the network: write search.{key}.")]
    if key in ("n_inputs", "n_outputs", "image"):
        return None, [Mistake(path, "cannot be searched: it comes from the data or from the section network.")]
    if isinstance(raw, str | bool):
        return Hyperparameter(choices=(raw,)), []
    return parse(key, raw, path)


def parse(key: str, raw: Any, path: Path) -> tuple[Hyperparameter | None, list[Mistake]]:
    """Parse the value of a key; return None and the mistakes if it is wrong."""
    if raw == AUTO and key in searchable():
        raw = {"range": AUTO}
    if not isinstance(raw, Mapping):
        wrong = [Mistake(path, text) for text in checks.fixed(key, raw)]
        return (None, wrong) if wrong else (Hyperparameter(choices=(raw,), integer=checks.is_integer(key)), [])
    wrong = [*_unknown(raw, path), *_range_rules(key, raw, path)]
    values = None
    if not wrong or "range" not in raw:
        values, more = _parse_values(key, {**(auto_range(key) if "range" in raw else {}), **raw}, path)
        wrong += more
    wrong += checks.extras(key, raw, values, path)
    if wrong or values is None:
        return None, wrong
    when = tuple((str(other), _as_tuple(expected)) for other, expected in raw.get("when", {}).items())
    prior = raw.get("prior")
    if prior is not None:
        best = prior["best"] if prior["best"] == "off" else values.clip(prior["best"])
        prior = Prior(best, prior.get("confidence", "medium"))
    return replace(values, when=when, prior=prior), []


def auto_range(key: str) -> dict[str, Any]:
    """The range that `auto` stands for."""
    return dict(_AUTO_LEARNING_RATE if key == LEARNING_RATE else FAMILY[key].prior)


def _as_tuple(values: Any) -> tuple[Any, ...]:
    return tuple(values) if isinstance(values, list | tuple) else (values,)


def _unknown(raw: Mapping[str, Any], path: Path) -> Iterator[Mistake]:
    for name in raw:
        if name not in _KEYS:
            yield Mistake((*path, name), f"is not a key of a range.{did_you_mean(str(name), _KEYS)}")
    for name in ("log", "optional"):
        if not isinstance(raw.get(name, False), bool):
            yield Mistake((*path, name), f"must be true or false, got {format_value(raw[name])}.")


def _range_rules(key: str, raw: Mapping[str, Any], path: Path) -> Iterator[Mistake]:
    if "range" not in raw:
        return
    if raw["range"] != AUTO:
        yield Mistake((*path, "range"), f"must be auto, got {format_value(raw['range'])}.")
    elif key not in searchable():
        yield Mistake((*path, "range"), f"is only for hpo's own keys; give {key} choices, or low and high.")
    elif others := [name for name in _SHAPE if name in raw]:
        yield Mistake(path, f"must have either range: auto or its own range, got both ({', '.join(others)}).")


def _has_integers(key: str, shape: Mapping[str, Any]) -> bool:
    """Return whether the values are whole numbers.

    Each key of hpo defines this; an argument of a factory has whole numbers if its range is written with them.
    """
    if key in searchable():
        return checks.is_integer(key)
    return bool(shape) and all(
        isinstance(value, int) for name, value in shape.items() if name != "log" and value is not None
    )


def _parse_values(key: str, raw: Mapping[str, Any], path: Path) -> tuple[Hyperparameter | None, list[Mistake]]:
    """Parse the values of a key, without `when` and `prior`."""
    if wrong := list(checks.shape(key, raw, path)):
        return None, wrong
    shape = {name: raw[name] for name in ("low", "high", "log", "step") if name in raw}
    if shape.get("step") is not None:
        shape["high"] = last_step(**{name: shape[name] for name in ("low", "high", "step")})
    choices = tuple(raw.get("choices", ()))
    if all(is_number(choice) for choice in choices):
        values = Hyperparameter(
            choices, **shape, integer=_has_integers(key, shape), optional=raw.get("optional", False)
        )
    else:
        ordered = FAMILY[key].choices if key in FAMILY else choices
        values = Hyperparameter(
            tuple(c for c in ordered if Hyperparameter(choices).contains(c)), optional=raw.get("optional", False)
        )
    if raw.get("points") is None:
        return values, []
    points = tuple(
        dict.fromkeys(
            values.rounded(values.clip(values.from_unit(i / (raw["points"] - 1)))) for i in range(raw["points"])
        )
    )
    if len(points) < raw["points"]:
        text = f"must be at most {len(points)}, the number of different values, got {raw['points']}."
        return None, [Mistake((*path, "points"), text)]
    return replace(values, choices=points, low=0.0, high=0.0, log=False), []
