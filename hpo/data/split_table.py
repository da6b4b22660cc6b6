"""Who may know which label, and which rows are the test part: of one domain, or of two."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from hpo.core.errors import InputError
from hpo.core.yaml_document import format_value
from hpo.data.column_types import listed
from hpo.data.config import DataConfig
from hpo.data.fold_sampler import FoldSampler
from hpo.data.sources import SOURCE, TARGET, TEST
from hpo.data.splitter import Splitter
from hpo.data.table import Table


@dataclass(frozen=True)
class SplitTable:
    """`dealer` deals out all rows but the `test` part. `y` (rows of the table,): class indices or numbers, and -1 or not a number wherever
    nobody may know them; `test_y` (rows of the test part,) is for the very end."""

    fold_sampler: FoldSampler
    test: np.ndarray
    y: np.ndarray
    test_y: np.ndarray
    classes: tuple[Any, ...]


def split_and_mask(table: Table, data: DataConfig, notes: list[str]) -> SplitTable:
    """Decides of every row of a table who may know its label. Raises InputError in one sentence."""
    truth, classes = _encoded(table)
    dealer, test = _parts(table, data, truth, notes)
    y, allowed = (
        np.full_like(truth, -1 if classes else np.nan),
        np.concatenate([dealer.train_only, dealer.source_holdout, dealer.cv_rows]),
    )
    y[allowed] = truth[allowed]
    dealer = replace(dealer, splitter=replace(dealer.splitter, labels=y if classes else None))
    return SplitTable(dealer, test, y, truth[test], classes)


def _encoded(table: Table) -> tuple[np.ndarray, tuple[Any, ...]]:
    """The target as class indices with their labels, or as it is; -1, or not a number, where it is missing."""
    if table.task == "regression":
        return table.target.to_numpy(dtype=np.float64), ()
    own = table.domain == SOURCE
    labels, y = np.unique(table.target[own].infer_objects().to_numpy(), return_inverse=True)
    classes = tuple(label.item() if isinstance(label, np.generic) else label for label in labels)
    found = np.full(len(table.target), -1)
    found[own] = y
    place = {label: i for i, label in enumerate(classes)}
    for i, label in table.target[~own].dropna().items():
        if label not in place:
            raise InputError(
                f"data.target: the target domain has the class {format_value(label)}, which the source does not have: {listed(map(str, classes))}."
            )
        found[i] = place[label]
    return found, classes


def _parts(table: Table, data: DataConfig, y: np.ndarray, notes: list[str]) -> tuple[FoldSampler, np.ndarray]:
    """All rows but the test part, to be dealt out, and the test part; `y` (rows,) is the target of all, -1 or not a number where it is
    missing. Of rows whose labels are not allowed it only counts whether they have one."""
    said_of, labels = data.target, y if table.task == "classification" else None
    source, other = (np.flatnonzero(table.domain == own) for own in (SOURCE, TARGET))
    splitter = Splitter(table.name, data.split, labels, table.groups, table.time)
    if said_of.source is None:
        rest, test = splitter.hold_out(source, data.split.test, "test", notes)
        return FoldSampler(splitter, rest), test
    known = other[table.target[other].notna()]
    if said_of.labels != "none" and not len(known):
        raise InputError(
            f"data.target.labels: {said_of.labels} needs labels, and no row of {said_of.source} has one; take none."
        )
    of_source = replace(splitter, split=data.split.model_copy(update={"test": 0.0}))
    groups, time = (
        values if values is not None and len(values) > len(source) else None for values in (table.groups, table.time)
    )
    of_target = replace(
        of_source, name=f"the target {said_of.source}", groups=groups, time=time
    )  # by what the target's rows have, too
    if groups is not None and (both := np.intersect1d(groups[source], groups[other])).size:
        notes.append(
            f"Groups with rows in both domains: {len(both):,}. What their rows of the source taught is judged and tested by their rows of the target."
        )
    blind = replace(of_target, labels=None)  # nothing is stratified by labels that are not allowed
    if isinstance(said_of.test, str):
        test = np.flatnonzero(table.domain == TEST)
    elif len(known):
        known, test = blind.hold_out(known, said_of.test, "test", notes)
    else:
        source, test = splitter.hold_out(source, data.split.test, "test", notes)
        of_source = splitter
        notes.append(
            "No row of the target has a label: the test part is the source's, and nothing tells how right predictions on the target are."
        )
    if of_source is not splitter and "test" in data.split.model_fields_set:
        notes.append(
            "The test part is the target's, so data.split.test is not used; data.target.test says how large it is."
        )
    beside = np.setdiff1d(other, test)
    if said_of.labels == "none":
        return FoldSampler(of_source, source, other=blind, unlabelled_target=beside), test
    few = said_of.few or (20 if said_of.labels == "few" else None)
    labelled = known if few is None else of_target.few(known, few)
    rest = np.setdiff1d(beside, labelled)
    if said_of.labels == "few":
        return FoldSampler(of_target, labelled, source, other=blind, unlabelled_target=rest), test
    held = source[:0]
    if len(rest):  # else no criterion can be computed; with it, rows of the source must show what it is worth
        source, held = of_source.hold_out(source, data.split.valid, "held-back", notes)
    of_target = replace(of_target, time=None)  # nothing is learned from them, so none is too late
    return FoldSampler(
        of_target, labelled, source, eval_only=True, other=blind, unlabelled_target=rest, source_holdout=held
    ), test
