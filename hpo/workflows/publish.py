"""What is written of a search besides its study: its run in MLflow, its configuration, its page."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from hpo.core.errors import StoreError, describe_exception
from hpo.export import files
from hpo.selection import result as results
from hpo.selection.ensemble import build
from hpo.space.space import flat
from hpo.study.directory import StudyDirectory
from hpo.study.study import Study
from hpo.tracking.mlflow_view import view
from hpo.tracking.recorder import Recorder
from hpo.training.experiment import Experiment


def run_header(job: Experiment, study: Study) -> dict[str, Any]:
    """What MLflow is told of a search before its trials."""
    space = job.space
    said = files.space_dict(space)
    return {
        "study": space.study,
        "search": study.get_attr("id"),
        "tags": {
            "hpo.role": "study",
            "hpo.data": job.data.fingerprint,
            **{f"version.{name}": value for name, value in results.versions().items()},
        },
        "params": flat(said),
        "view": view(space, job.data.task),
        "space": files.as_yaml(said),
    }


def publish(
    result: dict[str, Any],
    job: Experiment,
    study: Study,
    place: StudyDirectory,
    recorder: Recorder,
    weights: Sequence[Path],
    note: Callable[[str], None],
) -> None:
    """Writes the selected configuration and the page, and ends the run in MLflow with both and the files of `weights`. Adds to `result`
    the seconds that the page took; None if there is none, which `note` is told. Raises StoreError."""
    made = job.networks.network_for(result["selected"])
    point = files.configuration(result, job.space, made, job.base_dir, place.folder)
    best = place.folder / "best.yaml"
    try:
        best.write_text(files.commented(point, made), encoding="utf-8")
    except OSError as error:
        raise StoreError(f"The result could not be written to {place.folder}: {error.strerror}.") from error
    result["report_seconds"] = _page(result, job, study, place, note)
    pages = [place.report] if result["report_seconds"] is not None else []
    recorder.close(
        "FINISHED",
        tags={f"selected.{key}": value for key, value in result["selected"].items()}
        | {"hpo.selected": result["trial"], "hpo.rule": result["rule"]},
        metrics=results.metrics(result) | build.metrics(result["ensembles"]),
        artifacts=[*map(str, [*pages, best, *weights])],
    )


def _page(
    result: dict[str, Any], job: Experiment, study: Study, place: StudyDirectory, note: Callable[[str], None]
) -> float | None:
    """Writes the page; how many seconds that took."""
    from hpo import report  # with plotly, which takes a third of a second to import

    began = time.time()
    try:
        report.write(
            report.ReportInputs.of(result, job.space, study.outcomes, job.networks, job.data, place), place.report
        )
    except StoreError:
        raise
    except Exception as error:  # noqa: BLE001 -- hours of training must not end in vain for want of a picture
        place.report.unlink(missing_ok=True)
        note(
            f"The page on the search could not be made ({describe_exception(error)}), which is a mistake of ours; all else is whole."
        )
        return None
    return time.time() - began
