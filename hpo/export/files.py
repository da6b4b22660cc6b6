"""The chosen configuration as a space of one point, and its network for a plain torch program."""

from __future__ import annotations

import dataclasses
import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
import yaml
from safetensors.torch import save

from hpo.core.errors import InputError, StoreError
from hpo.core.yaml_document import Dumper
from hpo.data.dataset import Dataset
from hpo.nn.combination import Combination
from hpo.nn.network import BatchedNetwork
from hpo.space import plugins
from hpo.space.hyperparameter import Hyperparameter
from hpo.space.network import OF_AN_MLP
from hpo.space.space import Space
from hpo.study import ranking
from hpo.study.directory import write_atomic

_HEADER = """\
# {study}: what `hpo search` selected, as a space of one point. `hpo search --space` with this file{flags} trains it again.
#
# From study {source}, trial {trial}, {date}. MLflow run {run_id}.
# {scores}
#
# In your own torch code:
#   {net}
#   optimizer = torch.optim.AdamW(net.parameters(), lr={learning_rate}, weight_decay={weight_decay})
#   for x, y in batches_of_{batch_size}:                  # {epochs} epochs
#       optimizer.zero_grad(); loss(net(x), y).backward(); optimizer.step()
{l1}{schedule}{others}"""
_L1 = """\
#       with torch.no_grad():                       # l1: soft threshold on the weights
#           for p in net.parameters(): p.dim() > 1 and p.copy_(torch.nn.functional.softshrink(p, {threshold}))
"""
_COSINE = "#   the learning rate follows torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max={epochs}), l1's threshold with it\n"
_OTHERS = "# These lines leave out {others}; what each does: hpo regularizers NAME\n"
_IN_LINES = ("weight_decay", "dropout", "l1")


def space_dict(space: Space) -> dict[str, Any]:
    """A space as its file would say it, without what is default or empty."""
    omitted: Any = {"search": True, "sampler": True, "pruner": True, "network": {"search"}}
    plain = space.model_dump(mode="json", exclude=omitted, exclude_defaults=True)
    if space.network.search:
        plain["network"] = plain.get("network", {}) | {"search": _search_dict(space.network.search)}
    search = _search_dict(space.search)
    strategies = {}
    for name in ("sampler", "pruner"):
        strategy = getattr(space, name)
        strategies[name] = {"kind": strategy.kind, **strategy.options} if strategy.options else strategy.kind
    order = (
        "study",
        "data",
        "network",
        "search",
        "train",
        "budget",
        "sampler",
        "pruner",
        "objectives",
        "finalists",
        "select",
        "refit",
        "ensemble",
        "seed",
        "exported",
    )
    found = plain | {"search": search, "budget": space.budget.model_dump(exclude_none=True)} | strategies
    return {key: found[key] for key in order if key in found}


def _search_dict(domains: Mapping[str, Hyperparameter]) -> dict[str, Any]:
    search: dict[str, Any] = {}
    for key, domain in domains.items():
        if not domain.sampled and not domain.when:
            search[key] = domain.choices[0]
            continue
        said = {"choices": list(domain.choices)} if domain.choices else {"low": domain.low, "high": domain.high}
        extra = {
            "log": domain.log,
            "step": domain.step,
            "optional": domain.optional,
            "when": {other: list(wanted) for other, wanted in domain.when},
            "prior": domain.prior and dataclasses.asdict(domain.prior),
        }
        search[key] = said | {name: value for name, value in extra.items() if value}
    return search


def as_yaml(value: Mapping[str, Any]) -> str:
    return str(yaml.dump(dict(value), Dumper=Dumper, sort_keys=False, allow_unicode=True, width=120))


def configuration(
    result: Mapping[str, Any], space: Space, made: BatchedNetwork, base: Path, folder: Path, suffix: str = "best"
) -> dict[str, Any]:
    """The selected configuration, whose network is `made`, as a space of one point, its study named with a `suffix`; a relative data
    path is made relative to `folder`."""
    data = space.data.model_dump(mode="json", exclude_defaults=True)
    there = [_moved(source, base, folder) for source in space.data.sources]
    data["source"] = there if isinstance(space.data.source, list) else there[0]
    if space.data.target.source is not None:
        data["target"] |= {key: _moved(file, base, folder) for key, file in space.data.target.files.items()}
    if space.data.text.synonyms is not None:
        data["text"]["synonyms"] = os.path.relpath(base / space.data.text.synonyms, folder)
    others = {"search", *space.search} | (set() if space.network.kind == "mlp" else {"activation", *OF_AN_MLP})
    network = space.network.model_dump(mode="json", exclude=others, exclude_none=True)
    if space.network.init is not None and not space.network.init.startswith("runs:/"):
        network["init"] = os.path.relpath(base / space.network.init, folder)
    if space.network.search:
        network["search"] = {key: result["selected"][key] for key in space.network.search}
    return {
        "study": f"{space.study[: 99 - len(suffix)]}-{suffix}",
        "data": data,
        "network": network,
        "search": {
            key: value
            for key, value in result["selected"].items()
            if key not in space.network.search
            and (key != "dropout" or made.depth)  # the usual one may find no nn.Dropout to act on
        },
        "train": {**space.train.model_dump(mode="json", exclude=set(space.search)), "seed": result["fit_seed"]},
        "budget": {"trials": 1},
        "refit": {
            key: value for key, value in result["refit"].items() if key in ("kind", "epochs") and value is not None
        },
        "exported": {
            **({"plugins": needed} if (needed := plugins.needed(space.search)) else {}),
            **{
                key: result[key]
                for key in ("study", "trial", "run_id", "date", "fingerprint", "best_epoch", "versions")
            },
            "scores": {part: result[part] for part in ("train", "valid", "fresh", "test")},
        },
    }


def _moved(source: str, base: Path, folder: Path) -> str:
    """A file as `folder` sees it."""
    return source if source.startswith("sklearn:") else os.path.relpath(base / source, folder)


def commented(point: Mapping[str, Any], network: BatchedNetwork) -> str:
    """The configuration as YAML under a comment that says where it came from and how plain torch uses it."""
    search, train, exported = point["search"], point["train"] | point["search"], point["exported"]
    net = "\n#   ".join(network.code(search.get("dropout", 0.0)))
    parts = (
        (part, name, value) for part in ("valid", "fresh", "test") for name, value in exported["scores"][part].items()
    )
    scores = [f"{part} {name} {value:.4g}" for part, name, value in parts if value is not None]
    l1 = search.get("l1", 0.0)
    others = [key for key in ranking.regularizing(search) if key not in _IN_LINES]
    flags = "".join(f" --plugin {name}" for name in exported.get("plugins", ()))
    if point["network"].get("init"):
        net += "\n#   # and begins with the weights that network.init names"
    return _HEADER.format(
        flags=f" and{flags}" if flags else "",
        study=point["study"],
        source=exported["study"],
        trial=exported["trial"],
        date=exported["date"],
        run_id=exported["run_id"],
        scores=", ".join(scores),
        net=net,
        epochs=point["refit"].get("epochs", exported["best_epoch"]),
        batch_size=train["batch_size"],
        learning_rate=search["learning_rate"],
        weight_decay=search.get("weight_decay", 0.0),
        l1=_L1.format(threshold=float(f"{search['learning_rate'] * l1:.6g}")) if l1 else "",
        others=_OTHERS.format(others=", ".join(others)) if others else "",
        schedule=_COSINE.format(epochs=train["epochs"]) if train["schedule"] == "cosine" else "",
    ) + as_yaml(point)


def network_files(
    folder: Path, network: BatchedNetwork, weights: Mapping[str, torch.Tensor], data: Dataset, dropout: float
) -> None:
    """Writes `weights.safetensors`, `network.json` and `preprocess.json`: all that raw rows need to be predicted.

    `weights` have the fit axis first. Of several fits, whose predictions are averaged, each has its number before the names of
    its weights. Raises InputError if `folder` cannot be written.
    """
    states, said = _states(network, weights), network.description(dropout)
    if len(states) == 1:
        _write(folder, states[0], said, data)
    else:
        _write(folder, _numbered(states), {"average": len(states), "network": said}, data)


def ensemble_files(
    folder: Path,
    members: Sequence[tuple[BatchedNetwork, Mapping[str, torch.Tensor], float]],
    rule: Combination,
    data: Dataset,
) -> None:
    """The same of an ensemble: of each member its network, weights and dropout. The networks are numbered member by member; the
    `rule` by which they are combined is in both files, as `ensemble` and `each`, `combine.weight` and `combine.bias`."""
    states = [state for network, weights, _ in members for state in _states(network, weights)]
    said = {
        "ensemble": rule.kind,
        "each": rule.each,
        "networks": [network.description(dropout) for network, _, dropout in members],
    }
    _write(folder, _numbered(states) | {"combine.weight": rule.weight, "combine.bias": rule.bias}, said, data)


def _states(network: BatchedNetwork, weights: Mapping[str, torch.Tensor]) -> list[dict[str, torch.Tensor]]:
    """Of each fit, as plain torch has it."""
    fits = len(next(iter(weights.values())))
    return [network.state_dict({name: tensor[i].clone() for name, tensor in weights.items()}) for i in range(fits)]


def _numbered(states: Sequence[Mapping[str, torch.Tensor]]) -> dict[str, torch.Tensor]:
    return {f"{i}.{name}": tensor for i, state in enumerate(states) for name, tensor in state.items()}


def _write(folder: Path, state: Mapping[str, torch.Tensor], description: object, data: Dataset) -> None:
    preprocess = {
        "task": data.task,
        "target": data.target_name,
        "classes": list(data.classes),
        "target_mean": data.target_mean,
        "target_scale": data.target_scale,
        "columns": list(data.preprocess.columns),
        "text": list(data.preprocess.text),
        "features": list(data.preprocess.features),
        "documents": list(data.preprocess.documents),
    }
    files = {
        "weights.safetensors": save(dict(state)),
        "network.json": json.dumps(description, indent=1).encode(),
        "preprocess.json": json.dumps(preprocess, indent=1).encode(),
    }
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, content in files.items():
            write_atomic(folder / name, content)
    except (OSError, StoreError) as error:
        raise InputError(f"{folder} cannot be written; name another folder with --weights.") from error
