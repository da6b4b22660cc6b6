"""Train and test the final networks, build the search result, and store and publish it."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from hpo.core.errors import InputError, SearchFailedError
from hpo.data.test_part import TestEvaluations
from hpo.export import configuration, network_files
from hpo.nn import device as devices
from hpo.regularizers.active import active_adaptation
from hpo.selection import out_of_fold, result_builder
from hpo.selection.decision import Selection
from hpo.selection.ensemble import build
from hpo.selection.ensemble.context import EnsembleContext
from hpo.selection.finalist import Finalist
from hpo.selection.refit import FinalLogits, FinalNetwork, Refit
from hpo.selection.result import SearchResult
from hpo.selection.result_parts import EnsembleResult
from hpo.selection.row_predictions import row_predictions
from hpo.space import plugins
from hpo.space.settings import RefitConfig
from hpo.study.study import Study
from hpo.study.weights import WeightStore
from hpo.training.experiment import Experiment
from hpo.workflows import publish
from hpo.workflows.session import SearchSession
from hpo.workflows.stages import REPORT_STEP


def finalize(
    session: SearchSession, selection: Selection | None, compared: Mapping[str, Finalist], startup: float
) -> SearchResult:
    """Return the result of a search whose finals have ended.

    `compared` holds the selected configuration and those it is compared with, by name; `selection` is None without
    finals; `startup` is in seconds.
    """
    experiment, study, selected = session.experiment, session.study, compared["selected"]
    _save_row_predictions(session, selection, selected)
    refit = experiment.space.refit.with_networks(session.plan.networks())
    expected = result_builder.expectations(experiment, selection, compared, refit)
    temperatures = {compared[name].label: expectation.temperature for name, expectation in expected.items()}
    networks, logits = _final_networks(session, compared, temperatures, refit)
    evaluations = _test_evaluations(study)
    tests = {
        name: result_builder.final_scores(experiment.space, networks[compared[name].label], parts, evaluations)
        for name, parts in logits.items()
    }
    _store_test_evaluations(study, evaluations)
    result = SearchResult(
        **result_builder.selection_fields(experiment, selection, compared, expected, tests),
        **_study_fields(study, experiment),
        **_run_fields(session, startup),
        networks={name: networks[f.label].label for name, f in compared.items() if f.label in networks},
        temperatures={name: networks[f.label].temperature for name, f in compared.items() if f.label in networks},
        test_evaluations=evaluations.count,
        adaptation=result_builder.adaptation(compared, networks, logits),
        refit=result_builder.refit_result(experiment.space.refit.kind, networks.get(selected.label)),
    )
    result = _with_ensemble(session, result)
    _note_lost_ensembles(session, result)
    kept = [result.refit.weights, *(ensemble.weights for ensemble in result.ensembles.values())]
    files = [session.weights.path(name) for name in kept if name] + _exported(session, selected, networks)
    session.watcher.begin_step(REPORT_STEP)
    result = publish.publish(result, session, files)
    if result.report_seconds is not None:
        session.watcher.complete()
    result = replace(result, seconds=study.elapsed())
    if note := session.plan.overrun_note():
        session.watcher.note(note)
    _store(study, experiment, result)
    used = {*filter(None, kept), *(network.label for network in networks.values())}
    session.weights.retain_only(used | _reevaluation_files(study))
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


def _reevaluation_files(study: Study) -> set[str]:
    """Return the labels of the files of all re-evaluations, with which another configuration can be selected later."""
    trials = (outcome.trial for outcome in study.outcomes.values())
    return {out_of_fold.file_label(trial) for trial in trials if trial.keep_valid_logits}


def _save_row_predictions(session: SearchSession, selection: Selection | None, selected: Finalist) -> None:
    """Save the out-of-fold predictions of the selected configuration, which the report shows."""
    found = row_predictions(selection.finals.draws(), selected.label) if selection else {}
    if found:
        WeightStore(session.directory.oof_predictions).save(selected.label, found)


def _final_networks(
    session: SearchSession, compared: Mapping[str, Finalist], temperatures: Mapping[str, float], config: RefitConfig
) -> tuple[dict[str, FinalNetwork], dict[str, FinalLogits]]:
    """Train the final networks and predict the test rows with them.

    `temperatures` are by trial label; the one that the space specifies comes first. Returns the networks by trial
    label, and the logits by configuration name. Neither includes a configuration of which a network diverged.
    """
    experiment, kind = session.experiment, config.kind
    if kind == "none":
        return {}, {}
    if specified := experiment.space.refit.temperature:
        temperatures = {**temperatures, compared["selected"].label: specified}
    refit = Refit(
        experiment.space.model_copy(update={"refit": config}),
        experiment.data,
        experiment.networks,
        session.study,
        session.weights,
        session.trainer.train,
    )
    finalists = {f.label: f for name, f in compared.items() if name in _tested(compared)}
    networks = refit.final(kind, list(finalists.values()), temperatures)
    logits = {
        name: refit.logits(networks[f.label], f.trial.params) for name, f in compared.items() if f.label in networks
    }
    return networks, logits


def _tested(compared: Mapping[str, Finalist]) -> set[str]:
    """Return the names of the configurations that get final networks.

    After a re-evaluation these are the selected configuration, the usual defaults and, with domain adaptation, the
    reference without it, because the out-of-fold scores of the others are enough.
    """
    selected = compared["selected"]
    if not selected.reevaluations:
        return set(compared)
    reference = "unadapted" if "unadapted" in compared else "ablation"
    return {"selected", "defaults", *([reference] if active_adaptation(selected.trial.params) else [])}


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
    session.watcher.waiting("waiting for the process that writes to MLflow")
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
    final, params = networks[selected.label], selected.trial.params
    network = session.experiment.networks.network_for(params)
    weights, folder = session.weights.load(final.label, final.networks), session.directory.network
    dropout = params.strengths.get("dropout", 0.0)
    network_files.write_network(folder, network, weights, final.data, dropout, final.temperature)
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
