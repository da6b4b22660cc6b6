"""What is chosen, and what it is compared with: pure functions on trials and outcomes."""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from hpo.core.metrics import Metric
from hpo.core.trial import Outcome, Trial
from hpo.regularizers import FAMILY, STRENGTHS
from hpo.space.hyperparameter import Hyperparameter
from hpo.space.space import Space

DEFAULT_STRENGTHS = {"weight_decay": 1e-2, "dropout": 0.15}  # the strengths of the baseline `defaults`


def fit_seed(space: Space, label: str) -> int:
    """The seed of a trial's fits: from the study's seed and the trial's name, unless the space fixes it."""
    return fresh_seed(space, label) if space.train.seed is None else space.train.seed


def fresh_seed(space: Space, label: str) -> int:
    """A seed that no other name has, whatever the space fixes."""
    key = int(label) if label.isdigit() else zlib.crc32(label.encode()) + 2**32
    own = space.seed if space.train.seed is None else space.train.seed
    return int(np.random.SeedSequence((own, key)).generate_state(1)[0])


def baselines(space: Space) -> list[Trial]:
    """`none` (every regularizer off) and `defaults` (what people use unsearched), clipped to the space.

    A usual strength that the space does not name has no range to be clipped to, and keeps its usual value.
    """
    frame = {key: _usual(space, key, domain) for key, domain in space.hyperparameters.items() if key not in STRENGTHS}
    off = {key: STRENGTHS[key].default_value for key in space.search if key in STRENGTHS}
    frame = {key: value for key, value in space.middle(frame | off).items() if key not in STRENGTHS}
    usual = {
        key: space.search[key].clip(value) if key in space.search else value for key, value in DEFAULT_STRENGTHS.items()
    }
    return [
        Trial("none", "baseline", frame | off, fit_seed(space, "none")),
        Trial("defaults", "baseline", frame | off | usual, fit_seed(space, "defaults")),
    ]


def _usual(space: Space, key: str, domain: Hyperparameter) -> Any:
    """The value of what is no strength in the baselines: the middle of its range for the depth, and for the arguments of a
    factory, of which nobody knows what is usual."""
    if key == "learning_rate":
        return domain.clip(1e-3)
    if key == "depth" or key not in FAMILY:
        return domain.middle()
    return domain.clip(space.default_of(key))


def ablation(selected: Trial) -> Trial:
    """The selected configuration with every regularizer off, from the same seed: what regularization itself gained."""
    params = {
        key: STRENGTHS[key].default_value if key in STRENGTHS else value for key, value in selected.params.items()
    }
    return Trial(f"ablation-{selected.label}", "ablation", params, selected.seed)


def without_adaptation(selected: Trial) -> Trial:
    """The selected configuration without what takes another domain into account, from the same seed: what adaptation itself gained."""
    off = {key: STRENGTHS[key].default_value for key in adapting(selected.params)}
    return Trial(f"unadapted-{selected.label}", "ablation", {**selected.params, **off}, selected.seed)


def best(outcomes: Iterable[Outcome], metric: Metric) -> Outcome | None:
    """The outcome with the best value among those that were not stopped by a pruner; of all, if there is none such.

    Equals are ordered by loss and label, never by which came first: a search that was interrupted would choose otherwise,
    and the weights of its choice would be gone.
    """
    return next(iter(ranked(outcomes, metric)), None)


def ranked(outcomes: Iterable[Outcome], metric: Metric) -> list[Outcome]:
    """Those that `best` chooses from, the best first."""
    judged = [o for o in outcomes if o.value is not None and o.state != "failed"]
    whole = [o for o in judged if o.state == "complete"] or judged
    return sorted(whole, key=lambda o: ((o.value or 0.0) * metric.sign, o.valid["loss"], o.trial.label))


def regularizing(params: Mapping[str, Any]) -> list[str]:
    """The strengths that are on."""
    return [key for key, value in params.items() if key in STRENGTHS and value != STRENGTHS[key].default_value]


def adapting(params: Mapping[str, Any]) -> list[str]:
    """Those among them that take another domain into account."""
    return [key for key in regularizing(params) if "target" in STRENGTHS[key].needs]


def regularized(params: Mapping[str, Any]) -> bool:
    """Whether any strength is on."""
    return bool(regularizing(params))
