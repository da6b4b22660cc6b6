"""The trials that the selected configuration is compared with: the baselines, and the selected configuration without
regularization or adaptation."""

from __future__ import annotations

from typing import Any

from hpo.core.metrics import BALANCED_METRICS
from hpo.core.trial import Outcome, Trial
from hpo.core.trial_key import TrialKey
from hpo.regularizers import FAMILY, STRENGTHS
from hpo.regularizers.active import active_adaptation, active_regularization
from hpo.regularizers.configs import make_config
from hpo.space.hyperparameter import Hyperparameter
from hpo.space.space import Space
from hpo.study.seeds import fit_seed

_STILL_IMPROVING = 0.9  # a best epoch beyond this share of all epochs
_FASTER = {"fast": 3.0, "faster": 10.0}
DEFAULT_STRENGTHS = {"weight_decay": 1e-2, "dropout": 0.15}  # the strengths of the baseline `defaults`


def baseline_trials(space: Space) -> list[Trial]:
    """`none` (every regularizer off) and `defaults` (the usual strengths, clipped to the ranges of the space).

    A usual strength that the space does not search has no range to be clipped to, and keeps its usual value. A searched
    class weight is no regularization: if the followed metric counts all classes alike, both baselines have the balanced
    one (1), else none (0), clipped to the range.
    """
    others = {
        key: _usual_value(space, key, values) for key, values in space.hyperparameters.items() if key not in STRENGTHS
    }
    off = {key: _unregularized_value(space, key) for key in space.search if key in STRENGTHS}
    resolved = space.middle(others | off)
    others, off = {key: resolved[key] for key in others}, {key: resolved[key] for key in off}
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


def _unregularized_value(space: Space, key: str) -> Any:
    """The value of a strength in the baseline `none`: off, unless it is the class weight."""
    values = space.search[key]
    if key != "class_weight":
        return STRENGTHS[key].default_value
    if space.train.metric in BALANCED_METRICS:
        return values.clip(1.0)
    return 0.0 if values.optional else values.clip(0.0)


def faster_baselines(outcome: Outcome, space: Space) -> list[Trial]:
    """A baseline at three and ten times the learning rate, clipped to the searched range, if it was still improving at
    its last epoch; else nothing. Otherwise a gain over the baseline might only show that it was not trained enough."""
    if outcome.best_epoch < _STILL_IMPROVING * space.train.of(outcome.trial.params).epochs:
        return []
    values, rate = space.hyperparameters["learning_rate"], outcome.trial.params.learning_rate
    trials: list[Trial] = []
    for suffix, factor in _FASTER.items():
        faster = values.clip(factor * rate) if values.sampled else factor * rate
        if faster not in (rate, *(trial.params.learning_rate for trial in trials)):
            key = TrialKey(f"{outcome.trial.key.config}_{suffix}")
            params = outcome.trial.params.with_values({"learning_rate": faster})
            trials.append(Trial(key, "ablation", params, outcome.trial.seed))
    return trials


def ablation(selected: Trial) -> Trial:
    """The selected configuration with every regularizer off and the same seed, to measure the effect of
    regularization. It keeps a class weight, which is part of what the metric asks for."""
    off = {key: STRENGTHS[key].default_value for key in active_regularization(selected.params)}
    return Trial(selected.key.ablation(), "ablation", selected.params.with_values(off), selected.seed)


def without_strength(selected: Trial, name: str) -> Trial:
    """The selected configuration with one regularizer off and the same seed, to measure what that one contributes."""
    params = selected.params.with_values({name: STRENGTHS[name].default_value})
    return Trial(selected.key.without(name), "ablation", params, selected.seed)


def without_adaptation(selected: Trial) -> Trial:
    """The selected configuration without domain adaptation and with the same seed, to measure the effect of
    adaptation."""
    off = {key: STRENGTHS[key].default_value for key in active_adaptation(selected.params)}
    key = selected.key.without("+".join(off)) if selected.key.part else selected.key.unadapted()
    return Trial(key, "ablation", selected.params.with_values(off), selected.seed)
