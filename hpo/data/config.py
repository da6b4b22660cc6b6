"""The sections `data`, `data.text`, `data.target`, `data.split` and `data.synthetic` of a search space file."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import (
    BeforeValidator,
    Field,
    PlainValidator,
    SerializerFunctionWrapHandler,
    field_validator,
    model_serializer,
    model_validator,
)

from hpo.core.config import MAX_COUNT, ObjectName, Section
from hpo.core.errors import did_you_mean
from hpo.core.yaml_document import format_value
from hpo.data import svmlight
from hpo.data.readers import FILE_KINDS, is_readable

DATASETS = {name: f"load_{name}" for name in ("digits", "breast_cancer", "wine", "iris", "diabetes")}
_DEFAULT_TERMS = 1000  # per text column


class TextConfig(Section):
    """The conversion of text columns to numbers, and the augmentation of texts.

    `columns`: the text columns; if empty, they are inferred from the values.
    `vectorizer`: count words, hash them, or parse `index:value` pairs.
    `features`: the maximum number of terms or hashes of a column; 1000 by default, unlimited for svmlight.
    `ngrams`: the minimum and maximum number of words in a term.
    `binary`, `use_idf` and `sublinear_tf` are options of scikit-learn's TfidfVectorizer.
    `variants`: the number of augmented texts per text and regularizer.
    `synonyms`: a table of synonyms.
    `back_translation`: a function that rephrases a text.
    """

    columns: list[str] = []
    vectorizer: Literal["tfidf", "hashing", "svmlight"] = "tfidf"
    features: Annotated[int, Field(ge=1, le=MAX_COUNT)] | None = None
    ngrams: list[Annotated[int, Field(ge=1, le=5)]] = [1, 1]
    binary: bool = False
    use_idf: bool = True
    sublinear_tf: bool = False
    variants: Annotated[int, Field(ge=1, le=100)] = 4
    synonyms: str | None = None
    back_translation: ObjectName | None = None

    @property
    def max_terms(self) -> int:
        """The maximum number of terms of a column."""
        return self.features or (MAX_COUNT if self.vectorizer == "svmlight" else _DEFAULT_TERMS)

    @field_validator("ngrams")
    @classmethod
    def _check_ngrams(cls, ngrams: list[int]) -> list[int]:
        if len(ngrams) != 2 or ngrams[0] > ngrams[1]:
            raise ValueError(
                f"must be the minimum and maximum number of words in a term, as in [1, 2], got {format_value(ngrams)}."
            )
        return ngrams

    @model_validator(mode="after")
    def _check_vectorizer(self) -> TextConfig:
        if self.vectorizer == "hashing":
            for key, default in (("binary", False), ("use_idf", True), ("sublinear_tf", False)):
                if getattr(self, key) != default:
                    raise ValueError(
                        f"{key} weights terms, and vectorizer: hashing has none; leave it out, or use tfidf."
                    )
        if self.vectorizer == "svmlight" and self.ngrams != [1, 1]:
            raise ValueError(
                f"ngrams counts words, and vectorizer: svmlight has none, got ngrams={format_value(self.ngrams)}; "
                f"leave it out."
            )
        return self


class SplitConfig(Section):
    """The test and the validation part as shares of all rows, or the number of cross-validation `folds`.

    No value of the column `groups` occurs on both sides of a split. With the column `time`, networks are evaluated on
    rows that are later than their training rows.
    """

    test: Annotated[float, Field(gt=0, lt=1)] = 0.2
    valid: Annotated[float, Field(gt=0, lt=1)] = 0.2
    seed: Annotated[int, Field(ge=0, lt=2**32)] = 0
    folds: Annotated[int, Field(ge=2, le=20)] | None = None
    repeats: Annotated[int, Field(ge=1, le=20)] = 1
    groups: str | None = None
    time: str | None = None

    @model_validator(mode="after")
    def _check_combination(self) -> SplitConfig:
        if self.folds is None and self.test + self.valid >= 1:
            raise ValueError(f"test and valid must leave rows to train on, got test={self.test}, valid={self.valid}.")
        if self.folds is not None and "valid" in self.model_fields_set:
            raise ValueError(
                f"takes valid or folds, got valid={self.valid}, folds={self.folds}; leave one of them out."
            )
        if self.folds is None and self.repeats > 1:
            raise ValueError(
                f"repeats needs folds, got repeats={self.repeats} without folds; add folds, or leave repeats out."
            )
        if self.groups is not None and self.time is not None:
            raise ValueError(
                f"takes groups or time, got groups={format_value(self.groups)}, time={format_value(self.time)}; "
                f"leave one of them out."
            )
        return self


def _expand_columns(raw: Any) -> Any:
    """Expand a list, which is short for a mapping with `columns`."""
    if isinstance(raw, str):
        raise ValueError(f"must be a list of columns, or a mapping, got {format_value(raw)}.")
    return {"columns": raw} if isinstance(raw, list) else raw


def _check_sources(raw: Any) -> str | list[str]:
    """Check one file or data set, or a list of them."""
    sources = raw if isinstance(raw, list) else [raw]
    for source in sources:
        _check_source(source)
    if not sources:
        raise ValueError("must hold at least one, got [].")
    paths = list(map(os.path.normpath, sources))
    for source, path in zip(sources, paths, strict=True):
        if paths.count(path) > 1:  # a row and its copy could be on both sides of a split
            raise ValueError(f"must hold each file once, got {format_value(source)} twice.")
    return raw  # type: ignore[no-any-return]  # checked above


def _check_source(source: Any) -> str:
    if not isinstance(source, str):
        raise ValueError(_not_text(source))
    kind, colon, name = source.partition(":")
    is_dataset = bool(colon) and kind == "sklearn"
    if is_dataset and name not in DATASETS:
        raise ValueError(f"is not a data set of hpo: {format_value(source)}.{did_you_mean(name, list(DATASETS))}")
    if not is_dataset and not is_readable(source):
        raise ValueError(f"must be {FILE_KINDS}, or sklearn:NAME, got {format_value(source)}.")
    return source


def _not_text(value: Any) -> str:
    hint = "; put it in quotes" if isinstance(value, int | float) else ""
    return f"must be text, got {format_value(value)}{hint}."


def _check_share_or_file(raw: Any) -> float | str:
    if isinstance(raw, str):
        return _check_source(raw)
    if isinstance(raw, bool) or not isinstance(raw, int | float) or not 0 < raw < 1:
        raise ValueError(f"must be a share between 0 and 1, or a file, got {format_value(raw)}.")
    return raw


class TargetConfig(Section):
    """The column to predict and, if `source` is set, the target domain: the rows for which predictions are needed.

    Networks train on the labels of `data.source`. `labels` decides which labels of the target domain are used:
    `none`: no labels.
    `few`: the labels of `few` rows per class, for training and validation.
    `validation-only`: the labels of `few` rows per class, or of all rows outside the test part if `few` is not set.
    `test` is a share of the rows of `source`, or a file.
    """

    source: Annotated[str, PlainValidator(_check_source)] | None = None
    column: str = "target"
    labels: Literal["none", "few", "validation-only"] = "none"
    few: Annotated[int, Field(ge=2, le=MAX_COUNT)] | None = None
    test: Annotated[float | str, PlainValidator(_check_share_or_file)] = 0.5

    @model_validator(mode="after")
    def _check_combination(self) -> TargetConfig:
        domain_keys = [key for key in ("labels", "few", "test") if key in self.model_fields_set]
        if self.source is None and domain_keys:
            raise ValueError(
                f"{domain_keys[0]} needs a target domain; name its file in source, or leave {domain_keys[0]} out."
            )
        if self.few is not None and self.labels == "none":
            raise ValueError(
                f"few needs labels: few or validation-only, got few={self.few}, labels=none; leave few out, or set "
                f"labels."
            )
        if isinstance(self.test, str) and os.path.normpath(self.test) == os.path.normpath(self.source or ""):
            # Networks would adapt to the test rows.
            raise ValueError(
                f"test must be another file than source, got {format_value(self.test)} for both; use a share of its "
                f"rows."
            )
        return self

    @model_serializer(mode="wrap")
    def _serialize(self, handler: SerializerFunctionWrapHandler) -> Any:
        """Write only the column if there is no target domain."""
        return self.column if self.source is None else handler(self)

    @property
    def files(self) -> dict[str, str]:
        """The files of the target domain by key."""
        names = {"source": self.source, "test": self.test if isinstance(self.test, str) else None}
        return {key: name for key, name in names.items() if name is not None}


def _expand_target(raw: Any) -> Any:
    """Expand a text, which is short for a mapping with `column`."""
    if isinstance(raw, str):
        return {"column": raw}
    if not isinstance(raw, Mapping | TargetConfig):
        raise ValueError(_not_text(raw))
    return raw


class SyntheticConfig(Section):
    """The generator of synthetic rows (`kind`), and their number per training row (`variants`)."""

    kind: Literal["smote", "gaussian_mixture", "vae"] = "smote"
    variants: Annotated[int, Field(ge=1, le=100)] = 4


class DataConfig(Section):
    """The section `data`: files, columns and splits."""

    source: Annotated[str | list[str], PlainValidator(_check_sources)]
    target: Annotated[TargetConfig, BeforeValidator(_expand_target)] = TargetConfig()
    task: Literal["classification", "regression"] | None = None
    drop: list[str] = []
    categorical: list[str] = []
    numeric: list[str] = []
    text: Annotated[TextConfig, BeforeValidator(_expand_columns)] = TextConfig()
    class_weight: Literal["balanced"] | None = None
    auxiliary: str | None = None
    synthetic: SyntheticConfig = SyntheticConfig()
    split: SplitConfig = SplitConfig()

    @model_validator(mode="before")
    @classmethod
    def _set_svmlight_column(cls, raw: Any) -> Any:
        """Set `text` for svmlight files, whose only column holds `index:value` pairs."""
        sources = raw.get("source") if isinstance(raw, Mapping) else None
        first = sources[0] if isinstance(sources, list) and sources else sources
        if not isinstance(first, str) or Path(first).suffix.lower() not in svmlight.SUFFIXES:
            return raw
        text = raw.get("text", {})
        text = text.model_dump(exclude_unset=True) if isinstance(text, TextConfig) else _expand_columns(text)
        if not isinstance(text, Mapping):
            return raw
        if (vectorizer := text.get("vectorizer", "svmlight")) != "svmlight":
            raise ValueError(
                f"{first} holds index:value pairs instead of words, so text.vectorizer must be svmlight, "
                f"got {format_value(vectorizer)}; leave it out."
            )
        return {**raw, "text": {"columns": [svmlight.COLUMN], "vectorizer": "svmlight", **text}}

    @model_validator(mode="after")
    def _check_domains(self) -> DataConfig:
        sources = set(map(os.path.normpath, self.sources))
        if both := [file for file in self.target.files.values() if os.path.normpath(file) in sources]:
            raise ValueError(
                f"target must be another domain than source, got {format_value(both[0])} for both; leave target.source "
                f"out, or name another file."
            )
        return self

    @property
    def sources(self) -> list[str]:
        """The files or data sets of the source domain."""
        return self.source if isinstance(self.source, list) else [self.source]

    @property
    def all_sources(self) -> str:
        """All files or data sets of both domains, for messages."""
        return ", ".join([*self.sources, *self.target.files.values()])
