"""Draw folds from the table rows of one domain or two: training and validation rows, and target rows to adapt to."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from hpo.data.splitter import RowSplit, Splitter

_NO_ROWS = np.empty(0, dtype=int)


@dataclass(frozen=True)
class FoldIndices:
    """A fold as row indices of the table (see `samples.Fold`)."""

    number: int
    train: np.ndarray
    valid: np.ndarray
    target: np.ndarray = field(default_factory=lambda: _NO_ROWS)
    target_valid: np.ndarray = field(default_factory=lambda: _NO_ROWS)
    source_valid: np.ndarray = field(default_factory=lambda: _NO_ROWS)

    @property
    def parts(self) -> dict[str, np.ndarray]:
        """The rows of all parts, by the names of `samples.Fold`."""
        return {name: rows for name, rows in vars(self).items() if name != "number"}


@dataclass(frozen=True)
class FoldSampler:
    """Assigns all development rows to folds. Every method returns row indices of the table.

    `splitter` splits `cv_rows` into training and validation rows; with `eval_only`, they are only used for validation.
    Every fold trains on `train_only`.
    `target_splitter` splits `unlabelled_target`, rows of the target domain without labels: a fold adapts to the first
    part and computes validators on the second.
    `source_holdout` are source rows on which validators are computed; networks train on them only after the search.
    """

    splitter: Splitter
    cv_rows: np.ndarray
    train_only: np.ndarray = field(default_factory=lambda: _NO_ROWS)
    eval_only: bool = False
    target_splitter: Splitter | None = None
    unlabelled_target: np.ndarray = field(default_factory=lambda: _NO_ROWS)
    source_holdout: np.ndarray = field(default_factory=lambda: _NO_ROWS)

    @property
    def rows(self) -> np.ndarray:
        """All development rows."""
        return np.concatenate([self.train_only, self.source_holdout, self.cv_rows, self.unlabelled_target])

    def reorder(self, rows: np.ndarray) -> FoldSampler:
        """Return a sampler whose rows are in the order of `rows`; later draws depend on this order."""
        train_only, cv_rows, unlabelled = (
            rows[np.isin(rows, part)] for part in (self.train_only, self.cv_rows, self.unlabelled_target)
        )
        return replace(self, train_only=train_only, cv_rows=cv_rows, unlabelled_target=unlabelled)

    @property
    def trainable_rows(self) -> np.ndarray:
        """All rows that a network may train on with their labels."""
        return np.concatenate([self.train_only, self.source_holdout, *([] if self.eval_only else [self.cv_rows])])

    @property
    def has_single_draw(self) -> bool:
        """Whether all draws have the same training rows, so that one draw suffices.

        This is the case for splits over time, and if labelled target rows are only used for validation.
        """
        return self.splitter.time is not None or self.eval_only

    def search_folds(self, notes: list[str]) -> list[FoldIndices]:
        """Draw the folds of the search."""
        if self.eval_only and self.splitter.split.folds is None:
            splits = [(_NO_ROWS, self.cv_rows)]
        else:
            splits = self.splitter.search_folds(self.cv_rows, notes)
        return self._add_target_rows(splits, 0)

    def new_folds(self, draw: int) -> list[FoldIndices]:
        """Draw folds that differ from those of the search, if there are other folds.

        If labelled rows are only used for validation, each part of them is the validation part of one network. Raises
        InputError if the folds cannot be drawn.
        """
        return self._add_target_rows(self.splitter.new_folds(self.cv_rows, draw), draw)

    def without_validation(self, rows: np.ndarray) -> FoldIndices:
        """Build one fold of `rows`, in their order; it trains on all trainable rows and adapts to all target rows."""
        target = self.unlabelled_target
        if len(self.train_only):
            target = np.concatenate([target, self.cv_rows])
        return FoldIndices(0, rows[np.isin(rows, self.trainable_rows)], _NO_ROWS, target=rows[np.isin(rows, target)])

    def _add_target_rows(self, splits: Sequence[RowSplit], draw: int) -> list[FoldIndices]:
        """Turn splits into folds that also hold their training-only, source holdout and target rows."""
        target_splits: Sequence[RowSplit] = [(_NO_ROWS, _NO_ROWS)] * len(splits)
        if self.target_splitter is not None and len(self.unlabelled_target):
            target_splits = self.target_splitter.target_folds(self.unlabelled_target, len(splits), draw)
        folds = []
        for number, ((train, valid), (target, target_valid)) in enumerate(zip(splits, target_splits, strict=True)):
            trained = _NO_ROWS if self.eval_only else train
            if len(self.train_only):
                trained = self.splitter.shuffle(np.concatenate([self.train_only, trained]))
            fold = FoldIndices(
                number, trained, valid, target=target, target_valid=target_valid, source_valid=self.source_holdout
            )
            folds.append(fold)
        return folds
