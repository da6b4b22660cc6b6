"""The data of an experiment: encoded folds of development rows as tensors, and a test part that stays sealed."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from hpo.core.errors import InputError
from hpo.core.samples import Samples
from hpo.data import preprocess as preprocessing
from hpo.data import split_table, synthetic, text_augmentation, text_features
from hpo.data.column_types import join_names
from hpo.data.config import DataConfig, TextConfig
from hpo.data.fold_encoding import Fitted, FoldEncoder
from hpo.data.fold_sampler import FoldIndices
from hpo.data.origin import Origin
from hpo.data.preprocess import Preprocessor
from hpo.data.split_table import SplitTable
from hpo.data.table import Table, load
from hpo.data.test_part import TestPart, TestRows
from hpo.data.text_features import TermCounts

_FEW_VALIDATION_ROWS = 30  # with fewer, a note says that the scores of trials are unreliable


@dataclass(frozen=True, kw_only=True)
class Dataset(Samples):
    """The folds of the search, and the means to draw other folds from the same development rows.

    `preprocess` and `test` are fitted on the training rows if there is one fold, else on all development rows.
    """

    name: str
    test: TestPart
    target_name: str
    target_mean: float
    preprocess: Preprocessor
    n_columns: int
    fingerprint: str
    notes: tuple[str, ...]
    origin: Origin
    _encoder: FoldEncoder = field(repr=False, compare=False)

    @property
    def n_development(self) -> int:
        """The number of rows outside the test part; `x` holds them once per fold."""
        return len(self._encoder.rows)

    def new_folds(self, draw: int, n_folds: int | None = None) -> Samples:
        """Split the development rows anew for each `draw` (1, 2, …), to re-evaluate trials.

        Returns the first `n_folds` folds (None: all).
        If the number of folds is not configured, it is chosen so that training parts are as large as in the search.
        With `has_single_draw`, the folds are those of the search. Raises InputError if such folds cannot be drawn.
        """
        return self._encoder.encode(self._encoder.fold_sampler.new_folds(draw)[:n_folds])[0]

    def without_validation(self) -> Dataset:
        """Return the data for a refit: one fold with all trainable rows as training rows, and no validation rows."""
        return _dataset(self._encoder, [self._encoder.fold_sampler.without_validation(self._encoder.rows)], self.notes)

    def new_fold_sizes(self, draw: int) -> list[tuple[int, int]]:
        """Return the number of training and of validation rows of each fold of `new_folds(draw)`."""
        return [(len(fold.train), len(fold.valid)) for fold in self._encoder.fold_sampler.new_folds(draw)]

    def training_sizes(self, draws: int) -> set[int]:
        """Return the numbers of training rows that occur in the search, in `draws` re-evaluations and in a refit.

        Raises InputError if any of these folds cannot be drawn or encoded in memory.
        """
        new_sizes = [self.new_fold_sizes(draw) for draw in range(1, draws + 1)]
        if new_sizes:
            self._encoder.check_size(len(new_sizes[0]), self.n_inputs)
        refit = len(self._encoder.fold_sampler.trainable_rows)
        return {refit, *(len(f.train) for f in self.folds), *(train for sizes in new_sizes for train, _ in sizes)}

    def table_rows(self, rows: Sequence[int]) -> pd.DataFrame:
        """Return the table columns, without the target, of `rows` of `x`; its index holds their table rows."""
        return self._encoder.table.features.iloc[self._encoder.rows[[row % self.n_development for row in rows]]]

    @property
    def cv_rows(self) -> Tensor:
        """The rows of `x` that are validation rows in some fold, (rows,), provided that `x` holds each row once."""
        return torch.from_numpy(np.flatnonzero(np.isin(self._encoder.rows, self._encoder.fold_sampler.cv_rows)))

    @property
    def has_single_draw(self) -> bool:
        """Whether all draws of `new_folds` have the same training rows, as in a split by time."""
        return self._encoder.fold_sampler.has_single_draw

    @property
    def over_time(self) -> bool:
        """Whether folds follow each other in time."""
        return self._encoder.fold_sampler.splitter.time is not None

    @property
    def training_groups(self) -> np.ndarray | None:
        """The group of each training row of `without_validation()`, (rows,), if the split is by groups."""
        sampler, rows = self._encoder.fold_sampler, self._encoder.rows
        groups = sampler.splitter.groups
        return None if groups is None else groups[sampler.without_validation(rows).train]

    @property
    def test_domain_differs(self) -> bool:
        """Whether the test part comes from another domain than the labelled validation rows."""
        return not self.valid_is_target and self.origin.test_is_target

    def training_samples(self) -> Samples:
        """Return samples whose folds share one encoding, or `separate_folds()` if several folds have synthetic rows."""
        return self.separate_folds() if self._encoder.with_synthetic and len(self.folds) > 1 else self.as_samples()

    def separate_folds(self) -> Samples:
        """Copy the rows once per fold, with synthetic rows generated from each fold's own training rows.

        Synthetic rows of other folds would leak the labels of the rows that a fold is evaluated on.
        """
        samples, config = self.copy_per_fold(), self._encoder.data.synthetic
        for fold in samples.folds if self._encoder.with_synthetic else ():
            train = torch.from_numpy(np.unique(fold.train))  # a bootstrap sample repeats rows
            x, y = (tensor[train].numpy() for tensor in (samples.x, samples.y))
            rows = synthetic.generate(config.kind, x, y, len(self.classes), config.variants)
            samples.augmented[synthetic.REGULARIZER][:, train] = torch.from_numpy(rows)
        return samples


def prepare(
    data: DataConfig,
    base: Path,
    dtype: torch.dtype = torch.float32,
    augmentations: Sequence[str] = (),
    image: Sequence[int] = (),
    encoder: Preprocessor | None = None,
    with_density_ratio: bool = False,
) -> Dataset:
    """Load, split and encode the data that `data` describes; relative paths start at `base`. Raises InputError.

    `augmentations` names the regularizers that need augmented texts or synthetic rows, `image` is the (channels,
    height, width) of rows that are images, and `encoder` a preprocessor that was fitted elsewhere.
    """
    table = _mark_image(load(data, base), image)
    notes = list(table.notes)
    split = split_table.split_and_mask(table, data, notes)
    folds = split.fold_sampler.search_folds(notes)
    notes += _few_validation_rows(data, folds)
    _check_training_rows(table, data, split, folds)
    rows = np.concatenate([*folds[0].parts.values()]) if len(folds) == 1 else split.fold_sampler.rows
    split = replace(split, fold_sampler=split.fold_sampler.reorder(rows))
    pretrained = None if encoder is None else (encoder, preprocessing.encode_pretrained(encoder, table))
    text_regularizers = tuple(name for name in augmentations if name != synthetic.REGULARIZER)
    term_counts = _all_term_counts(table, data, rows, base, text_regularizers, encoder)
    notes += _pretrained_notes(table, pretrained)
    fold_encoder = FoldEncoder(
        **vars(split),
        table=replace(table, target=table.target[:0]),
        data=data,
        dtype=dtype,
        rows=rows,
        term_counts=term_counts,
        augmentations=text_regularizers,
        with_synthetic=synthetic.REGULARIZER in augmentations,
        image=tuple(image) or ((1, 8, 8) if table.image else ()),
        with_density_ratio=with_density_ratio,
        pretrained=pretrained,
    )
    return _dataset(fold_encoder, folds, notes)


def _dataset(encoder: FoldEncoder, folds: Sequence[FoldIndices], notes: Sequence[str]) -> Dataset:
    samples, fitted, target = encoder.encode(folds)
    preprocess, x = encoder.fit(encoder.fold_sampler.without_validation(encoder.rows)) if len(folds) > 1 else fitted
    test_x = torch.tensor(x[encoder.test_rows], dtype=encoder.dtype)
    test_rows = TestRows(test_x, target.test_y, target.test_weight)
    return Dataset(
        **vars(samples),
        name=encoder.table.name,
        test=TestPart(test_rows, encoder.table.task, target.scale),
        target_name=encoder.table.target_name,
        target_mean=target.mean,
        preprocess=preprocess,
        n_columns=len(encoder.table.features.columns),
        fingerprint=encoder.table.fingerprint,
        notes=tuple(notes),
        origin=Origin(encoder.rows, encoder.test_rows, encoder.table.domain),
        _encoder=encoder,
    )


def _mark_image(table: Table, image: Sequence[int]) -> Table:
    """Mark a table of pixels, which share one scale: standardizing each pixel would enlarge those that hardly vary."""
    is_image = bool(image) and math.prod(image) == len(table.numeric) == len(table.features.columns)
    return replace(table, image=True) if is_image else table


def _few_validation_rows(data: DataConfig, folds: Sequence[FoldIndices]) -> list[str]:
    """Return a note if a trial is scored on only a few labelled target rows."""
    if data.target.source is None or data.target.labels != "few" or len(folds) > 1:
        return []
    n = len(folds[0].valid)
    if n >= _FEW_VALIDATION_ROWS:
        return []
    return [
        f"Trials are scored on only {n} labelled rows of the target, so their scores are unreliable; with "
        f"data.split.folds, all labelled rows are used for validation."
    ]


def _check_training_rows(table: Table, data: DataConfig, split: SplitTable, folds: Sequence[FoldIndices]) -> None:
    if split.classes and any(len(np.unique(split.y[fold.train])) < 2 for fold in folds):
        raise InputError(f"{table.name}: the training part holds one class only; use more rows or another split seed.")
    if data.class_weight and table.task == "regression":
        raise InputError("data.class_weight: balanced needs classes, but the task is regression; leave it out.")


def _pretrained_notes(table: Table, pretrained: Fitted | None) -> list[str]:
    """Return notes on columns that the weights of `network.init` were not trained for."""
    if pretrained is None:
        return []
    (encoder, x), notes = pretrained, []
    if far := preprocessing.far_columns(encoder, x):
        notes.append(
            f"Columns with rows more than ten standard deviations from the data that the weights of network.init were "
            f"trained on: {join_names(far)}. Weights that were trained without these columns may work better."
        )
    if unused := [column for column in table.features.columns if column not in encoder.columns]:
        notes.append(f"Columns that the weights of network.init do not use, left out: {join_names(unused)}.")
    return notes


def _all_term_counts(
    table: Table,
    data: DataConfig,
    rows: np.ndarray,
    base: Path,
    regularizers: Sequence[str],
    encoder: Preprocessor | None,
) -> tuple[TermCounts, ...]:
    """Count the terms of all text columns, or of those that a pretrained encoder needs.

    Raises InputError if `regularizers` need text and there is none.
    """
    documents = dict.fromkeys(table.text) if encoder is None else {d["column"]: d for d in encoder.documents}
    counts = tuple(
        _term_counts(table, column, data.text, rows, base, regularizers, document)
        for column, document in documents.items()
    )
    if regularizers and (not counts or data.text.vectorizer == "svmlight"):
        raise InputError(
            f"search.{regularizers[0]}: needs a text column, and {table.name} has none; name one in data.text."
        )
    return counts


def _term_counts(
    table: Table,
    column: str,
    config: TextConfig,
    rows: np.ndarray,
    base: Path,
    regularizers: Sequence[str],
    document: Mapping[str, Any] | None,
) -> TermCounts:
    """Count the terms of a text column, and of its augmented texts in the development `rows`.

    `document` fixes the terms; None selects them from `rows`.
    """
    texts = table.features[column].tolist()
    if document is None:
        counts = text_features.count_terms(table.name, column, texts, rows, config)
    else:
        counts = TermCounts(document, text_features.term_matrix(document, texts), {})
    development_texts = [texts[i] for i in rows]
    variants = {
        name: tuple(
            text_features.term_matrix(counts.document, variant)
            for variant in text_augmentation.augment(name, development_texts, config, base)
        )
        for name in regularizers
    }
    return replace(counts, variants=variants)
