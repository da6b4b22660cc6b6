"""What a study has in MLflow, removed: its own runs, and nobody else's."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")  # MLflow looks at it while it is imported

from mlflow import MlflowClient
from mlflow.entities import Run, ViewType
from mlflow.exceptions import MlflowException

from hpo.core.errors import StoreError, truncate
from hpo.study.directory import SQLITE


def delete_runs(uri: str, experiment_id: str, run_id: str, artifacts: Path) -> None:
    """Removes a study's runs for good, and its experiment unless that holds what is another's, which stays; a remote server's are only
    marked as deleted. `run_id` is the study's own run, `artifacts` the folder of its experiment's.

    What is gone already, perhaps with its whole database, is no mistake. Raises StoreError if MLflow refuses.
    """
    local = uri.startswith(SQLITE)
    if local and not Path(uri.removeprefix(SQLITE)).exists():
        shutil.rmtree(artifacts, ignore_errors=True)
        return
    try:
        client = MlflowClient(tracking_uri=uri)
        stage = _stage(client, experiment_id)
        runs = list(runs_of(client, experiment_id)) if stage else []
        own = _own(runs, run_id)
        # A server's experiment can be brought back, and an older server has no models to be asked for.
        alone = len(own) == len(runs) and not (local and stage and _holds_more(client, experiment_id))
        if not alone:
            for run in (one for one in own if one.info.lifecycle_stage == "active"):
                client.delete_run(run.info.run_id)
        elif stage == "active":
            client.delete_experiment(experiment_id)
        if local:
            _forget(uri, artifacts.parent, own, experiment_id if alone and stage else None)
    except (MlflowException, OSError) as error:
        raise StoreError(
            f"MLflow at {uri} was lost: {truncate(error, 200)}. The study was not removed; run the command again."
        ) from error
    if local:
        for folder in [artifacts] if alone else [artifacts / run.info.run_id for run in own]:
            shutil.rmtree(folder, ignore_errors=True)


def _own(runs: Sequence[Run], run_id: str) -> list[Run]:
    """Those of a study among the runs of an experiment: its trials, then its own run, with any that this one has replaced."""
    searches = {run.info.run_id: run.data.tags.get("hpo.search") for run in runs}
    known = searches.get(run_id)
    same = {run_id, *(other for other, search in searches.items() if known and search == known)}
    trials = [run for run in runs if run.data.tags.get("mlflow.parentRunId") in same]
    return trials + [run for run in runs if run.info.run_id in same]


def runs_of(client: MlflowClient, experiment_id: str, query: str = "", view: int = ViewType.ALL) -> Iterator[Run]:
    """The runs of an experiment, also those that are marked as deleted."""
    token = None
    while True:
        page = client.search_runs([experiment_id], query, view, 1000, page_token=token)
        yield from page
        if not (token := page.token):
            return


def _holds_more(client: MlflowClient, experiment_id: str) -> bool:
    """Whether an experiment holds models or traces, which no search has written."""
    traces = client.search_traces(locations=[experiment_id], max_results=1, include_spans=False)
    return bool(traces or client.search_logged_models([experiment_id], max_results=1))


def _stage(client: MlflowClient, experiment_id: str) -> str:
    """`active`, `deleted`, or "" where there is no such experiment."""
    try:
        return str(client.get_experiment(experiment_id).lifecycle_stage)
    except MlflowException as error:
        if error.error_code != "RESOURCE_DOES_NOT_EXIST":
            raise
        return ""


def _forget(uri: str, artifacts: Path, runs: Iterable[Run], experiment_id: str | None) -> None:
    """Has a database forget runs that are marked as deleted, with their artifacts, and perhaps an experiment. `mlflow gc` does the same,
    but forgets whatever else of runs, models and experiments others have marked, and may want back."""
    from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository
    from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore

    store: Any = SqlAlchemyStore(uri, artifacts.resolve().as_uri())  # type: ignore[no-untyped-call]
    for run in runs:
        get_artifact_repository(run.info.artifact_uri).delete_artifacts()  # type: ignore[no-untyped-call]
        store._hard_delete_run(run.info.run_id)  # noqa: SLF001 - what `mlflow gc` calls
    if experiment_id is not None:
        store._hard_delete_experiment(experiment_id)  # noqa: SLF001 - the same
