"""A worker: a process that trains a population of its own, `python -m hpo.training.worker FD`, and the handle by which it is told to.

A subprocess rather than `multiprocessing`: a script that calls `hpo.search` needs no `__main__` guard. Nothing heavy is
imported before a worker is started, so that it loads torch while we do.
"""

from __future__ import annotations

import os
import pickle
import signal
import subprocess
import sys
import threading
import traceback
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from multiprocessing.connection import Connection, Pipe
from pathlib import Path
from queue import SimpleQueue
from typing import TYPE_CHECKING, Any

from hpo.core.errors import InputError

if TYPE_CHECKING:
    from hpo.training.population import Population

MOST_WORKERS = 256  # on one machine


class WorkerLostError(Exception):
    """The process of a worker is gone."""

    def __init__(self, worker: Worker) -> None:
        super().__init__()
        self.worker = worker


class Worker:
    """A worker process, seen from the search. It answers each message but that of `begin`."""

    def __init__(self) -> None:
        self.pipe, other = Pipe()
        self._task = 0
        with other:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "hpo.training.worker", str(other.fileno())],
                stdin=subprocess.DEVNULL,
                pass_fds=[other.fileno()],
                env=os.environ | {"OMP_NUM_THREADS": "1"},
                start_new_session=True,  # Ctrl-C is for the search, which ends its workers
            )

    def begin(self, *task: object) -> None:
        """Tells it what to train from now on, as `Population.of` wants it; whatever can be imported here can be imported there.
        What it was training before is forgotten, with all that it still has to say of it."""
        from hpo.space.plugins import loaded

        self._task += 1
        self.send("begin", (self._task, sys.path, loaded(), pickle.dumps(task)))

    def send(self, *message: object) -> None:
        try:
            self.pipe.send_bytes(
                pickle.dumps(message)
            )  # not `send`, for which torch would put tensors into shared memory
        except OSError as error:
            raise WorkerLostError(self) from error

    def receive(self) -> Any:
        """The next answer; what was raised over there is raised here."""
        task, answer = -1, None
        while task != self._task:
            try:
                task, answer = pickle.loads(self.pipe.recv_bytes())  # noqa: S301 - our own process
            except (EOFError, OSError) as error:
                raise WorkerLostError(self) from error
        if isinstance(answer, BaseException):
            raise answer
        return answer

    def ask(self, *message: object) -> Any:
        self.send(*message)
        return self.receive()

    def end(self) -> None:
        """Ends the process. It holds nothing that would have to be saved."""
        self.pipe.close()
        self._process.kill()
        self._process.wait()

    def fate(self) -> str:
        """How a process ended that is gone."""
        with suppress(subprocess.TimeoutExpired):  # its pipe is closed a moment before it has ended
            self._process.wait(1)
        self.end()
        code = self._process.returncode
        if code >= 0:
            return f"exit code {code}"
        return f"signal {-code}" + (", as when memory runs out" if code == -signal.SIGKILL else "")


def cores() -> int:
    """How many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@contextmanager
def start_workers(count: int) -> Iterator[list[Worker]]:
    """That many worker processes, which end with the context; none for one, since the search can train by itself."""
    if type(count) is not int or not 1 <= count <= MOST_WORKERS:
        raise InputError(f"workers must be a whole number from 1 to {MOST_WORKERS}, got {count!r}.")
    with ExitStack() as stack:
        workers = [Worker() for _ in range(count if count > 1 else 0)]
        for worker in workers:
            stack.callback(worker.end)
        yield workers


def main() -> None:
    """The process itself: it is told what to train, then its trials; after these perhaps something else."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    pipe = Connection(int(sys.argv[1]))
    messages: SimpleQueue[bytes] = SimpleQueue()
    threading.Thread(target=_listen, args=(pipe, messages), daemon=True).start()
    from hpo.nn.linear import one_thread
    from hpo.space import plugins
    from hpo.training.population import Population

    task: int = 0
    population: Population | None = None
    try:
        with one_thread():
            while True:
                what, given = pickle.loads(messages.get())  # noqa: S301 - from the search
                if what == "begin":
                    task, sys.path[:], named, told = given
                    plugins.load(named, Path())
                    population = Population.from_space(*pickle.loads(told))  # noqa: S301
                else:
                    assert population is not None, "a task comes first"
                    pipe.send_bytes(pickle.dumps((task, _answer(population, what, given))))
    except Exception as error:  # noqa: BLE001 - whatever it is, it is told, in place of an answer
        with suppress(OSError):
            pipe.send_bytes(pickle.dumps((task, _told(error))))


def _listen(pipe: Connection, messages: SimpleQueue[bytes]) -> None:
    """Takes in messages. When the search is gone, however it ended, so are we, be it in the middle of an epoch."""
    with suppress(EOFError, OSError):
        while True:
            messages.put(pipe.recv_bytes())
    os._exit(0)


def _answer(population: Population, what: str, given: Any) -> object:
    """What the search asked: an epoch's scores and how many rows there was no memory for so far, what a trial has learned, or trials
    to go elsewhere."""
    from hpo.training.population import MovedTrial

    if what == "release":
        return population.release(given)
    if what == "give":
        return [population.detach(trial) for trial in given]
    for entering in given:
        population.attach(entering) if isinstance(entering, MovedTrial) else population.admit(entering)
    return list(population.train_epoch()), population.rows_lost


def _told(error: Exception) -> Exception:
    """An exception as it can be raised at the other end, with the traceback of this one."""
    said = "".join(traceback.format_exception(error))
    try:
        told: Exception = pickle.loads(pickle.dumps(error))  # noqa: S301
    except Exception:  # noqa: BLE001 - not every exception can be pickled
        told = RuntimeError(f"{type(error).__name__}: {error}")
    told.add_note(f"In a worker process:\n{said}")
    return told


if __name__ == "__main__":
    main()
