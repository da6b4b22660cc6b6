"""The same search from Python."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from hpo import job as jobs
from hpo import space_file
from hpo.store import Place
from hpo.worker import started


def search(
    space: str | Path | Mapping[str, Any],
    *,
    store: str | Path = "mlruns",
    tracking_uri: str | None = None,
    workers: int = 1,
) -> dict[str, Any]:
    """Searches a space and returns the result, as `hpo search --json` prints it.

    `space` is a space file, or a mapping with the same keys (relative paths then start at the working directory).
    `workers` is the number of processes that train, at best one a core.
    Called again, it goes on to the total budget; on a finished study it returns the stored result. Raises
    `hpo.errors.InputError` with sentences for whatever must change.
    """
    with started(workers) as processes:
        job = jobs.prepare(space_file.parse(space), Path()) if isinstance(space, Mapping) else jobs.load(Path(space))
        return jobs.search(job, Place(Path(store), job.space.study), tracking_uri, workers=processes)
