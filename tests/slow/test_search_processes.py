"""Searches in several processes: a time budget, the lock of a study, and workers."""

import json

import pytest

from hpo.study.directory import StudyDirectory
from tests.helpers.mlflow_runs import experiments
from tests.helpers.searches import PATIENCE, TINY, here, launched, outcomes, wait_for, write_space
from tests.helpers.studies import TIME_KEYS


def test_a_search_ends_with_its_time_budget_and_locks_its_study(store):
    """The study has the name of one that was deleted."""
    diverging = write_space(store, search=TINY["search"] | {"learning_rate": 1e30}, budget={"trials": 3})
    assert here("search", "--space", diverging, "--store", store, "--quiet").exit_code == 1
    assert here("delete", "tiny", "--yes", "--store", store).exit_code == 0
    train = {"epochs": 200, "batch_size": 4, "metric": "accuracy", "patience": 6}  # trials end at different times
    space = write_space(store, train=train, budget={"seconds": 1}, pruner="none")
    with launched("search", "--space", space, "--store", store, "--json", "--quiet") as first:
        wait_for(StudyDirectory(store, "tiny").running)
        second = here("search", "--space", space, "--store", store)
        deleting = here("delete", "tiny", "--yes", "--store", store)
        wait_for(StudyDirectory(store, "tiny").journal.exists)
        assert "running" in here("studies", "--store", store).stdout
        out, err = first.communicate(timeout=PATIENCE)
    for refused in (second, deleting):
        assert refused.exit_code == 2
        assert "is being searched by another process" in refused.stderr
    assert (first.returncode, err) == (0, "")
    result = json.loads(out)
    assert sum(result["trials"].values()) >= 2  # the baselines, which a short budget does not cut off
    assert all(o["reason"].startswith("the time was up") for o in outcomes(store).values() if o["state"] == "pruned")
    assert 1 < result["seconds"] < PATIENCE
    assert json.loads(here("search", "--space", space, "--store", store, "--json").stdout) == result
    assert experiments(store) == {"Default", "tiny"}


@pytest.mark.usefixtures("unrecorded")
def test_two_workers_equal_one_process_on_folds_and_in_the_finals(new_store):
    found = []
    changes = {
        "data": {"source": "sklearn:wine", "split": {"folds": 3}},
        "budget": {"trials": 40},
        "finalists": 2,
        "train": {"epochs": 20, "batch_size": 32, "patience": 6},
        "sampler": {"kind": "tpe", "n_startup_trials": 4},
        "pruner": {"kind": "median", "n_startup_trials": 3},
    }
    for more in ([], ["--workers", "2"]):
        store = new_store()
        ran = here(
            "search", "--space", write_space(store, **changes), "--store", store, "--deterministic", "--json", *more
        )
        known = outcomes(store)
        for outcome in known.values():
            for key in (*TIME_KEYS, "rounds"):
                del outcome[key]
        result = json.loads(ran.stdout)
        found.append(
            (
                known,
                {
                    key: result[key]
                    for key in ("trial", "finalists", "reevaluated_scores", "test", "refit", "score", "fit_epochs")
                },
            )
        )
    assert found[0] == found[1]
    assert {o["state"] for o in found[0][0].values()} == {"complete", "pruned"}
    assert {len(o["fold_curves"].get("valid_loss", [[1] * 3])[0]) for o in found[0][0].values()} == {3}
