"""Compute the parts of a search result from the study, the finals and the final networks."""

from __future__ import annotations

import math
import platform
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import version
from typing import Any

from torch import Tensor

from hpo.core import objectives, statistics
from hpo.core import selection_rules as rules
from hpo.core.json_values import json_number
from hpo.core.metrics import METRICS, display_metric, labelled_metric, test_metrics, tracked_metrics
from hpo.data.dataset import Dataset
from hpo.data.test_part import TestEvaluations
from hpo.regularizers.active import active_adaptation
from hpo.selection import validator_ranking
from hpo.selection.finals import Finalist, Finals
from hpo.selection.refit import FinalNetwork
from hpo.selection.result import (
    AdaptationEffect,
    ConfigScores,
    FinalistScores,
    PairedGain,
    ParetoTrial,
    RefitResult,
    RegularizationEffect,
    ScorePath,
    Scores,
    ValidatorScore,
    Verdict,
)
from hpo.space.space import Space
from hpo.study.study import Study
from hpo.training.experiment import Experiment

_REGULARIZATION_ALPHA = 0.1  # level of the two-sided test of the selected configuration against its ablation


@dataclass(frozen=True)
class Selection:
    """The decision of the finals.

    `selected` is the label of the selected trial, `rule` is the rule that selected it, `choices` maps each rule to the
    label that it would select, and `verdict` is the comparison with the defaults.
    """

    finals: Finals
    selected: str
    rule: str
    choices: Mapping[str, str]
    verdict: Verdict

    @classmethod
    def by_rule(cls, finals: Finals, rule: str) -> Selection:
        choices = finals.choices()
        return cls(finals, choices[rule], rule, choices, _verdict(finals, choices[rule]))


def _verdict(finals: Finals, label: str) -> Verdict:
    candidates = {c.label: c for c in finals.candidates()}
    default = candidates[rules.DEFAULT]
    rivals = [c for c in rules.in_contention(list(candidates.values())) if c.label != rules.DEFAULT]
    best = min(rivals, key=lambda c: c.mean, default=default)
    rival = candidates[label] if label != rules.DEFAULT else best
    gain, error = statistics.paired_gain(rival.scores, default.scores, finals.test_train_ratio)
    significant = rival in rules.better_than_default(list(candidates.values()), finals.test_train_ratio)
    fits = len(statistics.finite_pairs(rival.scores, default.scores)[0])
    return Verdict(rival.label, json_number(gain), json_number(error), fits, significant)


def selection_fields(
    experiment: Experiment,
    selection: Selection | None,
    compared: Mapping[str, Finalist],
    tests: Mapping[str, Mapping[str, float]],
) -> dict[str, Any]:
    """Return the fields of a `SearchResult` about the selected configuration and those it is compared with.

    `selection` is None without finals; `tests` are the scores on the test rows, by name.
    """
    configs = {name: _config_scores(experiment, f, tests.get(name, {})) for name, f in compared.items()}
    config = configs.pop("selected")
    chosen = {key: value for key, value in vars(config).items() if key != "params"}
    return {
        "selected": config.params,
        **chosen,
        "baselines": configs,
        **(_finals_fields(experiment, selection, compared, config.test) if selection else _fields_without_finals()),
    }


def _fields_without_finals() -> dict[str, Any]:
    return {
        "rule": "best",
        "rules": {},
        "score": {},
        "verdict": None,
        "regularization": None,
        "finalists": {},
        "reevaluated_scores": {},
        "test_train_ratio": None,
    }


def _finals_fields(
    experiment: Experiment, selection: Selection, compared: Mapping[str, Finalist], test: Scores
) -> dict[str, Any]:
    selected, finals, metric = compared["selected"], selection.finals, experiment.space.train.metric
    names = tracked_metrics(experiment.data.task, metric)
    return {
        "rule": selection.rule,
        "rules": dict(selection.choices),
        "score": {name: _score_path(experiment, selected, name, test.get(name), finals) for name in names},
        "verdict": selection.verdict,
        "regularization": _regularization(experiment, finals, selected, compared["ablation"]),
        "finalists": _finalists(finals, metric),
        "reevaluated_scores": {name: [json_number(v) for v in selected.scores(name).tolist()] for name in names},
        "test_train_ratio": finals.test_train_ratio,
    }


def _regularization(
    experiment: Experiment, finals: Finals, selected: Finalist, ablation: Finalist
) -> RegularizationEffect | None:
    """Compare the selected configuration with its ablation; return None if it uses no regularizer."""
    if ablation is selected:
        return None

    def paired(metric: str) -> PairedGain:
        scores, reference = (METRICS[metric].minimized(f.scores(metric)) for f in (selected, ablation))
        ratio = finals.test_train_ratio
        gain, error = statistics.paired_gain(scores, reference, ratio)
        significant = statistics.significantly_different(scores, reference, ratio, _REGULARIZATION_ALPHA)
        return PairedGain(metric, json_number(gain), json_number(error), significant)

    followed = experiment.space.train.metric
    displayed = display_metric(experiment.data.task, followed)
    effect = paired(displayed)
    return RegularizationEffect(**vars(effect), followed=paired(followed) if followed != displayed else None)


def _score_path(
    experiment: Experiment, finalist: Finalist, metric: str, test: float | None, finals: Finals
) -> ScorePath:
    low, high = statistics.prediction_interval(
        finalist.finite_scores(metric), finals.test_train_ratio, finals.valid_rows / len(experiment.data.test)
    )
    lowest, highest = METRICS[metric].bounds
    interval = [max(low, lowest), min(high, highest)] if math.isfinite(high - low) else [None, None]
    search = json_number(finalist.searched.valid.get(metric))
    return ScorePath(search, json_number(finalist.mean(metric)), interval, test)


def _config_scores(experiment: Experiment, finalist: Finalist, test: Mapping[str, float]) -> ConfigScores:
    outcome, names = finalist.searched, tracked_metrics(experiment.data.task, experiment.space.train.metric)
    return ConfigScores(
        trial=outcome.trial.label,
        params=dict(outcome.trial.params),
        fit_seed=outcome.trial.seed,
        best_epoch=outcome.best_epoch,
        nonzero_share=outcome.nonzero_share,
        train=json_scores(outcome.train),
        valid=json_scores(outcome.valid),
        reevaluated=json_scores({name: finalist.mean(name) for name in names} if finalist.reevaluations else {}),
        test=json_scores(test),
    )


def _finalists(finals: Finals, metric: str) -> dict[str, FinalistScores]:
    """Return the scores of all finalists, the best re-evaluation first and those that diverged last."""
    scores = {}
    for candidate in sorted(finals.candidates(), key=lambda c: (not math.isfinite(c.mean), c.mean, c.label)):
        finalist = finals.finalists[candidate.label]
        error = statistics.standard_error(finalist.finite_scores(metric), finals.test_train_ratio)
        search, mean = finalist.searched.valid.get(metric), finalist.mean(metric)
        fits = len(finalist.scores(metric))
        scores[candidate.label] = FinalistScores(json_number(search), json_number(mean), json_number(error), fits)
    return scores


def validators(study: Study, experiment: Experiment) -> list[ValidatorScore]:
    """Rate the validators on the trials of the search; the list is empty without labelled target rows."""
    if not experiment.data.valid_is_target:
        return []
    return validator_ranking.rank(study.budget_outcomes(), labelled_metric(experiment.space.train.metric))


def adaptation(
    compared: Mapping[str, Finalist], networks: Mapping[str, FinalNetwork], logits: Mapping[str, Tensor]
) -> AdaptationEffect | None:
    """Compare the selected network with its reference, which does not adapt, on the test rows of the target domain.

    `logits` holds the logits (1, rows, outputs) of the final networks on the test rows, by name. Returns None if the
    selected configuration does not adapt, if one of the two networks is missing, or if the test rows are not of another
    domain.
    """
    selected, reference = compared["selected"], "unadapted" if "unadapted" in compared else "ablation"
    if not (active_adaptation(selected.searched.trial.params) and {"selected", reference} <= logits.keys()):
        return None
    data = networks[selected.label].data
    if not data.origin.test_is_target:
        return None
    counts = statistics.paired_counts(*(data.test.errors(logits[name][0]) for name in (reference, "selected")))
    return AdaptationEffect(reference, counts.better, counts.worse, counts.p_value)


def front(study: Study, space: Space) -> list[ParetoTrial]:
    """Return the Pareto front, ordered by the first objective; empty if there is only one objective."""
    if len(space.objective_names) < 2:
        return []
    goal = space.objective_names[0]
    outcomes = sorted(study.front(), key=lambda o: (objectives.minimized(goal, o.values[goal]), o.trial.label))
    return [
        ParetoTrial(
            trial=o.trial.label,
            params=dict(o.trial.params),
            fit_seed=o.trial.seed,
            best_epoch=o.best_epoch,
            values=dict(o.values),
            train=json_scores(o.train),
            valid=json_scores(o.valid),
        )
        for o in outcomes
    ]


def refit_result(kind: str, final: FinalNetwork | None, comparison: Mapping[str, Mapping[str, float]]) -> RefitResult:
    """Describe the final network; `final` is None if it diverged or `kind` is `none`."""
    scores = {name: json_scores(values) for name, values in comparison.items()}
    if final is None:
        return RefitResult(kind, None, None, None, scores)
    return RefitResult(kind, final.label, final.epochs, len(final.data.folds[0].train), scores)


def fit_epochs(study: Study) -> dict[str, int]:
    """Return the number of trained epochs, counted for each single network, by the role of the trial."""
    epochs: dict[str, int] = {}
    for outcome in study.outcomes.values():
        role = "search" if outcome.trial.in_budget else outcome.trial.role
        epochs[role] = epochs.get(role, 0) + outcome.fit_epochs
    return epochs


def test_scores(
    space: Space, data: Dataset, logits: Tensor, label: str, evaluations: TestEvaluations
) -> dict[str, float]:
    """Score the logits (1, rows, outputs) of the network `label` on the test rows, in the units of `data`."""
    return data.test.score(test_metrics(data.task, space.train.metric), logits, label, evaluations)


def json_scores(scores: Mapping[str, float]) -> dict[str, float | None]:
    """Return the scores with None for those that the rows do not define, such as a ROC curve of a single class."""
    return {name: json_number(score) for name, score in scores.items()}


def versions() -> dict[str, str]:
    """Return the versions of Python and of the packages on which the numbers depend."""
    packages = ("hpo", "torch", "optuna", "scikit-learn", "numpy", "pandas", "mlflow")
    return {"python": platform.python_version()} | {name: version(name) for name in packages}
