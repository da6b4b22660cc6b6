"""Run a search: from a prepared experiment to a result that is stored, recorded in MLflow and ready to be exported."""

from __future__ import annotations

import time
import uuid
from collections.abc import Sequence

from hpo.core.errors import InputError
from hpo.core.importing import is_importable, qualified_name
from hpo.nn.linear import one_thread
from hpo.selection.result import SearchResult
from hpo.study.directory import StudyDirectory
from hpo.study.study import Study
from hpo.study.weights import WeightStore
from hpo.tracking.recorder import Recorder
from hpo.training.experiment import Experiment
from hpo.training.worker import Worker
from hpo.workflows import publish
from hpo.workflows.callbacks import RecorderFactory, Watcher
from hpo.workflows.finalize import finalize, result_options, stored_result
from hpo.workflows.select import select
from hpo.workflows.session import SearchSession
from hpo.workflows.time_plan import TimePlan
from hpo.workflows.trainer import StudyTrainer


def search(
    experiment: Experiment,
    directory: StudyDirectory,
    tracking_uri: str | None = None,
    watcher: Watcher | None = None,
    clock: float | None = None,
    workers: Sequence[Worker] = (),
    deterministic: bool = False,
    recorder: RecorderFactory | None = None,
) -> SearchResult:
    """Search until the budget is spent, select by re-evaluation, and return the result; for a finished study, return
    the stored result.

    `workers` are processes to train in (see `hpo.training.worker`); without any, this process trains. With
    `deterministic`, the trials do not depend on the number of workers (see `hpo.study`). `clock` is the time at which
    the process began, from which `startup_seconds` is computed. `recorder` makes the object that mirrors the study to
    MLflow (default: `Recorder`).

    Raises InputError if the study belongs to another space, StoreError if the store is lost, and SearchFailedError if
    every trial diverged. KeyboardInterrupt leaves a study that can be resumed.
    """
    watcher = watcher or Watcher()
    if len(workers) > 1 and experiment.factory and not is_importable(experiment.factory):
        raise InputError(
            f"workers: another process cannot import {qualified_name(experiment.factory)}; "
            f"put it into a module, or use one worker."
        )
    with directory.locked(), one_thread():
        fingerprint, digest = experiment.data.fingerprint, experiment.init_digest
        study = Study(experiment.space, directory.journal, fingerprint, deterministic, digest)
        try:
            plan, stored = TimePlan(experiment, study), stored_result(study)
            if plan.selects_again:
                study.reserve = plan.reserve  # no trial is proposed in what is left of the time
            if stored and not study.has_next() and _is_current(stored, experiment, study):
                return stored
            startup = 0.0 if clock is None else time.time() - clock
            recorder = recorder or Recorder
            return _run(experiment, directory, study, plan, tracking_uri, watcher, workers, recorder, startup)
        finally:
            study.close()


def _is_current(stored: SearchResult, experiment: Experiment, study: Study) -> bool:
    """Return whether a stored result comes from the same trials and the same options."""
    return (stored.result_options, stored.trials) == (result_options(experiment), study.counts)


def _run(
    experiment: Experiment,
    directory: StudyDirectory,
    study: Study,
    plan: TimePlan,
    tracking_uri: str | None,
    watcher: Watcher,
    workers: Sequence[Worker],
    make_recorder: RecorderFactory,
    startup: float,
) -> SearchResult:
    """Run the search with a recorder, whose MLflow run ends with the right status whatever happens."""
    uri = tracking_uri or directory.tracking_uri
    earlier_uri = directory.mlflow(required=False).get("tracking_uri", uri)
    if earlier_uri != uri:
        watcher.note(
            f"Runs go to {uri} from now on. Those at {earlier_uri} stay there, and hpo delete will not remove them."
        )
    if not study.get_attr("id"):
        study.set_attr("id", uuid.uuid4().hex)
    recorder = make_recorder(uri, directory.folder, publish.run_header(experiment, study))
    try:
        if uri != directory.tracking_uri:
            _ = recorder.ids  # a server that cannot be reached must fail before the training, not after it
        for outcome in list(study.outcomes.values()):
            recorder.record(outcome)  # trials that MLflow already has are left as they are
        weights = WeightStore(directory.weights)
        trainer = StudyTrainer(experiment, study, weights, recorder, watcher, workers, plan.record)
        session = SearchSession(experiment, directory, study, uri, recorder, watcher, weights, trainer, plan)
        watcher.begin(experiment, study, trainer.row_budget, trainer.n_workers)
        study.include_startup(startup)
        plan.begin_training()
        trainer.search()
        return finalize(session, *select(session), startup)
    except BaseException as error:
        recorder.abandon("FAILED" if isinstance(error, Exception) else "KILLED")
        raise
    finally:
        watcher.end()
