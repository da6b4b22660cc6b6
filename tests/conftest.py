"""Settings of the test run, and fixtures for stores and for searches without MLflow."""

import os
import shutil
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import settings

from tests.helpers.searches import Unrecorded

settings.register_profile("hpo", deadline=None)  # a busy machine is no fault
settings.load_profile("hpo")

os.environ.pop("MLFLOW_TRACKING_URI", None)  # a developer's own; the tests write to stores of their own
os.environ |= {"MLFLOW_DISABLE_TELEMETRY": "true", "DO_NOT_TRACK": "true", "OMP_NUM_THREADS": "1"}
signal.signal(signal.SIGINT, signal.default_int_handler)  # "pytest &" ignores it, and its children would inherit that


def pytest_configure(config):
    # MLflow's own use of SQLAlchemy, seen where a test opens its database in this process.
    config.addinivalue_line("filterwarnings", "ignore:The ``noload`` loader strategy is deprecated:DeprecationWarning")


@pytest.fixture(scope="session")
def migrated(tmp_path_factory) -> Path:
    """An MLflow database without runs, made once per process because it takes seconds."""
    from hpo.tracking.mlflow_writer import create_database

    path = tmp_path_factory.mktemp("migrated") / "mlflow.db"
    create_database(path)
    return path


@pytest.fixture(scope="session")
def new_store(migrated, tmp_path_factory) -> Callable[[], Path]:
    """Return a function that makes an empty store in a new folder."""

    def make() -> Path:
        store = tmp_path_factory.mktemp("search") / "mlruns"
        store.mkdir()
        shutil.copy(migrated, store)
        return store

    return make


@pytest.fixture(scope="module")
def unrecorded() -> Iterator[None]:
    """Replace the recorder and the report in searches of this process, until the end of the test file."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("hpo.workflows.search.Recorder", Unrecorded)
        patch.setattr("hpo.report.write", lambda *_: None)
        patch.setattr("hpo.workflows.add_ensemble.Recorder", Unrecorded)
        yield


@pytest.fixture
def store(new_store) -> Path:
    return new_store()
