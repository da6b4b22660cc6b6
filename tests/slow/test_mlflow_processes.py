"""MLflow's user interface as a server, and a search whose writing process is killed."""

import json
import os
import signal
import socket
import urllib.request
from types import SimpleNamespace

import pytest

from tests.helpers.mlflow_runs import STATUS, VARIED, child_runs, record_search
from tests.helpers.searches import PATIENCE, here, launched, outcomes, processes, wait_for, write_space


@pytest.fixture(scope="module")
def recorded(new_store):
    return record_search(new_store())


def test_the_ui_is_served_on_loopback_and_ends_with_its_command(recorded):
    run_id = recorded.result["run_id"]
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    with launched("ui", "--no-browser", "--store", recorded.store, "--port", port) as ui:
        address = ui.stdout.readline().strip()
        base, _, page = address.partition("/#/")
        assert base == f"http://hpo.localhost:{port}"
        base = f"http://127.0.0.1:{port}"  # the same address where hpo.localhost is unknown
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
        assert found == {run.info.run_id for run in child_runs(recorded.client, run_id).values()}
        (server,) = processes(ui.pid, "mlflow ui")
        ui.send_signal(signal.SIGINT)
        assert ui.wait(PATIENCE) == 0
    with pytest.raises(ProcessLookupError):
        os.kill(server, 0)
    with socket.socket() as probe, pytest.raises(ConnectionRefusedError):
        probe.connect(("127.0.0.1", port))


@pytest.fixture(scope="module")
def enlarged(recorded):
    """The same search with a larger budget, after MLflow lost some runs; it is run again after its writer is killed."""
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


def test_a_search_whose_writer_dies_fails_with_one_sentence_and_keeps_its_study(recorded, enlarged):
    assert (enlarged.code, enlarged.out) == (1, "")
    assert enlarged.err.splitlines()[-1].startswith("The process that writes to MLflow ended")
    assert enlarged.err.splitlines()[-1].endswith("The study is safe; run it again.")
    assert "Traceback" not in enlarged.err
    assert {label: enlarged.safe[label] for label in recorded.known} == recorded.known


def test_a_larger_budget_is_a_total_and_keeps_earlier_trials(enlarged):
    assert sum(enlarged.result["trials"].values()) == 30
    assert sorted(int(label) for label in enlarged.known if label.isdigit()) == list(range(28))
    assert {label: enlarged.known[label] for label in enlarged.safe} == enlarged.safe


def test_lost_runs_are_written_again_and_no_run_twice(recorded, enlarged):
    runs = child_runs(recorded.client, recorded.result["run_id"])
    assert {label: run.info.status for label, run in runs.items()} == {
        label: STATUS[o["state"]] for label, o in enlarged.known.items()
    }
    kept = recorded.runs.keys() - {"0", "none", "defaults"}
    assert all(runs[label].info.run_id == recorded.runs[label].info.run_id for label in kept)
    assert recorded.client.get_run(recorded.result["run_id"]).info.status == "FINISHED"
