"""Folds of rows of the table, of one domain or of two: who is learned from, who judges, and to whom a fold adapts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from hpo.core.errors import InputError
from hpo.data.splitter import Cut, Splitter

_NONE = np.empty(0, dtype=int)


@dataclass(frozen=True)
class Parts:
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
class Dealer:
    """Deals out all rows but the test part.

    `turning` take turns at being learned from and judging, as `splitter` cuts them; with `judging` they only judge. `always` are
    learned from in every fold. `beside` are rows of another domain without labels, which `other` cuts: to some of them a fold adapts,
    by the others it is judged. `held` are rows of the source that only criteria judge by, until the search is over. Every method
    returns rows of the table.
    """

    splitter: Splitter
    turning: np.ndarray
    always: np.ndarray = field(default_factory=lambda: _NONE)
    judging: bool = False
    other: Splitter | None = None
    beside: np.ndarray = field(default_factory=lambda: _NONE)
    held: np.ndarray = field(default_factory=lambda: _NONE)

    @property
    def rows(self) -> np.ndarray:
        return np.concatenate([self.always, self.held, self.turning, self.beside])

    def ordered_as(self, rows: np.ndarray) -> Dealer:
        """The same, its rows in another order, which draws depend on."""
        always, turning, beside = (rows[np.isin(rows, own)] for own in (self.always, self.turning, self.beside))
        return replace(self, always=always, turning=turning, beside=beside)

    @property
    def learnable(self) -> np.ndarray:
        """All that may ever be learned from with their labels."""
        return np.concatenate([self.always, self.held, *([] if self.judging else [self.turning])])

    @property
    def ordered(self) -> bool:
        """Whether all draws have the same rows to learn from: over time, or where labelled rows of another domain only judge. One draw
        says all then."""
        return self.splitter.time is not None or self.judging

    def search(self, notes: list[str]) -> list[Parts]:
        """The folds of the search."""
        undivided = self.judging and self.splitter.split.folds is None
        return self._dealt(
            [(_NONE, self.turning)] if undivided else self.splitter.search(self.turning, notes), 0, 0, self.beside
        )

    def fresh(self, draw: int) -> list[Parts]:
        """Folds that the search has not seen, if there are others; where labelled rows only judge, these in parts, each of which judges a
        network of its own. Raises InputError if they cannot be drawn."""
        return self._dealt(self.splitter.fresh(self.turning, draw), draw, 0, self.beside)

    def nested(self, draw: int, fold: int) -> list[Parts]:
        """The training rows of one of these in folds of the same kind, whose `test` is what that one is judged on. Raises InputError
        if such folds cannot be drawn."""
        if self.judging:
            raise InputError(
                "The labelled rows of the target only judge (labels: validation-only), so there are no folds within folds."
            )
        outer = self.fresh(draw)[fold]
        cuts = self.splitter.inner(outer.train[np.isin(outer.train, self.turning)], draw, fold)
        return [replace(parts, test=outer.valid) for parts in self._dealt(cuts, draw, fold + 1, outer.target)]

    def whole(self, rows: np.ndarray) -> Parts:
        """A single fold, of these `rows` in their order: learns from all that may be learned from, and adapts to all of another domain."""
        apart = np.concatenate([self.beside, self.turning]) if len(self.always) else self.beside
        return Parts(0, rows[np.isin(rows, self.learnable)], _NONE, target=rows[np.isin(rows, apart)])

    def _dealt(self, cuts: Sequence[Cut], draw: int, part: int, beside: np.ndarray) -> list[Parts]:
        apart: Sequence[Cut] = [(_NONE, _NONE)] * len(cuts)
        if self.other is not None and len(beside):
            apart = self.other.beside(beside, len(cuts), draw, part)
        found = []
        for number, ((train, valid), (target, target_valid)) in enumerate(zip(cuts, apart, strict=True)):
            learned = _NONE if self.judging else train
            if len(self.always):
                learned = self.splitter.shuffled(np.concatenate([self.always, learned]))
            found.append(
                Parts(number, learned, valid, target=target, target_valid=target_valid, source_valid=self.held)
            )
        return found
