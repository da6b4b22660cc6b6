"""A search in MLflow: every trial as it was, written again after a loss, and the UI on the loopback interface."""

import base64
import json
import zlib
from pathlib import Path

import pytest
import yaml

from tests.helpers.mlflow_runs import STATUS, record_search
from tests.helpers.searches import TINY, here


@pytest.fixture(scope="module")
def recorded(new_store):
    return record_search(new_store())


def test_a_search_is_one_experiment_with_a_parent_run_and_a_child_for_every_trial(recorded):
    assert {run.info.run_id for run in recorded.everything} == {recorded.parent.info.run_id} | {
        run.info.run_id for run in recorded.runs.values()
    }
    assert recorded.runs.keys() == recorded.known.keys()
    assert len(recorded.runs) > 9  # the budget, and the trials after the search
    assert recorded.client.get_experiment(recorded.result["experiment_id"]).name == "tiny"


def test_runs_have_the_role_of_their_trial(recorded):
    roles = {label: run.data.tags["hpo.role"] for label, run in recorded.runs.items()}
    finalists, selected = recorded.result["finalists"], recorded.result["trial"]
    tested = {recorded.result["trial"], recorded.result["verdict"]["reference"]}
    trials = dict.fromkeys("0123456", "search") | {"none": "baseline", "defaults": "baseline"}
    variant = {selected: "ablation"} if selected not in trials else {}  # trained on the rows of the search, too
    draws = {label: "finalist" for label in roles if "-fresh-" in label}
    assert {label.rpartition("-fresh-")[0] for label in draws} == finalists.keys()
    late = {label: "refit" for label in roles if "-scaled-" in label}
    assert {label.rpartition("-scaled-")[0] for label in late} == tested
    assert roles == trials | variant | draws | late


def test_the_view_shows_only_trials_scored_on_the_rows_of_the_search(recorded):
    """The filter of the view, applied by MLflow: scores on other rows are not comparable."""
    tag = recorded.client.get_experiment(recorded.result["experiment_id"]).tags[
        f"mlflow.sharedViewState.{recorded.result['run_id']}"
    ]
    packed = json.loads(tag)["state"].removeprefix("deflate;")
    asked = json.loads(zlib.decompress(base64.b64decode(packed)))["searchFilter"]
    shown = {
        run.data.tags["hpo.trial"] for run in recorded.client.search_runs([recorded.result["experiment_id"]], asked)
    }
    assert shown == {
        label for label, o in recorded.known.items() if o["trial"]["role"] in ("search", "baseline", "ablation")
    }
    assert shown < recorded.runs.keys()


def test_states_and_reasons_are_recorded(recorded):
    states = {label: run.info.status for label, run in recorded.runs.items()}
    assert states == {label: STATUS[o["state"]] for label, o in recorded.known.items()}
    assert set(states.values()) == set(STATUS.values())  # otherwise the search above is a bad example
    for label, run in recorded.runs.items():
        assert run.data.tags["hpo.reason"] == recorded.known[label]["reason"]
        epochs = recorded.known[label]["trial"]["epochs"] or 6
        expected = {
            "FINISHED": f"trained all {epochs} epochs",
            "KILLED": "median pruner in epoch",
            "FAILED": "diverged in epoch",
        }
        assert run.data.tags["hpo.reason"].startswith(expected[run.info.status])
    assert recorded.parent.info.status == "FINISHED"


def test_parameters_are_the_trained_ones(recorded):
    for label, run in recorded.runs.items():
        trial = recorded.known[label]["trial"]
        assert run.data.params.keys() == {*trial["params"], "seed"}
        assert int(run.data.params["seed"]) == trial["seed"]
        for name, value in trial["params"].items():
            assert float(run.data.params[name]) == pytest.approx(value, rel=1e-3)


def test_curves_have_a_point_for_every_epoch_at_its_true_time(recorded):
    for label, run in recorded.runs.items():
        known = recorded.known[label]
        if known["state"] == "failed":
            continue
        curves = dict(known["curves"])
        if known["trial"]["role"] != "refit":  # which has no validation rows
            losses = zip(known["curves"]["valid_loss"], known["curves"]["train_loss"], strict=True)
            curves["gap"] = [valid - train for valid, train in losses]
        assert curves.keys() == {"train_loss"} | ({"valid_loss", "valid_accuracy", "gap"} if "gap" in curves else set())
        for name, curve in curves.items():
            points = recorded.client.get_metric_history(run.info.run_id, name)
            assert [point.step for point in points] == list(range(1, known["epochs"] + 1))
            assert [point.value for point in points] == curve
            assert [point.timestamp for point in points] == [round(1000 * t) for t in known["epoch_times"]]


def test_run_times_are_the_start_and_end_of_the_trial(recorded):
    first, last = recorded.parent.info.start_time, recorded.parent.info.end_time
    for label, run in recorded.runs.items():
        assert run.info.start_time == round(1000 * recorded.known[label]["started"])
        assert run.info.end_time == round(1000 * recorded.known[label]["epoch_times"][-1])
        assert run.info.start_time < run.info.end_time < last
    assert first < last


def test_scores_and_summary_of_a_trial_are_columns(recorded):
    for label, run in recorded.runs.items():
        known, shown = recorded.known[label], run.data.metrics
        assert shown["epochs"] == known["epochs"]
        assert shown["nonzero_share"] == pytest.approx(known["nonzero_share"], rel=1e-4)
        for name, value in known["valid"].items():
            assert shown[f"best_valid_{name}"] == pytest.approx(value, rel=1e-4)
        if known["value"] is not None and known["trial"]["role"] in ("search", "baseline", "ablation"):
            assert shown["search_score"] == pytest.approx(known["value"], rel=1e-4)
        else:
            assert "search_score" not in shown


def test_the_parent_run_has_the_space_the_result_and_the_versions(recorded, tmp_path):
    tags, client = recorded.parent.data.tags, recorded.client
    assert tags["hpo.data"] == recorded.result["fingerprint"]
    assert tags["version.torch"] == recorded.result["versions"]["torch"]
    assert {key: float(tags[f"selected.{key}"]) for key in TINY["search"]} == recorded.result["selected"]
    assert recorded.parent.data.metrics["test_accuracy"] == recorded.result["test"]["accuracy"]
    weights = f"{recorded.result['refit']['weights']}.safetensors"
    names = {artifact.path for artifact in client.list_artifacts(recorded.result["run_id"])}
    assert names == {"space.yaml", "best.yaml", "report.html", "network", weights}
    folder = Path(client.download_artifacts(recorded.result["run_id"], "", str(tmp_path)))
    assert (folder / weights).read_bytes() == (recorded.store / "studies/tiny/weights" / weights).read_bytes()
    assert (folder / "report.html").read_bytes() == (recorded.store / "studies/tiny/report.html").read_bytes()
    assert here("export", "--store", recorded.store, "--weights", tmp_path / "net").exit_code == 0
    for name in ("weights.safetensors", "network.json", "preprocess.json"):
        assert (folder / "network" / name).read_bytes() == (tmp_path / "net" / name).read_bytes()
    assert here("check", folder / "space.yaml").exit_code == 0
    exported = here("export", "--store", recorded.store).stdout
    assert yaml.safe_load((folder / "best.yaml").read_text()) == yaml.safe_load(exported)


def test_another_search_starts_from_an_artifact_of_a_run(recorded, tmp_path):
    """The default is the network, which other programs can read as well."""
    run_id, path = recorded.result["run_id"], tmp_path / "more.yaml"
    folder = next((recorded.store / "artifacts").rglob("network"))
    for init in (f"runs:/{run_id}", f"runs:/{run_id}/network", str(folder)):
        path.write_text(
            yaml.safe_dump(
                TINY
                | {
                    "study": "more",
                    "network": {"init": init},
                    "search": {"learning_rate": 0.01},
                    "budget": {"trials": 1},
                }
            )
        )
        ran = here("check", path, "--store", recorded.store)
        assert ran.exit_code == 0, ran.output
        assert f"Every network starts with the weights of {init}." in ran.output
    for init, words in (
        (f"runs:/{run_id}/nothing", "is not in the MLflow at"),
        ("runs:/abc", "is not in the MLflow at"),
    ):
        path.write_text(yaml.safe_dump(TINY | {"study": "more", "network": {"init": init}}))
        ran = here("check", path, "--store", recorded.store)
        assert ran.exit_code == 2
        assert words in ran.output
        assert ran.output.strip().count("\n") == 0
