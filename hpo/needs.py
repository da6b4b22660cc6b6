"""What a regularizer cannot act without, and a criterion not be computed, as far as the data tell: classes, images, another domain. (A
column of text is asked for where the table is read, our own MLP where the space is.)"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from hpo.data import Dataset
from hpo.errors import InputError
from hpo.metrics import CRITERIA, METRICS
from hpo.network import Network
from hpo.regularizers import FAMILY
from hpo.space import Space


def check(space: Space, data: Dataset) -> None:
    """Raises InputError with a sentence for each key of `search`, and each criterion, that lacks something in these data."""
    if lacking := [*_lacking(space, data), *_uncounted(space, data)]:
        raise InputError("\n".join(lacking))


def _lacking(space: Space, data: Dataset) -> Iterator[str]:
    for key in space.search:
        needs = FAMILY[key].needs if key in FAMILY else ()
        if "classes" in needs and not data.classes:
            yield f"search.{key}: needs classes, and {data.target_name} is a number; leave the key out."
        if "image" in needs and not data.image:
            yield f"search.{key}: needs images; set network.image to [channels, height, width], or leave the key out."


def criteria(space: Space) -> list[tuple[str, str]]:
    """The criteria without labels that a space follows, each behind the key that names it."""
    named = [("train.metric", space.train.metric), *(("objectives", goal.removeprefix("valid_")) for goal in space.goals[1:])]
    return [(key, name) for key, name in named if name in CRITERIA]


def ratio(space: Space) -> bool:
    """Whether somebody needs density ratios, which take a while to estimate."""
    return "importance" in space.search or any(name == "iwv" for _, name in criteria(space))


def _uncounted(space: Space, data: Dataset) -> Iterator[str]:
    for key, name in criteria(space):
        if not all(len(fold.target_valid) for fold in data.folds):
            yield (
                f"{key}: {name} is computed on rows of another domain without labels, and there are none; set data.target.source, or take "
                f"a metric of labelled rows."
            )
        elif data.task not in METRICS[name].tasks:
            yield f"{key}: {name} needs classes, and {data.target_name} is a number; take iwv, or dev."


def features(space: Space, networks: Sequence[Network]) -> None:
    """Raises InputError if a criterion needs features of a network that does not tell them."""
    for key, name in criteria(space):
        if name == "dev" and any(network.width is None for network in networks):
            raise InputError(
                f"{key}: dev looks at what the last linear layer of a network is given, and this network (kind: {space.network.kind}) does "
                f"not tell that; take iwv, snd or infomax."
            )
