"""Searches with a target domain: the uses of its rows and labels, and the labels that are never used."""

import json

import numpy as np
import pandas as pd
import pytest
import torch
import yaml
from sklearn.feature_extraction.text import TfidfVectorizer

from hpo.core.errors import InputError
from hpo.data import dataset as data_module
from hpo.data import table
from hpo.data.config import DataConfig
from hpo.data.dataset import Dataset
from hpo.data.split_table import split_and_mask
from hpo.regularizers import FAMILY
from hpo.selection.ensemble import bagging, context
from hpo.space import loader
from hpo.training.population import Population
from hpo.workflows import requirements
from tests.helpers.searches import here, outcomes, write_space
from tests.helpers.tables import domain, reviews
from tests.helpers.training import dataset

ALL = ("train", "valid", "test", "target", "target_valid")
TARGET = {"source": "new.csv", "column": "y"}


@pytest.fixture
def folder(tmp_path):
    domain().to_csv(tmp_path / "old.csv", index=False)
    domain(80, seed=1, by=2.0).to_csv(tmp_path / "new.csv", index=False)
    domain(60, seed=2, by=2.0).to_csv(tmp_path / "test.csv", index=False)
    return tmp_path


def data_config(target=(), **data) -> DataConfig:
    return DataConfig.model_validate(
        {"source": "old.csv", "drop": ["row"], "target": {**TARGET, **dict(target)}, **data}
    )


def prepared(folder, target=(), **data) -> Dataset:
    return data_module.prepare(data_config(target, **data), folder, torch.float64)


def rows_of(data, index):
    """Return the table rows of tensor rows; the rows of the source come first."""
    return data.origin.rows[index.numpy() % data.n_development]


def foreign(data, samples=None):
    """Return a mask of the tensor rows that come from the other domain."""
    rows = torch.arange(len((samples or data).x))
    return torch.from_numpy(data.origin.table_domain[rows_of(data, rows)] != 0)


def sizes(fold):
    return [len(getattr(fold, part)) for part in ALL]


# ---- which rows are used for what

HOLD_OUT = [
    ({}, [80, 20, 0, 32, 8], 40),
    ({"test": 0.25}, [80, 20, 0, 48, 12], 20),
    ({"test": "test.csv"}, [80, 20, 0, 64, 16], 60),
    ({"labels": "few", "few": 5}, [108, 2, 0, 24, 6], 40),
    ({"labels": "few", "few": 5, "test": "test.csv"}, [108, 2, 0, 56, 14], 60),
    ({"labels": "validation-only", "few": 5}, [80, 10, 0, 24, 6], 40),
    ({"labels": "validation-only"}, [100, 40, 0, 0, 0], 40),
]
FOLDS = [
    ({}, [75, 25, 0, 30, 10]),
    ({"labels": "few", "few": 8}, [112, 4, 0, 18, 6]),
    ({"labels": "validation-only", "few": 6}, [80, 3, 0, 21, 7]),
    ({"labels": "validation-only"}, [100, 10, 0, 0, 0]),
]


@pytest.mark.parametrize(("target", "expected", "test"), HOLD_OUT)
def test_sizes_of_the_parts(folder, target, expected, test):
    data = prepared(folder, target)
    assert [sizes(fold) for fold in data.folds] == [expected]
    assert (len(data.test), data.n_development) == (test, 100 + 80 - (test if test != 60 else 0))
    assert not [note for note in data.notes if "are scored on only" not in note]
    (whole,) = data.without_validation().folds
    labelled = expected[0] + expected[1] - 100
    assert sizes(whole) == [100 + (labelled if target.get("labels") == "few" else 0), 0, 0, data.n_development - 100, 0]


@pytest.mark.parametrize(("target", "expected"), FOLDS)
@pytest.mark.parametrize("repeats", [1, 2])
def test_sizes_of_folds(folder, target, expected, repeats):
    data = prepared(folder, target, split={"folds": 4, "repeats": repeats})
    assert [sizes(fold) for fold in data.folds] == [expected] * 4 * repeats
    for drawn in (data.new_folds(1), data.new_folds(2)):
        assert [sizes(fold) for fold in drawn.folds] == [expected] * 4
    judged = np.concatenate([rows_of(data, fold.valid) for fold in data.folds[:4]])
    assert len(np.unique(judged)) == len(judged)


@pytest.mark.parametrize("split", [{}, {"folds": 3}])
@pytest.mark.parametrize(
    "target", [{}, {"labels": "few", "few": 8}, {"labels": "validation-only", "few": 8}, {"labels": "validation-only"}]
)
def test_parts_are_disjoint_and_new_draws_differ(folder, target, split):
    data = prepared(folder, target, split=split)
    for samples in (data, data.new_folds(1), data.new_folds(2)):
        for fold in samples.folds:
            rows = np.concatenate([rows_of(data, getattr(fold, part)) for part in ALL])
            assert len(np.unique(rows)) == len(rows)
            assert not np.isin(rows, data.origin.test_rows).any()
            assert set(foreign(data, samples)[fold.target].tolist()) <= {True}
    first, second = (samples.folds[0] for samples in (data.new_folds(1), data.new_folds(2)))
    same = [
        set(rows_of(data, getattr(first, part))) == set(rows_of(data, getattr(second, part)))
        for part in ("train", "target")
    ]
    assert same == ([True, same[1]] if data.has_single_draw else [False, False])
    assert data.has_single_draw == (target.get("labels") == "validation-only")


def test_a_time_column_of_the_source_orders_only_the_source(folder):
    domain().assign(day=np.arange(100)).to_csv(folder / "old.csv", index=False)
    data = prepared(folder, split={"time": "day"})
    assert data.has_single_draw
    assert rows_of(data, data.folds[0].valid).tolist() == [*range(80, 100)]
    assert [sizes(fold) for fold in data.new_folds(1).folds] == [[80, 20, 0, 32, 8]]


def test_groups_of_the_target_stay_together_if_it_has_the_column(folder):
    frame = domain(80, seed=1, by=2.0).assign(who=[f"new {i // 4}" for i in range(80)])
    domain().assign(who=[f"old {i // 4}" for i in range(100)]).to_csv(folder / "old.csv", index=False)
    frame.to_csv(folder / "new.csv", index=False)
    data = prepared(folder, {"labels": "few", "few": 10}, split={"groups": "who", "valid": 0.4})
    who = np.array([*(f"old {i // 4}" for i in range(100)), *frame["who"]])
    (fold,) = data.folds
    train, valid = (set(who[rows_of(data, index)]) for index in (fold.train, fold.valid))
    assert valid
    assert not train & valid
    assert not set(who[data.origin.test_rows]) & set(who[data.origin.rows])
    frame.drop(columns="who").to_csv(folder / "new.csv", index=False)
    assert len(prepared(folder, split={"groups": "who"}).test) == 40


# ---- labels that must not be used

REGRESSION = {"column": "x3"}


@pytest.mark.parametrize("split", [{}, {"folds": 3}])
@pytest.mark.parametrize("column", ["y", "x3"])
@pytest.mark.parametrize(
    ("target", "allowed"), [({}, 0), ({"labels": "few", "few": 6}, 12), ({"labels": "validation-only"}, 40)]
)
def test_no_target_row_has_a_label_unless_it_is_allowed(folder, split, column, target, allowed):
    allowed = 6 if column == "x3" and target.get("few") else allowed  # so many in all
    config = data_config({**target, "column": column}, split=split, class_weight="balanced" if column == "y" else None)
    data = data_module.prepare(config, folder, torch.float64)
    for samples in (
        data,
        data.new_folds(1),
        data.without_validation(),
    ):
        other, y = foreign(data, samples), samples.y
        hidden = y.isnan() if column == "x3" else y == -1
        assert not hidden[~other].any()
        assert (other & ~hidden).sum() == allowed * (len(samples.x) // data.n_development)
        for fold in samples.folds:
            if len(fold.valid) or not allowed:  # the last training adapts to the labelled rows, too
                assert hidden[fold.target].all()
            assert hidden[fold.target_valid].all()
            assert not hidden[torch.cat([fold.train, fold.valid, fold.test])].any()
        if samples.weight is not None:
            assert (samples.weight[hidden] == 0).all()
    loaded = table.load(config, folder)
    visible = split_and_mask(loaded, config, []).y[loaded.domain == 1]
    assert (np.isfinite(visible).sum() if column == "x3" else (visible >= 0).sum()) == allowed
    assert len(data.test) == 40


def test_few_labels_are_the_same_number_per_class(folder):
    frame = domain(80, seed=1).assign(y=["bad"] * 70 + ["good"] * 10)
    frame.to_csv(folder / "new.csv", index=False)
    data = prepared(folder, {"labels": "few", "few": 4, "test": 0.3})
    assert data.y[foreign(data) & (data.y >= 0)].bincount().tolist() == [4, 4]
    assert data.y[data.folds[0].valid].bincount(minlength=2).tolist() == [1, 1]


def test_class_weights_are_those_of_the_training_rows(folder):
    domain().assign(y=["bad"] * 75 + ["good"] * 25).to_csv(folder / "old.csv", index=False)
    data = prepared(folder, class_weight="balanced")
    y, weight = (tensor[data.folds[0].train] for tensor in (data.y, data.weight))
    assert [weight[y == label].unique().item() for label in (0, 1)] == pytest.approx([2 / 3, 2])


@pytest.mark.parametrize("split", [{}, {"folds": 3, "repeats": 2}])
@pytest.mark.parametrize("column", ["y", "x3"])
def test_labels_of_the_target_do_not_influence_the_split(folder, split, column):
    """The test part is not stratified by them; here it is a random share of the rows."""
    found = []
    for turn in range(2):
        frame = domain(80, seed=1)
        shuffled = np.random.default_rng(turn).permutation(frame[column])
        frame.assign(**{column: shuffled}).to_csv(folder / "new.csv", index=False)
        data = prepared(folder, {"column": column}, split=split, class_weight="balanced" if column == "y" else None)
        found.append(
            [
                data.test.reveal().y,
                *(one for s in (data, data.new_folds(1), data.without_validation()) for one in said(s)),
            ]
        )
    (test, *first), (other, *second) = found
    assert not test.equal(other)
    assert len(first) == len(second)
    assert all(torch.equal(a.nan_to_num(-9.0), b.nan_to_num(-9.0)) for a, b in zip(first, second, strict=True))


def said(samples):
    """Return all values of the rows that are passed to training."""
    yield from (samples.x, samples.y)
    yield from () if samples.weight is None else (samples.weight,)
    yield from (getattr(fold, part) for fold in samples.folds for part in ALL)


SEARCH = {
    "learning_rate": {"low": 1e-3, "high": 1e-1, "log": True},
    "weight_decay": {"low": 1e-4, "high": 1.0, "log": True, "optional": True},
    "dropout": {"low": 0.0, "high": 0.5},
}
SAYS = {"source": "old.csv", "drop": ["row"], "target": {**TARGET, "test": "test.csv"}}


def searched(store, name, **changes):
    ran = here(
        "search", "--space", write_space(store, study=name, search=SEARCH, **changes), "--store", store, "--json"
    )
    assert ran.exit_code == 0, ran.stderr
    return json.loads(ran.stdout)


def learned(store, name):
    """Return everything that a search has stored, including the bits of its weights."""
    when = ("started", "epoch_times", "seconds")
    said = {
        label: {key: value for key, value in o.items() if key not in when} for label, o in outcomes(store, name).items()
    }
    best = store.parent / "best"
    assert (
        here("export", "--study", name, "--store", store, "--weights", best, "-o", store.parent / "best.yaml").exit_code
        == 0
    )
    files = [*sorted((store / "studies" / name / "weights").iterdir()), *sorted(best.iterdir())]
    assert {"preprocess.json", "weights.safetensors"} < {path.name for path in files}
    return json.dumps(said, sort_keys=True), {path.name: path.read_bytes() for path in files}


@pytest.mark.usefixtures("unrecorded")
@pytest.mark.parametrize("labels", ["none", "few"])
def test_labels_of_the_target_only_influence_the_test_score(store, folder, labels):
    """With a few labels allowed, the same search gives another result, so this test can fail."""
    own, r = store.parent, np.random.default_rng(0)
    results = []
    for turn in range(2):
        for name in ("old", "new", "test"):
            frame = pd.read_csv(folder / f"{name}.csv")
            frame = frame.assign(y=r.permutation(frame["y"])) if turn and name != "old" else frame
            frame.to_csv(own / f"{name}.csv", index=False)
        target = {**SAYS["target"], "labels": labels}
        changes = {
            "data": {**SAYS, "target": target, "class_weight": "balanced"},
            "ensemble": {"kind": "greedy", "size": 2, "pool": 2},
        }
        # Named alike: what a search draws depends on nothing but its data, but its files should be the same, too.
        results.append(searched(store, "leak", **changes))
        results[-1]["learned"] = learned(store, "leak")
        assert here("delete", "leak", "--yes", "--store", store).exit_code == 0
    first, second = results
    assert first["test"] != second["test"]
    assert first["fingerprint"] != second["fingerprint"]
    assert (first["learned"] == second["learned"]) == (labels == "none")
    same = ("trial", "selected", "valid", "reevaluated", "train", "rules", "refit", "result_options", "trials")
    assert ({key: first[key] for key in same} == {key: second[key] for key in same}) == (labels == "none")


# ---- what is learned from unlabelled rows, and what is not


def test_numbers_are_standardized_by_labelled_training_rows_only(folder):
    data = prepared(folder)
    train = rows_of(data, data.folds[0].train)
    (feature,) = [f for f in data.preprocess.features if f["column"] == "x0"]
    x0 = pd.read_csv(folder / "old.csv")["x0"].to_numpy()
    assert (feature["mean"], feature["scale"]) == pytest.approx((x0[train].mean(), x0[train].std()))


@pytest.mark.parametrize("split", [{}, {"folds": 3}])
def test_term_weights_are_fitted_on_training_rows_and_adapted_rows(tmp_path, split):
    reviews(80).to_csv(tmp_path / "old.csv", index=False)
    reviews(60, seed=1).assign(review=lambda f: f["review"].str.replace("the", "onlynew")).to_csv(
        tmp_path / "new.csv", index=False
    )
    target = {"source": "new.csv", "column": "again"}
    data = data_module.prepare(
        DataConfig(source="old.csv", target=target, text=["review"], drop=["price", "bought"], split=split), tmp_path
    )
    texts = pd.concat([pd.read_csv(tmp_path / name)["review"] for name in ("old.csv", "new.csv")]).fillna("").tolist()
    terms = data.preprocess.documents[0]["terms"]
    assert "onlynew" in terms
    for fold in data.folds:
        fitted = [texts[i] for index in (fold.train, fold.target) for i in rows_of(data, index)]
        own = set(TfidfVectorizer().fit(fitted).get_feature_names_out())
        vectorizer = TfidfVectorizer(vocabulary=[term for term in terms if term in own]).fit(fitted)
        expected = np.zeros((len(texts), len(terms)))
        expected[:, [term in own for term in terms]] = vectorizer.transform(texts).toarray()
        for index in (fold.train, fold.valid, fold.target, fold.target_valid):
            assert data.x[index].numpy() == pytest.approx(expected[rows_of(data, index)], abs=1e-6)


def test_a_category_that_occurs_only_in_the_target_is_an_input(folder):
    domain(80, seed=1).assign(kind="only new").to_csv(folder / "new.csv", index=False)
    data = prepared(folder)
    place = [feature.get("equals") for feature in data.preprocess.features].index("only new")
    assert data.x[:, place].tolist() == foreign(data).double().tolist()


# ---- files


def test_several_sources_are_concatenated(folder):
    domain(50, seed=3).to_csv(folder / "older.csv", index=False)
    data = prepared(folder, source=["old.csv", "older.csv"])
    assert (data.name, data.n_development, len(data.folds[0].train)) == ("old + older → new", 190, 120)
    alone = data_module.prepare(DataConfig(source=["old.csv", "older.csv"], target="y"), folder)
    assert alone.n_development + len(alone.test) == 150
    domain(50, seed=3).drop(columns="x1").to_csv(folder / "older.csv", index=False)
    with pytest.raises(InputError) as caught:
        prepared(folder, source=["old.csv", "older.csv"])
    assert (
        str(caught.value) == "data.source: older lacks the column x1, which old has; all sources need the same columns."
    )


def test_a_list_of_one_source_equals_the_source(tmp_path):
    alone, listed = (
        data_module.prepare(DataConfig(source=source), tmp_path) for source in ("sklearn:digits", ["sklearn:digits"])
    )
    assert listed.image == (1, 8, 8)
    assert listed.x.equal(alone.x)


@pytest.mark.parametrize("missing", ["column", "values"])
def test_the_test_part_comes_from_the_source_if_the_target_has_no_labels(folder, missing):
    frame = domain(80, seed=1)
    (frame.drop(columns="y") if missing == "column" else frame.assign(y=None)).to_csv(folder / "new.csv", index=False)
    data = prepared(folder)
    assert sizes(data.folds[0]) == [60, 20, 0, 64, 16]  # valid is 0.2 of all rows of each
    assert (len(data.test), (data.test.reveal().y >= 0).all()) == (20, True)
    assert data.notes == (
        "No row of the target has a label, so the test part comes from the source: the quality of predictions on "
        "the target remains unknown.",
    )
    tested = prepared(folder, {"test": "test.csv"})
    assert (len(tested.test), tested.n_development) == (60, 180)


def test_unlabelled_target_rows_are_adapted_to_and_never_tested(folder):
    frame = domain(80, seed=1)
    frame.loc[:39, "y"] = None
    frame.to_csv(folder / "new.csv", index=False)
    data = prepared(folder)
    assert (len(data.test), sizes(data.folds[0])[3:]) == (20, [48, 12])
    assert data.origin.test_rows.min() >= 140
    data = prepared(folder, {"labels": "validation-only"})
    assert sizes(data.folds[0]) == [80, 20, 0, 32, 8]  # a fifth of the source shows what validators are worth


def test_extra_target_columns_and_an_unused_test_share_are_noted(folder):
    domain(80, seed=1).assign(more=1).to_csv(folder / "new.csv", index=False)
    assert prepared(folder, split={"test": 0.3}).notes == (
        "Columns of new that old → new does not have, left out: more.".replace("old → new", "old"),
        "The test part comes from the target: data.target.test sets its size, and data.split.test is not used.",
    )


WRONG = [
    (
        lambda f: f.drop(columns="x1"),
        {},
        "data.target.source: new lacks the column x1, which old has; both domains need the same columns.",
    ),
    (
        lambda f: f.assign(y="fair"),
        {},
        "data.target: the target domain has the class fair, which the source does not have: bad, good.",
    ),
    (
        lambda f: f.drop(columns="y"),
        {"labels": "few"},
        "data.target.labels: few needs labels, and no row of new.csv has one; use none.",
    ),
    (lambda f: f, {"test": "gone.csv"}, "does not exist; name a .csv, .parquet, .svmlight or .libsvm file."),
    (lambda f: f, {"column": "z"}, "data.target: old → new has no column z. It has: row, kind, x0, x1, x2, x3, y."),
    (
        lambda f: f.assign(x3="a word"),
        {"column": "x3"},
        "data.target: x3 is a number, but the target domain has a word; fix it.",
    ),
    (
        lambda f: f.assign(x1=["a word", *f["x1"][1:]]),
        {},
        "old → new: the column x1 holds numbers, but row 1 of the target holds a word; fix the row.",
    ),
    (lambda f: f.iloc[:1], {}, "the target new.csv: the test part of data.split cannot be drawn from a single row."),
    (
        lambda f: f.iloc[:0],
        {},
        "data.target.source: new has a header and no rows: there is nothing to adapt to or to test on; leave it out.",
    ),
    (
        lambda f: f.assign(x1=[np.inf, *f["x1"][1:]]),
        {},
        "old → new: the column x1 is infinite in row 1 of the target; fix or remove that row.",
    ),
]


@pytest.mark.parametrize(("change", "target", "sentence"), WRONG)
def test_invalid_target_domains_are_refused(folder, change, target, sentence):
    change(domain(80, seed=1)).to_csv(folder / "new.csv", index=False)
    with pytest.raises(InputError) as caught:
        prepared(folder, target)
    assert str(caught.value).endswith(sentence)


SPACE = "study: s\ndata: {{source: t.csv, target: {}}}\nsearch: {{l1: {{low: 0, high: 1}}}}\n"


@pytest.mark.parametrize(
    ("target", "sentence"),
    [
        ("{sauce: new.csv}", "data.target.sauce is not a key of data.target. Did you mean source?"),
        (
            "{source: new.txt}",
            "data.target.source: must be a .csv, .parquet, .svmlight or .libsvm file, or sklearn:NAME, got new.txt.",
        ),
        (
            "{source: new.csv, labels: some}",
            "data.target.labels: some is not known. Known: none, few, validation-only.",
        ),
        (
            "{source: new.csv, few: 5}",
            "data.target: few needs labels: few or validation-only, got few=5, labels=none; leave few out, or set "
            "labels.",
        ),
        ("{source: new.csv, labels: few, few: 1}", "data.target.few: must be at least 2, got 1."),
        ("{source: new.csv, test: 1.5}", "data.target.test: must be a share between 0 and 1, or a file, got 1.5."),
        (
            "{source: new.csv, test: new.csv}",
            "data.target: test must be another file than source, got new.csv for both; use a share of its rows.",
        ),
        (
            "{labels: few}",
            "data.target: labels needs a target domain; name its file in source, or leave labels out.",
        ),
        ("[y]", 'data.target: must be text, got ["y"].'),
    ],
)
def test_invalid_target_keys_are_refused(tmp_path, target, sentence):
    (tmp_path / "s.yaml").write_text(SPACE.format(target))
    with pytest.raises(InputError) as caught:
        loader.load(tmp_path / "s.yaml")
    assert str(caught.value) == f"s.yaml:2: {sentence}"


def test_a_domain_cannot_be_its_own_target():
    for target in ({"source": "a.csv"}, {"source": "c.csv", "test": "a.csv"}):
        with pytest.raises(ValueError, match=r"target must be another domain than source, got a\.csv for both"):
            DataConfig.model_validate({"source": ["a.csv", "b.csv"], "target": target})
        with pytest.raises(ValueError, match=r"target must be another domain than source, got a\.csv for both"):
            DataConfig.model_validate({"source": ["./a.csv", "b.csv"], "target": target})
    with pytest.raises(ValueError, match=r"test must be another file than source, got x/\.\./c\.csv for both"):
        DataConfig.model_validate({"source": "a.csv", "target": {"source": "c.csv", "test": "x/../c.csv"}})
    with pytest.raises(
        ValueError, match=r"must hold each file once, got \./a\.csv twice|must hold each file once, got a\.csv twice"
    ):
        DataConfig(source=["a.csv", "./a.csv"])


def test_a_column_is_short_for_the_section():
    said = DataConfig(source="t.csv", target="y")
    assert (said.target.column, said.target.source) == ("y", None)
    assert said == DataConfig(source="t.csv", target={"column": "y"})
    assert said.model_dump(exclude_defaults=True) == {"source": "t.csv", "target": "y"}
    both = DataConfig(source=["a.csv", "b.csv"], target=TARGET)
    assert DataConfig.model_validate(both.model_dump(mode="json", exclude_defaults=True)) == both
    for source, sentence in (
        ([], "must hold at least one"),
        (["a.csv", "a.csv"], "each file once"),
        ([3], "must be text, got 3; put it in quotes"),
    ):
        with pytest.raises(ValueError, match=sentence):
            DataConfig(source=source)


def test_keys_that_need_another_domain_are_refused_without_one(folder, monkeypatch):
    monkeypatch.setattr(type(FAMILY["weight_decay"]), "needs", ("target",))
    space = loader.parse(
        {"study": "s", "data": {"source": "sklearn:wine"}, "search": {"weight_decay": {"low": 0.0, "high": 1.0}}}
    )
    for data, why in (
        (data_module.prepare(space.data, folder), "there are none; name its file in data.target.source"),
        (
            prepared(folder, {"labels": "validation-only"}),
            "no row of the target outside the test part is unlabelled; set data.target.few, or lower it",
        ),
    ):
        with pytest.raises(InputError) as caught:
            requirements.check(space, data)
        assert (
            str(caught.value) == "search.weight_decay: needs rows of another domain without labels to adapt to, "
            f"and {why}, or leave the key out."
        )
    requirements.check(space, prepared(folder))


def described(**target) -> DataConfig:
    return DataConfig.model_validate({"source": "old.csv", "drop": ["row"], "target": {**TARGET, **target}})


def test_a_test_file_must_have_labels(folder):
    domain(60).assign(y=None).to_csv(folder / "test.csv", index=False)
    with pytest.raises(InputError, match=r"data\.target\.test: no row of test\.csv has a label"):
        prepared(folder, {"test": "test.csv"})


def test_a_category_is_the_same_in_every_file_format(folder):
    """A file with only digits as codes is read as numbers, another file as text."""
    codes = np.array(["7", "12"])
    for name, known in (("old", ["7", "12b"]), ("more", codes), ("new", codes)):
        domain(80).assign(code=np.resize(known, 80)).to_csv(folder / f"{name}.csv", index=False)
    with pytest.raises(
        InputError,
        match=r"^data\.source: the column code holds numbers in more\.csv, "
        r"but row 2 of old\.csv holds 12b; fix the row, or add",
    ):
        prepared(folder, source=["old.csv", "more.csv"])
    assert prepared(folder).preprocess.features[-1]["equals"] == "7"
    for beside in ({"drop": ["row", "code"]}, {"split": {"groups": "code"}}):  # what is no input may be anything
        found = table.load(
            DataConfig.model_validate({"source": ["old.csv", "more.csv"], "target": "y", **beside}), folder
        )
        assert "code" not in found.features.columns
    data = prepared(folder, source=["old.csv", "more.csv"], categorical=["code"])
    assert [f["equals"] for f in data.preprocess.features if f["column"] == "code"] == ["12", "12b", "7"]


def test_messages_name_the_file_of_a_row(folder):
    domain(80).assign(x1=[np.inf, *domain(80)["x1"][1:]]).to_csv(folder / "more.csv", index=False)
    for target in (TARGET, "y"):
        with pytest.raises(
            InputError, match=r"the column x1 is infinite in row 1 of more\.csv; fix or remove that row"
        ):
            data_module.prepare(
                DataConfig.model_validate({"source": ["old.csv", "more.csv"], "target": target}), folder
            )


# ---- a whole search


@pytest.mark.exhaustive
@pytest.mark.usefixtures("unrecorded")
@pytest.mark.parametrize(
    ("labels", "more"),
    [
        ("none", {"split": {"folds": 3}}),
        ("few", {}),
        ("validation-only", {}),
    ],
)
def test_every_fit_of_a_search_has_rows_to_adapt_to(store, folder, monkeypatch, labels, more):
    """In the search, the re-evaluation, each kind of refit, and ensembles."""
    seen = []
    usual = Population.__init__

    def watched(self, data, *rest):
        seen.extend((data, fold) for fold in data.folds)
        usual(self, data, *rest)

    monkeypatch.setattr(Population, "__init__", watched)
    for name in ("old", "new", "test"):
        pd.read_csv(folder / f"{name}.csv").to_csv(store.parent / f"{name}.csv", index=False)
    target = {**SAYS["target"], "labels": labels, "few": 10} if labels != "none" else SAYS["target"]
    changes = {
        "data": {**SAYS, "target": target, **more},
        "train": {"epochs": 2, "batch_size": 32},
        "budget": {"trials": 3},
    }
    assert searched(store, "ends", **changes)["test_evaluations"] == 1
    for kind in ("bagging", "greedy", "stacking", "snapshot", "boosting"):
        pool = ("--pool", "2") if kind in ("greedy", "stacking") else ()
        ran = here(
            "ensemble", "--study", "ends", "--kind", kind, "--size", "2", *pool, "--store", store, "--json", "--quiet"
        )
        assert ran.exit_code == 0, ran.output
        assert json.loads(ran.stdout)["expected"] or kind == "snapshot"
    assert searched(store, "bag", refit="average", **changes)["refit"]["weights"]
    assert len(seen) > 10
    for data, fold in seen:
        assert len(fold.target)
        hidden = data.y == -1
        assert not hidden[torch.cat([fold.train, fold.valid])].any()
        assert not set(fold.target.tolist()) & set(fold.valid.tolist())
        assert hidden[fold.target].sum() >= 20  # all but the few, which the last training has seen with their labels


@pytest.mark.usefixtures("unrecorded")
def test_an_exported_point_and_a_moved_file_are_the_same_search(store, folder):
    own = store.parent / "deep"
    own.mkdir()
    for name in ("old", "new", "test"):
        pd.read_csv(folder / f"{name}.csv").to_csv(own / f"{name}.csv", index=False)
    data = {
        **SAYS,
        "source": ["deep/old.csv"],
        "target": {**SAYS["target"], "source": "deep/new.csv", "test": "deep/test.csv"},
    }
    result = searched(store, "tiny", data=data, finalists=0)
    point = own / "best.yaml"
    assert here("export", "--study", "tiny", "--store", store, "-o", point, "--weights", own / "best").exit_code == 0
    said = yaml.safe_load(point.read_text())["data"]
    assert (said["source"], said["target"]["source"], said["target"]["test"]) == (["old.csv"], "new.csv", "test.csv")
    ran = here("search", "--space", point, "--store", store, "--json")
    assert json.loads(ran.stdout)["valid"] == result["valid"]
    assert here("predict", own / "test.csv", "--weights", own / "best").exit_code == 0
    (own / "old.csv").rename(own / "elsewhere.csv")
    moved = {**data, "source": "deep/elsewhere.csv"}
    assert searched(store, "tiny", data=moved, finalists=0) == result
    space = loader.parse({"study": "s", "data": data, "search": SEARCH})
    assert space.identity()["data"]["target"] == {"column": "y", "labels": "none", "few": None}
    (own / "new.csv").unlink()
    changed = domain(80, seed=9)
    changed.to_csv(own / "new.csv", index=False)
    ran = here(
        "search", "--space", write_space(store, study="tiny", search=SEARCH, data=moved, finalists=0), "--store", store
    )
    assert ran.exit_code == 2
    assert "the rows of its data differ" in ran.stderr


def test_ensembles_take_the_folds_of_a_fresh_draw(folder):
    data = prepared(folder, {"labels": "few", "few": 10})
    whole, fresh = data.without_validation(), data.new_folds(1)
    folds = context.held_out_folds(whole, fresh, with_all=True)
    for mine, theirs in zip(folds, fresh.folds, strict=False):
        for part, other in (
            ("train", "train"),
            ("test", "valid"),
            ("target", "target"),
            ("target_valid", "target_valid"),
        ):
            assert rows_of(data, getattr(mine, part)).tolist() == rows_of(data, getattr(theirs, other)).tolist()
        assert len(mine.valid) == 0
    assert len(folds) == len(fresh.folds) + 1
    assert sizes(folds[-1]) == sizes(whole.folds[0])


@pytest.mark.parametrize("labels", ["few", "validation-only"])
def test_bagging_is_scored_only_on_labelled_target_rows(folder, labels):
    data = prepared(folder, {"labels": labels, "few": 10})
    (all_,) = data.without_validation().folds
    drawn = [fold.remap(lambda own: all_.train[own]) for fold in bagging.bootstrap_folds(len(all_.train), 20, 0, None)]
    judges = [bagging.out_of_bag_rows(data, all_, fold) for fold in drawn]
    labelled = 20 if labels == "few" else len(data.folds[0].valid)
    for fold, own in zip(drawn, judges, strict=True):
        assert foreign(data)[own].all()
        assert not (data.y[own] == -1).any()
        assert not set(own.tolist()) & set(fold.train.tolist())
    assert all(0 < len(own) <= labelled for own in judges)
    assert any(len(own) < labelled for own in judges) == (labels == "few")


def test_rows_used_only_for_validation_are_not_ordered_in_time(folder):
    """They are not trained on, so all of them are validation rows, in as many parts as without a time column."""
    for name in ("old", "new", "test"):
        frame = pd.read_csv(folder / f"{name}.csv")
        frame.assign(when=np.arange(len(frame))).to_csv(folder / f"{name}.csv", index=False)
    data = prepared(folder, {"labels": "validation-only", "few": 10}, split={"time": "when"})
    fresh = data.new_folds(1)
    assert len(fresh.folds) >= 4
    assert sorted(torch.cat([fold.valid for fold in fresh.folds]).remainder(data.n_development).tolist()) == sorted(
        data.folds[0].valid.tolist()
    )
    assert data.over_time is False


def test_groups_with_rows_in_both_domains_are_noted(folder):
    notes = {}
    for shared in (False, True):
        for name in ("old", "new"):
            frame = pd.read_csv(folder / f"{name}.csv")
            who = [f"{i % 9}" if shared else f"{name} {i % 9}" for i in range(len(frame))]
            frame.assign(who=who).to_csv(folder / f"{name}.csv", index=False)
        notes[shared] = [
            n for n in prepared(folder, {"labels": "few"}, split={"groups": "who"}).notes if "both domains" in n
        ]
    assert (len(notes[False]), notes[True][0][:38]) == (0, "9 groups have rows in both domains: ne")


def test_a_numeric_target_may_be_nullable_in_parquet(folder):
    y = np.linspace(0, 9, 80)
    domain(80).assign(y=y).convert_dtypes().to_parquet(folder / "a.parquet")
    domain(80, by=1.0).assign(y=[*y[:40], *[None] * 40]).convert_dtypes().to_parquet(folder / "b.parquet")
    for labels in ("none", "few"):
        data = prepared(folder, {"source": "b.parquet", "labels": labels}, source="a.parquet")
        assert data.task == "regression"
        assert data.x.isfinite().all()
        assert data.y[data.folds[0].train].isfinite().all()
        assert data.test.reveal().y.isfinite().all()


def test_messages_call_the_held_back_source_rows_held_back_not_test(folder):
    lone = pd.read_csv(folder / "old.csv").assign(y=[f"c{i % 30}" for i in range(100)])
    lone.to_csv(folder / "old.csv", index=False)
    domain(80, seed=1).assign(y=[f"c{i % 30}" for i in range(80)]).to_csv(folder / "new.csv", index=False)
    notes = [
        note
        for note in prepared(folder, {"labels": "validation-only", "few": 2}).notes
        if "without stratification" in note
    ]
    assert any(note.startswith("The held-back part") for note in notes)


def test_labelled_rows_used_only_for_validation_score_several_new_networks(folder):
    data = prepared(folder, {"labels": "validation-only", "few": 6})
    fresh = data.new_folds(1)
    judging = torch.cat([fold.valid for fold in fresh.folds]) % data.n_development
    assert len(fresh.folds) >= 4  # else nothing could be better beyond noise
    assert sorted(judging.tolist()) == sorted(data.folds[0].valid.tolist())
    assert all(
        set((fold.train % data.n_development).tolist()) == set(data.folds[0].train.tolist()) for fold in fresh.folds
    )


def test_few_validation_rows_are_noted(folder):
    assert any(
        "Trials are scored on only 4 labelled rows of the target" in note
        for note in prepared(folder, {"labels": "few", "few": 8}).notes
    )
    assert not any(
        "are scored on only" in note for note in prepared(folder, {"labels": "few", "few": 8}, split={"folds": 3}).notes
    )


def test_frozen_random_weights_are_noted():
    space = loader.parse(
        {"study": "s", "data": {"source": "sklearn:wine"}, "search": {"freeze": {"low": 0, "high": 1}}}
    )
    assert requirements.notes(space, dataset()) == [
        "search.freeze keeps the initial weights of a network, and without network.init these are random."
    ]
