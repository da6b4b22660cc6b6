"""Where a search trains: on the CPU, or on a GPU that torch sees."""

from __future__ import annotations

import torch

from hpo.core.errors import InputError

CHOICES = ("auto", "cpu", "cuda")
CPU = torch.device("cpu")


def resolve_device(wanted: str, workers: int = 1) -> torch.device:
    """The device that a user means. `auto` is the GPU if torch sees one and a single process trains, else the CPU.

    Raises InputError where `cuda` is wanted and there is none, or with several workers.
    """
    if wanted not in CHOICES:
        raise InputError(f"device must be {', '.join(CHOICES[:-1])} or {CHOICES[-1]}, got {wanted!r}.")
    if wanted == "cuda" and workers > 1:
        raise InputError(
            f"workers must be 1 on a GPU, which one process fills, got {workers}; leave it out, or take device cpu."
        )
    if wanted == "cpu" or (wanted == "auto" and workers > 1):
        return CPU
    if torch.cuda.is_available():
        return torch.device("cuda")
    if wanted == "cuda":
        raise InputError(
            f"device cuda needs a GPU, and torch {torch.__version__} sees none here; take device cpu, or auto."
        )
    return CPU


def device_name(device: torch.device) -> str:
    """As people call it: `cpu`, or the model of the GPU."""
    return torch.cuda.get_device_name(device) if device.type == "cuda" else device.type


def generators(device: torch.device) -> list[torch.device]:
    """The devices whose random state is kept apart, for `torch.random.fork_rng`; the CPU's always is."""
    return [device] if device.type == "cuda" else []
