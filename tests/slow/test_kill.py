"""A killed search is resumed by the same command; every trial is there once, and ended trials are unchanged."""

import json
import re
import signal
import time
from dataclasses import replace
from random import Random
from types import SimpleNamespace

import pytest
from mlflow import MlflowClient

from hpo.core.errors import StoreError
from hpo.core.metrics import METRICS
from hpo.core.trial import Outcome
from hpo.core.trial_key import TrialKey
from hpo.data.dataset import prepare
from hpo.space import loader
from hpo.study.directory import StudyDirectory
from hpo.study.ranking import best
from hpo.study.storage import read_attrs
from hpo.study.study import Study
from tests.helpers.kills import KILLED_SPACE, TIME_KEYS, TRIALS, count_ended, journal_bytes
from tests.helpers.mlflow_runs import STATUS, child_runs
from tests.helpers.searches import PATIENCE, here, hpo, launched, outcomes, wait_for, write_space

EARLY = 2  # kills within the first second
LATE = 1  # kills while trials train
# Then a kill in each phase after the search: the entry of the journal that shows that the phase has begun.
PHASES = {
    "finals": rb'"start_round:[a-z0-9]+-fresh-1"',
    "ablation": rb'"start_round:ablation-',
    "refit": rb'"start_round:[^"]*-scaled-',
}


@pytest.fixture(scope="module")
def undisturbed(new_store):
    """The uninterrupted search."""
    store = new_store()
    space = write_space(store, **KILLED_SPACE)
    ran = here("search", "--space", space, "--store", store, "--json")
    return SimpleNamespace(store=store, space=space, result=json.loads(ran.stdout), known=outcomes(store))


def interrupt(store, space, how: signal.Signals, moment) -> tuple[int, str]:
    """Start the search and send a signal when `moment()` returns; return the exit code and the output."""
    with launched("search", "--space", space, "--store", store) as search:
        moment()
        search.send_signal(how)
        _, err = search.communicate(timeout=PATIENCE)
        return search.returncode, err


@pytest.fixture(scope="module")
def disturbed(new_store):
    """The search, killed repeatedly, interrupted with Ctrl-C, killed in each phase after its trials, and left to
    finish.

    `snapshots` holds the outcomes stored at each kill.
    """
    store, random, snapshots = new_store(), Random(0), []
    (store / "mlflow.db").unlink()
    (store / "mlflow.new").write_bytes(b"SQLite format 3\0, but killed while it was created")
    space = write_space(store, **KILLED_SPACE)
    for _ in range(EARLY):
        delay = random.uniform(0.02, 1)
        assert interrupt(store, space, signal.SIGKILL, lambda delay=delay: time.sleep(delay))[0] == -signal.SIGKILL
    for _ in range(LATE):
        target, delay = count_ended(store) + random.randint(1, 3), random.uniform(0, 0.02)

        def moment(target=target, delay=delay):
            wait_for(lambda: count_ended(store) >= target)
            time.sleep(delay)

        assert interrupt(store, space, signal.SIGKILL, moment)[0] == -signal.SIGKILL
        snapshots.append(outcomes(store))
    with StudyDirectory(store, "tiny").journal.open("ab") as journal:
        journal.write(b'{"op_code":2,"worker_id":"a-1","study_id":0,"user_attr":{"resu')
    target = count_ended(store) + 1
    stopped = interrupt(store, space, signal.SIGINT, lambda: wait_for(lambda: count_ended(store) >= target))
    snapshots.append(outcomes(store))
    parent = StudyDirectory(store, "tiny").mlflow()
    client = MlflowClient(parent["tracking_uri"])
    status = client.get_run(parent["run_id"]).info.status
    phases = {}
    for phase, begins in PHASES.items():
        code, _ = interrupt(
            store,
            space,
            signal.SIGKILL,
            lambda begins=begins: wait_for(lambda: re.search(begins, journal_bytes(store))),
        )
        assert code == -signal.SIGKILL
        phases[phase] = outcomes(store)
    snapshots += phases.values()
    last = hpo("search", "--space", space, "--store", store, "--json")
    assert last.returncode == 0, last.stderr
    return SimpleNamespace(
        store=store,
        snapshots=snapshots,
        phases=phases,
        stopped=stopped,
        status=status,
        last=last,
        known=outcomes(store),
        result=json.loads(last.stdout),
        client=client,
        run_id=parent["run_id"],
    )


def test_the_kills_interrupt_running_trials(disturbed):
    sizes = [len(snapshot) for snapshot in disturbed.snapshots[: -len(PHASES)]]
    assert sizes == sorted(set(sizes))
    assert 0 < sizes[0] < sizes[-1] < TRIALS


def test_the_kills_interrupt_every_phase_after_the_search(disturbed):
    """Each kill came before the next phase had ended, and none after the last phase."""
    found = [{o["trial"]["role"] for o in known.values()} for known in disturbed.phases.values()]
    after = {
        "finals": {"ablation", "refit"},
        "ablation": {"refit"},
        "refit": set(),
    }
    assert [roles & after[phase] for phase, roles in zip(PHASES, found, strict=True)] == [set()] * 3
    assert all(len(known) < len(disturbed.known) for known in list(disturbed.phases.values())[:2])
    assert "refit" in {o["trial"]["role"] for o in disturbed.known.values()}


def test_outcomes_stored_before_a_kill_never_change(disturbed):
    for snapshot in disturbed.snapshots:
        assert {label: disturbed.known[label] for label in snapshot} == snapshot


def test_every_trial_is_stored_once_in_the_study_and_in_mlflow(disturbed):
    assert sum(disturbed.result["trials"].values()) == TRIALS
    numbers = [int(label) for label in disturbed.known if label.isdigit()]
    assert sorted(numbers) == list(range(TRIALS - 2))
    runs = child_runs(disturbed.client, disturbed.run_id)
    assert {label: run.info.status for label, run in runs.items()} == {
        label: STATUS[o["state"]] for label, o in disturbed.known.items()
    }
    assert disturbed.client.get_run(disturbed.run_id).info.status == "FINISHED"
    searches = [run for run in disturbed.client.search_runs(["1"]) if run.data.tags["hpo.role"] == "study"]
    assert [run.info.run_id for run in searches] == [disturbed.run_id]
    assert searches[0].data.params["search.depth.high"] == "2"
    assert "space.yaml" in {artifact.path for artifact in disturbed.client.list_artifacts(disturbed.run_id)}


def test_trials_and_result_equal_an_uninterrupted_search_bit_for_bit(disturbed, undisturbed):
    def timeless(known):
        """Remove the times, and the rounds of trials after the search, which may begin in another round."""
        late = {label for label, o in known.items() if o["trial"]["role"] not in ("search", "baseline")}
        return {
            label: {k: v for k, v in o.items() if k not in TIME_KEYS and not (k == "rounds" and label in late)}
            for label, o in known.items()
        }

    assert timeless(disturbed.known) == timeless(undisturbed.known)
    differing = {"run_id", "seconds", "startup_seconds", "report_seconds", "tracking_uri", "experiment_id"}
    assert {k: v for k, v in disturbed.result.items() if k not in differing} == {
        k: v for k, v in undisturbed.result.items() if k not in differing
    }


def test_ties_are_broken_independently_of_the_order(undisturbed):
    """Otherwise, a reopened study would select other finalists."""
    found = [Outcome.from_json(o) for o in undisturbed.known.values() if o["trial"]["role"] == "search"]
    first = max(found, key=lambda o: o.value)
    found.append(replace(first, trial=replace(first.trial, key=TrialKey(77))))
    shuffled = [Random(seed).sample(found, len(found)) for seed in range(20)]
    assert len({best(order, METRICS["accuracy"]).trial.label for order in shuffled}) == 1


def test_ctrl_c_ends_with_a_message_and_a_killed_run(disturbed):
    code, err = disturbed.stopped
    assert code == 130
    assert err.splitlines()[-1] == "Stopped. Finished trials are stored; the same command resumes the search."
    assert "Traceback" not in err
    assert disturbed.status == "KILLED"


def test_a_truncated_journal_is_read_as_a_shorter_one(undisturbed, tmp_path):
    """The study opens after any partial write; a trial has its whole history or none."""
    space = loader.load(undisturbed.space)
    fingerprint = prepare(space.data, tmp_path).fingerprint
    whole = StudyDirectory(undisturbed.store, "tiny").journal.read_bytes()
    torn = tmp_path / "journal.log"
    begun = set()
    for length in sorted(Random(0).sample(range(len(whole)), 60)):
        torn.write_bytes(whole[:length])
        known = {o["trial"]["label"]: o for o in read_attrs(torn).get("outcomes", [])}
        assert known.items() <= undisturbed.known.items()
        study = Study(space, torn, fingerprint)
        assert study.outcomes.keys() == known.keys()
        running = [t for t in study.in_memory.trials() if str(t.number) not in known]
        begun |= {t.number for t in running}
        assert not any(t.intermediate_values or "outcome" in t.user_attrs for t in running)
        study.close()
    assert len(begun) > TRIALS / 2  # or the cuts hit nothing


def test_a_journal_damaged_in_the_middle_is_refused(undisturbed, tmp_path):
    lines = StudyDirectory(undisturbed.store, "tiny").journal.read_bytes().splitlines(keepends=True)
    lines[4] = b"\0" * 9 + b"\n"
    (tmp_path / "journal.log").write_bytes(b"".join(lines))
    with pytest.raises(StoreError, match=r"journal.log is damaged in line 5; restore a copy, or remove the study\."):
        read_attrs(tmp_path / "journal.log")
