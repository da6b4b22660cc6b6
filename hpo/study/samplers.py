"""Optuna's samplers, pruners and distributions, built from a space."""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import numpy as np
import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.pruners import BasePruner
from optuna.samplers import BaseSampler
from optuna.study import StudyDirection

from hpo.core.errors import InputError
from hpo.data.config import SplitConfig
from hpo.space.hyperparameter import Hyperparameter
from hpo.space.priors import SWITCH
from hpo.space.space import Space
from hpo.study.history import RECENT, History
from hpo.study.pruners import PairedPruner, PercentilePruner

FIRST_DECISION = 4  # the first epoch at which a trial can be pruned; earlier scores do not predict the last one
# These use all trials: grid skips visited points, gp fits its model to all of them, cmaes needs all members of a
# generation, and hyperband and successive_halving compare a trial with all trials that reached its rung.
_NEED_ALL_TRIALS = {"grid", "gp", "cmaes", "hyperband", "successive_halving"}


def distributions(search: Mapping[str, Hyperparameter]) -> dict[str, BaseDistribution]:
    """The distribution of every sampled parameter.

    An optional strength is two parameters, a switch and a magnitude, and both are sampled in every trial: a log range
    cannot contain zero, and a parameter that is missing in some trials drops out of joint sampling.
    """
    by_name: dict[str, BaseDistribution] = {}
    for key, values in search.items():
        if len(values.choices) != 1:
            by_name[key] = _distribution(values)
        if values.optional:
            by_name[key + SWITCH] = CategoricalDistribution((True, False))
    return by_name


def _distribution(values: Hyperparameter) -> BaseDistribution:
    if values.choices:
        return CategoricalDistribution(values.choices)
    if values.integer:
        return IntDistribution(int(values.low), int(values.high), log=values.log, step=int(values.step or 1))
    return FloatDistribution(values.low, values.high, log=values.log, step=values.step)


def grid(space: Space) -> dict[str, list[Any]]:
    """All values of every sampled parameter, for the grid sampler."""
    by_name: dict[str, list[Any]] = {}
    for key, values in space.hyperparameters.items():
        if len(values.choices) != 1:
            by_name[key] = values.values()
        if values.optional:
            by_name[key + SWITCH] = [True, False]
    return by_name


def history(space: Space, direction: StudyDirection) -> History:
    """The storage of the in-memory study, which shows the sampler as many past trials as it needs."""
    # A past shorter than the sampler's startup phase would keep it in random search.
    startup = 10 * space.sampler.options.get("n_startup_trials", 0)
    needs_all = _NEED_ALL_TRIALS & {space.sampler.kind, space.pruner.kind} or len(space.objective_names) > 1
    return History(direction, math.inf if needs_all else max(RECENT, startup))


def sampler(space: Space, number: int) -> BaseSampler:
    """The sampler that proposes trial `number`.

    The random state of a sampler is not stored with a study, so each proposal gets a new sampler, seeded with the
    study's seed and the trial's number: an interrupted search proposes what it would have proposed without the
    interruption. Samplers that follow a sequence store their position in the study's attributes and need the same
    seed throughout.
    """
    kind, options = space.sampler.kind, space.sampler.options
    seed = int(np.random.SeedSequence((space.seed, number)).generate_state(1)[0])
    quiet: dict[str, Any] = {"warn_independent_sampling": False}
    with _optuna_options("sampler", kind):
        match kind:
            case "tpe":
                return optuna.samplers.TPESampler(seed=seed, **options)
            case "random":
                return optuna.samplers.RandomSampler(seed=seed)
            case "gp":
                return optuna.samplers.GPSampler(seed=seed, **quiet, **options)
            case "cmaes":
                return optuna.samplers.CmaEsSampler(seed=seed, **quiet, **options)
            case "qmc":
                defaults = {"scramble": True, **quiet, "warn_asynchronous_seeding": False}
                return optuna.samplers.QMCSampler(seed=space.seed, **(defaults | options))
            case _:
                return optuna.samplers.GridSampler(grid(space), seed=space.seed)


def pruner(space: Space, history: History) -> BasePruner:
    """The pruner. Unless its options say otherwise, it makes no decision before epoch 4."""
    kind, options = space.pruner.kind, dict(space.pruner.options)
    epochs = space.max_epochs
    warmup = {"n_warmup_steps": FIRST_DECISION}
    first_rung = {"min_resource": min(FIRST_DECISION, epochs)}
    with _optuna_options("pruner", kind):
        match kind:
            case "paired":
                return PairedPruner(history, _test_train_ratio(space.data.split), **(warmup | options))
            case "median" | "percentile":
                percentile = {"percentile": 50.0 if kind == "median" else 25.0}
                return PercentilePruner(history, **(percentile | warmup | options))
            case "hyperband":
                return optuna.pruners.HyperbandPruner(max_resource=epochs, **(first_rung | options))
            case "successive_halving":
                return optuna.pruners.SuccessiveHalvingPruner(**(first_rung | options))
            case "patient":
                patient = {name: options.pop(name) for name in ("patience", "min_delta") if name in options}
                wrapped = PercentilePruner(history, 50.0, **(warmup | options))
                return optuna.pruners.PatientPruner(wrapped, **({"patience": 5} | patient))
            case _:
                return optuna.pruners.NopPruner()


@contextmanager
def _optuna_options(section: str, kind: str) -> Iterator[None]:
    """Turn the errors of Optuna's constructors into InputError, and hide the warning that some classes are
    experimental."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        try:
            yield
        except (ValueError, TypeError) as error:
            raise InputError(f"{section}: Optuna refuses the options of {kind}: {error}") from error


def _test_train_ratio(split: SplitConfig) -> float:
    """Return the ratio of a fold's validation rows to its training rows. In a split by time, training parts grow from
    fold to fold, so the rows of all folds are summed."""
    folds = split.folds or 2
    return 2 / (folds + 1) if split.time else 1 / (folds - 1)


def check(space: Space) -> None:
    """Raise InputError if Optuna refuses the options of the sampler or the pruner."""
    sampler(space, 0)
    pruner(space, history(space, StudyDirection.MINIMIZE))
