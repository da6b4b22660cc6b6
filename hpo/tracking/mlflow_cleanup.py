"""Remove a study from MLflow: its own runs, and no runs, models or experiments of others."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")  # MLflow reads this variable on import

from mlflow import MlflowClient
from mlflow.entities import Run, ViewType
from mlflow.exceptions import MlflowException

from hpo.core.errors import StoreError, truncate
from hpo.study.directory import SQLITE


def delete_runs(uri: str, experiment_id: str, run_id: str, artifacts: Path) -> None:
    """Remove a study's runs for good, and its experiment unless that contains other runs or models.

    On a remote server, they are only marked as deleted. `run_id` is the run of the study itself, `artifacts` the
    artifact folder of its experiment. If the runs or the whole database no longer exist, that is not an error. Raises
    StoreError if MLflow fails.
    """
    local = uri.startswith(SQLITE)
    if local and not Path(uri.removeprefix(SQLITE)).exists():
        shutil.rmtree(artifacts, ignore_errors=True)
        return
    try:
        client = MlflowClient(tracking_uri=uri)
        stage = _stage(client, experiment_id)
        runs = list(runs_of(client, experiment_id)) if stage else []
        own_runs = _own_runs(runs, run_id)
        # On a server, experiments can be restored, and an older server cannot list models.
        is_exclusive = len(own_runs) == len(runs) and not (
            local and stage and _has_models_or_traces(client, experiment_id)
        )
        if not is_exclusive:
            for run in own_runs:
                if run.info.lifecycle_stage == "active":
                    client.delete_run(run.info.run_id)
        elif stage == "active":
            client.delete_experiment(experiment_id)
        if local:
            _delete_rows(uri, artifacts.parent, own_runs, experiment_id if is_exclusive and stage else None)
    except (MlflowException, OSError) as error:
        raise StoreError(
            f"MLflow at {uri} failed: {truncate(error, 200)}. The study was not removed; run the command again."
        ) from error
    if local:
        for folder in [artifacts] if is_exclusive else [artifacts / run.info.run_id for run in own_runs]:
            shutil.rmtree(folder, ignore_errors=True)


def _own_runs(runs: Sequence[Run], run_id: str) -> list[Run]:
    """The runs of a study among those of an experiment: its trials, then the run of the study itself and the
    earlier runs that it replaced."""
    searches = {run.info.run_id: run.data.tags.get("hpo.search") for run in runs}
    search = searches.get(run_id)
    parents = {run_id, *(other for other, tag in searches.items() if search and tag == search)}
    trials = [run for run in runs if run.data.tags.get("mlflow.parentRunId") in parents]
    return trials + [run for run in runs if run.info.run_id in parents]


def runs_of(client: MlflowClient, experiment_id: str, query: str = "", view: int = ViewType.ALL) -> Iterator[Run]:
    """The runs of an experiment, including those that are marked as deleted."""
    token = None
    while True:
        page = client.search_runs([experiment_id], query, view, 1000, page_token=token)
        yield from page
        if not (token := page.token):
            return


def _has_models_or_traces(client: MlflowClient, experiment_id: str) -> bool:
    """Whether an experiment contains models or traces, which hpo never writes."""
    traces = client.search_traces(locations=[experiment_id], max_results=1, include_spans=False)
    return bool(traces or client.search_logged_models([experiment_id], max_results=1))


def _stage(client: MlflowClient, experiment_id: str) -> str:
    """`active`, `deleted`, or "" if there is no such experiment."""
    try:
        return str(client.get_experiment(experiment_id).lifecycle_stage)
    except MlflowException as error:
        if error.error_code != "RESOURCE_DOES_NOT_EXIST":
            raise
        return ""


def _delete_rows(uri: str, artifacts: Path, runs: Iterable[Run], experiment_id: str | None) -> None:
    """Delete from a database runs that are marked as deleted, with their artifacts, and the experiment if one is given.
    `mlflow gc` would also delete the runs, models and experiments that others have marked and may want to restore."""
    from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository
    from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore

    store: Any = SqlAlchemyStore(uri, artifacts.resolve().as_uri())  # type: ignore[no-untyped-call]  # MLflow has no types here
    for run in runs:
        get_artifact_repository(run.info.artifact_uri).delete_artifacts()  # type: ignore[no-untyped-call]  # MLflow has no types here
        store._hard_delete_run(run.info.run_id)  # noqa: SLF001 - as `mlflow gc` does
    if experiment_id is not None:
        store._hard_delete_experiment(experiment_id)  # noqa: SLF001 - as `mlflow gc` does
