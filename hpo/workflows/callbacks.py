"""The interfaces through which a search reports: to the terminal (`Watcher`) and to MLflow (`RunRecorder`)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Protocol

from hpo.core.trial import Outcome, Score
from hpo.selection.finals import Finals
from hpo.study.study import Study
from hpo.training.experiment import Experiment


def reevaluation_method(new_splits: bool) -> str:
    """Return how a re-evaluation differs from the search, as the end of a sentence."""
    return "on new splits and seeds" if new_splits else "with new seeds"


class Watcher:
    """Callbacks on the progress of a search. The methods of this class do nothing; the terminal overrides them."""

    def begin(self, experiment: Experiment, study: Study, rows: int, workers: int) -> None:
        """Handle the start of the search, with `rows` networks trained at once in `workers` processes."""

    def phase(self, sentence: str, trials: int) -> None:
        """Handle the start of a training phase after the search: `trials` trials, described by `sentence`."""

    def epoch(self, score: Score) -> None:
        """Handle the end of one epoch of one trial."""

    def note(self, sentence: str) -> None:
        """Handle a message for the user."""

    def selected(self, finals: Finals) -> None:
        """Handle the end of the selection among the finalists."""

    def end(self) -> None:
        """Handle the end of all training, also after an error."""


class RunRecorder(Protocol):
    """A sink for the outcomes of a search; see `hpo.tracking.recorder.Recorder`."""

    @property
    def ids(self) -> Mapping[str, str]: ...
    def record(self, outcome: Outcome) -> None: ...
    def close(self, status: str, **finish: Any) -> None: ...
    def abandon(self, status: str) -> None: ...


RecorderFactory = Callable[[str, Path, Mapping[str, Any]], RunRecorder]
"""Makes a recorder from the tracking URI, the study directory and the header of the run."""
