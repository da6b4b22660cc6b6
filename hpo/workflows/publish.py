"""Publish the result of a search: write the MLflow run, the selected configuration and the report."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from hpo.core.errors import StoreError, describe_exception
from hpo.export import configuration
from hpo.regularizers.configs import make_config
from hpo.selection import result_builder
from hpo.selection.result import SearchResult
from hpo.space.formatting import flat
from hpo.study.study import Study
from hpo.tracking.mlflow_view import view
from hpo.training.experiment import Experiment
from hpo.workflows.session import SearchSession


def run_header(experiment: Experiment, study: Study) -> dict[str, Any]:
    """Return the header of the MLflow run of a search: its tags, parameters, space and view."""
    space = experiment.space
    plain_space = configuration.space_dict(space)
    return {
        "study": space.study,
        "search": study.get_attr("id"),
        "tags": {
            "hpo.role": "study",
            "hpo.data": experiment.data.fingerprint,
            **{f"version.{name}": value for name, value in result_builder.versions().items()},
        },
        "params": flat(plain_space),
        "view": view(space, experiment.data.task),
        "space": configuration.as_yaml(plain_space),
    }


def run_metrics(result: SearchResult) -> dict[str, float]:
    """Return the numbers of a result as metrics of the MLflow run of the search."""
    parts = {
        "valid": result.valid,
        "fresh": result.reevaluated,
        "expected": result.expected,
        "test": result.test,
        "contribution": {name: gain.gain for name, gain in result.contributions.items()},
    }
    for kind, ensemble in result.ensembles.items():
        parts |= {
            f"ensemble_{kind}_test": ensemble.test,
            f"ensemble_{kind}_expected": ensemble.expected,
            f"ensemble_{kind}": ensemble.diversity,
        }
    scores = {
        f"{part}_{name}": value for part, values in parts.items() for name, value in values.items() if value is not None
    }
    if result.search_score is not None:
        scores["search_score"] = result.search_score
    if result.verdict and result.verdict.gain:
        scores |= {"expected_gain": result.verdict.gain.gain, "probability_of_gain": result.verdict.gain.probability}
    return scores | {f"trials_{state}": count for state, count in result.trials.items()}


def publish(result: SearchResult, session: SearchSession, files: Sequence[Path]) -> SearchResult:
    """Write the selected configuration and the report, end the MLflow run with both and `files` as its artifacts, and
    return the result with the seconds that the report took. Raises StoreError."""
    experiment, directory = session.experiment, session.directory
    network = experiment.networks.network_for(make_config(result.selected))
    point = configuration.single_point(result, experiment.space, network, experiment.base_dir, directory.folder)
    best = directory.folder / "best.yaml"
    try:
        best.write_text(configuration.commented_yaml(point, network), encoding="utf-8")
    except OSError as error:
        raise StoreError(f"The result could not be written to {directory.folder}: {error.strerror}.") from error
    result = replace(result, report_seconds=_write_report(result, session))
    pages = [directory.report] if result.report_seconds is not None else []
    session.recorder.close(
        "FINISHED",
        tags={f"selected.{key}": value for key, value in result.selected.items()}
        | {"hpo.selected": result.trial, "hpo.rule": result.rule}
        | ({"hpo.best_found": result.best_found.trial} if result.best_found else {}),
        metrics=run_metrics(result),
        artifacts=[*map(str, [*pages, best, *files])],
    )
    return result


def _write_report(result: SearchResult, session: SearchSession) -> float | None:
    """Write the report and return the seconds this took; if the report raises an exception, note it and return None."""
    from hpo import report  # imports plotly, which takes a third of a second

    experiment, directory, began = session.experiment, session.directory, time.time()
    try:
        inputs = report.ReportInputs.from_study(
            result, experiment.space, session.study.outcomes, experiment.networks, experiment.data, directory
        )
        report.write(inputs, directory.report)
    except StoreError:
        raise
    except Exception as error:  # noqa: BLE001 -- a bug in a figure must not cost the result of hours of training
        directory.report.unlink(missing_ok=True)
        session.watcher.note(
            f"The report could not be written because of a bug in hpo ({describe_exception(error)}); "
            f"the result is complete without it."
        )
        return None
    return time.time() - began
