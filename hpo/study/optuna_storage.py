"""Implement the methods of `hpo.study.storage.StudyStorage` with any Optuna storage that holds one study."""

from __future__ import annotations

import abc
import copy
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any

from optuna.storages import BaseStorage
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState

from hpo.core.trial import Outcome

_STATES = {"complete": TrialState.COMPLETE, "pruned": TrialState.PRUNED, "failed": TrialState.FAIL}


class OptunaStudyStorage(abc.ABC):
    """One study in an Optuna storage; a subclass adds `batch` and `close`."""

    def __init__(self, storage: BaseStorage) -> None:
        self._storage = storage
        studies = storage.get_all_studies()
        self._id = storage.get_study_id_from_name(studies[0].study_name) if studies else None

    @abc.abstractmethod
    def batch(self) -> AbstractContextManager[None]: ...

    @abc.abstractmethod
    def close(self) -> None: ...

    def exists(self) -> bool:
        return self._id is not None

    def create(self, name: str, directions: Sequence[StudyDirection], attrs: Mapping[str, Any]) -> None:
        with self.batch():
            self._id = self._storage.create_new_study(directions, name)
            for key, value in attrs.items():
                self.set_attr(key, value)

    def attrs(self) -> dict[str, Any]:
        return dict(self._storage.get_study_user_attrs(self._study)) if self.exists() else {}

    def get_attr(self, key: str) -> Any:
        return self.attrs().get(key)

    def set_attr(self, key: str, value: Any) -> None:
        self._storage.set_study_user_attr(self._study, key, value)

    def sampler_attrs(self) -> dict[str, Any]:
        return dict(self._storage.get_study_system_attrs(self._study))

    def set_sampler_attrs(self, attrs: Mapping[str, Any]) -> None:
        stored = self.sampler_attrs()
        for key, value in attrs.items():
            if stored.get(key) != value:
                self._storage.set_study_system_attr(self._study, key, value)

    def trials(self) -> list[FrozenTrial]:
        return self._storage.get_all_trials(self._study, deepcopy=False) if self.exists() else []

    def add_trial(self, trial: FrozenTrial, attrs: Mapping[str, Any]) -> None:
        template = copy.copy(trial)
        template.user_attrs = dict(attrs)
        self._storage.create_new_trial(self._study, template_trial=template)

    def finish_trial(self, number: int, outcome: Outcome, sampler_attrs: Mapping[str, Any]) -> None:
        trial_id = self._storage.get_trial_id_from_study_id_trial_number(self._study, number)
        stored = self._storage.get_trial(trial_id).system_attrs
        self._storage.set_trial_user_attr(trial_id, "outcome", outcome.to_json())
        if changed := {key: value for key, value in sampler_attrs.items() if stored.get(key) != value}:
            self._storage.set_trial_user_attr(trial_id, "sampler_attrs", changed)
        values = None if outcome.state == "failed" else list(outcome.values.values()) or None
        self._storage.set_trial_state_values(trial_id, _STATES[outcome.state], values)

    @property
    def _study(self) -> int:
        assert self._id is not None
        return self._id
