"""`budget.seconds` is the time of the whole command: start, search, re-evaluation, final networks and report."""

import json
import os
import time

import yaml

from hpo.study.storage import read_attrs
from tests.helpers.searches import hpo

SECONDS = 40
QUIET = 0.5  # load per core from other processes


def test_a_search_ends_within_its_time_budget(new_store):
    """On a busy machine, only that every part was planned and that the plan added up to the budget."""
    store = new_store()
    space = {
        "study": "timed",
        "data": {"source": "sklearn:digits"},
        "search": {
            "learning_rate": {"low": 1e-3, "high": 1e-1, "log": True},
            "weight_decay": {"low": 1e-4, "high": 1.0, "log": True, "optional": True},
            "dropout": {"low": 0.0, "high": 0.5},
        },
        "train": {"epochs": 15},
        "budget": {"seconds": SECONDS},
    }
    path = store.parent / "timed.yaml"
    path.write_text(yaml.safe_dump(space))
    quiet, began = os.getloadavg()[0] < QUIET * (os.cpu_count() or 1), time.monotonic()
    ran = hpo("search", "--space", path, "--store", store, "--json")
    took = time.monotonic() - began
    assert ran.returncode == 0, ran.stderr
    result, attrs = json.loads(ran.stdout), read_attrs(store / "studies" / "timed" / "journal.log")
    searched = [o for o in attrs["outcomes"] if o["trial"]["role"] in ("search", "baseline")]
    after = [o for o in attrs["outcomes"] if o["trial"]["role"] in ("finalist", "refit", "ablation")]
    end_of_search = max(o["epoch_times"][-1] for o in searched)
    start = min(o["started"] for o in searched) - result["startup_seconds"]
    assert 0.35 * SECONDS < end_of_search - start < SECONDS  # a part is kept for what follows, but not most of it
    assert {o["trial"]["role"] for o in after} >= {"finalist", "refit"}
    assert result["verdict"] is not None
    assert attrs["allotment"]["wished"][0] == SECONDS
    assert result["seconds"] <= took  # what is reported includes the start, and not more than the command took
    assert result["seconds"] >= max(o["epoch_times"][-1] for o in after) - start - 1
    if quiet:
        assert took <= 1.1 * SECONDS
