"""The same search from Python."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from hpo import job as jobs
from hpo import space_file
from hpo.store import Place


def search(
    space: str | Path | Mapping[str, Any], *, store: str | Path = "mlruns", tracking_uri: str | None = None
) -> dict[str, Any]:
    """Searches a space and returns the result, as `hpo search --json` prints it.

    `space` is a space file, or a mapping with the same keys (relative paths then start at the working directory).
    Called again, it goes on to the total budget; on a finished study it returns the stored result. Raises
    `hpo.errors.InputError` with sentences for whatever must change.
    """
    job = jobs.prepare(space_file.parse(space), Path()) if isinstance(space, Mapping) else jobs.load(Path(space))
    return jobs.search(job, Place(Path(store), job.space.study), tracking_uri)
