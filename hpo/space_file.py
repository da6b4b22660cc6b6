"""Reading a space: every mistake at once, with file, line and key, in sentences."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from hpo import document
from hpo.document import Mistake, dotted
from hpo.errors import InputError, SpaceError, cut, did_you_mean
from hpo.space import Space


def load(path: Path) -> Space:
    """Reads a space file. Raises SpaceError with every mistake at once, InputError if there is no such file."""
    if path.is_dir():
        raise InputError(f"{path} is a directory; name the space file in it.")
    try:
        text = path.read_bytes().decode("utf-8-sig")
    except FileNotFoundError as error:
        raise InputError(f"{path} does not exist; name a space file, or write one with: hpo init DATA.csv") from error
    except UnicodeDecodeError as error:
        raise InputError(f"{path} must be text in UTF-8; byte {error.start} is not.") from error
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror}.") from error
    found = document.parse(text)
    mistakes = list(found.mistakes)
    space = None
    if all(m.path for m in mistakes):  # the form of the whole is sound, so its content can be judged too
        space, wrong = _validate(found.value)
        mistakes += wrong
    if mistakes or space is None:
        placed = sorted(((m.line or found.line(m.path), m) for m in mistakes), key=lambda pair: pair[0])
        raise SpaceError([f"{path.name}:{line}: {_sentence(m)}" for line, m in placed])
    return space


def parse(raw: Mapping[str, Any]) -> Space:
    """A space from a mapping, as from Python. Raises SpaceError with every mistake at once."""
    space, mistakes = _validate(raw)
    if space is None:
        raise SpaceError([_sentence(m) for m in mistakes])
    return space


def _validate(raw: Any) -> tuple[Space | None, list[Mistake]]:
    if not isinstance(raw, Mapping):
        return None, [Mistake((), f"a space must be a mapping with study, data and search, got {cut(raw)}.")]
    try:
        return Space.model_validate(raw), []
    except ValidationError as error:
        return None, [mistake for found in error.errors() for mistake in _translate(found)]


def _sentence(mistake: Mistake) -> str:
    if not mistake.path or mistake.text.startswith(dotted(mistake.path)):
        return mistake.text
    glue = " " if mistake.text.startswith("is ") else ": "
    return f"{dotted(mistake.path)}{glue}{mistake.text}"


def _translate(error: Any) -> list[Mistake]:
    """One of pydantic's errors in our words."""
    kind, context = error["type"], error.get("ctx", {})
    if kind == "mistakes":
        return list(context["mistakes"])
    path, got = tuple(error["loc"]), cut(error["input"])
    name = str(path[-1]) if path else ""
    parent = dotted(path[:-1]) or "a space"
    model = _keys(path[:-1])
    texts = {
        "missing": f"is missing; {parent} needs it.",
        "extra_forbidden": f"is not a key of {parent}.{did_you_mean(name, model)}",
        "int_type": f"must be a whole number, got {got}.",
        "float_type": f"must be a number, got {got}.",
        "bool_type": f"must be true or false, got {got}.",
        "string_type": f"must be text, got {got}.",
        "list_type": f"must be a list, got {got}.",
        "dict_type": f"must be a mapping, got {got}.",
        "model_type": f"must be a mapping, got {got}.",
        "finite_number": f"must be finite, got {got}.",
        "greater_than": f"must be above {context.get('gt')}, got {got}.",
        "greater_than_equal": f"must be at least {context.get('ge')}, got {got}.",
        "less_than": f"must be below {context.get('lt')}, got {got}.",
        "less_than_equal": f"must be at most {context.get('le')}, got {got}.",
        "string_pattern_mismatch": f"may hold letters, digits and . _ - only, at most 100 of them, got {got}.",
    }
    if kind == "literal_error":
        options = [part.strip("' ") for part in context["expected"].replace(" or ", ", ").split(", ")]
        return [Mistake(path, f"{got} is not known.{did_you_mean(str(error['input']), options)}")]
    if kind == "value_error":
        return [Mistake(path, str(context["error"]))]
    return [Mistake(path, texts.get(kind, f"{error['msg']}, got {got}."))]


def _keys(path: document.Path) -> list[str]:
    """The keys that a mapping of the space may hold."""
    model: Any = Space
    for part in path:
        model = model.model_fields[part].annotation
    return list(model.model_fields)
