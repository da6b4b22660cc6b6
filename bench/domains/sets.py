"""The spaces that are searched: the shipped ones, with other data or with fewer keys.

A comparison is a table whose columns are tasks and whose rows are methods, each with a space of its own.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from hpo.core import yaml_document
from hpo.regularizers import FAMILY

Json = dict[str, Any]
SPACES = Path(__file__).parent.parent.parent / "search_spaces"
REVIEWS = {"books → dvd": ("books", "dvd"), "dvd → books": ("dvd", "books")}
DIGITS = "upright → rotated"
SOURCE, TOGETHER, ORACLE, RANDOM = "source only", "all together", "oracle", "random trials"
SCRATCH, FROZEN, TUNED, SEARCHED = (
    "from scratch",
    "frozen features",
    "plain fine-tuning",
    "freeze × l2_sp × learning rate",
)
FEW = 20  # labelled target rows per class
_ORACLES_FEW = {
    DIGITS: 20,
    **dict.fromkeys(REVIEWS, 500),
}  # the half of the rows whose labels the oracle uses; it adapts to the others
_DVDS = 5586  # reviews of dvds in both files
_DIGITS = 898


class Column(NamedTuple):
    """Published or measured accuracies of another method in percent, by task."""

    title: str
    published: bool
    scores: Mapping[str, float]


# Published: Ganin et al., "Domain-Adversarial Training of Neural Networks", JMLR 2016, table 1. Measured:
# scikit-learn's LinearSVC, whose C was chosen by cross-validation on the source.
OTHERS = (
    Column("DANN", True, {"books → dvd": 78.4, "dvd → books": 72.3}),
    Column("linear SVM, whether a word occurs", False, {"books → dvd": 80.3, "dvd → books": 77.1}),
    Column("linear SVM, how often", False, {"books → dvd": 80.4, "dvd → books": 74.4}),
)


def adapting(task: str, data: Path) -> dict[str, Json]:
    """Return each method of a task.

    No adaptation, all of its methods together, for digits also each one separately, and the oracle, whose selection
    (but not its training) uses target labels.
    """
    space = _reviews(task, data) if task in REVIEWS else _digits()
    keys = [
        key for key in space["search"] if key in FAMILY and ("target" in FAMILY[key].needs or key == "randomization")
    ]
    plain = _searching(space, [key for key in space["search"] if key not in keys])
    found = {SOURCE: {**plain, "train": {**space["train"], "metric": "loss"}}}
    if task == DIGITS:
        found |= {
            key: _searching(space, [other for other in space["search"] if other == key or other not in keys])
            for key in keys
        }
    target = space["data"]["target"] | {"labels": "validation-only", "few": _ORACLES_FEW[task]}
    oracle = {**space, "data": {**space["data"], "target": target}, "train": {**space["train"], "metric": "accuracy"}}
    return {**found, TOGETHER: space, ORACLE: {**oracle, "finalists": 0, "select": "best"}}


def ranking(task: str, data: Path) -> Json:
    """Return a space with random trials, trained to their end, which target labels and validators then rank."""
    return {**adapting(task, data)[ORACLE], "sampler": "random", "pruner": "none", "refit": "keep"}


def _searching(space: Json, keys: list[str]) -> Json:
    return {**space, "search": {key: space["search"][key] for key in keys}}


def _shipped(name: str) -> Json:
    found: Json = yaml_document.parse((SPACES / f"{name}.yaml").read_text()).value
    return found


def _reviews(task: str, data: Path) -> Json:
    source, target = REVIEWS[task]
    space = _shipped("reviews")
    files = {
        "source": str(data / f"amazon-{target}-train.svmlight"),
        "test": str(data / f"amazon-{target}-test.svmlight"),
        "labels": "none",
    }
    return {
        **space,
        "data": {**space["data"], "source": str(data / f"amazon-{source}-train.svmlight"), "target": files},
    }


def _digits() -> Json:
    space = _shipped("domain_shift")
    target = space["data"]["target"] | {"source": str(SPACES / "digits_rotated.csv")}
    return {**space, "data": {**space["data"], "source": str(SPACES / "digits_upright.csv"), "target": target}}


def first(task: str, data: Path) -> Json:
    """Return the search of the network that fine-tuning starts from, on the source only."""
    of = adapting(task, data)[SOURCE]
    own = {key: value for key, value in of["data"].items() if key != "target"}
    return {**of, "data": {**own, "split": {"test": 0.1, "valid": 0.2, "seed": 0}}, "finalists": 2}


def tuning(task: str, data: Path, rows: Path, network: Path) -> dict[str, Json]:
    """Return each method for few labelled target rows.

    `rows` is the file of all target rows; the unlabelled ones are the test part. `network` is the folder of the network
    to start from.
    """
    few = FEW * (2 if task in REVIEWS else 10)
    of = adapting(task, data)[SOURCE]
    own = {key: value for key, value in of["data"].items() if key not in ("source", "target", "split")}
    split = {"test": 1 - few / (_DVDS if task in REVIEWS else _DIGITS), "folds": 4}
    search = {"learning_rate": of["search"]["learning_rate"], "dropout": {"low": 0.0, "high": 0.6}}
    frame = {
        **of,
        "data": {**own, "source": str(rows), "split": split},
        "train": {"epochs": 60, "batch_size": 16, "patience": 20},
        "search": search,
        "finalists": 0,
        "select": "best",
        "refit": "average",
    }
    begun = {**frame, "network": {"init": str(network)}}
    keeping = {"freeze": {"choices": [0, 1, 2]}, "l2_sp": {"low": 1e-4, "high": 1.0, "log": True, "optional": True}}
    return {
        SCRATCH: frame,
        FROZEN: {**begun, "search": {**search, "freeze": {"choices": [2]}}},
        TUNED: begun,
        SEARCHED: {**begun, "search": {**search, **keeping}},
    }
