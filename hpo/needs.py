"""What a regularizer cannot act without, as far as the data tell: classes, images, another domain. (A column of text is asked for where the table is
read, our own MLP where the space is.)"""

from __future__ import annotations

from collections.abc import Iterator

from hpo.data import Dataset
from hpo.errors import InputError
from hpo.regularizers import FAMILY
from hpo.space import Space


def check(space: Space, data: Dataset) -> None:
    """Raises InputError with a sentence for each key of `search` that lacks something in these data."""
    if lacking := list(_lacking(space, data)):
        raise InputError("\n".join(lacking))


def _lacking(space: Space, data: Dataset) -> Iterator[str]:
    for key in space.search:
        needs = FAMILY[key].needs if key in FAMILY else ()
        if "classes" in needs and not data.classes:
            yield f"search.{key}: needs classes, and {data.target_name} is a number; leave the key out."
        if "image" in needs and not data.image:
            yield f"search.{key}: needs images; set network.image to [channels, height, width], or leave the key out."
        if "target" in needs and not all(len(fold.target) for fold in data.folds):
            yield f"search.{key}: needs rows of another domain to adapt to; name its file in data.target.source, or leave the key out."
