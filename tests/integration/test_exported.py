"""What is exported is a space of one point that can be searched again, whatever the network and however many objectives."""

import json

import pytest
import yaml

from hpo.cli.result_text import result_lines
from hpo.report.summary import first_line, regularization_line
from hpo.space import loader
from tests.helpers.searches import TINY, here, write_space
from tests.integration.test_degenerate_searches import diverging

pytestmark = pytest.mark.usefixtures("unrecorded")
SEARCH = {
    "learning_rate": {"low": 1e-3, "high": 1e-1, "log": True},
    "weight_decay": {"low": 1e-4, "high": 1.0, "log": True, "optional": True},
}
PLAIN = {
    "network": {"kind": "module", "factory": "tests.helpers.factories:plain"},
    "search": SEARCH,
}  # which has no nn.Dropout


@pytest.fixture
def store(tmp_path):
    return tmp_path / "here" / "mlruns"


def searched(store, path):
    ran = here("search", "--space", path, "--store", store, "--json")
    assert ran.exit_code == 0, ran.stderr
    return json.loads(ran.stdout)


@pytest.mark.parametrize("changes", [{}, PLAIN])
def test_each_configuration_of_a_front_is_a_file_that_trains_it_again(store, changes):
    store.parent.mkdir()
    path = write_space(store, objectives=["valid_loss", "nonzero_share", "epochs"], **changes)
    result, folder = searched(store, path), store.parent / "front"
    ran = here("export", "--store", store, "--pareto", "-o", folder)
    assert ran.exit_code == 0, ran.stderr
    front = {f"trial-{one['trial']}": one for one in result["front"]}
    assert {file.stem for file in folder.iterdir()} == front.keys() != set()
    for name, one in front.items():
        point = folder / f"{name}.yaml"
        assert loader.load(point).is_point
        again = searched(store, point)
        assert again["study"] == f"tiny-{name}"
        assert again["valid"] == one["valid"]
        assert again["refit"]["epochs"] == one["best_epoch"]


def test_the_usual_dropout_of_a_network_without_one_is_not_exported(store, monkeypatch):
    """The defaults have it all the same, and may be selected."""
    store.parent.mkdir()
    with monkeypatch.context() as patch:
        diverging(patch, lambda trial: trial.role == "finalist" and not trial.label.startswith("defaults"))
        result = searched(store, write_space(store, **PLAIN))
    assert result["trial"] == "defaults"
    assert "dropout" in result["selected"]
    best = store.parent / "best.yaml"
    assert here("export", "--store", store, "-o", best).exit_code == 0
    assert "dropout" not in yaml.safe_load(best.read_text())["search"]
    assert searched(store, best)["valid"] == result["valid"]


# ---- the words at the end


@pytest.fixture(scope="module")
def result(unrecorded, tmp_path_factory):  # noqa: ARG001 - a fixture of a module cannot name it otherwise
    import hpo

    return hpo.search(TINY, store=tmp_path_factory.mktemp("words"))


VERDICT = {"rival": "3", "gain": 0.0123, "standard_error": 0.045, "fits": 8, "beyond_noise": False}
SAME, OTHER = (
    dict.fromkeys(("best", "one_se", "fastest"), "3"),
    {"best": "3", "one_se": "ablation-3", "fastest": "none"},
)
EXPECTED = {"accuracy": {"search": 0.9, "fresh": 0.85, "interval": [0.8, 0.9], "test": 0.84}}
REFIT = {"kind": "scaled", "weights": "3-scaled-7", "epochs": 7, "rows": 1234, "compared": {}}
COMPARED = {"scaled": {"loss": 0.5}, "average": {"loss": 0.25}}
FRONT = [
    {"trial": "3", "values": {"valid_loss": 0.5, "nonzero_share": 1.0}},
    {"trial": "none", "values": {"valid_loss": 0.75, "nonzero_share": 0.25}},
]


@pytest.mark.parametrize(
    ("changes", "line"),
    [
        (
            {"verdict": VERDICT},
            "Nothing beats the usual defaults beyond noise, so they are selected: over 8 fresh fits the loss of trial 3, the best of the others, is 0.0123 better, ± 0.045 (standard error).",
        ),
        (
            {"verdict": VERDICT | {"gain": -0.5, "standard_error": None, "fits": 1, "rival": "none"}},
            "Nothing beats the usual defaults beyond noise, so they are selected: over 1 fresh fit the loss of the baseline none, the best of the others, is 0.5 worse.",
        ),
        (
            {"verdict": VERDICT | {"fits": 3}},
            "3 fresh fits are too few to show that anything beats the usual defaults, so they are selected; the loss of trial 3, the best of the others, is 0.0123 better, ± 0.045 (standard error).",
        ),
        (
            {"verdict": VERDICT | {"standard_error": None, "fits": 1}},
            "1 fresh fit is too few to show that anything beats the usual defaults, so they are selected; the loss of trial 3, the best of the others, is 0.0123 better.",
        ),
        (
            {"verdict": VERDICT | {"rival": "defaults", "gain": 0.0}},
            "The usual defaults are selected: no other configuration came through its fresh fits.",
        ),
        ({"rules": SAME, "rule": "best"}, "All rules (best, one_se, fastest) select it."),
        (
            {"rules": OTHER, "rule": "best"},
            "Selected by best; one_se would take trial 3 without regularization, fastest would take the baseline none.",
        ),
        ({"rules": {}}, "By its score in the search alone (finalists: 0), a part of which is luck."),
        (
            {"score": EXPECTED},
            "Expect accuracy 0.850 (90 % interval 0.800 to 0.900): 0.900 in the search → 0.850 on fresh splits and seeds → 0.840 on the test rows.",
        ),
        (
            {"score": {"accuracy": EXPECTED["accuracy"] | {"interval": [None, None], "test": None}}},
            "Expect accuracy 0.850 (a single validation part gives no interval, data.split.folds does): 0.900 in the search → 0.850 on fresh splits and seeds.",
        ),
        ({"refit": REFIT}, "Final network: trained on 1,234 rows, validation rows among them, for 7 epochs."),
        ({"refit": REFIT | {"kind": "keep"}}, "Final network: the one of the search."),
        (
            {"refit": REFIT | {"kind": "average", "compared": COMPARED}},
            "Final network: one a fold, their predictions averaged (by folds within folds, valid loss: scaled 0.500, average 0.250).",
        ),
        (
            {"refit": REFIT | {"kind": "none", "weights": None}, "looks": 0},
            "No final network was trained (refit: none): the test part is untouched.",
        ),
        (
            {"refit": REFIT | {"kind": "none", "weights": None}, "looks": 1},
            "No final network was trained (refit: none): the test part was scored before.",
        ),
        ({"looks": 3}, "The test part has now been scored 3 times: choose by the fresh scores."),
        (
            {"verdict": VERDICT | {"beyond_noise": True}},
            "Trial 3 beats the usual defaults beyond noise: over 8 fresh fits its loss is 0.0123 better, ± 0.045 (standard error).",
        ),
        (
            {"refit": REFIT | {"weights": None}},
            "The final network diverged, so there is none: the learning rate does not bear all rows. Lower search.learning_rate.",
        ),
        ({"front": FRONT}, "the baseline none 0.750 0.250"),
        ({"baselines": {}, "trial": "0"}, "Selected: trial 0"),
    ],
)
def test_the_end_of_a_search_in_words(result, changes, line):
    assert line in [" ".join(said.split()) for said in result_lines(result | changes, "mlruns")]


def test_nothing_is_said_first_of_what_was_not_compared_with_the_defaults(result):
    assert first_line(result | {"verdict": None}) == ""
    assert result_lines(result | {"verdict": None}, "mlruns")[0].startswith("Selected: ")


@pytest.mark.parametrize(
    ("followed", "words"),
    [
        (None, "; "),
        (
            {"gain": -0.011, "standard_error": 0.02, "beyond_noise": False},
            " (loss: 0.011 worse ± 0.020, within noise); ",
        ),
        ({"gain": 0.25, "standard_error": None, "beyond_noise": True}, " (loss: 0.250 better); "),
    ],
)
def test_what_regularization_did_is_said_in_the_followed_metric_too(result, followed, words):
    said = {"metric": "accuracy", "gain": 0.001, "standard_error": 0.002, "beyond_noise": False}
    said["followed"] = followed and {"metric": "loss", **followed}
    none = {"valid": {"loss": 0.5}, "train": {"loss": 0.1}}
    changes = {
        "regularization": said,
        "baselines": {"ablation": none},
        "selected": {"dropout": 0.1},
        "valid": {"loss": 0.3},
        "train": {"loss": 0.1},
    }
    line = regularization_line(result | changes)
    begin = "Regularization gained 0.1 ± 0.2 points of accuracy on fresh splits against the same without it, which is within noise"
    assert line == f"{begin}{words}it closed 50 % of the train–valid gap of the search."
    said["gain"] = -0.0003
    assert regularization_line(result | changes).startswith(
        "Regularization changed accuracy by 0.0 ± 0.2 points on fresh splits"
    )
