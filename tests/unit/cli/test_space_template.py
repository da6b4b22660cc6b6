"""`hpo init`: the first space for a user's table is valid, and fits the table."""

import numpy as np
import pandas as pd
import pytest
import yaml
from click.testing import CliRunner

from hpo.cli import main, space_template
from hpo.space import loader


def rows(n=60, **columns):
    return pd.DataFrame({"a": np.arange(n) / 7, "b": np.resize(["u", "v", "w"], n), "y": np.arange(n) % 2} | columns)


def hpo(*line):
    result = CliRunner().invoke(main, [str(word) for word in line])
    assert result.exit_code == 0, result.output
    return result.stdout


@pytest.fixture
def first(tmp_path):
    """Writes a table, lets `hpo init` write its space and `hpo check` read it, and returns the space."""

    def make(frame, name="mine.csv", target="y"):
        path, space = tmp_path / name, tmp_path / "mine.yaml"
        frame.to_csv(path, index=False) if path.suffix == ".csv" else frame.to_parquet(path)
        hpo("init", path, "--target", target, "-o", space)
        assert hpo("check", space).endswith(f"{space}: OK\n")
        return loader.load(space)

    return make


FITS = [
    (
        rows(),
        lambda s: (s.network.width, s.search["depth"].high, s.train.batch_size, s.train.epochs),
        (64, 3, None, 100),
    ),
    (rows(), lambda s: (s.train.metric, s.data.class_weight, s.data.drop, s.budget.trials), ("loss", None, [], 100)),
    (rows(1_250), lambda s: (s.data.split.folds, s.data.split.test), (5, 0.2)),
    (rows(1_251), lambda s: (s.data.split.folds, s.data.split.valid), (None, 0.2)),
    (rows(2_000), lambda s: (s.network.width, s.search["depth"].high, s.train.epochs), (128, 4, 60)),
    (rows(20_001), lambda s: (s.train.epochs, s.budget.trials), (60, 50)),
    (rows(100_000), lambda s: s.train.epochs, 73),
    (rows(y=[0] * 50 + [1] * 10), lambda s: (s.train.metric, s.data.class_weight), ("balanced_accuracy", None)),
    (rows(y=[0] * 50 + [1] * 10), lambda s: s.search["class_weight"].bounds, (0.0, 1.0)),
    (rows(y=np.arange(60) / 3), lambda s: (s.train.metric, "class_weight" in s.search), ("loss", False)),
    (rows(y=[True, False, None] * 20), lambda s: s.data.target.column, "y"),
    (rows(id=[f"n{i}" for i in range(60)], empty=np.nan), lambda s: s.data.drop, ["id", "empty"]),
    (rows(**{"off, or: [on]": np.nan, "1e5": np.nan}), lambda s: s.data.drop, ["off, or: [on]", "1e5"]),
    (
        rows(**{"a review, or: two": [f"row {i} was rather pleasant" for i in range(60)]}),
        lambda s: s.data.text.columns,
        ["a review, or: two"],
    ),
    (rows(), lambda s: s.data.text.columns, []),
    (rows(), lambda s: [*s.search], ["learning_rate", "depth", "dropout", "weight_decay", "l1"]),
    (rows(), lambda s: [key for key in s.search if s.search[key].optional], ["weight_decay", "l1"]),
]


@pytest.mark.parametrize(("frame", "fact", "value"), FITS)
def test_the_first_space_fits_the_table(first, frame, fact, value):
    assert fact(first(frame)) == value


NAMES = ["2024", "1e5", "null", "off", "my table's", "a: b #c", "ünïcode", "...", "-", "x" * 150, '"', "{a}", "a\nb"]


@pytest.mark.parametrize("stem", NAMES)
def test_any_file_name_and_any_target_can_be_written_down(first, stem):
    space = first(rows().rename(columns={"y": stem}), f"{stem}.csv", stem)
    assert (space.data.source, space.data.target.column) == (f"{stem}.csv", stem)
    assert 1 <= len(space.study) <= 100


def test_dates_in_a_parquet_are_left_out(first):
    space = first(rows(day=pd.date_range("2020-01-01", periods=60)), "mine.parquet")
    assert space.data.drop == ["day"]


def test_the_source_is_relative_to_the_space_that_names_it(tmp_path, monkeypatch):
    (tmp_path / "tables").mkdir()
    (tmp_path / "spaces").mkdir()
    rows().to_csv(tmp_path / "tables" / "mine.csv", index=False)
    monkeypatch.chdir(tmp_path)
    hpo("init", "tables/mine.csv", "--target", "y", "-o", "spaces/mine.yaml")
    assert loader.load(tmp_path / "spaces" / "mine.yaml").data.source == "../tables/mine.csv"
    assert "mine · 60 rows" in hpo("check", "spaces/mine.yaml")
    (tmp_path / "here.yaml").write_text(hpo("init", "tables/mine.csv", "--target", "y"))  # without -o: for this folder
    assert loader.load(tmp_path / "here.yaml").data.source == "tables/mine.csv"


def test_it_explains_itself(tmp_path):
    rows(y=[0] * 50 + [1] * 10, id=[f"n{i}" for i in range(60)]).to_csv(tmp_path / "mine.csv", index=False)
    text = space_template.space_text(tmp_path / "mine.csv", "y", tmp_path)
    assert text.startswith("# A search space for mine.csv: 60 rows, 2 columns, predicting y (2 classes).\n")
    for comment in (
        "- id   # it holds no value twice, so networks learn nothing from it",
        "# one class has more than 70 % of the rows",
    ):
        assert comment in text
    assert max(map(len, text.splitlines())) <= 120


def test_with_the_other_split_in_its_place_the_space_is_valid_and_has_the_pruner_of_that_split(tmp_path):
    rows().to_csv(tmp_path / "mine.csv", index=False)
    lines = space_template.space_text(tmp_path / "mine.csv", "y", tmp_path).splitlines()
    assert loader.parse(yaml.safe_load("\n".join(lines))).pruner.kind == "paired"
    other = [line.replace("# split", "split") for line in lines if not line.startswith("  split")]
    assert loader.parse(yaml.safe_load("\n".join(other))).pruner.kind == "median"
