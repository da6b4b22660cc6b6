"""A study's journal on disk: one JSON object per line, written by one process at a time (see `hpo.study.directory`)."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from pathlib import Path
from typing import Any, BinaryIO

from optuna.storages import JournalStorage
from optuna.storages.journal import BaseJournalBackend

from hpo.core.errors import StoreError
from hpo.study.optuna_storage import OptunaStudyStorage

_MORE = "more"  # marks a record that is not the last of its batch; Optuna ignores unknown keys
# A power failure loses at most the records of this many seconds; a killed process loses nothing. A sync takes
# milliseconds.
_SYNC_SECONDS = 1.0


class JournalStudyStorage(OptunaStudyStorage):
    """A study in a journal file."""

    def __init__(self, location: Path | str, *, writable: bool = True) -> None:
        self._journal = _Backend(Path(location), writable=writable)
        super().__init__(JournalStorage(self._journal))

    def batch(self) -> AbstractContextManager[None]:
        return self._journal.batch()

    def close(self) -> None:
        self._journal.close()


class Journal:
    """Optuna's journal backend (`read_logs`, `append_logs`) for a file that has a single writer.

    Optuna's own file backend locks and syncs for every record, which takes half a millisecond each, and a stale lock
    or a torn last line that a killed process leaves behind stops the next reader. Here, the study's lock protects the
    file, and records that belong together are written in a `batch`: all of them but the last are marked with "more",
    and a batch that lacks its last record is cut off.
    """

    def __init__(self, path: Path, *, writable: bool = True) -> None:
        self._path = path
        raw = path.read_bytes() if path.exists() else b""
        lines = raw.splitlines(keepends=True)
        while lines and not _ends_batch(lines[-1]):
            lines.pop()
        valid_bytes = sum(map(len, lines))
        if writable and valid_bytes < len(raw):
            os.truncate(path, valid_bytes)
        self._file: BinaryIO | None = None  # opened by the first record
        self._synced = 0.0
        self._logs = _parse(lines, path)
        self._dropped = 0  # number of records that were read and dropped; Optuna reads each record once
        self._batch: list[dict[str, Any]] | None = None

    def read_logs(self, log_number_from: int) -> list[dict[str, Any]]:
        del self._logs[: log_number_from - self._dropped]
        self._dropped = log_number_from
        return list(self._logs)

    def append_logs(self, logs: list[dict[str, Any]]) -> None:
        self._logs += logs
        if self._batch is None:
            self._write(logs)
        else:
            self._batch += logs

    @contextmanager
    def batch(self) -> Iterator[None]:
        """Collect the records that are appended in this context, and write them in one piece when it ends. After an
        exception, none of them is written."""
        records = self._batch = []
        try:
            yield
        finally:
            self._batch = None
        self._write(records)

    def close(self) -> None:
        with suppress(OSError):  # a failed write has raised StoreError already
            if self._file is not None:
                self._sync(self._file)
                self._file.close()

    def _sync(self, file: BinaryIO) -> None:
        os.fdatasync(file.fileno())
        self._synced = time.monotonic()

    def _write(self, logs: list[dict[str, Any]]) -> None:
        marked = [*({**log, _MORE: True} for log in logs[:-1]), *logs[-1:]]
        try:
            self._file = self._file or self._path.open("ab")
            self._file.write(b"".join(json.dumps(log, separators=(",", ":")).encode() + b"\n" for log in marked))
            self._file.flush()
            if time.monotonic() > self._synced + _SYNC_SECONDS:
                self._sync(self._file)
        except OSError as error:
            raise StoreError(f"The study could not be written to {self._path}: {error.strerror}.") from error


class _Backend(Journal, BaseJournalBackend):
    pass


def _ends_batch(line: bytes) -> bool:
    """Whether a line is complete and the last one of its batch."""
    try:
        return line.endswith(b"\n") and _MORE not in json.loads(line)
    except ValueError:
        return False


def _parse(lines: list[bytes], path: Path) -> list[dict[str, Any]]:
    """Parse the records. Raises StoreError for a damaged record, which a killed process cannot have caused: partial
    records at the end have been removed."""
    records = []
    for number, line in enumerate(lines, 1):
        try:
            records.append(json.loads(line))
        except ValueError as error:
            raise StoreError(f"{path} is damaged in line {number}; restore a copy, or remove the study.") from error
    return records


STORAGES = {"file": JournalStudyStorage}  # found by `hpo.study.storage`
