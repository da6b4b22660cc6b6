"""Reading a space: every mistake at once, with file, line and key, in sentences."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, get_args

from pydantic import ValidationError

from hpo.core import yaml_document
from hpo.core.errors import InputError, SpaceError, did_you_mean
from hpo.core.yaml_document import Mistake, dotted, format_value
from hpo.space.space import Space

_MOST_BYTES = 1_000_000


def load(path: Path) -> Space:
    """Reads a space file. Raises SpaceError with every mistake at once, InputError if there is no such file."""
    try:
        if path.stat().st_size > _MOST_BYTES:
            raise InputError(f"{path} is larger than a space may be (1 MB); name a space file, not the data.")
        text = path.read_bytes().decode("utf-8-sig")
    except FileNotFoundError as error:
        raise InputError(f"{path} does not exist; name a space file, or write one with: hpo init DATA.csv") from error
    except IsADirectoryError as error:
        raise InputError(f"{path} is a directory; name the space file in it.") from error
    except UnicodeDecodeError as error:
        line, byte = error.object.count(b"\n", 0, error.start) + 1, error.object[error.start]
        raise InputError(f"{path} must be text in UTF-8, but line {line} holds the byte {byte:#04x}.") from error
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror}.") from error
    found = yaml_document.parse(text)
    mistakes = list(found.mistakes)
    space = None
    if found.value is not None:  # the form of the whole is sound, so its content can be judged too
        space, wrong = _validate(found.value)
        mistakes += [m for m in wrong if not any(path[: len(m.path)] == m.path for path in found.unread)]
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
        return None, [Mistake((), f"a space must be a mapping with study, data and search, got {format_value(raw)}.")]
    space, mistakes = _judge(raw)
    wrong = {m.path[:1] for m in mistakes}
    if wrong and not wrong & {("search",), ("budget",)}:  # what must hold between those is judged all the same
        sound = {key: value for key, value in raw.items() if key in Space.model_fields and (key,) not in wrong}
        _, more = _judge({"study": "any", "data": {"source": "sklearn:iris"}, **sound})
        mistakes += [m for m in more if m not in mistakes]
    return space, mistakes


def _judge(raw: Mapping[str, Any]) -> tuple[Space | None, list[Mistake]]:
    try:
        return Space.model_validate(raw), []
    except ValidationError as error:
        return None, [mistake for found in error.errors() for mistake in _translate(found)]


def _sentence(mistake: Mistake) -> str:
    if not mistake.path:
        return mistake.text
    return f"{dotted(mistake.path)}{' ' if mistake.text.startswith('is ') else ': '}{mistake.text}"


def _translate(error: Any) -> list[Mistake]:
    """One of pydantic's errors in our words."""
    kind, context = error["type"], error.get("ctx", {})
    if kind == "mistakes":
        return list(context["mistakes"])
    path, got = tuple(error["loc"]), format_value(error["input"])
    parent = dotted(path[:-1]) or "a space"
    if kind == "extra_forbidden":
        return [Mistake(path, f"is not a key of {parent}.{did_you_mean(str(path[-1]), _keys(path[:-1]))}")]
    if kind == "literal_error":
        options = [part.strip("' ") for part in context["expected"].replace(" or ", ", ").split(", ")]
        return [Mistake(path, f"{got} is not known.{did_you_mean(str(error['input']), options)}")]
    if kind == "value_error":
        return [Mistake(path, str(context["error"]))]
    quotes = "; put it in quotes" if isinstance(error["input"], int | float) else ""
    texts = {
        "missing": f"is missing; {parent} needs it.",
        "int_type": f"must be a whole number, got {got}.",
        "float_type": f"must be a number, got {got}.",
        "bool_type": f"must be true or false, got {got}.",
        "too_short": f"must hold at least one, got {got}.",
        "string_type": f"must be text, got {got}{quotes}.",
        "list_type": f"must be a list, got {got}.",
        "dict_type": f"must be a mapping, got {got}.",
        "model_type": f"must be a mapping, got {got}.",
        "finite_number": f"must be finite, got {got}.",
        "greater_than": f"must be above {_bound(context.get('gt'))}, got {got}.",
        "greater_than_equal": f"must be at least {_bound(context.get('ge'))}, got {got}.",
        "less_than": f"must be below {_bound(context.get('lt'))}, got {got}.",
        "less_than_equal": f"must be at most {_bound(context.get('le'))}, got {got}.",
        "string_pattern_mismatch": f"may hold letters, digits and . _ - only, at most 100 of them, got {got}.",
    }
    return [Mistake(path, texts.get(kind, f"{error['msg']}, got {got}."))]


def _bound(value: float | None) -> str:
    return "" if value is None else f"{int(value):,}"  # every bound of a space is a whole number


def _keys(path: yaml_document.Path) -> list[str]:
    """The keys that a mapping of the space may hold."""
    model: Any = Space
    for part in path:
        annotation = model.model_fields[part].annotation
        model = (get_args(annotation) or (annotation,))[0]  # a section, or one that may be left out
    return list(model.model_fields)
