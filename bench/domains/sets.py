"""The spaces that are searched: the shipped ones, with other data in their place or with less to search.

A comparison is a table: its rows are ways, each a space, and its columns are tasks.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from hpo import document
from hpo.regularizers import FAMILY

Json = dict[str, Any]
SPACES = Path(__file__).parent.parent.parent / "search_spaces"
REVIEWS = {"books → dvd": ("books", "dvd"), "dvd → books": ("dvd", "books")}
DIGITS = "upright → rotated"
SOURCE, TOGETHER, ORACLE = "source only", "all together", "oracle"


class Column(NamedTuple):
    """What others reach, accuracy in percent, by task."""

    title: str
    published: bool
    scores: Mapping[str, float]


# Published: Ganin et al., "Domain-Adversarial Training of Neural Networks", JMLR 2016, table 1. Measured: scikit-learn's
# LinearSVC, whose C was chosen by folds on the source.
OTHERS = (
    Column("DANN", True, {"books → dvd": 78.4, "dvd → books": 72.3}),
    Column("linear SVM, words or not", False, {"books → dvd": 80.3, "dvd → books": 77.1}),
    Column("linear SVM, counts", False, {"books → dvd": 80.4, "dvd → books": 74.4}),
)


def _shipped(name: str) -> Json:
    found: Json = document.parse((SPACES / f"{name}.yaml").read_text()).value
    return found


def adapting(space: Mapping[str, Any]) -> list[str]:
    """The keys of its search that look at the other domain, or vary the source."""
    return [key for key in space["search"] if key in FAMILY and ("target" in FAMILY[key].needs or key == "randomization")]


def reviews(task: str, data: Path) -> Json:
    """The shipped space on the reviews of two things."""
    source, target = REVIEWS[task]
    space = _shipped("reviews")
    own = {key: value for key, value in space["data"].items() if key not in ("source", "target")}
    files = {"source": str(data / f"amazon-{target}-train.svmlight"), "test": str(data / f"amazon-{target}-test.svmlight"), "labels": "none"}
    return {**space, "data": {"source": str(data / f"amazon-{source}-train.svmlight"), "target": files, **own}}


def digits(task: str, data: Path) -> Json:
    """The shipped space on the shipped digits."""
    del task, data
    space = _shipped("domain_shift")
    files = {**space["data"]["target"], "source": str(SPACES / space["data"]["target"]["source"])}
    return {**space, "data": {**space["data"], "source": str(SPACES / space["data"]["source"]), "target": files}}


def without(space: Json, keys: list[str]) -> Json:
    """A space that does not search some keys; conditions on these go with them."""
    left = {key: value for key, value in space["search"].items() if key not in keys}
    return {**space, "search": left}


def oracle(space: Json) -> Json:
    """The same search, which may see every label of the target but those of its test part: they choose, they do not train."""
    data = {**space["data"], "target": {**space["data"]["target"], "labels": "validation-only"}}
    return {**space, "data": data, "train": {**space["train"], "metric": "accuracy"}}


def ways(space: Json, *, alone: bool) -> dict[str, Json]:
    """The rows of a table: nothing adapts, each way of adapting alone, if wished, all of them together, and the oracle."""
    adapts = adapting(space)
    plain = without(space, adapts)
    found = {SOURCE: {**plain, "train": {**plain["train"], "metric": "loss"}}}
    if alone:
        found |= {key: without(space, [other for other in adapts if other != key]) for key in adapts}
    return found | {TOGETHER: space, ORACLE: oracle(space)}


TASKS: Mapping[str, Callable[[str, Path], Json]] = {**dict.fromkeys(REVIEWS, reviews), DIGITS: digits}


def jobs(task: str, data: Path) -> dict[str, Json]:
    """Every way of a task."""
    return ways(TASKS[task](task, data), alone=task == DIGITS)
