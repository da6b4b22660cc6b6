"""A study's journal on disk: one JSON object a line, written by one process at a time (see `hpo.store`)."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from hpo.errors import StoreError


class Journal:
    """Optuna's journal backend (`read_logs`, `append_logs`) for a file that is known to have one writer.

    Optuna's own file backend locks and syncs for every record, half a millisecond each, and what a kill leaves behind
    (a stale lock, a torn last line) stops the next reader. Here the study's lock covers the file, a torn line is cut off,
    and `batch` writes many records at once.
    """

    def __init__(self, path: Path, *, writable: bool = True) -> None:
        self._path = path
        raw = path.read_bytes() if path.exists() else b""
        whole = raw[: raw.rfind(b"\n") + 1]
        if writable:
            if len(whole) < len(raw):
                os.truncate(path, len(whole))
            self._file = path.open("ab")
        self._logs: list[dict[str, Any]] = [json.loads(line) for line in whole.splitlines()]
        self._dropped = 0  # records that were read once already; nobody asks for them again
        self._held: list[bytes] | None = None

    def read_logs(self, log_number_from: int) -> list[dict[str, Any]]:
        del self._logs[: log_number_from - self._dropped]
        self._dropped = log_number_from
        return list(self._logs)

    def append_logs(self, logs: list[dict[str, Any]]) -> None:
        self._logs += logs
        lines = [json.dumps(log, separators=(",", ":")).encode() + b"\n" for log in logs]
        if self._held is None:
            self._write(lines)
        else:
            self._held += lines

    @contextmanager
    def batch(self) -> Iterator[None]:
        """What is appended inside reaches the disk in one piece at the end."""
        self._held = []
        try:
            yield
        finally:
            lines, self._held = self._held, None
            self._write(lines)

    def close(self) -> None:
        self._file.close()

    def _write(self, lines: list[bytes]) -> None:
        try:
            self._file.write(b"".join(lines))
            self._file.flush()
            os.fdatasync(self._file.fileno())
        except OSError as error:
            raise StoreError(f"The study could not be written to {self._path}: {error.strerror}.") from error
