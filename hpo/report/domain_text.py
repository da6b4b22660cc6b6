"""Titles, captions and tables about two domains."""

from __future__ import annotations

from collections.abc import Sequence

from hpo.report.adaptation_views import RepresentationView, TargetEffect
from hpo.report.tables import table
from hpo.space.formatting import format_score

PLANE_TEXT = (
    "Rows projected on their two principal components. Circles: labelled rows of the source; triangles: test rows of "
    "the target. If the two mix, a network cannot tell the domains apart, but its predictions can still be wrong."
)
DISTANCE_TEXT = (
    "The proxy A-distance is 0 if a linear classifier cannot tell the domains apart and 2 if it always can (Ben-David "
    "et al., 2010). MMD² is 0 on average if the domains are the same; its kernel is as wide as the median distance of "
    "two rows."
)
TEST_ROWS_TEXT = "Counts over the test rows of the target, which were not used for any decision."
CHANGES_TEXT = "Confusions that are more or less frequent."
_ALPHA = 0.05
_MAX_ROWS = 12  # rows of a table
_SMALL_CHANGE = 0.1  # of a distance: up to it, the domains count as about as far apart


def distance_title(inputs: RepresentationView, features: RepresentationView) -> str:
    """Return a title with the distance in the inputs and, if the network has features, the distance in the features."""
    title = f"Distance of the domains: {inputs.divergence.a_distance:.2f} of 2 in the inputs"
    if inputs is features:
        return title
    return f"{title}, {features.divergence.a_distance:.2f} in the network's features"


def plane_caption(view: RepresentationView) -> str:
    rows = f"{len(view.source):,} rows of the source and {len(view.target):,} of the target"
    return f"{rows}; proxy A-distance {view.divergence.a_distance:.2f}."


def divergence_table(views: Sequence[RepresentationView]) -> str:
    rows = [[view.name, f"{view.divergence.a_distance:.2f}", format_score(view.divergence.mmd2)] for view in views]
    return table(["representation", "proxy A-distance", "MMD²"], rows)


def distance_change(views: Sequence[RepresentationView]) -> str:
    """Compare the features of the selected network with those of the reference network; "" without a reference."""
    if len(views) < 3:
        return ""
    reference, selected = (view.divergence.a_distance for view in views[1:])
    if selected < reference - _SMALL_CHANGE:
        result = "closer together than"
    else:
        result = "farther apart than" if selected > reference + _SMALL_CHANGE else "about as far apart as"
    name = views[1].name.removeprefix("Features: ")
    return f"In the features of the selected network, the domains are {result} in those of the network {name}."


def effect_title(effect: TargetEffect) -> str:
    """Return whether adaptation makes a significant difference on the target."""
    cause = "Adaptation" if effect.adaptation_differs else "Regularization without adaptation"
    cause = "Regularization including adaptation" if effect.adaptation_differs and effect.others_differ else cause
    better, worse = effect.counts.better, effect.counts.worse
    if better == worse or effect.counts.p_value >= _ALPHA:
        return f"{cause} makes no significant difference on the target"
    return f"{cause} {'helps' if better > worse else 'hurts'} on the target"


def effect_caption(effect: TargetEffect) -> str:
    better, worse, p = effect.counts.better, effect.counts.worse, format_score(effect.counts.p_value)
    if effect.is_classification:
        counts = f"only the selected network is right on {better:,}, only the reference on {worse:,} (McNemar's test"
    else:
        counts = f"the selected network is closer on {better:,}, the reference on {worse:,} (sign test"
    return f"Reference: the network {effect.reference}. Of the test rows, {counts}, p = {p})."


def group_table(effect: TargetEffect) -> str:
    """Return the recall by class, or the error by size of the target, of the reference and the selected network."""
    kind, measure = ("class", "recall") if effect.is_classification else ("target value", "mean absolute error")
    head = [kind, "rows", f"{measure}, {effect.reference}", f"{measure}, selected"]

    def cell(value: float) -> str:
        return f"{100 * value:.1f} %" if effect.is_classification else format_score(value)

    rows = [[group.name, f"{group.rows:,}", cell(group.before), cell(group.after)] for group in effect.groups]
    if len(rows) > _MAX_ROWS:  # keep the largest gains and losses, which are at the ends
        rows = [*rows[: _MAX_ROWS // 2], ["…", "", "", ""], *rows[-_MAX_ROWS // 2 :]]
    return table(head, rows)


def change_table(effect: TargetEffect) -> str:
    rows = [[str(c.true), str(c.predicted), f"{c.before}", f"{c.after}"] for c in effect.changes[:_MAX_ROWS]]
    return table(["true", "predicted", effect.reference, "selected"], rows)
