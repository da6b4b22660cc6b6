"""Where a search lives on disk, and who may write there.

STORE/mlflow.db, STORE/artifacts/           MLflow's, a mirror
STORE/studies/NAME/journal.log              the study: the truth
STORE/studies/NAME/weights/LABEL.safetensors  of the final networks: X-scaled-EPOCHS, X-keep or X-average;
                                             ensemble-KIND-SIZE-POOL-DIGEST
STORE/studies/NAME/unseen/LABEL.safetensors what a configuration said of rows that its networks had not seen
STORE/studies/NAME/network/                 the final network for other programs, as `hpo export --weights` writes it
STORE/studies/NAME/report.html              the page on the search
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

SQLITE = "sqlite:///"  # how MLflow names a database that is a file
NETWORK = "network"  # the folder of a final network, in a study and in its run


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
        """Where MLflow has its search: `tracking_uri`, `experiment_id`, `run_id`. Raises InputError if nothing was recorded."""
        path = self.folder / "mlflow.json"
        if path.exists():
            found = dict(json.loads(path.read_text(encoding="utf-8")))
            return found | {"tracking_uri": found["tracking_uri"] or self.tracking_uri}
        if required:
            raise InputError(f"The study {self.name} has no record in MLflow yet; its search has only just begun.")
        return {}

    def running(self) -> bool:
        """Whether a process is searching it now."""
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
        """Holds the study for this process, also against a second search. The kernel frees it, however we end."""
        try:
            for folder in (self.weights, self.oof_predictions):
                folder.mkdir(parents=True, exist_ok=True)
            file = (self.folder / "lock").open("a")
        except OSError as error:
            raise InputError(
                f"--store: {self.root} cannot be written ({error.strerror}); name another folder."
            ) from error
        with file:
            if not _taken(file):
                raise InputError(
                    f"The study {self.name} is being searched by another process; wait for it, or set study to another name."
                )
            yield

    def remove(self) -> None:
        shutil.rmtree(self.folder)


def _taken(file: IO[str]) -> bool:
    """Whether the lock could be had; tried for a moment, because `running` has it for an instant."""
    for _ in range(10):
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            time.sleep(0.01)
        else:
            return True
    return False


def studies(root: Path) -> list[StudyDirectory]:
    """Every study in the store, the one that was written last at the end."""
    found = [StudyDirectory(root, path.parent.name) for path in (root / "studies").glob("*/journal.log")]
    return sorted(found, key=lambda place: place.journal.stat().st_mtime)


def find_study(root: Path, name: str | None) -> StudyDirectory:
    """The study of that name, or the latest. Raises InputError if there is none."""
    there = studies(root)
    if not there:
        raise InputError(f"There is no study in {root} yet; begin one with: hpo search --space SPACE.yaml")
    if name is None:
        return there[-1]
    for place in there:
        if place.name == name:
            return place
    raise InputError(f"There is no study {name} in {root}.{did_you_mean(name, [place.name for place in there])}")


def chosen_uri(root: Path, named: str | None) -> str:
    """Where the runs of a search go: to the MLflow that is named or that MLFLOW_TRACKING_URI names, else to the store's own database."""
    return named or os.environ.get("MLFLOW_TRACKING_URI") or StudyDirectory(root, "").tracking_uri


def write_atomic(path: Path, write: bytes) -> None:
    """Writes a file whole or not at all. Raises StoreError if that fails."""
    temporary = path.with_name(f"{path.name}.{os.getpid()}.tmp")
    try:
        temporary.write_bytes(write)
        temporary.replace(path)
    except OSError as error:
        raise StoreError(f"{path} could not be written: {error.strerror}.") from error
