"""What is written of a search besides its study: its run in MLflow, its configuration, its page."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from hpo import export
from hpo import result as results
from hpo.ensemble import making
from hpo.errors import StoreError
from hpo.job import Job
from hpo.recorder import Recorder
from hpo.space import flat
from hpo.store import Place
from hpo.study import Study
from hpo.view import view


def opening(job: Job, study: Study) -> dict[str, Any]:
    """What MLflow is told of a search before its trials."""
    space = job.space
    said = export.space_dict(space)
    return {
        "study": space.study,
        "search": study.recall("id"),
        "tags": {
            "hpo.role": "study",
            "hpo.data": job.data.fingerprint,
            **{f"version.{name}": value for name, value in results.versions().items()},
        },
        "params": flat(said),
        "view": view(space, job.data.task),
        "space": export.as_yaml(said),
    }


def close(result: dict[str, Any], job: Job, study: Study, place: Place, recorder: Recorder, weights: Sequence[Path]) -> None:
    """Writes the selected configuration and the page, which `result` then says the seconds of, and ends the run in MLflow with both and
    the files of `weights`. Raises StoreError."""
    made = job.networks.of(result["selected"])
    point = export.configuration(result, job.space, made, job.base, place.folder)
    best = place.folder / "best.yaml"
    try:
        best.write_text(export.commented(point, made))
    except OSError as error:
        raise StoreError(f"The result could not be written to {place.folder}: {error.strerror}.") from error
    from hpo import report  # with plotly, which takes a third of a second to import

    began = time.time()
    page = report.Material.of(result, job.space, study.outcomes, job.networks, job.data, place)
    report.write(page, place.report)
    result["report_seconds"] = time.time() - began
    recorder.close(
        "FINISHED",
        tags={f"selected.{key}": value for key, value in result["selected"].items()}
        | {"hpo.selected": result["trial"], "hpo.rule": result["rule"]},
        metrics=results.metrics(result) | making.metrics(result["ensembles"]),
        artifacts=[*map(str, [place.report, best, *weights])],
    )
