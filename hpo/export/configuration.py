"""Export the selected configuration as a space file with a single point, and any space as plain values."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from hpo.core.samples import epoch_rows
from hpo.core.yaml_document import Dumper
from hpo.nn.network import BatchedNetwork
from hpo.regularizers.active import active_strengths
from hpo.selection.result import SearchResult
from hpo.selection.score_table import SINGLE_NETWORKS
from hpo.space import plugins
from hpo.space.formatting import format_score, trial_name
from hpo.space.hyperparameter import Hyperparameter
from hpo.space.network import MLP_KEYS
from hpo.space.space import Space

_HEADER = """\
# {study}: {description}, as a space with a single point.
# `hpo search --space` with this file{flags} trains it again.
#
# From study {source}, trial {trial}, {date}. MLflow run {run_id}.
# {scores}
{evidence}#
# In your own torch code:
#   {net}
#   optimizer = torch.optim.AdamW(net.parameters(), lr={learning_rate}, weight_decay={weight_decay})
#   for x, y in batches_of_{batch_size}:                  # {epochs}
#       optimizer.zero_grad(); loss(net(x), y).backward(); optimizer.step()
{l1}{schedule}{others}"""
_L1 = """\
#       with torch.no_grad():                       # l1: soft threshold on the weights
#           for p in net.parameters(): p.dim() > 1 and p.copy_(torch.nn.functional.softshrink(p, {threshold}))
"""
_COSINE = (
    "#   the learning rate follows torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max={epochs}), "
    "l1's threshold with it\n"
)
_OTHERS = "# These lines leave out {others}; what each does: hpo regularizers NAME\n"
_IN_TORCH_CODE = ("weight_decay", "dropout", "l1")  # regularizers that the lines of torch code contain
_SCORES = ("train", "valid", "reevaluated", "expected", "test")
_KEY_ORDER = (
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
_PROVENANCE = ("study", "trial", "run_id", "date", "fingerprint", "best_epoch", "versions")


def space_dict(space: Space) -> dict[str, Any]:
    """Return a space as its file would contain it, without defaults and empty values."""
    omitted: Any = {"search": True, "sampler": True, "pruner": True, "network": {"search"}}
    values = space.model_dump(mode="json", exclude=omitted, exclude_defaults=True)
    if space.network.search:
        values["network"] = values.get("network", {}) | {"search": _search_dict(space.network.search)}
    values |= {"search": _search_dict(space.search), "budget": space.budget.model_dump(exclude_none=True)}
    for name in ("sampler", "pruner"):
        strategy = getattr(space, name)
        values[name] = {"kind": strategy.kind, **strategy.options} if strategy.options else strategy.kind
    return {key: values[key] for key in _KEY_ORDER if key in values}


def _search_dict(hyperparameters: Mapping[str, Hyperparameter]) -> dict[str, Any]:
    search: dict[str, Any] = {}
    for key, parameter in hyperparameters.items():
        if not parameter.sampled and not parameter.when:
            search[key] = parameter.choices[0]
            continue
        bounds = {"low": parameter.low, "high": parameter.high}
        options = {
            "log": parameter.log,
            "step": parameter.step,
            "optional": parameter.optional,
            "when": {other: list(values) for other, values in parameter.when},
            "prior": parameter.prior and dataclasses.asdict(parameter.prior),
        }
        search[key] = {"choices": list(parameter.choices)} if parameter.choices else bounds
        search[key] |= {name: value for name, value in options.items() if value}
    return search


def as_yaml(value: Mapping[str, Any]) -> str:
    return str(yaml.dump(dict(value), Dumper=Dumper, sort_keys=False, allow_unicode=True, width=120))


def single_point(
    result: SearchResult,
    space: Space,
    network: BatchedNetwork,
    base: Path,
    folder: Path,
    suffix: str = "best",
    evidence: str = "",
) -> dict[str, Any]:
    """Return the selected configuration of a result as a space with a single point.

    `network` is the network of the configuration. The name of the study ends with `suffix`. Relative paths, which start
    at `base`, are rewritten to start at `folder`. `evidence` says how the scores are known if `result` describes a
    trial that was not selected.
    """
    needed = plugins.needed(space.search)
    return {
        "study": f"{space.study[: 99 - len(suffix)]}-{suffix}",
        "data": _data_section(space, base, folder),
        "network": _network_section(result, space, base, folder),
        "search": {
            key: value
            for key, value in result.selected.items()
            if key not in space.network.search
            and (key != "dropout" or network.depth)  # a default rate needs no nn.Dropout, a searched one does
        },
        "train": {**space.train.model_dump(mode="json", exclude=set(space.search)), "seed": result.fit_seed},
        "budget": {"trials": 1},
        "refit": _refit_section(result, space),
        "exported": {
            **({"plugins": needed} if needed else {}),
            **{key: getattr(result, key) for key in _PROVENANCE},
            **_epoch_rows(result.refit.rows),
            "scores": {
                "search": {result.metric: result.search_score},
                **{part: getattr(result, part) for part in _SCORES},
            },
            **({"evidence": evidence} if evidence else {}),
        },
    }


def _epoch_rows(n_train: int | None) -> dict[str, int]:
    """Return the rows of an epoch of the final training if they are only a part of its `n_train` training rows."""
    return {"epoch_rows": epoch_rows(n_train)} if n_train and epoch_rows(n_train) < n_train else {}


def _refit_section(result: SearchResult, space: Space) -> dict[str, Any]:
    """Return the section that trains the final networks again, for the same epochs and with the same temperature."""
    refit = result.refit
    networks = (refit.networks or space.refit.networks) if refit.kind == "scaled" else None
    values = {"networks": networks, "epochs": refit.epochs, "temperature": refit.temperature}
    return {"kind": refit.kind} | {key: value for key, value in values.items() if value is not None}


def _data_section(space: Space, base: Path, folder: Path) -> dict[str, Any]:
    data = space.data.model_dump(mode="json", exclude_defaults=True)
    sources = [_relative(source, base, folder) for source in space.data.sources]
    data["source"] = sources if isinstance(space.data.source, list) else sources[0]
    if space.data.target.source is not None:
        data["target"] |= {key: _relative(file, base, folder) for key, file in space.data.target.files.items()}
    if space.data.text.synonyms is not None:
        data["text"]["synonyms"] = os.path.relpath(base / space.data.text.synonyms, folder)
    return data


def _network_section(result: SearchResult, space: Space, base: Path, folder: Path) -> dict[str, Any]:
    unused = {"search", *space.search} | (set() if space.network.kind == "mlp" else {"activation", *MLP_KEYS})
    network = space.network.model_dump(mode="json", exclude=unused, exclude_none=True)
    if space.network.init is not None and not space.network.init.startswith("runs:/"):
        network["init"] = os.path.relpath(base / space.network.init, folder)
    if space.network.search:
        network["search"] = {key: result.selected[key] for key in space.network.search}
    return network


def _relative(source: str, base: Path, folder: Path) -> str:
    """Rewrite a path that starts at `base` so that it starts at `folder`."""
    return source if source.startswith("sklearn:") else os.path.relpath(base / source, folder)


def commented_yaml(point: Mapping[str, Any], network: BatchedNetwork) -> str:
    """Return a single point as YAML, below a comment with its origin and the torch code that trains it."""
    search, train, exported = point["search"], point["train"] | point["search"], point["exported"]
    code = "\n#   ".join(network.code(search.get("dropout", 0.0)))
    l1 = search.get("l1", 0.0)
    others = [key for key in active_strengths(search) if key not in _IN_TORCH_CODE]
    flags = "".join(f" --plugin {name}" for name in exported.get("plugins", ()))
    epochs = point["refit"].get("epochs", exported["best_epoch"])
    part = f" of {exported['epoch_rows']:,} rows" if "epoch_rows" in exported else ""
    if point["network"].get("init"):
        code += "\n#   # and load the weights that network.init names"
    return _HEADER.format(
        flags=f" and{flags}" if flags else "",
        study=point["study"],
        description=_description(exported),
        evidence=f"# {exported['evidence']}\n" if "evidence" in exported else "",
        source=exported["study"],
        trial=exported["trial"],
        date=exported["date"],
        run_id=exported["run_id"],
        scores=_score_text(exported["scores"]),
        net=code,
        epochs=f"{epochs} epoch{'' if epochs == 1 else 's'}{part}",
        batch_size=train["batch_size"],
        learning_rate=search["learning_rate"],
        weight_decay=search.get("weight_decay", 0.0),
        l1=_L1.format(threshold=float(f"{search['learning_rate'] * l1:.6g}")) if l1 else "",
        others=_OTHERS.format(others=", ".join(others)) if others else "",
        schedule=_COSINE.format(epochs=train["epochs"]) if train["schedule"] == "cosine" else "",
    ) + as_yaml(point)


def _description(exported: Mapping[str, Any]) -> str:
    if "evidence" not in exported:
        return "the configuration that `hpo search` selected"
    return f"{trial_name(exported['trial'])}, which `hpo search` did not select"


def _score_text(scores: Mapping[str, Mapping[str, float | None]]) -> str:
    """Return the scores by the names that the final table of a search has for them.

    Only without an expected score are those of the re-evaluation shown, of which some are calibrated and some are not.
    """
    parts = [_named_scores("search", scores["search"]), _named_scores("expected", scores["expected"])]
    if not parts[-1] and (reevaluated := _named_scores("re-evaluated", scores["reevaluated"])):
        parts.append(f"{reevaluated} ({SINGLE_NETWORKS})")
    return ", ".join(filter(None, [*parts, _named_scores("test", scores["test"])]))


def _named_scores(name: str, scores: Mapping[str, float | None]) -> str:
    known = {metric: value for metric, value in scores.items() if value is not None}
    return ", ".join(f"{name} {metric.replace('_', ' ')} {format_score(value)}" for metric, value in known.items())
