"""The files of a study in the store, and the lock that prevents a second search at the same time.

STORE/mlflow.db, STORE/artifacts/           MLflow's copy
STORE/studies/NAME/journal.log              the study, from which all else can be rebuilt
STORE/studies/NAME/weights/LABEL.safetensors  of the final networks: X-scaled-EPOCHS, X-keep or X-average;
                                             ensemble-KIND-SIZE-POOL-DIGEST
STORE/studies/NAME/unseen/LABEL.safetensors out-of-fold predictions of a configuration
STORE/studies/NAME/network/                 the final network for other programs, as `hpo export --weights` writes it
STORE/studies/NAME/report.html              the report
STORE/studies/NAME/lock                     held while a search runs
"""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from hpo.core.errors import InputError, StoreError, did_you_mean

SQLITE = "sqlite:///"  # the prefix of MLflow's URI for a database file
NETWORK = "network"  # the folder of the final network, in a study and in its MLflow run


@dataclass(frozen=True)
class StudyDirectory:
    """The folder of one study."""

    root: Path
    name: str

    @property
    def folder(self) -> Path:
        return self.root / "studies" / self.name

    @property
    def journal(self) -> Path:
        return self.folder / "journal.log"

    @property
    def weights(self) -> Path:
        return self.folder / "weights"

    @property
    def oof_predictions(self) -> Path:
        return self.folder / "unseen"

    @property
    def network(self) -> Path:
        return self.folder / NETWORK

    @property
    def report(self) -> Path:
        return self.folder / "report.html"

    @property
    def tracking_uri(self) -> str:
        return f"{SQLITE}{(self.root / 'mlflow.db').resolve()}"

    def mlflow(self, required: bool = True) -> dict[str, str]:
        """Where MLflow has recorded the search: `tracking_uri`, `experiment_id`, `run_id`.

        If nothing is recorded yet, raises InputError if `required`, else returns {}.
        """
        path = self.folder / "mlflow.json"
        if path.exists():
            location = dict(json.loads(path.read_text(encoding="utf-8")))
            return location | {"tracking_uri": location["tracking_uri"] or self.tracking_uri}
        if required:
            raise InputError(f"The study {self.name} is not recorded in MLflow yet; its search has only just started.")
        return {}

    def running(self) -> bool:
        """Whether a process is searching this study now."""
        try:
            with (self.folder / "lock").open("rb") as file:
                fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        except FileNotFoundError:
            return False
        return False

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Hold the lock of the study within the context. The kernel releases it, no matter how this process ends."""
        try:
            for folder in (self.weights, self.oof_predictions):
                folder.mkdir(parents=True, exist_ok=True)
            file = (self.folder / "lock").open("a")
        except OSError as error:
            raise InputError(
                f"--store: {self.root} cannot be written ({error.strerror}); choose another folder."
            ) from error
        with file:
            if not _acquired(file):
                raise InputError(
                    f"The study {self.name} is being searched by another process; wait for it, "
                    "or set study to another name."
                )
            yield

    def remove(self) -> None:
        shutil.rmtree(self.folder)


def _acquired(file: IO[str]) -> bool:
    """Whether the lock was acquired. Tries for 0.1 s, because `running` holds it for a moment."""
    for _ in range(10):
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            time.sleep(0.01)
        else:
            return True
    return False


def studies(root: Path) -> list[StudyDirectory]:
    """Every study in the store, ordered by the time of its last write, the latest at the end."""
    directories = [StudyDirectory(root, path.parent.name) for path in (root / "studies").glob("*/journal.log")]
    return sorted(directories, key=lambda directory: directory.journal.stat().st_mtime)


def find_study(root: Path, name: str | None) -> StudyDirectory:
    """The study of that name, or the latest one. Raises InputError if there is none."""
    directories = studies(root)
    if not directories:
        raise InputError(f"There is no study in {root} yet; start one with: hpo search --space SPACE.yaml")
    if name is None:
        return directories[-1]
    for directory in directories:
        if directory.name == name:
            return directory
    hint = did_you_mean(name, [directory.name for directory in directories])
    raise InputError(f"There is no study {name} in {root}.{hint}")


def chosen_uri(root: Path, named: str | None) -> str:
    """The MLflow tracking URI of a search: the `named` one, else MLFLOW_TRACKING_URI, else the store's own database."""
    return named or os.environ.get("MLFLOW_TRACKING_URI") or StudyDirectory(root, "").tracking_uri


def write_atomic(path: Path, write: bytes) -> None:
    """Write a file completely or not at all. Raises StoreError if that fails."""
    temporary = path.with_name(f"{path.name}.{os.getpid()}.tmp")
    try:
        temporary.write_bytes(write)
        temporary.replace(path)
    except OSError as error:
        raise StoreError(f"{path} could not be written: {error.strerror}.") from error
