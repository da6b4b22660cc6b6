"""From the rows of a table to samples, once for every fold, each as its own training rows have them encoded."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from hpo.core.errors import InputError
from hpo.core.samples import Fold, Samples
from hpo.data import density_ratio, synthetic
from hpo.data import preprocess as preprocessing
from hpo.data.auxiliary_target import standardised
from hpo.data.config import DataConfig
from hpo.data.fold_sampler import FoldIndices
from hpo.data.preprocess import Preprocessor
from hpo.data.sources import SOURCE
from hpo.data.split_table import SplitTable
from hpo.data.table import Table
from hpo.data.text_features import Counted

_MOST_COPIED = 1_000_000_000  # numbers in the rows of all folds together: four gigabytes


@dataclass(frozen=True)
class Labels:
    """What `y` is in tensors, and its `weight` if classes are balanced, of all rows and of those to test on; `mean` and `scale` of a
    regression."""

    y: Tensor
    weight: Tensor | None
    test_y: Tensor
    test_weight: Tensor | None
    mean: float = 0.0
    scale: float = 1.0


@dataclass(frozen=True, kw_only=True)
class FoldEncoder(SplitTable):
    """The table itself, less its target, from which samples are made when they are asked for."""

    table: Table
    data: DataConfig
    dtype: torch.dtype
    rows: np.ndarray  # all but the test part
    counted: tuple[Counted, ...]  # its columns of text
    augmentations: tuple[str, ...]  # the regularizers that want altered texts
    with_synthetic: bool  # whether one wants generated rows
    image: tuple[int, ...]
    with_density_ratio: bool  # whether somebody wants density ratios
    encoded: tuple[Preprocessor, np.ndarray] | None = None  # as they were fitted elsewhere, with the matrix of all rows

    def encode(self, folds: Sequence[FoldIndices]) -> tuple[Samples, tuple[Preprocessor, np.ndarray], Labels]:
        """The development rows once a fold, one below the other, each as its own training rows have them encoded; the last
        fold's preprocessing with the matrix (rows, inputs) of all rows; the target of all rows."""
        rows, parts = self.rows, []
        place = np.zeros(len(self.y), dtype=int)
        place[rows] = np.arange(len(rows))
        x, variants, auxiliary = torch.empty(0), {}, []
        ratio = torch.ones(len(folds), len(rows), dtype=self.dtype)
        for i, part in enumerate(folds):
            preprocess, encoded = fitted = self.fit(part)
            if i == 0:
                self.check_size(len(folds), encoded.shape[1])
                x = torch.empty((len(folds), len(rows), encoded.shape[1]), dtype=self.dtype)
                variants = {name: x.new_empty((n, *x.shape)) for name, n in self._banks().items()}
            x[i] = torch.from_numpy(encoded[rows])
            for name in self.augmentations:
                for number, own in enumerate(variants[name]):
                    own[i] = torch.from_numpy(
                        preprocessing.altered(preprocess, encoded[rows], self.counted, name, number)
                    )
            if self.with_synthetic:
                said_of, train = self.data.synthetic, place[part.train]
                made = synthetic.bank(
                    said_of.kind, encoded[rows], self.y[rows], len(self.classes), train, said_of.variants
                )
                variants[synthetic.MEMBER][:, i] = torch.from_numpy(made)
            if self.table.auxiliary is not None:
                auxiliary.append(torch.tensor(standardised(self.table.auxiliary, part.train)[rows], dtype=self.dtype))
            if self.with_density_ratio and len(part.target):
                ratio[i] = torch.from_numpy(self._ratios(encoded, part)[rows])
            parts.append(Fold(part.number, *(torch.from_numpy(place[own] + i * len(rows)) for own in part.rows)))
        target = self.labels(folds[0].train if len(folds) == 1 else self.fold_sampler.learnable)
        y, weight = (None if t is None else t[rows].repeat(len(folds)) for t in (target.y, target.weight))
        assert y is not None
        samples = Samples(
            self.table.task,
            x.flatten(0, 1),
            y,
            weight,
            tuple(parts),
            self.classes,
            target.scale,
            _columns(preprocess),
            self.image if math.prod(self.image) == x.shape[2] else (),
            {name: bank.flatten(1, 2) for name, bank in variants.items()},
            auxiliary=torch.cat(auxiliary) if auxiliary else None,
            ratio=ratio.flatten() if self.with_density_ratio and all(len(part.target) for part in folds) else None,
            valid_is_target=bool(len(self.fold_sampler.train_only)),
        )
        return samples, fitted, target

    def fit(self, part: FoldIndices) -> tuple[Preprocessor, np.ndarray]:
        """Preprocessing as a fold has it, and the matrix of all rows. Categories and terms may be listed from all rows but the test
        part."""
        if self.encoded is not None:
            return self.encoded
        return preprocessing.fit(self.table, part.train, self.rows, self.counted, part.target)

    def _ratios(self, encoded: np.ndarray, part: FoldIndices) -> np.ndarray:
        """By how much the target is denser than the source at every row of the source, (rows,); 1 at all others."""
        own = self.table.domain == SOURCE
        found = density_ratio.ratios(encoded, part.train[own[part.train]], part.target[~own[part.target]])
        return np.where(own, found, 1.0)

    def labels(self, known: np.ndarray) -> Labels:
        """The target of all rows, with what is to be counted counted on the rows `known`."""
        both = (self.y, self.test_y)
        if self.table.task == "regression":
            mean, scale = float(self.y[known].mean()), float(self.y[known].std()) or 1.0
            y, test_y = (torch.tensor((values - mean) / scale, dtype=self.dtype) for values in both)
            return Labels(y, None, test_y, None, mean, scale)
        weight, test_weight = None, None
        if self.data.class_weight:  # as scikit-learn defines it
            counts = np.bincount(self.y[known], minlength=len(self.classes))
            by_class = len(known) / (len(self.classes) * np.maximum(counts, 1))
            weight, test_weight = (
                torch.tensor(np.where(values < 0, 0.0, by_class[values]), dtype=self.dtype) for values in both
            )
        return Labels(torch.tensor(self.y), weight, torch.tensor(self.test_y), test_weight)

    def _banks(self) -> dict[str, int]:
        """How many rows could stand in place of each, by the regularizer that wants them."""
        altered = {name: len(self.counted[0].variants[name]) for name in self.augmentations}
        return altered | ({synthetic.MEMBER: self.data.synthetic.variants} if self.with_synthetic else {})

    def check_size(self, folds: int, inputs: int) -> None:
        variants = sum(self._banks().values())
        if (folds > 1 or variants) and folds * (1 + variants) * len(self.rows) * inputs > _MOST_COPIED:
            each, fewer = f"each of {folds} folds", "take fewer folds, or a larger valid"
            if variants:
                each = (
                    f"each of {folds} folds with {variants} altered ones"
                    if folds > 1
                    else f"{variants} altered ones of each"
                )
                fewer = (
                    "lower data.text.features or data.text.variants"
                    if self.augmentations
                    else "lower data.synthetic.variants"
                )
            raise InputError(
                f"{self.table.name}: {len(self.rows):,} rows with {inputs:,} inputs are too many to keep in memory for {each}; {fewer}."
            )


def _columns(preprocess: Preprocessor) -> Tensor:
    """To which column of the table, or term of a text, each input belongs: (inputs,), numbered as they come."""
    number = {group: i for i, group in enumerate(dict.fromkeys(preprocess.groups))}
    return torch.tensor([number[group] for group in preprocess.groups])
