"""Somebody's code, imported by its name; and somebody's function, asked for what its signature names."""

from __future__ import annotations

import functools
import importlib
import inspect
import pickle
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

from hpo.core.errors import InputError, describe_exception, did_you_mean, truncate

Factory = Callable[..., Any]


def is_name(name: str) -> bool:
    """Whether it has the form package.module:function."""
    module, _, function = name.partition(":")
    return all(part.isidentifier() for text in (module, function) for part in text.split("."))


def import_object(name: str, folder: Path, key: str = "network.factory", returns: str = "a torch.nn.Module") -> Factory:
    """The function `package.module:function`, looked for beside the space file and in the working directory, too. `key` is where the
    space names it. Raises InputError."""
    where, _, what = name.partition(":")
    module = imported(where, folder, key)
    try:
        found: Any = functools.reduce(getattr, what.split("."), module)
    except AttributeError as error:
        known = [name for name, value in vars(module).items() if callable(value) and not name.startswith("_")]
        raise InputError(f"{key}: {where} has no {truncate(what)}.{did_you_mean(what, known)}") from error
    if not callable(found):
        raise InputError(f"{key}: {truncate(name)} must be a function that returns {returns}, got {truncate(found)}.")
    return found  # type: ignore[no-any-return]


def imported(where: str, folder: Path, key: str) -> ModuleType:
    """The module of that name, looked for beside the space file, in `folder`, and in the working directory, too. Raises InputError
    about `key`, which named it."""
    for place in (str(folder.resolve()), str(Path.cwd())):
        if place not in sys.path:
            sys.path.append(place)
    try:
        return importlib.import_module(where)
    except ModuleNotFoundError as error:
        if error.name is not None and (where == error.name or where.startswith(f"{error.name}.")):
            raise InputError(
                f"{key}: there is no {truncate(error.name)} to import; it must be in the space file's folder, in the working "
                f"directory, or installed."
            ) from error
        raise _failed(where, error, key) from error
    except Exception as error:  # whatever somebody's file does when it is imported
        raise _failed(where, error, key) from error


def _failed(where: str, error: Exception, key: str) -> InputError:
    return InputError(f"{key}: importing {truncate(where)} failed with {describe_exception(error)}.")


def qualified_name(factory: Factory) -> str:
    return f"{factory.__module__}:{getattr(factory, '__qualname__', type(factory).__qualname__)}"


def is_importable(factory: Factory) -> bool:
    """Whether another process can find it by its name."""
    try:
        pickle.dumps(factory)
    except (pickle.PicklingError, AttributeError, TypeError):
        return False
    return getattr(factory, "__module__", None) != "__main__"


def match_arguments(
    factory: Factory, offered: Mapping[str, Any], asked: Mapping[str, str]
) -> tuple[tuple[str, Any], ...]:
    """Those of `offered` that the factory's signature names. `asked` are the keys of the space that it must name, with
    where they stand. Raises InputError."""
    parameters = inspect.signature(factory).parameters
    open_ended = any(p.kind is p.VAR_KEYWORD for p in parameters.values())
    named = [name for name, p in parameters.items() if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)]
    what = getattr(factory, "__name__", type(factory).__name__)
    for key, path in asked.items():
        if key not in named and not open_ended:
            raise InputError(f"{path}: {what} takes no {key}; it takes {', '.join(named) or 'nothing'}.")
    for key in named:
        if key not in offered and parameters[key].default is inspect.Parameter.empty:
            where = (
                f"search.{key}"
                if key in ("depth", "width")
                else f"network.{key}"
                if key == "image"
                else f"network.search.{key}"
            )
            raise InputError(f"network.factory: {what} needs {key}, which nothing sets; set {where}.")
    return tuple((key, value) for key, value in offered.items() if key in named or (open_ended and key in asked))
