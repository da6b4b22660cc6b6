"""The configuration of a trial is a mapping, and has typed parts."""

import json
import pickle

import pytest

from hpo.core.trial import Trial
from hpo.core.trial_key import TrialKey
from hpo.regularizers.configs import make_config
from hpo.space import loader
from hpo.study import baselines
from tests.helpers.searches import TINY

VALUES = {"learning_rate": 1, "depth": 2, "channels": 4, "skip": "none", "batch_size": 8, "l1": 0.1, "dropout": 0}


def test_a_configuration_is_a_mapping_in_the_given_order():
    config = make_config(VALUES)
    assert list(config.items()) == list(VALUES.items())
    assert config == VALUES
    assert dict(VALUES) == config
    assert config == make_config(dict(reversed(VALUES.items())))
    assert config != VALUES | {"l1": 0.2}
    assert config["channels"] == 4
    assert config.get("mixup") is None


def test_every_key_is_in_the_part_of_its_kind():
    config = make_config(VALUES)
    assert (config.learning_rate, type(config.learning_rate)) == (1.0, float)
    assert config.strengths == {"l1": 0.1, "dropout": 0}
    assert config.structure == {"depth": 2, "skip": "none"}
    assert config.schedule == {"batch_size": 8}
    assert config.arguments == {"channels": 4}


def test_a_changed_copy_keeps_order_and_original():
    config = make_config(VALUES)
    changed = config.with_values({"dropout": 0.5, "depth": 3})
    assert list(changed.items()) == list((VALUES | {"dropout": 0.5, "depth": 3}).items())
    assert (changed.strengths["dropout"], changed.structure["depth"]) == (0.5, 3)
    assert config == VALUES
    with pytest.raises(KeyError, match="mixup"):
        config.with_values({"mixup": 0.1})


def test_a_trial_is_read_back_from_json_and_from_a_pickle_with_its_parts():
    trial = Trial(TrialKey(3), "search", make_config(VALUES), 7, epochs=4)
    stored = trial.to_json()
    assert stored["params"] == VALUES
    for copy in (Trial.from_json(json.loads(json.dumps(stored))), pickle.loads(pickle.dumps(trial))):
        assert copy == trial
        assert list(copy.params) == list(VALUES)
        assert (copy.params.strengths, copy.params.arguments) == (trial.params.strengths, trial.params.arguments)


def test_the_configurations_of_a_space_and_its_baselines_have_parts():
    network = {
        "kind": "module",
        "factory": "tests.helpers.factories:small",
        "search": {"channels": {"choices": [4, 8]}},
    }
    search = {"l1": {"low": 0.1, "high": 0.5}, "epochs": 5}
    space = loader.parse(TINY | {"network": network, "search": search, "train": {}})
    trials = baselines.baseline_trials(space)
    for config in (space.params({"channels": 8}), space.middle(), *(trial.params for trial in trials)):
        assert config.arguments.keys() == {"channels"}
        assert config.schedule == {"epochs": 5}
    assert trials[1].params.strengths.keys() == {"l1", "weight_decay", "dropout"}
    assert baselines.ablation(trials[1]).params.strengths == {"l1": 0, "weight_decay": 0, "dropout": 0}
