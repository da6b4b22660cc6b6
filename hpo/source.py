"""The section `data` of a space file: which rows, which columns, and which of the rows are held back."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, field_validator, model_validator

from hpo.document import said
from hpo.errors import did_you_mean
from hpo.language import Text
from hpo.section import Section

DATASETS = {name: f"load_{name}" for name in ("digits", "breast_cancer", "wine", "iris", "diabetes")}


class Split(Section):
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
    def _together(self) -> Split:
        if self.folds is None and self.test + self.valid >= 1:
            raise ValueError(f"test and valid must leave rows to train on, got test={self.test}, valid={self.valid}.")
        if self.folds is not None and "valid" in self.model_fields_set:
            raise ValueError(f"takes valid or folds, got valid={self.valid}, folds={self.folds}; leave one of them out.")
        if self.folds is None and self.repeats > 1:
            raise ValueError(f"repeats folds, got repeats={self.repeats} without folds; add folds, or leave repeats out.")
        if self.groups is not None and self.time is not None:
            text = f"takes groups or time, got groups={said(self.groups)}, time={said(self.time)}; leave one of them out."
            raise ValueError(text)
        return self


def _columns(raw: Any) -> Any:
    """A list is short for the mapping."""
    if isinstance(raw, str):
        raise ValueError(f"must be a list of columns, or a mapping, got {said(raw)}.")
    return {"columns": raw} if isinstance(raw, list) else raw


class Data(Section):
    source: str
    target: str = "target"
    task: Literal["classification", "regression"] | None = None
    drop: list[str] = []
    categorical: list[str] = []
    numeric: list[str] = []
    text: Annotated[Text, BeforeValidator(_columns)] = Text()
    class_weight: Literal["balanced"] | None = None
    split: Split = Split()

    @field_validator("source")
    @classmethod
    def _known(cls, source: str) -> str:
        kind, colon, name = source.partition(":")
        if colon and kind == "sklearn" and name not in DATASETS:
            raise ValueError(f"is not a data set of hpo: {said(source)}.{did_you_mean(name, list(DATASETS))}")
        if not (kind == "sklearn" and colon) and Path(source).suffix.lower() not in (".csv", ".parquet"):
            raise ValueError(f"must be a .csv or .parquet file or sklearn:NAME, got {said(source)}.")
        return source
