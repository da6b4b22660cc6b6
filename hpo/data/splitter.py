"""Which rows train, which select and which test: indices alone, drawn from seeds, so that any of them can be drawn late."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from sklearn.model_selection import KFold, StratifiedKFold, train_test_split

from hpo.core.errors import InputError
from hpo.data.config import SplitConfig

Cut = tuple[np.ndarray, np.ndarray]  # rows to learn from, rows to be judged on
_TRIES = 100  # ways of dealing out groups, of which the most even is taken


@dataclass(frozen=True)
class Splitter:
    """Draws parts of a table's rows as `split` wants them.

    `labels` (rows,) are the classes that each part should hold alike, or None; `groups` (rows,) and `time` (rows,) are there
    if the split names them. Every method takes and returns indices of the table's rows.
    """

    name: str
    split: SplitConfig
    labels: np.ndarray | None
    groups: np.ndarray | None
    time: np.ndarray | None

    def hold_out(self, rows: np.ndarray, share: float, part: str, notes: list[str]) -> Cut:
        """`rows` in two, the second a share of them that errors and notes call the `part` part."""
        if self.time is not None:
            rows, when = self._sorted(rows)
            at = self._before(when, len(rows) - int(np.ceil(share * len(rows))))
            if at == 0:
                raise self._refuse("time", len(np.unique(when)), f"to cut off a {part} part")
            return self.shuffled(rows[:at]), rows[at:]
        if self.groups is not None:
            left, drawn = self._dealt(rows, (1 - share, share), self.split.seed, f"to cut off a {part} part")
            return self.shuffled(left), drawn
        return self._drawn(rows, share, part, notes)

    def search(self, rows: np.ndarray, notes: list[str]) -> list[Cut]:
        """The development `rows` as the search sees them: one cut, or the folds, repeated."""
        if self.split.folds is None:
            return [self.hold_out(rows, self._valid, "validation", notes)]
        drawn = [
            cut
            for i in range(self.split.repeats)
            for cut in self._folds(rows, self.split.folds, self._seed(0, i), notes)
        ]
        notes[:] = dict.fromkeys(notes)
        return drawn

    def fresh(self, rows: np.ndarray, draw: int) -> list[Cut]:
        """Folds of the development `rows` that the search has not seen; over time those of the search, there are no others."""
        return self._late(rows, self._seed(draw, 0))

    def inner(self, rows: np.ndarray, draw: int, fold: int) -> list[Cut]:
        """The same kind of folds within the training `rows` of one of these."""
        return self._late(rows, self._seed(draw, fold + 1))

    def other_rows(self, rows: np.ndarray, cuts: int, draw: int, part: int) -> list[Cut]:
        """Rows of another domain, cut as often as those that are drawn with the same seeds."""
        if cuts == 1:
            return [self.hold_out(rows, self._valid, "validation", [])]
        repeats = self.split.repeats if (draw, part) == (0, 0) else 1
        return [
            cut for i in range(repeats) for cut in self._folds(rows, cuts // repeats, self._seed(draw, part + i), [])
        ]

    def few(self, rows: np.ndarray, wanted: int) -> np.ndarray:
        """So many of `rows` of each class, or of all if there are no classes; fewer where there are no more."""
        drawn = np.random.default_rng([self.split.seed, wanted]).permutation(rows)
        if self.labels is None:
            return drawn[:wanted]
        return np.concatenate([drawn[self.labels[drawn] == label][:wanted] for label in np.unique(self.labels[rows])])

    @property
    def late(self) -> int:
        """How many folds a late drawing has: those of the space, or as many as leave training parts as large as its own."""
        if self.split.folds is not None:
            return self.split.folds
        return 1 if self.time is not None else int(np.clip(round(1 / self._valid), 2, 10))

    @property
    def _valid(self) -> float:
        """The validation part's share of what is left beside the test part."""
        return self.split.valid / (1 - self.split.test)

    def _seed(self, draw: int, part: int) -> int:
        return int(np.random.SeedSequence((self.split.seed, draw, part)).generate_state(1)[0])

    def _late(self, rows: np.ndarray, seed: int) -> list[Cut]:
        if self.late == 1:
            return [self.hold_out(rows, self._valid, "validation", [])]
        units = len(rows) if self.groups is None else len(np.unique(self.groups[rows]))
        return self._folds(rows, max(2, min(self.late, units)), seed, [])

    # ---- the ways of cutting

    def _folds(self, rows: np.ndarray, k: int, seed: int, notes: list[str]) -> list[Cut]:
        if self.time is not None:
            return self._windows(rows, k)
        if self.groups is not None:
            parts = self._dealt(rows, (1 / k,) * k, seed, f"for {k} folds")
            return [
                (self.shuffled(np.concatenate([*parts[:i], *parts[i + 1 :]])), part) for i, part in enumerate(parts)
            ]
        if len(rows) < k:
            raise InputError(f"{self.name}: {k} folds of data.split cannot be drawn from {_said(len(rows))}.")
        labels = None if self.labels is None else self.labels[rows]
        if labels is not None and (counts := np.bincount(labels))[counts > 0].min() < k:
            notes.append(f"The folds were drawn without stratification: a class has fewer than {k} rows.")
            labels = None
        kind = KFold if labels is None else StratifiedKFold
        drawn = kind(k, shuffle=True, random_state=seed).split(rows, labels)
        return [(self.shuffled(rows[train]), rows[valid]) for train, valid in drawn]

    def _drawn(self, rows: np.ndarray, share: float, part: str, notes: list[str]) -> Cut:
        """`rows` in two: what is left, and a `share` of them, stratified by class where every class is large enough."""
        stratify = None
        if self.labels is not None:
            counts = np.bincount(self.labels[rows])
            counts = counts[counts > 0]
            smaller = min(taken := int(np.ceil(share * len(rows))), len(rows) - taken)
            if counts.min() >= 2 and smaller >= len(counts):
                stratify = self.labels[rows]
            else:
                why = "a class has a single row left" if counts.min() < 2 else f"too small for {len(counts)} classes"
                notes.append(f"The {part} part was drawn without stratification: {why}.")
        try:
            left, drawn = train_test_split(rows, test_size=share, random_state=self.split.seed, stratify=stratify)
        except ValueError as error:
            raise InputError(
                f"{self.name}: the {part} part of data.split cannot be drawn from {_said(len(rows))}."
            ) from error
        return left, drawn

    def _windows(self, rows: np.ndarray, k: int) -> list[Cut]:
        """Each fold learns from all that was before its validation rows, as scikit-learn's TimeSeriesSplit."""
        rows, when = self._sorted(rows)
        size = len(rows) // (k + 1)
        bounds = [self._before(when, len(rows) - (k - i) * size) for i in range(k)] if size else [0]
        bounds.append(len(rows))
        if bounds[0] == 0 or any(a == b for a, b in pairwise(bounds)):
            raise self._refuse("time", len(np.unique(when)), f"for {k} folds")
        return [(self.shuffled(rows[:a]), rows[a:b]) for a, b in pairwise(bounds)]

    def _sorted(self, rows: np.ndarray) -> Cut:
        """`rows` in the order of time, and when they were."""
        assert self.time is not None
        rows = rows[np.argsort(self.time[rows], kind="stable")]
        return rows, self.time[rows]

    @staticmethod
    def _before(when: np.ndarray, at: int) -> int:
        """The place nearest before `at` that does not tear apart what was at one and the same time."""
        return int(np.searchsorted(when, when[at]))

    def _dealt(self, rows: np.ndarray, shares: Sequence[float], seed: int, why: str) -> list[np.ndarray]:
        """`rows` in parts of about those shares, no group in two of them.

        Of many random ways the one that is most even in rows of every class. scikit-learn's StratifiedGroupKFold deals the
        groups out in an order that hardly depends on its seed, or, in some of its versions, without regard to classes.
        """
        assert self.groups is not None
        known, of = np.unique(self.groups[rows], return_inverse=True)
        bounds = np.round(np.cumsum(shares) * len(known)).astype(int)
        sizes = np.diff(bounds, prepend=0)
        if sizes.min() < 1:
            raise self._refuse("groups", len(known), why)
        labels = (
            np.zeros(len(rows), dtype=int)
            if self.labels is None
            else np.unique(self.labels[rows], return_inverse=True)[1]
        )
        counts = np.zeros((len(known), labels.max() + 1))  # rows of each group in each class
        np.add.at(counts, (of, labels), 1)
        wanted = np.outer(shares, counts.sum(0))
        stream, part = np.random.default_rng(seed), np.repeat(np.arange(len(shares)), sizes)
        best, least = part, np.inf
        for _ in range(_TRIES):
            mine = stream.permutation(part)
            held = np.zeros_like(wanted)
            np.add.at(held, mine, counts)
            uneven = float((np.square(held - wanted) / wanted).sum())
            if uneven < least:
                best, least = mine, uneven
        return [rows[best[of] == i] for i in range(len(shares))]

    def shuffled(self, rows: np.ndarray) -> np.ndarray:
        """Training loss is taken on the first of them, which should stand for all."""
        return np.random.default_rng(self.split.seed).permutation(rows)

    def _refuse(self, key: str, values: int, why: str) -> InputError:
        column = getattr(self.split, key)
        return InputError(
            f"data.split.{key}: the column {column} of {self.name} has {values} different "
            f"value{'' if values == 1 else 's'} where more are needed {why}; take fewer folds or another column."
        )


def _said(rows: int) -> str:
    return "a single row" if rows == 1 else f"{rows:,} rows"
