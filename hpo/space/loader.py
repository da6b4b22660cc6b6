"""Read a space: all mistakes are reported at once, one sentence each, with file, line and key."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Any, get_args

from pydantic import ValidationError

from hpo.core import yaml_document
from hpo.core.errors import InputError, SpaceError, did_you_mean
from hpo.core.yaml_document import Mistake, dotted, format_value
from hpo.data.readers import is_readable
from hpo.space.space import Space

_MAX_BYTES = 1_000_000


def load(path: Path, changes: Mapping[str, Any] | None = None) -> Space:
    """Read a space file; `changes` are sections that replace those of the file.

    Raises SpaceError with all mistakes, InputError if the file cannot be read.
    """
    try:
        size = path.stat().st_size
        if is_readable(path.name) and path.is_file():
            written = shlex.quote(str(path))
            raise InputError(f"{path} is a data file; to write a space file for this table: hpo init {written}")
        if size > _MAX_BYTES:
            raise InputError(
                f"{path} is larger than 1 MB, the limit of a space file; name the space file, not the data."
            )
        text = path.read_bytes().decode("utf-8-sig")
    except FileNotFoundError as error:
        raise InputError(f"{path} does not exist; name a space file, or write one with: hpo init DATA.csv") from error
    except IsADirectoryError as error:
        raise InputError(f"{path} is a directory; name the space file in it.") from error
    except UnicodeDecodeError as error:
        line, byte = error.object.count(b"\n", 0, error.start) + 1, error.object[error.start]
        raise InputError(f"{path} must be text in UTF-8, but line {line} contains the byte {byte:#04x}.") from error
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror}.") from error
    document = yaml_document.parse(text)
    mistakes = list(document.mistakes)
    space = None
    if document.value is not None:
        space, wrong = _validate(_with_changes(document.value, changes or {}))
        mistakes += [m for m in wrong if not any(path[: len(m.path)] == m.path for path in document.unreadable)]
    if mistakes or space is None:
        placed = sorted(((m.line or document.line(m.path), m) for m in mistakes), key=lambda pair: pair[0])
        raise SpaceError([f"{path.name}:{line}: {_sentence(m)}" for line, m in placed])
    return space


def parse(raw: Mapping[str, Any]) -> Space:
    """Return the space that a mapping describes. Raises SpaceError with all mistakes."""
    space, mistakes = _validate(raw)
    if space is None:
        raise SpaceError([_sentence(m) for m in mistakes])
    return space


def _with_changes(raw: Any, changes: Mapping[str, Any]) -> Any:
    return {**raw, **changes} if isinstance(raw, Mapping) else raw


def _validate(raw: Any) -> tuple[Space | None, list[Mistake]]:
    if not isinstance(raw, Mapping):
        return None, [Mistake((), f"a space must be a mapping with study, data and search, got {format_value(raw)}.")]
    space, mistakes = _parse(raw)
    wrong = {m.path[:1] for m in mistakes}
    if wrong and not wrong & {("search",), ("budget",)}:  # check the rules between these two sections as well
        valid = {key: value for key, value in raw.items() if key in Space.model_fields and (key,) not in wrong}
        _, more = _parse({"study": "any", "data": {"source": "sklearn:iris"}, **valid})
        mistakes += [m for m in more if m not in mistakes]
    return space, mistakes


def _parse(raw: Mapping[str, Any]) -> tuple[Space | None, list[Mistake]]:
    try:
        return Space.model_validate(raw), []
    except ValidationError as error:
        return None, [mistake for details in error.errors() for mistake in _translate(details)]


def _sentence(mistake: Mistake) -> str:
    if not mistake.path:
        return mistake.text
    return f"{dotted(mistake.path)}{' ' if mistake.text.startswith('is ') else ': '}{mistake.text}"


def _translate(error: Any) -> list[Mistake]:
    """Translate an error of pydantic into mistakes with one sentence each."""
    kind, context = error["type"], error.get("ctx", {})
    if kind == "mistakes":
        return list(context["mistakes"])
    path, got = tuple(error["loc"]), format_value(error["input"])
    parent = dotted(path[:-1]) or "a space file"
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
        "too_short": f"must contain at least one value, got {got}.",
        "string_type": f"must be text, got {got}{quotes}.",
        "list_type": f"must be a list, got {got}.",
        "dict_type": f"must be a mapping, got {got}.",
        "model_type": f"must be a mapping, got {got}.",
        "finite_number": f"must be finite, got {got}.",
        "greater_than": f"must be above {_bound(context.get('gt'))}, got {got}.",
        "greater_than_equal": f"must be at least {_bound(context.get('ge'))}, got {got}.",
        "less_than": f"must be below {_bound(context.get('lt'))}, got {got}.",
        "less_than_equal": f"must be at most {_bound(context.get('le'))}, got {got}.",
        "string_pattern_mismatch": f"may contain only letters, digits and . _ -, at most 100 of them, got {got}.",
    }
    return [Mistake(path, texts.get(kind, f"{error['msg']}, got {got}."))]


def _bound(value: float | None) -> str:
    return "" if value is None else f"{int(value):,}"  # all bounds of a space are whole numbers


def _keys(path: yaml_document.Path) -> list[str]:
    """The keys that the section at `path` may contain."""
    model: Any = Space
    for part in path:
        annotation = model.model_fields[part].annotation
        model = (get_args(annotation) or (annotation,))[0]  # a section, or an optional one
    return list(model.model_fields)
