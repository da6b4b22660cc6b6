"""Snapshot ensembles: Huang et al. (ICLR 2017).

One network is trained with a learning rate that falls to zero and restarts; the members are its weights at each
restart.
"""

from __future__ import annotations

from dataclasses import replace

import torch

from hpo.nn.combination import Combination
from hpo.selection.ensemble.context import EnsembleContext, held_out_folds
from hpo.selection.ensemble.fitted import FittedEnsemble, Member, assemble
from hpo.selection.ensemble.held_out import OutOfFoldPredictions


def snapshot_ensemble(context: EnsembleContext) -> FittedEnsemble:
    """Train the selected configuration in one cycle per member.

    Each cycle takes half of the configuration's best number of epochs. The configuration is trained on all rows, and
    also on folds to estimate the score. If it diverges, the cycles before the divergence are the members.
    """
    data, size, outcome = context.experiment.data, context.config.size, context.selected
    all_rows = data.without_validation()
    samples = replace(all_rows, folds=held_out_folds(all_rows, data.new_folds(1), with_all=True))
    cycle = max(1, round(context.epochs(outcome) / 2))
    trial = replace(context.trial(outcome, "snapshot"), epochs=size * cycle, cycle=cycle)
    title = f"the selected configuration in {size} cycles"
    result = context.train(title, samples.training_samples(), [trial], copies=size)[trial.label].trained
    members = [Member(outcome.trial.label, trial.params, weights) for weights in result.cycle_weights]
    return assemble(context.experiment.networks, context.experiment.space, samples, members, fit)


def fit(predictions: OutOfFoldPredictions) -> Combination:
    """Return the mean of all members."""
    members, _, outputs = predictions.logits.shape
    return Combination("mean", torch.full((members,), 1 / members), torch.zeros(outputs))
