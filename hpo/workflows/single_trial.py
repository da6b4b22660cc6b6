"""Find any trial of a completed study by its label: its configuration, its scores, and how they are known."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from itertools import count, takewhile

from hpo.core.errors import InputError
from hpo.core.json_values import json_number
from hpo.core.metrics import tracked_metrics
from hpo.core.trial import Outcome, Trial
from hpo.core.trial_key import TrialKey
from hpo.report.summary import evidence_line
from hpo.selection.finalist import Finalist
from hpo.selection.result import SearchResult
from hpo.selection.result_parts import RefitResult
from hpo.space.formatting import trial_name
from hpo.space.space import Space

_ROLES = ("search", "baseline", "ablation")  # of trials that were trained on the rows of the search


@dataclass(frozen=True)
class SingleTrial:
    """A trial as if it had been selected: the `result` with its configuration and scores. `evidence` says in a sentence
    or more how its scores are known, "" for the selected trial itself."""

    result: SearchResult
    evidence: str


def find(label: str, result: SearchResult, space: Space, outcomes: Mapping[str, Outcome]) -> SingleTrial:
    """Return a trial; `outcomes` are all of the study, by label. Raises InputError if it does not exist or diverged."""
    if label == result.trial:
        return SingleTrial(result, "")
    finalist = _finalist(label, space, outcomes)
    if finalist is None:
        raise InputError(f"The study {result.study} has no trial {label}; it has {_existing(result, outcomes)}.")
    reason = next((o.reason for o in finalist.outcomes if o.state == "failed"), "")
    if reason and not (finalist.searched and finalist.searched.state != "failed"):
        raise InputError(
            f"{_capitalized(label)} of the study {result.study} {reason}, so there is nothing to export; "
            f"it has {_existing(result, outcomes)}."
        )
    return SingleTrial(_as_selected(finalist, result), evidence_line(result, finalist))


def final_weights(label: str, result: SearchResult) -> tuple[str, float] | None:
    """Return the name of the weights of the final networks of a configuration, and the temperature of their average;
    None if they were not trained."""
    names = [name for name, config in result.configurations.items() if config.trial == label]
    return next(((result.networks[name], result.temperatures[name]) for name in names if name in result.networks), None)


def _finalist(label: str, space: Space, outcomes: Mapping[str, Outcome]) -> Finalist | None:
    """Return a trial with its outcomes in the search and in the re-evaluation, or None if there is no such trial."""
    try:
        key = TrialKey.parse(label)
    except ValueError:
        return None
    if key.draw is not None or key.refit or key.variant == "ensemble":
        return None
    searched = outcomes.get(label)
    if searched is not None and searched.trial.role not in _ROLES:
        searched = None
    draws = takewhile(lambda name: name in outcomes, (str(key.reevaluation(draw)) for draw in count(1)))
    reevaluations = [outcomes[name] for name in draws]
    if searched is None and not reevaluations:
        return None
    trial = searched.trial if searched else _variant(key, reevaluations[0], outcomes)
    return Finalist(trial, space, searched, reevaluations)


def _variant(key: TrialKey, reevaluation: Outcome, outcomes: Mapping[str, Outcome]) -> Trial:
    """Return the trial of a configuration that was only re-evaluated. It has the seed of the trial that it varies."""
    name = str(key.config)
    base = outcomes.get(name) or outcomes[name.partition("_")[0]]  # a baseline at another learning rate: defaults_3x
    return Trial(key, "ablation", reevaluation.trial.params, base.trial.seed)


def _as_selected(finalist: Finalist, result: SearchResult) -> SearchResult:
    """Return the result as if this trial had been selected."""
    own = next((config for config in result.configurations.values() if config.trial == finalist.label), None)
    outcome = finalist.outcomes[0]
    names = tracked_metrics(result.task, result.metric)
    means = {name: json_number(finalist.mean(name)) for name in names} if finalist.reevaluations else {}
    return replace(
        result,
        selected=dict(finalist.trial.params),
        trial=finalist.label,
        fit_seed=finalist.trial.seed,
        best_epoch=outcome.best_epoch,
        search_score=finalist.searched.value if finalist.searched else None,
        train=_scores(outcome.train),
        valid=_scores(finalist.searched.valid if finalist.searched else {}),
        reevaluated=own.reevaluated if own else means,
        expected=own.expected if own else {},
        test=own.test if own else {},
        refit=RefitResult("scaled", None, finalist.epochs if finalist.complete else None, result.refit.rows),
    )


def _scores(scores: Mapping[str, float]) -> dict[str, float | None]:
    return {name: json_number(value) for name, value in scores.items()}


def _existing(result: SearchResult, outcomes: Mapping[str, Outcome]) -> str:
    """Name the trials of a study: `12 trials (0 to 9, defaults, none), and the re-evaluated variants ablation-3`."""
    budget = [o for o in outcomes.values() if o.trial.in_budget]
    numbers = sorted(o.trial.key.number for o in budget if o.trial.key.is_searched)
    labels = sorted(o.trial.label for o in budget if not o.trial.key.is_searched)
    if numbers:
        labels = [f"{numbers[0]} to {numbers[-1]}" if len(numbers) > 1 else str(numbers[0]), *labels]
    failed = sum(o.state == "failed" for o in budget)
    diverged = f", {failed} of which diverged" if failed else ""
    compared = (config.trial for config in result.configurations.values())
    variants = sorted({*result.finalists, *compared} - {o.trial.label for o in budget})
    more = f", and the re-evaluated variants {', '.join(variants)}" if variants else ""
    return f"{len(budget):,} trial{'' if len(budget) == 1 else 's'} ({', '.join(labels)}){diverged}{more}"


def _capitalized(label: str) -> str:
    name = trial_name(label)
    return name[0].upper() + name[1:]


def description(label: str) -> str:
    """Return how a trial is called in the name of its study and of its file: `trial-12`, `ablation-12`."""
    return f"trial-{label}" if label.isdecimal() else label.replace("+", "_")


def no_networks(label: str, store_option: str, result: SearchResult) -> InputError:
    """Return the error that a trial has no final networks. `store_option` names the store in commands, or is empty."""
    name = description(label)
    return InputError(
        f"{_capitalized(label)} of the study {result.study} has no final networks to write; train them with: "
        f"hpo export --study {result.study}{store_option} --trial {label} -o {name}.yaml && "
        f"hpo search --space {name}.yaml{store_option} && "
        f"hpo export --study {result.study}-{name}{store_option} --weights {name}"
    )
