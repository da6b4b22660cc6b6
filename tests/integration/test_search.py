"""A whole search through the real command line, on real data: what is printed, stored, continued, refused, exported."""

import json
import time
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import torch
from click.testing import CliRunner
from safetensors.torch import load_file
from sklearn.datasets import load_diabetes
from sklearn.linear_model import LinearRegression
from sklearn.model_selection import train_test_split

from hpo.cli import main
from hpo.report.summary import verdict_line
from hpo.selection.result import SearchResult
from hpo.space import loader
from hpo.space.formatting import format_score, short_metric
from tests.helpers.mlflow_runs import experiments
from tests.helpers.searches import TINY, Unrecorded, here, hpo, outcomes, write_space
from tests.helpers.tables import loans

PROMISED = {"study", "trials", "selected", "valid", "test", "baselines", "run_id"}
PROMISED |= {"seconds", "startup_seconds", "epochs_trained"}


@pytest.fixture(scope="module")
def finished(new_store):
    """A search that has ended, run as a user runs it in a pipe."""
    store = new_store()
    space = write_space(store)
    ran = hpo("search", "--space", space, "--store", store, "--json")
    assert ran.returncode == 0, ran.stderr
    return SimpleNamespace(store=store, space=space, ran=ran, result=json.loads(ran.stdout))


@pytest.fixture(scope="module")
def diabetes(new_store):
    """A regression, searched with --quiet."""
    store = new_store()
    train = {"epochs": 20, "batch_size": 32}
    space = write_space(store, study="diabetes", data={"source": "sklearn:diabetes"}, train=train)
    ran = here("search", "--space", space, "--store", store, "--quiet")
    assert ran.exit_code == 0, ran.stderr
    result = json.loads(here("search", "--space", space, "--store", store, "--json").stdout)
    return SimpleNamespace(store=store, ran=ran, result=result)


@pytest.fixture(scope="module")
def diverged(new_store):
    """A search in which every trial diverges."""
    store = new_store()
    space = write_space(store, search=TINY["search"] | {"learning_rate": 1e30}, budget={"trials": 3})
    return SimpleNamespace(store=store, ran=here("search", "--space", space, "--store", store, "--quiet"))


@pytest.fixture(scope="module")
def table(new_store):
    """A search on a CSV with missing values and categories of text, numbers and truth values, and its export."""
    store = new_store()
    raw = loans(240).assign(branch=lambda t: t.pop("past_due"), member=lambda t: t["debt_ratio"] > 0.3)
    raw.loc[[3, 77], "repaid"] = None
    raw.to_csv(store.parent / "loans.csv", index=False)
    data = {"source": "loans.csv", "target": "repaid", "categorical": ["branch"], "class_weight": "balanced"}
    search = TINY["search"] | {"l1": {"low": 1e-5, "high": 1e-2, "log": True}}
    space = write_space(store, study="loans", data=data, network={"width": 8, "batch_norm": True}, search=search)
    result = json.loads(here("search", "--space", space, "--store", store, "--json").stdout)
    weights = store.parent / "weights"
    best = store.parent / "best.yaml"
    exported = here("export", "--store", store, "--study", "loans", "-o", best, "--weights", weights)
    assert exported.exit_code == 0, exported.output
    return SimpleNamespace(store=store, result=result, weights=weights, best=best)


def test_the_json_object_has_the_documented_keys(finished):
    result = finished.result
    assert result.keys() >= PROMISED
    assert result["trials"].keys() == {"complete", "pruned", "failed"}
    assert sum(result["trials"].values()) == TINY["budget"]["trials"]
    assert result["baselines"].keys() == {"none", "defaults", "ablation"}
    tracked, searched = {"loss", "accuracy"}, outcomes(finished.store)
    metrics = {*tracked, "balanced_accuracy"}
    tests = {*metrics, "roc_auc", "f1_macro", "precision", "recall", "ece", "brier"}
    tested = {result["trial"], result["baselines"]["defaults"]["trial"]}
    for scores in (result, *result["baselines"].values()):
        in_search = scores["trial"] in searched
        assert scores["valid"].keys() == (metrics if in_search else set())
        assert (scores["search_score"] is not None) == in_search
        assert scores["reevaluated"].keys() == scores["expected"].keys() == tracked
        for part in ("test", "test_single"):  # the other configurations have no final networks
            assert scores[part].keys() == (tests if scores["trial"] in tested else set())
    assert result["selected"].keys() == TINY["search"].keys()


def test_the_selected_configuration_is_one_of_the_finalists(finished):
    result, known = finished.result, outcomes(finished.store)
    searched = {
        label: o["value"] for label, o in known.items() if o["trial"]["role"] == "search" and o["state"] == "complete"
    }
    entered = {"none", "defaults", min(searched, key=searched.get)}
    finalists = result["finalists"]
    faster = {f"{name}_{rate}" for name in ("none", "defaults") for rate in ("fast", "faster")}
    variants = {label for label in finalists if label.startswith(("ablation-", "without-"))}
    # Baselines that were still improving at their last epoch are also evaluated at higher learning rates.
    assert "note: A baseline was still improving at its last epoch" in finished.ran.stderr
    assert finalists.keys() - variants == entered | faster
    assert {label.rpartition("-")[2] for label in variants} <= entered
    assert result["trial"] in finalists
    assert result["trial"] == result["rules"][result["rule"]]
    uncalibrated = np.mean(result["reevaluated_scores"]["loss"])
    assert finalists[result["trial"]]["reevaluated"] == uncalibrated
    assert 0 < result["reevaluated"]["loss"] < 0.95 * uncalibrated  # four epochs give a confidence that is too small
    assert result["reevaluated"]["loss"] == result["score"]["loss"]["reevaluated"]
    assert result["valid"] == known[result["trial"]]["valid"]
    assert len(result["reevaluated_scores"]["loss"]) == finalists[result["trial"]]["fits"] == result["verdict"]["fits"]


def test_epochs_are_counted_by_role(finished):
    result, known = finished.result, outcomes(finished.store).values()
    counted = [o for o in known if o["trial"]["role"] in ("search", "baseline")]
    assert result["epochs_trained"] == sum(o["epochs"] for o in counted)
    assert result["fit_epochs"].keys() <= {"search", "finalist", "ablation", "refit"}
    assert result["fit_epochs"]["search"] == result["epochs_trained"]  # a fit a trial
    assert sum(result["fit_epochs"].values()) == sum(o["fit_epochs"] for o in known)
    folds = len(next(o for o in known if o["trial"]["role"] == "finalist")["fold_curves"]["valid_loss"][0])
    assert result["fit_epochs"]["finalist"] > folds * 4


def test_progress_goes_to_stderr_and_only_the_object_to_stdout(finished):
    assert finished.ran.stdout.count("\n") == 1
    assert "wine · 178 rows, 13 columns, 3 classes" in finished.ran.stderr
    assert "searching learning_rate, depth, dropout, weight_decay" in finished.ran.stderr
    assert '"study"' not in finished.ran.stderr


def test_quiet_prints_only_the_result(diabetes):
    assert diabetes.ran.stderr == ""
    assert diabetes.ran.stdout.splitlines()[0] == verdict_line(SearchResult.from_json(diabetes.result)) != ""
    assert "6 trials: " in diabetes.ran.stdout


def test_the_same_command_again_prints_the_stored_result_and_trains_nothing(finished):
    files = [finished.store / "studies/tiny/journal.log", finished.store / "mlflow.db"]
    before = [path.read_bytes() for path in files]
    began = time.monotonic()
    again = here("search", "--space", finished.space, "--store", finished.store, "--json")
    assert time.monotonic() - began < 2
    assert json.loads(again.stdout) == finished.result
    assert [path.read_bytes() for path in files] == before


def test_regression_is_reported_in_the_targets_own_units(diabetes):
    """The mean absolute error, in the target's units, lies between those of a linear fit and a constant prediction."""
    x, y = load_diabetes(return_X_y=True)
    rest, test = train_test_split(np.arange(len(y)), test_size=0.2, random_state=0)
    linear = np.abs(LinearRegression().fit(x[rest], y[rest]).predict(x[test]) - y[test]).mean()
    mean = np.abs(y[rest].mean() - y[test]).mean()
    found = diabetes.result["test"]
    assert found.keys() == {"loss", "r2", "mae"}
    assert 0.8 * linear < found["mae"] < mean
    assert found["loss"] == pytest.approx((1 - found["r2"]) * y[test].var(), rel=1e-4)


@pytest.mark.parametrize(
    ("changes", "difference"),
    [
        (
            {"search": TINY["search"] | {"dropout": {"low": 0.0, "high": 0.4}}},
            "search.dropout.high: stored 0.5, now 0.4",
        ),
        ({"network": {"width": 9}}, "network.width: stored 8, now 9"),
        (
            {"search": {k: v for k, v in TINY["search"].items() if k != "dropout"} | {"l2": {"low": 0.0, "high": 0.1}}},
            "search.dropout is only in the stored space; search.l2 is only in the new space",
        ),
        ({"data": {"source": "sklearn:iris"}}, "the rows of its data differ"),
    ],
)
def test_another_space_under_the_same_name_is_refused_with_the_difference(finished, tmp_path, changes, difference):
    before = (finished.store / "studies/tiny/journal.log").read_bytes()
    refused = here("search", "--space", write_space(tmp_path / "mlruns", **changes), "--store", finished.store)
    assert refused.exit_code == 2
    assert f"started with another space ({difference})" in refused.stderr
    assert refused.stdout == ""
    assert (finished.store / "studies/tiny/journal.log").read_bytes() == before


def test_a_search_in_which_every_trial_diverges_fails_with_the_cause(diverged):
    assert diverged.ran.exit_code == 1
    assert diverged.ran.stderr.startswith("All 3 trials diverged (diverged in epoch 1)")
    assert diverged.ran.stdout == ""


def test_a_study_is_not_removed_without_confirmation(diverged):
    unanswered = here("delete", "tiny", "--store", diverged.store)
    assert (unanswered.exit_code, unanswered.stderr.splitlines()[-1]) == (
        2,
        "hpo delete needs a confirmation, and got no answer; add --yes.",
    )
    refused = CliRunner().invoke(main, ["delete", "tiny", "--store", str(diverged.store)], input="n\n")
    assert (refused.exit_code, refused.stderr.splitlines()[-1]) == (0, "tiny is kept.")
    assert "tiny" in here("studies", "--store", diverged.store).stdout


def test_a_deleted_study_leaves_nothing_behind(diverged):
    assert here("delete", "tiny", "--yes", "--store", diverged.store).exit_code == 0
    assert here("studies", "--store", diverged.store).stdout == ""
    assert not list(diverged.store.glob("studies/*")) + list(diverged.store.glob("artifacts/*"))
    assert experiments(diverged.store) == {"Default"}


@pytest.mark.parametrize(("name", "shown"), [("finished", "accuracy"), ("diabetes", "r2")])
def test_studies_lists_each_with_its_scores(name, shown, request):
    search = request.getfixturevalue(name)
    head, line = here("studies", "--store", search.store).stdout.splitlines()
    assert head.split() == ["study", "state", "trials", "selected", "expected", "test", "date"]
    assert line.split()[:4] == [search.result["study"], "finished", "6", search.result["trial"]]
    expected, test = (format_score(search.result[part][shown]) for part in ("expected", "test"))
    assert line.split()[4:] == [short_metric(shown), expected, test, search.result["date"]]


@pytest.mark.parametrize("form", ["yaml", "json"])
def test_the_exported_configuration_is_a_valid_space_of_one_point(table, tmp_path, form):
    path = tmp_path / f"best.{form}"
    exported = here("export", "--store", table.store, "--study", "loans", "--format", form, "-o", path)
    assert exported.exit_code == 0
    assert here("check", path).exit_code == 0
    point = loader.load(path)
    assert point.is_point
    assert point.study == "loans-best"
    assert point.params({}) == table.result["selected"]
    assert point.train.seed == table.result["fit_seed"]
    assert point.exported["run_id"] == table.result["run_id"]
    assert point.exported["scores"]["test"] == table.result["test"]


def test_searching_the_exported_point_gives_its_score_again(table):
    again = json.loads(here("search", "--space", table.best, "--store", table.store, "--json").stdout)
    assert again["trials"] == {"complete": 1, "pruned": 0, "failed": 0}
    assert again["baselines"] == {}
    for part in ("valid", "test"):
        assert again[part] == pytest.approx(table.result[part], abs=1e-6)


@pytest.fixture(scope="module")
def raw(table):
    """The rows of the test part as they are in the user's file."""
    rows = pd.read_csv(table.best.parent / "loans.csv", dtype=str, keep_default_na=False)
    rows = rows[rows["repaid"] != ""].reset_index(drop=True)
    _, test = train_test_split(np.arange(len(rows)), test_size=0.2, random_state=0, stratify=rows["repaid"])
    return rows.iloc[test]


def predicted(table, rows: pd.DataFrame) -> pd.DataFrame:
    path, output = table.best.parent / "new.csv", table.best.parent / "predicted.csv"
    rows.drop(columns="repaid").to_csv(path, index=False)
    ran = here("predict", path, "--weights", table.weights, "-o", output)
    assert ran.exit_code == 0, ran.stderr
    return pd.read_csv(output)


def test_predictions_of_raw_test_rows_have_the_accuracy_of_the_result(table, raw):
    found = predicted(table, raw)
    assert (found["prediction"].to_numpy() == raw["repaid"]).mean() == pytest.approx(table.result["test"]["accuracy"])
    chances = found[["probability_no", "probability_yes"]]
    assert chances.sum(axis=1).to_numpy() == pytest.approx(1)
    assert (chances.idxmax(axis=1) == "probability_" + found["prediction"]).all()


def test_plain_torch_predicts_the_same(table, raw):
    network, weights = json.loads((table.weights / "network.json").read_text()), {}
    for name, tensor in load_file(table.weights / "weights.safetensors").items():
        weights.setdefault(name.partition(".")[0], {})[name.partition(".")[2]] = tensor
    assert len(weights) == network["average"] == 5
    layers = [getattr(torch.nn, name)(*arguments) for name, *arguments in network["network"]]
    net = torch.nn.Sequential(*layers).eval()
    known = json.loads((table.weights / "preprocess.json").read_text())

    def number(row: dict[str, str], f: dict) -> float:
        if "equals" in f:
            return float(row[f["column"]] == f["equals"])
        return (float(row[f["column"]] or f["median"]) - f["mean"]) / f["scale"]

    x = torch.tensor([[number(row, f) for f in known["features"]] for row in raw.to_dict("records")])
    with torch.no_grad():
        each = [torch.func.functional_call(net, state, x).softmax(1) for state in weights.values()]
        chances = (torch.stack(each).mean(0).log() / known["temperature"]).softmax(1)
    found = predicted(table, raw)
    assert found["prediction"].tolist() == [known["classes"][i] for i in chances.argmax(1)]
    assert found["probability_yes"].to_numpy() == pytest.approx(chances[:, 1].numpy(), abs=1e-6)


def test_new_rows_may_have_other_spellings_and_unknown_and_missing_values(table, raw):
    other = raw.assign(member=raw["member"].str.lower(), home="a boat", region="", income="")
    same = raw.assign(home="a tent", region="", income="")
    pd.testing.assert_frame_equal(predicted(table, other), predicted(table, same))


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"income": "plenty"}, "the column income must hold numbers"),
        ({"income": "inf"}, "the column income is infinite in row 1."),
        ({"income": None}, "lacks the column income; it needs: income, debt_ratio, "),
    ],
)
def test_rows_that_cannot_be_predicted_are_refused_with_the_column(table, raw, tmp_path, change, sentence):
    rows = raw.assign(**change).dropna(axis=1)
    rows.to_csv(tmp_path / "new.csv", index=False)
    refused = here("predict", tmp_path / "new.csv", "--weights", table.weights)
    assert refused.exit_code == 2
    assert sentence in refused.stderr
    assert refused.stdout == ""


def test_names_in_brackets_are_not_read_as_markup(tmp_path, monkeypatch):
    monkeypatch.setattr("hpo.workflows.search.Recorder", Unrecorded)
    store = tmp_path / "here" / "mlruns"
    store.parent.mkdir()
    loans(120).to_csv(store.parent / "loans[bold].csv", index=False)
    ran = here(
        "search",
        "--space",
        write_space(store, data={"source": "loans[bold].csv", "target": "repaid"}, finalists=0),
        "--store",
        store,
    )
    assert ran.exit_code == 0, ran.stderr
    assert "loans[bold]" in ran.stderr
