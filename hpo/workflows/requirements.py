"""What a regularizer cannot act without, and a criterion not be computed, as far as the data tell: classes, images, another domain. (A
column of text is asked for where the table is read, our own MLP where the space is.)"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from hpo.core.errors import InputError
from hpo.core.metrics import VALIDATORS
from hpo.data.dataset import Dataset
from hpo.nn.network import BatchedNetwork
from hpo.regularizers import FAMILY
from hpo.space.space import Space
from hpo.training import evaluation


def check(space: Space, data: Dataset) -> None:
    """Raises InputError with a sentence for each key of `search` that lacks something in these data."""
    if lacking := list(_lacking(space, data)):
        raise InputError("\n".join(lacking))


def check_networks(space: Space, networks: Sequence[BatchedNetwork]) -> None:
    """Raises InputError with a sentence if a key of `search` needs features, and one of these networks does not tell them."""
    for key in space.search:
        if key in FAMILY and "features" in FAMILY[key].needs and any(network.width is None for network in networks):
            raise InputError(
                f"search.{key}: needs features, which are what a network's last nn.Linear is given, and this one has none with as many "
                "outputs as there are to predict; end it with one, or leave the key out."
            )


def _lacking(space: Space, data: Dataset) -> Iterator[str]:
    for key in space.search:
        needs = FAMILY[key].needs if key in FAMILY else ()
        if "classes" in needs and not data.classes:
            yield f"search.{key}: needs classes, and {data.target_name} is a number; leave the key out."
        if "image" in needs and not data.image:
            yield f"search.{key}: needs images; set network.image to [channels, height, width], or leave the key out."
        if "auxiliary" in needs and data.auxiliary is None:
            yield f"search.{key}: needs another target; name its column in data.auxiliary, or leave the key out."
        if "target" in needs and not all(len(fold.target) for fold in data.folds):
            yield f"search.{key}: needs rows of another domain without labels to adapt to, and {evaluation.none_left(data)}, or leave the key out."


def ratio(space: Space) -> bool:
    """Whether somebody needs density ratios, which take a while to estimate: who trains by them, who follows them, and where labelled
    rows of the target judge, the comparison of all criteria."""
    return (
        "importance" in space.search
        or "iwv" in _followed(space).values()
        or space.data.target.labels == "validation-only"
    )


def check_criteria(space: Space, data: Dataset, networks: Sequence[BatchedNetwork]) -> None:
    """Raises InputError if a criterion that is followed cannot be computed from these data, and what these networks say of them."""
    for key, name in _followed(space).items():
        for network in networks:
            if text := next(
                (why for fold in data.folds if (why := evaluation.unavailable_reason(name, data, network, fold))), ""
            ):
                raise InputError(f"{key}: {text}")


def notes(space: Space) -> list[str]:
    """What somebody should know who follows a criterion, because one that is trained for is no judge of how strongly, or who keeps weights
    that nobody has trained."""
    trained = {"target_entropy": ("entropy", "infomax"), "infomax": ("entropy", "infomax")}
    found = [
        f"{key}: {name} is what search.{member} trains for, so it tends to find that never too strong; compare it with iwv or dev."
        for key, name in _followed(space).items()
        for member in trained.get(name, ())
        if member in space.search
    ]
    keeping = [key for key in ("freeze", "l2_sp") if key in space.search and space.network.init is None]
    return [
        *found,
        *(
            f"search.{key} keeps the weights that a network begins with, and without network.init these are random."
            for key in keeping
        ),
    ]


def _followed(space: Space) -> dict[str, str]:
    """The criteria that a space follows, by the key that names each."""
    named = {"train.metric": space.train.metric} | {
        f"objectives: {goal}": goal.removeprefix("valid_") for goal in space.objective_names[1:]
    }
    return {key: name for key, name in named.items() if name in VALIDATORS}
