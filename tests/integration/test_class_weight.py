"""The class weight in a space: what is refused, what is noted, and what a search does with it."""

from pathlib import Path

import pandas as pd
import pytest
from sklearn.datasets import make_classification

import hpo
from hpo.core.errors import InputError
from hpo.space import loader
from hpo.workflows.prepare import prepare
from tests.helpers.searches import TINY

NOTE = (
    "train.metric: {metric} counts all classes alike, and the largest class has {ratio} times as many training rows as "
    "the smallest; add class_weight: auto under search."
)


def space(data="table.csv", metric="balanced_accuracy", search=(), **more):
    source = {"source": data, "target": "y"} if isinstance(data, str) else data
    return {**TINY, "data": source, "train": {**TINY["train"], "metric": metric}, "search": dict(search)} | more


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Two tables: 100 rows of which 20 belong to the smaller class, and 100 of which 40 do."""
    folder = tmp_path_factory.mktemp("imbalanced")
    for name, share in (("table", 0.8), ("even", 0.6)):
        x, y = make_classification(100, 6, weights=[share], flip_y=0, random_state=0)
        pd.DataFrame(x, columns=list("abcdef")).assign(y=y).to_csv(folder / f"{name}.csv", index=False)
    return folder


def prepared(folder, **given):
    return prepare(loader.parse(space(**{"search": {"dropout": "auto"}} | given)), folder).data


def notes(data):
    return [note for note in data.notes if "counts all classes alike" in note]


@pytest.mark.parametrize("metric", ["balanced_accuracy", "f1_macro"])
def test_a_search_for_a_balanced_metric_without_class_weights_is_noted(folder, metric):
    data = prepared(folder, metric=metric)
    counts = data.y[data.folds[0].train].bincount()
    assert counts.tolist() == [49, 11]
    assert notes(data) == [NOTE.format(metric=metric, ratio="4.5")]


@pytest.mark.parametrize(
    "given",
    [
        {"metric": "loss"},
        {"data": "even.csv"},
        {"data": {"source": "table.csv", "target": "y", "class_weight": "balanced"}},
        {"search": {"dropout": "auto", "class_weight": "auto"}},
        {"search": {"dropout": 0.2}, "budget": {"trials": 1}},
    ],
    ids=["other metric", "similar classes", "fixed", "searched", "single configuration"],
)
def test_other_spaces_have_no_such_note(folder, given):
    assert notes(prepared(folder, **given)) == []


def test_both_class_weights_are_refused():
    data = {"source": "table.csv", "target": "y", "class_weight": "balanced"}
    with pytest.raises(InputError) as caught:
        loader.parse(space(data, search={"class_weight": "auto"}))
    assert str(caught.value) == "data.class_weight is set twice, here and under search; remove one of them."


def test_a_regression_is_refused():
    with pytest.raises(InputError) as caught:
        prepare(loader.parse(space({"source": "sklearn:diabetes"}, "loss", {"class_weight": "auto"})), Path())
    assert str(caught.value) == "search.class_weight: needs classes, and target is a number; leave the key out."


def test_the_references_of_a_search_have_class_weights_of_their_own(folder, monkeypatch):
    monkeypatch.chdir(folder)
    search = {"learning_rate": "auto", "dropout": {"low": 0.1, "high": 0.5}, "class_weight": {"low": 0.2, "high": 0.8}}
    result = hpo.search(space(search=search), store=str(folder / "store"))
    assert result.baselines["none"].params["class_weight"] == result.baselines["defaults"].params["class_weight"] == 0.8
    ablation = result.baselines["ablation"].params
    assert ablation["class_weight"] == result.selected["class_weight"] >= 0.2
    assert ablation["dropout"] == 0
