"""Whole searches for tests: a tiny space, the real command line, and what a study has stored."""

import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import yaml
from click.testing import CliRunner, Result

from hpo.study.ledger import read_attrs

PATIENCE = 120  # seconds that anything may take on a busy machine
TINY = {
    "study": "tiny",
    "data": {"source": "sklearn:wine"},
    "network": {"width": 8},
    "search": {
        "learning_rate": {"low": 1e-3, "high": 1e-1, "log": True},
        "depth": {"low": 1, "high": 2},
        "weight_decay": {"low": 1e-4, "high": 1.0, "log": True, "optional": True},
        "dropout": {"low": 0.0, "high": 0.5},
    },
    "train": {"epochs": 4, "batch_size": 32},
    "budget": {"trials": 6},
    "finalists": 1,
}


class Unrecorded:
    """Stands for the recorder, where a test is not about MLflow, whose process takes seconds."""

    ids = {"run_id": "none", "experiment_id": "0"}

    def __init__(self, *_: object) -> None: ...
    def record(self, outcome: Any) -> None: ...
    def close(self, status: str, **finish: Any) -> None: ...
    def abandon(self, status: str) -> None: ...


def write_space(store: Path, **changes: Any) -> Path:
    """A space file beside `store`: the tiny one, with whole sections changed."""
    space = TINY | changes
    path = store.parent / f"{space['study']}.yaml"
    path.write_text(yaml.safe_dump(space))
    return path


@contextmanager
def launched(*arguments: object) -> Iterator[subprocess.Popen[str]]:
    """The command line as a process of its own, where every warning is an error."""
    line = [sys.executable, "-W", "error", "-m", "hpo.cli", *map(str, arguments)]
    with subprocess.Popen(line, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        try:
            yield process
        finally:
            if process.poll() is None:  # a test has failed; a page that is served must end with its server
                process.terminate()
                process.wait(PATIENCE)


def hpo(*arguments: object) -> subprocess.CompletedProcess[str]:
    """The command line as a process of its own, until it has ended."""
    with launched(*arguments) as process:
        out, err = process.communicate(timeout=PATIENCE)
        return subprocess.CompletedProcess(process.args, process.returncode, out, err)


def here(*arguments: object) -> Result:
    """The command line inside this process, which has paid for its imports already."""
    from hpo.cli import main

    result = CliRunner().invoke(main, [str(argument) for argument in arguments])
    if result.exception and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result


def outcomes(store: Path, study: str = "tiny") -> dict[str, Mapping[str, Any]]:
    """What the study remembers of every trial that has ended, by label; each is there once."""
    found = read_attrs(store / "studies" / study / "journal.log").get("outcomes", [])
    labels = [outcome["trial"]["label"] for outcome in found]
    assert len(labels) == len(set(labels))
    return dict(zip(labels, found, strict=True))


def wait_for(happens: Callable[[], Any]) -> Any:
    """What `happens` returns, once it is true."""
    end = time.monotonic() + PATIENCE
    while not (found := happens()):
        assert time.monotonic() < end, "it did not happen"
        time.sleep(0.002)
    return found


def processes(parent: int, words: str) -> list[int]:
    """The children of a process whose command line holds `words`."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            line, stat = (folder / "cmdline").read_text(), (folder / "stat").read_text()
        except OSError:  # it has ended meanwhile
            continue
        if words in line.replace("\0", " ") and int(stat.rpartition(")")[2].split()[1]) == parent:
            found.append(int(folder.name))
    return found
