"""The display of the stages of a search, on a terminal and elsewhere."""

import io
from types import SimpleNamespace

import numpy as np
import pytest
from rich.console import Console

from hpo.cli import progress
from hpo.cli.display import Display, fill
from hpo.cli.progress import SearchProgress, StepProgress
from hpo.core.trial import Score, Trial
from hpo.core.trial_config import Config
from hpo.core.trial_key import TrialKey
from hpo.space import loader
from hpo.workflows.stages import REPORT_STEP, Stage, Step, search_step
from tests.helpers.searches import TINY

PARAMS = {"learning_rate": 0.01, "depth": 2, "dropout": 0.25, "weight_decay": 0.031}
NAMES = {f"regularizer_with_a_long_name_{i}": 0.5 for i in range(4)}


class Shown:
    """A display that keeps what it shows and prints."""

    def __init__(self, width=80, *, is_terminal=True):
        self.width, self.is_terminal = width, is_terminal
        self.printed, self.shown, self.closed = [], [], False

    def print(self, line):
        self.printed.append(line)

    def print_parts(self, parts):
        self.print(" · ".join(parts))

    def show(self, lines):
        self.shown.append(list(lines))

    def close(self):
        self.closed = True


class StudyOf:
    """The part of a study that the display reads."""

    def __init__(self, params=PARAMS):
        self.counts, self.outcomes = {"complete": 0, "pruned": 0, "failed": 0}, {}
        trial = Trial(TrialKey(47), "search", params, 0)
        self.outcome = SimpleNamespace(valid={"accuracy": 0.981}, value=0.0812, trial=trial)

    def best(self):
        return self.outcome if self.counts["complete"] else None

    def elapsed(self):
        return 0.0


@pytest.fixture(autouse=True)
def clock(monkeypatch):
    """A clock that a test sets: a list whose last element is the time in seconds. The headline is not computed."""
    times = [100.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: times[-1])
    monkeypatch.setattr(progress, "headline", lambda *_: ["wine · 178 rows"])
    return times


def score(label="1", epoch=1, fits=1, stop_reason=""):
    trial = Trial(TrialKey.parse(label), "finalist", Config({}, {}), 0)
    return Score(trial, epoch, {"valid_loss": np.array([1.0] * fits)}, "valid_loss", stop_reason, fits)


def search_progress(display, study=None, workers=1, **changes):
    """Return the progress of a search that has just begun, and its study."""
    study, space = study or StudyOf(), loader.parse(TINY | changes)
    watcher = SearchProgress(display)
    watcher.begin(SimpleNamespace(space=space, data=SimpleNamespace(task="classification")), study, 16, workers)
    watcher.begin_step(search_step(space))
    return watcher, study


def test_the_stages_follow_each_other_with_a_summary_of_each(clock):
    shown = Shown()
    watcher, study = search_progress(shown)
    watcher.epoch(score())
    study.counts |= {"complete": 4, "pruned": 2}
    clock.append(108.4)
    watcher.begin_step(Step(Stage.REEVALUATION, "re-evaluating 3", "re-evaluated 3", {"1-fresh-1": 4}))
    watcher.epoch(score("1-fresh-1"))
    clock.append(240.0)
    watcher.begin_step(REPORT_STEP)
    clock.append(243.0)
    watcher.complete()
    assert shown.printed == [
        "wine · 178 rows",
        "[1/5] searched 6 trials (4 complete, 2 pruned, 0 diverged) in 8.4 s",
        "[2/5] re-evaluated 3 in 2 min 12 s",
        "[5/5] wrote the report in 3.0 s",
    ]


def test_a_step_has_a_bar_its_times_and_its_speed(clock):
    shown = Shown()
    watcher, _ = search_progress(shown)
    watcher.begin_step(Step(Stage.REEVALUATION, "re-evaluating 3", "re-evaluated 3", {"1": 10}))
    assert shown.shown[-1] == ["", "[2/5] re-evaluating 3", "preparing the data and the networks"]
    clock.append(105.0)
    watcher.epoch(score(fits=4))
    assert shown.shown[-1] == [
        "",
        "[2/5] re-evaluating 3",
        "████░░░░░░░░░░░░░░░░░░░░░░░░░░░░░░░░░░░░  10 %  0:05 elapsed · 0:45 left",
        "4 networks in training · 0.8 epochs/s",
    ]


def test_the_last_epoch_of_a_step_is_shown_at_once():
    shown = Shown()
    watcher = StepProgress(shown)
    watcher.begin_step(Step(Stage.FINAL, "training", "trained", {"1": 2}))
    watcher.epoch(score(epoch=1))
    assert len(shown.shown) == 1  # within the interval between two updates
    watcher.epoch(score(epoch=2, stop_reason="trained all epochs"))
    assert "100 %" in shown.shown[-1][2]


def test_the_number_of_a_stage_never_goes_back():
    shown = Shown()
    watcher, _ = search_progress(shown)
    watcher.begin_step(Step(Stage.CONTRIBUTIONS, "measuring", "measured", {"1": 1}))
    watcher.begin_step(Step(Stage.REEVALUATION, "re-evaluating again", "re-evaluated again", {"1": 1}))
    assert shown.shown[-1][1] == "[3/5] re-evaluating again"


def test_steps_with_the_same_name_have_one_summary(clock):
    shown = Shown()
    watcher = StepProgress(shown)
    for number in (1, 2, 3):
        watcher.begin_step(Step(Stage.FINAL, f"training network {number}", "trained the networks", {"1": 1}))
        watcher.epoch(score(stop_reason="trained all epochs"))
        clock.append(clock[-1] + 2)
    watcher.complete()
    watcher.end()
    assert shown.printed == ["trained the networks in 6.0 s"]
    assert shown.closed


def test_a_step_ends_when_something_else_is_waited_for(clock):
    shown = Shown()
    watcher, _ = search_progress(shown)
    watcher.begin_step(Step(Stage.FINAL, "training", "trained", {"1": 1}))
    watcher.epoch(score(stop_reason="trained all epochs"))
    clock.append(101.0)
    watcher.waiting("waiting for MLflow")
    clock.append(109.0)
    watcher.begin_step(REPORT_STEP)
    assert shown.printed[1:] == ["[4/5] trained in 1.0 s"]
    assert shown.shown[-2:] == [["", "[4/5] waiting for MLflow"], ["", "[5/5] writing the report"]]


def test_an_interrupted_step_has_no_summary():
    shown = Shown()
    watcher, _ = search_progress(shown)
    watcher.epoch(score())
    watcher.end()
    assert shown.printed == ["wine · 178 rows"]


def test_a_search_that_an_earlier_session_finished_has_no_summary():
    shown, study = Shown(), StudyOf()
    study.counts["complete"] = 6
    watcher, _ = search_progress(shown, study)
    watcher.begin_step(REPORT_STEP)
    assert shown.printed == ["wine · 178 rows", "resuming after 6 trials"]


@pytest.mark.parametrize(
    ("workers", "sentence"), [(1, "preparing the data and the networks"), (2, "starting 2 workers")]
)
def test_before_the_first_epoch_a_line_says_what_happens(workers, sentence):
    shown = Shown()
    search_progress(shown, workers=workers)
    assert shown.shown[-1] == ["", "[1/5] searching", sentence]


@pytest.mark.parametrize("width", [40, 80, 120])
@pytest.mark.parametrize("params", [PARAMS, PARAMS | NAMES])
def test_nothing_is_cut_within_a_word(clock, width, params):
    shown = Shown(width)
    watcher, study = search_progress(shown, StudyOf(params))
    study.counts |= {"complete": 3, "pruned": 1}
    clock.append(105.0)
    watcher.epoch(score(fits=5))
    lines = shown.shown[-1]
    assert max(map(len, lines)) <= width
    words = " ".join(lines).replace(" ·", "").split()
    for key, value in params.items():
        name = "lr" if key == "learning_rate" else key
        assert f"{name} {value:g}" in " ".join(words)
    assert "4 of 6 trials (3 complete, 1 pruned, 0 diverged)" in " ".join(words)
    assert "best search loss 0.081 (accuracy 0.981), trial 47:" in " ".join(words)


def test_without_a_terminal_a_line_appears_every_few_seconds(clock):
    shown = Shown(is_terminal=False)
    watcher, _ = search_progress(shown)
    for second in range(1, 13):
        clock.append(100.0 + second)
        watcher.epoch(score(epoch=second))
    watcher.begin_step(Step(Stage.FINAL, "training", "trained", {"1": 1}))
    watcher.epoch(score(stop_reason="trained all epochs"))
    assert shown.printed[-1] == "[4/5] training"  # a step that is shorter than the interval has no other line
    first, begin, *lines, _, _ = shown.printed
    assert (first, begin, len(lines)) == ("wine · 178 rows", "[1/5] searching", 2)
    assert lines[0] == (
        "[1/5] searching · 21 % · 0:05 elapsed · 1 network in training · 1 epochs/s · "
        "0 of 6 trials (0 complete, 0 pruned, 0 diverged)"
    )
    assert "0:10 elapsed" in lines[1]


def test_lines_are_broken_between_parts():
    assert fill(["aa bb", "cc", "dd"], 12) == ["aa bb · cc ·", "dd"]
    assert fill(["aa bb", "cc", "dd"], 11) == ["aa bb ·", "cc · dd"]
    assert fill(["aa bb", "cc dd"], 12, indent="  ") == ["  aa bb ·", "  cc dd"]
    assert fill(["one two three"], 9) == ["one two", "three"]
    assert fill([], 9) == []


def test_the_cursor_is_hidden_only_while_something_is_shown():
    console = Console(file=io.StringIO(), force_terminal=True)
    with Display(console) as display:
        assert console.file.getvalue() == ""  # whatever is refused before the training leaves the terminal as it is
        display.show(["networks"])
        display.show(["other networks"])
    assert console.file.getvalue().count("\x1b[?25l") == console.file.getvalue().count("\x1b[?25h") == 1


def test_a_display_without_a_terminal_shows_nothing_and_breaks_no_line():
    console = Console(file=io.StringIO(), width=20)
    display = Display(console)
    display.show(["networks"])
    display.print_parts(["a line that is longer", "than the console"])
    assert console.file.getvalue() == "a line that is longer · than the console\n"


def test_a_quiet_display_writes_nothing():
    console = Console(file=io.StringIO(), force_terminal=True, quiet=True)
    with Display(console) as display:
        display.show(["networks"])
        display.print("a line")
    assert console.file.getvalue() == ""
