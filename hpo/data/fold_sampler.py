"""Folds of rows of the table, of one domain or of two: who is learned from, who judges, and to whom a fold adapts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from hpo.core.errors import InputError
from hpo.data.splitter import Cut, Splitter

_NONE = np.empty(0, dtype=int)


@dataclass(frozen=True)
class FoldIndices:
    """A fold as rows of the table (see `fold.Fold`)."""

    number: int
    train: np.ndarray
    valid: np.ndarray
    test: np.ndarray = field(default_factory=lambda: _NONE)
    target: np.ndarray = field(default_factory=lambda: _NONE)
    target_valid: np.ndarray = field(default_factory=lambda: _NONE)
    source_valid: np.ndarray = field(default_factory=lambda: _NONE)

    @property
    def rows(self) -> tuple[np.ndarray, ...]:
        return self.train, self.valid, self.test, self.target, self.target_valid, self.source_valid


@dataclass(frozen=True)
class FoldSampler:
    """Deals out all rows but the test part.

    `turning` take turns at being learned from and judging, as `splitter` cuts them; with `judging` they only judge. `always` are
    learned from in every fold. `beside` are rows of another domain without labels, which `other` cuts: to some of them a fold adapts,
    by the others it is judged. `held` are rows of the source that only criteria judge by, until the search is over. Every method
    returns rows of the table.
    """

    splitter: Splitter
    cv_rows: np.ndarray
    train_only: np.ndarray = field(default_factory=lambda: _NONE)
    eval_only: bool = False
    other: Splitter | None = None
    unlabelled_target: np.ndarray = field(default_factory=lambda: _NONE)
    source_holdout: np.ndarray = field(default_factory=lambda: _NONE)

    @property
    def rows(self) -> np.ndarray:
        return np.concatenate([self.train_only, self.source_holdout, self.cv_rows, self.unlabelled_target])

    def ordered_as(self, rows: np.ndarray) -> FoldSampler:
        """The same, its rows in another order, which draws depend on."""
        always, turning, beside = (
            rows[np.isin(rows, own)] for own in (self.train_only, self.cv_rows, self.unlabelled_target)
        )
        return replace(self, train_only=always, cv_rows=turning, unlabelled_target=beside)

    @property
    def learnable(self) -> np.ndarray:
        """All that may ever be learned from with their labels."""
        return np.concatenate([self.train_only, self.source_holdout, *([] if self.eval_only else [self.cv_rows])])

    @property
    def ordered(self) -> bool:
        """Whether all draws have the same rows to learn from: over time, or where labelled rows of another domain only judge. One draw
        says all then."""
        return self.splitter.time is not None or self.eval_only

    def search(self, notes: list[str]) -> list[FoldIndices]:
        """The folds of the search."""
        undivided = self.eval_only and self.splitter.split.folds is None
        return self._dealt(
            [(_NONE, self.cv_rows)] if undivided else self.splitter.search(self.cv_rows, notes),
            0,
            0,
            self.unlabelled_target,
        )

    def fresh(self, draw: int) -> list[FoldIndices]:
        """Folds that the search has not seen, if there are others; where labelled rows only judge, these in parts, each of which judges a
        network of its own. Raises InputError if they cannot be drawn."""
        return self._dealt(self.splitter.fresh(self.cv_rows, draw), draw, 0, self.unlabelled_target)

    def nested(self, draw: int, fold: int) -> list[FoldIndices]:
        """The training rows of one of these in folds of the same kind, whose `test` is what that one is judged on. Raises InputError
        if such folds cannot be drawn."""
        if self.eval_only:
            raise InputError(
                "The labelled rows of the target only judge (labels: validation-only), so there are no folds within folds."
            )
        outer = self.fresh(draw)[fold]
        cuts = self.splitter.inner(outer.train[np.isin(outer.train, self.cv_rows)], draw, fold)
        return [replace(parts, test=outer.valid) for parts in self._dealt(cuts, draw, fold + 1, outer.target)]

    def whole(self, rows: np.ndarray) -> FoldIndices:
        """A single fold, of these `rows` in their order: learns from all that may be learned from, and adapts to all of another domain."""
        apart = (
            np.concatenate([self.unlabelled_target, self.cv_rows]) if len(self.train_only) else self.unlabelled_target
        )
        return FoldIndices(0, rows[np.isin(rows, self.learnable)], _NONE, target=rows[np.isin(rows, apart)])

    def _dealt(self, cuts: Sequence[Cut], draw: int, part: int, beside: np.ndarray) -> list[FoldIndices]:
        apart: Sequence[Cut] = [(_NONE, _NONE)] * len(cuts)
        if self.other is not None and len(beside):
            apart = self.other.other_rows(beside, len(cuts), draw, part)
        found = []
        for number, ((train, valid), (target, target_valid)) in enumerate(zip(cuts, apart, strict=True)):
            learned = _NONE if self.eval_only else train
            if len(self.train_only):
                learned = self.splitter.shuffled(np.concatenate([self.train_only, learned]))
            found.append(
                FoldIndices(
                    number, learned, valid, target=target, target_valid=target_valid, source_valid=self.source_holdout
                )
            )
        return found
