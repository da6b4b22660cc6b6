"""The next step after a search: any trial can be exported, and another rule or budget can be chosen on the spot."""

import json
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
import yaml

from hpo.core.errors import InputError
from hpo.space import loader
from hpo.space.formatting import format_score
from hpo.study.directory import StudyDirectory
from hpo.workflows import completed
from tests.helpers.searches import here, outcomes, write_space

pytestmark = pytest.mark.usefixtures("unrecorded")
METRIC = "loss"  # of the search


@pytest.fixture(scope="module")
def searched(unrecorded, tmp_path_factory):  # noqa: ARG001 - a fixture of a module cannot name it otherwise
    """A finished search in a store whose name must be quoted; tests may not change it."""
    store = tmp_path_factory.mktemp("next step") / "my runs"
    path = write_space(store, finalists=1)
    ran = here("search", path, "--store", store, "--json")
    assert ran.exit_code == 0, ran.stderr
    return SimpleNamespace(store=store, path=path, result=json.loads(ran.stdout), known=outcomes(store))


def exported(searched, *arguments):
    return here("export", "--study", "tiny", "--store", searched.store, *arguments)


def labels(searched):
    """Every label that the finished search can export."""
    budget = [label for label, o in searched.known.items() if o["trial"]["role"] in ("search", "baseline")]
    return sorted({*budget, *searched.result["finalists"]})


def test_every_trial_is_exported_as_a_single_point_with_its_parameters(searched, tmp_path):
    assert any(label.startswith(("without", "ablation")) for label in labels(searched))
    for label in labels(searched):
        file = tmp_path / f"{label}.yaml"
        ran = exported(searched, "--trial", label, "-o", file)
        assert ran.exit_code == 0, ran.stderr
        assert loader.load(file).is_point
        params = (searched.known.get(label) or searched.known[f"{label}-fresh-1"])["trial"]["params"]
        assert yaml.safe_load(file.read_text())["search"] == params


def test_the_header_says_how_the_score_is_known(searched):
    finalists = searched.result["finalists"]
    for label in labels(searched):
        header = exported(searched, "--trial", label).stdout.partition("\nstudy:")[0]
        scored = {config["trial"]: config for config in (searched.result, *searched.result["baselines"].values())}
        trial = searched.known.get(label)
        assert f"valid {METRIC} " not in header
        assert not trial or f"# search {METRIC} {format_score(trial['value'])}" in header
        if label in scored:
            assert f"expected {METRIC} {format_score(scored[label]['expected'][METRIC])}" in header
            assert "not calibrated" not in header
        elif label in finalists:
            reevaluated = f"re-evaluated {METRIC} {format_score(finalists[label]['reevaluated'])}, "
            assert reevaluated in header
            assert header.count("(single networks, not calibrated)") == 1
        if label == searched.result["trial"]:
            assert "the configuration that `hpo search` selected" in header
        elif label in finalists:
            assert "Re-evaluated on new splits and seeds (" in header
            assert "which is partly luck" not in header
        else:
            assert "Search score only, which is partly luck" in header
            assert f"re-evaluated {METRIC}" not in header
            assert "not calibrated" not in header


def test_an_exported_trial_trains_to_its_score_in_the_search(searched, tmp_path):
    number = next(label for label in labels(searched) if label.isdecimal() and label != searched.result["trial"])
    file = tmp_path / "trial.yaml"
    exported(searched, "--trial", number, "-o", file)
    again = here("search", file, "--store", tmp_path / "again", "--json")
    assert again.exit_code == 0, again.stderr
    assert json.loads(again.stdout)["valid"] == searched.known[number]["valid"]


def test_a_trial_that_does_not_exist_is_refused_with_what_exists(searched):
    for label in ("99", "12-fresh-1", "no trial", "ensemble-1"):
        ran = exported(searched, "--trial", label)
        assert ran.exit_code == 2
        assert ran.stderr.startswith(f"The study tiny has no trial {label}; it has 6 trials (0 to 3, defaults, none)")


def test_a_trial_that_diverged_is_refused(searched):
    study = completed.load(StudyDirectory(searched.store, "tiny"))
    number = next(label for label in labels(searched) if label.isdecimal() and label not in study.result.finalists)
    outcome = replace(study.outcomes[number], state="failed", reason="diverged in epoch 3")
    study = replace(study, outcomes={**study.outcomes, number: outcome})
    with pytest.raises(InputError, match=f"^Trial {number} of the study tiny diverged in epoch 3, so there is nothing"):
        study.trial(number)


def test_weights_are_written_for_trials_with_final_networks_only(searched, tmp_path):
    trained = {
        searched.result["baselines"][name]["trial"] for name in searched.result["networks"] if name != "selected"
    }
    for label in trained:
        assert exported(searched, "--trial", label, "--weights", tmp_path / label).exit_code == 0
        assert (tmp_path / label / "weights.safetensors").exists()
    label = next(name for name in labels(searched) if name not in {*trained, searched.result["trial"]})
    ran = exported(searched, "--trial", label, "--weights", tmp_path / "none")
    assert ran.exit_code == 2
    assert "has no final networks to write; train them with: hpo export --study tiny --store '" in ran.stderr
    assert not (tmp_path / "none").exists()


# ---- another rule or budget for this call


def test_another_rule_selects_again_without_a_search_and_back(tmp_path):
    store = tmp_path / "mlruns"
    path = write_space(store, finalists=1)

    def run(*options):
        ran = here("search", path, "--store", store, "--json", *options)
        assert ran.exit_code == 0, ran.stderr
        return json.loads(ran.stdout)

    first = run()
    rule = next((r for r, label in first["rules"].items() if label != first["trial"]), "best")
    before = outcomes(store)
    other, after = run("--select", rule), outcomes(store)
    assert (other["rule"], other["result_options"]["select"]) == (rule, rule)
    assert other["trial"] == other["rules"][rule]
    assert after.items() >= before.items()
    assert {o["trial"]["role"] for label, o in after.items() if label not in before} <= {
        "refit",
        "finalist",
        "ablation",
    }
    back = run()
    assert (back["rule"], back["trial"]) == ("expected", first["trial"])
    assert run("--trials", "8")["trials"] != first["trials"]
    assert sum(run()["trials"].values()) == 8


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (("--trials", "2"), "budget.trials: must be at least 3 (two of them are the baselines), got 2.\n"),
        (("--space", "other.yaml"), "The space file is named twice, "),
    ],
)
def test_impossible_options_of_a_search_are_refused(searched, options, sentence):
    ran = here("search", searched.path, "--store", searched.store, *options)
    assert ran.exit_code == 2
    assert sentence in ran.stderr


def test_a_search_without_a_space_file_says_what_to_type():
    ran = here("search")
    assert (ran.exit_code, ran.stderr.startswith("hpo search needs a space file: hpo search SPACE.yaml")) == (2, True)


def test_the_list_of_studies_shows_what_was_selected(searched):
    line = here("studies", "--store", searched.store).stdout.splitlines()[-1]
    expected = searched.result["expected"]["accuracy"]
    assert f"  {searched.result['trial']}  acc {expected:.3f}  " in line
    assert Path(searched.path).stem in line
