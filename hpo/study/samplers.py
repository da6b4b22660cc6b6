"""Optuna's samplers, pruners and distributions, made from a space."""

from __future__ import annotations

import math
import warnings
from collections.abc import Mapping
from typing import Any

import numpy as np
import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.pruners import BasePruner
from optuna.samplers import BaseSampler, TPESampler
from optuna.study import Study, StudyDirection
from optuna.trial import FrozenTrial

from hpo.core.errors import InputError
from hpo.data.config import SplitConfig
from hpo.space.hyperparameter import Hyperparameter
from hpo.space.priors import SWITCH
from hpo.space.space import Space
from hpo.study.history import RECENT, History
from hpo.study.paired_pruner import PairedPruner
from hpo.study.percentile_pruner import PercentilePruner

FIRST_DECISION = 4  # the epoch; earlier scores say nothing about the last one
# These need every trial: what was visited, what is fitted, a generation with all its members; a newcomer is held against all
# who reached its rung, not against the best of them.
_WHOLE = {"grid", "gp", "cmaes", "hyperband", "successive_halving"}


def distributions(search: Mapping[str, Hyperparameter]) -> dict[str, BaseDistribution]:
    """Every sampled parameter. "Off" is a switch beside the magnitude, both sampled always: a zero inside a log range
    cannot be told to Optuna, and a parameter that comes and goes drops out of joint sampling."""
    found: dict[str, BaseDistribution] = {}
    for key, domain in search.items():
        if len(domain.choices) != 1:
            found[key] = _distribution(domain)
        if domain.optional:
            found[key + SWITCH] = CategoricalDistribution((True, False))
    return found


def _distribution(domain: Hyperparameter) -> BaseDistribution:
    if domain.choices:
        return CategoricalDistribution(domain.choices)
    if domain.integer:
        return IntDistribution(int(domain.low), int(domain.high), log=domain.log, step=int(domain.step or 1))
    return FloatDistribution(domain.low, domain.high, log=domain.log, step=domain.step)


def grid(space: Space) -> dict[str, list[Any]]:
    """Every value of every sampled parameter, for the grid sampler."""
    values: dict[str, list[Any]] = {}
    for key, domain in space.hyperparameters.items():
        if len(domain.choices) != 1:
            values[key] = domain.values()
        if domain.optional:
            values[key + SWITCH] = [True, False]
    return values


class _Tpe(TPESampler):
    """Optuna's, proposal for proposal, without two searches through the past: for the parameters that all trials have (all have
    all), and for the inner form of every value, which the history keeps. They are half of its time."""

    def __init__(self, parameters: Mapping[str, BaseDistribution], history: History, **options: Any) -> None:
        super().__init__(**options)
        self._parameters = dict(sorted(parameters.items()))
        self._history = history
        self._jointly = options.get("multivariate", True) and not options.get("group")

    def infer_relative_search_space(self, study: Study, trial: FrozenTrial) -> dict[str, BaseDistribution]:
        return self._parameters if self._jointly else super().infer_relative_search_space(study, trial)

    # Not public: should Optuna rename it, proposals stay the same and take a third longer.
    def _get_internal_repr(
        self, trials: list[FrozenTrial], search_space: dict[str, BaseDistribution], *rest: Any
    ) -> dict[str, np.ndarray]:
        del rest
        rows = [self._history.inner(trial) for trial in trials]
        return {name: np.array([row[name] for row in rows], dtype=float) for name in search_space}


def history(space: Space, direction: StudyDirection) -> History:
    """Where the working study lives, which shows a sampler as much of the past as it needs."""
    # A past shorter than the startup would be random search for ever.
    startup = 10 * space.sampler.options.get("n_startup_trials", 0)
    whole = _WHOLE & {space.sampler.kind, space.pruner.kind}
    return History(direction, math.inf if whole or len(space.objective_names) > 1 else max(RECENT, startup))


def sampler(space: Space, number: int, history: History) -> BaseSampler:
    """The sampler that proposes trial `number`.

    A sampler's random state is not stored with a study, so each proposal gets a sampler of its own, seeded by the study's
    seed and the trial's number: an interrupted search proposes what it would have proposed. Those that walk a sequence
    keep their place in the study's attributes and need the same seed throughout.
    """
    kind, options = space.sampler.kind, space.sampler.options
    own = int(np.random.SeedSequence((space.seed, number)).generate_state(1)[0])
    quiet: dict[str, Any] = {"warn_independent_sampling": False}
    with warnings.catch_warnings():
        warnings.simplefilter(
            "ignore", optuna.exceptions.ExperimentalWarning
        )  # gp and qmc: known, and asked for by name
        try:
            match kind:
                case "tpe":
                    return _Tpe(distributions(space.hyperparameters), history, seed=own, **options)
                case "random":
                    return optuna.samplers.RandomSampler(seed=own)
                case "gp":
                    return optuna.samplers.GPSampler(seed=own, **quiet, **options)
                case "cmaes":
                    return optuna.samplers.CmaEsSampler(seed=own, **quiet, **options)
                case "qmc":
                    defaults = {"scramble": True, **quiet, "warn_asynchronous_seeding": False}
                    return optuna.samplers.QMCSampler(seed=space.seed, **(defaults | options))
                case _:
                    return optuna.samplers.GridSampler(grid(space), seed=space.seed)
        except (ValueError, TypeError) as error:
            raise InputError(f"sampler: Optuna refuses the options of {kind}: {error}") from error


def pruner(space: Space, history: History) -> BasePruner:
    """The pruner; unless told otherwise, none of them decides before epoch 4."""
    kind, options = space.pruner.kind, dict(space.pruner.options)
    epochs = space.most_epochs
    warmup = {"n_warmup_steps": FIRST_DECISION}
    first = {"min_resource": min(FIRST_DECISION, epochs)}
    try:
        match kind:
            case "paired":
                return PairedPruner(history, _overlap(space.data.split), **(warmup | options))
            case "median" | "percentile":
                share = {"percentile": 50.0 if kind == "median" else 25.0}
                return PercentilePruner(history, **(share | warmup | options))
            case "hyperband":
                return optuna.pruners.HyperbandPruner(max_resource=epochs, **(first | options))
            case "successive_halving":
                return optuna.pruners.SuccessiveHalvingPruner(**(first | options))
            case "patient":
                own = {name: options.pop(name) for name in ("patience", "min_delta") if name in options}
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
                    wrapped = PercentilePruner(history, 50.0, **(warmup | options))
                    return optuna.pruners.PatientPruner(wrapped, **({"patience": 5} | own))
            case _:
                return optuna.pruners.NopPruner()
    except (ValueError, TypeError) as error:
        raise InputError(f"pruner: Optuna refuses the options of {kind}: {error}") from error


def _overlap(split: SplitConfig) -> float:
    """Validation rows over training rows of a fold, or over time, where training parts grow, of all folds together."""
    folds = split.folds or 2
    return 2 / (folds + 1) if split.time else 1 / (folds - 1)


def check(space: Space) -> None:
    """Raises InputError if Optuna refuses the options of sampler or pruner."""
    past = history(space, StudyDirection.MINIMIZE)
    sampler(space, 0, past)
    pruner(space, past)
