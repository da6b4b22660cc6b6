"""Import user code by `module:function`, and match arguments to its signature."""

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


def is_object_name(name: str) -> bool:
    """Return whether a name has the form `package.module:function`."""
    module, _, function = name.partition(":")
    return all(part.isidentifier() for text in (module, function) for part in text.split("."))


def import_object(name: str, folder: Path, key: str = "network.factory", returns: str = "a torch.nn.Module") -> Factory:
    """Import the function `package.module:function`.

    The module may also lie in `folder`, the folder of the space file, or in the working directory. `key` is the key of
    the space file that names the function. Raises InputError.
    """
    module_name, _, path = name.partition(":")
    module = import_module(module_name, folder, key)
    try:
        function: Any = functools.reduce(getattr, path.split("."), module)
    except AttributeError as error:
        known = [name for name, value in vars(module).items() if callable(value) and not name.startswith("_")]
        raise InputError(f"{key}: {module_name} has no {truncate(path)}.{did_you_mean(path, known)}") from error
    if not callable(function):
        raise InputError(
            f"{key}: {truncate(name)} must be a function that returns {returns}, got {truncate(function)}."
        )
    return function  # type: ignore[no-any-return]  # checked above


def import_module(name: str, folder: Path, key: str) -> ModuleType:
    """Import a module, which may also lie in `folder`, the folder of the space file, or in the working directory.

    Raises InputError about `key`, the key of the space file that names the module.
    """
    for directory in (str(folder.resolve()), str(Path.cwd())):
        if directory not in sys.path:
            sys.path.append(directory)
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name is not None and (name == error.name or name.startswith(f"{error.name}.")):
            raise InputError(
                f"{key}: there is no {truncate(error.name)} to import; it must be in the space file's folder, in the "
                f"working directory, or installed."
            ) from error
        raise _import_error(name, error, key) from error
    except Exception as error:  # user code may raise anything on import
        raise _import_error(name, error, key) from error


def _import_error(name: str, error: Exception, key: str) -> InputError:
    return InputError(f"{key}: importing {truncate(name)} failed with {describe_exception(error)}.")


def qualified_name(factory: Factory) -> str:
    """Return the name of a function as `package.module:function`."""
    return f"{factory.__module__}:{getattr(factory, '__qualname__', type(factory).__qualname__)}"


def is_importable(factory: Factory) -> bool:
    """Return whether another process can import the function by its name."""
    try:
        pickle.dumps(factory)
    except (pickle.PicklingError, AttributeError, TypeError):
        return False
    return getattr(factory, "__module__", None) != "__main__"


def match_arguments(
    factory: Factory, available: Mapping[str, Any], required: Mapping[str, str]
) -> tuple[tuple[str, Any], ...]:
    """Return those `available` arguments that the signature of the factory names, as (name, value) pairs.

    `required` maps keys of the space file, which the signature must accept, to their paths in the file. Raises
    InputError if the signature does not accept one of them, or if the factory needs an argument that is not available.
    """
    parameters = inspect.signature(factory).parameters
    takes_any = any(p.kind is p.VAR_KEYWORD for p in parameters.values())
    accepted = [name for name, p in parameters.items() if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)]
    name = getattr(factory, "__name__", type(factory).__name__)
    for key, path in required.items():
        if key not in accepted and not takes_any:
            raise InputError(f"{path}: {name} takes no {key}; it takes {', '.join(accepted) or 'nothing'}.")
    for key in accepted:
        if key not in available and parameters[key].default is inspect.Parameter.empty:
            raise InputError(f"network.factory: {name} needs {key}, which nothing sets; set {_path_of(key)}.")
    return tuple((key, value) for key, value in available.items() if key in accepted or (takes_any and key in required))


def _path_of(argument: str) -> str:
    """Return the key of the space file that sets an argument of the network factory."""
    if argument in ("depth", "width"):
        return f"search.{argument}"
    return "network.image" if argument == "image" else f"network.search.{argument}"
