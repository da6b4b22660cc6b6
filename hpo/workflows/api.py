"""The public function `hpo.search`."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from hpo.core.errors import InputError
from hpo.core.yaml_document import format_value
from hpo.nn import device as devices
from hpo.selection.result import SearchResult
from hpo.space import loader
from hpo.space.plugins import load as load_plugins
from hpo.study.directory import StudyDirectory, chosen_uri
from hpo.training.worker import start_workers
from hpo.workflows import prepare
from hpo.workflows import search as workflow


def search(
    space: str | Path | Mapping[str, Any],
    *,
    store: str | Path = "mlruns",
    tracking_uri: str | None = None,
    factory: Callable[..., torch.nn.Module] | None = None,
    workers: int = 1,
    device: str = "auto",
    deterministic: bool = False,
    plugins: str | Sequence[str] = (),
) -> SearchResult:
    """Search a space and return the result, which prints as the final table of `hpo search`.

    A second call with the same space resumes the search up to its total budget; a finished study returns the stored
    result. Raises `hpo.core.errors.InputError`, which says what to change, for errors in the input.

    Args:
        space: A space file, or a mapping with the same keys, whose relative paths start at the working directory.
        store: The folder of studies, the MLflow database and its artifacts.
        tracking_uri: The MLflow server to write to (default: MLFLOW_TRACKING_URI, else the database of the store).
        factory: A function that makes the networks, in place of the `network.factory` of a space. Exported files name
            it, so it should be importable.
        workers: The number of processes that train, at most one per core.
        device: `cpu`, `cuda` or `auto`: the GPU if torch finds one and `workers` is 1, else the CPU.
        deterministic: Make the trials independent of the number of workers, which takes longer.
        plugins: A module with regularizers of your own, or several (see docs/extending.md).
    """
    _check_types(space, store)
    plugins = [plugins] if isinstance(plugins, str) else plugins
    if isinstance(space, Mapping) and factory and isinstance(network := space.get("network", {}), Mapping):
        space = {**space, "network": {"kind": "module", **network}}
    uri = chosen_uri(Path(store), tracking_uri)
    with start_workers(workers) as processes:
        resolved = devices.resolve_device(device, workers)
        if isinstance(space, Mapping):
            load_plugins(plugins, Path())
            experiment = prepare.prepare(loader.parse(space), Path(), factory, resolved, uri)
        else:
            experiment = prepare.load(Path(space), factory, resolved, plugin_modules=plugins, tracking_uri=uri)
        directory = StudyDirectory(Path(store), experiment.space.study)
        return workflow.search(experiment, directory, uri, workers=processes, deterministic=deterministic)


def _check_types(space: object, store: object) -> None:
    """Check the arguments that callers may confuse with others. Raises InputError."""
    if not isinstance(space, str | Path | Mapping):
        raise InputError(f"space must be a path or a mapping, got {format_value(space)}.")
    if not isinstance(store, str | Path):
        raise InputError(f"store must be a path, got {format_value(store)}.")
