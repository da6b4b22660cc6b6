"""Optuna on all cores as in its FAQ: joblib processes optimize one study in a journal file with the tight loop.

Each process has one thread.
"""

from __future__ import annotations

import time
from functools import cache

import optuna
from joblib import Parallel, delayed
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend

from bench.task import Answer, Task
from bench.tight import epochs
from hpo.study.samplers import distributions


def _study() -> optuna.Study:
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    storage = JournalStorage(JournalFileBackend("journal.log"))
    return optuna.create_study(
        study_name="digits", storage=storage, sampler=optuna.samplers.TPESampler(), load_if_exists=True
    )


_own_study = cache(_study)  # each process reads the journal once


def _run_next_trial(task: Task) -> None:
    """Run the next trial of the study; processes take trials one at a time, so none idles while another has a queue."""
    trial = _own_study().ask(distributions(task.space.search))
    _own_study().tell(trial, min(epochs(task, trial.params, trial.number)))


def _ready(task: Task) -> None:
    task.warm_up()
    _own_study()
    time.sleep(0.5)  # so that each process gets one


def run(task: Task) -> Answer:
    study = _study()
    for configuration in task.configurations:
        study.enqueue_trial(configuration)
    with Parallel(n_jobs=task.cores) as processes:
        processes(delayed(_ready)(task) for _ in range(task.cores))
        began = time.perf_counter()
        processes(delayed(_run_next_trial)(task) for _ in task.configurations)
        seconds = time.perf_counter() - began
    return Answer(seconds, [trial.value for trial in study.trials])
