"""Progress of a search in the terminal: its stages, each with a bar and the time left."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence

from hpo.cli.display import Display, fill
from hpo.cli.messages import displayed_score, headline
from hpo.cli.pace import Pace, SearchPace
from hpo.core.trial import Score, State
from hpo.space.formatting import config_line, format_minutes, format_score, trial_name
from hpo.study.study import Study
from hpo.training.experiment import Experiment
from hpo.workflows.callbacks import Watcher
from hpo.workflows.stages import Stage, Step, stage_number, stages_of

_REFRESH = 0.25  # seconds between updates on a terminal
_LINE_INTERVAL = 5.0  # seconds between lines without a terminal
_BAR_WIDTH = 40


class StepProgress(Watcher):
    """Shows the step that is running: lines that stay in place on a terminal, otherwise a line every few seconds.

    When a step has ended, one line about it remains.
    """

    def __init__(self, display: Display) -> None:
        self._display = display
        self._step: Step | None = None
        self._prefix = ""
        self._began = self._last_update = time.monotonic()
        self._fit_epochs = 0

    def begin_step(self, step: Step) -> None:
        if self._step is None or self._step.done != step.done:
            self.complete()
            self._began, self._fit_epochs = time.monotonic(), 0
            self._prefix = self._stage_prefix(step)
            if not self._display.is_terminal:
                self._display.print(f"{self._prefix}{step.doing}")
        self._step, self._pace, self._last_update = step, self._make_pace(step), time.monotonic()
        self._display.show(self._lines(step))

    def epoch(self, score: Score) -> None:
        self._pace.add(score)
        self._fit_epochs += score.fits_trained
        on_terminal, elapsed = self._display.is_terminal, time.monotonic() - self._last_update
        is_due = elapsed >= (_REFRESH if on_terminal else _LINE_INTERVAL) or (on_terminal and self._pace.is_complete)
        if self._step is None or not is_due:
            return
        self._last_update = time.monotonic()
        if on_terminal:
            self._display.show(self._lines(self._step))
        else:
            self._display.print(" · ".join([f"{self._prefix}{self._step.doing}", *self._facts(), *self._result()]))

    def note(self, sentence: str) -> None:
        self._display.print(f"note: {sentence}")

    def waiting(self, sentence: str) -> None:
        self.complete()
        self._display.show(["", *fill([f"{self._prefix}{sentence}"], self._display.width)])

    def complete(self) -> None:
        if self._step and (self._fit_epochs or self._step.stage == Stage.REPORT):
            seconds = time.monotonic() - self._began
            self._display.print(f"{self._prefix}{self._summary(self._step)} in {_duration(seconds)}")
        self._step = None

    def end(self) -> None:
        self._display.close()

    def _stage_prefix(self, step: Step) -> str:
        """Return what stands before the description of a step."""
        del step
        return ""

    def _make_pace(self, step: Step) -> Pace:
        return Pace(step.epochs)

    def _summary(self, step: Step) -> str:
        """Describe a step that has ended."""
        return step.done

    def _waiting(self) -> str:
        """Describe what happens before the first epoch of a step."""
        return "preparing the data and the networks"

    def _counts(self) -> list[str]:
        """Return how many trials have ended, if that is to be shown."""
        return []

    def _result(self) -> list[str]:
        """Return the best result so far, in parts, if there is one."""
        return []

    def _lines(self, step: Step) -> list[str]:
        """Return the lines on a terminal, broken between words."""
        width = self._display.width
        lines = ["", *fill([f"{self._prefix}{step.doing}"], width)]
        if step.stage == Stage.REPORT:
            return lines
        if not self._pace.fit_epochs:
            return [*lines, *fill([self._waiting()], width)]
        share, (percent, *times), (*rates,) = self._pace.share(), self._times(), self._rates()
        bar = min(_BAR_WIDTH, max(8, width - 38))
        filled = round(share * bar)
        lines += [f"{'█' * filled}{'░' * (bar - filled)}  {percent}  {' · '.join(times)}"]
        return [*lines, *fill([*rates, *self._counts()], width), *_with_heading(self._result(), width)]

    def _facts(self) -> list[str]:
        return [*self._times(), *self._rates(), *self._counts()]

    def _times(self) -> list[str]:
        left = self._pace.seconds_left()
        times = [f"{self._pace.share():.0%}".replace("%", " %"), f"{format_minutes(self._pace.elapsed)} elapsed"]
        return times + ([f"{format_minutes(left)} left"] if left is not None else [])

    def _rates(self) -> list[str]:
        networks, speed = self._pace.networks, self._pace.speed
        return [
            f"{networks} network{'' if networks == 1 else 's'} in training",
            f"{speed:,.0f} epochs/s" if speed >= 10 else f"{speed:.2g} epochs/s",
        ]


class SearchProgress(StepProgress):
    """Shows the stages of a search, the trials that have ended, and the best of them."""

    def begin(self, experiment: Experiment, study: Study, rows: int, workers: int) -> None:
        self._experiment, self._study, self._workers = experiment, study, workers
        self._stages, self._number = stages_of(experiment.space), 1
        for line in headline(experiment, rows, workers):
            self._display.print_parts(line.split(" · "))
        if done := sum(study.counts.values()):
            self._display.print(f"resuming after {done} {'trial' if done == 1 else 'trials'}")

    def _stage_prefix(self, step: Step) -> str:
        # A re-evaluation may follow the stage after it; the number must not go back.
        self._number = max(self._number, stage_number(step.stage, self._stages))
        return f"[{self._number}/{len(self._stages)}] "

    def _make_pace(self, step: Step) -> Pace:
        return SearchPace(self._experiment.space, self._study) if _is_search(step) else super()._make_pace(step)

    def _summary(self, step: Step) -> str:
        if not _is_search(step) or self._experiment.space.is_point:
            return step.done
        states = self._study.counts
        return f"{step.done} {sum(states.values())} trials ({_states(states)})"

    def _waiting(self) -> str:
        if _is_search(self._step) and self._workers > 1:
            return f"starting {self._workers} workers"
        return super()._waiting()

    def _counts(self) -> list[str]:
        if not isinstance(self._pace, SearchPace) or self._experiment.space.is_point:
            return []
        total = f" of {self._pace.n_trials}" if self._pace.n_trials else ""
        return [f"{self._pace.done}{total} trials ({_states(self._study.counts)})"]

    def _result(self) -> list[str]:
        if not _is_search(self._step) or not (best := self._study.best()):
            return []
        metric = self._experiment.space.train.metric
        displayed = displayed_score(best.valid, self._experiment.data.task, metric)
        heading = f"best search {metric} {format_score(best.value)}{displayed}, {trial_name(best.trial.label)}:"
        return [heading, *config_line(best.trial.params).split(" · ")]


def _is_search(step: Step | None) -> bool:
    return step is not None and step.stage == Stage.SEARCH


def _states(counts: Mapping[State, int]) -> str:
    return f"{counts['complete']} complete, {counts['pruned']} pruned, {counts['failed']} diverged"


def _with_heading(parts: Sequence[str], width: int) -> list[str]:
    """Return the first part as a heading, and the other parts indented below it."""
    return [*fill(parts[:1], width), *fill(parts[1:], width, indent="  ")]


def _duration(seconds: float) -> str:
    if seconds < 10:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"
