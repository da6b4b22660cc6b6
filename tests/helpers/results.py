"""A `SearchResult` for tests that read a few of its attributes."""

from typing import Any

from hpo.selection.result import SearchResult
from hpo.selection.result_parts import RefitResult

_EMPTY: dict[str, Any] = {
    "study": "tiny",
    "result_options": {},
    "trials": {},
    "selected": {},
    "trial": "0",
    "fit_seed": 0,
    "best_epoch": 1,
    "nonzero_share": 1.0,
    "search_score": None,
    "train": {},
    "valid": {},
    "gap": None,
    "reevaluated": {},
    "expected": {},
    "test": {},
    "test_single": {},
    "baselines": {},
    "rule": "best",
    "rules": {},
    "score": {},
    "verdict": None,
    "regularization": None,
    "contributions": {},
    "finalists": {},
    "reevaluated_scores": {},
    "test_train_ratio": None,
    "networks": {},
    "test_evaluations": 0,
    "test_domain_differs": False,
    "front": [],
    "validators": [],
    "adaptation": None,
    "refit": RefitResult("none", None, None, None),
    "metric": "loss",
    "task": "classification",
    "epochs_trained": 0,
    "epochs_possible": 0,
    "fit_epochs": {},
    "slots": 0,
    "workers": 1,
    "device": "cpu",
    "notes": [],
    "fingerprint": "",
    "init_digest": "",
    "shape": {},
    "versions": {},
    "date": "2026-01-01",
    "tracking_uri": "",
    "run_id": "",
    "experiment_id": "",
    "startup_seconds": 0.0,
}


def search_result(**values: Any) -> SearchResult:
    """Return a result with these attributes; the others are empty."""
    return SearchResult(**_EMPTY | values)
