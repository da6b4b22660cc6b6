"""A search that can begin: its space is sound, its data are loaded, its networks can be built."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import torch
from torch import Tensor

from hpo.core.errors import InputError
from hpo.core.importing import Factory, qualified_name
from hpo.core.statistics import MIN_PAIRS
from hpo.data import dataset as data_module
from hpo.data import synthetic, text_augmentation
from hpo.data.dataset import Dataset
from hpo.export import pretrained
from hpo.nn import device as devices
from hpo.nn.network import BatchedNetwork
from hpo.selection.finals import n_draws
from hpo.space import loader, plugins
from hpo.space.settings import RefitConfig
from hpo.space.space import Space, task_mistake
from hpo.study import samplers
from hpo.study.directory import StudyDirectory
from hpo.training import builder as networks
from hpo.training.builder import NetworkBuilder
from hpo.training.experiment import Experiment
from hpo.workflows import plugin_check, requirements


def load(
    path: Path,
    factory: Factory | None = None,
    device: torch.device = devices.CPU,
    refit: str | None = None,
    named: Sequence[str] = (),
    tracking_uri: str | None = None,
) -> Experiment:
    """The search that a space file describes, with another kind of `refit` if one is named; `named` are the modules of regularizers
    from outside. Raises InputError. See `prepare` for the rest."""
    plugins.load(named, path.parent)
    space = loader.load(path)
    if refit is not None:
        space = space.model_copy(update={"refit": RefitConfig.model_validate({"kind": refit})})
    return prepare(space, path.parent, factory, device, tracking_uri)


def prepare(
    space: Space,
    base: Path,
    factory: Factory | None = None,
    device: torch.device = devices.CPU,
    tracking_uri: str | None = None,
) -> Experiment:
    """Loads the data and checks all that can be checked before anything is written; `factory` takes the place of the one
    that the space names. Runs that the space names are MLflow's at `tracking_uri`. Raises InputError."""
    begins = pretrained.load_from(
        space, base, run_fetcher(tracking_uri or StudyDirectory(Path("mlruns"), "").tracking_uri)
    )
    if begins is not None:
        space = begins.adopted(space)
    if factory is None:
        factory = networks.factory(space, base)
    elif space.network.kind != "module":
        raise InputError(f"factory: needs network.kind: module, got {space.network.kind}.")
    else:
        named = space.network.model_copy(update={"factory": qualified_name(factory)})
        space = space.model_copy(update={"network": named})
    altering = [name for name in space.search if name in (*text_augmentation.MEMBERS, synthetic.MEMBER)]
    encoder = begins.encoder if begins else None
    shape = space.network.image or ()
    data = data_module.prepare(
        space.data, base, altering=altering, image=shape, encoder=encoder, ratio=requirements.ratio(space)
    )
    if mistake := task_mistake(space, data.task):
        raise mistake
    requirements.check(space, data)
    if space.train.metric in ("roc_auc", "r2") and any(
        len(set(data.y[fold.valid].tolist())) < 2 for fold in data.folds
    ):
        raise InputError(
            f"train.metric: {space.train.metric} needs two different targets in the validation part, and all "
            f"{len(data.folds[0].valid)} of its rows have the same; use another split seed, or metric: loss."
        )
    if space.refit.kind == "keep" and space.data.split.folds:
        raise InputError(
            "refit: keep needs a search on one split, and data.split.folds makes a network for every fold; take average."
        )
    samplers.check(space)
    if space.exported.get("fingerprint", data.fingerprint) != data.fingerprint:
        note = "The rows are not those that this configuration was exported from: expect another score."
        data = dataclasses.replace(data, notes=(*data.notes, note))
    tried, notes = _networks(space, data, factory, device)
    requirements.check_criteria(space, data, tried)
    state: Mapping[str, Tensor] = {}
    if begins is not None:
        (state, note), *_ = [begins.fit(one, data.classes, space) for one in tried]  # all of them must fit
        notes += [f"Every network begins with the weights of {begins.name}.", *([note] if note else [])]
    plugin_check.regularizers(
        space, data, NetworkBuilder(space, factory, data.n_inputs, data.n_outputs, state), plugins.members(space.search)
    )
    size = max(sum(math.prod(p.shape) for p in one.parameters) for one in tried)
    noted = dataclasses.replace(data, notes=(*data.notes, *notes, *requirements.notes(space), *_few_fits(space, data)))
    return Experiment(space, base, noted, size, factory, device, state, begins.content if begins else "")


def run_fetcher(tracking_uri: str) -> Callable[[str], Path]:
    """A function that downloads the network of `runs:/RUN_ID` from MLflow at `tracking_uri` and returns its directory."""

    def fetch(run: str) -> Path:
        from hpo.tracking import mlflow_writer  # imports MLflow, which takes more than a second

        return mlflow_writer.fetch_artifact(tracking_uri, run)

    return fetch


def _few_fits(space: Space, data: Dataset) -> list[str]:
    """What somebody should know whose finals will be over before they can show anything, as over time without folds."""
    fits = 0 if space.is_point or not space.finalists else n_draws(data) * len(data.sizes(1))
    if not 0 < fits < MIN_PAIRS:
        return []
    return [
        f"Finals have {fits} fresh fit{'' if fits == 1 else 's'} here, and fewer than {MIN_PAIRS} decide nothing: the usual defaults will be selected; "
        f"set data.split.folds to {MIN_PAIRS} or more, or finalists: 0."
    ]


def _networks(
    space: Space, data: Dataset, factory: Factory | None, device: torch.device
) -> tuple[list[BatchedNetwork], list[str]]:
    """The networks in the middle and at the ends of the space, and what is to be known of them. Raises InputError."""
    rows = data.training_sizes(0 if space.is_point or not space.finalists else n_draws(data))
    sizes = space.batch_sizes
    smallest = 1 if 1 in {*sizes, *rows, *(n % size for n in rows for size in sizes)} else 2
    found = list(map(NetworkBuilder(space, factory, data.n_inputs, data.n_outputs).network_for, space.architectures()))
    for one in found:
        one.check(smallest, device)
    if "dropout" in space.search and not all(one.depth for one in found):
        raise InputError("search.dropout: the network has no nn.Dropout to act on; give it one, or leave the key out.")
    requirements.check_networks(space, found)
    return found, list(dict.fromkeys(note for one in found for note in one.notes("dropout" in space.search)))
