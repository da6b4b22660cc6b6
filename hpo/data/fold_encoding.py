"""Encode folds of table rows as tensors, each with preprocessing that is fitted on the fold's own training rows."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from hpo.core.errors import InputError
from hpo.core.samples import Fold, Samples
from hpo.data import density_ratio, synthetic
from hpo.data import preprocess as preprocessing
from hpo.data.auxiliary_target import standardize
from hpo.data.config import DataConfig
from hpo.data.fold_sampler import FoldIndices
from hpo.data.preprocess import Preprocessor
from hpo.data.sources import SOURCE
from hpo.data.split_table import SplitTable
from hpo.data.table import Table
from hpo.data.text_features import TermCounts

MAX_NUMBERS = 1_000_000_000  # in the encoded rows of all folds together: four gigabytes
Fitted = tuple[Preprocessor, np.ndarray]  # and the matrix (table rows, inputs) that it produces


@dataclass(frozen=True)
class EncodedTarget:
    """Targets of all table rows and of the test rows, with weights if `data.class_weight` balances the classes.

    `class_weights` (classes,) are the weights that balance them, None for a regression. `mean` and `scale` standardize
    the numbers of a regression.
    """

    y: Tensor
    weight: Tensor | None
    test_y: Tensor
    test_weight: Tensor | None
    class_weights: Tensor | None = None
    mean: float = 0.0
    scale: float = 1.0


@dataclass(frozen=True, kw_only=True)
class FoldEncoder(SplitTable):
    """Encodes folds on demand from a table from which the targets have been removed.

    `rows`: all development rows, in the order of `Samples.x`.
    `term_counts`: one entry per text column.
    `augmentations`: regularizers that need augmented texts.
    `pretrained`: a preprocessor that was fitted elsewhere and is used as it is.
    """

    table: Table
    data: DataConfig
    dtype: torch.dtype
    rows: np.ndarray
    term_counts: tuple[TermCounts, ...]
    augmentations: tuple[str, ...]
    with_synthetic: bool
    image: tuple[int, ...]
    with_density_ratio: bool
    pretrained: Fitted | None = None

    def encode(self, folds: Sequence[FoldIndices]) -> tuple[Samples, Fitted, EncodedTarget]:
        """Encode all development rows once per fold, and stack the folds along the rows.

        Also returns the last fold's preprocessor with the matrix of all table rows, and the targets of all table rows.
        """
        rows, n_rows = self.rows, len(self.rows)
        position = np.zeros(len(self.y), dtype=int)
        position[rows] = np.arange(n_rows)
        x, augmented, auxiliary = torch.empty(0), dict[str, Tensor](), []
        ratio = torch.ones(len(folds), n_rows, dtype=self.dtype)
        for i, fold in enumerate(folds):
            preprocess, encoded = fitted = self.fit(fold)
            if i == 0:
                self.check_size(len(folds), encoded.shape[1])
                x = torch.empty((len(folds), n_rows, encoded.shape[1]), dtype=self.dtype)
                augmented = {name: x.new_empty((n, *x.shape)) for name, n in self._variant_counts().items()}
            x[i] = torch.from_numpy(encoded[rows])
            for name, variant, matrix in self._augmented(preprocess, encoded[rows], position[fold.train]):
                augmented[name][variant, i] = torch.from_numpy(matrix)
            if self.table.auxiliary is not None:
                auxiliary.append(torch.tensor(standardize(self.table.auxiliary, fold.train)[rows], dtype=self.dtype))
            if self.with_density_ratio and len(fold.target):
                ratio[i] = torch.from_numpy(self._density_ratio(encoded, fold)[rows])
        target = self.encode_target(folds[0].train if len(folds) == 1 else self.fold_sampler.trainable_rows)
        samples = Samples(
            task=self.table.task,
            x=x.flatten(0, 1),
            y=target.y[rows].repeat(len(folds)),
            weight=None if target.weight is None else target.weight[rows].repeat(len(folds)),
            folds=tuple(_fold(fold, position + i * n_rows) for i, fold in enumerate(folds)),
            classes=self.classes,
            target_scale=target.scale,
            columns=_columns(preprocess),
            image=self.image if math.prod(self.image) == x.shape[2] else (),
            augmented={name: tensor.flatten(1, 2) for name, tensor in augmented.items()},
            auxiliary=torch.cat(auxiliary) if auxiliary else None,
            class_weights=target.class_weights,
            density_ratio=ratio.flatten() if self.with_density_ratio and all(len(f.target) for f in folds) else None,
            valid_is_target=bool(len(self.fold_sampler.train_only)),
        )
        return samples, fitted, target

    def fit(self, fold: FoldIndices) -> Fitted:
        """Fit the preprocessing on the training rows of a fold.

        The lists of categories and terms come from all development rows.
        """
        if self.pretrained is not None:
            return self.pretrained
        return preprocessing.fit(self.table, fold.train, self.rows, self.term_counts, fold.target)

    def _augmented(
        self, preprocess: Preprocessor, encoded: np.ndarray, train: np.ndarray
    ) -> Iterator[tuple[str, int, np.ndarray]]:
        """Yield each variant of the `encoded` development rows (rows, inputs) with its regularizer and number."""
        for name in self.augmentations:
            for variant in range(len(self.term_counts[0].variants[name])):
                texts = preprocessing.replace_texts(preprocess, encoded, self.term_counts, name, variant)
                yield name, variant, texts
        if self.with_synthetic:
            config, y = self.data.synthetic, self.y[self.rows]
            bank = synthetic.augment(config.kind, encoded, y, len(self.classes), train, config.variants)
            for variant, matrix in enumerate(bank):
                yield synthetic.REGULARIZER, variant, matrix

    def _density_ratio(self, encoded: np.ndarray, fold: FoldIndices) -> np.ndarray:
        """Return the estimated ratio of target to source density at each source row, 1 at all others, (table rows,)."""
        is_source = self.table.domain == SOURCE
        ratio = density_ratio.estimate(encoded, fold.train[is_source[fold.train]], fold.target[~is_source[fold.target]])
        return np.where(is_source, ratio, 1.0)

    def encode_target(self, known: np.ndarray) -> EncodedTarget:
        """Encode the targets of all rows; means, scales and class weights come from the rows `known`."""
        both = (self.y, self.test_y)
        if self.table.task == "regression":
            mean, scale = float(self.y[known].mean()), float(self.y[known].std()) or 1.0
            y, test_y = (torch.tensor((values - mean) / scale, dtype=self.dtype) for values in both)
            return EncodedTarget(y, None, test_y, None, mean=mean, scale=scale)
        weight, test_weight = None, None
        counts = np.bincount(self.y[known], minlength=len(self.classes))
        by_class = len(known) / (len(self.classes) * np.maximum(counts, 1))  # as scikit-learn defines "balanced"
        if self.data.class_weight:
            weight, test_weight = (
                torch.tensor(np.where(values < 0, 0.0, by_class[values]), dtype=self.dtype) for values in both
            )
        class_weights = torch.tensor(by_class, dtype=self.dtype)
        return EncodedTarget(torch.tensor(self.y), weight, torch.tensor(self.test_y), test_weight, class_weights)

    def _variant_counts(self) -> dict[str, int]:
        """Return how many augmented copies of each row every regularizer needs."""
        counts = {name: len(self.term_counts[0].variants[name]) for name in self.augmentations}
        return counts | ({synthetic.REGULARIZER: self.data.synthetic.variants} if self.with_synthetic else {})

    def check_size(self, n_folds: int, n_inputs: int) -> None:
        """Raise InputError if the encoded rows of all folds and their augmented copies would not fit in memory."""
        variants = sum(self._variant_counts().values())
        too_many = n_folds * (1 + variants) * len(self.rows) * n_inputs > MAX_NUMBERS
        if not too_many or not (n_folds > 1 or variants):
            return
        copies, remedy = f"each of {n_folds} folds", "use fewer folds, or a larger valid"
        if variants:
            copies = f"{variants} augmented copies" if n_folds == 1 else f"{copies} with {variants} augmented copies"
            remedy = "lower data.synthetic.variants"
            if self.augmentations:
                remedy = "lower data.text.features or data.text.variants"
        raise InputError(
            f"{self.table.name}: {len(self.rows):,} rows with {n_inputs:,} inputs are too many to keep in memory for "
            f"{copies}; {remedy}."
        )


def _fold(fold: FoldIndices, position: np.ndarray) -> Fold:
    """Convert table rows to rows of `Samples.x`; `position` (table rows,) maps one to the other."""
    return Fold(fold.number, **{name: torch.from_numpy(position[rows]) for name, rows in fold.parts.items()})


def _columns(preprocess: Preprocessor) -> Tensor:
    """Return the number of each input's table column or text term, (inputs,), numbered by first appearance."""
    number = {group: i for i, group in enumerate(dict.fromkeys(preprocess.groups))}
    return torch.tensor([number[group] for group in preprocess.groups])
