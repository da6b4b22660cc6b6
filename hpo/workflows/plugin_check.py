"""A step with somebody's own regularizers before the search, so that what they do wrong is a sentence and not the end of an hour."""

from __future__ import annotations

from dataclasses import replace

from hpo.core.errors import InputError, describe_exception
from hpo.core.trial import Trial
from hpo.data.dataset import Dataset
from hpo.regularizers import STRENGTHS
from hpo.space.space import Space
from hpo.training.builder import NetworkBuilder
from hpo.training.population import Population

_ROWS = 5  # of three rows a minibatch there are two, and the last is shorter


def regularizers(space: Space, data: Dataset, networks: NetworkBuilder, names: list[str]) -> None:
    """Trains a few rows for an epoch with each of the regularizers `names` at both of its probes, one by one. Raises InputError if that
    fails."""
    fold = data.folds[0]
    few = replace(data.samples(), folds=(fold.remap(lambda rows: rows[:_ROWS]),))
    train = space.train.model_copy(update={"batch_size": 3, "schedule": "constant"})
    usual = {key: value for key, value in space.middle().items() if key not in (*STRENGTHS, "batch_size")}
    for name in names:
        trials = [Trial(str(i), "search", {**usual, name: value}, 0) for i, value in enumerate(STRENGTHS[name].probe)]
        population = Population(few, lambda trial: networks.network_for(trial.params), train, len(trials))
        try:
            for trial in trials:
                population.admit(trial)
            list(population.train_epoch())
        except Exception as error:  # whatever somebody's hook does
            where = type(STRENGTHS[name])
            text = f"search.{name}: {where.__module__}.{where.__qualname__} fails in a training step with {describe_exception(error)}."
            raise InputError(f"{text} hpo.testing.check says more; see docs/extending.md.") from error
