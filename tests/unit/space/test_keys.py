"""Keys of `search:` beyond numbers and ranges: auto, points, named values, conditions, priors; and their export."""

import re
from pathlib import Path

import pytest
import yaml

from hpo.core.errors import InputError, SpaceError
from hpo.export.configuration import as_yaml, space_dict
from hpo.regularizers import STRENGTHS
from hpo.space import loader
from hpo.space.formatting import config_line, config_lines, format_param
from hpo.space.hyperparameter import Hyperparameter, Prior
from hpo.space.parser import auto_range, searchable
from hpo.study import samplers
from hpo.workflows.prepare import prepare
from tests.helpers.space_files import HEAD

# The value of `search` → the hyperparameter of its last key.
MEANS = [
    ("{learning_rate: auto}", Hyperparameter(low=1e-4, high=1e-1, log=True)),
    ("{mixup: auto}", Hyperparameter(low=0.05, high=2.0, log=True, optional=True)),
    ("{dropout: {range: auto, optional: true}}", Hyperparameter(low=0.0, high=0.6, optional=True)),
    ("{skip: auto}", Hyperparameter(choices=("none", "residual", "shake-shake", "shake-drop"))),
    (
        "{skip: {choices: [shake-drop, none]}}",
        Hyperparameter(choices=("none", "shake-drop")),
    ),  # in the order of the family
    ("{dropout: auto, batch_norm: true}", Hyperparameter(choices=(True,))),
    ("{batch_norm: {choices: [true, false]}}", Hyperparameter(choices=(False, True))),
    ("{epochs: {choices: [10, 40]}}", Hyperparameter(choices=(10, 40), integer=True)),
    ("{l1: {low: 1e-4, high: 1, log: true, points: 5}}", Hyperparameter(choices=(1e-4, 1e-3, 1e-2, 1e-1, 1))),
    ("{dropout: {low: 0, high: 0.6, points: 3, optional: true}}", Hyperparameter(choices=(0, 0.3, 0.6), optional=True)),
    ("{depth: {low: 1, high: 10, points: 4}}", Hyperparameter(choices=(1, 4, 7, 10), integer=True)),
    ("{mixup: {choices: [0.1, 0.2], optional: true}}", Hyperparameter(choices=(0.1, 0.2), optional=True)),
    (
        "{skip: auto, l1: {low: 0, high: 1, when: {skip: [none, residual]}}}",
        Hyperparameter(low=0, high=1, when=(("skip", ("none", "residual")),)),
    ),
    (
        "{dropout: auto, l1: {low: 0, high: 1, when: {dropout: on}}}",
        Hyperparameter(low=0, high=1, when=(("dropout", ("on",)),)),
    ),
    ("{l1: {low: 0, high: 1, prior: {best: 0.3}}}", Hyperparameter(low=0, high=1, prior=Prior(0.3, "medium"))),
    (
        "{l1: {low: 0, high: 1, optional: true, prior: {best: off, confidence: low}}}",
        Hyperparameter(low=0, high=1, optional=True, prior=Prior("off", "low")),
    ),
    ("{l1: {low: 0, high: 1, points: 3, prior: {best: 0.4}}}", Hyperparameter(choices=(0, 0.5, 1), prior=Prior(0.5))),
]

# The value of `search` → its error messages.
WRONG = [
    (
        "{skip: shakedrop}",
        [
            "search.skip: must be one of none, residual, shake-shake or shake-drop, got shakedrop. "
            "Did you mean shake-drop?"
        ],
    ),
    (
        "{skip: {choices: [none, 3]}}",
        ["search.skip.choices[1]: must be one of none, residual, shake-shake or shake-drop, got 3."],
    ),
    (
        "{skip: [none]}",
        [
            "search.skip: must be one of none, residual, shake-shake or shake-drop, auto or {choices: […]}, "
            'got ["none"].'
        ],
    ),
    (
        "{skip: {low: 0, high: 1}}",
        ["search.skip: must be choices of none, residual, shake-shake or shake-drop, got a range."],
    ),
    ("{batch_norm: 1}", ["search.batch_norm: must be one of false or true, got 1."]),
    ("{batch_norm: {choices: []}}", ["search.batch_norm.choices: must be a list with at least one value, got []."]),
    (
        "{skip: {choices: [none, residual], optional: true}}",
        ["search.skip.optional: must be left out: skip cannot be off."],
    ),
    ("{l1: {range: all}}", ["search.l1.range: must be auto, got all."]),
    (
        "{l1: {range: auto, low: 0, log: true}}",
        ["search.l1: must have either range: auto or its own range, got both (low, log)."],
    ),
    ("{l1: {low: 0, high: 1, points: 1}}", ["search.l1.points: must be a whole number from 2 to 1,000, got 1."]),
    ("{l1: {low: 0, high: 1, points: 3, step: 0.5}}", ["search.l1: must have either points or step, got both."]),
    (
        "{depth: {low: 1, high: 3, points: 5}}",
        ["search.depth.points: must be at most 3, the number of different values, got 5."],
    ),
    (
        "{l1: {choices: [0, 1], points: 2}}",
        ["search.l1: must have either choices or low and high, got choices and points."],
    ),
    (
        "{l1: {low: 0, high: 1, when: dropout}}",
        ["search.l1.when: must be a mapping of other keys to the values with which l1 is active, got dropout."],
    ),
    (
        "{l1: {low: 0, high: 1, when: {dropout: []}}}",
        ["search.l1.when.dropout: must be a value or a list of values, got []."],
    ),
    (
        "{l1: {low: 0, high: 1, when: {droput: on}}, dropout: auto}",
        ["search.l1.when.droput is not another key of this search. Did you mean dropout?"],
    ),
    (
        "{l1: {low: 0, high: 1, when: {l1: on}}}",
        ["search.l1.when.l1 is not another key of this search. Known: learning_rate, depth."],
    ),
    (
        "{l1: {low: 0, high: 1, when: {dropout: 0.3}}, dropout: auto}",
        [
            "search.l1.when.dropout: must be on or off, since dropout is a range of numbers, got 0.3.",
        ],
    ),
    (
        "{l1: {low: 0, high: 1, when: {learning_rate: on}}, learning_rate: auto}",
        [
            "search.l1.when.learning_rate: must be another key, since learning_rate is a range of numbers, got on.",
        ],
    ),
    (
        "{l1: {low: 0, high: 1, when: {skip: [residual, shake-drop]}}, skip: {choices: [none, residual]}}",
        [
            "search.l1.when.skip: must be a value that skip can have (none, residual, on or off), got shake-drop.",
        ],
    ),
    (
        "{l1: {low: 0, high: 1, when: {depth: 1.5}}, depth: {low: 1, high: 3}}",
        [
            "search.l1.when.depth: must be a value that depth can have (from 1 to 3), got 1.5.",
        ],
    ),
    (
        "{l1: {low: 0, high: 1, when: {batch_norm: 1}}, batch_norm: auto}",
        [
            "search.l1.when.batch_norm: must be a value that batch_norm can have (false, true, on or off), got 1.",
        ],
    ),
    (
        "{learning_rate: {range: auto, when: {depth: 2}}}",
        [
            "search.learning_rate.when: must be left out: learning_rate has no default value for trials in which the "
            "condition does not hold.",
        ],
    ),
    (
        "{l1: {range: auto, when: {dropout: on}}, dropout: {range: auto, when: {mixup: on}}, "
        "mixup: {range: auto, when: {l1: on}}}",
        [
            "search.mixup.when: must not be circular: mixup needs l1 needs dropout needs mixup; remove one condition.",
        ],
    ),
    (
        "{l1: {low: 0, high: 1, prior: 0.3}}",
        ["search.l1.prior: must be {best: …, confidence: low|medium|high}, got 0.3."],
    ),
    (
        "{l1: {low: 0, high: 1, prior: {best: 2, confidence: hihg, sure: 1}}}",
        [
            "search.l1.prior.sure is not a key of a prior. Known: best, confidence.",
            "search.l1.prior.confidence: hihg is not known. Did you mean high?",
            "search.l1.prior.best: must be from 0 to 1, got 2.",
        ],
    ),
    (
        "{l1: {low: 0, high: 1, prior: {best: off}}}",
        ["search.l1.prior.best: must be a value of l1, got off; add optional: true to search off as well."],
    ),
    ("{l1: {choices: [0, 1], prior: {best: 0.5}}}", ["search.l1.prior.best: must be one of 0 or 1, got 0.5."]),
    (
        "{l1: {low: 0, high: 1}, dropout: {choices: [0.1], prior: {best: 0.1}}}",
        ["search.dropout.prior: must be left out: dropout has a single value."],
    ),
    (
        "{l1: {choices: [0, 1], prior: {best: 1}}}\nsampler: grid",
        [
            "search.l1.prior: has no effect with the sampler grid, which tries all values; remove it.",
        ],
    ),
    (
        "{l1: auto, epochs: auto}\ntrain: {epochs: 30, metric: loss}",
        ["train.epochs is set twice, here and under search; remove one of them."],
    ),
    ("{l1: auto}\nsampler: quasi_random", ["sampler: quasi_random is not a sampler. Did you mean qmc?"]),
    ("{group_lasso: auto}\nnetwork: {kind: resnet}", ["search.group_lasso: needs kind: mlp, got kind: resnet."]),
]


def space(search, **more):
    return loader.parse(yaml.load(HEAD, yaml.SafeLoader) | {"search": search} | more)


def load_search(tmp_path, text):
    path = tmp_path / "space.yaml"
    path.write_text(f"{HEAD}search: {text}\n")
    return loader.load(path)


@pytest.mark.parametrize(("text", "domain"), MEANS, ids=[text for text, _ in MEANS])
def test_a_key_is_parsed_and_an_export_restores_it(tmp_path, text, domain):
    found = load_search(tmp_path, text)
    assert domain in found.search.values()
    again = tmp_path / "again.yaml"
    again.write_text(as_yaml(space_dict(found)))
    assert loader.load(again).search == found.search
    assert loader.load(again).identity() == found.identity()


@pytest.mark.parametrize(("text", "sentences"), WRONG, ids=[sentences[0][:70] for _, sentences in WRONG])
def test_a_mistake_is_reported_with_file_line_and_key(tmp_path, text, sentences):
    with pytest.raises(SpaceError) as caught:
        load_search(tmp_path, text)
    assert [re.sub(r"^space\.yaml:\d+: ", "", mistake) for mistake in caught.value.mistakes] == sentences


@pytest.mark.parametrize(
    ("search", "sentence"),
    [
        (
            "{dropout: off}",
            "search.dropout: must be a number, auto, {low: …, high: …} or {choices: […]}, got false. "
            "To switch it off, remove the key (yaml.safe_load reads off as false).",
        ),
        (
            "{dropout: auto, l1: {low: 0, high: 1, when: {dropout: on}}}",
            "search.l1.when.dropout: must be on or off, since dropout is a range of numbers, got true. "
            "(yaml.safe_load reads on as true; put it in quotes.)",
        ),
        (
            "{l1: {low: 0, high: 1, optional: true, prior: {best: off}}}",
            "search.l1.prior.best: must be from 0 to 1, got false. "
            "(yaml.safe_load reads off as false; put it in quotes.)",
        ),
    ],
)
def test_on_and_off_read_by_another_yaml_loader_are_explained(search, sentence):
    with pytest.raises(SpaceError) as caught:
        loader.parse(yaml.safe_load(f"{HEAD}search: {search}"))
    assert caught.value.mistakes == (sentence,)


@pytest.mark.parametrize("key", searchable())
def test_auto_equals_the_automatic_range(key):
    other = {} if key == "l1" else {"l1": 0}
    assert space({key: "auto", **other}).search[key] == space({key: auto_range(key), **other}).search[key]


@pytest.mark.parametrize("key", STRENGTHS)
def test_every_strength_can_be_off_with_a_range_and_with_choices(key):
    probe = list(STRENGTHS[key].probe)
    for raw in ({"low": min(probe), "high": max(probe), "optional": True}, {"choices": probe, "optional": True}):
        found = space({key: raw})
        assert found.params({key: probe[0], f"{key}_enabled": False})[key] == STRENGTHS[key].default_value
        assert found.params({key: probe[0], f"{key}_enabled": True})[key] == probe[0]


SKIPS = {"skip": {"choices": ["none", "residual", "shake-drop"]}, "batch_norm": {"choices": [False, True]}}
CONDITIONS = [
    ({"skip": "residual"}, {"skip": "residual"}, True),
    ({"skip": "residual"}, {"skip": "none"}, False),
    ({"skip": ["residual", "shake-drop"]}, {"skip": "shake-drop"}, True),
    ({"skip": "on"}, {"skip": "shake-drop"}, True),
    ({"skip": "on"}, {"skip": "none"}, False),
    ({"skip": "off"}, {"skip": "none"}, True),
    ({"batch_norm": True, "skip": "on"}, {"skip": "residual", "batch_norm": True}, True),
    ({"batch_norm": True, "skip": "on"}, {"skip": "residual", "batch_norm": False}, False),
    ({"dropout": "on"}, {"dropout": 0.2, "dropout_enabled": False}, False),
    ({"dropout": "on"}, {"dropout": 0.2, "dropout_enabled": True}, True),
    ({"depth": [3, 4]}, {"depth": 3}, True),
    ({"depth": [3, 4]}, {"depth": 2}, False),
]


@pytest.mark.parametrize(("when", "sampled", "acts"), CONDITIONS)
def test_a_conditional_key_has_its_default_value_where_its_condition_does_not_hold(when, sampled, acts):
    others = {**SKIPS, "dropout": {"range": "auto", "optional": True}, "depth": {"low": 1, "high": 4}}
    found = space({**others, "mixup": {"low": 0.1, "high": 1, "when": when}})
    middle = {key: domain.middle() for key, domain in found.hyperparameters.items()}
    assert found.params(middle | {"mixup": 0.5} | sampled)["mixup"] == (0.5 if acts else 0)


def test_a_condition_sees_the_resolved_value_of_another_conditional_key():
    found = space(
        {
            **SKIPS,
            "dropout": {"range": "auto", "when": {"skip": "residual"}},
            "l1": {"range": "auto", "when": {"dropout": "on"}},
        }
    )
    sampled = {"skip": "none", "batch_norm": False, "dropout": 0.3, "l1": 0.1}
    assert found.params(sampled) == {
        "learning_rate": 1e-3,
        "depth": 2,
        "skip": "none",
        "batch_norm": False,
        "dropout": 0,
        "l1": 0,
    }


def test_a_conditional_structural_key_has_its_default_value():
    found = space(
        {"depth": {"low": 1, "high": 4}, "skip": {"choices": ["residual", "shake-drop"], "when": {"depth": [3, 4]}}}
    )
    assert [found.params({"depth": depth, "skip": "residual"})["skip"] for depth in (2, 3)] == ["none", "residual"]
    assert {(p["depth"], p["skip"]) for p in found.architectures()} == {
        (1, "none"),
        (2, "none"),
        (3, "residual"),
        (3, "shake-drop"),
        (4, "residual"),
        (4, "shake-drop"),
    }


def test_conditional_keys_are_sampled_in_every_trial():
    found = space({**SKIPS, "mixup": {"low": 0.1, "high": 1, "when": {"skip": "on"}}})
    assert list(samplers.distributions(found.hyperparameters)) == ["skip", "batch_norm", "mixup"]


def test_max_epochs_and_batch_sizes_cover_the_whole_space():
    assert space({"l1": "auto"}, train={"epochs": 30}).max_epochs == 30
    assert space({"epochs": {"low": 5, "high": 25}, "batch_size": {"choices": [16, 64]}}).max_epochs == 25
    assert space({"batch_size": {"low": 16, "high": 18}}).batch_sizes == [16, 17, 18]


def test_max_epochs_and_batch_sizes_include_default_values_of_conditional_keys():
    when = {"when": {"mixup": "on"}}
    searched = {
        "epochs": {"choices": [5, 10], **when},
        "batch_size": {"choices": [8, 16], **when},
        "width": {"choices": [4, 8], **when},
    }
    found = space({"mixup": {"range": "auto", "optional": True}, **searched}, network={"kind": "cnn"})
    off = found.params({"mixup": 0.3, "mixup_enabled": False, "epochs": 5, "batch_size": 8, "width": 4})
    assert [off[key] for key in searched] == [60, 64, 16]  # the default width of a cnn, not of an mlp
    assert found.max_epochs == 60
    assert found.batch_sizes == [8, 16, 64]


def test_text_and_truth_values_are_formatted_as_in_a_file():
    said = {"skip": "shake-drop", "batch_norm": True, "epochs": 40, "l1": 0.0, "gradient_clip": 0.5}
    assert [format_param(*one) for one in said.items()] == [
        "skip shake-drop",
        "batch_norm true",
        "epochs 40",
        "l1 off",
        "gradient_clip 0.5",
    ]
    assert max(map(len, config_lines(dict.fromkeys(STRENGTHS, 0.123)))) <= 100


def test_unmet_needs_of_a_regularizer_are_reported_before_training():
    for data, key, sentence in (
        (
            "sklearn:diabetes",
            "label_smoothing",
            "search.label_smoothing: needs classes, and target is a number; leave the key out.",
        ),
        (
            "sklearn:wine",
            "rotation",
            "search.rotation: needs images; set network.image to [channels, height, width], or leave the key out.",
        ),
    ):
        with pytest.raises(InputError) as caught:
            prepare(space({key: "auto"}, data={"source": data}), Path())
        assert str(caught.value) == sentence


def test_a_long_configuration_is_summarized_by_what_is_on():
    few = {"learning_rate": 0.01, "depth": 2, "l1": 0.0, "dropout": 0.25}
    assert config_line(few) == "lr 0.01 · depth 2 · l1 off · dropout 0.25"
    many = few | {"skip": "none"} | dict.fromkeys(("mixup", "cutmix", "sam", "ema"), 0.0)
    assert config_line(many) == "lr 0.01 · depth 2 · dropout 0.25 · skip none · 5 off"
