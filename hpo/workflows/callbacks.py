"""The interfaces through which a search reports: to the terminal (`Watcher`) and to MLflow (`RunRecorder`)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Protocol

from hpo.core.trial import Outcome, Score
from hpo.selection.finals import Finals
from hpo.study.study import Study
from hpo.training.experiment import Experiment
from hpo.workflows.stages import Step


class Watcher:
    """Callbacks on the progress of a search. The methods of this class do nothing; the terminal overrides them."""

    def begin(self, experiment: Experiment, study: Study, rows: int, workers: int) -> None:
        """Handle the start of the search, with `rows` networks trained at once in `workers` processes."""

    def begin_step(self, step: Step) -> None:
        """Handle the start of a step of a stage; the step before it has ended."""

    def epoch(self, score: Score) -> None:
        """Handle the end of one epoch of one trial."""

    def note(self, sentence: str) -> None:
        """Handle a message for the user."""

    def selected(self, finals: Finals) -> None:
        """Handle the end of the selection among the finalists."""

    def waiting(self, sentence: str) -> None:
        """Handle the end of a step and a pause, whose reason is `sentence`, until the next step begins."""

    def complete(self) -> None:
        """Handle the successful end of the last step."""

    def end(self) -> None:
        """Handle the end of the search, also after an error."""


class RunRecorder(Protocol):
    """A sink for the outcomes of a search; see `hpo.tracking.recorder.Recorder`."""

    @property
    def ids(self) -> Mapping[str, str]: ...
    def record(self, outcome: Outcome) -> None: ...
    def close(self, status: str, **finish: Any) -> None: ...
    def abandon(self, status: str) -> None: ...


RecorderFactory = Callable[[str, Path, Mapping[str, Any]], RunRecorder]
"""Makes a recorder from the tracking URI, the study directory and the header of the run."""
