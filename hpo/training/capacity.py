"""How many fits train at once: from the budget, the size of the network, and memory."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

import torch

from hpo.nn.device import CPU

_LEAST, _MOST = 16, 32  # measured: fewer rows make a step dear, more buy nothing on a CPU
_ON_GPU = 512  # a launch costs the same for all of them; not measured on one yet
_LEAST_A_WORKER = (
    12  # fewer make a step dear; more start without being told of others, and are pruned later (docs/decisions/)
)
_ROWS = 32  # where a trial has several: trials that begin together cannot be held against each other, and stop later
_CACHED = (
    2**21
)  # parameters of all rows: of so many, optimizer and products wait for memory, and more rows make no step cheaper
_FEW = 8
_STATES = 8  # numbers a parameter needs: value, gradient, two moments, the best; as much again while rows come and go


def rows_for(
    trials: int | None,
    parameters: int,
    workers: int = 1,
    memory: float | None = None,
    fits: int = 1,
    device: torch.device = CPU,
    kept: int = 0,
) -> int:
    """How many rows train at once, in all workers together, for a budget of that many trials (None: limited by time alone), each
    of so many fits, of networks of that many parameters, of which regularizers have `kept` copies, in `memory` bytes. Whole trials, and at least one.

    Trials in flight are proposed without knowing each other's results, so they are a small part of the budget: an eighth,
    within what makes a step cheap, and never more than a third. Their rows take no more than half of the memory.

    On a GPU a step costs almost the same with many more rows, and there is no cache that they would have to share: there
    an eighth of the budget counts up to hundreds, however large the networks, and without a budget of trials 64.
    """
    on_cpu = device.type == "cpu"
    unknown, most = (_LEAST, _MOST) if on_cpu else (_ON_GPU // 8, _ON_GPU)
    at_once = unknown if trials is None else max(_LEAST, min(most, trials // 8))
    if on_cpu:
        at_once = min(at_once, max(_FEW, _CACHED // max(1, parameters)))
    at_once = max(at_once, _LEAST_A_WORKER * workers if workers > 1 else 0)
    if fits > 1:
        at_once = min(at_once, max(4, (_ROWS if on_cpu else _ON_GPU) // fits))
    if memory is not None:
        at_once = min(at_once, int(memory / 2 / (4 * (_STATES + 2 * kept) * max(1, parameters) * fits)))
    return fits * max(1, at_once if trials is None else min(at_once, trials // 3))


def free_memory(device: torch.device = CPU) -> float | None:
    """Bytes that this process may still take: on a GPU what is free of its own, else what the machine has available, or less if
    its control group is limited; None where no such thing is known."""
    if device.type == "cuda":
        return float(torch.cuda.mem_get_info(device)[0])
    with suppress(OSError, ValueError, StopIteration):
        lines = Path("/proc/meminfo").read_text(encoding="utf-8").splitlines()
        free = 1024 * float(next(line for line in lines if line.startswith("MemAvailable")).split()[1])
        with suppress(OSError, ValueError, KeyError):  # "max" is no number
            group = Path("/sys/fs/cgroup")
            most, used = (float((group / f"memory.{name}").read_text(encoding="utf-8")) for name in ("max", "current"))
            told = dict(line.split() for line in (group / "memory.stat").read_text(encoding="utf-8").splitlines())
            free = min(free, most - used + float(told["inactive_file"]))  # files that can be read again
        return free
    with suppress(OSError, ValueError, AttributeError):
        return float(os.sysconf("SC_PHYS_PAGES")) * os.sysconf("SC_PAGE_SIZE")
    return None


def out_of_memory(error: Exception) -> bool:
    """Whether an exception of torch or numpy says that memory has run out."""
    said = ("can't allocate memory", "CUBLAS_STATUS_ALLOC_FAILED")
    return isinstance(error, MemoryError | torch.OutOfMemoryError) or any(text in str(error) for text in said)
