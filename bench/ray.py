"""Ray Tune on all cores of one machine: `OptunaSearch` proposes, the tight loop is the trainable.

It reports each epoch; a trial has one processor. Ray's default records (CSV, JSON and TensorBoard per trial) are
written.
"""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from pathlib import Path

os.environ |= {"RAY_USAGE_STATS_ENABLED": "0", "RAY_DEDUP_LOGS": "0"}

import optuna
import ray
from ray import tune
from ray.tune.search.optuna import OptunaSearch

from bench.task import Answer, Task
from bench.tight import epochs
from hpo.study.samplers import distributions


def _train(config: Mapping[str, float], task: Task) -> None:
    best = float("inf")
    for loss in epochs(task, config, seed=0):
        best = min(best, loss)
        tune.report({"loss": loss, "best": best})


def run(task: Task) -> Answer:
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    here = Path.cwd()
    ray.init(
        num_cpus=task.cores,
        include_dashboard=False,
        _node_ip_address="127.0.0.1",
        _temp_dir=str(here / "ray"),
        logging_level="error",
        log_to_driver=False,
    )
    try:
        tuner = tune.Tuner(
            tune.with_resources(tune.with_parameters(_train, task=task), {"cpu": 1}),
            tune_config=tune.TuneConfig(
                search_alg=OptunaSearch(
                    distributions(task.space.search), metric="loss", mode="min", points_to_evaluate=task.configurations
                ),
                metric="loss",
                mode="min",
                num_samples=len(task.configurations),
                max_concurrent_trials=task.cores,
                reuse_actors=True,
            ),
            run_config=tune.RunConfig(storage_path=str(here / "results"), verbose=0),
        )
        began = time.perf_counter()
        results = tuner.fit()
        seconds = time.perf_counter() - began
    finally:
        ray.shutdown()
    best = {tuple(sorted(result.config.items())): result.metrics["best"] for result in results}
    return Answer(seconds, [best[tuple(sorted(c.items()))] for c in task.configurations])
