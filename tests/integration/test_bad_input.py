"""Bad input on the command line: a sentence on stderr, exit code 2, no traceback, and nothing is written."""

import json
import shutil

import numpy as np
import pandas as pd
import pytest
import torch
from click.testing import CliRunner
from safetensors.torch import save_file

from hpo.cli import main

SPACE = "study: s\ndata: {source: t.csv, target: y}\nsearch: {l1: {low: 0, high: 1}}\n"
NO_STUDY = "There is no study in mlruns yet; start one with: hpo search --space SPACE.yaml"


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    """A working directory with a valid table and a valid space."""
    monkeypatch.chdir(tmp_path)
    pd.DataFrame({"a": np.arange(40.0), "b": [*"uv"] * 20, "y": [0, 1] * 20}).to_csv("t.csv", index=False)
    (tmp_path / "space.yaml").write_text(SPACE)
    (tmp_path / "a folder").mkdir()
    (tmp_path / "a file").write_text("text")
    return tmp_path


def refused(folder, *line):
    """Run a command that must refuse its input; returns stderr."""
    before = {path: path.stat().st_mtime_ns for path in folder.rglob("*")}
    result = CliRunner().invoke(main, line)
    assert isinstance(result.exception, SystemExit), result.exception
    assert (result.exit_code, result.stdout) == (2, "")
    assert {path: path.stat().st_mtime_ns for path in folder.rglob("*")} == before
    return result.stderr


def test_the_table_and_the_space_are_valid(folder):
    result = CliRunner().invoke(main, ["check", "space.yaml"])
    assert result.exit_code == 0
    assert result.stdout.endswith("space.yaml: OK\n")
    assert not (folder / "mlruns").exists()


COMMANDS = {"check": ["check"], "search": ["search", "--space"]}
SPACES = [
    (
        SPACE.replace("l1", "dropuot") + "seed: -1\n",
        [
            "bad.yaml:3: search.dropuot is not a search key. Did you mean dropout?",
            "bad.yaml:4: seed: must be at least 0, got -1.",
        ],
    ),
    ("", ["bad.yaml:1: the file is empty; it needs study, data and search."]),
    (
        SPACE + "train: {metric: r2}\n",
        [
            "train.metric: r2 needs another task than classification. "
            "Known: loss, accuracy, balanced_accuracy, roc_auc, f1_macro, precision, recall, ece, brier.",
        ],
    ),
    (
        SPACE.replace("target: y", "target: a") + "train: {metric: accuracy}\n",
        [
            "train.metric: accuracy needs another task than regression. Known: loss, r2, mae.",
        ],
    ),
    (
        SPACE.replace("target: y", "target: y, split: {folds: 3}") + "refit: keep\n",
        [
            "refit: keep needs a search on one split, and data.split.folds makes a network for every fold; "
            "use average.",
        ],
    ),
    (
        SPACE.replace("t.csv", "gone.csv"),
        ["data.source: gone.csv does not exist; name a .csv, .parquet, .svmlight or .libsvm file."],
    ),
    (
        SPACE.replace("t.csv", "../t.csv"),
        ["data.source: ../t.csv does not exist; name a .csv, .parquet, .svmlight or .libsvm file."],
    ),
    (SPACE.replace("target: y", "target: label"), ["data.target: t has no column label. It has: a, b, y."]),
    (
        SPACE.replace("target: y", "target: y, drop: [a, b]"),
        [
            "t has no input column left, only the target y.",
        ],
    ),
]


@pytest.mark.parametrize("command", COMMANDS.values(), ids=COMMANDS)
@pytest.mark.parametrize(("text", "sentences"), SPACES, ids=[sentences[0][:60] for _, sentences in SPACES])
def test_invalid_spaces_and_data_are_refused(folder, command, text, sentences):
    (folder / "bad.yaml").write_text(text)
    assert refused(folder, *command, "bad.yaml").splitlines() == sentences


@pytest.mark.parametrize("command", COMMANDS.values(), ids=COMMANDS)
@pytest.mark.parametrize(
    ("path", "sentence"),
    [
        ("gone.yaml", "gone.yaml does not exist; name a space file, or write one with: hpo init DATA.csv"),
        ("a folder", "a folder is a directory; name the space file in it."),
        ("a file/x.yaml", "a file/x.yaml cannot be read: Not a directory."),
        ("x" * 300, f"{'x' * 300} cannot be read: File name too long."),
        ("image.png", "image.png must be text in UTF-8, but line 1 contains the byte 0x89."),
        ("huge.csv", "huge.csv is a data file; to write a space file for this table: hpo init huge.csv"),
        ("t.csv", "t.csv is a data file; to write a space file for this table: hpo init t.csv"),
        ("big.yaml", "big.yaml is larger than 1 MB, the limit of a space file; name the space file, not the data."),
    ],
)
def test_a_missing_space_file_is_refused(folder, command, path, sentence):
    (folder / "image.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    (folder / "huge.csv").write_bytes(b"a" * 1_000_001)
    (folder / "big.yaml").write_bytes(b"a" * 1_000_001)
    assert refused(folder, *command, path).startswith(sentence)


def test_a_refit_strategy_that_is_unknown_or_does_not_match_the_space(folder):
    said = refused(folder, "search", "--space", "space.yaml", "--refit", "kept")
    assert "'kept' is not one of 'scaled', 'keep', 'average', 'none'" in said
    (folder / "folds.yaml").write_text(SPACE.replace("target: y", "target: y, split: {folds: 3}"))
    assert refused(folder, "search", "--space", "folds.yaml", "--refit", "keep").startswith(
        "refit: keep needs a search on one split"
    )


@pytest.mark.parametrize(
    ("store", "reason"),
    [
        ("a file", "File exists|Not a directory"),
        ("a file/store", "Not a directory"),
        ("x" * 300, "File name too long"),
    ],
)
def test_an_unwritable_store_is_refused(folder, store, reason):
    sentence = refused(folder, "search", "--space", "space.yaml", "--store", store)
    assert sentence.startswith(f"--store: {store} cannot be written (")
    assert any(word in sentence for word in reason.split("|"))
    assert sentence.endswith("choose another folder.\n")


@pytest.mark.parametrize(
    "line",
    [
        ["ui"],
        ["ui", "--study", "gone"],
        ["export"],
        ["export", "--study", "../gone", "-o", "best.yaml"],
        ["export", "--weights", "net"],
        ["delete", "gone", "--yes"],
        ["delete", "..", "--yes"],
    ],
    ids=" ".join,
)
def test_a_study_in_an_empty_store_is_refused(folder, line):
    assert refused(folder, *line) == f"{NO_STUDY}\n"
    for store in ("a folder", "a file"):
        assert refused(folder, *line, "--store", store) == f"{NO_STUDY}\n".replace("mlruns", store)


@pytest.mark.parametrize(
    ("line", "sentence"),
    [
        (["ui", "--study", "digit"], "There is no study digit in mlruns. Did you mean digits?"),
        (["export", "--study", "digit"], "There is no study digit in mlruns. Did you mean digits?"),
        (["delete", "wine", "--yes"], "There is no study wine in mlruns. Known: digits."),
        (["compare", "wine", "digits"], "There is no study wine in mlruns. Known: digits."),
        (["compare", "digits", "digits"], "The study digits has no result yet; run its search to the end first."),
        (["ui"], "The study digits is not recorded in MLflow yet; its search has only just started."),
        (["export"], "The study digits has no result yet; run its search to the end first."),
        (["export", "--weights", "net"], "The study digits has no result yet; run its search to the end first."),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_unknown_and_unfinished_studies_are_refused(folder, line, sentence):
    study = folder / "mlruns" / "studies" / "digits"
    study.mkdir(parents=True)
    (study / "journal.log").touch()
    assert refused(folder, *line) == f"{sentence}\n"


NETWORK = {
    "network.json": json.dumps([["Linear", 2, 2]]),
    "preprocess.json": json.dumps(
        {
            "task": "classification",
            "target": "y",
            "classes": [0, 1],
            "target_mean": 0.0,
            "target_scale": 1.0,
            "columns": ["a", "b"],
            "text": ["b"],
            "features": [{"column": "a", "median": 0.0, "mean": 0.0, "scale": 1.0}, {"column": "b", "equals": "u"}],
        }
    ),
}


@pytest.fixture
def weights(folder):
    """An exported network, as `hpo export --weights` writes it."""
    (folder / "net").mkdir()
    for name, text in NETWORK.items():
        (folder / "net" / name).write_text(text)
    save_file(torch.nn.Sequential(torch.nn.Linear(2, 2)).state_dict(), folder / "net" / "weights.safetensors")


@pytest.mark.usefixtures("weights")
def test_the_weights_are_valid():
    result = CliRunner().invoke(main, ["predict", "t.csv", "--weights", "net"])
    assert result.exit_code == 0
    assert len(result.stdout.splitlines()) == 41


@pytest.mark.parametrize(
    ("columns", "sentence"),
    [
        ({"a": [1]}, "new.csv lacks the column b; it needs: a, b."),
        ({"b": ["u"]}, "new.csv lacks the column a; it needs: a, b."),
        ({"a": ["one"], "b": ["u"]}, "new.csv: the column a must hold numbers, as in the table of the search."),
        ({"a": [1.0, np.inf], "b": ["u", "u"]}, "new.csv: the column a is infinite in row 2."),
    ],
)
@pytest.mark.usefixtures("weights")
def test_invalid_rows_are_refused_by_predict(folder, columns, sentence):
    pd.DataFrame(columns).to_csv("new.csv", index=False)
    assert refused(folder, "predict", "new.csv", "--weights", "net", "-o", "out.csv") == f"{sentence}\n"


@pytest.mark.parametrize(
    ("line", "sentence"),
    [
        (["t.csv", "--weights", "gone"], "gone lacks preprocess.json; write it with: hpo export --weights gone"),
        (["t.csv", "--weights", "a file"], "a file lacks preprocess.json; write it with: hpo export --weights a file"),
        (["t.csv", "--weights", "old"], "old lacks weights.safetensors; write it with: hpo export --weights old"),
        (
            ["gone.csv", "--weights", "net"],
            "gone.csv does not exist; name a .csv, .parquet, .svmlight or .libsvm file.",
        ),
        (["a folder", "--weights", "net"], "a folder must be a .csv, .parquet, .svmlight or .libsvm file."),
        (
            ["t.csv", "--weights", "net", "-o", "gone/out.csv"],
            "gone/out.csv cannot be written: No such file or directory.",
        ),
    ],
)
@pytest.mark.usefixtures("weights")
def test_incomplete_or_damaged_exports_are_refused_by_predict(folder, line, sentence):
    shutil.copytree("net", "old", ignore=shutil.ignore_patterns("*.safetensors"))
    assert refused(folder, "predict", *line) == f"{sentence}\n"


@pytest.mark.parametrize(
    ("line", "sentence"),
    [
        (["gone.csv"], "gone.csv does not exist; name a .csv, .parquet, .svmlight or .libsvm file."),
        (["a folder"], "a folder must be a .csv, .parquet, .svmlight or .libsvm file."),
        (["space.yaml"], "space.yaml must be a .csv, .parquet, .svmlight or .libsvm file."),
        (["t.csv"], "data.target: t has no column target. It has: a, b, y."),
        (["t.csv", "--target", "y", "-o", "gone/x.yaml"], "gone/x.yaml cannot be written: No such file or directory."),
        (
            ["t.csv", "--target", "y", "-o", "a folder"],
            "a folder already exists; name another file with -o, or remove it first.",
        ),
        (
            ["t.csv", "--target", "y", "-o", "t.csv"],
            "t.csv already exists; name another file with -o, or remove it first.",
        ),
    ],
)
def test_unusable_tables_are_refused_by_init(folder, line, sentence):
    assert refused(folder, "init", *line) == f"{sentence}\n"
