"""MLflow's UI on the loopback interface, and the address of a search's page in it."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from hpo.core.errors import StoreError

# At 127.0.0.1 and localhost, MLflow covers a third of the page with an assistant; at a name under localhost, it does
# not.
HOST = "hpo.localhost"
PORT = 5000
QUIET = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "DO_NOT_TRACK": "true",
    "PYTHONWARNINGS": "ignore",
}  # for MLflow's processes


def link(experiment_id: str, key: str, base: str) -> str:
    """The address of the page with the view `key`."""
    return f"{base}/#/experiments/{experiment_id}/runs?workflowType=machine_learning&viewStateShareKey={key}"


@contextmanager
def serve_ui(tracking_uri: str, port: int, log: Path) -> Iterator[str]:
    """Run MLflow's UI within the context and yield its address. Raises StoreError if it does not start."""
    base = f"http://{HOST}:{port}"
    command = [
        sys.executable,
        "-m",
        "mlflow",
        "ui",
        "--backend-store-uri",
        tracking_uri,
        "--host",
        "127.0.0.1",
        "--port",
        str(port),
        "--workers",
        "1",
        "--cors-allowed-origins",
        base,
        "--allowed-hosts",
        f"127.0.0.1:*,localhost:*,{HOST}:*",
    ]
    no_jobs = {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}  # otherwise a job runner outlives the server
    with log.open("wb") as file:
        server = subprocess.Popen(
            command, env=os.environ | QUIET | no_jobs, stdout=file, stderr=subprocess.STDOUT, start_new_session=True
        )
    try:
        _wait(server, f"http://127.0.0.1:{port}/health", log)
        yield base
    finally:
        server.terminate()
        server.wait()


def _wait(server: subprocess.Popen[bytes], health: str, log: Path) -> None:
    for _ in range(300):
        if server.poll() is not None:
            break
        try:
            with urllib.request.urlopen(health, timeout=5):  # noqa: S310 - our own server
                return
        except (urllib.error.URLError, ConnectionError, TimeoutError):  # not started yet
            time.sleep(0.2)
    raise StoreError(f"MLflow's UI did not start; see {log}.")


def free_port(first: int) -> int:
    """Return the first free port of a hundred, starting at `first`."""
    for port in range(first, min(first + 100, 65_536)):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
    raise StoreError(f"Ports {first} to {first + 99} are in use; choose another with --port.")
