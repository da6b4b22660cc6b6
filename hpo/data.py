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

from hpo import augment, dealing, density, synthetic, text
from hpo import preprocess as preprocessing
from hpo.auxiliary import standardised
from hpo.columns import listed
from hpo.dataset import Fold, Samples
from hpo.errors import InputError
from hpo.language import Text
from hpo.parts import Dealer, Parts
from hpo.preprocess import Preprocess
from hpo.reading import SOURCE
from hpo.source import Data
from hpo.table import Table, load
from hpo.text import Counted

GENERATING = "synthetic"  # the regularizer that wants generated rows
_MOST_COPIED = 1_000_000_000  # numbers in the rows of all folds together: four gigabytes


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
    preprocess: Preprocess
    n_columns: int
    fingerprint: str
    notes: tuple[str, ...]
    _raw: _Raw = field(repr=False, compare=False)

    @property
    def development(self) -> int:
        """How many rows there are besides the test part; `x` holds them once a fold."""
        return len(self._raw.rows)

    def fresh(self, draw: int) -> Samples:
        """All rows but the test part in folds of their own for each `draw` (1, 2, …): those of the space in number, or so
        many that training parts are as large as in the search. Where all draws are `ordered` they are the search's. Raises InputError
        if such folds cannot be drawn."""
        return self._raw.made(self._raw.dealer.fresh(draw))[0]

    def nested(self, draw: int, fold: int) -> Samples:
        """The training rows of one fold of `fresh(draw)` in folds of the same kind; what that fold is judged on is their `test`.
        Raises InputError if such folds cannot be drawn."""
        return self._raw.made(self._raw.dealer.nested(draw, fold))[0]

    def raw(self, rows: Sequence[int]) -> pd.DataFrame:
        """Rows of `x` as the table has them, without the target; its index is their place in the table, from 0."""
        return self._raw.table.features.iloc[self._raw.rows[[row % self.development for row in rows]]]

    @property
    def domain(self) -> np.ndarray:
        """Where each of the `development` rows is from, (rows,), as `reading.py` counts domains."""
        return np.asarray(self._raw.table.domain[self._raw.rows])

    def sizes(self, draw: int) -> list[tuple[int, int]]:
        """How many rows each fold of `fresh(draw)` trains on, and how many judge it."""
        return [(len(parts.train), len(parts.valid)) for parts in self._raw.dealer.fresh(draw)]

    @property
    def ordered(self) -> bool:
        """Whether all draws learn from the same rows, as over time."""
        return self._raw.dealer.ordered

    @property
    def unpromised(self) -> bool:
        """Whether the test part is of another domain than the labelled rows that judge before it."""
        return not self.foreign and self.tests_another

    @property
    def groups(self) -> np.ndarray | None:
        """To which group each row of `x` belongs that `whole` trains on, (rows,), if the split names them."""
        known, rows = self._raw.dealer.splitter.groups, self._raw.dealer.whole(self._raw.rows).train
        return None if known is None else known[rows]

    def training_sizes(self, draws: int) -> set[int]:
        """How many rows the search, that many fresh draws and the whole train on. Raises InputError if any of these cannot be
        drawn, or if fresh folds have no place in memory."""
        fresh = [self.sizes(draw) for draw in range(1, draws + 1)]
        if fresh:
            self._raw.check_size(len(fresh[0]), self.n_inputs)
        all_ = len(self._raw.dealer.learnable)
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
        return self._raw.dataset([self._raw.dealer.whole(self._raw.rows)], self.notes)

    def to_train(self) -> Samples:
        """What training needs where folds share the rows of one encoding: these rows, or if rows are generated, `apart`."""
        return self.apart() if self._raw.generating and len(self.folds) > 1 else self.samples()

    def apart(self) -> Samples:
        """The rows once a fold, as `once_a_fold` has them, with generated rows that know of each fold's own training rows alone: else they
        would tell of the labels that it is judged by."""
        samples, said_of = self.once_a_fold(), self._raw.data.synthetic
        for fold in samples.folds if self._raw.generating else ():
            train = torch.from_numpy(np.unique(fold.train))  # a bootstrap sample has some several times
            x, y = (t[train].numpy() for t in (samples.x, samples.y))
            made = synthetic.generate(said_of.kind, x, y, len(self.classes), said_of.variants)
            samples.variants[GENERATING][:, train] = torch.from_numpy(made)
        return samples


@dataclass(frozen=True)
class _Target:
    """What `y` is in tensors, and its `weight` if classes are balanced, of all rows and of those to test on; `mean` and `scale` of a
    regression."""

    y: Tensor
    weight: Tensor | None
    test_y: Tensor
    test_weight: Tensor | None
    mean: float = 0.0
    scale: float = 1.0


@dataclass(frozen=True)
class _Raw:
    """The table itself, less its target, from which samples are made when they are asked for. `y` (rows of the table,) is -1, or not a
    number, wherever nobody may know it."""

    table: Table
    data: Data
    dtype: torch.dtype
    y: np.ndarray
    classes: tuple[Any, ...]
    dealer: Dealer
    rows: np.ndarray  # all but the test part
    test: np.ndarray
    test_y: np.ndarray
    counted: tuple[Counted, ...]  # its columns of text
    altering: tuple[str, ...]  # the regularizers that want altered texts
    generating: bool  # whether one wants generated rows
    image: tuple[int, ...]
    weighing: bool  # whether somebody wants density ratios
    encoded: tuple[Preprocess, np.ndarray] | None = None  # as they were fitted elsewhere, with the matrix of all rows

    def dataset(self, folds: Sequence[Parts], notes: Sequence[str]) -> Dataset:
        samples, fitted, target = self.made(folds)
        preprocess, x = self._fit(self.dealer.whole(self.rows)) if len(folds) > 1 else fitted
        return Dataset(
            **vars(samples),
            name=self.table.name,
            test_x=torch.tensor(x[self.test], dtype=self.dtype),
            test_y=target.test_y,
            test_weight=target.test_weight,
            target_name=self.table.target_name,
            target_mean=target.mean,
            preprocess=preprocess,
            n_columns=len(self.table.features.columns),
            fingerprint=self.table.fingerprint,
            notes=tuple(notes),
            _raw=self,
        )

    def made(self, folds: Sequence[Parts]) -> tuple[Samples, tuple[Preprocess, np.ndarray], _Target]:
        """The development rows once a fold, one below the other, each as its own training rows have them encoded; the last
        fold's preprocessing with the matrix (rows, inputs) of all rows; the target of all rows."""
        rows, parts = self.rows, []
        place = np.zeros(len(self.y), dtype=int)
        place[rows] = np.arange(len(rows))
        x, variants, auxiliary = torch.empty(0), {}, []
        ratio = torch.ones(len(folds), len(rows), dtype=self.dtype)
        for i, part in enumerate(folds):
            preprocess, encoded = fitted = self._fit(part)
            if i == 0:
                self.check_size(len(folds), encoded.shape[1])
                x = torch.empty((len(folds), len(rows), encoded.shape[1]), dtype=self.dtype)
                variants = {name: x.new_empty((n, *x.shape)) for name, n in self._banks().items()}
            x[i] = torch.from_numpy(encoded[rows])
            for name in self.altering:
                for number, own in enumerate(variants[name]):
                    own[i] = torch.from_numpy(preprocessing.altered(preprocess, encoded[rows], self.counted, name, number))
            if self.generating:
                said_of, train = self.data.synthetic, place[part.train]
                made = synthetic.bank(said_of.kind, encoded[rows], self.y[rows], len(self.classes), train, said_of.variants)
                variants[GENERATING][:, i] = torch.from_numpy(made)
            if self.table.auxiliary is not None:
                auxiliary.append(torch.tensor(standardised(self.table.auxiliary, part.train)[rows], dtype=self.dtype))
            if self.weighing and len(part.target):
                ratio[i] = torch.from_numpy(self._ratios(encoded, part)[rows])
            parts.append(Fold(part.number, *(torch.from_numpy(place[own] + i * len(rows)) for own in part.rows)))
        target = self._target(folds[0].train if len(folds) == 1 else self.dealer.learnable)
        y, weight = (None if t is None else t[rows].repeat(len(folds)) for t in (target.y, target.weight))
        assert y is not None
        samples = Samples(
            self.table.task, x.flatten(0, 1), y, weight, tuple(parts), self.classes, target.scale, _columns(preprocess),
            self.image if math.prod(self.image) == x.shape[2] else (), {name: bank.flatten(1, 2) for name, bank in variants.items()},
            auxiliary=torch.cat(auxiliary) if auxiliary else None,
            ratio=ratio.flatten() if self.weighing and all(len(part.target) for part in folds) else None, foreign=bool(len(self.dealer.always)),
        )  # fmt: skip
        return samples, fitted, target

    def _fit(self, part: Parts) -> tuple[Preprocess, np.ndarray]:
        """Preprocessing as a fold has it, and the matrix of all rows. Categories and terms may be listed from all rows but the test
        part."""
        if self.encoded is not None:
            return self.encoded
        return preprocessing.fit(self.table, part.train, self.rows, self.counted, part.target)

    def _ratios(self, encoded: np.ndarray, part: Parts) -> np.ndarray:
        """By how much the target is denser than the source at every row of the source, (rows,); 1 at all others."""
        own = self.table.domain == SOURCE
        found = density.ratios(encoded, part.train[own[part.train]], part.target[~own[part.target]])
        return np.where(own, found, 1.0)

    def _target(self, known: np.ndarray) -> _Target:
        """The target of all rows, with what is to be counted counted on the rows `known`."""
        both = (self.y, self.test_y)
        if self.table.task == "regression":
            mean, scale = float(self.y[known].mean()), float(self.y[known].std()) or 1.0
            y, test_y = (torch.tensor((values - mean) / scale, dtype=self.dtype) for values in both)
            return _Target(y, None, test_y, None, mean, scale)
        weight, test_weight = None, None
        if self.data.class_weight:  # as scikit-learn defines it
            counts = np.bincount(self.y[known], minlength=len(self.classes))
            by_class = len(known) / (len(self.classes) * np.maximum(counts, 1))
            weight, test_weight = (torch.tensor(np.where(values < 0, 0.0, by_class[values]), dtype=self.dtype) for values in both)
        return _Target(torch.tensor(self.y), weight, torch.tensor(self.test_y), test_weight)

    def _banks(self) -> dict[str, int]:
        """How many rows could stand in place of each, by the regularizer that wants them."""
        altered = {name: len(self.counted[0].variants[name]) for name in self.altering}
        return altered | ({GENERATING: self.data.synthetic.variants} if self.generating else {})

    def check_size(self, folds: int, inputs: int) -> None:
        variants = sum(self._banks().values())
        if (folds > 1 or variants) and folds * (1 + variants) * len(self.rows) * inputs > _MOST_COPIED:
            each, fewer = f"each of {folds} folds", "take fewer folds, or a larger valid"
            if variants:
                each = f"each of {folds} folds with {variants} altered ones" if folds > 1 else f"{variants} altered ones of each"
                fewer = "lower data.text.features or data.text.variants" if self.altering else "lower data.synthetic.variants"
            raise InputError(
                f"{self.table.name}: {len(self.rows):,} rows with {inputs:,} inputs are too many to keep in memory for {each}; {fewer}."
            )


def prepare(
    data: Data,
    base: Path,
    dtype: torch.dtype = torch.float32,
    altering: Sequence[str] = (),
    image: Sequence[int] = (),
    encoder: Preprocess | None = None,
    ratio: bool = False,
) -> Dataset:
    """Loads, splits and encodes what `data` describes. `altering` names the regularizers that want altered texts, or generated rows,
    `image` the (channels, height, width) of a row, if it is one, `encoder` a preprocessing that was fitted elsewhere; `ratio` is whether
    somebody wants density ratios. Raises InputError in one sentence."""
    table = load(data, base)
    if image and math.prod(image) == len(table.numeric) == len(table.features.columns):
        table = replace(table, image=True)  # pixels have one scale: those at the border, which hardly vary, are not to be stretched
    notes = list(table.notes)
    truth, classes = dealing.encoded(table)
    dealer, test = dealing.dealt(table, data, truth, notes)
    y, allowed = np.full_like(truth, -1 if classes else np.nan), np.concatenate([dealer.always, dealer.held, dealer.turning])
    y[allowed] = truth[allowed]
    dealer = replace(dealer, splitter=replace(dealer.splitter, labels=y if classes else None))
    folds = dealer.search(notes)
    if classes and any(len(np.unique(y[parts.train])) < 2 for parts in folds):
        raise InputError(f"{table.name}: the training part holds one class only; more rows or another split seed help.")
    if data.class_weight and table.task == "regression":
        raise InputError("data.class_weight: balanced needs classes, but the task is regression; leave it out.")
    rows = np.concatenate(folds[0].rows) if len(folds) == 1 else dealer.rows
    dealer = dealer.ordered_as(rows)
    written = tuple(name for name in altering if name != GENERATING)
    encoded = None if encoder is None else (encoder, preprocessing.given(encoder, table))
    documents = dict.fromkeys(table.text) if encoder is None else {d["column"]: d for d in encoder.documents}
    counted = tuple(_counted(table, column, data.text, rows, base, written, known) for column, known in documents.items())
    if encoded and (beyond := preprocessing.far(*encoded)):
        text = f"Far from all that the weights of network.init were trained on, by more than ten deviations, lie rows of: {listed(beyond)}."
        notes.append(f"{text} Weights that were trained without these columns may serve better.")
    if encoder and (strange := [column for column in table.features.columns if column not in encoder.columns]):
        notes.append(f"Columns that the weights of network.init do not know, left out: {listed(strange)}.")
    for name in written if not counted or data.text.vectorizer == "svmlight" else ():
        raise InputError(f"search.{name}: needs a column of text, and {table.name} has none; name one in data.text.")
    shape = tuple(image) or ((1, 8, 8) if table.image else ())
    table = replace(table, target=table.target[:0])
    generating = GENERATING in altering
    raw = _Raw(table, data, dtype, y, classes, dealer, rows, test, truth[test], counted, written, generating, shape, ratio, encoded)
    return raw.dataset(folds, notes)


def _columns(preprocess: Preprocess) -> Tensor:
    """To which column of the table, or term of a text, each input belongs: (inputs,), numbered as they come."""
    number = {group: i for i, group in enumerate(dict.fromkeys(preprocess.groups))}
    return torch.tensor([number[group] for group in preprocess.groups])


def _counted(
    table: Table, column: str, spec: Text, rows: np.ndarray, base: Path, altering: Sequence[str], document: Mapping[str, Any] | None
) -> Counted:
    """A column of text, and the altered texts of all rows but the test part, in numbers that need no more fitting; with the terms of
    `document`, if there is one."""
    texts = table.features[column].tolist()
    found = text.count(table.name, column, texts, rows, spec) if document is None else Counted(document, text.counts(document, texts), {})
    known = [texts[i] for i in rows]
    altered = {
        name: tuple(text.counts(found.document, one) for one in augment.variants(name, known, spec, base)) for name in altering
    }
    return replace(found, variants=altered)
