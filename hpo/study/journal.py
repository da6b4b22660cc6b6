"""A study's journal on disk: one JSON object a line, written by one process at a time (see `hpo.study.directory`)."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, BinaryIO

from hpo.core.errors import StoreError

_MORE = "more"  # Optuna reads the keys it knows, and leaves this one be
_SYNC = 1.0  # seconds: what a power failure may cost. A sync takes milliseconds; a kill takes nothing that was written


class Journal:
    """Optuna's journal backend (`read_logs`, `append_logs`) for a file that is known to have one writer.

    Optuna's own file backend locks and syncs for every record, half a millisecond each, and what a kill leaves behind
    (a stale lock, a torn last line) stops the next reader. Here the study's lock covers the file, and what belongs together
    is written in a `batch`: all its records but the last are marked with "more", and a batch without its end is cut off.
    """

    def __init__(self, path: Path, *, writable: bool = True) -> None:
        self._path = path
        raw = path.read_bytes() if path.exists() else b""
        lines = raw.splitlines(keepends=True)
        while lines and not _ends(lines[-1]):
            lines.pop()
        whole = sum(map(len, lines))
        if writable and whole < len(raw):
            os.truncate(path, whole)
        self._file: BinaryIO | None = None  # opened by the first record
        self._synced = 0.0
        self._logs = _parsed(lines, path)
        self._dropped = 0  # records that were read once already; nobody asks for them again
        self._held: list[dict[str, Any]] | None = None

    def read_logs(self, log_number_from: int) -> list[dict[str, Any]]:
        del self._logs[: log_number_from - self._dropped]
        self._dropped = log_number_from
        return list(self._logs)

    def append_logs(self, logs: list[dict[str, Any]]) -> None:
        self._logs += logs
        if self._held is None:
            self._write(logs)
        else:
            self._held += logs

    @contextmanager
    def batch(self) -> Iterator[None]:
        """What is appended inside reaches the file in one piece at the end; after an exception (Ctrl-C), none of it."""
        held = self._held = []
        try:
            yield
        finally:
            self._held = None
        self._write(held)

    def close(self) -> None:
        with suppress(OSError):  # what could not be written was said when it was tried
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
            if time.monotonic() > self._synced + _SYNC:
                self._sync(self._file)
        except OSError as error:
            raise StoreError(f"The study could not be written to {self._path}: {error.strerror}.") from error


def _ends(line: bytes) -> bool:
    """Whether a line is whole and the last of what belongs together."""
    try:
        return line.endswith(b"\n") and _MORE not in json.loads(line)
    except ValueError:
        return False


def _parsed(lines: list[bytes], path: Path) -> list[dict[str, Any]]:
    """The records; raises StoreError if one is damaged that others follow, which no kill can have done."""
    found = []
    for number, line in enumerate(lines, 1):
        try:
            found.append(json.loads(line))
        except ValueError as error:
            raise StoreError(f"{path} is damaged in line {number}; bring back a copy, or remove the study.") from error
    return found
