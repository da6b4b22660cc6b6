"""The recorder with a replaced writer process: how it ends when the last answer is missing."""

import json
import threading

import pytest

from hpo.core.errors import StoreError
from hpo.tracking.recorder import Recorder, message
from tests.helpers.reports import outcome

IDS = {"experiment_id": "1", "run_id": "a"}


class Messages:
    """The pipe to the writer: keeps every message."""

    def __init__(self):
        self.received, self.closed = [], threading.Event()

    def write(self, line):
        self.received.append(json.loads(line))

    def flush(self): ...
    def close(self):
        self.closed.set()


class Answers:
    """The pipe from the writer: gives the prepared answers, and raises those that are exceptions."""

    def __init__(self, answers):
        self.left = list(answers)

    def readline(self):
        answer = self.left.pop(0) if self.left else None
        if isinstance(answer, type):
            raise answer
        return "" if answer is None else json.dumps(answer) + "\n"

    def close(self): ...


class Writer:
    """Replaces the process that writes to MLflow."""

    def __init__(self, answers):
        self.stdin, self.stdout = Messages(), Answers(answers)

    def poll(self): ...
    def wait(self):
        assert self.stdin.closed.wait(60)


@pytest.fixture
def writers():
    """The replaced processes, in the order in which they were started."""
    return []


@pytest.fixture
def recorder(tmp_path, monkeypatch, writers):
    """Returns a function that makes a recorder whose writer gives these answers."""

    def make(*answers):
        def start(*_, **__):
            writers.append(Writer(answers))
            return writers[-1]

        monkeypatch.setattr("hpo.tracking.recorder.subprocess.Popen", start)
        return Recorder("sqlite:///none.db", tmp_path, {})

    return make


def test_a_writer_that_fails_on_close_raises_a_single_error(recorder):
    ending = recorder(IDS, {"error": "disk full"})
    with pytest.raises(StoreError, match=r"^MLflow at sqlite:///none.db failed: disk full\."):
        ending.close("FINISHED")
    ending.abandon("FAILED")


def test_ctrl_c_on_close_raises_no_other_error(recorder):
    ending = recorder(IDS, KeyboardInterrupt, {"done": "yes"})
    assert ending.ids == IDS
    with pytest.raises(KeyboardInterrupt):
        ending.close("FINISHED")
    ending.abandon("KILLED")


def test_after_any_other_failure_the_run_gets_its_status(recorder, writers):
    recorder(IDS, {"done": "yes"}).abandon("KILLED")
    begun, *sent = writers[0].stdin.received
    assert begun["do"] == "open"
    assert [(message["do"], message["status"]) for message in sent] == [("finish", "KILLED")]


@pytest.mark.parametrize(
    ("label", "role", "name"),
    [
        ("7", "search", "trial 7"),
        ("ablation-7", "ablation", "trial 7 without regularization"),
        ("without-weight_decay-7", "ablation", "trial 7 without weight decay"),
        ("7-fresh-1", "finalist", "7-fresh-1"),
    ],
)
def test_the_run_of_a_searched_trial_is_named_in_words(label, role, name):
    assert message(outcome(label, 0.1, 0.0, role=role))["name"] == name
