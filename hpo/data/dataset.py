"""A table made ready for training: split, encoded, as tensors. The test part lies apart from everything else."""

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
from hpo.data import split_table, synthetic, text_augmentation
from hpo.data import text_features as text
from hpo.data.column_types import listed
from hpo.data.config import DataConfig, TextConfig
from hpo.data.fold_encoding import FoldEncoder
from hpo.data.fold_sampler import FoldIndices
from hpo.data.preprocess import Preprocessor
from hpo.data.sources import SOURCE
from hpo.data.table import Table, load
from hpo.data.text_features import Counted

_TELLING = 30  # rows that judge a trial


@dataclass(frozen=True, kw_only=True)
class Dataset(Samples):
    """Samples, and the rows to test on once, at the very end.

    `preprocess` and `test_x` are those of the training rows where there is one fold, else of all rows but the test part.
    """

    name: str
    test_x: Tensor
    test_y: Tensor
    test_weight: Tensor | None
    target_name: str
    target_mean: float
    preprocess: Preprocessor
    n_columns: int
    fingerprint: str
    notes: tuple[str, ...]
    _raw: FoldEncoder = field(repr=False, compare=False)

    @property
    def development(self) -> int:
        """How many rows there are besides the test part; `x` holds them once a fold."""
        return len(self._raw.rows)

    def fresh(self, draw: int) -> Samples:
        """All rows but the test part in folds of their own for each `draw` (1, 2, …): those of the space in number, or so
        many that training parts are as large as in the search. Where all draws are `ordered` they are the search's. Raises InputError
        if such folds cannot be drawn."""
        return self._raw.encode(self._raw.fold_sampler.fresh(draw))[0]

    def nested(self, draw: int, fold: int) -> Samples:
        """The training rows of one fold of `fresh(draw)` in folds of the same kind; what that fold is judged on is their `test`.
        Raises InputError if such folds cannot be drawn."""
        return self._raw.encode(self._raw.fold_sampler.nested(draw, fold))[0]

    def raw(self, rows: Sequence[int]) -> pd.DataFrame:
        """Rows of `x` as the table has them, without the target; its index is their place in the table, from 0."""
        return self._raw.table.features.iloc[self._raw.rows[[row % self.development for row in rows]]]

    @property
    def judges(self) -> Tensor:
        """The rows of `x`, where it holds each once, that take turns at judging, (rows,)."""
        return torch.from_numpy(np.flatnonzero(np.isin(self._raw.rows, self._raw.fold_sampler.cv_rows)))

    @property
    def domain(self) -> np.ndarray:
        """Where each of the `development` rows is from, (rows,), as `reading.py` counts domains."""
        return np.asarray(self._raw.table.domain[self._raw.rows])

    def sizes(self, draw: int) -> list[tuple[int, int]]:
        """How many rows each fold of `fresh(draw)` trains on, and how many judge it."""
        return [(len(parts.train), len(parts.valid)) for parts in self._raw.fold_sampler.fresh(draw)]

    @property
    def ordered(self) -> bool:
        """Whether all draws learn from the same rows, as over time."""
        return self._raw.fold_sampler.ordered

    @property
    def over_time(self) -> bool:
        """Whether folds follow each other in time."""
        return self._raw.fold_sampler.splitter.time is not None

    @property
    def test_domain_differs(self) -> bool:
        """Whether the test part is of another domain than the labelled rows that judge before it."""
        return not self.valid_is_target and self.tests_another

    @property
    def groups(self) -> np.ndarray | None:
        """To which group each row of `x` belongs that `whole` trains on, (rows,), if the split names them."""
        known, rows = self._raw.fold_sampler.splitter.groups, self._raw.fold_sampler.whole(self._raw.rows).train
        return None if known is None else known[rows]

    def training_sizes(self, draws: int) -> set[int]:
        """How many rows the search, that many fresh draws and the whole train on. Raises InputError if any of these cannot be
        drawn, or if fresh folds have no place in memory."""
        fresh = [self.sizes(draw) for draw in range(1, draws + 1)]
        if fresh:
            self._raw.check_size(len(fresh[0]), self.n_inputs)
        all_ = len(self._raw.fold_sampler.learnable)
        return {all_, *(len(fold.train) for fold in self.folds), *(train for draw in fresh for train, _ in draw)}

    @property
    def tests_another(self) -> bool:
        """Whether the test part is of another domain."""
        return bool((self._raw.table.domain[self._raw.test] != SOURCE).any())

    @property
    def of_source(self) -> np.ndarray:
        """Rows of `x` that are of the source, in the first fold: those that it does not learn from, if there are any, (rows,)."""
        fold = self.folds[0]
        for parts in ((fold.valid, fold.source_valid), (fold.train,)):
            rows = torch.cat(parts).numpy()
            if len(own := rows[self._raw.table.domain[self._raw.rows[rows]] == SOURCE]):
                return np.asarray(own)
        return np.empty(0, dtype=int)

    def whole(self) -> Dataset:
        """The same with all rows but the test part to train on, as far as they may be, and none to select by."""
        return _dataset(self._raw, [self._raw.fold_sampler.whole(self._raw.rows)], self.notes)

    def to_train(self) -> Samples:
        """What training needs where folds share the rows of one encoding: these rows, or if rows are generated, `apart`."""
        return self.one_row_per_fold() if self._raw.with_synthetic and len(self.folds) > 1 else self.samples()

    def one_row_per_fold(self) -> Samples:
        """The rows once a fold, as `once_a_fold` has them, with generated rows that know of each fold's own training rows alone: else they
        would tell of the labels that it is judged by."""
        samples, said_of = self.once_a_fold(), self._raw.data.synthetic
        for fold in samples.folds if self._raw.with_synthetic else ():
            train = torch.from_numpy(np.unique(fold.train))  # a bootstrap sample has some several times
            x, y = (t[train].numpy() for t in (samples.x, samples.y))
            made = synthetic.generate(said_of.kind, x, y, len(self.classes), said_of.variants)
            samples.augmented[synthetic.MEMBER][:, train] = torch.from_numpy(made)
        return samples


def prepare(
    data: DataConfig,
    base: Path,
    dtype: torch.dtype = torch.float32,
    altering: Sequence[str] = (),
    image: Sequence[int] = (),
    encoder: Preprocessor | None = None,
    ratio: bool = False,
) -> Dataset:
    """Loads, splits and encodes what `data` describes. `altering` names the regularizers that want altered texts, or generated rows,
    `image` the (channels, height, width) of a row, if it is one, `encoder` a preprocessing that was fitted elsewhere; `ratio` is whether
    somebody wants density ratios. Raises InputError in one sentence."""
    table = load(data, base)
    if image and math.prod(image) == len(table.numeric) == len(table.features.columns):
        table = replace(
            table, image=True
        )  # pixels have one scale: those at the border, which hardly vary, are not to be stretched
    notes = list(table.notes)
    dealt = split_table.split_and_mask(table, data, notes)
    folds = dealt.fold_sampler.search(notes)
    if (
        data.target.labels == "few"
        and data.target.source is not None
        and len(folds) == 1
        and len(folds[0].valid) < _TELLING
    ):
        judging = f"{len(folds[0].valid)} of the target's labelled rows"
        notes.append(
            f"Only {judging} judge a trial, which is much a matter of luck; data.split.folds lets all of them judge."
        )
    if dealt.classes and any(len(np.unique(dealt.y[parts.train])) < 2 for parts in folds):
        raise InputError(f"{table.name}: the training part holds one class only; more rows or another split seed help.")
    if data.class_weight and table.task == "regression":
        raise InputError("data.class_weight: balanced needs classes, but the task is regression; leave it out.")
    rows = np.concatenate(folds[0].rows) if len(folds) == 1 else dealt.fold_sampler.rows
    dealt = replace(dealt, fold_sampler=dealt.fold_sampler.ordered_as(rows))
    written = tuple(name for name in altering if name != synthetic.MEMBER)
    encoded = None if encoder is None else (encoder, preprocessing.given(encoder, table))
    documents = dict.fromkeys(table.text) if encoder is None else {d["column"]: d for d in encoder.documents}
    counted = tuple(
        _counted(table, column, data.text, rows, base, written, known) for column, known in documents.items()
    )
    if encoded and (beyond := preprocessing.far(*encoded)):
        text = f"Far from all that the weights of network.init were trained on, by more than ten deviations, lie rows of: {listed(beyond)}."
        notes.append(f"{text} Weights that were trained without these columns may serve better.")
    if encoder and (strange := [column for column in table.features.columns if column not in encoder.columns]):
        notes.append(f"Columns that the weights of network.init do not know, left out: {listed(strange)}.")
    for name in written if not counted or data.text.vectorizer == "svmlight" else ():
        raise InputError(f"search.{name}: needs a column of text, and {table.name} has none; name one in data.text.")
    shape = tuple(image) or ((1, 8, 8) if table.image else ())
    table = replace(table, target=table.target[:0])
    raw = FoldEncoder(
        **vars(dealt),
        table=table,
        data=data,
        dtype=dtype,
        rows=rows,
        counted=counted,
        augmentations=written,
        with_synthetic=synthetic.MEMBER in altering,
        image=shape,
        with_density_ratio=ratio,
        encoded=encoded,
    )
    return _dataset(raw, folds, notes)


def _dataset(raw: FoldEncoder, folds: Sequence[FoldIndices], notes: Sequence[str]) -> Dataset:
    samples, fitted, labels = raw.encode(folds)
    preprocess, x = raw.fit(raw.fold_sampler.whole(raw.rows)) if len(folds) > 1 else fitted
    return Dataset(
        **vars(samples),
        name=raw.table.name,
        test_x=torch.tensor(x[raw.test], dtype=raw.dtype),
        test_y=labels.test_y,
        test_weight=labels.test_weight,
        target_name=raw.table.target_name,
        target_mean=labels.mean,
        preprocess=preprocess,
        n_columns=len(raw.table.features.columns),
        fingerprint=raw.table.fingerprint,
        notes=tuple(notes),
        _raw=raw,
    )


def _counted(
    table: Table,
    column: str,
    spec: TextConfig,
    rows: np.ndarray,
    base: Path,
    altering: Sequence[str],
    document: Mapping[str, Any] | None,
) -> Counted:
    """A column of text, and the altered texts of all rows but the test part, in numbers that need no more fitting; with the terms of
    `document`, if there is one."""
    texts = table.features[column].tolist()
    found = (
        text.count(table.name, column, texts, rows, spec)
        if document is None
        else Counted(document, text.counts(document, texts), {})
    )
    known = [texts[i] for i in rows]
    altered = {
        name: tuple(text.counts(found.document, one) for one in text_augmentation.variants(name, known, spec, base))
        for name in altering
    }
    return replace(found, variants=altered)
