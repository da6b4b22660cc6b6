"""Prepare an experiment: resolve the space, load the data, validate both, and probe the networks."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from hpo.core.errors import InputError
from hpo.core.importing import Factory, qualified_name
from hpo.core.samples import epoch_rows
from hpo.core.statistics import MIN_PAIRS
from hpo.data import dataset as data_module
from hpo.data import synthetic, text_augmentation
from hpo.data.dataset import Dataset
from hpo.export import pretrained
from hpo.export.pretrained import Pretrained
from hpo.nn import device as devices
from hpo.nn.network import BatchedNetwork
from hpo.regularizers import FAMILY
from hpo.selection.finals import n_draws
from hpo.space import loader, plugins
from hpo.space.space import Space
from hpo.study import samplers
from hpo.study.directory import StudyDirectory
from hpo.training import builder
from hpo.training.builder import NetworkBuilder
from hpo.training.experiment import Experiment
from hpo.workflows import plugin_check, requirements


@dataclass(frozen=True)
class _Setup:
    """A space with its network section completed, the factory of its networks and their initial weights."""

    space: Space
    base: Path
    factory: Factory | None
    initial: Pretrained | None
    device: torch.device


def load(
    path: Path,
    factory: Factory | None = None,
    device: torch.device = devices.CPU,
    changes: Mapping[str, Any] | None = None,
    plugin_modules: Sequence[str] = (),
    tracking_uri: str | None = None,
) -> Experiment:
    """Prepare the experiment of a space file.

    `changes` are sections that replace those of the file; `plugin_modules` are modules with regularizers. See `prepare`
    for the other arguments. Raises InputError.
    """
    plugins.load(plugin_modules, path.parent)
    space = loader.load(path, changes)
    return prepare(space, path.parent, factory, device, tracking_uri)


def prepare(
    space: Space,
    base: Path,
    factory: Factory | None = None,
    device: torch.device = devices.CPU,
    tracking_uri: str | None = None,
) -> Experiment:
    """Check everything that can be checked before anything is written, and return the experiment.

    Relative paths start at `base`. `factory` replaces the factory that the space names. A network that
    `network.init: runs:/…` names is downloaded from MLflow at `tracking_uri`. Raises InputError.
    """
    setup = _resolve(space, base, factory, device, tracking_uri)
    data = _load_data(setup)
    setup, data = _with_batch_size(setup, data)
    _validate(setup.space, data)
    return _probe(setup, data)


def run_fetcher(tracking_uri: str) -> Callable[[str], Path]:
    """Return a function that downloads the network of `runs:/RUN_ID` from MLflow and returns its directory."""

    def fetch(run: str) -> Path:
        from hpo.tracking import mlflow_writer  # imports MLflow, which takes more than a second

        return mlflow_writer.fetch_artifact(tracking_uri, run)

    return fetch


def _resolve(
    space: Space, base: Path, factory: Factory | None, device: torch.device, tracking_uri: str | None
) -> _Setup:
    """Load the initial weights, complete the network section with their architecture, and find the factory."""
    uri = tracking_uri or StudyDirectory(Path("mlruns"), "").tracking_uri
    initial = pretrained.load_from(space, base, run_fetcher(uri))
    if initial is not None:
        space = initial.adopted(space)
    if factory is None:
        factory = builder.factory(space, base)
    elif space.network.kind != "module":
        raise InputError(f"factory: needs network.kind: module, got {space.network.kind}.")
    else:
        network = space.network.model_copy(update={"factory": qualified_name(factory)})
        space = space.model_copy(update={"network": network})
    return _Setup(space, base, factory, initial, device)


def _load_data(setup: _Setup) -> Dataset:
    space = setup.space
    augmenting = (*text_augmentation.REGULARIZERS, synthetic.REGULARIZER)
    return data_module.prepare(
        space.data,
        setup.base,
        augmentations=[name for name in space.search if name in augmenting],
        image=space.network.image or (),
        encoder=setup.initial.encoder if setup.initial else None,
        with_density_ratio=requirements.needs_density_ratio(space),
    )


def _with_batch_size(setup: _Setup, data: Dataset) -> tuple[_Setup, Dataset]:
    """Choose the batch size if it is `auto`; add notes for the user on it and on epochs that are parts of a pass."""
    space, n_train = setup.space, max(len(fold.train) for fold in data.folds)
    notes = []
    if "batch_size" not in space.search and space.train.batch_size is None:
        train = space.train.with_batch_size(n_train)
        setup = dataclasses.replace(setup, space=space.model_copy(update={"train": train}))
        if train.minibatch != FAMILY["batch_size"].default_value:
            notes.append(f"train.batch_size: auto is {train.minibatch:,} for {n_train:,} training rows.")
    if epoch_rows(n_train) < n_train:
        notes.append(_epoch_note(space.max_epochs, n_train, min(len(fold.train) for fold in data.folds)))
    return setup, dataclasses.replace(data, notes=(*data.notes, *notes))


def _epoch_note(epochs: int, n_train: int, smallest: int) -> str:
    """Say how many passes the epochs of a trial are. Folds over time or of groups may have very different sizes, from
    `smallest` to `n_train` training rows."""
    passes, of_smallest = (f"{epochs * epoch_rows(rows) / rows:.1f}" for rows in (n_train, smallest))
    over = "passes over them"
    if passes != of_smallest:
        over = f"passes over those of the largest fold, and {of_smallest} passes over those of the smallest"
    return (
        f"An epoch trains on {epoch_rows(n_train):,} of the {n_train:,} training rows, so the {epochs} "
        f"epochs of a trial are at most {passes} {over}."
    )


def _validate(space: Space, data: Dataset) -> None:
    """Check the space against its data. Raises InputError."""
    requirements.check_task(space, data.task)
    requirements.check(space, data)
    constant = any(len(set(data.y[fold.valid].tolist())) < 2 for fold in data.folds)
    if space.train.metric in ("roc_auc", "r2") and constant:
        raise InputError(
            f"train.metric: {space.train.metric} needs two different targets in the validation part, and all "
            f"{len(data.folds[0].valid)} of its rows have the same; use another split seed, or metric: loss."
        )
    if space.refit.kind == "keep" and space.data.split.folds:
        raise InputError(
            "refit: keep needs a search on one split, and data.split.folds makes a network for every fold; use average."
        )
    samplers.check(space)


def _probe(setup: _Setup, data: Dataset) -> Experiment:
    """Build the networks of the space, try their initial weights and the plugins, and collect the notes for the user.
    Raises InputError."""
    space, initial = setup.space, setup.initial
    networks, notes = _probe_networks(setup, data)
    requirements.check_validators(space, data, networks)
    state: Mapping[str, Tensor] = {}
    if initial is not None:
        fitted = [initial.fit(network, data.classes, space) for network in networks]  # raises if any does not fit
        state, note = fitted[0]
        notes += [f"Every network starts with the weights of {initial.name}.", *([note] if note else [])]
    network_builder = NetworkBuilder(space, setup.factory, data.n_inputs, data.n_outputs, state)
    plugin_check.check(space, data, network_builder, plugins.members(space.search))
    notes += requirements.notes(space, data)
    all_notes = (*data.notes, *_changed_rows(space, data), *notes, *_few_fits(space, data))
    return Experiment(
        space=space,
        base_dir=setup.base,
        data=dataclasses.replace(data, notes=all_notes),
        max_parameters=max(sum(math.prod(p.shape) for p in network.parameters) for network in networks),
        factory=setup.factory,
        device=setup.device,
        state=state,
        init_digest=initial.content if initial else "",
    )


def _probe_networks(setup: _Setup, data: Dataset) -> tuple[list[BatchedNetwork], list[str]]:
    """Run a network of every architecture in the middle and at the ends of the space, and return the networks with
    notes for the user. Raises InputError."""
    space = setup.space
    rows = data.training_sizes(n_draws(data) if _has_finals(space) else 0)
    sizes = space.batch_sizes
    smallest_batch = 1 if 1 in {*sizes, *rows, *(epoch_rows(n) % size for n in rows for size in sizes)} else 2
    network_builder = NetworkBuilder(space, setup.factory, data.n_inputs, data.n_outputs)
    networks = [network_builder.network_for(params) for params in space.architectures()]
    for network in networks:
        network.check(smallest_batch, setup.device)
    dropout = "dropout" in space.search
    if dropout and not all(network.depth for network in networks):
        raise InputError("search.dropout: the network has no nn.Dropout to act on; add one, or leave the key out.")
    requirements.check_networks(space, networks)
    return networks, list(dict.fromkeys(note for network in networks for note in network.notes(dropout)))


def _has_finals(space: Space) -> bool:
    return not space.is_point and space.finalists > 0


def _changed_rows(space: Space, data: Dataset) -> list[str]:
    """Return a note if the rows differ from those of the search that exported this configuration."""
    if space.exported.get("fingerprint", data.fingerprint) == data.fingerprint:
        return []
    return ["The rows are not those that this configuration was exported from, so the score will differ."]


def _few_fits(space: Space, data: Dataset) -> list[str]:
    """Return a note if there are too few re-evaluation fits for a significance test (as over time without folds)."""
    fits = n_draws(data) * len(data.new_fold_sizes(1)) if _has_finals(space) else 0
    if not 0 < fits < MIN_PAIRS:
        return []
    return [
        f"Only {fits} re-evaluation fit{'' if fits == 1 else 's'} per finalist; a significance test needs {MIN_PAIRS}, "
        f"so the usual defaults will be selected. Set data.split.folds to {MIN_PAIRS} or more, or finalists: 0."
    ]
