"""The identity of a trial within its study, and its form as a string."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import Any, Literal

Variant = Literal["", "ablation", "unadapted", "ensemble"]
RefitKind = Literal["scaled", "keep", "average"]
_FORM = re.compile(
    r"(?:(?P<variant>ablation|unadapted|ensemble)-)?"
    r"(?P<config>\d+|[a-z_]+)(?:-(?P<stage>\d+))?"
    r"(?:-fresh-(?P<draw>\d+)|-nested-(?P<fold>\d+)|-(?P<refit>scaled|keep|average)(?:-(?P<epochs>\d+))?)?"
)
_NUMBERS = ("stage", "draw", "fold", "epochs")


@dataclass(frozen=True)
class TrialKey:
    """The configuration that a trial trains, and the purpose of the trial.

    `config` is the number of a searched trial in Optuna, or the name of a baseline (`none`, `defaults`) or of a kind of
    ensemble. `variant` is the difference from that configuration: without regularization (`ablation`), without domain
    adaptation (`unadapted`), or trained as a member of an ensemble (`ensemble`); in boosting, it also has a `stage`.

    A trial after the search has at most one of these: the `draw` of new splits in a re-evaluation, the outer `fold` of
    nested cross-validation, or the kind of `refit`, with its fixed number of `epochs` if it has one.

    The string of a key names files, MLflow runs and stored outcomes: `12`, `none`, `ablation-12`, `12-fresh-1`,
    `12-nested-0`, `12-scaled-39`, `12-keep`, `ensemble-12`, `ensemble-boosting-3`.
    """

    config: int | str
    variant: Variant = ""
    stage: int | None = None
    draw: int | None = None
    fold: int | None = None
    refit: RefitKind | None = None
    epochs: int | None = None

    def __str__(self) -> str:
        parts: list[int | str | None] = [self.variant or None, self.config, self.stage]
        parts += ["fresh", self.draw] if self.draw is not None else []
        parts += ["nested", self.fold] if self.fold is not None else []
        parts += [self.refit, self.epochs]
        return "-".join(str(part) for part in parts if part is not None)

    @classmethod
    def parse(cls, label: str) -> TrialKey:
        """Return the key whose string is `label`. Raises ValueError if there is no such key."""
        match = _FORM.fullmatch(label)
        if match is None:
            raise ValueError(f"{label!r} is not the label of a trial")
        fields: dict[str, Any] = match.groupdict()
        config = int(fields["config"]) if fields["config"].isdigit() else fields["config"]
        numbers = {name: None if fields[name] is None else int(fields[name]) for name in _NUMBERS}
        return cls(config, fields["variant"] or "", refit=fields["refit"], **numbers)

    @property
    def is_searched(self) -> bool:
        """Whether this is a trial of the search itself, with a number."""
        return self == TrialKey(self.config) and isinstance(self.config, int)

    @property
    def number(self) -> int:
        """The number of a searched trial in Optuna. Raises ValueError for any other trial."""
        if not isinstance(self.config, int) or not self.is_searched:
            raise ValueError(f"{self} is not a searched trial")
        return self.config

    def ablation(self) -> TrialKey:
        """Return the key of the same configuration without regularization."""
        return replace(self, variant="ablation")

    def unadapted(self) -> TrialKey:
        """Return the key of the same configuration without domain adaptation."""
        return replace(self, variant="unadapted")

    def reevaluation(self, draw: int) -> TrialKey:
        """Return the key of the re-evaluation on draw number `draw` of new splits."""
        return replace(self, draw=draw)

    def nested(self, fold: int) -> TrialKey:
        """Return the key of the nested cross-validation within an outer fold."""
        return replace(self, fold=fold)

    def refitted(self, kind: RefitKind, epochs: int | None) -> TrialKey:
        """Return the key of the final network; `epochs` is None if early stopping determines their number."""
        return replace(self, refit=kind, epochs=epochs)
