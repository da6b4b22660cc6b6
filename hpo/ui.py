from __future__ import annotations

from typing import Any
from urllib.parse import quote

from hpo.space import Space


def view(space: Space) -> dict[str, Any]:
    return {}


def link(experiment_id: str, run_id: str, space: Space) -> str:
    filt = quote(f"tags.`mlflow.parentRunId` = '{run_id}'")
    return f"/#/experiments/{experiment_id}/runs?workflowType=machine_learning&searchFilter={filt}"
