"""A worker process (`python -m hpo.training.worker FD`), which trains some of the trials, and its handle.

The process is a subprocess and not a `multiprocessing.Process`, so that a script that calls `hpo.search` needs no
`__main__` guard. This module imports nothing heavy, so that the workers load torch while the main process does.
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

MAX_WORKERS = 256


class WorkerLostError(Exception):
    """The process of a worker has ended."""

    def __init__(self, worker: Worker) -> None:
        super().__init__()
        self.worker = worker


class Worker:
    """The handle of a worker process, which answers every message except the start of a task."""

    def __init__(self) -> None:
        self.pipe, remote = Pipe()
        self._task = 0
        with remote:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "hpo.training.worker", str(remote.fileno())],
                stdin=subprocess.DEVNULL,
                pass_fds=[remote.fileno()],
                env=os.environ | {"OMP_NUM_THREADS": "1"},
                start_new_session=True,  # Ctrl-C must reach the main process only, which then ends its workers
            )

    def start_task(self, *task: object) -> None:
        """Give the worker a new task: the arguments of `Population.from_space`.

        Its import path and plugins become those of this process. Its earlier task and all pending answers are dropped.
        """
        from hpo.space.plugins import loaded

        self._task += 1
        self.send("begin", (self._task, sys.path, loaded(), pickle.dumps(task)))

    def send(self, *message: object) -> None:
        """Send a message without waiting for its answer. Raises WorkerLostError."""
        try:
            # `pipe.send` is not used, because torch's pickling for it would put tensors into shared memory.
            self.pipe.send_bytes(pickle.dumps(message))
        except OSError as error:
            raise WorkerLostError(self) from error

    def receive(self) -> Any:
        """Return the next answer, or raise the exception that was raised in the worker. Raises WorkerLostError."""
        task, answer = -1, None
        while task != self._task:
            try:
                task, answer = pickle.loads(self.pipe.recv_bytes())  # noqa: S301 - our own process
            except (EOFError, OSError) as error:
                raise WorkerLostError(self) from error
        if isinstance(answer, BaseException):
            raise answer
        return answer

    def request(self, *message: object) -> Any:
        """Send a message and return its answer."""
        self.send(*message)
        return self.receive()

    def kill(self) -> None:
        """End the process, which has no state to save."""
        self.pipe.close()
        self.process.kill()
        self.process.wait()

    def exit_reason(self) -> str:
        """Describe how a dead process ended."""
        with suppress(subprocess.TimeoutExpired):  # its pipe closes a moment before the process ends
            self.process.wait(1)
        self.kill()
        code = self.process.returncode
        if code >= 0:
            return f"exit code {code}"
        return f"signal {-code}" + (", as when memory runs out" if code == -signal.SIGKILL else "")


def cores() -> int:
    """Return the number of cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@contextmanager
def start_workers(count: int) -> Iterator[list[Worker]]:
    """Start worker processes, which end with the context.

    Starts none if `count` is 1, because then the main process trains. Raises InputError if `count` is out of range.
    """
    if type(count) is not int or not 1 <= count <= MAX_WORKERS:
        raise InputError(f"workers must be a whole number from 1 to {MAX_WORKERS}, got {count!r}.")
    with ExitStack() as stack:
        workers = [Worker() for _ in range(count if count > 1 else 0)]
        for worker in workers:
            stack.callback(worker.kill)
        yield workers


def main() -> None:
    """Run the worker process: receive a task and train its trials, until another task comes or the process ends."""
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
                command, argument = pickle.loads(messages.get())  # noqa: S301 - from the main process
                if command == "begin":
                    task, sys.path[:], plugin_names, pickled = argument
                    plugins.load(plugin_names, Path())
                    population = Population.from_space(*pickle.loads(pickled))  # noqa: S301 - from the main process
                else:
                    assert population is not None, "a task comes first"
                    pipe.send_bytes(pickle.dumps((task, _answer(population, command, argument))))
    except Exception as error:  # noqa: BLE001 - any exception is sent in place of the answer
        with suppress(OSError):
            pipe.send_bytes(pickle.dumps((task, _picklable(error))))


def _listen(pipe: Connection, messages: SimpleQueue[bytes]) -> None:
    """Receive messages; end this process when the main process has ended, even in the middle of an epoch."""
    with suppress(EOFError, OSError):
        while True:
            messages.put(pipe.recv_bytes())
    os._exit(0)


def _answer(population: Population, command: str, argument: Any) -> object:
    """Carry out a command of the main process and return the answer.

    The answer to `release` is the trained trial. The answer to `detach` is the state of the trials that move to another
    worker. The answer to `train` is the scores of an epoch, and the number of rows lost so far because memory ran out.
    """
    from hpo.training.trial_rows import MovedTrial

    if command == "release":
        return population.release(argument)
    if command == "detach":
        return [population.detach(trial) for trial in argument]
    for entering in argument:
        population.attach(entering) if isinstance(entering, MovedTrial) else population.admit(entering)
    return list(population.train_epoch()), population.rows_lost


def _picklable(error: Exception) -> Exception:
    """Return an exception that the main process can unpickle, with the traceback of this process as a note."""
    text = "".join(traceback.format_exception(error))
    try:
        copy: Exception = pickle.loads(pickle.dumps(error))  # noqa: S301 - our own bytes
    except Exception:  # noqa: BLE001 - not every exception can be pickled
        copy = RuntimeError(f"{type(error).__name__}: {error}")
    copy.add_note(f"In a worker process:\n{text}")
    return copy


if __name__ == "__main__":
    main()
