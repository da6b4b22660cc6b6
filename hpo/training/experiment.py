"""A search that can begin."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import torch
from torch import Tensor

from hpo.core.importing import Factory
from hpo.data.dataset import Dataset
from hpo.nn import device as devices
from hpo.regularizers import STRENGTHS
from hpo.space.space import Space
from hpo.training.builder import NetworkBuilder
from hpo.training.capacity import free_memory, rows_for


@dataclass(frozen=True)
class Experiment:
    """A search that can begin: its space is sound and its data are loaded. `base` is where relative paths start, `parameters`
    the size of the largest network; `factory` makes the networks (None: an mlp); `device` is where they train. `state` is what they
    begin with, as plain torch has it, and `begins` a hash of that; "" where they begin at random."""

    space: Space
    base_dir: Path
    data: Dataset
    max_parameters: int
    factory: Factory | None = None
    device: torch.device = devices.CPU
    state: Mapping[str, Tensor] = field(default_factory=dict, repr=False)
    init_digest: str = ""

    @cached_property
    def networks(self) -> NetworkBuilder:
        return NetworkBuilder(self.space, self.factory, self.data.n_inputs, self.data.n_outputs, self.state)

    @property
    def weight_copies(self) -> int:
        """How many copies of its weights a network has besides, for the regularizers that keep one."""
        return sum(key in STRENGTHS and STRENGTHS[key].needs_weight_copy for key in self.space.search)

    def rows(self, workers: int = 1) -> int:
        """How many fits train at once: all those of a trial, of so many trials."""
        memory, fits = free_memory(self.device), len(self.data.folds)
        return rows_for(
            self.space.budget.trials, self.max_parameters, workers, memory, fits, self.device, self.weight_copies
        )
