"""The section `data.text` of a space file: how columns of text become numbers, and what altered texts are made with."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, field_validator, model_validator

from hpo.document import said
from hpo.factory import is_name
from hpo.section import MOST, Section


class Text(Section):
    """`columns`: those of text; none, if they are to be found by what they hold. `vectorizer`: whether their words are counted, or
    hashed, or are the `index:value` of svmlight. `features`: how many terms, or places of hashes, a column has at most; by itself
    1000, and of svmlight all. `ngrams`: how many words a term has, at least and at most. `binary`, `use_idf` and `sublinear_tf` are
    TfidfVectorizer's. `variants`: how many a text has of each kind. `synonyms`: a table of them. `back_translation`: a function that
    says a text in other words."""

    columns: list[str] = []
    vectorizer: Literal["tfidf", "hashing", "svmlight"] = "tfidf"
    features: Annotated[int, Field(ge=1, le=MOST)] | None = None
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
        return self.features or (MOST if self.vectorizer == "svmlight" else 1000)

    @field_validator("ngrams")
    @classmethod
    def _from_to(cls, ngrams: list[int]) -> list[int]:
        if len(ngrams) != 2 or ngrams[0] > ngrams[1]:
            raise ValueError(f"must be the least and the largest number of words in a term, as in [1, 2], got {said(ngrams)}.")
        return ngrams

    @field_validator("back_translation")
    @classmethod
    def _a_name(cls, name: str | None) -> str | None:
        if name is not None and not is_name(name):
            raise ValueError(f"must be package.module:function, got {said(name)}.")
        return name

    @model_validator(mode="after")
    def _together(self) -> Text:
        if self.vectorizer == "hashing":
            for key, usual in (("binary", False), ("use_idf", True), ("sublinear_tf", False)):
                if getattr(self, key) != usual:
                    raise ValueError(f"{key} weighs terms, and vectorizer: hashing has none; leave it out, or take tfidf.")
        if self.vectorizer == "svmlight" and self.ngrams != [1, 1]:
            raise ValueError(f"ngrams counts words, and vectorizer: svmlight has none, got ngrams={said(self.ngrams)}; leave it out.")
        return self
