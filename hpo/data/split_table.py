"""Split off the test rows and mask the labels that training must not see (one or two domains)."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from hpo.core.errors import InputError
from hpo.core.yaml_document import format_value
from hpo.data.column_types import join_names
from hpo.data.config import DataConfig
from hpo.data.fold_sampler import FoldSampler
from hpo.data.sources import SOURCE, TARGET, TEST
from hpo.data.splitter import Splitter
from hpo.data.table import Table

_DEFAULT_FEW = 20  # labelled target rows per class with `labels: few`


@dataclass(frozen=True)
class SplitTable:
    """Test rows, targets, and a sampler that draws folds from all other rows.

    `y` (table rows,): class indices or numbers; -1 or NaN where the label must stay hidden or is missing.
    `test_y` (test rows,): the targets of `test_rows`, read only by `TestPart`.
    """

    fold_sampler: FoldSampler
    test_rows: np.ndarray
    y: np.ndarray
    test_y: np.ndarray
    classes: tuple[Any, ...]


def split_and_mask(table: Table, data: DataConfig, notes: list[str]) -> SplitTable:
    """Split off the test rows and mask every label that may not be used. Raises InputError."""
    y, classes = _encode_target(table)
    sampler, test_rows = _split_rows(table, data, y, notes)
    visible = np.full_like(y, -1 if classes else np.nan)
    labelled_rows = np.concatenate([sampler.train_only, sampler.source_holdout, sampler.cv_rows])
    visible[labelled_rows] = y[labelled_rows]
    sampler = replace(sampler, splitter=replace(sampler.splitter, labels=visible if classes else None))
    return SplitTable(sampler, test_rows, visible, y[test_rows], classes)


def _encode_target(table: Table) -> tuple[np.ndarray, tuple[Any, ...]]:
    """Return class indices and the classes, or numbers and (); missing targets are -1 or NaN."""
    if table.task == "regression":
        return table.target.to_numpy(dtype=np.float64), ()
    is_source = table.domain == SOURCE
    labels, source_y = np.unique(table.target[is_source].infer_objects().to_numpy(), return_inverse=True)
    classes = tuple(label.item() if isinstance(label, np.generic) else label for label in labels)
    y = np.full(len(table.target), -1)
    y[is_source] = source_y
    index = {label: i for i, label in enumerate(classes)}
    for row, label in table.target[~is_source].dropna().items():
        if label not in index:
            raise InputError(
                f"data.target: the target domain has the class {format_value(label)}, which the source does not have: "
                f"{join_names(map(str, classes))}."
            )
        y[row] = index[label]
    return y, classes


def _split_rows(table: Table, data: DataConfig, y: np.ndarray, notes: list[str]) -> tuple[FoldSampler, np.ndarray]:
    """Return a sampler of all development rows, and the test rows.

    `y` (table rows,) holds all targets. For a label that may not be used, only its presence matters.
    """
    labels = y if table.task == "classification" else None
    splitter = Splitter(table.name, data.split, labels, table.groups, table.time)
    if data.target.source is None:
        development_rows, test_rows = splitter.hold_out(
            np.flatnonzero(table.domain == SOURCE), data.split.test, "test", notes
        )
        return FoldSampler(splitter, development_rows), test_rows
    has_label = table.target.notna().to_numpy()
    if data.target.labels != "none" and not has_label[table.domain == TARGET].any():
        raise InputError(
            f"data.target.labels: {data.target.labels} needs labels, and no row of {data.target.source} has one; "
            f"use none."
        )
    source_splitter = replace(splitter, split=data.split.model_copy(update={"test": 0.0}))
    target_splitter = _target_splitter(table, data, source_splitter, notes)
    source = np.flatnonzero(table.domain == SOURCE)
    labelled = np.flatnonzero((table.domain == TARGET) & has_label)
    if isinstance(data.target.test, str):
        test_rows = np.flatnonzero(table.domain == TEST)
    elif len(labelled):  # not stratified: these labels may not be used
        labelled, test_rows = replace(target_splitter, labels=None).hold_out(labelled, data.target.test, "test", notes)
    else:
        source, test_rows = splitter.hold_out(source, data.split.test, "test", notes)
        source_splitter = splitter
        notes.append(
            "No row of the target has a label, so the test part comes from the source: the quality of predictions on "
            "the target remains unknown."
        )
    if source_splitter is not splitter and "test" in data.split.model_fields_set:
        notes.append(
            "The test part comes from the target: data.target.test sets its size, and data.split.test is not used."
        )
    target = np.setdiff1d(np.flatnonzero(table.domain == TARGET), test_rows)
    return _two_domain_sampler(data, source_splitter, target_splitter, source, labelled, target, notes), test_rows


def _target_splitter(table: Table, data: DataConfig, source_splitter: Splitter, notes: list[str]) -> Splitter:
    """Return the splitter of target rows, which splits by groups or time only if the target has that column, too."""
    source, target = (np.flatnonzero(table.domain == domain) for domain in (SOURCE, TARGET))
    groups, time = (
        values if values is not None and len(values) > len(source) else None for values in (table.groups, table.time)
    )
    if groups is not None and (shared := np.intersect1d(groups[source], groups[target])).size:
        notes.append(
            f"{len(shared):,} groups have rows in both domains: networks train on their source rows, and their target "
            f"rows are used for validation and test."
        )
    return replace(source_splitter, name=f"the target {data.target.source}", groups=groups, time=time)


def _two_domain_sampler(
    data: DataConfig,
    source_splitter: Splitter,
    target_splitter: Splitter,
    source: np.ndarray,
    labelled: np.ndarray,
    target: np.ndarray,
    notes: list[str],
) -> FoldSampler:
    """Build the sampler of source and `target` rows. `labelled` are the target rows with labels; `data.target.labels`
    decides how these are used."""
    unstratified = replace(target_splitter, labels=None)  # labels that may not be used must not influence the folds
    if data.target.labels == "none":
        return FoldSampler(source_splitter, source, target_splitter=unstratified, unlabelled_target=target)
    few = data.target.few or (_DEFAULT_FEW if data.target.labels == "few" else None)
    cv_rows = labelled if few is None else target_splitter.sample_per_class(labelled, few)
    unlabelled = np.setdiff1d(target, cv_rows)
    if data.target.labels == "few":
        return FoldSampler(target_splitter, cv_rows, source, target_splitter=unstratified, unlabelled_target=unlabelled)
    source_holdout = source[:0]
    if len(unlabelled):  # validators need unlabelled target rows and source rows that no network was trained on
        source, source_holdout = source_splitter.hold_out(source, data.split.valid, "held-back", notes)
    return FoldSampler(
        replace(target_splitter, time=None),  # rows that are only used for validation need not be ordered in time
        cv_rows,
        source,
        eval_only=True,
        target_splitter=unstratified,
        unlabelled_target=unlabelled,
        source_holdout=source_holdout,
    )
