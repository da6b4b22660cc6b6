"""A prepared search."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import torch
from torch import Tensor

from hpo.core.importing import Factory
from hpo.core.samples import MAX_EPOCH_ROWS
from hpo.data.dataset import Dataset
from hpo.nn import device as devices
from hpo.regularizers import STRENGTHS
from hpo.space.space import Space
from hpo.training.builder import NetworkBuilder
from hpo.training.capacity import free_memory, row_budget

# A time budget on a large table may end after few trials. As many are then trained at once as in a search of this many:
# with more, none would end in time for the pruner and the sampler to learn from it.
_FEW_TRIALS = 12


@dataclass(frozen=True)
class Experiment:
    """A prepared search: its space is checked and its data are loaded.

    Paths are relative to `base_dir`. `max_parameters` is the size of the largest network. `factory` builds the
    networks (None: MLPs), which train on `device`. `state` holds their initial weights, named as in plain torch, and
    `init_digest` is the hash of these weights; both are empty if the networks are initialized at random.
    """

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
        """The builder of the networks of the space."""
        return NetworkBuilder(self.space, self.factory, self.data.n_inputs, self.data.n_outputs, self.state)

    @property
    def weight_copies(self) -> int:
        """The number of copies of the weights that regularizers keep per network."""
        return sum(key in STRENGTHS and STRENGTHS[key].needs_weight_copy for key in self.space.search)

    def rows(self, workers: int = 1) -> int:
        """Return how many fits train at once, never splitting a trial; see `row_budget`."""

        memory, fits, trials = free_memory(self.device), len(self.data.folds), self.space.budget.trials
        n_train = max(len(fold.train) for fold in self.data.folds)
        if self.space.budget.seconds is not None and n_train > MAX_EPOCH_ROWS:
            trials = _FEW_TRIALS if trials is None else min(trials, _FEW_TRIALS)
        return row_budget(trials, self.max_parameters, workers, memory, fits, self.device, self.weight_copies)
