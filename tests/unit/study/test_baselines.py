"""The baselines and the ablation in a search of the class weight."""

import pytest

from hpo.core.trial import Trial
from hpo.core.trial_key import TrialKey
from hpo.regularizers.active import active_params
from hpo.regularizers.configs import make_config
from hpo.space import loader
from hpo.space.formatting import trial_name
from hpo.study import baselines


def space(metric, **search):
    given = {"study": "s", "data": {"source": "sklearn:wine"}, "train": {"metric": metric}}
    return loader.parse(given | {"search": {"dropout": {"low": 0.1, "high": 0.5}, **search}})


def selected(**params):
    config = make_config({"learning_rate": 1e-2, "depth": 2, **params})
    return Trial(TrialKey(5), "search", config, 3)


VALUES = [
    ("balanced_accuracy", "auto", 1.0),
    ("f1_macro", "auto", 1.0),
    ("loss", "auto", 0.0),
    ("accuracy", "auto", 0.0),
    ("balanced_accuracy", {"low": 0.2, "high": 0.7}, 0.7),
    ("loss", {"low": 0.2, "high": 0.7}, 0.2),
    ("loss", {"low": 0.2, "high": 0.7, "optional": True}, 0.0),
    ("balanced_accuracy", {"low": 0.2, "high": 0.7, "optional": True}, 0.7),
    ("balanced_accuracy", {"choices": [0, 0.5]}, 0.5),
    ("loss", 0.5, 0.5),
    ("balanced_accuracy", {"low": 0.2, "high": 0.7, "when": {"mixup": "on"}}, 0.0),
]


@pytest.mark.parametrize(("metric", "values", "expected"), VALUES)
def test_both_baselines_have_the_class_weight_that_the_metric_asks_for(metric, values, expected):
    none, defaults = baselines.baseline_trials(space(metric, class_weight=values, mixup={"low": 0.1, "high": 0.5}))
    assert none.params["class_weight"] == defaults.params["class_weight"] == expected
    assert (none.params["dropout"], none.params["mixup"], defaults.params["dropout"]) == (0, 0, 0.15)


def test_without_the_key_the_baselines_have_no_class_weight():
    none, defaults = baselines.baseline_trials(space("balanced_accuracy"))
    assert "class_weight" not in {*none.params, *defaults.params}


def test_the_ablation_keeps_the_class_weight():
    trial = selected(class_weight=0.7, dropout=0.2, weight_decay=0.1)
    assert baselines.ablation(trial).params == {**trial.params, "dropout": 0, "weight_decay": 0}


def test_the_class_weight_can_be_left_out_by_itself():
    trial = selected(class_weight=0.7, dropout=0.2)
    assert baselines.without_strength(trial, "class_weight").params == {**trial.params, "class_weight": 0}


def test_no_two_variants_share_a_label():
    """The ablation keeps a class weight, which may be left out before it or after it."""
    trial = selected(dropout=0.3, class_weight=0.5, l1=1e-3)
    ablation, unweighted = baselines.ablation(trial), baselines.without_strength(trial, "class_weight")
    variants = [ablation, unweighted, baselines.without_strength(trial, "l1")]
    variants += [baselines.without_strength(ablation, "class_weight"), baselines.ablation(unweighted)]
    variants += [baselines.without_strength(unweighted, name) for name in ("l1", "dropout")]
    by_label = {}
    for variant in [trial, *variants]:
        params = active_params(variant.params)
        assert by_label.setdefault(variant.label, params) == params
        assert TrialKey.parse(variant.label) == variant.key
    assert active_params(variants[3].params) == active_params(variants[4].params) == {"learning_rate": 1e-2, "depth": 2}
    assert trial_name(variants[3].label) == "trial 5 without regularization and class weight"
