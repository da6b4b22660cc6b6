"""The result of the shift tests as text for the terminal and as JSON."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from hpo.shift.column_tests import ColumnShift
from hpo.shift.concept_shift import Region
from hpo.shift.covariate_tests import CovariateTest
from hpo.shift.domains import Domains
from hpo.shift.verdict import ShiftReport
from hpo.space.formatting import align_rows, format_number

_MAX_ROWS = 12  # the most columns that the terminal shows
_MAX_LISTED = 200  # with more columns, JSON lists only those with a shift
_UNDETECTABLE = (
    "Concept shift (whether labels follow from the columns as in the source) "
    "cannot be detected without labelled target rows."
)


def report_lines(name: str, domains: Domains, report: ShiftReport, notes: Sequence[str] = ()) -> list[str]:
    """Return the lines for the terminal: the verdict, the tests, and the columns with a shift."""
    n, m, n_labelled = len(domains.y_s), domains.x_t.shape[0], len(domains.y_t)
    labelled = f"{n_labelled:,} of them labelled" if n_labelled else "none of them labelled"
    return [
        f"{name} · source {n:,} rows · target {m:,} rows, {labelled} · test part not used",
        *(f"note: {note}" for note in notes),
        *verdict_sentences(domains, report),
        "",
        *align_rows([["test", "result", "p"], *_test_rows(domains, report)]),
        "",
        *_column_lines(report.unlabelled.covariate.columns),
    ]


def verdict_sentences(domains: Domains, report: ShiftReport) -> list[str]:
    """Return one sentence for each kind of shift that was found, or a sentence saying that there is none."""
    sentences = [_SENTENCES[kind](domains, report) for kind in report.kinds]
    if not sentences:
        tests = report.unlabelled
        smallest = min(tests.covariate.p, tests.shares.p, report.concept.p if report.concept else 1.0)
        compared = (
            "the columns, the label shares, and how labels follow from the columns"
            if report.concept
            else "the columns and the predicted labels"
        )
        sentences = [f"No shift found (smallest {p_phrase(smallest)}): {compared} do not differ between the domains."]
    return sentences if report.concept else [*sentences, _UNDETECTABLE]


def to_json(name: str, domains: Domains, report: ShiftReport, notes: Sequence[str]) -> dict[str, Any]:
    """Return all numbers, for programs; NaN and infinity are None."""
    tests = report.unlabelled
    columns = tests.covariate.columns
    listed = columns if len(columns) <= _MAX_LISTED else [column for column in columns if column.moved]
    document = {
        "name": name,
        "rows": {"source": len(domains.y_s), "target": int(domains.x_t.shape[0]), "labelled": len(domains.y_t)},
        "kinds": list(report.kinds),
        "verdict": " ".join(verdict_sentences(domains, report)),
        "covariate": {
            "p": tests.covariate.p,
            "classifiers": [asdict(test) for test in tests.covariate.classifiers],
            "mmd": asdict(tests.covariate.mmd),
            "p_with_label_shares_of_the_target": tests.residual and tests.residual.p,
        },
        "prior": {"classes": list(domains.classes), **asdict(tests.shares)},
        "concept": report.concept and asdict(report.concept),
        "columns_tested": len(columns),
        "columns": [asdict(column) for column in listed],
        "notes": list(notes),
    }
    return dict(_finite(document))


def _test_rows(domains: Domains, report: ShiftReport) -> list[list[str]]:
    tests = report.unlabelled
    rows = []
    for test in tests.covariate.classifiers:
        low, high = test.interval
        auc = f"AUC {test.auc:.3f} ({low:.3f}–{high:.3f})"
        rows.append([f"{test.model} that predicts the domain", auc, _p(test.p)])
    mmd = tests.covariate.mmd
    used, total = sum(mmd.rows), len(domains.y_s) + domains.x_t.shape[0]
    rows.append([f"MMD²{f' of {used:,} rows' if used < total else ''}", format_number(mmd.mmd2), _p(mmd.p)])
    rows.append(["label shares (p: of the predicted labels)", _shares(domains, report), _p(tests.shares.p)])
    if tests.residual:
        auc = f"AUC {max(test.auc for test in tests.residual.classifiers):.3f}"
        rows.append(["columns, source resampled to these label shares", auc, _p(tests.residual.p)])
    if report.concept:
        all_rows = report.concept.regions[0]
        title = f"Brier score of the source {report.concept.model}, source → target"
        rows.append(
            [title, f"{format_number(all_rows.source)} → {format_number(all_rows.target)}", _p(report.concept.p)]
        )
    return rows


def _covariate(domains: Domains, report: ShiftReport) -> str:
    del domains
    tests = report.unlabelled
    best = max(tests.covariate.classifiers, key=lambda test: test.auc)
    p = p_phrase(min(tests.covariate.p, tests.shares.p))
    unexplained = ". New label shares do not explain it" if tests.residual and tests.residual.p < 0.5 else ""
    return (
        f"Covariate shift ({p}): the columns differ ({_n_moved(tests.covariate)}; a {best.model} tells the domains "
        f"apart with AUC {best.auc:.2f}){unexplained}."
    )


def _n_moved(test: CovariateTest) -> str:
    moved, total = sum(column.moved for column in test.columns), len(test.columns)
    return f"{moved:,} of {total:,} individually" if moved else f"none of {total:,} individually, but jointly"


def _prior(domains: Domains, report: ShiftReport) -> str:
    shares = report.unlabelled.shares
    in_addition = report.concept if "covariate" in report.kinds else None  # by the labelled rows
    p = p_phrase(in_addition.p if in_addition else shares.p)
    change = f"Prior shift ({p}): the label shares differ, {_shares(domains, report)}"
    if in_addition:
        return f"{change} in the labelled rows; the columns do not explain that."
    caveat = "" if shares.counted else "; a covariate shift along the direction that labels follow would look the same"
    return f"{change}, which explains the difference of the columns{caveat}."


def _concept(domains: Domains, report: ShiftReport) -> str:
    del domains
    assert report.concept is not None
    all_rows, *parts = report.concept.regions
    return (
        f"Concept shift ({p_phrase(report.concept.p)}): labels do not follow from the columns as in the source; the "
        f"Brier score of the source model is {format_number(all_rows.source)} on source rows and "
        f"{format_number(all_rows.target)} on labelled target rows{_worst_region(parts)}."
    )


def _worst_region(regions: Sequence[Region]) -> str:
    worse = [region for region in regions if region.excess > 0]
    if not worse:
        return ""
    worst = max(worse, key=lambda region: region.excess)
    return f", worst where {worst.where} ({format_number(worst.source)} and {format_number(worst.target)})"


_SENTENCES = {"covariate": _covariate, "prior": _prior, "concept": _concept}


def _shares(domains: Domains, report: ShiftReport) -> str:
    """Describe the label whose share changed most; after a covariate shift, only counted shares are valid."""
    shares = report.unlabelled.shares
    if not shares.counted and "covariate" in report.kinds:
        return "cannot be estimated: rows of the same class differ"
    target = shares.counted or shares.estimated
    intervals = shares.counted_intervals if shares.counted else shares.intervals
    most = max(range(len(target)), key=lambda c: abs(target[c] - shares.source[c]))
    low, high = intervals[most]
    method = "counted" if shares.counted else "estimated"
    change = f"{100 * shares.source[most]:.0f} % → {100 * target[most]:.0f} %"
    return f"{domains.classes[most]}: {change} ({method}, {100 * low:.0f}–{100 * high:.0f})"


def _column_lines(columns: Sequence[ColumnShift]) -> list[str]:
    moved = [column for column in columns if column.moved]
    if not moved:
        return [f"None of {len(columns):,} {_noun(columns)} differs individually."]
    rows = [[c.name, format_change(c), _p(c.p), f"{c.psi:.2f}", f"{c.kl:.2f}"] for c in moved[:_MAX_ROWS]]
    more = f"; {len(moved) - _MAX_ROWS:,} more with --json" if len(moved) > _MAX_ROWS else ""
    verb = "differs" if len(moved) == 1 else "differ"
    return [
        *align_rows([["column", "source → target", "p", "PSI", "KL"], *rows]),
        f"{len(moved):,} of {len(columns):,} {_noun(columns)} {verb} individually{more}.",
    ]


def _noun(columns: Sequence[ColumnShift]) -> str:
    is_term = {column.kind == "term" for column in columns}
    return "terms" if is_term == {True} else "columns" if is_term == {False} else "columns and terms"


def format_change(column: ColumnShift) -> str:
    """Format the change of a column: `mean 38 → 51`, `rent 45 % → 70 %`. For a term: the share of rows with it."""
    if column.kind == "term":
        return f"in {100 * column.before:.0f} % → {100 * column.after:.0f} % of rows"
    if column.kind == "number" and column.what == "mean":
        return f"mean {format_number(column.before)} → {format_number(column.after)}"
    return f"{column.what or 'missing'} {100 * column.before:.0f} % → {100 * column.after:.0f} %"


def _p(p: float) -> str:
    return "< 0.001" if p < 0.001 else f"{p:.3f}"


def p_phrase(p: float) -> str:
    """Format a p-value within a sentence: `p = 0.012` or `p < 0.001`."""
    return f"p {_p(p)}" if p < 0.001 else f"p = {_p(p)}"


def _finite(value: Any) -> Any:
    """Replace NaN and infinity, which JSON does not have, with None."""
    if isinstance(value, dict):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
