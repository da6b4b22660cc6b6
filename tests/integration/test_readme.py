"""The examples in README.md and docs/ work: space files, code, links, and the lines that use a result."""

import io
import re

import pandas as pd
import pytest
import yaml

import hpo
from hpo.cli import main
from hpo.core import yaml_document
from hpo.core.metrics import METRICS
from hpo.core.objectives import OBJECTIVES
from hpo.data.config import DataConfig, SplitConfig, SyntheticConfig, TargetConfig, TextConfig
from hpo.data.dataset import prepare
from hpo.regularizers import FAMILY
from hpo.space import loader
from hpo.space.network import NetworkConfig
from hpo.space.optuna_options import PRUNERS, SAMPLERS
from hpo.space.settings import BudgetConfig, EnsembleConfig, TrainConfig
from hpo.space.space import Space
from tests.helpers.docs import PAGES, ROOT, code_blocks
from tests.helpers.searches import here
from tests.helpers.tables import loans


# A plugin's key is unknown here; tests of docs/extending.md load it.
@pytest.mark.parametrize(
    "page", [page for page in PAGES if code_blocks("yaml", page=page) and page != "docs/extending.md"]
)
def test_every_yaml_block_is_a_space_or_a_part_of_one(page):
    for text in code_blocks("yaml", page=page):
        part = yaml_document.parse(text).value
        split = {"split": part.pop("split")} if "split" in part else {}
        whole = {"study": "page", "data": {"source": "t.csv", **split}, "search": {"dropout": "auto"}}
        loader.parse(whole | part)


@pytest.mark.parametrize("page", [page for page in PAGES if code_blocks("python", page=page)])
def test_every_python_block_compiles(page):
    for text in code_blocks("python", page=page):
        compile(text, page, "exec")


@pytest.mark.parametrize("page", PAGES)
def test_every_link_leads_to_a_file_and_a_heading(page):
    for link in re.findall(r"\]\(([^)\s]+)\)", re.sub(r"```.*?```", "", PAGES[page], flags=re.DOTALL)):
        if link.startswith("http"):
            continue
        name, _, anchor = link.partition("#")
        path = (ROOT / page).parent / name if name else ROOT / page
        assert path.exists(), link
        if anchor:
            headings = re.findall(r"^#+ (.*)$", path.read_text(), re.MULTILINE)
            assert anchor in [re.sub(r"[^\w\- ]", "", h.lower()).replace(" ", "-") for h in headings], link


def test_the_readme_stays_short():
    assert len(PAGES["README.md"].splitlines()) <= 180


def test_the_pages_name_every_key_and_every_command():
    sections = (Space, DataConfig, SplitConfig, SyntheticConfig, NetworkConfig, TrainConfig, BudgetConfig)
    options = [option for kind in (SAMPLERS, PRUNERS) for name, own in kind.items() for option in (name, *own)]
    keys = [key for section in sections for key in section.model_fields]
    labelled = {name for name, metric in METRICS.items() if not metric.is_validator}
    known = {
        "docs/space-file.md": {*keys, *options, *labelled},
        "docs/text.md": {*TextConfig.model_fields},
        "docs/domains.md": {*TargetConfig.model_fields, *METRICS.keys() - labelled},
        "docs/ensembles.md": {*EnsembleConfig.model_fields},
        "docs/search-keys.md": {"learning_rate", *FAMILY},
        "docs/objectives.md": {name for name in OBJECTIVES if not name.startswith("valid_")},
        "docs/command-line.md": {f"hpo {command}" for command in main.commands},
    }
    for page, names in known.items():
        missing = [name for name in sorted(names) if not re.search(rf"(?<![\w]){name}(?![\w])", PAGES[page])]
        assert not missing, (page, missing)


def test_the_space_file_is_valid_and_shows_the_defaults(tmp_path):
    path = tmp_path / "loans.yaml"
    path.write_text(*code_blocks("yaml", page="docs/space-file.md"))
    space = loader.load(path)
    assert list(space.search) == ["learning_rate", "depth", "dropout", "weight_decay", "l1"]
    least = loader.parse({key: yaml.safe_load(path.read_text())[key] for key in ("study", "data", "search")})
    assert space == least


def test_the_documented_splits_are_valid(tmp_path):
    customers = loans().assign(
        customer=[i % 90 for i in range(len(loans()))], date=pd.date_range("2026-01-01", periods=len(loans()))
    )
    customers.to_csv(tmp_path / "loans.csv", index=False)
    shown = code_blocks("yaml", page="docs/splits.md")
    assert len(shown) == 4
    for split in shown:
        data = DataConfig(source="loans.csv", target="repaid", drop=["customer", "date"], **yaml.safe_load(split))
        found = prepare(data, tmp_path)
        assert len(found.folds) == (5 if "folds" in split else 1)
        assert not {"customer", "date"} & {feature["column"] for feature in found.preprocess.features}


def test_the_generated_table_equals_the_shipped_one():
    shipped = pd.read_csv(ROOT / "search_spaces" / "loans.csv")
    pd.testing.assert_frame_equal(shipped, pd.read_csv(io.StringIO(loans().to_csv(index=False))))


@pytest.mark.parametrize("name", ["reg", "tabular", "text"])
def test_the_shipped_spaces_are_valid(name):
    assert here("check", ROOT / "search_spaces" / f"{name}.yaml").exit_code == 0


@pytest.mark.usefixtures("unrecorded")
def test_the_documented_torch_code_predicts_as_hpo_does(store, monkeypatch):
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
    exec(*code_blocks("python", "Use the result"), names)
    assert "10001.0" in (folder / "new.csv").read_text()
    predicted = pd.read_csv(io.StringIO(here("predict", "--weights", "best", "new.csv").stdout))
    classes = names["pre"]["classes"]
    assert [classes[i] for i in names["out"].argmax(1)] == predicted["prediction"].tolist()
    chance = names["out"].softmax(1)[:, classes.index("yes")].tolist()
    assert chance == pytest.approx(predicted["probability_yes"].tolist(), abs=1e-6)


@pytest.mark.usefixtures("unrecorded")
def test_the_documented_own_network_is_searched_and_its_weights_load(store, monkeypatch):
    folder = store.parent
    monkeypatch.chdir(folder)
    (space,), (nets, load) = (code_blocks(language, page="docs/own-network.md") for language in ("yaml", "python"))
    (folder / "readme_nets.py").write_text(nets)
    (folder / "own.yaml").write_text(
        space.replace("nets:build", "readme_nets:build")
        .replace("[8, 16]", "[8]")
        .replace('"sklearn:digits"', '"sklearn:digits", split: {test: 0.6}')
        + "budget: {trials: 3}\ntrain: {epochs: 2}\nfinalists: 1\n"
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
    assert result.selected["channels"] in raw.hyperparameters["channels"].choices
