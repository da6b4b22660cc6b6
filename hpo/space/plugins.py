"""Somebody's own regularizers: modules that join the family when they are named, by `--plugin` or in Python, never by a space file."""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from types import ModuleType

from hpo.core.errors import InputError, describe_exception, truncate
from hpo.core.importing import imported
from hpo.core.yaml_document import format_value
from hpo.regularizers import register, registered
from hpo.regularizers.base import Regularizer
from hpo.space import parser
from hpo.space.hyperparameter import is_number

_LOADED: dict[str, tuple[str, ...]] = {}  # modules, and the members that each brought
_DRAWS = ("layer", "parameter", "step")
_NEEDS = (
    "classes",
    "image",
    "mlp",
    "target",
    "features",
    "auxiliary",
)  # banks of altered and generated rows are made for our own alone
_HOOKS = [name for name, value in vars(Regularizer).items() if inspect.isfunction(value)]


def load(names: Iterable[str], folder: Path) -> None:
    """Has every regularizer of these modules join the family; a module is looked for beside the space file, `folder`, and in the
    working directory, too. Raises InputError."""
    for name in names:
        if name not in _LOADED:
            members = list(_members(imported(name, folder, "plugin")))
            if not members:
                raise InputError(
                    f"plugin: {truncate(name)} holds no regularizer; give it a class that derives from hpo.regularizers.base.Regularizer."
                )
            for member in members:
                if text := first_problem(member):
                    raise InputError(f"plugin: {truncate(name)}.{type(member).__name__}{text}")
                if [one.name for one in members].count(member.name) > 1:
                    text = f"holds two regularizers named {member.name}; rename one, or begin the name of a mere base class with _."
                    raise InputError(f"plugin: {truncate(name)} {text}")
            register(members)
            _LOADED[name] = tuple(member.name for member in members)


def loaded() -> list[str]:
    """The modules that were loaded in this process."""
    return list(_LOADED)


def needed(searched: Iterable[str]) -> list[str]:
    """The modules that brought any of these keys."""
    searched = set(searched)
    return [module for module, members in _LOADED.items() if searched & set(members)]


def members(searched: Iterable[str]) -> list[str]:
    """Those of these keys that a module brought."""
    return [key for key in searched if any(key in brought for brought in _LOADED.values())]


def require(names: Sequence[str], study: str) -> None:
    """Raises InputError unless these modules were loaded: a study does not import code by itself, either."""
    if lacking := [name for name in names if name not in _LOADED]:
        flags = " ".join(f"--plugin {name}" for name in lacking)
        raise InputError(
            f"The study {study} was searched with regularizers from outside; name their modules again: {flags}"
        )


def _members(module: ModuleType) -> Iterator[Regularizer]:
    """Every regularizer that a module defines: its instances, and its classes that have none there."""
    public = [value for name, value in vars(module).items() if not name.startswith("_")]
    made = [value for value in public if isinstance(value, Regularizer)]
    yield from made
    for value in public:
        own = inspect.isclass(value) and issubclass(value, Regularizer) and value.__module__ == module.__name__
        if own and not any(type(one) is value for one in made):
            try:
                yield value()
            except Exception as error:  # whatever somebody's constructor does
                raise InputError(
                    f"plugin: {module.__name__}.{value.__name__}() failed with {describe_exception(error)}."
                ) from error


def first_problem(member: Regularizer) -> str:
    """What is wrong with the facts of a member, as the end of a sentence; "" if nothing is."""
    lacking = [name for name in ("name", "summary", "source", "prior", "probe") if not hasattr(member, name)]
    if lacking:
        return f" lacks {' and '.join(lacking)}; see docs/extending.md."
    return next(_mistakes(member), "")


def _mistakes(member: Regularizer) -> Iterator[str]:
    if not isinstance(member.name, str) or not member.name.isidentifier():
        yield f".name: must be a name of letters, digits and _, got {format_value(member.name)}."
    elif member.name in parser.searchable():
        yield f".name: {member.name} is a key of search already; take another name."
    if member.kind != "strength":
        yield f".kind: must be strength, for only those act by hooks alone, got {format_value(member.kind)}."
    if member.direction not in (1, 0, -1):
        yield f".more: must be 1, -1 or 0, the direction that is more regularized, got {format_value(member.direction)}."
    if member.needs_rng not in (None, *_DRAWS):
        yield f".needs_rng: must be one of {', '.join(_DRAWS)}, got {format_value(member.needs_rng)}."
    if not isinstance(member.needs, tuple):
        yield f'.needs: must be a tuple, such as ("classes",), got {format_value(member.needs)}.'
    elif strange := sorted(set(member.needs) - set(_NEEDS)):
        yield f".needs: may hold {', '.join(_NEEDS)}, got {', '.join(strange)}."
    yield from _strengths(member)
    if all(getattr(type(member), hook) is getattr(Regularizer, hook) for hook in _HOOKS):
        yield f" overrides no hook, so it does nothing; it may override {', '.join(_HOOKS)}."


def _strengths(member: Regularizer) -> Iterator[str]:
    """What is wrong with the numbers that it names."""
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
    with registered([member]):  # its default range is judged as a file's is
        _, wrong = parser.parse(member.name, member.prior, ())
    yield from (f".prior: {one.text}" for one in wrong)
