"""The objects that all steps of one run of a search share."""

from __future__ import annotations

from dataclasses import dataclass

from hpo.study.directory import StudyDirectory
from hpo.study.study import Study
from hpo.study.weights import WeightStore
from hpo.training.experiment import Experiment
from hpo.workflows.callbacks import RunRecorder, Watcher
from hpo.workflows.time_plan import TimePlan
from hpo.workflows.trainer import StudyTrainer


@dataclass(frozen=True)
class SearchSession:
    """One run of a search on an open study, whose lock is held; `weights` are those of the final networks."""

    experiment: Experiment
    directory: StudyDirectory
    study: Study
    tracking_uri: str
    recorder: RunRecorder
    watcher: Watcher
    weights: WeightStore
    trainer: StudyTrainer
    plan: TimePlan
