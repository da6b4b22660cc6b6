"""The data sets, the search of each, and published scores on the same rows.

A set and a split define one search. The split is the `random_state` that draws the test part, a fifth of the rows, as
scikit-learn's `train_test_split` does, stratified by class. It is also the seed of the search.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from hpo.core import yaml_document

Json = dict[str, Any]
NAMES = ("credit-g", "vehicle", "segment", "phoneme", "car")
SPLITS = (0, 1, 2, 3, 4)
PUBLISHED_SPLIT = 11  # of the published scores
COCKTAIL = "cocktail"
SPACE = Path(__file__).parent.parent.parent / "search_spaces" / "cocktail.yaml"


class Column(NamedTuple):
    """Balanced accuracies on the test rows of split 11 in percent, by set."""

    title: str
    published: bool
    scores: Mapping[str, float]


def _column(title: str, *scores: float, published: bool) -> Column:
    return Column(title, published, dict(zip(NAMES, scores, strict=True)))


# Published: Kadra, Lindauer, Hutter & Grabocka, "Well-tuned Simple Nets Excel on Tabular Datasets", NeurIPS 2021, days
# of search each. Measured: scikit-learn's with balanced class weights, and RealMLP of pytabkit without, on the same
# test rows with the settings that they come with.
COLUMNS: Mapping[str, Column] = {
    "mlp": _column("MLP", 69.4, 83.8, 94.8, 87.5, 97.4, published=True),
    "dropout": _column("+ dropout", 68.1, 82.6, 94.6, 88.4, 99.7, published=True),
    "weight_decay": _column("+ weight decay", 69.3, 83.2, 93.9, 86.7, 97.4, published=True),
    "xgboost": _column("XGBoost", 68.9, 75.0, 93.7, 88.0, 92.4, published=True),
    COCKTAIL: _column("cocktail of 13", 74.6, 82.6, 93.7, 86.6, 99.6, published=True),
    "logistic": _column("logistic regression", 72.5, 80.9, 95.0, 74.3, 96.8, published=False),
    "boosting": _column("gradient boosting", 77.4, 80.4, 97.4, 87.6, 100.0, published=False),
    "forest": _column("random forest", 74.9, 77.4, 97.0, 90.3, 99.5, published=False),
    "realmlp": _column("RealMLP", 72.5, 79.1, 97.4, 87.2, 100.0, published=False),
}


def shipped() -> Json:
    """Return the space that is searched, as it is shipped."""
    parsed: Json = yaml_document.parse(SPACE.read_text()).value
    return parsed


def space(name: str, split: int, budget: Mapping[str, float], data: Path) -> Json:
    """Return the shipped space with another table, the test part and the seed of `split`, and another budget.

    Nothing else differs, so what is measured is what a user gets by default.
    """
    whole = shipped()
    own = {key: value for key, value in whole["data"].items() if key not in ("source", "target")}
    return {
        **whole,
        "study": f"{name}-{split}",
        "data": {**own, "source": str(data / f"{name}.csv"), "split": {**own["split"], "test": 0.2, "seed": split}},
        "budget": dict(budget),
        "seed": split,
    }
