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
from hpo.regularizers.configs import make_config
from hpo.space import loader
from hpo.space.settings import EnsembleConfig
from hpo.study.directory import StudyDirectory
from hpo.testing import same
from hpo.training.population import Population
from hpo.training.worker import start_workers
from hpo.training.worker_pool import WorkerPool
from hpo.workflows import add_ensemble, completed
from hpo.workflows.callbacks import Watcher
from hpo.workflows.prepare import prepare as prepare_experiment
from tests.helpers.kills import KILLED_SPACE as KILLED
from tests.helpers.kills import TIME_KEYS, TRIALS, count_ended
from tests.helpers.searches import PATIENCE, TINY, here, launched, outcomes, processes, wait_for, write_space

# Proposals depend on the number of the trial only, not on the order in which trials end.
SPACE = KILLED | {"sampler": "random", "pruner": "none"}
EPOCHS = 3
POOL_SPACE = loader.parse(TINY | {"train": {"epochs": EPOCHS, "patience": EPOCHS, "batch_size": 32}})


def trial(label: str, **params: float) -> Trial:
    return Trial(
        TrialKey.parse(label),
        "search",
        make_config({"learning_rate": 1e-2, "depth": 2, "weight_decay": 0.1, "dropout": 0.2, **params}),
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


@pytest.mark.exhaustive
def test_two_workers_equal_one_process_despite_kills_and_interruptions(alone, disturbed):
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
        "slots",
    ):
        assert disturbed.result[key] == alone.result[key]


@pytest.mark.exhaustive
def test_workers_end_with_their_search(disturbed):
    for pids in disturbed.workers.values():
        wait_for(lambda pids=pids: not any(map(running, pids)))


@pytest.mark.exhaustive
def test_a_lost_worker_is_noted_and_losing_all_ends_with_the_command_to_resume(disturbed):
    lost = disturbed.told["lost"]
    assert lost.code == 1
    assert "Traceback" not in lost.err
    first, last = [line for line in lost.err.splitlines() if "worker process" in line]
    assert first.startswith("note: A worker process ended (signal 9")
    assert last.startswith("The last worker process ended (signal 9")


@pytest.mark.exhaustive
def test_ctrl_c_ends_a_search_with_workers(disturbed):
    assert disturbed.told["interrupted"].code == 130
    assert "Traceback" not in disturbed.told["interrupted"].err


@pytest.mark.exhaustive
def test_the_headline_names_the_number_of_workers(disturbed):
    assert "random, no pruning · 10 trials at once in 2 workers" in disturbed.told["killed"].err


def test_more_workers_than_cores_are_noted(tmp_path):
    experiment = prepare_experiment(POOL_SPACE, tmp_path)
    assert "note: 500 workers share" in "\n".join(headline(experiment, 500, 500))
    assert "note:" not in "\n".join(headline(experiment, 500, 1))


# ---- the pool, epoch by epoch


@pytest.fixture(scope="module")
def data():
    return prepare(POOL_SPACE.data, Path()).as_samples()


@pytest.fixture
def notes():
    return []


@pytest.fixture
def pool(data, notes):
    with start_workers(2) as workers:
        yield WorkerPool(workers, POOL_SPACE, None, data, rows=4, note=notes.append)


@pytest.fixture(scope="module")
def expected(data):
    """The trained trials of a single population."""
    population = Population.from_space(POOL_SPACE, None, data, rows=4)
    trials = [trial(str(i), depth=1 + i % 2) for i in range(4)]
    for of in trials:
        population.admit(of)
    for _ in range(EPOCHS):
        list(population.train_epoch())
    return {of.label: (of, population.release(of)) for of in trials}


def finish(pool, meanwhile=lambda _: None):
    """Train until every trial has ended; return the trained trials and the reported epochs, by label."""
    left, told = {}, {}
    while pool.members:
        for score in pool.train_epoch():
            told.setdefault(score.trial.label, []).append(score.epoch)
            meanwhile(score)
            if score.stop_reason:
                left[score.trial.label] = pool.release(score.trial)
    return left, told


def test_a_pool_has_room_for_its_rows_and_spreads_its_trials_evenly(pool, expected):
    for of, _ in expected.values():
        assert pool.has_room()
        pool.admit(of)
    assert not pool.has_room()
    homes = [member.worker for member in pool.members.values()]
    assert sorted(map(homes.count, set(homes))) == [2, 2]


@pytest.mark.exhaustive
def test_workers_do_not_wait_for_each_other(pool, expected):
    """While one worker is blocked, the trials of the other worker end."""
    for of, _ in expected.values():
        pool.admit(of)
    held, _ = pool.workers
    os.kill(held.process.pid, signal.SIGSTOP)
    there = [label for label, member in pool.members.items() if member.worker is not held]
    left = []
    while len(left) < len(there):
        for score in pool.train_epoch():
            if score.stop_reason:
                pool.release(score.trial)
                left.append(score.trial.label)
    assert sorted(left) == sorted(there)
    os.kill(held.process.pid, signal.SIGCONT)
    assert finish(pool)[1].keys() == expected.keys() - set(there)


@pytest.mark.parametrize("epoch", [1, EPOCHS])
def test_trials_of_a_lost_worker_are_trained_again_and_reported_once(pool, expected, notes, epoch):
    """Also the trial that is about to be released."""
    for of, _ in expected.values():
        pool.admit(of)
    lost = []

    def kill(score):
        if not lost and score.epoch == epoch:
            lost.append(pool.members[score.trial.label].worker)
            lost[0].process.kill()
            lost[0].process.wait()

    left, told = finish(pool, kill)
    assert told == {label: list(range(1, EPOCHS + 1)) for label in expected}
    assert all(same(left[label], released) for label, (_, released) in expected.items())
    (note,) = notes
    assert note.startswith("A worker process ended (signal 9, as when memory runs out); its ")


@pytest.mark.exhaustive
def test_an_idle_worker_takes_over_half_of_the_trials_of_another(pool, expected):
    for of, _ in expected.values():
        pool.admit(of)
    emptied, other = pool.workers
    os.kill(other.process.pid, signal.SIGSTOP)
    leaving = {label for label, member in pool.members.items() if member.worker is emptied}
    while leaving & pool.members.keys():
        for score in pool.train_epoch():
            if score.trial.label in leaving:
                pool.release(score.trial)
    os.kill(other.process.pid, signal.SIGCONT)
    homes = []
    left, told = finish(pool, lambda _: homes.append([member.worker for member in pool.members.values()]))
    assert any(emptied in found and other in found for found in homes)
    assert told.keys() == left.keys() == expected.keys() - leaving
    assert all(epochs[-1] == EPOCHS for epochs in told.values())
    assert all(same(released, expected[label][1]) for label, released in left.items())


def test_the_logits_of_finalists_survive_a_lost_worker(data, notes):
    """It is killed in its second epoch, and the other worker trains its trials again."""
    trials = [replace(trial(str(i)), role="finalist") for i in range(4)]
    alone = Population.from_space(POOL_SPACE, None, data, rows=4)
    expected = {of.label: alone.train_alone(of, EPOCHS) for of in trials}
    with start_workers(2) as workers:
        pool = WorkerPool(workers, POOL_SPACE, None, data, rows=4, note=notes.append)
        for of in trials:
            pool.admit(of)

        def kill(score):
            if score.epoch == 2 and len(pool.workers) == 2:
                worker = pool.members[score.trial.label].worker
                worker.process.kill()
                worker.process.wait()

        left, _ = finish(pool, kill)
    assert len(notes) == 1  # a worker has ended
    for label, trained in expected.items():
        assert [len(kept) for kept in left[label].valid_logits] == [EPOCHS] * len(data.folds)
        assert all(a.equal(b) for a, b in zip(left[label].valid_logits, trained.valid_logits, strict=True))


def test_exceptions_of_a_worker_are_raised_with_their_traceback(data):
    with start_workers(2) as workers:
        pool = WorkerPool(workers, POOL_SPACE, None, replace(data, y=data.y[:1]), rows=4)
        pool.admit(trial("0"))
        with pytest.raises(IndexError) as raised:
            finish(pool)
    (note,) = raised.value.__notes__
    assert note.startswith("In a worker process:\nTraceback")
    assert "hpo/training/stack.py" in note


def test_workers_lost_before_the_start_are_reported(data):
    with start_workers(2) as workers:
        for worker in workers:
            worker.process.kill()
            worker.process.wait()
        with pytest.raises(WorkersError, match=r"^The last worker process ended \(signal 9"):
            WorkerPool(workers, POOL_SPACE, None, data, rows=4)


def test_workers_import_a_users_factory_from_the_same_folder(tmp_path):
    (tmp_path / "nets_for_the_workers.py").write_text(
        "from torch import nn\n\n\ndef build(n_inputs, n_outputs, width):\n"
        "    return nn.Sequential(nn.Linear(n_inputs, width), nn.ReLU(), nn.Dropout(), nn.Linear(width, n_outputs))\n"
    )
    network = {"kind": "module", "factory": "nets_for_the_workers:build", "width": 8}
    search = {key: value for key, value in TINY["search"].items() if key != "depth"}
    made = TINY | {"network": network, "search": search, "train": {"epochs": 2, "batch_size": 32}}
    experiment = prepare_experiment(loader.parse(made), tmp_path)
    trials = [replace(trial(label), params=make_config({"learning_rate": 1e-2, "dropout": 0.2})) for label in "01"]
    population = Population.from_space(experiment.space, experiment.factory, experiment.data.as_samples(), rows=2)
    with start_workers(2) as workers:
        pool = WorkerPool(workers, experiment.space, experiment.factory, experiment.data.as_samples(), rows=2)
        for of in trials:
            pool.admit(of)
            population.admit(of)
        left, _ = finish(pool)
    for _ in range(2):
        list(population.train_epoch())
    assert all(same(left[of.label], population.release(of)) for of in trials)


def test_a_factory_that_another_process_cannot_import_is_refused_with_workers(tmp_path):
    made = TINY | {"search": {"learning_rate": TINY["search"]["learning_rate"]}}
    with pytest.raises(InputError, match=r"^workers: another process cannot import .*<lambda>; put it into a module"):
        hpo.search(made | {"network": {}}, store=tmp_path, workers=2, factory=lambda n_inputs: nn.Linear(n_inputs, 3))
    assert not list(tmp_path.iterdir())


# ---- how many


def test_one_worker_starts_no_process():
    with start_workers(1) as workers:
        assert workers == []


def test_less_than_one_worker_is_refused(tmp_path):
    refused = here("search", "--space", write_space(tmp_path / "mlruns"), "--workers", "0")
    assert refused.exit_code == 2
    with pytest.raises(InputError, match=r"^workers must be a whole number from 1 to 256, got 0\.$"):
        hpo.search(TINY, store=tmp_path, workers=0)


@pytest.mark.exhaustive
@pytest.mark.parametrize("kind", ["greedy", "snapshot"])
def test_an_ensemble_trained_in_workers_equals_that_of_one_process(new_store, kind):
    store = new_store()
    hpo.search(TINY, store=store)
    search = completed.load(StudyDirectory(store, "tiny"))
    config, watcher = EnsembleConfig(kind=kind, size=3), Watcher()
    one = add_ensemble.add(search, config, CPU, watcher)
    with start_workers(2) as workers:
        assert add_ensemble.add(search, config, CPU, watcher, workers=workers) == one
