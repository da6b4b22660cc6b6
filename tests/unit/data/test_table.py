"""Loading a table: errors, column types, the target and the fingerprint."""

import codecs
import datetime as dt
from decimal import Decimal

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from hpo.core.errors import InputError
from hpo.data import table
from hpo.data.config import DataConfig

DATES = pd.date_range("2020-01-01", periods=40)
COLOURS = ["red", "blue", "green", None] * 10


def rows(**columns):
    """Return forty rows of a number `a` and two classes `y`; `columns` add to these or replace them."""
    return pd.DataFrame({"a": np.arange(40) / 7, "y": [0, 1] * 20} | columns)


def loaded(folder, content, name="t.csv", **data):
    path = folder / name
    if not isinstance(content, pd.DataFrame):
        path.write_bytes(content)
    elif path.suffix == ".csv":
        content.to_csv(path, index=False)
    else:
        content.to_parquet(path)
    return table.load(DataConfig(source=name, **{"target": "y"} | data), folder)


def refusal(folder, *content, **data):
    with pytest.raises(InputError) as caught:
        loaded(folder, *content, **data)
    return str(caught.value)


FILES = [
    (b"", "is empty; it needs a header with the names of its columns, and rows."),
    (b"\n\n", "is empty; it needs a header with the names of its columns, and rows."),
    (b"a,y\n1,2\n1,2,3\n", "cannot be read: Expected 2 fields in line 3, saw 3."),
    (b"a,y\n1,2,3\n1,2,3\n", "cannot be read: its rows hold more values than its header has names."),
    (b'a,y\n"x,1\n2,0\n', "cannot be read: EOF inside string starting at row 1."),
    ("a,y\nä,1\n".encode("latin-1"), "must be text in UTF-8, but holds the byte 0xe4."),
    ("a,y\n1,1\n".encode("utf-16"), "must be text in UTF-8, but holds the byte 0xff."),
    (b"a;y\n1;0\n2;1\n", "must be separated by commas, but its header is a;y."),
    (b"a\ty\n1\t0\n2\t1\n", r"must be separated by commas, but its header is a\ty."),
    (b"a,a,y\n1,2,0\n3,4,1\n", ": the column a occurs twice; rename or remove one of them."),
    (b"a,y,y\n1,2,0\n3,4,1\n", ": the column y occurs twice; rename or remove one of them."),
]


@pytest.mark.parametrize(("content", "sentence"), FILES, ids=[sentence[:50] for _, sentence in FILES])
def test_invalid_files_are_refused(tmp_path, content, sentence):
    glue = "" if sentence.startswith(":") else " "
    assert refusal(tmp_path, content) == f"data.source: {tmp_path}/t.csv{glue}{sentence}"


@pytest.mark.parametrize("name", ["t.csv", "t.parquet", "deeper/t.csv", f"{'x' * 300}.csv"])
def test_a_missing_file_is_named(tmp_path, name):
    with pytest.raises(InputError) as caught:
        table.load(DataConfig(source=name), tmp_path)
    assert str(caught.value).startswith(f"data.source: {tmp_path}/{name[:100]}")
    assert str(caught.value).endswith((" does not exist; name a .csv, .parquet, .svmlight or .libsvm file.", "…"))


def test_a_directory_is_not_a_table(tmp_path):
    (tmp_path / "t.csv").mkdir()
    with pytest.raises(InputError, match="is a directory; name"):
        table.load(DataConfig(source="t.csv"), tmp_path)


@pytest.mark.parametrize("content", [b"", b"PAR1 and so on PAR1", b"a,y\n1,2\n"])
def test_a_broken_parquet_is_refused(tmp_path, content):
    assert refusal(tmp_path, content, "t.parquet").startswith(f"data.source: {tmp_path}/t.parquet cannot be read: ")


def test_two_columns_of_one_name_are_refused_in_parquet_too(tmp_path):
    pq.write_table(pa.table([pa.array([1]), pa.array([2])], names=["a", "a"]), tmp_path / "t.parquet")
    with pytest.raises(InputError, match=r"t.parquet cannot be read: Multiple matches for FieldRef.Name\(a\)"):
        table.load(DataConfig(source="t.parquet"), tmp_path)


FIX = "fix or remove that row."
NOTHING = "so networks learn nothing from it; add it to data.drop, or to data.text if it is text."
NUMERIC = "data.task: regression needs a numeric target, but the target y holds"
TOO_FEW = "has only one row, too few for training and validation; add rows of it or remove that row"
CONTENT = [
    (rows()[:0], {}, "t has a header and no rows: there is nothing to learn from."),
    (rows(), {"target": "label"}, "data.target: t has no column label. It has: a, y."),
    (rows(), {"target": ""}, 'data.target: t has no column "". It has: a, y.'),
    (rows(y=np.nan), {}, "t: every row lacks its target y: there is nothing to learn from."),
    (rows(y="cat"), {}, "data.target: the target y has one class only, cat: there is nothing to learn."),
    (rows(y=1), {}, "data.target: the target y has one class only, 1: there is nothing to learn."),
    (rows(y=["u", *"vw" * 19, "v"]), {}, f"data.target: the class u of the target y {TOO_FEW}."),
    (rows(y=[7, *[0, 1] * 19, 0]), {}, f"data.target: the class 7 of the target y {TOO_FEW}."),
    (
        rows(y=np.arange(40)),
        {"task": "classification"},
        f"data.target: the class 0 of the target y "
        f"{TOO_FEW}; if it is a number to predict, set data.task to regression.",
    ),
    (rows(y=[*np.arange(39.0), np.inf]), {}, f"data.target: the target y is infinite in row 40; {FIX}"),
    (rows(y=[0, 1] * 19 + [np.inf] * 2), {}, f"data.target: the target y is infinite in row 39; {FIX}"),
    (rows(y=["u", "v"] * 20), {"task": "regression"}, f"{NUMERIC} u."),
    (rows(y=[True, False] * 20), {"task": "regression"}, f"{NUMERIC} true."),
    (rows(y=3.5), {"task": "regression"}, "data.target: the target y is 3.5 in every row: there is nothing to learn."),
    (rows()[["y"]], {}, "t has no input column left, only the target y."),
    (rows(), {"drop": ["a"]}, "t has no input column left, only the target y."),
    (rows(), {"drop": ["b"]}, "data.drop: t has no column b other than the target. It has: a."),
    (rows(), {"drop": ["y"]}, "data.drop: t has no column y other than the target. It has: a."),
    (rows(), {"categorical": ["b"]}, "data.categorical: t has no column b other than the target. It has: a."),
    (rows(), {"numeric": ["b"]}, "data.numeric: t has no column b other than the target. It has: a."),
    (
        rows(),
        {"numeric": ["a"], "categorical": ["a"]},
        "data.numeric: the column a is also in data.categorical; name it in one of them.",
    ),
    (
        rows(b=["1", "2", "x", "4"] * 10),
        {"numeric": ["b"]},
        "t: the column b is in data.numeric, but row 3 holds x; fix the row or take the column out of data.numeric.",
    ),
    (rows(b=np.nan), {}, "t: the column b has no value in any row; add it to data.drop."),
    (rows(b=[1.0] * 5 + [np.inf] * 35), {}, f"t: the column b is infinite in row 6; {FIX}"),
    (rows(b=[1.0] * 39 + [-np.inf]), {}, f"t: the column b is infinite in row 40; {FIX}"),
    (rows(b=[1.0] * 39 + [-1e300]), {}, f"t: the column b is -1e+300, beyond 1e+100, in row 40; {FIX}"),
    (rows(b=[f"id {i}" for i in range(40)]), {}, f"t: the column b holds no value twice, {NOTHING}"),
    (rows(b=range(40)), {"categorical": ["b"]}, f"t: the column b holds no value twice, {NOTHING}"),
    (rows(**{"b" * 200: np.inf}), {}, f"t: the column {'b' * 79}… is infinite in row 1; {FIX}"),
]


@pytest.mark.parametrize(("frame", "data", "sentence"), CONTENT, ids=[sentence[:60] for *_, sentence in CONTENT])
@pytest.mark.parametrize("name", ["t.csv", "t.parquet"])
def test_tables_without_anything_to_learn_are_refused(tmp_path, frame, data, sentence, name):
    assert refusal(tmp_path, frame, name, **data) == sentence


STRANGE = [
    (DATES, "dates"),
    (DATES.tz_localize("UTC"), "dates"),
    (DATES.date, "dates"),
    (DATES - DATES[0], "times"),
    ([dt.time(1)] * 40, "times"),
    ([b"u", b"v"] * 20, "bytes"),
    ([[1]] * 40, "lists or objects"),
    ([{"k": 1}] * 40, "lists or objects"),
]


@pytest.mark.parametrize(("values", "what"), STRANGE, ids=[f"{i} {what}" for i, (_, what) in enumerate(STRANGE)])
def test_unsupported_types_are_refused(tmp_path, values, what):
    feature = f"t: the column b holds {what}; add it to data.drop, or turn it into numbers or text."
    assert refusal(tmp_path, rows(b=values), "t.parquet") == feature
    assert refusal(tmp_path, rows(b=values), "t.parquet", numeric=["b"]) == feature
    target = f"data.target: the target y holds {what}; turn it into numbers or text."
    assert refusal(tmp_path, rows(y=values), "t.parquet") == target
    assert loaded(tmp_path, rows(b=values), "t.parquet", drop=["b"]).numeric == ("a",)


def test_an_index_column_of_pandas_is_refused_unless_declared_numeric(tmp_path):
    """In a table that is sorted by its target, the row number gives the target away."""
    rows(y=[0, 0, *[None] * 3, *[1] * 35]).to_csv(tmp_path / "i.csv")
    content = (tmp_path / "i.csv").read_bytes()
    assert refusal(tmp_path, content) == (
        "t: the first column has no name and counts the rows; write the file without it (pandas: "
        'index=False), add "Unnamed: 0" to data.drop, or to data.numeric if it is an input.'
    )
    assert loaded(tmp_path, content, drop=["Unnamed: 0"]).numeric == ("a",)
    assert loaded(tmp_path, content, numeric=["Unnamed: 0"]).numeric == ("Unnamed: 0", "a")
    assert loaded(tmp_path, content.replace(b"\n39,", b"\n93,")).numeric == ("Unnamed: 0", "a")


def test_doubtful_categories_are_noted(tmp_path):
    dates = [str(day.date()) for day in DATES[:25]] + [str(DATES[0].date())] * 15
    notes = loaded(tmp_path, rows(b=[*range(20), *range(19), "forty"], c=dates, d=COLOURS)).notes
    assert notes == (
        "The column b is read as categories, because 1 of 40 values are not numbers, such as forty; fix them.",
        "The column c has 25 categories in 40 rows, so networks learn little from it; add it to data.drop, or "
        "to data.categorical to keep it.",
    )
    assert loaded(tmp_path, rows(c=dates), categorical=["c"]).notes == ()


def test_dates_may_be_declared_categorical(tmp_path):
    result = loaded(tmp_path, rows(b=[*DATES[:2]] * 20), "t.parquet", categorical=["b"])
    assert set(result.features["b"]) == {"2020-01-01 00:00:00", "2020-01-02 00:00:00"}


def test_rows_without_a_target_are_left_out_and_counted(tmp_path):
    missing = rows(y=[None] * 4 + ["u", "v"] * 18, b=[1.0] * 40)
    result = loaded(tmp_path, missing)
    assert result.notes == ("Rows without a target, left out: 4.",)
    assert [len(result.features), len(result.target)] == [36, 36]
    assert result.features["a"][0] == missing["a"][4]
    missing.loc[9, "b"] = np.inf
    assert refusal(tmp_path, missing) == "t: the column b is infinite in row 10; fix or remove that row."
    assert loaded(tmp_path, rows()).notes == ()


KINDS = [
    ([0.5, 1.5, np.nan, 3] * 10, "number"),
    ([1, 2, 3, 4] * 10, "number"),
    ([Decimal("1.5"), None] * 20, "number"),
    (pd.array([1, None] * 20, dtype="Int64"), "number"),
    (["1", "2", "x", "4"] * 10, "category"),
    (COLOURS, "category"),
    (["1,000", "2,000"] * 20, "category"),
    ([True, False] * 20, "category"),
    ([True, None] * 20, "category"),
    (pd.Categorical(["u", "v"] * 20), "category"),
]


@pytest.mark.parametrize(("values", "kind"), KINDS, ids=[f"{list(values)[:3]} {kind}" for values, kind in KINDS])
@pytest.mark.parametrize("name", ["t.csv", "t.parquet"])
def test_numbers_are_numeric_and_all_others_categorical(tmp_path, values, kind, name):
    result = loaded(tmp_path, rows(b=values), name)
    assert ("b" in result.numeric, "b" in result.categorical) == (kind == "number", kind == "category")
    assert result.features["b"].dtype == (float if kind == "number" else object)


@pytest.mark.parametrize("name", ["t.csv", "t.parquet"])
def test_declared_types_overrule_inferred_ones(tmp_path, name):
    frame = rows(code=[1, 2, np.nan, 3] * 10, id=[f"id {i}" for i in range(40)], text=["1", "2", None, "4"] * 10)
    result = loaded(tmp_path, frame, name, drop=["id"], categorical=["code"], numeric=["text"])
    assert (result.numeric, result.categorical) == (("a", "text"), ("code",))
    assert set(result.features["code"]) == {"1", "2", "3", ""}  # not 1.0, though pandas needs it for the missing
    assert result.features["text"].isna().sum() == 10


def test_codes_keep_leading_zeros(tmp_path):
    result = loaded(tmp_path, b"code,y\n" + b"01,0\n02,1\n,0\n1,1\n" * 10, categorical=["code"])
    assert set(result.features["code"]) == {"01", "02", "1", ""}


TARGETS = [
    (np.arange(40) % 20, "classification", int),
    (np.arange(40) % 21 / 2, "regression", float),
    (np.arange(40) % 20 / 2, "classification", float),
    ([0.0, np.nan, 1.0, 1.0] * 10, "classification", int),
    ([True, None, False, False] * 10, "classification", bool),
    (["u", "v"] * 20, "classification", str),
    (pd.Categorical(["u", "v"] * 20, categories=["u", "v", "unused"]), "classification", str),
    (pd.array([0, 1, None, 1] * 10, dtype="Int64"), "classification", int),
]


@pytest.mark.parametrize(("values", "task", "kind"), TARGETS)
def test_the_task_and_the_labels_come_from_the_target(tmp_path, values, task, kind):
    result = loaded(tmp_path, rows(y=values), "t.parquet")
    assert result.task == task
    assert {type(label) for label in result.target.tolist()} == {kind}


def test_the_task_can_be_overruled(tmp_path):
    assert loaded(tmp_path, rows(), task="regression").task == "regression"
    assert loaded(tmp_path, rows(y=np.arange(40) // 2 * 1.5), task="classification").target.nunique() == 20


SAME = {
    "BOM": lambda text: codecs.BOM_UTF8 + text,
    "CRLF": lambda text: text.replace(b"\n", b"\r\n"),
    "quotes": lambda text: text.replace(b"red", b'"red"').replace(b"a,", b'"a",', 1),
    "commas at the ends": lambda text: text.replace(b"\n", b",\n").replace(b",\n", b"\n", 1),
    "blank lines": lambda text: text.replace(b"\n", b"\n\n"),
}


@pytest.mark.parametrize("write", SAME.values(), ids=SAME)
def test_editors_of_every_kind_write_the_same_table(tmp_path, write):
    plain = rows(b=COLOURS).to_csv(index=False).encode()
    assert write(plain) != plain
    assert loaded(tmp_path, write(plain)).fingerprint == loaded(tmp_path, plain).fingerprint


def test_a_short_row_lacks_its_last_values(tmp_path):
    result = loaded(tmp_path, b"y,a,b\n" + b"1,2,3\n0,5\n" * 20)
    assert result.features["b"].isna().tolist() == [False, True] * 20


CHANGED = {
    "a value": lambda frame: frame.assign(a=frame["a"].replace(0.0, 1e-9)),
    "a category": lambda frame: frame.assign(b=frame["b"].replace("red", "pink")),
    "a gap": lambda frame: frame.assign(b=frame["b"].fillna("red")),
    "a label": lambda frame: frame.assign(y=frame["y"].where(frame.index > 0, 1)),
    "a name": lambda frame: frame.rename(columns={"a": "c"}),
    "a column": lambda frame: frame.assign(c=frame["a"]),
    "the columns' order": lambda frame: frame[["b", "a", "y"]],
    "the rows' order": lambda frame: frame[::-1],
    "a row": lambda frame: frame[:-1],
}


@pytest.mark.parametrize("change", CHANGED.values(), ids=CHANGED)
def test_the_fingerprint_is_of_the_content(tmp_path, change):
    frame = rows(b=COLOURS)
    first = loaded(tmp_path, frame).fingerprint
    assert first == loaded(tmp_path, frame, "other.csv").fingerprint == loaded(tmp_path, frame, "t.parquet").fingerprint
    assert first != loaded(tmp_path, change(frame)).fingerprint
    assert len(first) == 16


@pytest.mark.parametrize(
    ("name", "shape", "task"),
    [
        ("digits", (1797, 64), "classification"),
        ("breast_cancer", (569, 30), "classification"),
        ("wine", (178, 13), "classification"),
        ("iris", (150, 4), "classification"),
        ("diabetes", (442, 10), "regression"),
    ],
)
def test_the_data_sets_of_scikit_learn(tmp_path, name, shape, task):
    result = table.load(DataConfig(source=f"sklearn:{name}"), tmp_path)
    assert (result.features.shape, result.task, result.image) == (shape, task, name == "digits")


def test_another_column_of_a_data_set_may_be_the_target(tmp_path):
    result = table.load(DataConfig(source="sklearn:iris", target="petal width (cm)", drop=["target"]), tmp_path)
    assert (result.task, result.target_name, result.features.shape[1]) == ("regression", "petal width (cm)", 3)
    with pytest.raises(InputError, match=r"data.target: iris has no column species. It has: sepal length \(cm\), "):
        table.load(DataConfig(source="sklearn:iris", target="species"), tmp_path)
