"""Ensembles of the configurations of a search, each trained once more on the folds of a fresh draw."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

from hpo.selection.ensemble import greedy, stacking
from hpo.selection.ensemble.context import EnsembleContext, judged
from hpo.selection.ensemble.fitted import FittedEnsemble, Member, assembled
from hpo.selection.ensemble.held_out import FitCombination


def selected_greedily(shop: EnsembleContext) -> FittedEnsemble:
    return _of(shop, partial(greedy.fit, metric=shop.job.space.train.metric, size=shop.config.size))


def stacked(shop: EnsembleContext) -> FittedEnsemble:
    return _of(shop, partial(stacking.fit, metric=shop.job.space.train.metric, size=shop.config.size))


def _of(shop: EnsembleContext, fit: FitCombination) -> FittedEnsemble:
    """Trains what the ensemble may choose from. A member predicts by the mean of its fold networks; over time, where a fold has seen
    little but the distant past, by one more that has seen all rows."""
    job, whole = shop.job, shop.job.data.whole()
    data = replace(whole, folds=judged(whole, job.data.fresh(1), whole=whole.over_time))
    outcomes = {outcome.trial.label: outcome for outcome in shop.pool()}
    shop.watcher.phase("the best configurations once more, on folds", len(outcomes))
    trials = {label: shop.trial(label, outcome) for label, outcome in outcomes.items()}
    weights = shop.train(data.to_train(), list(trials.values()))
    trained = [
        Member(label, trial.params, weights[trial.label]) for label, trial in trials.items() if trial.label in weights
    ]
    return assembled(job.networks, job.space, data, trained, fit)
