"""What MLflow's page shows of a search: its columns and charts, as a view that MLflow keeps in a tag of the experiment.

Without a view the page opens on "Traces 0", or on a table without a single strength.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from hpo.metrics import METRICS, Task, watched
from hpo.space import Space
from hpo.trial import Outcome


def view(space: Space, task: Task, outcomes: Iterable[Outcome] = ()) -> dict[str, Any]:
    """The trials of a search, best first: states, strengths and scores as columns; curves and a parallel chart beside.

    The axes of the charts span the `outcomes` that did not diverge: one that did would flatten all others.
    """
    followed = METRICS[space.train.metric]
    curves = ["train_loss", *(f"valid_{name}" for name in watched(task, followed.name)), "gap"]
    bounded = next((name for name in watched(task, followed.name) if name != "loss"), "loss")
    scores = dict.fromkeys((f"best_valid_{followed.name}", f"best_valid_{bounded}", "best_gap", "nonzero_share", "epochs"))
    tags, params = ("hpo.state", "hpo.role"), list(space.params({}))
    columns = [f"tags.`{t}`" for t in tags] + [f"metrics.`{s}`" for s in scores] + [f"params.`{p}`" for p in params]
    first = ["attributes.`Run Name`", "runDateAndNestInfo", "duration"]
    healthy = [outcome for outcome in outcomes if outcome.state != "failed"]
    charts = [_line(curve, _span(curve, healthy)) for curve in curves]
    parallel = {
        "uuid": "hpo-parallel", "type": "PARALLEL", "metricSectionId": "hpo-strengths", "isGenerated": False,
        "deleted": False, "runsCountToCompare": 10, "showAllRuns": True,
        "selectedParams": params, "selectedMetrics": [f"best_valid_{bounded}"],
    }
    sections = [
        _section("hpo-curves", "Curves", True, columns=3, cardHeight=250),
        _section("hpo-strengths", "Strengths and score", True, columns=1, cardHeight=290),
        _section("hpo-rest", "Model metrics", False, isGenerated=True),  # MLflow's name for the charts it adds itself
    ]
    return {
        "orderByKey": f"metrics.`best_valid_{followed.name}`", "orderByAsc": followed.better == "lower",
        "startTime": "ALL", "lifecycleFilter": "Active", "modelVersionFilter": "All Runs", "datasetsFilter": [],
        "selectedColumns": columns, "columnOrder": [*first, *columns],
        "columnWidths": dict(zip([*first, *columns], [*(112, 140, 72), *map(_width, columns)], strict=True)),
        "runsHiddenMode": "SHOW_ALL", "compareRunCharts": [*charts, parallel], "compareRunSections": sections,
        "isAccordionReordered": True, "viewMaximized": False, "runListHidden": False, "groupBy": None,
        "groupsExpanded": {}, "useGroupedValuesInCharts": True, "hideEmptyCharts": True,
        "globalLineChartConfig": {"xAxisKey": "step", "lineSmoothness": 0, "selectedXAxisMetricKey": ""},
    }  # fmt: skip


def _width(column: str) -> int:
    return max(84, int(len(column.split("`")[1]) * 6.2) + 24)


def _section(uuid: str, name: str, shown: bool, **more: Any) -> dict[str, Any]:
    return {"uuid": uuid, "name": name, "display": shown, "isReordered": True, "deleted": False, "isGenerated": False, **more}


def _span(curve: str, outcomes: list[Outcome]) -> tuple[float, float] | None:
    """The range of a curve, without the first epochs of the worst."""
    values = sorted(v for o in outcomes for v in o.with_gap().get(curve, []) if abs(v) < float("inf"))
    if not values:
        return None
    low, high = values[0], values[int(0.98 * (len(values) - 1))]
    return low - 0.02 * (high - low), high


def _line(metric: str, span: tuple[float, float] | None) -> dict[str, Any]:
    return {
        "uuid": f"hpo-{metric}", "type": "LINE", "metricSectionId": "hpo-curves", "isGenerated": False, "deleted": False,
        "runsCountToCompare": 10, "metricKey": metric, "selectedMetricKeys": [metric], "displayName": metric,
        "lineSmoothness": 0, "xAxisScaleType": "linear", "scaleType": "linear",
        "range": {"yMin": span[0], "yMax": span[1]} if span else {}, "xAxisKey": "step", "selectedXAxisMetricKey": "",
        "yAxisKey": "metric", "yAxisExpressions": [], "displayPoints": False, "ignoreOutliers": False,
        "useGlobalXaxisKey": True, "useGlobalLineSmoothing": True,
    }  # fmt: skip
