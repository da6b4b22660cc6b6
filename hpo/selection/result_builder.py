"""Compute the parts of a search result from the study, the finals and the final networks."""

from __future__ import annotations

import platform
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from typing import Any, ClassVar

from torch import Tensor

from hpo.core import objectives, statistics
from hpo.core.json_values import json_number
from hpo.core.metrics import VALIDATORS, labelled_metric, test_metrics, tracked_metrics
from hpo.core.trial import Trial
from hpo.data.dataset import Dataset
from hpo.data.test_part import TestEvaluations
from hpo.regularizers.active import active_adaptation, active_strengths
from hpo.selection import validator_ranking
from hpo.selection.decision import Selection, best_found, expected_gain
from hpo.selection.expectation import Expectation
from hpo.selection.finalist import Finalist
from hpo.selection.finals import Finals
from hpo.selection.refit import FinalLogits, FinalNetwork, n_networks
from hpo.selection.result_parts import (
    AdaptationEffect,
    ConfigScores,
    ExpectedGain,
    FinalistScores,
    ParetoTrial,
    RefitResult,
    ScorePath,
    ValidatorScore,
)
from hpo.space.settings import RefitConfig
from hpo.space.space import Space
from hpo.study import baselines
from hpo.study.study import Study
from hpo.training.experiment import Experiment


@dataclass(frozen=True)
class TestScores:
    """The scores of the final networks of a configuration on the test rows: of their average, and of the first one."""

    __test__: ClassVar = False  # pytest would collect a class of this name

    average: Mapping[str, float]
    single: Mapping[str, float]


def selection_fields(
    experiment: Experiment,
    selection: Selection | None,
    compared: Mapping[str, Finalist],
    expected: Mapping[str, Expectation],
    tests: Mapping[str, TestScores],
) -> dict[str, Any]:
    """Return the fields of a `SearchResult` about the selected configuration and those it is compared with.

    `selection` is None without finals; `expected` are the results of `expectations`, and `tests` the scores on the test
    rows, both by name.
    """
    names = tracked_metrics(experiment.data.task, experiment.space.train.metric)
    configs = {
        name: _config_scores(finalist, names, expected.get(name), tests.get(name, TestScores({}, {})))
        for name, finalist in compared.items()
    }
    config = configs.pop("selected")
    chosen = {key: value for key, value in vars(config).items() if key != "params"}
    finals_fields = _finals_fields(experiment, selection, config, expected) if selection else _fields_without_finals()
    return {"selected": config.params, **chosen, "baselines": configs, **finals_fields}


def expectations(
    experiment: Experiment, selection: Selection | None, compared: Mapping[str, Finalist], refit: RefitConfig
) -> dict[str, Expectation]:
    """Return what to expect of the final predictor of each compared configuration, by name; {} without finals."""
    if selection is None:
        return {}
    finals, n_final = selection.finals, n_networks(refit, experiment.data) or 1
    metrics = [
        name for name in tracked_metrics(experiment.data.task, experiment.space.train.metric) if name not in VALIDATORS
    ]
    found = {name: finals.expectation(f.label, metrics, n_final) for name, f in compared.items()}
    return {name: expectation for name, expectation in found.items() if expectation}


def _fields_without_finals() -> dict[str, Any]:
    return {
        "rule": "search",
        "rules": {},
        "score": {},
        "verdict": None,
        "regularization": None,
        "contributions": {},
        "finalists": {},
        "reevaluated_scores": {},
        "test_train_ratio": None,
    }


def _finals_fields(
    experiment: Experiment, selection: Selection, config: ConfigScores, expected: Mapping[str, Expectation]
) -> dict[str, Any]:
    finals, metric = selection.finals, experiment.space.train.metric
    selected = finals.finalists[selection.selected]
    names, finalists = tracked_metrics(experiment.data.task, metric), _finalists(selection, metric)
    return {
        "rule": selection.rule,
        "rules": dict(selection.choices),
        "score": {name: _score_path(name, config, selected, expected.get("selected")) for name in names},
        "verdict": selection.verdict,
        "regularization": _gain_over(finals, selected, baselines.ablation(selected.trial)),
        "contributions": _contributions(finals, selected),
        "finalists": finalists,
        "best_found": best_found(selection),
        "reevaluated_scores": {name: [json_number(v) for v in selected.scores(name).tolist()] for name in names},
        "test_train_ratio": finals.test_train_ratio,
    }


def _contributions(finals: Finals, selected: Finalist) -> dict[str, ExpectedGain]:
    """Return the gain of the selected configuration over itself without each of its strengths."""
    gains = {
        name: _gain_over(finals, selected, baselines.without_strength(selected.trial, name))
        for name in active_strengths(selected.trial.params)
    }
    return {name: gain for name, gain in gains.items() if gain}


def _gain_over(finals: Finals, selected: Finalist, variant: Trial) -> ExpectedGain | None:
    """Return the gain over a variant; None if the variant is the configuration itself or was not evaluated."""
    other = finals.find(variant)
    return None if other is None or other is selected else expected_gain(finals, selected.label, other.label)


def _score_path(metric: str, config: ConfigScores, selected: Finalist, expected: Expectation | None) -> ScorePath:
    known = expected is not None and metric in expected.interval
    interval = list(expected.interval[metric]) if expected and known else [None, None]
    average = expected.average[metric] if expected and known else json_number(selected.mean(metric))
    return ScorePath(
        search=config.search_score if metric == selected.space.train.metric else config.valid.get(metric),
        reevaluated=config.reevaluated.get(metric),
        expected=average,
        interval=interval,
        test=config.test.get(metric),
    )


def _config_scores(
    finalist: Finalist, metrics: Sequence[str], expected: Expectation | None, test: TestScores
) -> ConfigScores:
    searched, outcome = finalist.searched, finalist.outcomes[0]
    means = {name: finalist.mean(name) for name in metrics} if finalist.reevaluations else {}
    return ConfigScores(
        trial=finalist.label,
        params=dict(finalist.trial.params),
        fit_seed=finalist.trial.seed,
        best_epoch=outcome.best_epoch,
        nonzero_share=outcome.nonzero_share,
        search_score=searched.value if searched else None,
        train=json_scores(outcome.train),
        valid=json_scores(searched.valid if searched else {}),
        gap=json_number(finalist.gap),
        reevaluated=json_scores(means | dict(expected.single if expected else {})),
        expected=json_scores(means | dict(expected.average if expected else {})),
        test=json_scores(test.average),
        test_single=json_scores(test.single),
    )


def _finalists(selection: Selection, metric: str) -> dict[str, FinalistScores]:
    """Return the scores of all finalists, the largest expected gain first and those that diverged last."""
    finals, scores = selection.finals, {}
    for candidate in sorted(finals.candidates(), key=lambda c: (not c.sound, -c.gain.mean, c.label)):
        finalist = finals.finalists[candidate.label]
        error = statistics.standard_error(finalist.finite_scores(metric), finals.test_train_ratio)
        scores[candidate.label] = FinalistScores(
            search=finalist.searched.value if finalist.searched else None,
            reevaluated=json_number(finalist.mean(metric)),
            standard_error=json_number(error),
            fits=len(finalist.scores(metric)),
            gain=expected_gain(finals, candidate.label, selection.verdict.reference),
        )
    return scores


def validators(study: Study, experiment: Experiment) -> list[ValidatorScore]:
    """Rate the validators on the trials of the search; the list is empty without labelled target rows."""
    if not experiment.data.valid_is_target:
        return []
    return validator_ranking.rank(study.budget_outcomes(), labelled_metric(experiment.space.train.metric))


def adaptation(
    compared: Mapping[str, Finalist], networks: Mapping[str, FinalNetwork], logits: Mapping[str, FinalLogits]
) -> AdaptationEffect | None:
    """Compare the selected network with its reference, which does not adapt, on the test rows of the target domain.

    `logits` holds the logits of the final networks on the test rows, by name. Returns None if the
    selected configuration does not adapt, if one of the two networks is missing, or if the test rows are not of another
    domain.
    """
    selected, reference = compared["selected"], "unadapted" if "unadapted" in compared else "ablation"
    if not (active_adaptation(selected.trial.params) and {"selected", reference} <= logits.keys()):
        return None
    data = networks[selected.label].data
    if not data.origin.test_is_target:
        return None
    counts = statistics.paired_counts(*(data.test.errors(logits[name].average[0]) for name in (reference, "selected")))
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


def refit_result(kind: str, final: FinalNetwork | None) -> RefitResult:
    """Describe the final networks; `final` is None if one of them diverged or `kind` is `none`."""
    if final is None:
        return RefitResult(kind, None, None, None)
    temperature = final.temperature if final.data.task == "classification" else None
    rows = len(final.data.folds[0].train)
    return RefitResult(kind, final.label, final.epochs, rows, final.networks, temperature)


def fit_epochs(study: Study) -> dict[str, int]:
    """Return the number of trained epochs, counted for each single network, by the role of the trial."""
    epochs: dict[str, int] = {}
    for outcome in study.outcomes.values():
        role = "search" if outcome.trial.in_budget else outcome.trial.role
        epochs[role] = epochs.get(role, 0) + outcome.fit_epochs
    return epochs


def final_scores(space: Space, final: FinalNetwork, logits: FinalLogits, evaluations: TestEvaluations) -> TestScores:
    """Score the final networks of a configuration on the test rows."""
    average = test_scores(space, final.data, logits.average, final.average_label, evaluations)
    return TestScores(average, test_scores(space, final.data, logits.single, final.label, evaluations))


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
