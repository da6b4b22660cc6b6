"""Add an ensemble to a completed study."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch

from hpo.core.errors import InputError
from hpo.nn.linear import one_thread
from hpo.selection.ensemble import build
from hpo.selection.ensemble.context import EnsembleContext
from hpo.selection.result_parts import EnsembleResult
from hpo.space.settings import EnsembleConfig, RefitConfig
from hpo.space.space import ensemble_mistake
from hpo.study.storage import read_attrs
from hpo.study.study import Study
from hpo.study.weights import WeightStore
from hpo.tracking.recorder import Recorder
from hpo.training.worker import Worker
from hpo.workflows import completed, prepare, publish
from hpo.workflows.callbacks import RecorderFactory, RunRecorder, Watcher
from hpo.workflows.completed import CompletedStudy
from hpo.workflows.trainer import StudyTrainer


def add(
    search: CompletedStudy,
    config: EnsembleConfig,
    device: torch.device,
    watcher: Watcher,
    recorder: RecorderFactory | None = None,
    workers: Sequence[Worker] = (),
) -> EnsembleResult:
    """Make an ensemble from a completed study and return its part of the result.

    It replaces an earlier ensemble of the same kind. After an interruption the study is unchanged, except perhaps for
    the count of test evaluations, and the ensemble must be made from the beginning. Raises InputError if the ensemble
    cannot be made from this study, and SearchFailedError if all its networks diverge.
    """
    directory = search.directory
    refit = RefitConfig.model_validate({"kind": search.result.refit.kind})
    space = search.space.model_copy(update={"refit": refit})
    if text := ensemble_mistake(space, config):
        raise InputError(f"The study {directory.name}: ensemble {text}")
    uri = directory.mlflow(required=False).get("tracking_uri", directory.tracking_uri)
    experiment = prepare.prepare(space, search.base, device=device, tracking_uri=uri)
    deterministic = bool(read_attrs(directory.journal)["deterministic"])
    fingerprint, digest = experiment.data.fingerprint, experiment.init_digest
    with directory.locked(), one_thread():
        result = completed.load(directory).result  # another ensemble may have been added since `search` was loaded
        study = Study(experiment.space, directory.journal, fingerprint, deterministic, digest)
        run = (recorder or Recorder)(uri, directory.folder, publish.run_header(experiment, study))
        try:
            weights = WeightStore(directory.weights)
            trainer = StudyTrainer(experiment, study, weights, run, watcher, workers)
            ensemble = _build_and_store(EnsembleContext(experiment, study, result, config, trainer), weights, run)
        except BaseException:
            run.abandon("FINISHED")  # this is the run of the search, which has finished
            raise
        else:
            watcher.complete()
            return ensemble
        finally:
            study.close()
            watcher.end()


def _build_and_store(context: EnsembleContext, weights: WeightStore, run: RunRecorder) -> EnsembleResult:
    study, kind = context.study, context.config.kind
    ensemble = build.build_ensemble(context, weights)
    replaced = context.result.ensembles.get(kind)
    result = replace(
        context.result,
        ensembles={**context.result.ensembles, kind: ensemble},
        test_evaluations=study.get_attr("test_evaluations"),
    )
    run.close("FINISHED", metrics=publish.run_metrics(result), artifacts=[str(weights.path(ensemble.weights))])
    study.set_attr("result", result.to_json())
    if replaced and replaced.weights != ensemble.weights:
        weights.path(replaced.weights).unlink(missing_ok=True)
    return ensemble
