"""Records of the honesty benchmark with known numbers."""

from collections.abc import Mapping
from typing import Any

Json = dict[str, Any]


def made_record(
    name: str = "a",
    seed: int = 0,
    mode: str = "holdout",
    *,
    metric: str = "loss",
    ours: tuple[float, float, float] = (0.75, 0.8, 1.0),
    argmax: tuple[float, float, float] = (0.4, 0.9, 1.0),
    interval: tuple[float, float] = (0.7, 0.9),
    **more: Any,
) -> Json:
    """Return the record of a search; `ours` and `argmax` are the reported loss, that on test, and the defaults'.

    Its pool has the trials 7, which is handed over, and 8, and the defaults, each with scores of both halves of the
    test rows. Other metrics are 1 - loss.
    """
    times = 4 if mode == "folds" else 1
    metrics = ["loss", "balanced_accuracy"]
    pool = {
        "defaults": _pooled(metric, ours[2], (ours[2], ours[2]), 0.0, 0.5),
        "7": _pooled(metric, ours[1], (ours[1] - 0.1, ours[1] + 0.1), 0.1, 0.9),
        "8": _pooled(metric, 0.85, (0.9, 0.8), 0.05, 0.7),
    }
    record = {
        "set": name,
        "seed": seed,
        "mode": mode,
        "task": "classification",
        "metric": metric,
        "metrics": metrics,
        "networks": 5,
        "rows": {"dev": 100, "test": 500},
        "epochs": {"search": 100 * times, "fresh": 20 * times, "refit": 5},
        "seconds": {"search": 2.0 * times, "report": 1.0},
        "wall": 2.0 * times + 1,
        "after_last_proposal": {"seconds": 1.5, "training": 0.5, "fit_seconds": 4.0},
        "ours": {
            "trial": "7",
            "rule": "expected",
            **_scores(ours),
            "interval": {"loss": list(interval), "balanced_accuracy": [1 - interval[1], 1 - interval[0]]},
            "single": _scores((ours[0] + 0.1, ours[1] + 0.1, ours[2])),
        },
        "argmax": {
            "trial": "8",
            "reported": _all(argmax[0]),
            "single": _against(argmax[1], argmax[2]),
            "average": _against(argmax[1] - 0.05, argmax[2]),
        },
        "default": "defaults",
        "verdict": {"rival": "7", "reference": "defaults", "gain": {"relative": 0.1, "probability": 0.9}},
        "rules": {"expected": "7", "safe": "defaults"},
        "pool": pool,
    }
    return record | more


def _pooled(metric: str, test: float, halves: tuple[float, float], relative: float, probability: float) -> Json:
    scores = [half if metric == "loss" else 1 - half for half in halves]
    gain = {"relative": relative, "probability": probability}
    return {"search": test, "gain": gain, "test": _all(test), "single": _all(test), "halves": scores}


def _scores(losses: tuple[float, float, float]) -> Json:
    return {"reported": _all(losses[0]), **_against(losses[1], losses[2])}


def _against(test: float, default: float) -> Json:
    return {"test": _all(test), "default_test": _all(default)}


def _all(loss: float) -> Mapping[str, float]:
    return {"loss": loss, "balanced_accuracy": 1 - loss}
