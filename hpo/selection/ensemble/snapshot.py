"""Snapshot ensembles: Huang et al. (ICLR 2017). One training whose learning rate falls to zero and starts again, and a network of
each time that it was there."""

from __future__ import annotations

from dataclasses import replace

import torch

from hpo.core.samples import Samples
from hpo.core.trial import Trial
from hpo.nn.combination import Combination
from hpo.selection.ensemble.context import EnsembleContext, Weights, judged
from hpo.selection.ensemble.fitted import FittedEnsemble, Member, assembled
from hpo.selection.ensemble.held_out import OutOfFoldPredictions


def snapshots(shop: EnsembleContext) -> FittedEnsemble:
    """The selected configuration in as many cycles as there are members, each half as long as it is best trained for; on
    all rows, and beside them on folds, which tell what to expect."""
    job, size, outcome = shop.job, shop.config.size, shop.selected
    whole = job.data.whole()
    data = replace(whole, folds=judged(whole, job.data.fresh(1), whole=True))
    cycle = max(1, round(shop.epochs(outcome) / 2))
    trial = replace(shop.trial("snapshot", outcome), epochs=size * cycle, cycle=cycle)
    shop.watcher.phase(f"the selected configuration in {size} cycles", 1)
    trained = [
        Member(outcome.trial.label, trial.params, weights) for weights in cycles(shop, data.to_train(), trial, cycle)
    ]
    return assembled(job.networks, job.space, data, trained, fit)


def cycles(shop: EnsembleContext, data: Samples, trial: Trial, cycle: int) -> list[Weights]:
    """What a trial has learned at the end of each cycle of so many epochs; those before, if it diverges."""
    population, found, going = shop.population(data, [trial], shop.config.size), list[Weights](), True
    population.admit(trial)
    while going:
        for score in population.train_epoch():
            shop.watcher.epoch(score)
            going = score.finite and not score.stop_reason
            if score.finite and score.epoch % cycle == 0:
                found.append(population.weights(trial))
    return found


def fit(unseen: OutOfFoldPredictions) -> Combination:
    """The mean of all."""
    members, _, outputs = unseen.logits.shape
    return Combination("mean", torch.full((members,), 1 / members), torch.zeros(outputs))
