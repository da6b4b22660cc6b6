"""Progress in the terminal."""

from __future__ import annotations

import time

from rich.console import Console
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from hpo.cli.messages import beside, headline
from hpo.core.trial import Score
from hpo.space.formatting import clock, in_a_line, score, trial_name
from hpo.study.study import Study
from hpo.training.experiment import Experiment
from hpo.workflows.search import Watcher

_REDRAW = 0.25  # seconds
_EVERY = 5.0  # seconds between plain lines, where there is no terminal


class Counting(Watcher):
    """What is being trained, and how far it has come: in one line that stays in place on a terminal, elsewhere in one now and then."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._said, self._sentence = time.monotonic(), ""
        self._epochs, self._ended, self._trials = 0, 0, 0
        self._live = Live(console=console, auto_refresh=False, transient=True) if console.is_terminal else None

    def phase(self, sentence: str, trials: int) -> None:
        if self._live:
            self._live.start()  # not before there is something to train: it hides the cursor until the end
        self._sentence, self._ended, self._trials, self._said = sentence, 0, trials, 0.0

    def epoch(self, score: Score) -> None:
        self._epochs += 1
        self._ended += bool(score.stop_reason or not score.finite)
        if time.monotonic() - self._said < (_REDRAW if self._live else _EVERY):
            return
        self._said = time.monotonic()
        done = f" ({self._ended} of {self._trials} done)" if self._trials > 1 else ""
        line = f"training {self._sentence}{done} · {self._epochs:,} trial-epochs"
        if self._live:
            self._live.update(Text(line, overflow="ellipsis", no_wrap=True), refresh=True)
        else:
            self._console.print(line, highlight=False, soft_wrap=True)

    def end(self) -> None:
        if self._live:
            self._live.stop()


class Progress(Watcher):
    """Four lines that stay in place on a terminal; elsewhere one plain line every few seconds."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._live: Live | None = None
        self._said = time.monotonic()

    def begin(self, job: Experiment, study: Study, rows: int, workers: int) -> None:
        self._job, self._space, self._study = job, job.space, study
        self._began, self._epochs, self._after = time.monotonic(), 0, ""
        self._already = self._done()
        for line in headline(job, rows, workers):
            self._console.print(line, highlight=False, soft_wrap=True)
        if self._already:
            self._console.print(f"going on after {self._already} trials", highlight=False)
        if self._console.is_terminal:
            # Drawn by the loop: a thread that draws takes turns with the training, a hundredth of all time.
            self._live = Live(console=self._console, auto_refresh=False, transient=True)
            self._live.start()

    def phase(self, sentence: str, trials: int) -> None:
        self._after = f"{sentence} ({trials} to train)" if trials > 1 else sentence
        self._said = 0.0

    def epoch(self, of: Score) -> None:
        del of
        self._epochs += 1
        if self._live:
            if time.monotonic() - self._said > _REDRAW:
                self._said = time.monotonic()
                self._live.update(self._table(), refresh=True)
        elif time.monotonic() - self._said > _EVERY:
            self._said = time.monotonic()
            self._console.print(
                " · ".join(" ".join(line.split()) for line in self._lines()), highlight=False, soft_wrap=True
            )

    def note(self, sentence: str) -> None:
        self._console.print(f"note: {sentence}", highlight=False, soft_wrap=True)

    def end(self) -> None:
        if self._live:
            self._live.stop()
            self._live = None

    def _done(self) -> int:
        return sum(self._study.counts.values())

    def _lines(self) -> list[str]:
        done, states = self._done(), self._study.counts
        budget = self._space.budget
        elapsed = time.monotonic() - self._began
        shown = f"{done}/{budget.trials}" if budget.trials else f"{done}"
        left = self._seconds_left(done, elapsed)
        times = f"{clock(elapsed)} elapsed" + (f" · {clock(left)} left" if left is not None else "")
        rows = (
            f"{self._study.in_flight()} in flight · {states['complete']} finished · {states['pruned']} pruned · "
            f"{states['failed']} diverged · {self._epochs / max(elapsed, 1e-9):,.0f} trial-epochs/s"
        )
        best = self._study.best()
        if self._after:
            times = f"{clock(elapsed)} elapsed · {self._after}"
        lines = [f"trials  {shown}  {times}", f"rows    {rows}"]
        if best:
            metric = self._space.train.metric
            lines.append(
                f"best    valid {metric} {score(best.value)}{beside(best.valid, self._job.data.task, metric)}, "
                f"{trial_name(best.trial.label)}:  {in_a_line(best.trial.params)}"
            )
        return lines

    def _seconds_left(self, done: int, elapsed: float) -> float | None:
        """By the pace so far, or the end of the time budget if that is nearer."""
        budget = self._space.budget
        limits = []
        ended = done - self._already + self._study.in_flight() / 2  # those in training are half done, on average
        if budget.trials and done > self._already:
            limits.append(elapsed / ended * (budget.trials - self._already - ended))
        if budget.seconds:
            limits.append(budget.seconds - self._study.elapsed())
        return max(min(limits), 0.0) if limits else None

    def _table(self) -> Table:
        lines = self._lines()
        table = Table.grid(padding=(0, 0))
        share = self._done() / (self._space.budget.trials or 1)
        if self._space.budget.seconds:
            share = max(share if self._space.budget.trials else 0, self._study.elapsed() / self._space.budget.seconds)
        table.add_row("")
        table.add_row(ProgressBar(total=1.0, completed=min(share, 1.0), width=40))
        for line in lines:
            table.add_row(Text(" " + line, overflow="ellipsis", no_wrap=True))
        return table
