"""The same search from Python."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from hpo.nn import device as devices
from hpo.space import loader
from hpo.space.plugins import load
from hpo.study.directory import StudyDirectory, chosen_uri
from hpo.training.worker import start_workers
from hpo.workflows import prepare as jobs
from hpo.workflows import search as searching


def search(
    space: str | Path | Mapping[str, Any],
    *,
    store: str | Path = "mlruns",
    tracking_uri: str | None = None,
    factory: Callable[..., torch.nn.Module] | None = None,
    workers: int = 1,
    device: str = "auto",
    deterministic: bool = False,
    plugins: Sequence[str] = (),
) -> dict[str, Any]:
    """Searches a space and returns the result, as `hpo search --json` prints it.

    `space` is a space file, or a mapping with the same keys (relative paths then start at the working directory).
    `factory` is a function that makes the networks, in place of `network: {kind: module, factory: my_package.nets:build}`;
    what is exported names it, so it is best one that can be imported. `workers` is the number of processes that train, at
    best one a core. `device` is `cpu`, `cuda` or `auto`: the GPU if torch sees one and there is one worker, else the CPU.
    Runs go to the MLflow at `tracking_uri`, else to that of MLFLOW_TRACKING_URI, else to the store's own.
    `deterministic` makes the trials the same at any number of rows and workers; it takes longer. `plugins` names modules that hold
    regularizers of your own (see docs/extending.md).
    Called again, it goes on to the total budget; on a finished study it returns the stored result. Raises
    `hpo.core.errors.InputError` with sentences for whatever must change.
    """
    if isinstance(space, Mapping) and factory and isinstance(network := space.get("network", {}), Mapping):
        space = {**space, "network": {"kind": "module", **network}}
    with start_workers(workers) as processes:
        where, uri = devices.resolve_device(device, workers), chosen_uri(Path(store), tracking_uri)
        if isinstance(space, Mapping):
            load(plugins, Path())
            job = jobs.prepare(loader.parse(space), Path(), factory, where, uri)
        else:
            job = jobs.load(Path(space), factory, where, named=plugins, tracking_uri=uri)
        place = StudyDirectory(Path(store), job.space.study)
        return searching.search(job, place, uri, workers=processes, deterministic=deterministic)
