"""What MLflow knows of a search: every trial as it was, all of it again after a loss, and its page on loopback."""

import base64
import json
import os
import signal
import socket
import urllib.request
import zlib
from pathlib import Path
from types import SimpleNamespace

import pytest
import yaml
from mlflow import MlflowClient
from mlflow.entities import Run

from tests.helpers.searches import PATIENCE, TINY, here, launched, outcomes, processes, wait_for, write_space

STATUS = {"complete": "FINISHED", "pruned": "KILLED", "failed": "FAILED"}
VARIED = {  # at most of its learning rates a trial diverges, and the pruner is in a hurry
    "search": TINY["search"] | {"learning_rate": {"choices": [1e-3, 3e-2, 1e30]}},
    "data": {"source": "sklearn:wine", "split": {"valid": 0.4}},  # two fresh folds a draw
    "train": {"epochs": 6, "batch_size": 32},
    "pruner": {"kind": "median", "n_startup_trials": 1, "n_warmup_steps": 1},
}


def children(client: MlflowClient, parent: str) -> dict[str, Run]:
    """The runs of a search's trials by the label of their trial; each is there once."""
    of = client.get_run(parent).info.experiment_id
    found = list(client.search_runs([of], f"tags.`mlflow.parentRunId` = '{parent}'"))
    labels = [run.data.tags["hpo.trial"] for run in found]
    assert len(labels) == len(set(labels))
    return dict(zip(labels, found, strict=True))


@pytest.fixture(scope="module")
def recorded(new_store):
    """A search with trials of every state, and what MLflow has of it."""
    store = new_store()
    space = write_space(store, **VARIED, budget={"trials": 9})
    ran = here("search", "--space", space, "--store", store, "--json")
    assert ran.exit_code == 0, ran.stderr
    result = json.loads(ran.stdout)
    client = MlflowClient(result["tracking_uri"])
    runs = children(client, result["run_id"])
    return SimpleNamespace(
        store=store,
        space=space,
        result=result,
        client=client,
        runs=runs,
        known=outcomes(store),
        parent=client.get_run(result["run_id"]),
        everything=client.search_runs([result["experiment_id"]]),
    )


def test_a_search_is_one_experiment_with_a_parent_run_and_a_child_for_every_trial(recorded):
    assert {run.info.run_id for run in recorded.everything} == {recorded.parent.info.run_id} | {
        run.info.run_id for run in recorded.runs.values()
    }
    assert recorded.runs.keys() == recorded.known.keys()
    assert len(recorded.runs) > 9  # the budget, and what follows it
    assert recorded.client.get_experiment(recorded.result["experiment_id"]).name == "tiny"


def test_a_run_says_what_part_its_trial_had(recorded):
    roles = {label: run.data.tags["hpo.role"] for label, run in recorded.runs.items()}
    finalists, ablation = recorded.result["finalists"], recorded.result["baselines"]["ablation"]["trial"]
    compared = {recorded.result["trial"], "none", "defaults", ablation}
    trials = dict.fromkeys("0123456", "search") | {"none": "baseline", "defaults": "baseline"}
    ablations = (
        {ablation: "ablation"} if ablation not in trials else {}
    )  # the selected one may have no regularization to take off
    draws = {label: "finalist" for label in roles if "-fresh-" in label}
    assert {label.rpartition("-fresh-")[0] for label in draws} == finalists.keys() | ablations.keys()
    late = {label: "refit" for label in roles if "-scaled-" in label}
    assert {label.rpartition("-scaled-")[0] for label in late} == compared
    late |= {f"{recorded.result['trial']}-nested-{fold}": "nested" for fold in range(2)}
    assert roles == trials | ablations | draws | late


def test_the_page_shows_what_was_scored_on_the_rows_of_the_search_alone(recorded):
    """The view's filter, asked of MLflow itself: scores of other rows would stand among them as if they could be compared."""
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


def test_states_and_reasons_are_the_true_ones(recorded):
    states = {label: run.info.status for label, run in recorded.runs.items()}
    assert states == {label: STATUS[o["state"]] for label, o in recorded.known.items()}
    assert set(states.values()) == set(STATUS.values())  # or the search above is a bad example
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


def test_parameters_are_those_that_were_trained(recorded):
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


def test_runs_last_from_the_start_of_their_trial_to_its_end(recorded):
    first, last = recorded.parent.info.start_time, recorded.parent.info.end_time
    for label, run in recorded.runs.items():
        assert run.info.start_time == round(1000 * recorded.known[label]["started"])
        assert run.info.end_time == round(1000 * recorded.known[label]["epoch_times"][-1])
        assert run.info.start_time < run.info.end_time < last
    assert first < last


def test_scores_and_facts_of_a_trial_are_columns(recorded):
    for label, run in recorded.runs.items():
        known, shown = recorded.known[label], run.data.metrics
        assert shown["epochs"] == known["epochs"]
        assert shown["nonzero_share"] == pytest.approx(known["nonzero_share"], rel=1e-4)
        for name, value in known["valid"].items():
            assert shown[f"best_valid_{name}"] == pytest.approx(value, rel=1e-4)


def test_the_parent_holds_what_was_asked_found_and_needed_to_repeat_it(recorded, tmp_path):
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


def test_another_search_begins_with_what_a_run_holds(recorded, tmp_path):
    """By default with its network, which other programs read, too."""
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
        assert f"Every network begins with the weights of {init}." in ran.output
    for init, words in (
        (f"runs:/{run_id}/nothing", "is not in the MLflow at"),
        ("runs:/abc", "is not in the MLflow at"),
    ):
        path.write_text(yaml.safe_dump(TINY | {"study": "more", "network": {"init": init}}))
        ran = here("check", path, "--store", recorded.store)
        assert ran.exit_code == 2
        assert words in ran.output
        assert ran.output.strip().count("\n") == 0


def test_the_page_of_a_search_is_served_on_loopback_and_ends_with_its_command(recorded):
    run_id = recorded.result["run_id"]
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    with launched("ui", "--no-browser", "--store", recorded.store, "--port", port) as ui:
        address = ui.stdout.readline().strip()
        base, _, page = address.partition("/#/")
        assert base == f"http://hpo.localhost:{port}"
        base = f"http://127.0.0.1:{port}"  # the same, where the name is not known
        assert page.startswith(f"experiments/{recorded.result['experiment_id']}/runs?workflowType=machine_learning")
        with urllib.request.urlopen(f"{base}/", timeout=PATIENCE) as answer:
            assert answer.status == 200
            assert "MLflow" in answer.read().decode()
        asked = {
            "experiment_ids": [recorded.result["experiment_id"]],
            "filter": f"tags.`mlflow.parentRunId` = '{run_id}'",
        }
        request = urllib.request.Request(
            f"{base}/api/2.0/mlflow/runs/search", json.dumps(asked).encode(), {"Content-Type": "application/json"}
        )
        with urllib.request.urlopen(request, timeout=PATIENCE) as answer:
            found = {run["info"]["run_id"] for run in json.load(answer)["runs"]}
        assert found == {run.info.run_id for run in children(recorded.client, run_id).values()}
        (server,) = processes(ui.pid, "mlflow ui")
        ui.send_signal(signal.SIGINT)
        assert ui.wait(PATIENCE) == 0
    with pytest.raises(ProcessLookupError):
        os.kill(server, 0)
    with socket.socket() as probe, pytest.raises(ConnectionRefusedError):
        probe.connect(("127.0.0.1", port))


@pytest.fixture(scope="module")
def enlarged(recorded):
    """The same search with a larger budget, after MLflow lost some of it, and loses its writer; then the same again."""
    client, store = recorded.client, recorded.store
    for label in ("0", "none"):
        client.delete_run(recorded.runs[label].info.run_id)
    client.update_run(recorded.runs["defaults"].info.run_id, status="RUNNING")
    larger = write_space(store, **VARIED, budget={"trials": 30})
    with launched("search", "--space", larger, "--store", store, "--json") as search:
        (writer,) = wait_for(lambda: processes(search.pid, "hpo.tracking.mlflow_writer"))
        os.kill(writer, signal.SIGKILL)
        out, err = search.communicate(timeout=PATIENCE)
    safe = outcomes(store)
    again = here("search", "--space", larger, "--store", store, "--json")
    assert again.exit_code == 0, again.stderr
    return SimpleNamespace(
        code=search.returncode, out=out, err=err, safe=safe, result=json.loads(again.stdout), known=outcomes(store)
    )


def test_a_search_whose_writer_dies_fails_with_a_sentence_and_keeps_its_study(recorded, enlarged):
    assert (enlarged.code, enlarged.out) == (1, "")
    assert enlarged.err.splitlines()[-1].startswith("The process that writes to MLflow ended")
    assert enlarged.err.splitlines()[-1].endswith("The study is safe; run it again.")
    assert "Traceback" not in enlarged.err
    assert {label: enlarged.safe[label] for label in recorded.known} == recorded.known


def test_a_larger_budget_is_a_total_and_leaves_what_was_trained_as_it_was(enlarged):
    assert sum(enlarged.result["trials"].values()) == 30
    assert sorted(int(label) for label in enlarged.known if label.isdigit()) == list(range(28))
    assert {label: enlarged.known[label] for label in enlarged.safe} == enlarged.safe


def test_what_mlflow_lost_is_written_again_and_nothing_twice(recorded, enlarged):
    runs = children(recorded.client, recorded.result["run_id"])
    assert {label: run.info.status for label, run in runs.items()} == {
        label: STATUS[o["state"]] for label, o in enlarged.known.items()
    }
    kept = recorded.runs.keys() - {"0", "none", "defaults"}
    assert all(runs[label].info.run_id == recorded.runs[label].info.run_id for label in kept)
    assert recorded.client.get_run(recorded.result["run_id"]).info.status == "FINISHED"
