"""The result of a search: what was selected and why, what it is compared with, and the scores of all of them."""

from __future__ import annotations

import math
import platform
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import version
from typing import Any

import numpy as np
from torch import Tensor

from hpo.core import objectives, statistics
from hpo.core.metrics import METRICS, compute_metrics, display_metric, labelled_metric, test_metrics, tracked_metrics
from hpo.data.dataset import Dataset
from hpo.selection import rules, validator_ranking
from hpo.selection.finals import Finalist, Finals
from hpo.selection.refit import FinalNetwork
from hpo.space.space import Space
from hpo.study import ranking as selection
from hpo.study.study import Study
from hpo.training.experiment import Experiment


@dataclass(frozen=True)
class Verdict:
    """What was selected by which rule, and by how much it, or the best rival if the defaults were selected, beats the defaults on
    fresh splits: the paired mean and its standard error, in the followed metric, over so many fits."""

    selected: str
    rule: str
    choices: Mapping[str, str]
    rival: str
    gain: float
    standard_error: float
    fits: int
    beyond_noise: bool

    @classmethod
    def of(cls, finals: Finals, rule: str) -> Verdict:
        candidates = {c.label: c for c in finals.candidates()}
        choices = finals.choices()
        selected, default = choices[rule], candidates[rules.DEFAULT]
        rivals = [c for c in rules.in_contention(list(candidates.values())) if c.label != rules.DEFAULT]
        best = min(rivals, key=lambda c: c.mean, default=default)
        rival = candidates[selected] if selected != rules.DEFAULT else best
        gain, error = statistics.paired_gain(rival.scores, default.scores, finals.test_train_ratio)
        beats = rival in rules.better_than_default(list(candidates.values()), finals.test_train_ratio)
        fits = len(statistics.finite_pairs(rival.scores, default.scores)[0])
        return cls(selected, rule, choices, rival.label, gain, error, fits, beats)


def table(
    job: Experiment,
    final: tuple[Finals, Verdict] | None,
    compared: Mapping[str, Finalist],
    tests: Mapping[str, Mapping[str, float]],
) -> dict[str, Any]:
    """The selected configuration and its scores, beside those it is compared with; `final` is what it was selected by, `tests` are
    its scores on the test part."""
    entries = {name: _entry(job, finalist, tests.get(name, {})) for name, finalist in compared.items()}
    chosen = entries.pop("selected")
    found = {"selected": chosen.pop("params"), **chosen, "baselines": entries}
    if final is None:
        return found | {
            "rule": "best",
            "rules": {},
            "score": {},
            "verdict": None,
            "regularization": None,
            "finalists": {},
        }
    (finals, verdict), selected = final, compared["selected"]
    names = tracked_metrics(job.data.task, job.space.train.metric)
    against = {name: getattr(verdict, name) for name in ("rival", "gain", "standard_error", "fits", "beyond_noise")}
    return found | {
        "rule": verdict.rule,
        "rules": dict(verdict.choices),
        "regularization": _regularization(job, finals, selected, compared["ablation"]),
        "fresh_scores": {name: [plain(v) for v in selected.scores(name).tolist()] for name in names},
        "overlap": finals.test_train_ratio,
        "score": {name: _score(job, selected, name, chosen, finals) for name in names},
        "verdict": {name: plain(value) for name, value in against.items()},
        "finalists": _finalists(finals, job.space.train.metric),
    }


def _regularization(job: Experiment, finals: Finals, selected: Finalist, without: Finalist) -> dict[str, Any] | None:
    """What regularization gained on fresh splits against the same without it, in the metric that is shown, and if that is another
    one in the `followed` as well; None if there is none."""
    if without is selected:
        return None

    def gained(name: str) -> dict[str, Any]:
        ours, theirs = (METRICS[name].sign * f.scores(name) for f in (selected, without))
        gain, error = statistics.paired_gain(ours, theirs, finals.test_train_ratio)
        clear = statistics.significantly_different(ours, theirs, finals.test_train_ratio, 0.1)
        return {"metric": name, "gain": plain(gain), "standard_error": plain(error), "beyond_noise": clear}

    followed = job.space.train.metric
    name = display_metric(job.data.task, followed)
    return gained(name) | {"followed": gained(followed) if followed != name else None}


def _score(
    job: Experiment, finalist: Finalist, metric: str, chosen: Mapping[str, Any], finals: Finals
) -> dict[str, Any]:
    """One metric of the selected configuration on its way from the search to the test, and where its test was expected."""
    low, high = statistics.prediction_interval(
        finalist.finite_scores(metric), finals.test_train_ratio, finals.valid_rows / len(job.data.test_y)
    )
    least, most = METRICS[metric].bounds
    found = {
        "search": finalist.searched.valid.get(metric),
        "fresh": finalist.mean(metric),
        "interval": [max(low, least), min(high, most)]
        if math.isfinite(high - low)
        else [None, None],  # of one score there is none
        "test": chosen["test"].get(metric),
    }
    return {name: plain(value) for name, value in found.items()}


def _entry(job: Experiment, finalist: Finalist, test: Mapping[str, float]) -> dict[str, Any]:
    """One configuration of the result table."""
    outcome, names = finalist.searched, tracked_metrics(job.data.task, job.space.train.metric)
    return {
        "trial": outcome.trial.label,
        "params": dict(outcome.trial.params),
        "fit_seed": outcome.trial.seed,
        "best_epoch": outcome.best_epoch,
        "nonzero_share": outcome.nonzero_share,
        "train": _defined(outcome.train),
        "valid": _defined(outcome.valid),
        "fresh": _defined({name: finalist.mean(name) for name in names} if finalist.fresh else {}),
        "test": _defined(test),
    }


def _finalists(finals: Finals, metric: str) -> dict[str, Any]:
    """Every finalist: its score in the search, on fresh splits, the error of the latter, and on how many."""
    found = {}
    for label in [
        c.label for c in sorted(finals.candidates(), key=lambda c: (not math.isfinite(c.mean), c.mean, c.label))
    ]:
        finalist = finals.finalists[label]
        error = statistics.standard_error(finalist.finite_scores(metric), finals.test_train_ratio)
        known = {"search": finalist.searched.valid.get(metric), "fresh": finalist.mean(metric), "standard_error": error}
        found[label] = {name: plain(value) for name, value in known.items()} | {"fits": len(finalist.scores(metric))}
    return found


def criteria(study: Study, job: Experiment) -> list[dict[str, Any]]:
    """How far criteria that need no labels of the target would have led; nothing where no labelled rows of the target judge."""
    if not job.data.valid_is_target:
        return []
    found = validator_ranking.rank(study.budget_outcomes(), labelled_metric(job.space.train.metric))
    return [{name: plain(value) for name, value in vars(one).items()} for one in found]


def adaptation(
    compared: Mapping[str, Finalist], networks: Mapping[str, FinalNetwork], said: Mapping[str, Tensor]
) -> dict[str, Any] | None:
    """On how many of the target's test rows the selected network is better than its `twin` that takes no other domain into account,
    and on how many worse, from what final networks `said` (1, rows, outputs); None where there are not both, or no such rows."""
    selected, twin = compared["selected"], "unadapted" if "unadapted" in compared else "ablation"
    if not (selection.adapting(selected.searched.trial.params) and {"selected", twin} <= said.keys()):
        return None
    data = networks[selected.label].data
    if not data.tests_another:
        return None
    lost = [_lost(data, said[name][0]) for name in (twin, "selected")]
    return {"twin": twin, **vars(statistics.paired_counts(*lost))}


def _lost(data: Dataset, logits: Tensor) -> np.ndarray:
    """Which test rows a network is wrong on, or by how much it misses them, (rows,)."""
    return np.asarray(
        logits.argmax(1) != data.test_y if data.task == "classification" else (logits[:, 0] - data.test_y).abs()
    )


def front(study: Study, space: Space) -> list[dict[str, Any]]:
    """The trials that no other beats in every objective, the best in the first one first; none where there is one objective."""
    if len(space.objective_names) < 2:
        return []
    goal = space.objective_names[0]
    found = sorted(study.front(), key=lambda o: (objectives.sign(goal) * o.values[goal], o.trial.label))
    return [
        {
            "trial": o.trial.label,
            "params": dict(o.trial.params),
            "fit_seed": o.trial.seed,
            "best_epoch": o.best_epoch,
            "values": dict(o.values),
            "train": _defined(o.train),
            "valid": _defined(o.valid),
        }
        for o in found
    ]


def refit(way: str, final: FinalNetwork | None, ways: Mapping[str, Mapping[str, float]]) -> dict[str, Any]:
    """How the final network was made, and what the ways are worth beside each other."""
    return {
        "kind": way,  # what was asked for; without weights the network diverged
        "weights": final.label if final else None,
        "epochs": final.epochs if final else None,
        "rows": len(final.data.folds[0].train) if final else None,
        "compared": {name: {key: plain(value) for key, value in found.items()} for name, found in ways.items()},
    }


def fit_epochs(study: Study) -> dict[str, int]:
    """What was trained, in epochs of single networks, by what it was for."""
    found: dict[str, int] = {}
    for outcome in study.outcomes.values():
        role = "search" if outcome.trial.in_budget else outcome.trial.role
        found[role] = found.get(role, 0) + outcome.fit_epochs
    return found


def metrics(result: Mapping[str, Any]) -> dict[str, float]:
    """The numbers of a result, as MLflow shows them at the search's run."""
    parts = {part: result[part] for part in ("valid", "fresh", "test")}
    scores = {
        f"{part}_{name}": value for part, found in parts.items() for name, value in found.items() if value is not None
    }
    return scores | {f"trials_{state}": n for state, n in result["trials"].items()}


def test_scores(space: Space, data: Dataset, logits: Tensor) -> dict[str, float]:
    """Every metric of `logits` (1, rows, outputs) on the test part of the data that the network was trained on, in whose
    units they are."""
    weight = None if data.test_weight is None else data.test_weight.unsqueeze(0)
    names = test_metrics(data.task, space.train.metric)
    scores = compute_metrics(names, data.task, logits, data.test_y.unsqueeze(0), weight, data.target_scale)
    return {name: float(score) for name, score in scores.items()}


def plain(value: Any) -> Any:
    """A value as JSON has it: a number that is not finite is null."""
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _defined(scores: Mapping[str, float]) -> dict[str, float | None]:
    """Scores as JSON has them: one that the rows do not define (an area under a curve of one class) is null."""
    return {name: plain(score) for name, score in scores.items()}


def versions() -> dict[str, str]:
    """Of everything that has a hand in the numbers."""
    packages = ("hpo", "torch", "optuna", "scikit-learn", "numpy", "pandas", "mlflow")
    return {"python": platform.python_version()} | {name: version(name) for name in packages}
