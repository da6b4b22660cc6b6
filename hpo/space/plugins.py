"""Plugins: modules whose regularizers are registered if the user names them, by `--plugin` or in Python.

A space file never names a module.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from types import ModuleType

from hpo.core.errors import InputError, describe_exception, truncate
from hpo.core.importing import import_module
from hpo.core.yaml_document import format_value
from hpo.regularizers import register, registered
from hpo.regularizers.base import HOOKS, Regularizer
from hpo.space import parser
from hpo.space.hyperparameter import is_number

LOADED: dict[str, tuple[str, ...]] = {}  # module name → names of its regularizers
_RNG_KINDS = ("layer", "parameter", "step")
# Augmented and generated rows are available to built-in regularizers only.
_NEEDS = ("classes", "image", "mlp", "target", "features", "auxiliary")


def load(names: Iterable[str], folder: Path) -> None:
    """Register all regularizers of these modules.

    The import path includes `folder`, that of the space file, and the working directory. Raises InputError if a module
    or a regularizer is invalid.
    """
    for name in names:
        if name not in LOADED:
            members = list(_members(import_module(name, folder, "plugin")))
            if not members:
                raise InputError(
                    f"plugin: {truncate(name)} contains no regularizer; define a class that derives from "
                    "hpo.regularizers.base.Regularizer."
                )
            for member in members:
                if text := first_problem(member):
                    raise InputError(f"plugin: {truncate(name)}.{type(member).__name__}{text}")
                if [other.name for other in members].count(member.name) > 1:
                    raise InputError(
                        f"plugin: {truncate(name)} contains two regularizers named {member.name}; rename one, "
                        "or start the name of a base class with _."
                    )
            register(members)
            LOADED[name] = tuple(member.name for member in members)


def loaded() -> list[str]:
    """Return the modules that are loaded in this process."""
    return list(LOADED)


def needed(searched: Iterable[str]) -> list[str]:
    """Return the loaded modules that define any of the `searched` keys."""
    searched = set(searched)
    return [module for module, members in LOADED.items() if searched & set(members)]


def members(searched: Iterable[str]) -> list[str]:
    """Return the keys among `searched` that a loaded module defines."""
    return [key for key in searched if any(key in names for names in LOADED.values())]


def require(names: Sequence[str], study: str) -> None:
    """Raise InputError unless these modules are loaded: a study does not import code that the user has not named."""
    if missing := [name for name in names if name not in LOADED]:
        flags = " ".join(f"--plugin {name}" for name in missing)
        raise InputError(
            f"The study {study} was searched with regularizers of plugins; name their modules again: {flags}"
        )


def _members(module: ModuleType) -> Iterator[Regularizer]:
    """Yield the regularizers of a module: its instances, and a new one of each class that has none in it."""
    public = [value for name, value in vars(module).items() if not name.startswith("_")]
    instances = [value for value in public if isinstance(value, Regularizer)]
    yield from instances
    for value in public:
        is_own = inspect.isclass(value) and issubclass(value, Regularizer) and value.__module__ == module.__name__
        if is_own and not any(type(instance) is value for instance in instances):
            try:
                yield value()
            except Exception as error:  # user code may raise anything
                raise InputError(
                    f"plugin: {module.__name__}.{value.__name__}() failed with {describe_exception(error)}."
                ) from error


def first_problem(member: Regularizer) -> str:
    """Check the attributes of a regularizer. Returns the end of a sentence, or "" if they are valid."""
    missing = [name for name in ("name", "summary", "source", "prior", "probe") if not hasattr(member, name)]
    if missing:
        return f" lacks {' and '.join(missing)}; see docs/extending.md."
    return next(_mistakes(member), "")


def _mistakes(member: Regularizer) -> Iterator[str]:
    if not isinstance(member.name, str) or not member.name.isidentifier():
        yield f".name: must be a name of letters, digits and _, got {format_value(member.name)}."
    elif member.name in parser.searchable():
        yield f".name: {member.name} is already a key of search; choose another name."
    if member.kind != "strength":
        yield f".kind: must be strength, the only kind that works by hooks alone, got {format_value(member.kind)}."
    if member.direction not in (1, 0, -1):
        got = format_value(member.direction)
        yield f".direction: must be 1, -1 or 0, the direction of more regularization, got {got}."
    if member.needs_rng not in (None, *_RNG_KINDS):
        yield f".needs_rng: must be one of {', '.join(_RNG_KINDS)}, got {format_value(member.needs_rng)}."
    if not isinstance(member.needs, tuple):
        yield f'.needs: must be a tuple, such as ("classes",), got {format_value(member.needs)}.'
    elif unknown := sorted(set(member.needs) - set(_NEEDS)):
        yield f".needs: may contain {', '.join(_NEEDS)}, got {', '.join(unknown)}."
    yield from _strengths(member)
    if all(getattr(type(member), hook) is getattr(Regularizer, hook) for hook in HOOKS):
        yield f" overrides no hook, so it does nothing; it may override {', '.join(HOOKS)}."


def _strengths(member: Regularizer) -> Iterator[str]:
    """Check the ranges of a regularizer."""
    for name, pair in (("allowed", member.allowed), ("probe", member.probe)):
        if not isinstance(pair, tuple | list) or len(pair) != 2 or not all(map(is_number, pair)):
            yield f".{name}: must be two numbers, got {format_value(pair)}."
            return
    if not isinstance(member.prior, Mapping):
        yield f".prior: must be a range or choices, written as in a space file, got {format_value(member.prior)}."
        return
    low, high = member.allowed
    for name, value in [("default_value", member.default_value), *(("probe", value) for value in member.probe)]:
        if not is_number(value) or not low <= value <= high:
            yield f".{name}: must be a number from {low:g} to {high:g} (allowed), got {format_value(value)}."
    if len(set(member.probe)) != 2:
        yield f".probe: must be two strengths that differ in effect, got {format_value(list(member.probe))}."
    with registered([member]):  # the default range is checked like one in a space file
        _, wrong = parser.parse(member.name, member.prior, ())
    yield from (f".prior: {mistake.text}" for mistake in wrong)
