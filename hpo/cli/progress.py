"""Progress display in the terminal."""

from __future__ import annotations

import time

from rich.console import Console
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from hpo.cli.messages import displayed_score, headline
from hpo.core.trial import Score
from hpo.space.formatting import config_line, format_minutes, format_score, trial_name
from hpo.study.study import Study
from hpo.training.experiment import Experiment
from hpo.workflows.callbacks import Watcher

_REFRESH = 0.25  # seconds between updates on a terminal
_LINE_INTERVAL = 5.0  # seconds between lines without a terminal


class PhaseProgress(Watcher):
    """The progress of a phase: one line that stays in place on a terminal, otherwise one every few seconds."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._last_update, self._sentence = time.monotonic(), ""
        self._epochs, self._ended, self._trials = 0, 0, 0
        self._live = Live(console=console, auto_refresh=False, transient=True) if console.is_terminal else None

    def phase(self, sentence: str, trials: int) -> None:
        if self._live:
            self._live.start()  # not earlier, because it hides the cursor
        self._sentence, self._ended, self._trials, self._last_update = sentence, 0, trials, 0.0

    def epoch(self, score: Score) -> None:
        self._epochs += 1
        self._ended += bool(score.stop_reason or not score.finite)
        if time.monotonic() - self._last_update < (_REFRESH if self._live else _LINE_INTERVAL):
            return
        self._last_update = time.monotonic()
        done = f" ({self._ended} of {self._trials} done)" if self._trials > 1 else ""
        line = f"{self._sentence}{done} · {self._epochs:,} trial-epoch{'' if self._epochs == 1 else 's'}"
        if self._live:
            self._live.update(Text(line, overflow="ellipsis", no_wrap=True), refresh=True)
        else:
            _print(self._console, line)

    def note(self, sentence: str) -> None:
        _print(self._console, f"note: {sentence}")

    def end(self) -> None:
        if self._live:
            self._live.stop()


class SearchProgress(Watcher):
    """The progress of a search: four lines that stay in place on a terminal, otherwise one every few seconds."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._live: Live | None = None
        self._last_update = time.monotonic()

    def begin(self, experiment: Experiment, study: Study, rows: int, workers: int) -> None:
        self._experiment, self._space, self._study = experiment, experiment.space, study
        self._started, self._epochs, self._phase = time.monotonic(), 0, ""
        self._done_before = self._done()
        for line in headline(experiment, rows, workers):
            _print(self._console, line)
        if self._done_before:
            trials = "trial" if self._done_before == 1 else "trials"
            _print(self._console, f"resuming after {self._done_before} {trials}")
        if self._console.is_terminal:
            # The training loop refreshes it: a refresh thread would compete with training and take 1 % of the time.
            self._live = Live(console=self._console, auto_refresh=False, transient=True)
            self._live.start()

    def phase(self, sentence: str, trials: int) -> None:
        del trials
        self._phase = sentence
        self._last_update = 0.0

    def epoch(self, score: Score) -> None:
        del score
        self._epochs += 1
        elapsed = time.monotonic() - self._last_update
        if self._live and elapsed > _REFRESH:
            self._last_update = time.monotonic()
            self._live.update(self._table(), refresh=True)
        elif not self._live and elapsed > _LINE_INTERVAL:
            self._last_update = time.monotonic()
            _print(self._console, " · ".join(" ".join(line.split()) for line in self._lines()))

    def note(self, sentence: str) -> None:
        _print(self._console, f"note: {sentence}")

    def end(self) -> None:
        if self._live:
            self._live.stop()
            self._live = None

    def _done(self) -> int:
        return sum(self._study.counts.values())

    def _lines(self) -> list[str]:
        done, states, budget = self._done(), self._study.counts, self._space.budget
        elapsed = time.monotonic() - self._started
        speed = self._epochs / max(elapsed, 1e-9)
        count = f"{done}/{budget.trials}" if budget.trials else f"{done}"
        left = self._seconds_left(done, elapsed)
        times = f"{format_minutes(elapsed)} elapsed" + (f" · {format_minutes(left)} left" if left is not None else "")
        if self._phase:
            times = f"{format_minutes(elapsed)} elapsed · {self._phase}"
        lines = [
            f"trials  {count}  {times}",
            f"state   {self._study.in_flight()} training · {states['complete']} complete · "
            f"{states['pruned']} pruned · {states['failed']} diverged · {speed:,.0f} trial-epochs/s",
        ]
        if best := self._study.best():
            metric = self._space.train.metric
            displayed = displayed_score(best.valid, self._experiment.data.task, metric)
            lines.append(
                f"best    valid {metric} {format_score(best.value)}{displayed}, "
                f"{trial_name(best.trial.label)}:  {config_line(best.trial.params)}"
            )
        return lines

    def _seconds_left(self, done: int, elapsed: float) -> float | None:
        """Estimate the remaining seconds from the pace so far and from the time budget, whichever is less."""
        budget, limits = self._space.budget, []
        ended = done - self._done_before + self._study.in_flight() / 2  # trials in training are half done on average
        if budget.trials and done > self._done_before:
            limits.append(elapsed / ended * (budget.trials - self._done_before - ended))
        if budget.seconds:
            limits.append(budget.seconds - self._study.elapsed())
        return max(min(limits), 0.0) if limits else None

    def _table(self) -> Table:
        budget, done = self._space.budget, self._done()
        share = done / budget.trials if budget.trials else 0.0
        if budget.seconds:
            share = max(share, self._study.elapsed() / budget.seconds)
        table = Table.grid(padding=(0, 0))
        table.add_row("")
        table.add_row(ProgressBar(total=1.0, completed=min(share, 1.0), width=40))
        for line in self._lines():
            table.add_row(Text(" " + line, overflow="ellipsis", no_wrap=True))
        return table


def _print(console: Console, line: str) -> None:
    """Print a line; on a terminal it is wrapped between words, elsewhere it stays one line."""
    console.print(line, highlight=False, soft_wrap=not console.is_terminal)
