"""The sending end of what MLflow is told, at a writer that is none: how it ends when its last answer does not come."""

import io
import json

import pytest

from hpo.core.errors import StoreError
from hpo.tracking.recorder import Recorder

IDS = {"experiment_id": "1", "run_id": "a"}


class Writer:
    """Stands for the process that writes to MLflow: it says what it was given to say, and reads on."""

    def __init__(self, *said):
        self.stdin, self.stdout = io.StringIO(), io.StringIO("".join(json.dumps(one) + "\n" for one in said))

    def poll(self): ...
    def wait(self): ...


@pytest.fixture
def recorder(tmp_path, monkeypatch):
    """Makes a recorder at a writer that gives these answers."""

    def make(*said):
        monkeypatch.setattr("hpo.tracking.recorder.subprocess.Popen", lambda *_, **__: Writer(*said))
        return Recorder("sqlite:///none.db", tmp_path, {})

    return make


def test_a_writer_that_fails_at_the_end_leaves_its_sentence_and_no_other_mistake(recorder):
    ending = recorder(IDS, {"error": "disk full"})
    with pytest.raises(StoreError, match=r"^MLflow at sqlite:///none.db was lost: disk full\."):
        ending.close("FINISHED")
    ending.abandon("FAILED")


def test_ctrl_c_while_the_writer_ends_leaves_no_other_mistake(recorder, monkeypatch):
    ending = recorder(IDS, {"done": "yes"})
    assert ending.ids == IDS

    def interrupted():
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(ending, "_reply", interrupted)
        with pytest.raises(KeyboardInterrupt):
            ending.close("FINISHED")
    ending.abandon("KILLED")


def test_after_any_other_failure_the_run_gets_its_status(recorder):
    ending = recorder(IDS, {"done": "yes"})
    sent = []
    ending._send = sent.append
    ending.abandon("KILLED")
    assert [(one["do"], one["status"]) for one in sent] == [("finish", "KILLED")]
