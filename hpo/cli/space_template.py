"""Write a first space file for a table."""

from __future__ import annotations

import os
from pathlib import Path

import yaml

from hpo.core.errors import truncate
from hpo.core.samples import MAX_EPOCH_ROWS
from hpo.core.yaml_document import Dumper
from hpo.data import readers, table
from hpo.data.column_types import ColumnError
from hpo.data.config import DataConfig, TargetConfig

_CLASS_WEIGHT = "  class_weight: auto             # one class has more than 70 % of the rows; 1 is balanced\n"
_PASSES = 20  # over the training rows of a large table, on which an epoch is a part of a pass
_TRAIN_SHARE = 0.6  # of the rows of a large table, as in `split` below
_HOLD_OUT = """\
  split: {test: 0.2, valid: 0.2, seed: 0}   # shares of the rows; the test rows are scored once
  # split: {test: 0.2, folds: 5, seed: 0}   # instead: cross-validation on the other rows"""
_FOLDS = """\
  split: {test: 0.2, folds: 5, seed: 0}     # cross-validation on all but the test rows, which are scored once
  # split: {test: 0.2, valid: 0.2, seed: 0} # instead: one validation part, as a share of the rows"""
MOST_ROWS_FOR_FOLDS = 1_000  # without the test rows
_DEVELOPMENT_SHARE = 0.8  # of the rows, as in `split`
_NO_DROP = "  # drop: [column]                # columns to leave out\n"

_TEXT_SECTION = """\
  text:                           # sentences; the tf–idf weights of their words become inputs
    columns:
{columns}    # ngrams: [1, 2]              # also use pairs of words
"""
_TEXT_AUGMENTATION = (
    "  # random_deletion: {low: 0.05, high: 0.9, optional: true}  # share of texts that lose a tenth of their words\n"
)

_TEMPLATE = """\
# A search space for {name}: {rows:,} rows, {columns}, {what}.
# Validate it with `hpo check`, run it with `hpo search --space`. Every other key has a default.
study: {study}

data:
  source: {source}
  target: {target}
  # task: {task:<24}# inferred from the target; set it to override
{drop}  # categorical: [column]         # numbers that stand for categories, like postal codes
{text}{split}

network: {{kind: mlp, width: {width}, activation: relu, batch_norm: false}}

search:                          # a number fixes a key; a range samples it; optional: true adds "off"
  learning_rate: {{low: 1.0e-4, high: {lr}, log: true}}
  depth: {{low: 1, high: {depth}}}
  weight_decay: {{low: 1.0e-4, high: 3.0, log: true, optional: true}}   # times the learning rate, as in torch
  l1: {{low: 1.0e-5, high: 0.3, log: true, optional: true}}             # makes weights exactly zero
  dropout: {{low: 0.0, high: {dropout}}}
{weight}  # more, each with its range: hpo regularizers
{read}
train: {{epochs: {epochs}, batch_size: auto, patience: 10, metric: {metric}}}
budget: {{trials: {trials}}}     # or {{seconds: 120}}, or both: the first limit ends the search
sampler: tpe
seed: 0
"""


def space_text(path: Path, target: str, folder: Path) -> str:
    """Return the text of a commented space file in `folder` for the table at `path`.

    Raises InputError if the table cannot be used.
    """
    readers.check_file(path)
    data, dropped = _usable(path, target)
    rows = len(data.target)
    small, large = rows < 2_000, rows > 20_000
    skewed = data.task == "classification" and data.target.value_counts(normalize=True).max() > 0.7
    kinds = f"{data.target.nunique()} classes" if data.task == "classification" else "regression"
    lines = "".join(f"    - {_scalar(column)}   # it {reason}\n" for column, reason in dropped.items())
    drop = f"  drop:\n{lines}" if dropped else _NO_DROP
    text_columns = "".join(f"      - {_scalar(column)}\n" for column in data.text)
    return _TEMPLATE.format(
        split=_FOLDS if _DEVELOPMENT_SHARE * rows <= MOST_ROWS_FOR_FOLDS else _HOLD_OUT,
        text=_TEXT_SECTION.format(columns=text_columns) if text_columns else "",
        read=_TEXT_AUGMENTATION if text_columns else "",
        name=truncate(path.name),
        rows=rows,
        columns="1 column" if len(data.features.columns) == 1 else f"{len(data.features.columns)} columns",
        what=f"predicting {truncate(target)} ({kinds})",
        study=_scalar(_study(path.stem)),
        source=_scalar(os.path.relpath(path, folder)),
        target=_scalar(target),
        task=data.task,
        drop=drop,
        weight=_CLASS_WEIGHT if skewed else "",
        width=64 if small else 128,
        lr="1.0e-1" if small else "3.0e-2",
        depth=3 if small else 4,
        dropout=0.6 if not large else 0.4,
        epochs=100 if small else max(60, round(_PASSES * _TRAIN_SHARE * rows / MAX_EPOCH_ROWS)),
        metric="balanced_accuracy" if skewed else "loss",
        trials=50 if large else 100,
    )


def _usable(path: Path, target: str) -> tuple[table.Table, dict[str, str]]:
    """Return the table without its unusable columns, and the reason for each of these."""
    dropped: dict[str, str] = {}
    while True:
        try:
            config = DataConfig(source=str(path.resolve()), target=TargetConfig(column=target), drop=list(dropped))
            return table.load(config, Path()), dropped
        except ColumnError as error:
            dropped[error.column] = error.reason


def _study(stem: str) -> str:
    name = "".join(c if (c.isalnum() and c.isascii()) or c in "._-" else "-" for c in stem)[:100]
    return name if name.strip(".") else "study"


def _scalar(value: str) -> str:
    """Return text as one line of YAML."""
    written = yaml.dump(value, Dumper=Dumper, allow_unicode=True, width=float("inf"), default_flow_style=True)
    return str(written).removesuffix("...\n").strip()
