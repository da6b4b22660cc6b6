"""The identity of a trial within its study, and its form as a string."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import Any, Literal

Variant = Literal["", "ablation", "unadapted", "without", "ensemble"]
RefitKind = Literal["scaled", "keep", "average"]
_FORM = re.compile(
    r"(?:(?:(?P<variant>ablation|unadapted|ensemble)|(?P<without>without)-(?P<part>[^-]+))-)?"
    r"(?P<config>\d+|[a-z_]+)(?:-(?P<stage>\d+))?"
    r"(?:-fresh-(?P<draw>\d+)|-(?P<refit>scaled|keep|average)(?:-(?P<epochs>\d+))?)?"
)
_REGULARIZATION = "regularization"  # all strengths that regularize, as a part that a key is without
_NUMBERS = ("stage", "draw", "epochs")


@dataclass(frozen=True)
class TrialKey:
    """The configuration that a trial trains, and the purpose of the trial.

    `config` is the number of a searched trial in Optuna, or the name of a baseline (`none`, `defaults`) or of a kind of
    ensemble. `variant` is the difference from that configuration: without regularization (`ablation`), without domain
    adaptation (`unadapted`), without a single strength, which is the `part` (`without`), or trained as a member of an
    ensemble (`ensemble`); in boosting, it also has a `stage`.

    A trial after the search has at most one of these: the `draw` of new splits in a re-evaluation, or the kind of
    `refit`, with its fixed number of `epochs` if it has one.

    The string of a key names files, MLflow runs and stored outcomes: `12`, `none`, `ablation-12`, `12-fresh-1`,
    `without-l1-12`, `12-scaled-39`, `12-keep`, `ensemble-12`, `ensemble-boosting-3`.
    """

    config: int | str
    variant: Variant = ""
    stage: int | None = None
    draw: int | None = None
    refit: RefitKind | None = None
    epochs: int | None = None
    part: str | None = None

    def __str__(self) -> str:
        parts: list[int | str | None] = [self.variant or None, self.part, self.config, self.stage]
        parts += ["fresh", self.draw] if self.draw is not None else []
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
        variant: Any = fields["variant"] or fields["without"] or ""
        return cls(config, variant, refit=fields["refit"], part=fields["part"], **numbers)

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
        """Return the key of the same configuration without regularization.

        A configuration without a strength keeps that one in its key, because it need not be a regularizer.
        """
        return self.without(_REGULARIZATION) if self.part else replace(self, variant="ablation")

    def unadapted(self) -> TrialKey:
        """Return the key of the same configuration without domain adaptation."""
        return replace(self, variant="unadapted")

    def without(self, part: str) -> TrialKey:
        """Return the key of the same configuration without the strength `part`; several are joined by `+`."""
        earlier = _REGULARIZATION if self.variant == "ablation" else self.part
        return replace(self, variant="without", part="+".join(filter(None, (earlier, part))))

    def reevaluation(self, draw: int) -> TrialKey:
        """Return the key of the re-evaluation on draw number `draw` of new splits."""
        return replace(self, draw=draw)

    def refitted(self, kind: RefitKind, epochs: int | None) -> TrialKey:
        """Return the key of the final network; `epochs` is None if early stopping determines their number."""
        return replace(self, refit=kind, epochs=epochs)
