"""Try the regularizers of plugins in a few training steps, so that errors show before a search that takes hours."""

from __future__ import annotations

from dataclasses import replace

from hpo.core.errors import InputError, describe_exception
from hpo.core.trial import Trial
from hpo.core.trial_key import TrialKey
from hpo.data.dataset import Dataset
from hpo.regularizers import STRENGTHS
from hpo.regularizers.configs import make_config
from hpo.space.space import Space
from hpo.training.builder import NetworkBuilder
from hpo.training.population import Population

_ROWS = 5
_BATCH_SIZE = 3  # makes two minibatches, the last of which is shorter


def check(space: Space, data: Dataset, networks: NetworkBuilder, names: list[str]) -> None:
    """Train one epoch on a few rows with each regularizer in `names`, at both of its probe values.

    Raises InputError if the training raises an exception.
    """
    fold = data.folds[0]
    samples = replace(data.as_samples(), folds=(fold.remap(lambda rows: rows[:_ROWS]),))
    train = space.train.model_copy(update={"batch_size": _BATCH_SIZE, "schedule": "constant"})
    params = {key: value for key, value in space.middle().items() if key not in (*STRENGTHS, "batch_size")}
    for name in names:
        probes = [make_config({**params, name: value}) for value in STRENGTHS[name].probe]
        trials = [Trial(TrialKey(i), "search", probe, 0) for i, probe in enumerate(probes)]
        population = Population(samples, lambda trial: networks.network_for(trial.params), train, len(trials))
        try:
            for trial in trials:
                population.admit(trial)
            list(population.train_epoch())
        except Exception as error:  # a hook of a plugin can raise anything
            cls = type(STRENGTHS[name])
            raise InputError(
                f"search.{name}: {cls.__module__}.{cls.__qualname__} fails in a training step with "
                f"{describe_exception(error)}. For details, use hpo.testing.check; see docs/extending.md."
            ) from error
