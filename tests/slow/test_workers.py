"""A search in several processes equals a search in one, even if workers die; no worker is left over."""

import json
import os
import signal
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
from torch import nn

import hpo
from hpo.cli.messages import headline
from hpo.core.errors import InputError, WorkersError
from hpo.core.trial import Trial
from hpo.core.trial_key import TrialKey
from hpo.data.dataset import prepare
from hpo.nn.device import CPU
from hpo.space import loader
from hpo.space.settings import EnsembleConfig
from hpo.study.directory import StudyDirectory
from hpo.testing import same
from hpo.training.population import Population
from hpo.training.worker import start_workers
from hpo.training.worker_pool import WorkerPool
from hpo.workflows import add_ensemble, completed
from hpo.workflows import prepare as jobs
from hpo.workflows.callbacks import Watcher
from tests.helpers.kills import KILLED_SPACE as KILLED
from tests.helpers.kills import TIME_KEYS, TRIALS, count_ended
from tests.helpers.searches import PATIENCE, TINY, here, launched, outcomes, processes, wait_for, write_space

# Proposals depend on the number of the trial only, not on the order in which trials end.
SPACE = KILLED | {"sampler": "random", "pruner": "none"}
EPOCHS = 3
SPACE_OF_CREWS = loader.parse(TINY | {"train": {"epochs": EPOCHS, "patience": EPOCHS, "batch_size": 32}})


def trial(label: str, **params: float) -> Trial:
    return Trial(
        TrialKey.parse(label),
        "search",
        {"learning_rate": 1e-2, "depth": 2, "weight_decay": 0.1, "dropout": 0.2, **params},
        int(label),
    )


def running(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False


def timeless(known):
    """Remove the fields that differ between one process and two workers."""
    return {label: {k: v for k, v in o.items() if k not in (*TIME_KEYS, "rounds")} for label, o in known.items()}


# ---- the whole search


@pytest.fixture(scope="module")
def alone(new_store):
    """The search in one process."""
    store = new_store()
    ran = here("search", "--space", write_space(store, **SPACE), "--store", store, "--json")
    return SimpleNamespace(result=json.loads(ran.stdout), known=outcomes(store))


@pytest.fixture(scope="module")
def disturbed(new_store):
    """The search in two workers: killed, interrupted, continued while both workers are killed, then left to finish."""
    store = new_store()
    space = write_space(store, **SPACE)
    workers, told = {}, {}

    def more():
        target = count_ended(store) + 1
        wait_for(lambda: count_ended(store) >= target)

    def search(what, then):
        with launched("search", "--space", space, "--store", store, "--workers", "2") as process:
            more()
            workers[what] = processes(process.pid, "hpo.training.worker")
            then(process, workers[what])
            _, err = process.communicate(timeout=PATIENCE)
            told[what] = SimpleNamespace(code=process.returncode, err=err)

    def one_by_one(_, pids):
        for pid in pids:
            os.kill(pid, signal.SIGKILL)
            more() if pid == pids[0] else None

    search("killed", lambda process, _: process.kill())
    search("interrupted", lambda process, _: process.send_signal(signal.SIGINT))
    search("lost", one_by_one)
    before = count_ended(store)
    last = here("search", "--space", space, "--store", store, "--json")
    return SimpleNamespace(
        told=told, workers=workers, before=before, known=outcomes(store), result=json.loads(last.stdout)
    )


def test_two_workers_find_what_one_process_finds_whatever_becomes_of_them(alone, disturbed):
    assert [len(pids) for pids in disturbed.workers.values()] == [2, 2, 2]
    assert 3 < disturbed.before < TRIALS
    assert timeless(disturbed.known) == timeless(alone.known)
    for key in (
        "selected",
        "trial",
        "finalists",
        "valid",
        "reevaluated",
        "test",
        "baselines",
        "refit",
        "trials",
        "epochs_trained",
        "rows",
    ):
        assert disturbed.result[key] == alone.result[key]


def test_no_worker_outlives_its_search(disturbed):
    for pids in disturbed.workers.values():
        wait_for(lambda pids=pids: not any(map(running, pids)))


def test_a_worker_that_dies_is_mentioned_and_when_all_have_a_sentence_says_how_to_go_on(disturbed):
    lost = disturbed.told["lost"]
    assert lost.code == 1
    assert "Traceback" not in lost.err
    first, last = [line for line in lost.err.splitlines() if "worker process" in line]
    assert first.startswith("note: A worker process ended (signal 9")
    assert last.startswith("The last worker process ended (signal 9")


def test_ctrl_c_ends_a_search_with_workers_as_any(disturbed):
    assert disturbed.told["interrupted"].code == 130
    assert "Traceback" not in disturbed.told["interrupted"].err


def test_the_first_lines_say_how_many_workers(disturbed):
    assert "random, no pruning · 10 trials at once in 2 workers" in disturbed.told["killed"].err


def test_more_workers_than_cores_are_mentioned(tmp_path):
    job = jobs.prepare(SPACE_OF_CREWS, tmp_path)
    assert "note: 500 workers share" in "\n".join(headline(job, 500, 500))
    assert "note:" not in "\n".join(headline(job, 500, 1))


# ---- the crew, epoch by epoch


@pytest.fixture(scope="module")
def data():
    return prepare(SPACE_OF_CREWS.data, Path()).as_samples()


@pytest.fixture
def notes():
    return []


@pytest.fixture
def crew(data, notes):
    with start_workers(2) as workers:
        yield WorkerPool(workers, SPACE_OF_CREWS, None, data, rows=4, note=notes.append)


@pytest.fixture(scope="module")
def expected(data):
    """What each trial leaves behind where it is trained by one population."""
    population = Population.from_space(SPACE_OF_CREWS, None, data, rows=4)
    trials = [trial(str(i), depth=1 + i % 2) for i in range(4)]
    for of in trials:
        population.admit(of)
    for _ in range(EPOCHS):
        list(population.train_epoch())
    return {of.label: (of, population.release(of)) for of in trials}


def finish(crew, meanwhile=lambda _: None):
    """Trains until every trial has ended; what they leave behind, and the epochs that were told, by label."""
    left, told = {}, {}
    while crew.members:
        for score in crew.train_epoch():
            told.setdefault(score.trial.label, []).append(score.epoch)
            meanwhile(score)
            if score.stop_reason:
                left[score.trial.label] = crew.release(score.trial)
    return left, told


def test_a_crew_has_room_for_its_rows_and_spreads_its_trials_evenly(crew, expected):
    for of, _ in expected.values():
        assert crew.has_room()
        crew.admit(of)
    assert not crew.has_room()
    homes = [member.worker for member in crew.members.values()]
    assert sorted(map(homes.count, set(homes))) == [2, 2]


def test_no_worker_waits_for_another(crew, expected):
    """While one is held up, the trials of the other come to their end."""
    for of, _ in expected.values():
        crew.admit(of)
    held, _ = crew.workers
    os.kill(held.process.pid, signal.SIGSTOP)
    there = [label for label, member in crew.members.items() if member.worker is not held]
    left = []
    while len(left) < len(there):
        for score in crew.train_epoch():
            if score.stop_reason:
                crew.release(score.trial)
                left.append(score.trial.label)
    assert sorted(left) == sorted(there)
    os.kill(held.process.pid, signal.SIGCONT)
    assert finish(crew)[1].keys() == expected.keys() - set(there)


@pytest.mark.parametrize("epoch", [1, EPOCHS])
def test_trials_of_a_lost_worker_are_trained_again_and_told_once(crew, expected, notes, epoch):
    """Also the one that is to be released at this very moment."""
    for of, _ in expected.values():
        crew.admit(of)
    lost = []

    def kill(score):
        if not lost and score.epoch == epoch:
            lost.append(crew.members[score.trial.label].worker)
            lost[0].process.kill()
            lost[0].process.wait()

    left, told = finish(crew, kill)
    assert told == {label: list(range(1, EPOCHS + 1)) for label in expected}
    assert all(same(left[label], released) for label, (_, released) in expected.items())
    (note,) = notes
    assert note.startswith("A worker process ended (signal 9, as when memory runs out); its ")


def test_a_worker_without_trials_takes_over_half_of_what_another_has(crew, expected):
    for of, _ in expected.values():
        crew.admit(of)
    emptied, other = crew.workers
    os.kill(other.process.pid, signal.SIGSTOP)
    leaving = {label for label, member in crew.members.items() if member.worker is emptied}
    while leaving & crew.members.keys():
        for score in crew.train_epoch():
            if score.trial.label in leaving:
                crew.release(score.trial)
    os.kill(other.process.pid, signal.SIGCONT)
    homes = []
    left, told = finish(crew, lambda _: homes.append([member.worker for member in crew.members.values()]))
    assert any(emptied in found and other in found for found in homes)
    assert told.keys() == left.keys() == expected.keys() - leaving
    assert all(epochs[-1] == EPOCHS for epochs in told.values())
    assert all(same(released, expected[label][1]) for label, released in left.items())


def test_what_is_raised_in_a_worker_is_raised_here_with_its_traceback(data):
    with start_workers(2) as workers:
        crew = WorkerPool(workers, SPACE_OF_CREWS, None, replace(data, y=data.y[:1]), rows=4)
        crew.admit(trial("0"))
        with pytest.raises(IndexError) as raised:
            finish(crew)
    (note,) = raised.value.__notes__
    assert note.startswith("In a worker process:\nTraceback")
    assert "hpo/training/stack.py" in note


def test_a_crew_that_is_lost_before_it_began_says_so(data):
    with start_workers(2) as workers:
        for worker in workers:
            worker.process.kill()
            worker.process.wait()
        with pytest.raises(WorkersError, match=r"^The last worker process ended \(signal 9"):
            WorkerPool(workers, SPACE_OF_CREWS, None, data, rows=4)


def test_workers_find_somebodys_factory_where_the_search_found_it(tmp_path):
    (tmp_path / "nets_for_the_workers.py").write_text(
        "from torch import nn\n\n\ndef build(n_inputs, n_outputs, width):\n"
        "    return nn.Sequential(nn.Linear(n_inputs, width), nn.ReLU(), nn.Dropout(), nn.Linear(width, n_outputs))\n"
    )
    network = {"kind": "module", "factory": "nets_for_the_workers:build", "width": 8}
    search = {key: value for key, value in TINY["search"].items() if key != "depth"}
    made = TINY | {"network": network, "search": search, "train": {"epochs": 2, "batch_size": 32}}
    job = jobs.prepare(loader.parse(made), tmp_path)
    trials = [replace(trial(label), params={"learning_rate": 1e-2, "dropout": 0.2}) for label in "01"]
    population = Population.from_space(job.space, job.factory, job.data.as_samples(), rows=2)
    with start_workers(2) as workers:
        crew = WorkerPool(workers, job.space, job.factory, job.data.as_samples(), rows=2)
        for of in trials:
            crew.admit(of)
            population.admit(of)
        left, _ = finish(crew)
    for _ in range(2):
        list(population.train_epoch())
    assert all(same(left[of.label], population.release(of)) for of in trials)


def test_a_factory_that_another_process_cannot_import_is_refused_with_workers(tmp_path):
    made = TINY | {"search": {"learning_rate": TINY["search"]["learning_rate"]}}
    with pytest.raises(InputError, match=r"^workers: another process cannot import .*<lambda>; put it into a module"):
        hpo.search(made | {"network": {}}, store=tmp_path, workers=2, factory=lambda n_inputs: nn.Linear(n_inputs, 3))
    assert not list(tmp_path.iterdir())


# ---- how many


def test_one_worker_is_no_process_at_all():
    with start_workers(1) as workers:
        assert workers == []


def test_less_than_one_worker_is_refused(tmp_path):
    refused = here("search", "--space", write_space(tmp_path / "mlruns"), "--workers", "0")
    assert refused.exit_code == 2
    with pytest.raises(InputError, match=r"^workers must be a whole number from 1 to 256, got 0\.$"):
        hpo.search(TINY, store=tmp_path, workers=0)


@pytest.mark.parametrize("kind", ["greedy", "snapshot"])
def test_an_ensemble_trained_in_workers_is_that_of_one_process(new_store, kind):
    store = new_store()
    hpo.search(TINY, store=store)
    search = completed.load(StudyDirectory(store, "tiny"))
    config, watcher = EnsembleConfig(kind=kind, size=3), Watcher()
    one = add_ensemble.add(search, config, CPU, watcher)
    with start_workers(2) as workers:
        assert add_ensemble.add(search, config, CPU, watcher, workers=workers) == one
