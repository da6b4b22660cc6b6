"""What the README shows is what works: its space file, and its lines that use the result."""

import io
import re
from pathlib import Path

import pandas as pd
import pytest
import yaml

import hpo
from hpo.data.config import DataConfig
from hpo.data.dataset import prepare
from hpo.space import loader
from tests.conftest import here
from tests.tables import loans

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text()


def block(language, section):
    """The blocks of a language in a section of the README."""
    (text,) = re.findall(rf"^## {section}\n(.*?)(?=^## |\Z)", README, re.DOTALL | re.MULTILINE)
    return re.findall(rf"```{language}\n(.*?)```", text, re.DOTALL)


def test_the_space_file_is_sound(tmp_path):
    path = tmp_path / "loans.yaml"
    path.write_text(*block("yaml", "The space file"))
    assert list(loader.load(path).search) == ["learning_rate", "depth", "dropout", "weight_decay", "l1"]


def test_the_ways_of_splitting_are_sound(tmp_path):
    customers = loans().assign(
        customer=[i % 90 for i in range(len(loans()))], date=pd.date_range("2026-01-01", periods=len(loans()))
    )
    customers.to_csv(tmp_path / "loans.csv", index=False)
    for split in block("yaml", "Folds, groups and time"):
        data = DataConfig(source="loans.csv", target="repaid", drop=["customer", "date"], **yaml.safe_load(split))
        found = prepare(data, tmp_path)
        assert len(found.folds) == 5
        assert not {"customer", "date"} & {feature["column"] for feature in found.preprocess.features}


def test_the_made_table_is_the_one_that_is_shipped():
    shipped = pd.read_csv(ROOT / "search_spaces" / "loans.csv")
    pd.testing.assert_frame_equal(shipped, pd.read_csv(io.StringIO(loans().to_csv(index=False))))


@pytest.mark.parametrize("name", ["reg", "tabular", "text"])
def test_the_ready_spaces_are_sound(name):
    assert here("check", ROOT / "search_spaces" / f"{name}.yaml").exit_code == 0


@pytest.mark.usefixtures("unrecorded")
def test_ten_lines_of_plain_torch_predict_as_hpo_does(store, monkeypatch):
    folder = store.parent
    space = yaml.safe_load((ROOT / "search_spaces" / "tabular.yaml").read_text())
    space |= {"budget": {"trials": 4}, "train": {"epochs": 3}, "study": "readme", "finalists": 1}
    space["data"]["categorical"] = ["code"]
    loans().assign(code=[10001 + i % 3 for i in range(len(loans()))]).to_csv(folder / "loans.csv", index=False)
    # One code is missing, so that pandas writes the others as 10001.0.
    loans(rows=50, seed=1).assign(code=[None, *(10001 + i % 3 for i in range(49))]).to_csv(
        folder / "new.csv", index=False
    )
    (folder / "space.yaml").write_text(yaml.safe_dump(space))
    monkeypatch.chdir(folder)
    assert here("search", "--space", "space.yaml", "--store", store, "--quiet").exit_code == 0
    assert here("export", "--store", store, "-o", "best.yaml", "--weights", "best").exit_code == 0
    names = {}
    exec(*block("python", "Use the result"), names)
    assert "10001.0" in (folder / "new.csv").read_text()
    predicted = pd.read_csv(io.StringIO(here("predict", "--weights", "best", "new.csv").stdout))
    classes = names["pre"]["classes"]
    assert [classes[i] for i in names["out"].argmax(1)] == predicted["prediction"].tolist()
    chance = names["out"].softmax(1)[:, classes.index("yes")].tolist()
    assert chance == pytest.approx(predicted["probability_yes"].tolist(), abs=1e-6)


@pytest.mark.usefixtures("unrecorded")
def test_ones_own_network_is_searched_from_a_file_and_from_python_and_its_weights_load(store, monkeypatch):
    folder = store.parent
    monkeypatch.chdir(folder)
    (space,), (nets, load) = (block(language, "Your own network") for language in ("yaml", "python"))
    (folder / "readme_nets.py").write_text(nets)
    (folder / "own.yaml").write_text(
        space.replace("nets:build", "readme_nets:build")
        .replace("[8, 16]", "[8]")
        .replace('"sklearn:digits"', '"sklearn:digits", split: {test: 0.6}')
        + "budget: {trials: 3}\ntrain: {epochs: 2}\nfinalists: 1\nrefit: keep\n"
    )
    assert here("search", "--space", "own.yaml", "--store", store, "--quiet").exit_code == 0
    assert here("export", "--store", store, "--weights", "best").exit_code == 0
    names = {}
    exec(nets + load, names)
    assert sum(p.numel() for p in names["net"].parameters()) > 0
    raw = loader.load(folder / "own.yaml")
    again = yaml.safe_load((folder / "own.yaml").read_text()) | {"study": "python"}
    del again["network"]["factory"]
    result = hpo.search(again, store=store, factory=names["build"])
    assert result["selected"]["channels"] in raw.hyperparameters["channels"].choices
