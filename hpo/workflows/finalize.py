"""Train and test the final networks, build the search result, and store and publish it."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from torch import Tensor

from hpo.core.errors import InputError, SearchFailedError
from hpo.data.test_part import TestEvaluations
from hpo.export import configuration, network_files
from hpo.nn import device as devices
from hpo.selection import result_builder
from hpo.selection.ensemble import build
from hpo.selection.ensemble.context import EnsembleContext
from hpo.selection.finals import Finalist
from hpo.selection.refit import FinalNetwork, Refit
from hpo.selection.refit_comparison import RefitComparison
from hpo.selection.result import EnsembleResult, SearchResult
from hpo.selection.result_builder import Selection
from hpo.space import plugins
from hpo.study.study import Study
from hpo.study.weights import WeightStore
from hpo.training.experiment import Experiment
from hpo.workflows import publish
from hpo.workflows.session import SearchSession


def finalize(
    session: SearchSession, selection: Selection | None, compared: Mapping[str, Finalist], startup: float
) -> SearchResult:
    """Return the result of a search whose finals have ended.

    `compared` holds the selected configuration and those it is compared with, by name; `selection` is None without
    finals; `startup` is in seconds.
    """
    experiment, study, selected = session.experiment, session.study, compared["selected"]
    comparison = _compare_refits(session, selected)
    networks, logits = _final_networks(session, compared)
    tests, evaluations = dict[str, dict[str, float]](), _test_evaluations(study)
    for name, rows in logits.items():
        final = networks[compared[name].label]
        tests[name] = result_builder.test_scores(experiment.space, final.data, rows, final.label, evaluations)
    _store_test_evaluations(study, evaluations)
    result = SearchResult(
        **result_builder.selection_fields(experiment, selection, compared, tests),
        **_study_fields(study, experiment),
        **_run_fields(session, startup),
        networks={name: networks[f.label].label for name, f in compared.items() if f.label in networks},
        test_evaluations=evaluations.count,
        adaptation=result_builder.adaptation(compared, networks, logits),
        refit=result_builder.refit_result(experiment.space.refit.kind, networks.get(selected.label), comparison),
    )
    result = _with_ensemble(session, result)
    _note_lost_ensembles(session, result)
    kept = [result.refit.weights, *(ensemble.weights for ensemble in result.ensembles.values())]
    files = [session.weights.path(name) for name in kept if name] + _exported(session, selected, networks)
    result = publish.publish(result, session, files)
    result = replace(result, seconds=study.seconds())
    _store(study, experiment, result)
    session.weights.retain_only({*filter(None, kept), *(network.label for network in networks.values())})
    return result


def stored_result(study: Study) -> SearchResult | None:
    """Return the result that is stored with a study, if there is one."""
    data = study.get_attr("result")
    return SearchResult.from_json(data) if data else None


def result_options(experiment: Experiment) -> dict[str, Any]:
    """Return the settings of a space that change its result, but not its search."""
    space = experiment.space
    ensemble = None if space.ensemble is None else space.ensemble.model_dump()
    return {
        "finalists": space.finalists,
        "select": space.select,
        "refit": space.refit.model_dump(),
        "ensemble": ensemble,
    }


def _compare_refits(session: SearchSession, selected: Finalist) -> dict[str, dict[str, float]]:
    """Compare the kinds of refit by nested cross-validation.

    If there are too few rows or too little memory, add a note and continue: the search may have taken hours, and its
    result does not depend on this comparison.
    """
    experiment, study = session.experiment, session.study
    if not selected.reevaluations or experiment.space.refit.kind == "none":
        return {}
    refits = RefitComparison(
        experiment.space,
        experiment.data,
        experiment.networks,
        study,
        session.weights,
        WeightStore(session.directory.oof_predictions),
        session.trainer.train,
        experiment.device,
    )
    try:
        return refits.compare(selected)
    except (InputError, SearchFailedError, MemoryError) as error:
        study.cancel_pending()  # the trials of the comparison would otherwise be trained with the next phase
        session.watcher.note(f"The refit methods are not compared. {error}")
        return {}


def _final_networks(
    session: SearchSession, compared: Mapping[str, Finalist]
) -> tuple[dict[str, FinalNetwork], dict[str, Tensor]]:
    """Train the final networks and predict the test rows with them.

    Returns the networks by trial label, and the logits (1, rows, outputs) by configuration name. Neither includes a
    network that diverged.
    """
    experiment, kind = session.experiment, session.experiment.space.refit.kind
    if kind == "none":
        return {}, {}
    refit = Refit(
        experiment.space,
        experiment.data,
        experiment.networks,
        session.study,
        session.weights,
        session.trainer.train,
    )
    networks = refit.final(kind, list({f.label: f for f in compared.values()}.values()))
    logits = {
        name: refit.logits(networks[f.label], f.searched.trial.params)
        for name, f in compared.items()
        if f.label in networks
    }
    return networks, logits


def _test_evaluations(study: Study) -> TestEvaluations:
    return TestEvaluations(study.get_attr("test_evaluations") or 0, study.get_attr("scored_networks") or ())


def _store_test_evaluations(study: Study, evaluations: TestEvaluations) -> None:
    with study.batch():
        study.set_attr("test_evaluations", evaluations.count)
        study.set_attr("scored_networks", evaluations.scored)


def _study_fields(study: Study, experiment: Experiment) -> dict[str, Any]:
    """The fields of the result about the search and its data."""
    space, data, outcomes = experiment.space, experiment.data, study.budget_outcomes()
    return {
        "study": space.study,
        "result_options": result_options(experiment),
        "trials": dict(study.counts),
        "front": result_builder.front(study, space),
        "validators": result_builder.validators(study, experiment),
        "test_domain_differs": data.test_domain_differs,
        "metric": space.train.metric,
        "task": data.task,
        "epochs_trained": sum(o.epochs for o in outcomes),
        "epochs_possible": len(outcomes) * space.max_epochs,
        "fit_epochs": result_builder.fit_epochs(study),
        "notes": list(data.notes),
        "fingerprint": data.fingerprint,
        "init_digest": experiment.init_digest,
        "shape": {"inputs": data.n_inputs, "outputs": data.n_outputs},
    }


def _run_fields(session: SearchSession, startup: float) -> dict[str, Any]:
    """The fields of the result about this process, the machine and MLflow."""
    ids = session.recorder.ids
    return {
        "slots": session.trainer.row_budget,
        "workers": session.trainer.n_workers,
        "device": devices.device_name(session.experiment.device),
        "versions": result_builder.versions(),
        "date": time.strftime("%Y-%m-%d"),
        "tracking_uri": session.tracking_uri,
        "run_id": ids["run_id"],
        "experiment_id": ids["experiment_id"],
        "startup_seconds": startup,
    }


def _with_ensemble(session: SearchSession, result: SearchResult) -> SearchResult:
    """Return the result with the ensemble that the space requests, if that can be built."""
    config, study = session.experiment.space.ensemble, session.study
    if config is None:
        return result
    try:
        context = EnsembleContext(session.experiment, study, result, config, session.trainer)
        ensembles: dict[str, EnsembleResult] = {config.kind: build.build_ensemble(context, session.weights)}
    except (InputError, SearchFailedError, MemoryError) as error:
        session.watcher.note(f"There is no ensemble. {error}")
        ensembles = {}
    return replace(result, ensembles=ensembles, test_evaluations=study.get_attr("test_evaluations"))


def _note_lost_ensembles(session: SearchSession, result: SearchResult) -> None:
    earlier = stored_result(session.study)
    if earlier and (lost := sorted(set(earlier.ensembles) - set(result.ensembles))):
        session.watcher.note(
            f"This result replaces an earlier one and its ensembles ({', '.join(lost)}); hpo ensemble makes them again."
        )


def _exported(session: SearchSession, selected: Finalist, networks: Mapping[str, FinalNetwork]) -> list[Path]:
    """Export the final network into the study directory, and return its path, or an empty list if there is none.

    Another search can load it with `network.init: runs:/RUN_ID`.
    """
    if selected.label not in networks:
        return []
    final, params = networks[selected.label], selected.searched.trial.params
    network, weights = session.experiment.networks.network_for(params), session.weights.load(final.label)
    folder = session.directory.network
    network_files.write_network(folder, network, weights, final.data, params.strengths.get("dropout", 0.0))
    return [folder]


def _store(study: Study, experiment: Experiment, result: SearchResult) -> None:
    """Store the result with its space. An earlier result remains valid until this is done."""
    source = {
        "base": str(experiment.base_dir.resolve()),
        "space": configuration.space_dict(experiment.space),
        "plugins": plugins.needed(experiment.space.search),
    }
    with study.batch():
        study.set_attr("space_source", source)
        study.set_attr("result", result.to_json())
