"""The table row and the domain that each row of a data set comes from."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from hpo.core.samples import Fold
from hpo.data.sources import SOURCE


@dataclass(frozen=True, eq=False)
class Origin:
    """Indices into the table, counted from 0, and the domain of each table row (see `sources.py`).

    `rows` (development rows,): the table row of each row of `Samples.x`, which repeats these rows once per fold.
    """

    rows: np.ndarray
    test_rows: np.ndarray
    table_domain: np.ndarray

    @property
    def domain(self) -> np.ndarray:
        """The domain of each development row, (development rows,)."""
        return np.asarray(self.table_domain[self.rows])

    @property
    def test_is_target(self) -> bool:
        """Whether the test part comes from a target domain."""
        return bool((self.table_domain[self.test_rows] != SOURCE).any())

    def source_rows(self, fold: Fold) -> np.ndarray:
        """Return the source rows of the first fold that are not trained on, or, without any, those that are."""
        for parts in ((fold.valid, fold.source_valid), (fold.train,)):
            rows = torch.cat(parts).numpy()
            if len(source := rows[self.domain[rows] == SOURCE]):
                return np.asarray(source)
        return np.empty(0, dtype=int)
