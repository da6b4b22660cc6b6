"""A record of the finished parts of a long measurement, so that it can be resumed."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from threading import Lock
from typing import Any

Json = dict[str, Any]


class Book:
    """Records in a JSON-lines file in `folder`; the file name depends on the content of `sources`.

    So records of different code or data are never mixed. Threads may share a book.
    """

    def __init__(self, folder: Path, sources: Iterable[Path]) -> None:
        state = hashlib.sha256(b"\0".join(path.read_bytes() for path in sources)).hexdigest()
        folder.mkdir(parents=True, exist_ok=True)
        self._path, self._lock = folder / f"{state[:12]}.jsonl", Lock()
        self._records: list[Json] = (
            [json.loads(line) for line in self._path.read_text().splitlines()] if self._path.exists() else []
        )

    @property
    def folder(self) -> Path:
        return self._path.parent

    @property
    def attachments(self) -> Path:
        """The folder for files that belong to the records: of the same code and data."""
        return self._path.with_suffix("")

    def get(self, key: Mapping[str, Any]) -> Json | None:
        """Return the record that contains all items of `key`, or None."""
        return next((r for r in self._records if all(r[name] == value for name, value in key.items())), None)

    def once(self, key: Mapping[str, Any], make: Callable[[], Mapping[str, Any]]) -> Json:
        """Return the record of `key`; if there is none, call `make` and store its result with `key`."""
        if (known := self.get(key)) is not None:
            return known
        line = json.dumps({**key, **make()})
        with self._lock:
            self._records.append(json.loads(line))
            unfinished = self._path.with_suffix(".new")  # a killed process leaves no partial line
            unfinished.write_text("".join(json.dumps(r) + "\n" for r in self._records))
            unfinished.replace(self._path)
        return dict(json.loads(line))
