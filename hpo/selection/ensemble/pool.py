"""Ensembles of several trials of a search, each trained again on new folds."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

from hpo.selection.ensemble import greedy, stacking
from hpo.selection.ensemble.context import EnsembleContext, held_out_folds
from hpo.selection.ensemble.fitted import FittedEnsemble, Member, assemble
from hpo.selection.ensemble.held_out import FitCombination


def greedy_ensemble(context: EnsembleContext) -> FittedEnsemble:
    """Build an ensemble by greedy selection with replacement (see `greedy`)."""
    metric = context.experiment.space.train.metric
    return _fit_pool(context, partial(greedy.fit, metric=metric, size=context.config.size))


def stacked_ensemble(context: EnsembleContext) -> FittedEnsemble:
    """Build an ensemble by stacked generalization (see `stacking`)."""
    metric = context.experiment.space.train.metric
    return _fit_pool(context, partial(stacking.fit, metric=metric, size=context.config.size))


def _fit_pool(context: EnsembleContext, fit: FitCombination) -> FittedEnsemble:
    """Train all trials of the pool and combine them by `fit`.

    The prediction of a member is the mean over its fold networks. If the rows are ordered in time, the first folds have
    few and old training rows, so the prediction comes from one more network that is trained on all rows.
    """
    experiment, all_rows = context.experiment, context.experiment.data.without_validation()
    folds = held_out_folds(all_rows, experiment.data.new_folds(1), with_all=all_rows.over_time)
    data = replace(all_rows, folds=folds)
    trials = {outcome.trial.label: context.trial(outcome) for outcome in context.pool()}
    title = "the best configurations once more, on folds"
    results = context.train(title, data.training_samples(), list(trials.values()))
    members = [
        Member(label, trial.params, results[trial.label].trained.weights)
        for label, trial in trials.items()
        if not results[trial.label].diverged
    ]
    return assemble(experiment.networks, experiment.space, data, members, fit)
