"""The durable copy of a study: Optuna's journal storage, written when a trial is proposed and when it has ended."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

from optuna.storages import JournalStorage
from optuna.storages.journal import BaseJournalBackend
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial

from hpo.journal import Journal


class _Backend(Journal, BaseJournalBackend):
    pass


class Ledger:
    """One study in one journal. What is written inside `batch` reaches the disk whole or not at all."""

    def __init__(self, path: Path, *, writable: bool = True) -> None:
        self._journal = _Backend(path, writable=writable)
        self._storage = JournalStorage(self._journal)
        studies = self._storage.get_all_studies()
        self._id = self._storage.get_study_id_from_name(studies[0].study_name) if studies else None

    def begun(self) -> bool:
        return self._id is not None

    def begin(self, name: str, direction: StudyDirection, attrs: Mapping[str, Any]) -> None:
        """The first record: the study, and what it remembers from the start."""
        with self.batch():
            self._id = self._storage.create_new_study([direction], name)
            for key, value in attrs.items():
                self.remember(key, value)

    def batch(self) -> AbstractContextManager[None]:
        return self._journal.batch()

    def close(self) -> None:
        self._journal.close()

    # ---- values of ours, and of the sampler

    def remember(self, key: str, value: Any) -> None:
        self._storage.set_study_user_attr(self._study, key, value)

    def recall(self, key: str) -> Any:
        return self.remembered().get(key)

    def remembered(self) -> dict[str, Any]:
        return dict(self._storage.get_study_user_attrs(self._study)) if self.begun() else {}

    def sampler_attrs(self) -> dict[str, Any]:
        return dict(self._storage.get_study_system_attrs(self._study))

    def keep_sampler_attrs(self, attrs: Mapping[str, Any]) -> None:
        """What samplers keep in the study, such as the place in a sequence."""
        known = self.sampler_attrs()
        for key, value in attrs.items():
            if known.get(key) != value:
                self._storage.set_study_system_attr(self._study, key, value)

    # ---- trials

    def trials(self) -> list[FrozenTrial]:
        return self._storage.get_all_trials(self._study, deepcopy=False) if self.begun() else []

    def propose(self, trial: FrozenTrial) -> None:
        """A trial that begins, with its parameters; trials come in the order of their numbers."""
        self._storage.create_new_trial(self._study, template_trial=trial)

    def conclude(self, trial: FrozenTrial, attrs: Mapping[str, Any]) -> None:
        """A proposed trial as it ended: what sampler and pruner noted, `attrs` of ours (its reports are in them), and its
        state."""
        trial_id = self._storage.get_trial_id_from_study_id_trial_number(self._study, trial.number)
        known = self._storage.get_trial(trial_id)
        for key, value in trial.system_attrs.items():
            if known.system_attrs.get(key) != value:
                self._storage.set_trial_system_attr(trial_id, key, value)
        for key, value in {**trial.user_attrs, **attrs}.items():
            if known.user_attrs.get(key) != value:
                self._storage.set_trial_user_attr(trial_id, key, value)
        self._storage.set_trial_state_values(trial_id, trial.state, trial.values)

    @property
    def _study(self) -> int:
        assert self._id is not None
        return self._id


def stored(path: Path) -> dict[str, Any]:
    """What a journal at `path` remembers of its study, without opening it for writing; {} before its first record."""
    ledger = Ledger(path, writable=False)
    attrs = ledger.remembered()
    if attrs:
        attrs["outcomes"] = [t.user_attrs["outcome"] for t in ledger.trials() if "outcome" in t.user_attrs]
        attrs["outcomes"] += [data for key, data in attrs.items() if key.startswith("outcome:")]
    return attrs
