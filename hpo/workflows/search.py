"""Run a search: from a prepared experiment to a result that is stored, recorded in MLflow and ready to be exported."""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Sequence

from hpo.core.errors import InputError, SearchFailedError
from hpo.core.importing import is_importable, qualified_name
from hpo.core.trial import Outcome, Trial
from hpo.nn.linear import one_thread
from hpo.regularizers.active import active_adaptation, active_params, active_strengths, is_regularized
from hpo.selection.finals import Finalist, Finals, select_finalists
from hpo.selection.result import SearchResult
from hpo.selection.result_builder import Selection
from hpo.study import baselines
from hpo.study.directory import StudyDirectory
from hpo.study.study import Study
from hpo.study.weights import WeightStore
from hpo.tracking.recorder import Recorder
from hpo.training.experiment import Experiment
from hpo.training.worker import Worker
from hpo.workflows import publish
from hpo.workflows.callbacks import RecorderFactory, Watcher
from hpo.workflows.finalize import finalize, result_options, stored_result
from hpo.workflows.session import SearchSession
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
            stored = stored_result(study)
            if stored and not study.has_next() and _is_current(stored, experiment, study):
                return stored
            startup = 0.0 if clock is None else time.time() - clock
            return _run(experiment, directory, study, tracking_uri, watcher, workers, recorder or Recorder, startup)
        finally:
            study.close()


def _is_current(stored: SearchResult, experiment: Experiment, study: Study) -> bool:
    """Return whether a stored result comes from the same trials and the same options."""
    return (stored.result_options, stored.trials) == (result_options(experiment), study.counts)


def _run(
    experiment: Experiment,
    directory: StudyDirectory,
    study: Study,
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
        trainer = StudyTrainer(experiment, study, weights, recorder, watcher, workers)
        session = SearchSession(experiment, directory, study, uri, recorder, watcher, weights, trainer)
        watcher.begin(experiment, study, trainer.row_budget, trainer.n_workers)
        trainer.search()
        study.stop_clock()
        return finalize(session, *_select(session), startup)
    except BaseException as error:
        recorder.abandon("FAILED" if isinstance(error, Exception) else "KILLED")
        raise
    finally:
        watcher.end()


def _select(session: SearchSession) -> tuple[Selection | None, dict[str, Finalist]]:
    """Select a configuration by re-evaluation; return the selection, and the compared configurations by name."""
    study, experiment = session.study, session.experiment
    best = study.best()
    if best is None or not best.valid:
        raise SearchFailedError(_all_diverged(study))
    if experiment.space.is_point or not experiment.space.finalists:
        return None, _without_finals(session, best)
    finals = Finals(experiment.space, experiment.data, experiment.networks, study, session.trainer.train)
    finals.run(select_finalists(study, experiment.space))
    selection = Selection.by_rule(finals, experiment.space.select)
    session.watcher.selected(finals)
    selected = finals.finalists[selection.selected]
    compared = {
        "selected": selected,
        "ablation": _reevaluated_variant(session, selected, finals, baselines.ablation),
        **{name: finals.finalists[name] for name in ("defaults", "none")},
    }
    if _adapts_and_regularizes(selected.searched.trial):
        compared["unadapted"] = _reevaluated_variant(session, selected, finals, baselines.without_adaptation)
    return selection, compared


def _reevaluated_variant(
    session: SearchSession, selected: Finalist, finals: Finals, reduce: Callable[[Trial], Trial]
) -> Finalist:
    """Reduce the selected configuration by `reduce`, and evaluate it on the same draws; reuse a finalist that has the
    same configuration."""
    variant = reduce(selected.searched.trial)
    for finalist in finals.finalists.values():
        same = active_params(finalist.searched.trial.params) == active_params(variant.params)
        if same and len(finalist.reevaluations) >= len(selected.reevaluations):
            return finalist
    return finals.evaluate_like(_trained(session, variant), selected)


def _without_finals(session: SearchSession, best: Outcome) -> dict[str, Finalist]:
    """Return the best trial of the search and its references by name; a single configuration has no references."""
    space = session.experiment.space
    if space.is_point:
        return {"selected": Finalist(best, space)}
    regularized = is_regularized(best.trial.params)
    compared = {
        "selected": best,
        "ablation": _trained(session, baselines.ablation(best.trial)) if regularized else best,
        **{name: session.study.outcomes[name] for name in ("defaults", "none")},
    }
    if _adapts_and_regularizes(best.trial):
        compared["unadapted"] = _trained(session, baselines.without_adaptation(best.trial))
    return {name: Finalist(outcome, space) for name, outcome in compared.items()}


def _trained(session: SearchSession, trial: Trial) -> Outcome:
    """Train, on the rows of the search, a configuration that the search did not propose."""
    session.trainer.train([trial], lambda: session.experiment.data)
    return session.study.outcomes[trial.label]


def _adapts_and_regularizes(trial: Trial) -> bool:
    """Return whether some regularizers of a configuration adapt and others do not. If all of them adapt, the ablation
    is the configuration without adaptation."""
    return 0 < len(active_adaptation(trial.params)) < len(active_strengths(trial.params))


def _all_diverged(study: Study) -> str:
    reasons = {o.reason for o in study.budget_outcomes()}
    return (
        f"All {len(study.budget_outcomes())} trials diverged ({min(reasons)}): the loss was not finite. "
        f"Lower search.learning_rate, and look for extreme values in the data."
    )
