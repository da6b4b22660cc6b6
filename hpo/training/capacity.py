"""Compute how many fits train at once from the budget, the size of the network, and the free memory."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

import torch

from hpo.nn.device import CPU

# Trials that train at once if each has one fit. Measured on a CPU: with fewer rows a step is expensive, and with more
# it gets no cheaper.
_MIN_TRIALS, _MAX_TRIALS = 16, 32
_MAX_GPU_TRIALS = 512  # a kernel launch costs the same for all of them; not measured on a GPU yet
# With fewer trials per worker, a step is expensive; with more, more trials start without the results of others and are
# pruned later (docs/decisions/).
_MIN_TRIALS_PER_WORKER = 12
# If trials have several fits: trials that begin together cannot be compared with each other, and are pruned later.
_MAX_ROWS_OF_FOLDS = 32
# Parameters of all rows together: beyond this, a step waits for memory (in the optimizer and matrix products), and
# more rows make it no cheaper.
_CACHED_PARAMETERS = 2**21
_MIN_LARGE_TRIALS = 8  # even if their parameters exceed the cache
# Numbers per parameter: value, gradient, two moments and best value, and copies of them while rows enter and leave.
_NUMBERS_PER_PARAMETER = 8


def row_budget(
    trials: int | None,
    parameters: int,
    workers: int = 1,
    memory: float | None = None,
    fits: int = 1,
    device: torch.device = CPU,
    weight_copies: int = 0,
) -> int:
    """Return how many fits train at once in all workers together; always whole trials, and at least one.

    `trials` is the budget (None: limited by time only), `fits` the number of fits per trial, `parameters` the size of
    the largest network, `weight_copies` how many copies of the weights regularizers keep, `memory` the free bytes
    (None: unknown), of which at most half are used.

    Trials in training were proposed without each other's results, so they are a small part of the budget: an eighth,
    within the range in which a step is cheap, and never more than a third.

    On a GPU a step costs almost the same with many more rows, and rows do not share a cache. There an eighth of the
    budget means up to hundreds of trials, however large the networks; 64 if no number of trials is given.
    """
    on_cpu = device.type == "cpu"
    without_budget, most = (_MIN_TRIALS, _MAX_TRIALS) if on_cpu else (_MAX_GPU_TRIALS // 8, _MAX_GPU_TRIALS)
    at_once = without_budget if trials is None else max(_MIN_TRIALS, min(most, trials // 8))
    if on_cpu:
        at_once = min(at_once, max(_MIN_LARGE_TRIALS, _CACHED_PARAMETERS // max(1, parameters)))
    at_once = max(at_once, _MIN_TRIALS_PER_WORKER * workers if workers > 1 else 0)
    if fits > 1:
        at_once = min(at_once, max(4, (_MAX_ROWS_OF_FOLDS if on_cpu else _MAX_GPU_TRIALS) // fits))
    if memory is not None:
        trial_bytes = 4 * (_NUMBERS_PER_PARAMETER + 2 * weight_copies) * max(1, parameters) * fits
        at_once = min(at_once, int(memory / 2 / trial_bytes))
    return fits * max(1, at_once if trials is None else min(at_once, trials // 3))


def free_memory(device: torch.device = CPU) -> float | None:
    """Return the bytes that this process may still allocate on `device`, or None if they are unknown.

    On a CPU these are the available bytes of the machine, or fewer if the control group of the process is limited.
    """
    if device.type == "cuda":
        return float(torch.cuda.mem_get_info(device)[0])
    with suppress(OSError, ValueError, StopIteration):
        lines = Path("/proc/meminfo").read_text(encoding="utf-8").splitlines()
        free = 1024 * float(next(line for line in lines if line.startswith("MemAvailable")).split()[1])
        with suppress(OSError, ValueError, KeyError):  # an unlimited group has "max", which is not a number
            group = Path("/sys/fs/cgroup")
            limit, used = (float((group / f"memory.{name}").read_text(encoding="utf-8")) for name in ("max", "current"))
            stat = dict(line.split() for line in (group / "memory.stat").read_text(encoding="utf-8").splitlines())
            free = min(free, limit - used + float(stat["inactive_file"]))  # cached files can be dropped
        return free
    with suppress(OSError, ValueError, AttributeError):
        return float(os.sysconf("SC_PHYS_PAGES")) * os.sysconf("SC_PAGE_SIZE")
    return None


def out_of_memory(error: Exception) -> bool:
    """Return whether an exception of torch or numpy means that memory has run out."""
    phrases = ("can't allocate memory", "CUBLAS_STATUS_ALLOC_FAILED")
    return isinstance(error, MemoryError | torch.OutOfMemoryError) or any(phrase in str(error) for phrase in phrases)
