"""The durable copy of a study: Optuna's journal storage, written when a trial is proposed and when it has ended."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

from optuna.storages import JournalStorage
from optuna.storages.journal import BaseJournalBackend
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState

from hpo.core.trial import Outcome
from hpo.study.journal import Journal

_STATES = {"complete": TrialState.COMPLETE, "pruned": TrialState.PRUNED, "failed": TrialState.FAIL}


class _Backend(Journal, BaseJournalBackend):
    pass


class StudyStorage:
    """One study in one journal. What is written inside `batch` reaches the disk whole or not at all."""

    def __init__(self, path: Path, *, writable: bool = True) -> None:
        self._journal = _Backend(path, writable=writable)
        self._storage = JournalStorage(self._journal)
        studies = self._storage.get_all_studies()
        self._id = self._storage.get_study_id_from_name(studies[0].study_name) if studies else None

    def exists(self) -> bool:
        return self._id is not None

    def create(self, name: str, directions: Sequence[StudyDirection], attrs: Mapping[str, Any]) -> None:
        """The first record: the study, and what it remembers from the start."""
        with self.batch():
            self._id = self._storage.create_new_study(directions, name)
            for key, value in attrs.items():
                self.set_attr(key, value)

    def batch(self) -> AbstractContextManager[None]:
        return self._journal.batch()

    def close(self) -> None:
        self._journal.close()

    # ---- values of ours, and of the sampler

    def set_attr(self, key: str, value: Any) -> None:
        self._storage.set_study_user_attr(self._study, key, value)

    def get_attr(self, key: str) -> Any:
        return self.attrs().get(key)

    def attrs(self) -> dict[str, Any]:
        return dict(self._storage.get_study_user_attrs(self._study)) if self.exists() else {}

    def sampler_attrs(self) -> dict[str, Any]:
        return dict(self._storage.get_study_system_attrs(self._study))

    def set_sampler_attrs(self, attrs: Mapping[str, Any]) -> None:
        """What samplers keep in the study, such as the place in a sequence."""
        known = self.sampler_attrs()
        for key, value in attrs.items():
            if known.get(key) != value:
                self._storage.set_study_system_attr(self._study, key, value)

    # ---- trials

    def trials(self) -> list[FrozenTrial]:
        return self._storage.get_all_trials(self._study, deepcopy=False) if self.exists() else []

    def add_trial(self, trial: FrozenTrial, attrs: Mapping[str, Any]) -> None:
        """A trial that begins, with its parameters and `attrs` of ours; trials come in the order of their numbers."""
        begins = copy.copy(trial)
        begins.user_attrs = dict(attrs)
        self._storage.create_new_trial(self._study, template_trial=begins)

    def finish_trial(self, number: int, outcome: Outcome, noted: Mapping[str, Any]) -> None:
        """A proposed trial as it ended: its outcome, and what is `noted` in it beside what was when it was proposed."""
        trial_id = self._storage.get_trial_id_from_study_id_trial_number(self._study, number)
        known = self._storage.get_trial(trial_id).system_attrs
        self._storage.set_trial_user_attr(trial_id, "outcome", outcome.to_json())
        if new := {key: value for key, value in noted.items() if known.get(key) != value}:
            self._storage.set_trial_user_attr(trial_id, "noted", new)
        values = None if outcome.state == "failed" else list(outcome.values.values()) or None
        self._storage.set_trial_state_values(trial_id, _STATES[outcome.state], values)

    @property
    def _study(self) -> int:
        assert self._id is not None
        return self._id


def read_attrs(path: Path) -> dict[str, Any]:
    """What a journal at `path` remembers of its study, without opening it for writing; {} before its first record."""
    ledger = StudyStorage(path, writable=False)
    attrs = ledger.attrs()
    if attrs:
        attrs["outcomes"] = [t.user_attrs["outcome"] for t in ledger.trials() if "outcome" in t.user_attrs]
        attrs["outcomes"] += [data for key, data in attrs.items() if key.startswith("outcome:")]
    return attrs
