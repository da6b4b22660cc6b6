"""The documented recipe, each part as in its tutorial.

Optuna's `optimize` on a SQLite study, a torch loop over data loaders, and MLflow's fluent interface with a nested run
per trial and metrics for each epoch.
"""

from __future__ import annotations

import time

import mlflow
import optuna
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from bench.task import Answer, Task


def train(network: nn.Sequential, loader: DataLoader, optimizer: torch.optim.Optimizer, l1: float) -> float:
    """Train one epoch; return the mean loss of its batches. `l1` is the soft threshold after each step."""
    network.train()
    total = 0.0
    for x, y in loader:
        optimizer.zero_grad()
        loss = nn.functional.cross_entropy(network(x), y)
        loss.backward()
        optimizer.step()
        with torch.no_grad():
            for layer in network:
                if isinstance(layer, nn.Linear):
                    layer.weight.copy_(nn.functional.softshrink(layer.weight, l1))
        total += loss.item()
    return total / len(loader)


def evaluate(network: nn.Sequential, loader: DataLoader) -> tuple[float, float]:
    """Return the mean loss and the accuracy."""
    network.eval()
    loss, correct, rows = 0.0, 0, len(loader.dataset)
    with torch.no_grad():
        for x, y in loader:
            logits = network(x)
            loss += nn.functional.cross_entropy(logits, y, reduction="sum").item()
            correct += (logits.argmax(1) == y).sum().item()
    return loss / rows, correct / rows


def objective(trial: optuna.Trial, task: Task) -> float:
    lr = trial.suggest_float("learning_rate", 1e-4, 1e-2, log=True)
    depth = trial.suggest_int("depth", 1, 5)
    weight_decay = trial.suggest_float("weight_decay", 1e-5, 1e-1, log=True)
    l1 = trial.suggest_float("l1", 1e-6, 1e-2, log=True)
    dropout = trial.suggest_float("dropout", 0.0, 0.6)
    batch_size = task.space.train.minibatch
    train_loader = DataLoader(TensorDataset(*task.train), batch_size=batch_size, shuffle=True)
    valid_loader = DataLoader(TensorDataset(*task.valid), batch_size=batch_size)
    torch.manual_seed(trial.number)
    network = task.network(depth, dropout)
    optimizer = torch.optim.AdamW(network.parameters(), lr=lr, weight_decay=weight_decay)
    best = float("inf")
    with mlflow.start_run(run_name=f"trial {trial.number}", nested=True):
        mlflow.log_params(trial.params)
        for epoch in range(task.space.train.epochs):
            train_loss = train(network, train_loader, optimizer, lr * l1)
            valid_loss, accuracy = evaluate(network, valid_loader)
            mlflow.log_metrics({"train_loss": train_loss, "valid_loss": valid_loss, "accuracy": accuracy}, step=epoch)
            trial.report(valid_loss, epoch)
            if trial.should_prune():
                raise optuna.TrialPruned
            best = min(best, valid_loss)
    return best


def run(task: Task) -> Answer:
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    mlflow.set_tracking_uri("sqlite:///mlflow.db")
    mlflow.set_experiment("digits")
    study = optuna.create_study(
        study_name="digits",
        storage="sqlite:///optuna.db",
        sampler=optuna.samplers.TPESampler(seed=0),
        pruner=optuna.pruners.NopPruner(),
    )
    for configuration in task.configurations:
        study.enqueue_trial(configuration)
    with mlflow.start_run(run_name="study"):
        began = time.perf_counter()
        study.optimize(lambda trial: objective(trial, task), n_trials=len(task.configurations))
        seconds = time.perf_counter() - began
    return Answer(seconds, [trial.value for trial in study.trials])
