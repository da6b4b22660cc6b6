"""The order of outcomes, best first."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from hpo.core import objectives
from hpo.core.metrics import Metric
from hpo.core.trial import Outcome


def best(outcomes: Iterable[Outcome], metric: Metric) -> Outcome | None:
    """The first of `ranked`; None if no outcome has a value."""
    return next(iter(ranked(outcomes, metric)), None)


def ranked(outcomes: Iterable[Outcome], metric: Metric) -> list[Outcome]:
    """The complete outcomes that have a value, best first; if none is complete, the pruned ones.

    Ties are broken by loss and label, never by the order in which trials ended: an interruption can change that
    order, and the resumed search would then select another trial.
    """
    valued = [o for o in outcomes if o.value is not None and o.state != "failed"]
    candidates = [o for o in valued if o.state == "complete"] or valued
    return sorted(candidates, key=lambda o: (metric.minimized(o.value or 0.0), o.valid["loss"], o.trial.label))


def pareto_front(outcomes: Iterable[Outcome], objective_names: Sequence[str]) -> list[Outcome]:
    """The complete outcomes that no other outcome dominates in these objectives."""
    complete = [o for o in outcomes if o.state == "complete" and len(o.values) == len(objective_names)]
    values = [[objectives.minimized(name, o.values[name]) for name in objective_names] for o in complete]
    return [complete[index] for index in objectives.pareto_front(values)]
