"""Selection of the training device: the CPU, or a GPU that torch supports."""

from __future__ import annotations

import torch

from hpo.core.errors import InputError

DEVICES = ("auto", "cpu", "cuda")
CPU = torch.device("cpu")


def resolve_device(requested: str, workers: int = 1) -> torch.device:
    """Return the requested device. `auto` is the GPU if torch finds one and there is a single worker, else the CPU.

    Raises InputError if `cuda` is requested although there is no GPU, or although there are several workers.
    """
    if requested not in DEVICES:
        raise InputError(f"device must be {', '.join(DEVICES[:-1])} or {DEVICES[-1]}, got {requested!r}.")
    if requested == "cuda" and workers > 1:
        raise InputError(
            f"workers must be 1 on a GPU, because one process uses all of it, got {workers}; leave it out, or use "
            "device cpu."
        )
    if requested == "cpu" or (requested == "auto" and workers > 1):
        return CPU
    if torch.cuda.is_available():
        return torch.device("cuda")
    if requested == "cuda":
        raise InputError(f"device cuda needs a GPU, but torch {torch.__version__} finds none; use device cpu, or auto.")
    return CPU


def device_name(device: torch.device) -> str:
    """Return the name to display: `cpu`, or the model of the GPU."""
    return torch.cuda.get_device_name(device) if device.type == "cuda" else device.type


def rng_devices(device: torch.device) -> list[torch.device]:
    """Return the `devices` argument of `torch.random.fork_rng`, which always saves the CPU's random state as well."""
    return [device] if device.type == "cuda" else []
