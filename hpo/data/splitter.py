"""Split table rows into training rows and validation or test rows; splits hold row indices and are drawn from seeds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from sklearn.model_selection import KFold, StratifiedKFold, train_test_split

from hpo.core.errors import InputError
from hpo.data.config import SplitConfig

RowSplit = tuple[np.ndarray, np.ndarray]  # rows to train on, rows to evaluate on
_GROUP_SPLIT_TRIES = 100  # random assignments of groups to parts; the most even assignment is used


@dataclass(frozen=True)
class Splitter:
    """Splits rows of a table as `split` configures.

    `labels` (rows,) are the classes to stratify by, or None. `groups` (rows,) and `time` (rows,) are set if the config
    names these columns. Every method takes and returns indices of the table's rows.
    """

    name: str
    split: SplitConfig
    labels: np.ndarray | None
    groups: np.ndarray | None
    time: np.ndarray | None

    def hold_out(self, rows: np.ndarray, share: float, part: str, notes: list[str]) -> RowSplit:
        """Split `rows` in two; the second part holds a `share` of them. `part` is its name in messages."""
        if self.time is not None:
            rows, time = self._sort_by_time(rows)
            start = self._start_of_time_step(time, len(rows) - int(np.ceil(share * len(rows))))
            if start == 0:
                raise self._too_few_values("time", len(np.unique(time)), f"to split off a {part} part")
            return self.shuffle(rows[:start]), rows[start:]
        if self.groups is not None:
            shares = (1 - share, share)
            rest, held_out = self._split_groups(rows, shares, self.split.seed, f"to split off a {part} part")
            return self.shuffle(rest), held_out
        return self._random_split(rows, share, part, notes)

    def search_folds(self, rows: np.ndarray, notes: list[str]) -> list[RowSplit]:
        """Split the development `rows` for the search: one hold-out split, or the folds of all repeats."""
        if self.split.folds is None:
            return [self.hold_out(rows, self._valid_share, "validation", notes)]
        folds = [
            fold
            for repeat in range(self.split.repeats)
            for fold in self._folds(rows, self.split.folds, self._seed(0, repeat), notes)
        ]
        notes[:] = dict.fromkeys(notes)
        return folds

    def new_folds(self, rows: np.ndarray, draw: int) -> list[RowSplit]:
        """Split the development `rows` into folds that the search did not use; splits over time repeat its folds."""
        if self.n_new_folds == 1:
            return [self.hold_out(rows, self._valid_share, "validation", [])]
        units = len(rows) if self.groups is None else len(np.unique(self.groups[rows]))
        return self._folds(rows, max(2, min(self.n_new_folds, units)), self._seed(draw, 0), [])

    def target_folds(self, rows: np.ndarray, n_folds: int, draw: int) -> list[RowSplit]:
        """Split unlabelled target rows into `n_folds` splits, with the seeds of the folds of labelled rows."""
        if n_folds == 1:
            return [self.hold_out(rows, self._valid_share, "validation", [])]
        repeats = self.split.repeats if draw == 0 else 1
        return [
            fold
            for repeat in range(repeats)
            for fold in self._folds(rows, n_folds // repeats, self._seed(draw, repeat), [])
        ]

    def sample_per_class(self, rows: np.ndarray, n: int) -> np.ndarray:
        """Draw `n` of `rows` from each class (all if a class has fewer), or `n` in total if there are no classes."""
        shuffled = np.random.default_rng([self.split.seed, n]).permutation(rows)
        if self.labels is None:
            return shuffled[:n]
        classes = np.unique(self.labels[rows])
        return np.concatenate([shuffled[self.labels[shuffled] == label][:n] for label in classes])

    @property
    def n_new_folds(self) -> int:
        """The configured number of folds, or else a number with which training parts are as large as in the search."""
        if self.split.folds is not None:
            return self.split.folds
        return 1 if self.time is not None else int(np.clip(round(1 / self._valid_share), 2, 10))

    @property
    def _valid_share(self) -> float:
        """The validation part as a share of the rows outside the test part."""
        return self.split.valid / (1 - self.split.test)

    def _seed(self, draw: int, part: int) -> int:
        return int(np.random.SeedSequence((self.split.seed, draw, part)).generate_state(1)[0])

    def _folds(self, rows: np.ndarray, k: int, seed: int, notes: list[str]) -> list[RowSplit]:
        if self.time is not None:
            return self._time_folds(rows, k)
        if self.groups is not None:
            parts = self._split_groups(rows, (1 / k,) * k, seed, f"for {k} folds")
            return [(self.shuffle(np.concatenate([*parts[:i], *parts[i + 1 :]])), part) for i, part in enumerate(parts)]
        if len(rows) < k:
            raise InputError(f"{self.name}: {k} folds of data.split cannot be drawn from {_count(len(rows))}.")
        labels = None if self.labels is None else self.labels[rows]
        if labels is not None and (counts := np.bincount(labels))[counts > 0].min() < k:
            notes.append(f"The folds were drawn without stratification: a class has fewer than {k} rows.")
            labels = None
        kind = KFold if labels is None else StratifiedKFold
        folds = kind(k, shuffle=True, random_state=seed).split(rows, labels)
        return [(self.shuffle(rows[train]), rows[valid]) for train, valid in folds]

    def _random_split(self, rows: np.ndarray, share: float, part: str, notes: list[str]) -> RowSplit:
        """Split `rows`, stratified if every class is large enough; the second part holds a `share` of the rows."""
        stratify = None
        if self.labels is not None:
            counts = np.bincount(self.labels[rows])
            counts = counts[counts > 0]
            n_held_out = int(np.ceil(share * len(rows)))
            smaller = min(n_held_out, len(rows) - n_held_out)
            if counts.min() >= 2 and smaller >= len(counts):
                stratify = self.labels[rows]
            else:
                reason = "a class has one row left" if counts.min() < 2 else f"too small for {len(counts)} classes"
                notes.append(f"The {part} part was drawn without stratification: {reason}.")
        try:
            rest, held_out = train_test_split(rows, test_size=share, random_state=self.split.seed, stratify=stratify)
        except ValueError as error:
            raise InputError(
                f"{self.name}: the {part} part of data.split cannot be drawn from {_count(len(rows))}."
            ) from error
        return rest, held_out

    def _time_folds(self, rows: np.ndarray, k: int) -> list[RowSplit]:
        """Train each fold on all rows before its validation rows, as scikit-learn's TimeSeriesSplit does."""
        rows, time = self._sort_by_time(rows)
        size = len(rows) // (k + 1)
        bounds = [self._start_of_time_step(time, len(rows) - (k - i) * size) for i in range(k)] if size else [0]
        bounds.append(len(rows))
        if bounds[0] == 0 or any(a == b for a, b in pairwise(bounds)):
            raise self._too_few_values("time", len(np.unique(time)), f"for {k} folds")
        return [(self.shuffle(rows[:a]), rows[a:b]) for a, b in pairwise(bounds)]

    def _sort_by_time(self, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return `rows` in order of time, and their times."""
        assert self.time is not None
        rows = rows[np.argsort(self.time[rows], kind="stable")]
        return rows, self.time[rows]

    @staticmethod
    def _start_of_time_step(time: np.ndarray, position: int) -> int:
        """Return the first position that has the same time as `position`, so that rows of one time stay together."""
        return int(np.searchsorted(time, time[position]))

    def _split_groups(self, rows: np.ndarray, shares: Sequence[float], seed: int, purpose: str) -> list[np.ndarray]:
        """Split `rows` into parts of approximately the given shares without dividing a group.

        Tries many random assignments and returns the one with the most even counts of every class. scikit-learn's
        StratifiedGroupKFold assigns groups in an order that hardly depends on its seed, or, in some of its versions,
        ignores classes.
        """
        assert self.groups is not None
        groups, group_of_row = np.unique(self.groups[rows], return_inverse=True)
        bounds = np.round(np.cumsum(shares) * len(groups)).astype(int)
        sizes = np.diff(bounds, prepend=0)
        if sizes.min() < 1:
            raise self._too_few_values("groups", len(groups), purpose)
        class_counts = self._class_counts(rows, group_of_row, len(groups))
        expected = np.outer(shares, class_counts.sum(0))
        rng, parts = np.random.default_rng(seed), np.repeat(np.arange(len(shares)), sizes)
        best_parts, lowest = parts, np.inf
        for _ in range(_GROUP_SPLIT_TRIES):
            part_of_group = rng.permutation(parts)
            counts = np.zeros_like(expected)
            np.add.at(counts, part_of_group, class_counts)
            deviation = float((np.square(counts - expected) / expected).sum())
            if deviation < lowest:
                best_parts, lowest = part_of_group, deviation
        return [rows[best_parts[group_of_row] == i] for i in range(len(shares))]

    def _class_counts(self, rows: np.ndarray, group_of_row: np.ndarray, n_groups: int) -> np.ndarray:
        """Count the rows of each group in each class, (groups, classes); one class if there are no labels."""
        labels = np.zeros(len(rows), dtype=int)
        if self.labels is not None:
            labels = np.unique(self.labels[rows], return_inverse=True)[1]
        counts = np.zeros((n_groups, labels.max() + 1))
        np.add.at(counts, (group_of_row, labels), 1)
        return counts

    def shuffle(self, rows: np.ndarray) -> np.ndarray:
        """Shuffle training rows: the training loss is computed on the first rows, which should be representative."""
        return np.random.default_rng(self.split.seed).permutation(rows)

    def _too_few_values(self, key: str, n_values: int, purpose: str) -> InputError:
        column = getattr(self.split, key)
        values = "value" if n_values == 1 else "values"
        return InputError(
            f"data.split.{key}: the column {column} of {self.name} has only {n_values} different {values}, too few "
            f"{purpose}; use fewer folds or another column."
        )


def _count(rows: int) -> str:
    return "a single row" if rows == 1 else f"{rows:,} rows"
