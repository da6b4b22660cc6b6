"""Run searches through the command line, and read what a study has stored."""

import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml
from click.testing import CliRunner, Result

from hpo.study.storage import read_attrs

if TYPE_CHECKING:
    from hpo.selection.result import SearchResult

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
    """Replaces the recorder in tests that do not concern MLflow, whose process takes seconds to start."""

    ids = {"run_id": "none", "experiment_id": "0"}

    def __init__(self, *_: object) -> None: ...
    def record(self, outcome: Any) -> None: ...
    def close(self, status: str, **finish: Any) -> None: ...
    def abandon(self, status: str) -> None: ...


class Killed(BaseException):
    """Simulates a kill: a BaseException that no handler of hpo cleans up after."""


class KilledOnClose(Unrecorded):
    """Raises Killed when everything is trained and tested and only MLflow is still to be told the result."""

    def close(self, status: str, **finish: Any) -> None:
        raise Killed


def search_unrecorded(space: Path, store: Path) -> "SearchResult":
    """Search a space file without MLflow."""
    from hpo.study.directory import StudyDirectory  # late: conftest.py sets the number of threads before torch is there
    from hpo.workflows import prepare, search

    experiment = prepare.load(space)
    return search.search(experiment, StudyDirectory(store, experiment.space.study), recorder=Unrecorded)


def write_space(store: Path, **changes: Any) -> Path:
    """Write the tiny space, with whole sections replaced, to a file next to `store`."""
    space = TINY | changes
    path = store.parent / f"{space['study']}.yaml"
    path.write_text(yaml.safe_dump(space))
    return path


@contextmanager
def launched(*arguments: object) -> Iterator[subprocess.Popen[str]]:
    """Start the command line in a new process, in which every warning is an error."""
    line = [sys.executable, "-W", "error", "-m", "hpo.cli", *map(str, arguments)]
    with subprocess.Popen(line, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        try:
            yield process
        finally:
            if process.poll() is None:  # a test has failed; a page that is served must end with its server
                process.terminate()
                process.wait(PATIENCE)


def hpo(*arguments: object) -> subprocess.CompletedProcess[str]:
    """Run the command line in a new process."""
    with launched(*arguments) as process:
        out, err = process.communicate(timeout=PATIENCE)
        return subprocess.CompletedProcess(process.args, process.returncode, out, err)


def here(*arguments: object) -> Result:
    """Run the command line inside this process, which has the imports already."""
    from hpo.cli import main

    result = CliRunner().invoke(main, [str(argument) for argument in arguments])
    if result.exception and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result


def outcomes(store: Path, study: str = "tiny") -> dict[str, Mapping[str, Any]]:
    """Return the stored outcomes of a study by label; each label occurs once."""
    found = read_attrs(store / "studies" / study / "journal.log").get("outcomes", [])
    labels = [outcome["trial"]["label"] for outcome in found]
    assert len(labels) == len(set(labels))
    return dict(zip(labels, found, strict=True))


def wait_for(happens: Callable[[], Any]) -> Any:
    """Wait until `happens` returns something true, and return it."""
    end = time.monotonic() + PATIENCE
    while not (found := happens()):
        assert time.monotonic() < end, "it did not happen"
        time.sleep(0.002)
    return found


def processes(parent: int, words: str) -> list[int]:
    """Return the child processes of `parent` whose command line contains `words`."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            line, stat = (folder / "cmdline").read_text(), (folder / "stat").read_text()
        except OSError:  # it has ended meanwhile
            continue
        if words in line.replace("\0", " ") and int(stat.rpartition(")")[2].split()[1]) == parent:
            found.append(int(folder.name))
    return found
