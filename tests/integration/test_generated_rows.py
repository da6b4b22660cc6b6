"""Synthetic rows, and an auxiliary target column."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch
import yaml

import hpo
from hpo.core.errors import InputError
from hpo.data.config import DataConfig
from hpo.data.dataset import prepare
from hpo.selection.ensemble.context import held_out_folds
from tests.helpers.searches import TINY
from tests.helpers.tables import loans

KINDS = ("smote", "gaussian_mixture", "vae")


@pytest.fixture
def folder(tmp_path):
    loans(300).to_csv(tmp_path / "loans.csv", index=False)
    loans(200, seed=1).assign(income=lambda t: 2 * t["income"]).to_csv(tmp_path / "others.csv", index=False)
    return tmp_path


@pytest.fixture(autouse=True)
def _hasty(monkeypatch):
    """Train autoencoders for a few steps; the quality of their rows is tested elsewhere."""
    monkeypatch.setattr("hpo.data.autoencoder.STEPS", 20)


def prepared(folder, altering=("synthetic",), **data):
    data = {"source": "loans.csv", "target": "repaid", **data}
    return prepare(DataConfig.model_validate(data), folder, torch.float64, altering)


def changed(folder, name, rows, **columns):
    """Change the values in some rows of a file."""
    table = pd.read_csv(folder / name)
    for column, value in columns.items():
        table.loc[rows, column] = value
    table.to_csv(folder / name, index=False)


# ---- generated rows


@pytest.mark.parametrize("kind", KINDS)
def test_only_training_rows_are_replaced_by_synthetic_rows(folder, kind):
    target = {"source": "others.csv", "column": "repaid", "labels": "few"}
    data = prepared(folder, target=target, synthetic={"kind": kind, "variants": 2})
    bank, (fold,) = data.augmented["synthetic"], data.folds
    assert bank.shape == (2, *data.x.shape)
    assert (bank[:, fold.train] != data.x[fold.train]).any(2).all()
    for part in (fold.valid, fold.target, fold.target_valid):
        assert len(part)
        assert torch.equal(bank[:, part], data.x[part].expand(2, -1, -1))


@pytest.mark.parametrize("kind", KINDS)
def test_synthetic_rows_depend_only_on_training_rows(folder, kind):
    """Changed values in all other rows, of either domain, do not change the synthetic rows."""
    more = {
        "target": {"source": "others.csv", "column": "repaid"},
        "synthetic": {"kind": kind, "variants": 1},
        "split": {"folds": 2},
    }
    before = prepared(folder, **more)
    fold = before.folds[1]
    changed(folder, "loans.csv", before.table_rows(fold.valid.tolist()).index, income=9e6, survey_1=-77)
    changed(folder, "others.csv", slice(None), income=1e7, survey_2=55)
    after = prepared(folder, **more)
    assert torch.equal(after.folds[1].train, fold.train)
    assert torch.equal(before.augmented["synthetic"][:, fold.train], after.augmented["synthetic"][:, fold.train])
    others = before.folds[0].train  # which did learn from what was changed
    assert not torch.equal(before.augmented["synthetic"][:, others], after.augmented["synthetic"][:, others])


def test_new_folds_and_the_refit_have_synthetic_rows(folder):
    data = prepared(folder, synthetic={"variants": 3})
    for samples in (data.new_folds(1), data.without_validation()):
        assert samples.augmented["synthetic"].shape == (3, *samples.x.shape)
        for fold in samples.folds:
            assert (samples.augmented["synthetic"][:, fold.train] != samples.x[fold.train]).any(2).all()
    assert prepared(folder, altering=()).augmented == {}


def test_out_of_fold_networks_of_an_ensemble_have_different_synthetic_rows(folder):
    """A synthetic row of a fold must not be near a test row of that fold and have its label."""
    data = prepared(folder, synthetic={"variants": 2})
    whole = data.without_validation()
    folds = held_out_folds(whole, data.new_folds(1), with_all=True)
    x = whole.x.clone()
    x[folds[0].test] = 1e6
    samples = replace(whole, x=x, folds=folds).training_samples()
    first, last = (samples.augmented["synthetic"][:, samples.folds[i].train].abs().max() for i in (0, -1))
    assert first < 1e5 < last
    assert torch.equal(samples.y[samples.folds[0].test], whole.y[folds[0].test])
    assert len(prepared(folder, altering=()).without_validation().training_samples().x) == len(whole.x)


def test_too_many_synthetic_rows_are_refused(folder, monkeypatch):
    monkeypatch.setattr("hpo.data.fold_encoding.MAX_NUMBERS", 30_000)
    with pytest.raises(
        InputError,
        match=r"240 rows with \d+ inputs are too many to keep in memory for 9 augmented copies; "
        r"lower data.synthetic.variants",
    ) as error:
        prepared(folder, synthetic={"variants": 9})
    assert "\n" not in str(error.value)


# ---- another column to predict


def test_a_numeric_auxiliary_target_is_standardized_and_is_no_input(folder):
    data = prepared(folder, auxiliary="income", split={"folds": 3})
    assert not any("income" in group for group in data.preprocess.groups)
    assert data.auxiliary.shape == (len(data.x), 1)
    raw = pd.read_csv(folder / "loans.csv")["income"]
    for fold in data.folds:
        own, known = data.auxiliary[fold.train, 0], raw[data.table_rows(fold.train.tolist()).index].to_numpy()
        assert torch.equal(own.isnan(), torch.from_numpy(np.isnan(known)))
        assert own.nanmean().item() == pytest.approx(0, abs=1e-9)
        assert np.allclose(own, (known - np.nanmean(known)) / np.nanstd(known), equal_nan=True)


@pytest.mark.parametrize(("column", "classes"), [("region", 5), ("past_due", None), ("home", 3)])
def test_an_auxiliary_target_with_few_values_has_classes(folder, column, classes):
    data, raw = prepared(folder, auxiliary=column), pd.read_csv(folder / "loans.csv")[column]
    assert data.auxiliary.shape[1] == (classes or raw.nunique())
    known = raw[data.table_rows(range(len(data.x))).index]
    assert torch.equal(data.auxiliary.isnan().all(1), torch.from_numpy(known.isna().to_numpy().copy()))
    there = known.notna().to_numpy().copy()
    labels = np.unique(raw.dropna())
    assert (labels[data.auxiliary[there].argmax(1)] == known[there].to_numpy()).all()
    assert (data.auxiliary[there].sum(1) == 1).all()


def test_another_auxiliary_value_changes_the_fingerprint(folder):
    before = prepared(folder, auxiliary="income").fingerprint
    assert before == prepared(folder, auxiliary="income").fingerprint
    changed(folder, "loans.csv", [7], income=12345)
    assert before != prepared(folder, auxiliary="income").fingerprint


def test_another_domain_may_lack_the_auxiliary_target(folder):
    pd.read_csv(folder / "others.csv").drop(columns="income").to_csv(folder / "others.csv", index=False)
    data = prepared(folder, auxiliary="income", target={"source": "others.csv", "column": "repaid"})
    assert data.auxiliary[data.folds[0].target].isnan().all()
    assert data.auxiliary[data.folds[0].train].isfinite().any()


@pytest.mark.parametrize(
    ("column", "text"),
    [
        ("wage", "data.auxiliary: loans has no column wage other than the target."),
        ("repaid", "data.auxiliary: loans has no column repaid other than the target."),
        (
            "same",
            "data.auxiliary: loans: the column same has fewer than two different values: there is nothing to learn; "
            "name another, or leave it out.",
        ),
        (
            "name",
            "data.auxiliary: loans: the column name holds 300 classes in 300 rows, so networks learn nothing from it; "
            "name another, or leave it out.",
        ),
    ],
)
def test_invalid_auxiliary_targets_are_refused(folder, column, text):
    raw = pd.read_csv(folder / "loans.csv")
    raw.assign(same=1, name=[f"n{i}" for i in range(300)]).to_csv(folder / "loans.csv", index=False)
    with pytest.raises(InputError) as error:
        prepared(folder, auxiliary=column)
    assert str(error.value).startswith(text)


# ---- in a search


@pytest.mark.usefixtures("unrecorded")
def test_a_search_combines_randomization_synthetic_rows_and_an_auxiliary_target(folder, new_store):
    ranges = {name: {"low": 0.1, "high": 0.9} for name in ("randomization", "synthetic", "multitask")}
    search = {"learning_rate": 0.01, "depth": 1, **ranges}
    data = {
        "source": "loans.csv",
        "target": {"source": "others.csv", "column": "repaid"},
        "auxiliary": "income",
        "synthetic": {"variants": 2},
    }
    (folder / "s.yaml").write_text(yaml.safe_dump(TINY | {"data": data, "search": search, "budget": {"trials": 4}}))
    result = hpo.search(folder / "s.yaml", store=new_store())
    assert result.trials["failed"] == 0
    assert result.test.keys() >= {"precision", "recall", "ece", "brier", "roc_auc"}
    assert {*result.selected} >= {*search}


def test_multitask_without_an_auxiliary_column_is_refused(folder):
    (folder / "s.yaml").write_text(yaml.safe_dump(TINY | {"search": TINY["search"] | {"multitask": 1.0}}))
    with pytest.raises(
        InputError,
        match=r"search\.multitask: needs another target; name its column in data\.auxiliary, or leave the key out",
    ):
        hpo.search(folder / "s.yaml", store=folder / "none")
