"""The lines of the command line about studies and ensembles, and the first lines of its help."""

from dataclasses import replace
from types import SimpleNamespace

import pytest

import hpo
from hpo.cli import messages
from hpo.cli.result_text import ensemble_lines, result_lines
from hpo.core.errors import InputError
from hpo.data.readers import READERS
from hpo.selection.result_parts import EnsembleMember, EnsembleResult
from hpo.space.formatting import align_rows
from hpo.study.directory import StudyDirectory
from tests.helpers.searches import TINY, here

ENSEMBLE = {
    "kind": "greedy",
    "rule": "mean",
    "size": 2,
    "networks": 8,
    "networks_per_member": 4,
    "members": [EnsembleMember("5", {}, 0.25), EnsembleMember("none", {}, 0.75)],
    "expected": {},
    "test": {"balanced_accuracy": 0.981},
    "single": {"balanced_accuracy": 0.975},
    "diversity": {},
    "weights": "ensemble-greedy",
}


@pytest.fixture(scope="module")
def searched(unrecorded, tmp_path_factory):  # noqa: ARG001 - a fixture of a module cannot name it otherwise
    """A store with a search for balanced accuracy, and its result."""
    store = tmp_path_factory.mktemp("messages")
    space = TINY | {"study": "credit-balanced", "train": TINY["train"] | {"metric": "balanced_accuracy"}}
    return SimpleNamespace(store=store, result=hpo.search(space, store=str(store)))


def test_a_study_of_balanced_accuracy_fits_80_columns(searched):
    head, line = here("studies", "--store", searched.store).stdout.splitlines()
    assert max(len(head), len(line)) <= 80
    assert line.split()[:6] == ["credit-balanced", "finished", "6", searched.result.trial, "bal.", "acc"]
    assert line.endswith(f"  {searched.result.date}")


def test_the_ensembles_of_a_study_have_rows_of_their_own(searched, monkeypatch):
    entry = EnsembleResult(**ENSEMBLE)
    changed = replace(searched.result, ensembles={"greedy": entry, "snapshot": replace(entry, kind="snapshot")})
    monkeypatch.setattr(messages.SearchResult, "from_json", lambda _: changed)
    rows = messages.study_rows(StudyDirectory(searched.store, "credit-balanced"))
    assert [row[3:6] for row in rows[1:]] == [[kind, "bal. acc –", "0.981"] for kind in ("greedy", "snapshot")]
    assert max(map(len, align_rows(rows, gap=2))) <= 80


def test_the_members_of_an_ensemble_follow_its_heading(searched):
    first, second, *_ = ensemble_lines(EnsembleResult(**ENSEMBLE), searched.result, "mlruns")
    assert first.startswith("Greedy ensemble of 2 configurations with 4 networks each (one per fold): test ")
    assert second == "Members: no regularization (75 %), trial 5 (25 %)"
    alone = EnsembleResult(**ENSEMBLE | {"networks": 4})
    (first, *_) = ensemble_lines(alone, searched.result, "mlruns")
    assert first.startswith("Greedy ensemble of 1 configuration with 4 networks (one per fold): test ")


@pytest.mark.parametrize(("new_splits", "method"), [(True, "on new splits and seeds"), (False, "with new seeds")])
def test_the_expected_score_names_how_it_was_reevaluated(searched, new_splits, method):
    (line,) = [
        line for line in result_lines(searched.result, "mlruns", new_splits=new_splits) if line.startswith("Expect ")
    ]
    assert f" re-evaluated {method} → " in line


def test_the_help_names_the_purpose_and_all_readers():
    purpose = (
        "Tune the regularization of a neural network: a space file in, the best configuration and an honest score out."
    )
    assert purpose in " ".join(here("--help").stdout.split())
    told = here("predict", "--help").stdout
    assert all(suffix in told for suffix in READERS)


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ({"space": 3}, "space must be a path or a mapping, got 3."),
        ({"space": TINY, "store": 3}, "store must be a path, got 3."),
        ({"space": TINY, "plugins": "no_such_module"}, "plugin: there is no no_such_module to import"),
    ],
)
def test_arguments_of_a_wrong_type_are_refused(arguments, sentence):
    with pytest.raises(InputError) as caught:
        hpo.search(**arguments)
    assert str(caught.value).startswith(sentence)


def test_init_names_the_next_command(tmp_path):
    table, space = tmp_path / "mine.csv", tmp_path / "mine.yaml"
    table.write_text("a,target\n" + "".join(f"{i},{i % 2}\n" for i in range(40)))
    said = here("init", table, "-o", space).stderr
    assert said == f"Wrote {space}. Next: hpo check {space}\n"
