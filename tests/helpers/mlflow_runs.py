"""Read the MLflow runs of a search, and make outcomes to record."""

import json
from pathlib import Path
from types import SimpleNamespace

from mlflow import MlflowClient
from mlflow.entities import Run

from hpo.core.trial import Outcome, Trial
from hpo.core.trial_key import TrialKey
from hpo.regularizers.configs import make_config
from tests.helpers.searches import TINY, here, outcomes, write_space

STATUS = {"complete": "FINISHED", "pruned": "KILLED", "failed": "FAILED"}


def child_runs(client: MlflowClient, parent: str) -> dict[str, Run]:
    """Return the child runs of a search by trial label; each label occurs once."""
    of = client.get_run(parent).info.experiment_id
    found = list(client.search_runs([of], f"tags.`mlflow.parentRunId` = '{parent}'"))
    labels = [run.data.tags["hpo.trial"] for run in found]
    assert len(labels) == len(set(labels))
    return dict(zip(labels, found, strict=True))


def make_outcome(label, state, epochs):
    trial = Trial(
        TrialKey.parse(label),
        "search" if label.isdigit() else "baseline",
        make_config({"learning_rate": 0.01, "depth": 2.0, "l1": 0.0}),
        7,
    )
    curves = {name: [1 / (k + 1) for k in range(epochs)] for name in ("train_loss", "valid_loss", "valid_accuracy")}
    if state == "failed":
        curves["valid_loss"][-1] = float("nan")
    scores = {"loss": 0.25, "accuracy": 0.5} if epochs else {}
    times = [1e9 + 0.001 * k for k in range(epochs)]
    return Outcome(
        trial,
        state,
        f"because, {label}",
        0.25,
        epochs,
        epochs,
        scores,
        scores,
        0.123456789,
        curves,
        fold_curves={},
        fit_epochs=epochs,
        started=1e9,
        epoch_times=times,
        rounds=[0, epochs],
        values={},
    )


OUTCOMES = [
    make_outcome("none", "complete", 3),
    make_outcome("0", "complete", 300),
    make_outcome("1", "pruned", 4),
    make_outcome("2", "failed", 5),
    make_outcome("3", "failed", 1),
]


def experiments(store: Path) -> set[str]:
    """Return the names of all experiments in the store's database."""
    from mlflow.entities import ViewType

    found = MlflowClient(f"sqlite:///{store}/mlflow.db").search_experiments(ViewType.ALL)
    return {experiment.name for experiment in found}


VARIED = {  # most of these learning rates diverge, and the pruner decides early
    "search": TINY["search"] | {"learning_rate": {"choices": [1e-3, 3e-2, 1e30]}},
    "data": {"source": "sklearn:wine", "split": {"valid": 0.4}},  # two folds per re-drawing of the split
    "train": {"epochs": 6, "batch_size": 32},
    "pruner": {"kind": "median", "n_startup_trials": 1, "n_warmup_steps": 1},
}


def record_search(store):
    """A search with trials of every state, and its runs in MLflow."""
    space = write_space(store, **VARIED, budget={"trials": 9})
    ran = here("search", "--space", space, "--store", store, "--json")
    assert ran.exit_code == 0, ran.stderr
    result = json.loads(ran.stdout)
    client = MlflowClient(result["tracking_uri"])
    runs = child_runs(client, result["run_id"])
    return SimpleNamespace(
        store=store,
        space=space,
        result=result,
        client=client,
        runs=runs,
        known=outcomes(store),
        parent=client.get_run(result["run_id"]),
        everything=client.search_runs([result["experiment_id"]]),
    )
