"""One key under `search:` as a file says it: a fixed value, `auto`, a range or choices; parsed by every rule that it must keep."""

from __future__ import annotations

import keyword
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

from hpo.core.errors import did_you_mean
from hpo.core.yaml_document import Mistake, Path, format_value
from hpo.regularizers import FAMILY
from hpo.space import checks
from hpo.space.checks import AUTO
from hpo.space.hyperparameter import Hyperparameter, Prior, is_number, last_step

LEARNING_RATE = "learning_rate"
_USUAL = {"low": 1e-4, "high": 1e-1, "log": True}  # learning rates, of AdamW
_KEYS = ("low", "high", "log", "step", "points", "choices", "range", "optional", "when", "prior")
_SHAPE = ("low", "high", "log", "step", "points", "choices")


def searchable() -> tuple[str, ...]:
    """Every key that may stand under `search:`; a plugin adds its own."""
    return (LEARNING_RATE, *FAMILY)


def parse_strength(key: str, raw: Any, path: Path) -> tuple[Hyperparameter | None, list[Mistake]]:
    """The domain of a key of `search:`, or everything that is wrong with it."""
    if key in searchable():
        return parse(key, raw, path)
    return None, [
        Mistake(path, f"is not a regularizer.{did_you_mean(key, searchable(), ' List them with: hpo regularizers')}")
    ]


def parse_architecture(key: str, raw: Any, path: Path) -> tuple[Hyperparameter | None, list[Mistake]]:
    """The domain of an argument of a network's factory, or everything that is wrong with it."""
    if not key.isidentifier() or keyword.iskeyword(key):
        return None, [Mistake(path, "must be the name of an argument of the factory.")]
    if key in FAMILY and "mlp" in FAMILY[key].needs:
        return None, [
            Mistake(path, f"is searched with kind: mlp only, as search.{key}; name the factory's argument otherwise.")
        ]
    if key in searchable():
        return None, [Mistake(path, f"is a key of search, not of the network: write search.{key}.")]
    if key in ("n_inputs", "n_outputs", "image"):
        return None, [Mistake(path, "comes from the data, or is a key of network; it is not searched.")]
    if isinstance(raw, str | bool):
        return Hyperparameter(choices=(raw,)), []
    return parse(key, raw, path)


def parse(key: str, raw: Any, path: Path) -> tuple[Hyperparameter | None, list[Mistake]]:
    """The domain of one search key, or everything that is wrong with it."""
    if raw == AUTO and key in searchable():
        raw = {"range": AUTO}
    if not isinstance(raw, Mapping):
        wrong = [Mistake(path, text) for text in checks.fixed(key, raw)]
        return (None, wrong) if wrong else (Hyperparameter(choices=(raw,), integer=checks.is_integer(key)), [])
    wrong = [*_unknown(raw, path), *_range_rules(key, raw, path)]
    found = None
    if not wrong or "range" not in raw:
        found, more = _shaped(key, {**(usual(key) if "range" in raw else {}), **raw}, path)
        wrong += more
    wrong += checks.extras(key, raw, found, path)
    if wrong or found is None:
        return None, wrong
    when = tuple((str(other), _values(values)) for other, values in raw.get("when", {}).items())
    prior = raw.get("prior")
    if prior is not None:
        best = prior["best"] if prior["best"] == "off" else found.clip(prior["best"])
        prior = Prior(best, prior.get("confidence", "medium"))
    return replace(found, when=when, prior=prior), []


def usual(key: str) -> dict[str, Any]:
    """What `auto` stands for."""
    return dict(_USUAL if key == LEARNING_RATE else FAMILY[key].prior)


def _values(values: Any) -> tuple[Any, ...]:
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
        yield Mistake((*path, "range"), f"is of our own regularizers; give {key} choices, or low and high.")
    elif others := [name for name in _SHAPE if name in raw]:
        yield Mistake(path, f"takes range: auto or a range of its own, got both ({', '.join(others)}).")


def _whole(key: str, shape: Mapping[str, Any]) -> bool:
    """Whether its values are whole numbers: those of our own keys by what they are, a factory's if its range is written in such."""
    if key in searchable():
        return checks.is_integer(key)
    return bool(shape) and all(
        isinstance(value, int) for name, value in shape.items() if name != "log" and value is not None
    )


def _shaped(key: str, raw: Mapping[str, Any], path: Path) -> tuple[Hyperparameter | None, list[Mistake]]:
    """The values themselves, without what hangs on them."""
    if wrong := list(checks.shape(key, raw, path)):
        return None, wrong
    shape = {name: raw[name] for name in ("low", "high", "log", "step") if name in raw}
    if shape.get("step") is not None:
        shape["high"] = last_step(**{name: shape[name] for name in ("low", "high", "step")})
    choices = tuple(raw.get("choices", ()))
    if all(is_number(choice) for choice in choices):
        found = Hyperparameter(choices, **shape, integer=_whole(key, shape), optional=raw.get("optional", False))
    else:
        ordered = FAMILY[key].choices if key in FAMILY else choices
        found = Hyperparameter(
            tuple(c for c in ordered if Hyperparameter(choices).contains(c)), optional=raw.get("optional", False)
        )
    if raw.get("points") is None:
        return found, []
    listed = tuple(
        dict.fromkeys(found.rounded(found.clip(found.from_unit(i / (raw["points"] - 1)))) for i in range(raw["points"]))
    )
    if len(listed) < raw["points"]:
        text = f"must be at most the number of different values, {len(listed)} here, got {raw['points']}."
        return None, [Mistake((*path, "points"), text)]
    return replace(found, choices=listed, low=0.0, high=0.0, log=False), []
