"""The trials that the selected configuration is compared with: the baselines, and the selected configuration without
regularization or adaptation."""

from __future__ import annotations

from typing import Any

from hpo.core.trial import Trial
from hpo.core.trial_key import TrialKey
from hpo.regularizers import FAMILY, STRENGTHS
from hpo.regularizers.active import active_adaptation
from hpo.regularizers.configs import make_config
from hpo.space.hyperparameter import Hyperparameter
from hpo.space.space import Space
from hpo.study.seeds import fit_seed

DEFAULT_STRENGTHS = {"weight_decay": 1e-2, "dropout": 0.15}  # the strengths of the baseline `defaults`


def baseline_trials(space: Space) -> list[Trial]:
    """`none` (every regularizer off) and `defaults` (the usual strengths, clipped to the ranges of the space).

    A usual strength that the space does not search has no range to be clipped to, and keeps its usual value.
    """
    others = {
        key: _usual_value(space, key, values) for key, values in space.hyperparameters.items() if key not in STRENGTHS
    }
    off = {key: STRENGTHS[key].default_value for key in space.search if key in STRENGTHS}
    others = {key: value for key, value in space.middle(others | off).items() if key not in STRENGTHS}
    usual = {
        key: space.search[key].clip(value) if key in space.search else value for key, value in DEFAULT_STRENGTHS.items()
    }
    configs = {"none": make_config(others | off), "defaults": make_config(others | off | usual)}
    keys = {name: TrialKey(name) for name in configs}
    return [Trial(keys[name], "baseline", config, fit_seed(space, keys[name])) for name, config in configs.items()]


def _usual_value(space: Space, key: str, values: Hyperparameter) -> Any:
    """The value, in the baselines, of a key that is not a strength. It is the usual value, except that the depth, and
    a factory's arguments, whose usual values are unknown, get the middle of their range."""
    if key == "learning_rate":
        return values.clip(1e-3)
    if key == "depth" or key not in FAMILY:
        return values.middle()
    return values.clip(space.default_of(key))


def ablation(selected: Trial) -> Trial:
    """The selected configuration with every regularizer off and the same seed, to measure the effect of
    regularization."""
    off = {key: STRENGTHS[key].default_value for key in selected.params.strengths}
    return Trial(selected.key.ablation(), "ablation", selected.params.with_values(off), selected.seed)


def without_adaptation(selected: Trial) -> Trial:
    """The selected configuration without domain adaptation and with the same seed, to measure the effect of
    adaptation."""
    off = {key: STRENGTHS[key].default_value for key in active_adaptation(selected.params)}
    return Trial(selected.key.unadapted(), "ablation", selected.params.with_values(off), selected.seed)
