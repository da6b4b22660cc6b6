"""Check that data and networks meet the needs of regularizers and validators: classes, images, a domain, features.

Two needs are checked elsewhere: the need for a text column when the table is read, and that for `network.kind: mlp`
when the space is read.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from hpo.core.errors import InputError
from hpo.core.metrics import BALANCED_METRICS, METRICS, VALIDATORS, Task, reported_metrics
from hpo.data.dataset import Dataset
from hpo.nn.network import BatchedNetwork
from hpo.regularizers import FAMILY
from hpo.space.space import Space
from hpo.training import evaluation

_ENTROPY_REGULARIZERS = ("entropy", "infomax")
_IMBALANCED = 2.0  # the largest class has at least this many times as many training rows as the smallest
_TRAINED_FOR = {"target_entropy": _ENTROPY_REGULARIZERS, "infomax": _ENTROPY_REGULARIZERS}  # the keys are validators


def check_task(space: Space, task: Task) -> None:
    """Raise InputError if the followed metric or an objective does not exist for the task of the data."""
    if task not in METRICS[space.train.metric].tasks and space.train.metric not in VALIDATORS:
        known = ", ".join(m.name for m in METRICS.values() if task in m.tasks and not m.is_validator)
        raise InputError(f"train.metric: {space.train.metric} needs another task than {task}. Known: {known}.")
    reported = [*reported_metrics(task, space.train.metric)]
    for name in space.objective_names:
        if name.startswith("valid_") and name.removeprefix("valid_") not in (*reported, *VALIDATORS):
            known = ", ".join(f"valid_{metric}" for metric in reported)
            raise InputError(f"objectives: {name} is not measured in this search. Known: {known}.")


def check(space: Space, data: Dataset) -> None:
    """Raise InputError, with a sentence for each key of `search`, if the data lack something that a key needs."""
    if sentences := list(_missing(space, data)):
        raise InputError("\n".join(sentences))


def check_networks(space: Space, networks: Sequence[BatchedNetwork]) -> None:
    """Raise InputError if a key of `search` needs the features of a network, and a network does not expose them."""
    for key in space.search:
        if key in FAMILY and "features" in FAMILY[key].needs and any(network.width is None for network in networks):
            raise InputError(
                f"search.{key}: needs features, the inputs of a network's last nn.Linear, and this network has no "
                f"nn.Linear with one output per class (or number) to predict; end it with one, or leave the key out."
            )


def check_validators(space: Space, data: Dataset, networks: Sequence[BatchedNetwork]) -> None:
    """Raise InputError if a validator that the search follows cannot be computed for these data and networks."""
    for key, name in _followed_validators(space).items():
        for network in networks:
            reasons = (evaluation.unavailable_reason(name, data, network, fold) for fold in data.folds)
            if reason := next(filter(None, reasons), ""):
                raise InputError(f"{key}: {reason}")


def needs_density_ratio(space: Space) -> bool:
    """Return whether density ratios, whose estimation takes a while, are needed: for training, for the followed metric,
    or to rate the validators on labelled target rows."""
    return (
        "importance" in space.search
        or "iwv" in _followed_validators(space).values()
        or space.data.target.labels == "validation-only"
    )


def notes(space: Space, data: Dataset) -> list[str]:
    """Return notes for the user about settings that are valid, but rarely intended."""
    biased = [
        f"{key}: search.{member} optimizes {name} directly, so it tends to rate even the largest strength as good; "
        f"compare it with iwv or dev."
        for key, name in _followed_validators(space).items()
        for member in _TRAINED_FOR.get(name, ())
        if member in space.search
    ]
    keeping = [key for key in ("freeze", "l2_sp") if key in space.search and space.network.init is None]
    random = [
        f"search.{key} keeps the initial weights of a network, and without network.init these are random."
        for key in keeping
    ]
    return [*biased, *random, *_unweighted_classes(space, data)]


def _unweighted_classes(space: Space, data: Dataset) -> list[str]:
    """Return a note if a search follows a metric that counts all classes alike, but trains mostly on the largest."""
    weighted = space.data.class_weight is not None or "class_weight" in space.search
    if space.is_point or weighted or space.train.metric not in BALANCED_METRICS or data.class_weights is None:
        return []
    ratio = float(data.class_weights.max() / data.class_weights.min())
    if ratio < _IMBALANCED:
        return []
    return [
        f"train.metric: {space.train.metric} counts all classes alike, and the largest class has {ratio:.1f} times as "
        f"many training rows as the smallest; add class_weight: auto under search."
    ]


def _missing(space: Space, data: Dataset) -> Iterator[str]:
    """Yield a sentence for each key that needs something that the data lack."""
    for key in space.search:
        needs = FAMILY[key].needs if key in FAMILY else ()
        if "classes" in needs and not data.classes:
            yield f"search.{key}: needs classes, and {data.target_name} is a number; leave the key out."
        if "image" in needs and not data.image:
            yield f"search.{key}: needs images; set network.image to [channels, height, width], or leave the key out."
        if "auxiliary" in needs and data.auxiliary is None:
            yield f"search.{key}: needs another target; name its column in data.auxiliary, or leave the key out."
        if "target" in needs and not all(len(fold.target) for fold in data.folds):
            yield (
                f"search.{key}: needs rows of another domain without labels to adapt to, and "
                f"{evaluation.no_target_rows_reason(data)}, or leave the key out."
            )


def _followed_validators(space: Space) -> dict[str, str]:
    """Return the validators among the followed metrics, by the key of the space that names them."""
    followed = {"train.metric": space.train.metric} | {
        f"objectives: {goal}": goal.removeprefix("valid_") for goal in space.objective_names[1:]
    }
    return {key: name for key, name in followed.items() if name in VALIDATORS}
