"""A loan table with groups and days, to test the final network under every kind of split."""

import io
import json

import numpy as np
import pandas as pd
import pytest
from sklearn import metrics as sk

from hpo.space import loader
from hpo.workflows import prepare
from tests.helpers.searches import here, write_space
from tests.helpers.tables import loans

LOAN_ROWS = 160
SPLITS = {
    "hold-out": {"test": 0.25, "valid": 0.25},
    "folds": {"test": 0.25, "folds": 3},
    "groups": {"test": 0.25, "folds": 3, "groups": "who"},
    "time": {"test": 0.25, "folds": 3, "time": "day"},
}


def loan_table(task):
    """Make a table with groups (`who`) and days; regression targets are all different."""
    raw = loans(LOAN_ROWS).drop(columns=[f"survey_{i}" for i in range(1, 7)])
    who, day = np.arange(LOAN_ROWS) * 7 % 40, np.random.default_rng(1).permutation(LOAN_ROWS)
    if task == "regression":
        raw["repaid"] = raw["debt_ratio"].rank(method="first")
    return raw.assign(who=who, day=day)


def write_refit_space(store, task="classification", split="hold-out", **changes):
    """Write a space file and its table."""
    store.parent.mkdir(exist_ok=True)
    loan_table(task).to_csv(store.parent / "t.csv", index=False)
    data = {
        "source": "t.csv",
        "target": "repaid",
        "drop": ["who", "day"],
        "split": (SPLITS | {"time, hold-out": {"test": 0.25, "valid": 0.25, "time": "day"}})[split],
    }
    return write_space(store, **{"data": data, "train": {"epochs": 5, "batch_size": 32, "patience": 2}} | changes)


def rows_of_test_part(raw, data):
    """Find the table rows of the test part, in its order, by their encoded values."""
    encoded = data.preprocess.encode(raw)
    return [int(np.abs(encoded - row).sum(1).argmin()) for row in data.test.reveal().x.numpy()]


def check_export(store, split, way, task):
    """Search, export, predict and search the exported point: predictions and scores agree with the reported ones."""
    path = write_refit_space(store, task, split, refit=way)
    result = json.loads(here("search", "--space", path, "--store", store, "--json").stdout)
    folder, point = store.parent / "weights", store.parent / "best.yaml"
    assert here("export", "--store", store, "-o", point, "--weights", folder).exit_code == 0
    raw, data = loan_table(task), prepare.load(path).data
    test = rows_of_test_part(raw, data)
    raw.drop(columns="repaid").iloc[test].to_csv(store.parent / "new.csv", index=False)
    found = pd.read_csv(io.StringIO(here("predict", store.parent / "new.csv", "--weights", folder).stdout))
    true = raw["repaid"].iloc[test].to_numpy()
    if task == "regression":
        assert result["test"]["loss"] == pytest.approx(sk.mean_squared_error(true, found["prediction"]), rel=1e-4)
    else:
        assert result["test"]["accuracy"] == pytest.approx((found["prediction"] == true).mean())
        assert result["test"]["loss"] == pytest.approx(sk.log_loss(true == "yes", found["probability_yes"]), abs=1e-5)
    refit = loader.load(point).refit
    assert (refit.kind, refit.epochs, refit.networks) == (way, result["refit"]["epochs"], 5)
    assert refit.temperature == result["refit"]["temperature"]
    assert (refit.temperature is None) == (task == "regression")
    again = json.loads(here("search", "--space", point, "--store", store, "--json").stdout)
    assert again["test"] == pytest.approx(result["test"], abs=1e-6)
