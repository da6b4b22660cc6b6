"""The columns and charts of a search in MLflow's UI, as a view that MLflow stores in a tag of the experiment.

Without a view, the page opens on "Traces 0", or on a table without any strength.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from hpo.core.metrics import METRICS, Task, display_metric, tracked_metrics
from hpo.space.space import Space


def view(space: Space, task: Task) -> dict[str, Any]:
    """Return the view of a search.

    It has a table of the trials, with states, scores and strengths as columns, sorted by the search score. It also has
    the curves of the first twenty trials, and a parallel-coordinates chart of strengths and score.
    """
    followed = METRICS[space.train.metric]
    tracked, bounded = tracked_metrics(task, followed.name), display_metric(task, "loss")
    scores = ["metrics.`search_score`"]
    scores += [f"metrics.`best_valid_{name}`" for name in dict.fromkeys((followed.name, "loss", bounded))]
    params = list(space.params({}))
    columns = ["tags.`hpo.state`", *scores, *(f"params.`{name}`" for name in params)]
    columns += ["metrics.`best_gap`", "metrics.`nonzero_share`", "metrics.`epochs`", "tags.`hpo.role`"]
    first = {"attributes.`Run Name`": 112, "runDateAndNestInfo": 124, "duration": 70}
    curves = ["train_loss", *(f"valid_{name}" for name in tracked), "gap"]
    sections = [
        _section("hpo-curves", "Curves of the best twenty", True, columns=2, cardHeight=300),
        _section("hpo-strengths", "Strengths and score", True, columns=1, cardHeight=330),
        # "Model metrics" is MLflow's name for the charts that it generates.
        _section("hpo-rest", "Model metrics", False, isGenerated=True),
    ]
    return {
        "orderByKey": "metrics.`search_score`",
        "orderByAsc": followed.better == "lower",
        "startTime": "ALL",
        "lifecycleFilter": "Active",
        "modelVersionFilter": "All Runs",
        "datasetsFilter": [],
        "selectedColumns": columns,
        "columnOrder": [*first, *columns],
        "columnWidths": first | {column: _width(column) for column in columns},
        "runsHiddenMode": "FIRST_20_RUNS",
        "compareRunCharts": [*map(_line, curves), _parallel(params, f"best_valid_{bounded}")],
        "compareRunSections": sections,
        "isAccordionReordered": True,
        "viewMaximized": False,
        "runListHidden": False,
        "groupBy": None,
        "groupsExpanded": {},
        "useGroupedValuesInCharts": True,
        "hideEmptyCharts": True,
        "globalLineChartConfig": {"xAxisKey": "step", "lineSmoothness": 0, "selectedXAxisMetricKey": ""},
    }


def _width(column: str) -> int:
    """The width of a column in pixels. It is enough for the name; 86 pixels are enough for the logged numbers."""
    return max(60 if column == "params.`depth`" else 86, int(len(column.split("`")[1]) * 6.4) + 22)


def _section(uuid: str, name: str, shown: bool, **more: Any) -> dict[str, Any]:
    return {
        "uuid": uuid,
        "name": name,
        "display": shown,
        "isReordered": True,
        "deleted": False,
        "isGenerated": False,
        **more,
    }


def _parallel(params: Sequence[str], metric: str) -> dict[str, Any]:
    return {
        "uuid": "hpo-parallel",
        "type": "PARALLEL",
        "metricSectionId": "hpo-strengths",
        "isGenerated": False,
        "deleted": False,
        "runsCountToCompare": 10,
        "showAllRuns": True,
        "selectedParams": params,
        "selectedMetrics": [metric],
    }


def _line(metric: str) -> dict[str, Any]:
    return {
        "uuid": f"hpo-{metric}",
        "type": "LINE",
        "metricSectionId": "hpo-curves",
        "isGenerated": False,
        "deleted": False,
        "runsCountToCompare": 20,
        "metricKey": metric,
        "selectedMetricKeys": [metric],
        "displayName": metric,
        "lineSmoothness": 0,
        "xAxisScaleType": "linear",
        "scaleType": "log" if metric.endswith("loss") else "linear",
        "range": {},
        "xAxisKey": "step",
        "selectedXAxisMetricKey": "",
        "yAxisKey": "metric",
        "yAxisExpressions": [],
        "displayPoints": False,
        "ignoreOutliers": False,
        "useGlobalXaxisKey": True,
        "useGlobalLineSmoothing": True,
    }
