"""The section `data.text` of a space file: how columns of text become numbers, and what altered texts are made with.

The section `data` of a space file: which rows, of which domains, which columns, and which of the rows are held back."""

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

from hpo.core.config import MAX_COUNT, Section
from hpo.core.errors import did_you_mean
from hpo.core.importing import is_name
from hpo.core.yaml_document import format_value
from hpo.data.svmlight import COLUMN


class TextConfig(Section):
    """`columns`: those of text; none, if they are to be found by what they hold. `vectorizer`: whether their words are counted, or
    hashed, or are the `index:value` of svmlight. `features`: how many terms, or places of hashes, a column has at most; by itself
    1000, and of svmlight all. `ngrams`: how many words a term has, at least and at most. `binary`, `use_idf` and `sublinear_tf` are
    TfidfVectorizer's. `variants`: how many a text has of each kind. `synonyms`: a table of them. `back_translation`: a function that
    says a text in other words."""

    columns: list[str] = []
    vectorizer: Literal["tfidf", "hashing", "svmlight"] = "tfidf"
    features: Annotated[int, Field(ge=1, le=MAX_COUNT)] | None = None
    ngrams: list[Annotated[int, Field(ge=1, le=5)]] = [1, 1]
    binary: bool = False
    use_idf: bool = True
    sublinear_tf: bool = False
    variants: Annotated[int, Field(ge=1, le=100)] = 4
    synonyms: str | None = None
    back_translation: str | None = None

    @property
    def most(self) -> int:
        """How many terms a column has at most."""
        return self.features or (MAX_COUNT if self.vectorizer == "svmlight" else 1000)

    @field_validator("ngrams")
    @classmethod
    def _from_to(cls, ngrams: list[int]) -> list[int]:
        if len(ngrams) != 2 or ngrams[0] > ngrams[1]:
            raise ValueError(
                f"must be the least and the largest number of words in a term, as in [1, 2], got {format_value(ngrams)}."
            )
        return ngrams

    @field_validator("back_translation")
    @classmethod
    def _a_name(cls, name: str | None) -> str | None:
        if name is not None and not is_name(name):
            raise ValueError(f"must be package.module:function, got {format_value(name)}.")
        return name

    @model_validator(mode="after")
    def _together(self) -> TextConfig:
        if self.vectorizer == "hashing":
            for key, usual in (("binary", False), ("use_idf", True), ("sublinear_tf", False)):
                if getattr(self, key) != usual:
                    raise ValueError(
                        f"{key} weighs terms, and vectorizer: hashing has none; leave it out, or take tfidf."
                    )
        if self.vectorizer == "svmlight" and self.ngrams != [1, 1]:
            raise ValueError(
                f"ngrams counts words, and vectorizer: svmlight has none, got ngrams={format_value(self.ngrams)}; leave it out."
            )
        return self


DATASETS = {name: f"load_{name}" for name in ("digits", "breast_cancer", "wine", "iris", "diabetes")}
SPARSE = (".svmlight", ".libsvm")
SUFFIXES = (".csv", ".parquet", *SPARSE)


class SplitConfig(Section):
    """Shares of all rows for the test part and the validation part, or in place of the latter the number of folds in which
    all other rows take turns. No value of the column `groups` is on both sides of any cut; with `time`, whatever is judged
    on lies behind what was learned from."""

    test: Annotated[float, Field(gt=0, lt=1)] = 0.2
    valid: Annotated[float, Field(gt=0, lt=1)] = 0.2
    seed: Annotated[int, Field(ge=0, lt=2**32)] = 0
    folds: Annotated[int, Field(ge=2, le=20)] | None = None
    repeats: Annotated[int, Field(ge=1, le=20)] = 1
    groups: str | None = None
    time: str | None = None

    @model_validator(mode="after")
    def _together(self) -> SplitConfig:
        if self.folds is None and self.test + self.valid >= 1:
            raise ValueError(f"test and valid must leave rows to train on, got test={self.test}, valid={self.valid}.")
        if self.folds is not None and "valid" in self.model_fields_set:
            raise ValueError(
                f"takes valid or folds, got valid={self.valid}, folds={self.folds}; leave one of them out."
            )
        if self.folds is None and self.repeats > 1:
            raise ValueError(
                f"repeats folds, got repeats={self.repeats} without folds; add folds, or leave repeats out."
            )
        if self.groups is not None and self.time is not None:
            text = f"takes groups or time, got groups={format_value(self.groups)}, time={format_value(self.time)}; leave one of them out."
            raise ValueError(text)
        return self


def _columns(raw: Any) -> Any:
    """A list is short for the mapping."""
    if isinstance(raw, str):
        raise ValueError(f"must be a list of columns, or a mapping, got {format_value(raw)}.")
    return {"columns": raw} if isinstance(raw, list) else raw


def _sources(raw: Any) -> str | list[str]:
    """A file or data set, or several whose rows stand one below the other."""
    for one in (found := raw if isinstance(raw, list) else [raw]):
        _check_source(one)
    if not found:
        raise ValueError("must hold at least one, got [].")
    paths = list(map(os.path.normpath, found))
    for one, path in zip(found, paths, strict=True):
        if paths.count(path) > 1:  # of two equal rows, one would be learned from and the other judge
            raise ValueError(f"must hold each file once, got {format_value(one)} twice.")
    return raw  # type: ignore[no-any-return]


def _check_source(source: Any) -> str:
    if not isinstance(source, str):
        raise ValueError(
            f"must be text, got {format_value(source)}{'; put it in quotes' if isinstance(source, int | float) else ''}."
        )
    kind, colon, name = source.partition(":")
    if colon and kind == "sklearn" and name not in DATASETS:
        raise ValueError(f"is not a data set of hpo: {format_value(source)}.{did_you_mean(name, list(DATASETS))}")
    if not (kind == "sklearn" and colon) and Path(source).suffix.lower() not in SUFFIXES:
        raise ValueError(f"must be a .csv, .parquet or .svmlight file or sklearn:NAME, got {format_value(source)}.")
    return source


def _share_or_file(raw: Any) -> float | str:
    if isinstance(raw, str):
        return _check_source(raw)
    if isinstance(raw, bool) or not isinstance(raw, int | float) or not 0 < raw < 1:
        raise ValueError(f"must be a share between 0 and 1, or a file, got {format_value(raw)}.")
    return raw


class TargetConfig(Section):
    """The column to predict and, with a `source`, another domain: rows that a network is to be right on, while it learns from the
    labels of `data.source`. `labels` says which of the labels of its rows are used before the test: `none`; `few`, of so many rows a
    class, to learn from and to be judged by; `validation-only`, to be judged by alone, all but those of the test part if `few` does
    not say how many. `test` is a share of its rows, or a file of their own."""

    source: Annotated[str, PlainValidator(_check_source)] | None = None
    column: str = "target"
    labels: Literal["none", "few", "validation-only"] = "none"
    few: Annotated[int, Field(ge=2, le=MAX_COUNT)] | None = None
    test: Annotated[float | str, PlainValidator(_share_or_file)] = 0.5

    @model_validator(mode="after")
    def _together(self) -> TargetConfig:
        told = [key for key in ("labels", "few", "test") if key in self.model_fields_set]
        if self.source is None and told:
            raise ValueError(
                f"{told[0]} is of another domain, and there is none; name its file in source, or leave {told[0]} out."
            )
        if self.few is not None and self.labels == "none":
            raise ValueError(
                f"few needs labels: few or validation-only, got few={self.few}, labels=none; leave few out, or set labels."
            )
        if isinstance(self.test, str) and os.path.normpath(self.test) == os.path.normpath(
            self.source or ""
        ):  # its rows would be learned from, too
            raise ValueError(
                f"test must be another file than source, got {format_value(self.test)} for both; give a share of its rows."
            )
        return self

    @model_serializer(mode="wrap")
    def _short(self, handler: SerializerFunctionWrapHandler) -> Any:
        """The column alone, if there is no more to say."""
        return self.column if self.source is None else handler(self)

    @property
    def files(self) -> dict[str, str]:
        """What is read, by key."""
        named = {"source": self.source, "test": self.test if isinstance(self.test, str) else None}
        return {key: name for key, name in named.items() if name is not None}


def _target(raw: Any) -> Any:
    """A column is short for the mapping."""
    if isinstance(raw, str):
        return {"column": raw}
    if not isinstance(raw, Mapping | TargetConfig):
        raise ValueError(
            f"must be text, got {format_value(raw)}{'; put it in quotes' if isinstance(raw, int | float) else ''}."
        )
    return raw


class SyntheticConfig(Section):
    """`kind`: how rows are generated that may stand in place of training rows. `variants`: how many for each."""

    kind: Literal["smote", "gaussian_mixture", "vae"] = "smote"
    variants: Annotated[int, Field(ge=1, le=100)] = 4


class DataConfig(Section):
    source: Annotated[str | list[str], PlainValidator(_sources)]
    target: Annotated[TargetConfig, BeforeValidator(_target)] = TargetConfig()
    task: Literal["classification", "regression"] | None = None
    drop: list[str] = []
    categorical: list[str] = []
    numeric: list[str] = []
    text: Annotated[TextConfig, BeforeValidator(_columns)] = TextConfig()
    class_weight: Literal["balanced"] | None = None
    auxiliary: str | None = None
    synthetic: SyntheticConfig = SyntheticConfig()
    split: SplitConfig = SplitConfig()

    @model_validator(mode="before")
    @classmethod
    def _tokens(cls, raw: Any) -> Any:
        """A file of svmlight has a single column, whose tokens are parsed."""
        sources = raw.get("source") if isinstance(raw, Mapping) else None
        first = sources[0] if isinstance(sources, list) and sources else sources
        if not isinstance(first, str) or Path(first).suffix.lower() not in SPARSE:
            return raw
        text = raw.get("text", {})
        text = text.model_dump(exclude_unset=True) if isinstance(text, TextConfig) else _columns(text)
        if not isinstance(text, Mapping):
            return raw
        if (other := text.get("vectorizer", "svmlight")) != "svmlight":
            raise ValueError(
                f"{first} holds index:value and no words, so text.vectorizer must be svmlight, got {format_value(other)}; leave it out."
            )
        return {**raw, "text": {"columns": [COLUMN], "vectorizer": "svmlight", **text}}

    @model_validator(mode="after")
    def _apart(self) -> DataConfig:
        known = set(map(os.path.normpath, self.sources))
        if both := [file for file in self.target.files.values() if os.path.normpath(file) in known]:
            raise ValueError(
                f"target must be another domain than source, got {format_value(both[0])} for both; leave target.source out, or name another file."
            )
        return self

    @property
    def sources(self) -> list[str]:
        return self.source if isinstance(self.source, list) else [self.source]

    @property
    def files(self) -> str:
        """All that rows come from, as a person says it."""
        return ", ".join([*self.sources, *self.target.files.values()])
