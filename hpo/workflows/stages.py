"""The stages of a search, and the steps that are announced to the progress display."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum

from hpo.core.trial import Trial
from hpo.regularizers import STRENGTHS
from hpo.space.formatting import trial_name
from hpo.space.space import Space


class Stage(Enum):
    """The stages of a search, in their order."""

    SEARCH = "search"
    REEVALUATION = "re-evaluation"
    CONTRIBUTIONS = "contributions"
    FINAL = "final networks"
    REPORT = "report"


@dataclass(frozen=True)
class Step:
    """A part of a stage: trials that train together, or the report.

    `doing` describes it while it runs, `done` when it has ended; consecutive steps with the same `done` count as one.
    `epochs` holds the largest number of epochs of each trial that is trained, by label. In the search, it is empty.
    """

    stage: Stage
    doing: str
    done: str
    epochs: Mapping[str, int] = field(default_factory=dict)


REPORT_STEP = Step(Stage.REPORT, "writing the report", "wrote the report")


def stages_of(space: Space) -> tuple[Stage, ...]:
    """Return the stages that a search of this space has.

    The stage of the contributions is left out at run time if the selected configuration has no strength that is on.
    """
    has_strengths = any(key in STRENGTHS for key in space.hyperparameters)
    has = {
        Stage.SEARCH: True,
        Stage.REEVALUATION: not space.is_point and space.finalists > 0,
        Stage.CONTRIBUTIONS: not space.is_point and has_strengths,
        Stage.FINAL: space.refit.kind != "none",
        Stage.REPORT: True,
    }
    return tuple(stage for stage in Stage if has[stage])


def stage_number(stage: Stage, stages: Sequence[Stage]) -> int:
    """Return the number of a stage, from 1; a stage that is not in `stages` has the number of the one before it."""
    order = list(Stage)
    return max(1, sum(order.index(planned) <= order.index(stage) for planned in stages))


def search_step(space: Space) -> Step:
    """Return the step that trains the trials of the search."""
    if space.is_point:
        return Step(Stage.SEARCH, "training the configuration", "trained the configuration")
    return Step(Stage.SEARCH, "searching", "searched")


def ensemble_step(title: str, epochs: Mapping[str, int]) -> Step:
    """Return a step that trains networks of an ensemble, which `title` describes."""
    return Step(Stage.FINAL, f"training {title}", "trained the networks of the ensemble", epochs)


def fixed_step(trials: Sequence[Trial], epochs: Mapping[str, int], *, new_splits: bool) -> Step:
    """Return the step that trains fixed trials after the search: finalists, variants or final networks.

    `epochs` holds those that are still to be trained. Without `new_splits`, a re-evaluation uses the splits of the
    search with new seeds.
    """
    first = trials[0]
    if first.role == "refit":
        what = "the final networks" + (f" of {len(trials)} configurations" if len(trials) > 1 else "")
        return Step(Stage.FINAL, f"training {what}", f"trained {what}", epochs)
    if all(trial.key.variant for trial in trials):
        what = f"what each regularizer contributes: {_variants(trials)}"
        return Step(Stage.CONTRIBUTIONS, f"measuring {what}", f"measured {what}", epochs)
    draw = first.key.draw or 1
    what = f"{_finalists(trials)} {reevaluation_method(new_splits)}" + (f" (round {draw})" if draw > 1 else "")
    return Step(Stage.REEVALUATION, f"re-evaluating {what}", f"re-evaluated {what}", epochs)


def reevaluation_method(new_splits: bool) -> str:
    """Return how a re-evaluation differs from the search, as the end of a sentence."""
    return "on new splits and seeds" if new_splits else "with new seeds"


def _finalists(trials: Sequence[Trial]) -> str:
    """Count the finalists and the baselines."""
    baselines = sum(isinstance(trial.key.config, str) and not trial.key.variant for trial in trials)
    counts = {"finalist": len(trials) - baselines, "baseline": baselines}
    return " and ".join(f"{count} {noun}{'' if count == 1 else 's'}" for noun, count in counts.items() if count)


def _variants(trials: Sequence[Trial]) -> str:
    """Name the variant of the selected configuration, or count the variants."""
    if len(trials) == 1:
        return trial_name(trials[0].label)
    config = trials[0].key.config
    return f"{len(trials)} variants of {trial_name(str(config))}"
