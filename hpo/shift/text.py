"""What was found, as a person reads it, and as JSON."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from hpo.shift.column_tests import Moved
from hpo.shift.concept_shift import Region
from hpo.shift.covariate_tests import Marginal
from hpo.shift.domains import Domains
from hpo.shift.verdict import Verdict
from hpo.space.formatting import number, table

_ROWS = 12  # columns that the terminal shows
_LISTED = 200  # columns that JSON lists although they did not move
_UNSEEN = (
    "Whether labels still follow the columns as they did (concept shift) cannot be seen without labelled target rows."
)


def lines(name: str, domains: Domains, verdict: Verdict, notes: Sequence[str] = ()) -> list[str]:
    """The verdict first, then what was tested, then which columns moved."""
    n, m, known = len(domains.y_s), domains.x_t.shape[0], len(domains.y_t)
    labels = f"{known:,} of them labelled" if known else "none of them labelled"
    return [
        f"{name} · source {n:,} rows · target {m:,} rows, {labels} · without the test part",
        *(f"note: {note}" for note in notes),
        *sentences(domains, verdict),
        "",
        *table([["", "found", "p"], *_tests(domains, verdict)]),
        "",
        *_moved(verdict.seen.marginal.columns),
    ]


def sentences(domains: Domains, verdict: Verdict) -> list[str]:
    """One for each kind of shift."""
    found = [_SAID[kind](domains, verdict) for kind in verdict.kinds]
    if not found:
        least = min(verdict.seen.marginal.p, verdict.seen.shares.p, verdict.concept.p if verdict.concept else 1.0)
        alike = (
            "columns, label shares, and how labels follow the columns"
            if verdict.concept
            else "the columns, and what they say of the labels,"
        )
        found = [f"No shift is seen ({_sure(least)}): {alike} look alike in both domains."]
    return found if verdict.concept else [*found, _UNSEEN]


def report(name: str, domains: Domains, verdict: Verdict, notes: Sequence[str]) -> dict[str, Any]:
    """All numbers, for programs."""
    seen = verdict.seen
    every = seen.marginal.columns
    listed = every if len(every) <= _LISTED else [one for one in every if one.moved]
    found = {
        "name": name,
        "rows": {"source": len(domains.y_s), "target": int(domains.x_t.shape[0]), "labelled": len(domains.y_t)},
        "kinds": list(verdict.kinds),
        "verdict": " ".join(sentences(domains, verdict)),
        "covariate": {
            "p": seen.marginal.p,
            "classifiers": [asdict(one) for one in seen.marginal.classifiers],
            "mmd": asdict(seen.marginal.mmd),
            "p_with_label_shares_of_the_target": seen.residual and seen.residual.p,
        },
        "prior": {"classes": list(domains.classes), **asdict(seen.shares)},
        "concept": verdict.concept and asdict(verdict.concept),
        "columns_tested": len(every),
        "columns": [asdict(one) for one in listed],
        "notes": list(notes),
    }
    return dict(_finite(found))


def _tests(domains: Domains, verdict: Verdict) -> list[list[str]]:
    seen = verdict.seen
    rows = [
        [
            f"domains told apart by a {one.model}",
            f"AUC {one.auc:.3f} ({one.interval[0]:.3f}–{one.interval[1]:.3f})",
            _p(one.p),
        ]
        for one in seen.marginal.classifiers
    ]
    looked, all_ = sum(seen.marginal.mmd.rows), len(domains.y_s) + domains.x_t.shape[0]
    rows.append(
        [
            f"MMD²{f' of {looked:,} rows' if looked < all_ else ''}",
            number(seen.marginal.mmd.mmd2),
            _p(seen.marginal.mmd.p),
        ]
    )
    rows.append(["label shares (p: of predicted labels)", _shares(domains, verdict), _p(seen.shares.p)])
    if seen.residual:
        rows.append(
            [
                "…what new label shares leave of the move",
                f"AUC {max(c.auc for c in seen.residual.classifiers):.3f}",
                _p(seen.residual.p),
            ]
        )
    if verdict.concept:
        whole = verdict.concept.regions[0]
        what = f"Brier score of a {verdict.concept.model}, source → target labels"
        rows.append([what, f"{number(whole.source)} → {number(whole.target)}", _p(verdict.concept.p)])
    return rows


def _covariate(domains: Domains, verdict: Verdict) -> str:
    del domains
    seen = verdict.seen
    best = max(seen.marginal.classifiers, key=lambda one: one.auc)
    much = _much(seen.marginal)
    why = ", and new label shares do not explain it" if seen.residual and seen.residual.p < 0.5 else ""
    return f"Covariate shift ({_sure(min(seen.marginal.p, seen.shares.p))}): the columns moved ({much}; a {best.model} tells the domains apart with AUC {best.auc:.2f}){why}."


def _much(found: Marginal) -> str:
    moved, every = sum(one.moved for one in found.columns), len(found.columns)
    return f"{moved:,} of {every:,} by themselves" if moved else f"none of {every:,} by itself, but together"


def _prior(domains: Domains, verdict: Verdict) -> str:
    seen = verdict.seen
    besides = verdict.concept if "covariate" in verdict.kinds else None  # what labelled rows told
    said = f"Prior shift ({_sure(besides.p if besides else seen.shares.p)}): label shares moved, {_shares(domains, verdict)}"
    if besides:
        return f"{said} by the labelled rows; the columns alone do not explain that."
    told = "" if seen.shares.counted else "; columns that move along just what labels follow would look the same"
    return f"{said}, which explains how the columns moved{told}."


def _concept(domains: Domains, verdict: Verdict) -> str:
    del domains
    assert verdict.concept is not None
    whole, *parts = verdict.concept.regions
    much = f"the Brier score of the source's model is {number(whole.source)} on source rows and {number(whole.target)} on labelled target rows"
    return f"Concept shift ({_sure(verdict.concept.p)}): labels do not follow the columns as they did; {much}{_worst(parts)}."


def _worst(parts: Sequence[Region]) -> str:
    worse = [one for one in parts if one.excess > 0]
    if not worse:
        return ""
    one = max(worse, key=lambda part: part.excess)
    return f", worst where {one.where} ({number(one.source)} and {number(one.target)})"


_SAID = {"covariate": _covariate, "prior": _prior, "concept": _concept}


def _shares(domains: Domains, verdict: Verdict) -> str:
    """The label whose share moved most; after a covariate shift only counting tells."""
    shares = verdict.seen.shares
    if not shares.counted and "covariate" in verdict.kinds:
        return "not to be estimated: rows of a class moved"
    known = shares.counted or shares.estimated
    between = shares.counted_intervals if shares.counted else shares.intervals
    i = max(range(len(known)), key=lambda c: abs(known[c] - shares.source[c]))
    low, high = between[i]
    about = "counted" if shares.counted else "estimated"
    return f"{domains.classes[i]}: {100 * shares.source[i]:.0f} % → {100 * known[i]:.0f} % ({about}, {100 * low:.0f}–{100 * high:.0f})"


def _moved(columns: Sequence[Moved]) -> list[str]:
    moved = [one for one in columns if one.moved]
    if not moved:
        return [f"None of {len(columns):,} {_kind(columns)} moved by itself."]
    rows = [[one.name, format_moved(one), _p(one.p), f"{one.psi:.2f}", f"{one.kl:.2f}"] for one in moved[:_ROWS]]
    more = f"; {len(moved) - _ROWS:,} more with --json" if len(moved) > _ROWS else ""
    return [
        *table([["moved", "source → target", "p", "PSI", "KL"], *rows]),
        f"{len(moved):,} of {len(columns):,} {_kind(columns)} moved{more}.",
    ]


def _kind(columns: Sequence[Moved]) -> str:
    kinds = {one.kind == "term" for one in columns}
    return "terms" if kinds == {True} else "columns" if kinds == {False} else "columns and terms"


def format_moved(one: Moved) -> str:
    """How a column moved: `mean 38 → 51`, `rent 45 % → 70 %`; in how many rows a term is."""
    if one.kind == "term":
        return f"in {100 * one.before:.0f} % → {100 * one.after:.0f} % of rows"
    if one.kind == "number" and one.what == "mean":
        return f"mean {number(one.before)} → {number(one.after)}"
    return f"{one.what or 'missing'} {100 * one.before:.0f} % → {100 * one.after:.0f} %"


def _p(p: float) -> str:
    return "< 0.001" if p < 0.001 else f"{p:.3f}"


def _sure(p: float) -> str:
    """How little chance explains it."""
    return f"p {_p(p)}" if p < 0.001 else f"p = {_p(p)}"


def _finite(value: Any) -> Any:
    """NaN and infinity as null: JSON has no word for these."""
    if isinstance(value, dict):
        return {key: _finite(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(one) for one in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
