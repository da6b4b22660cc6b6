"""The fastest loop that trains one network at a time.

Tensors in memory, one shuffle per epoch, the fused AdamW (1.3 times as fast as `foreach=True` on this network), no
logging, and the study in memory.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping

import optuna
import torch
from torch.nn import functional

from bench.task import Answer, Task
from hpo.study.samplers import distributions


def epochs(task: Task, configuration: Mapping[str, float], seed: int) -> Iterator[float]:
    """Train one configuration; yield its validation loss after each epoch."""
    torch.manual_seed(seed)
    lr, batch_size = configuration["learning_rate"], task.space.train.minibatch
    threshold = lr * configuration["l1"]
    network = task.network(int(configuration["depth"]), configuration["dropout"])
    weights = [p for p in network.parameters() if p.dim() == 2]
    decay = configuration["weight_decay"]
    optimizer = torch.optim.AdamW(network.parameters(), lr=lr, weight_decay=decay, fused=True)
    (x, y), (valid_x, valid_y) = task.train, task.valid
    for _ in range(task.space.train.epochs):
        order = torch.randperm(len(x))
        network.train()
        for batch_x, batch_y in zip(x[order].split(batch_size), y[order].split(batch_size), strict=True):
            optimizer.zero_grad()
            functional.cross_entropy(network(batch_x), batch_y).backward()
            optimizer.step()
            with torch.no_grad():
                for weight in weights:
                    weight.copy_(functional.softshrink(weight, threshold))
        network.eval()
        with torch.inference_mode():
            logits = network(valid_x)
            loss = functional.cross_entropy(logits, valid_y).item()
            (logits.argmax(1) == valid_y).float().mean().item()  # the accuracy, which every contender computes
        yield loss


def run(task: Task) -> Answer:
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = optuna.create_study(sampler=optuna.samplers.TPESampler(seed=0))
    for configuration in task.configurations:
        study.enqueue_trial(configuration)
    began = time.perf_counter()
    for _ in task.configurations:
        trial = study.ask(distributions(task.space.search))
        study.tell(trial, min(epochs(task, trial.params, trial.number)))
    return Answer(time.perf_counter() - began, [trial.value for trial in study.trials])
