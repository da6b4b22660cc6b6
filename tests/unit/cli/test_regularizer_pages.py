"""`hpo regularizers`: the whole family at 80 columns, one member with a line to paste, and both as JSON."""

import json

import pytest

from hpo.cli import regularizer_pages
from hpo.core import yaml_document
from hpo.regularizers import FAMILY
from hpo.space import loader
from tests.helpers.searches import here
from tests.helpers.space_files import HEAD


def test_the_list_has_every_member_once_and_fits_80_columns():
    lines = here("regularizers").stdout.splitlines()
    assert max(map(len, lines)) <= 80
    named = [
        line.strip().partition(":")[0]
        for line in lines
        if line.startswith("  ") and not line.startswith("   ") and ":" in line
    ]
    assert sorted(set(named) & FAMILY.keys()) == sorted(FAMILY)
    assert len(FAMILY) >= 25


@pytest.mark.parametrize("name", FAMILY)
def test_the_line_of_a_page_can_be_pasted(name, tmp_path):
    said = here("regularizers", name).stdout
    assert said.startswith(f"{name} ({FAMILY[name].kind})\n")
    assert max(map(len, said.splitlines()[:-1])) <= 80
    path = tmp_path / "space.yaml"
    path.write_text(HEAD + said[said.index("search:") :] + ("" if name == "l1" else "  l1: auto\n"))
    assert loader.load(path).search[name].sampled


def test_what_it_says_of_one():
    assert here("regularizers", "gradient_clip").stdout.splitlines()[-9:] == [
        "Smaller is more regularized. 0.0 is off.",
        "Values: numbers from 0.",
        "Source: Pascanu, Mikolov & Bengio, On the difficulty of training recurrent",
        "neural networks, ICML 2013",
        "",
        "To search it:",
        "",
        "search:",
        "  gradient_clip: {low: 0.01, high: 2.0, log: true, optional: true}",
    ]


def test_the_same_as_json():
    listed = json.loads(here("regularizers", "--json").stdout)
    assert [one["name"] for one in listed] == list(FAMILY)
    assert json.loads(here("regularizers", "skip", "--json").stdout) == {
        "name": "skip",
        "kind": "structure",
        "summary": FAMILY["skip"].summary,
        "direction": 1,
        "range": {"choices": ["none", "residual", "shake-shake", "shake-drop"]},
        "default": "none",
        "values": ["none", "residual", "shake-shake", "shake-drop"],
        "needs": ["mlp"],
        "source": FAMILY["skip"].source,
    }


def test_an_unknown_one_is_said():
    said = here("regularizers", "drop_out")
    assert (said.exit_code, said.stderr) == (2, "drop_out is not a search key. Did you mean dropout?\n")


def test_the_learning_rate_is_listed_and_described():
    line = "learning_rate: the step size of AdamW; auto: {low: 1.0e-4, high: 0.1, log: true}"
    assert here("regularizers", "learning_rate").stdout == f"{line}\n"
    assert here("regularizers").stdout.splitlines()[0] == line
    facts = json.loads(here("regularizers", "learning_rate", "--json").stdout)
    assert (facts["name"], facts["range"]) == ("learning_rate", {"low": 1e-4, "high": 0.1, "log": True})
    said = here("regularizers", "learnin_rate")
    assert (said.exit_code, said.stderr) == (2, "learnin_rate is not a search key. Did you mean learning_rate?\n")


def test_numbers_are_numbers_to_every_reader_of_yaml():
    for value in (1e-4, 2.5e-6, 0.01, 1e-3, 3.0, 0, 12):
        text = regularizer_pages.as_yaml({"x": value})
        assert yaml_document.parse(text).value == {"x": value}
        assert "e" not in text or "." in text.partition("e")[0]
