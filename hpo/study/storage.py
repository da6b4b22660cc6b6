"""The persistent storage of a study: the interface that `Study` uses, and the class for each kind of location.

A storage is written when a trial is proposed and when it ends, never in between. To add a class, write a module
`hpo/study/NAME_storage.py` with a class that has the methods of `StudyStorage` (`hpo.study.optuna_storage` has most of
them, for any Optuna storage) and a dict `STORAGES`: `{scheme: class}`. The module is found by its name.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, Protocol

from optuna.study import StudyDirection
from optuna.trial import FrozenTrial

import hpo.study
from hpo.core.errors import InputError
from hpo.core.trial import Outcome

SCHEMA = 2  # the version of the stored attributes and outcomes; a study of another version cannot be read


class StudyStorage(Protocol):
    """One stored study. Attributes and outcomes are JSON values; trials are numbered from 0 in the order of
    `add_trial`."""

    def exists(self) -> bool:
        """Whether the study has been created; until then, `attrs` and `trials` are empty."""

    def create(self, name: str, directions: Sequence[StudyDirection], attrs: Mapping[str, Any]) -> None:
        """Create the study with its first attributes, in one batch."""

    def batch(self) -> AbstractContextManager[None]:
        """Group writes: all of them are stored when the context ends, none of them if it ends with an exception."""

    def close(self) -> None:
        """Write what is buffered and release the resources; the storage is not used afterwards."""

    def attrs(self) -> dict[str, Any]:
        """The attributes of the study, in any order."""

    def get_attr(self, key: str) -> Any:
        """One attribute of the study, or None."""

    def set_attr(self, key: str, value: Any) -> None:
        """Store an attribute of the study; an earlier value is replaced."""

    def sampler_attrs(self) -> dict[str, Any]:
        """The attributes that samplers store with the study, such as their position in a sequence."""

    def set_sampler_attrs(self, attrs: Mapping[str, Any]) -> None:
        """Store the attributes of samplers; only those that have changed are written."""

    def trials(self) -> list[FrozenTrial]:
        """The proposed trials by number. Their user attributes are those given to `add_trial` and, once a trial has
        ended, `outcome` and perhaps `sampler_attrs`, as `finish_trial` stored them."""

    def add_trial(self, trial: FrozenTrial, attrs: Mapping[str, Any]) -> None:
        """Store a proposed trial, with `attrs` as its user attributes."""

    def finish_trial(self, number: int, outcome: Outcome, sampler_attrs: Mapping[str, Any]) -> None:
        """Store the outcome of a proposed trial, and the attributes that sampler and pruner have set since its
        proposal."""


def _find_storages() -> dict[str, Callable[..., StudyStorage]]:
    """Collect `STORAGES` of all modules of this package whose names end with `_storage`."""
    names = [m.name for m in pkgutil.iter_modules(hpo.study.__path__) if m.name.endswith("_storage")]
    modules = [importlib.import_module(f"hpo.study.{name}") for name in names]
    return {scheme: cls for module in modules for scheme, cls in getattr(module, "STORAGES", {}).items()}


# The class for each scheme of a location: the scheme of a URL `scheme://…`, or "file" for a path.
STORAGES = _find_storages()


def open_storage(location: Path | str, *, writable: bool = True) -> StudyStorage:
    """Open the study at `location`; if there is none yet, `StudyStorage.create` creates it.

    A storage that is not `writable` may be opened while another process writes to the study. Raises InputError for a
    scheme without a storage.
    """
    scheme = str(location).partition("://")[0] if "://" in str(location) else "file"
    if scheme not in STORAGES:
        raise InputError(f"{location} cannot hold a study: no storage for {scheme}. Known: {', '.join(STORAGES)}.")
    return STORAGES[scheme](location, writable=writable)


def read_attrs(location: Path | str) -> dict[str, Any]:
    """Read the attributes of a study, which another process may be searching; {} if it does not exist yet.

    The key `outcomes` lists the outcomes of all trials that have ended, as JSON.
    """
    storage = open_storage(location, writable=False)
    attrs = storage.attrs()
    if attrs:
        attrs["outcomes"] = [t.user_attrs["outcome"] for t in storage.trials() if "outcome" in t.user_attrs]
        attrs["outcomes"] += [data for key, data in attrs.items() if key.startswith("outcome:")]
    return attrs
