"""Two domains in words and tables."""

from __future__ import annotations

from collections.abc import Sequence

from hpo.report.adaptation_views import Help, View
from hpo.report.tables import table
from hpo.space.formatting import score

EMBEDDED = (
    "Rows in the plane of their largest variance. Circles: labelled rows of the source; triangles: test rows of the target, without their "
    "labels. Where the two mix, a network cannot tell the domains apart, which is not yet to be right."
)
DISTANCES = (
    "The proxy A-distance is 0 where a linear classifier cannot tell the domains apart and 2 where it always can (Ben-David et al., 2010). "
    "MMD² is 0 in the mean where they are the same; its kernel is as wide as the rows lie apart."
)
TESTED = "On the target's test rows, counted by class and never one by one: nothing that was chosen has seen them."
CHANGED = "Which class is taken for which more often, or less."
_SURE = 0.05
_MOST = 12  # lines of a table
_LITTLE = 0.1  # of a distance


def apart(before: View, after: View) -> str:
    """The title: how far apart, before and after."""
    a, b = before.divergence.a_distance, after.divergence.a_distance
    if before is after:
        return f"The domains lie {a:.2f} of 2 apart in their inputs"
    closer = "closer" if b < a - _LITTLE else "farther apart" if b > a + _LITTLE else "about as far apart"
    return f"The domains are {closer} in the network's features ({b:.2f} of 2) than in the inputs ({a:.2f})"


def plane(view: View) -> str:
    return f"{len(view.source):,} rows of the source and {len(view.target):,} of the target: proxy A-distance {view.divergence.a_distance:.2f}."


def divergences(views: Sequence[View]) -> str:
    rows = [[view.name, f"{view.divergence.a_distance:.2f}", score(view.divergence.mmd2)] for view in views]
    return table(["", "proxy A-distance", "MMD²"], rows)


def closer(views: Sequence[View]) -> str:
    """What the final network's features gained over its twin's."""
    if len(views) < 3:
        return ""
    before, after = (view.divergence.a_distance for view in views[1:])
    told = (
        "brought them closer"
        if after < before - _LITTLE
        else "took them farther apart"
        if after > before + _LITTLE
        else "left them as far apart"
    )
    return f"Against its twin ({views[1].name.removeprefix('Features: ')}), the selected network {told}."


def gained(found: Help) -> str:
    """The title: whether it helped, beyond chance or not."""
    balance = found.balance
    what = "Adaptation" if found.adapts else "Regularization, without adaptation,"
    what = "Regularization, adaptation among it," if found.adapts and found.besides else what
    if balance.better == balance.worse:
        return f"{what} helps on as many rows of the target as it hurts on"
    verb = "helps" if balance.better > balance.worse else "hurts"
    return f"{what} {verb} on the target" + ("" if balance.chance < _SURE else ", within noise")


def balance(found: Help) -> str:
    better, worse, chance = found.balance.better, found.balance.worse, found.balance.chance
    how = "only the selected network is right on" if found.classes else "the selected network is nearer to the truth on"
    other = "and only its twin on" if found.classes else "and its twin on"
    test = "McNemar's test" if found.classes else "sign test"
    return (
        f"Its twin: {found.other}. Of the test rows {how} {better:,}, {other} {worse:,} ({test}, p = {score(chance)})."
    )


def helped(found: Help) -> str:
    """By class or size, without and with: where it helped at the top."""
    head = (
        ["class", "rows", f"right, {found.other}", "right, selected"]
        if found.classes
        else ["numbers", "rows", f"mean error, {found.other}", "mean error, selected"]
    )

    def said(value: float) -> str:
        return f"{100 * value:.1f} %" if found.classes else score(value)

    rows = [[one.name, f"{one.rows:,}", said(one.before), said(one.after)] for one in found.parts]
    if len(rows) > _MOST:  # the ends, where it helped and hurt most
        rows = [*rows[: _MOST // 2], ["…", "", "", ""], *rows[-_MOST // 2 :]]
    return table(head, rows)


def changed(found: Help) -> str:
    rows = [[str(one.true), str(one.said), f"{one.before}", f"{one.after}"] for one in found.changes[:_MOST]]
    return table(["true", "taken for", found.other, "selected"], rows)
