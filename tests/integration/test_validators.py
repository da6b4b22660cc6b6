"""Searches that follow a validator, and the rating of validators if target labels are available."""

import json
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch
from scipy.stats import spearmanr

from hpo.core.metrics import METRICS, VALIDATORS
from hpo.core.trial import Outcome, Trial
from hpo.core.trial_key import TrialKey
from hpo.regularizers.configs import make_config
from hpo.selection import validator_ranking
from hpo.selection.validator_ranking import rank
from hpo.space.formatting import format_score
from tests.helpers.searches import here, outcomes, write_space
from tests.helpers.training import foreign

SEARCH = {
    "learning_rate": {"low": 1e-3, "high": 1e-1, "log": True},
    "importance": {"low": 0.1, "high": 1.0, "optional": True},
}
NONE = {"source": "target.csv", "column": "y", "test": 0.3}


def domains(folder, kind="classes"):
    """Two tables from different distributions: source.csv and target.csv."""
    stream = np.random.default_rng(0)
    for name, rows, moved in (("source", 160, 0.0), ("target", 140, 1.0)):
        x = stream.normal(size=(rows, 3)) + np.array([moved, 0, 0])
        score = x[:, 0] + np.sin(2 * x[:, 1]) + 0.5 * stream.normal(size=rows)
        frame = pd.DataFrame(x.round(4), columns=[*"abc"])
        frame["y"] = np.where(score > 0.5, "up", "down") if kind == "classes" else score.round(4)
        frame.to_csv(folder / f"{name}.csv", index=False)


def space(store, metric="loss", target=None, kind="classes", **changes):
    domains(store.parent, kind)
    train = {"epochs": 3, "batch_size": 32, "metric": metric}
    data = {"source": "source.csv", "target": {**NONE, **(target or {})}}
    usual = {"data": data, "search": SEARCH, "budget": {"trials": 5}, "refit": "scaled"}
    return write_space(store, **{**usual, "train": train, **changes})


def searched(store, path):
    ran = here("search", "--space", path, "--store", store, "--quiet")
    assert ran.exit_code == 0, ran.stderr
    return ran.stdout, json.loads(here("search", "--space", path, "--store", store, "--json").stdout)


@pytest.mark.exhaustive
@pytest.mark.parametrize("metric", ["dev", "snd"])
@pytest.mark.usefixtures("unrecorded")
def test_a_search_follows_a_validator(store, metric):
    said, result = searched(store, space(store, metric))
    assert result["metric"] == metric
    found = outcomes(store)
    complete = {
        label: o
        for label, o in found.items()
        if o["trial"]["role"] in ("search", "baseline") and o["state"] == "complete"
    }
    assert all(
        f"valid_{metric}" in o["curves"] and set(VALIDATORS) - {"iwv"} <= o["valid"].keys() for o in complete.values()
    )
    ranked = sorted(complete, key=lambda label: METRICS[metric].minimized(complete[label]["value"]))
    finalist = next(label for label in ranked if label.isdigit())
    assert finalist in result["finalists"]
    assert result["reevaluated"][metric] is not None
    assert result["test"]["accuracy"] is not None
    assert not set(VALIDATORS) & result["test"].keys()
    assert any(metric in line.split() for line in said.splitlines())  # a column of the final table
    assert result["validators"] == []
    (line,) = (line for line in said.splitlines() if "on the target's test rows" in line.lower())
    assert format_score(result["test"]["accuracy"]) in line


@pytest.mark.exhaustive
@pytest.mark.usefixtures("unrecorded")
def test_labels_of_the_target_do_not_influence_the_selection(new_store):
    found = []
    for shuffled in (False, True):
        store = new_store()
        path = space(store, "iwv")
        if shuffled:
            frame = pd.read_csv(store.parent / "target.csv")
            frame["y"] = np.random.default_rng(1).permutation(frame["y"])
            frame.to_csv(store.parent / "target.csv", index=False)
        _, result = searched(store, path)
        found.append(({label: (o["trial"], o["curves"], o["valid"]) for label, o in outcomes(store).items()}, result))
    (one, said), (other, again) = found
    assert one == other
    assert said["test"] != again["test"]
    assert [r["selected"] for r in (said, again)] == [said["selected"]] * 2


@pytest.mark.exhaustive
@pytest.mark.usefixtures("unrecorded")
def test_target_labels_rate_the_validators(store):
    target = {"labels": "validation-only", "few": 20}
    said, result = searched(store, space(store, "accuracy", target, budget={"trials": 8}, pruner="none"))
    whole = [
        o for o in outcomes(store).values() if o["trial"]["role"] in ("search", "baseline") and o["state"] == "complete"
    ]
    assert {one["validator"] for one in result["validators"]} == set(VALIDATORS)
    true = [o["valid"]["accuracy"] for o in whole]
    for one in result["validators"]:
        theirs = [-METRICS[one["validator"]].minimized(o["valid"][one["validator"]]) for o in whole]
        assert one["spearman"] == pytest.approx(spearmanr(theirs, true).statistic)
        assert one["regret"] == pytest.approx(max(true) - true[int(np.argmax(theirs))])
        assert one["validator"].replace("_", " ") in said
    assert "rank correlation" in said
    assert f"Expect accuracy {format_score(result['score']['accuracy']['reevaluated'])}" in said
    loss = [o["valid"]["source_loss"] for o in whole]
    assert (
        max(abs(a - o["valid"]["loss"]) for a, o in zip(loss, whole, strict=True)) > 0.01
    )  # other rows than those with labels


@pytest.mark.usefixtures("unrecorded")
def test_a_regression_can_follow_the_weighted_losses(store):
    _, result = searched(store, space(store, "dev", kind="numbers", finalists=0, refit="none"))
    assert result["task"] == "regression"
    assert {"iwv", "dev", "source_loss"} <= result["valid"].keys()
    assert not {"snd", "infomax", "target_entropy"} & result["valid"].keys()


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        (
            {"metric": "snd", "data": {"source": "source.csv", "target": "y"}, "search": {"l1": {"low": 0, "high": 1}}},
            "train.metric: snd is computed on unlabelled rows of another domain, and there are none; name its file in "
            "data.target.source, or take a metric of labelled rows.",
        ),
        (
            {"metric": "snd", "target": {"labels": "validation-only"}, "search": {"l1": {"low": 0, "high": 1}}},
            "no row of the target outside the test part is unlabelled; set data.target.few, or lower it, or take a "
            "metric of labelled rows.",
        ),
        (
            {"metric": "iwv", "target": {"labels": "few", "few": 8}},
            "train.metric: iwv needs labelled rows of the source outside the training rows, and data.target.labels: "
            "few leaves none; take infomax, or a metric of labelled rows.",
        ),
        (
            {"target": {"labels": "validation-only"}},
            "search.importance: needs rows of another domain without labels to adapt to, and no row of the target "
            "outside the test part is unlabelled; "
            "set data.target.few, or lower it, or leave the key out.",
        ),
        (
            {"metric": "dev", "data": {"source": "source.csv", "target": NONE, "split": {"valid": 0.012}}},
            "train.metric: dev is fitted on one half of the validation rows of the source for the other half and "
            "needs at least 4 of them; raise data.split.valid, or take iwv.",
        ),
        (
            {"metric": "infomax", "kind": "numbers"},
            "train.metric: infomax needs classes, and the target is a number; take iwv or dev.",
        ),
        (
            {"objectives": ["valid_loss", "valid_snd"], "kind": "numbers"},
            "objectives: valid_snd: snd needs classes, and the target is a number; take iwv or dev.",
        ),
        (
            {"metric": "snd", "ensemble": "greedy"},
            "ensemble: greedy needs the labels of held-out rows, which train.metric: snd does not use; choose bagging.",
        ),
        (
            {"data": {"source": "source.csv", "target": "y"}},
            "search.importance: needs rows of another domain without labels to adapt to, and there are none; name its "
            "file in data.target.source, or leave the key out.",
        ),
    ],
)
def test_invalid_validators_are_refused(store, changes, sentence):
    ran = here("check", space(store, **changes))
    assert ran.exit_code == 2
    assert sentence in ran.stderr


def test_boosting_repeats_all_row_tensors():
    data = replace(foreign(), auxiliary=foreign().x[:, :2])
    twice = replace(data, folds=data.folds * 2).copy_per_fold()
    for name in ("x", "y", "density_ratio", "auxiliary"):
        assert torch.equal(getattr(twice, name)[twice.folds[1].train], getattr(data, name)[data.folds[0].train])


def test_a_validator_that_is_also_a_loss_term_is_noted(store):
    ran = here("check", space(store, "infomax", search=SEARCH | {"entropy": "auto"}))
    assert "note: train.metric: search.entropy optimizes infomax directly" in ran.stdout


# ---- ranking


def outcome(label, state="complete", **valid):
    return Outcome(
        Trial(TrialKey.parse(label), "search", make_config({}), 0),
        state,
        "",
        0.0,
        1,
        1,
        {},
        valid,
        1.0,
        {},
        {},
        1,
        0.0,
        [],
        [0, 0],
        {},
    )


def test_a_validator_that_ranks_like_the_true_score_has_correlation_1_and_no_regret():
    trials = [outcome(str(i), accuracy=i / 10, snd=float(i), iwv=float(i)) for i in range(5)]
    found = {one.validator: one for one in rank(trials, "accuracy")}
    assert (found["snd"].spearman, found["snd"].regret, found["snd"].chosen) == (pytest.approx(1), 0, "4")
    assert (found["iwv"].spearman, found["iwv"].regret, found["iwv"].chosen) == (
        pytest.approx(-1),
        pytest.approx(0.4),
        "0",
    )
    assert [one.validator for one in rank(trials, "accuracy")] == ["snd", "iwv"]


def test_trials_that_were_pruned_or_have_no_score_are_not_ranked():
    trials = [outcome(str(i), accuracy=i / 10, snd=float(i)) for i in range(4)]
    others = [
        outcome("8", "pruned", accuracy=0.99, snd=99.0),
        outcome("9", accuracy=float("nan"), snd=99.0),
        outcome("10", accuracy=1.0),
    ]
    (found,) = rank([*trials, *others], "accuracy")
    assert (found.trials, found.chosen) == (4, "3")
    assert rank(trials[: validator_ranking.MIN_TRIALS - 1], "accuracy") == []


def test_equal_scores_have_no_rank_correlation():
    (found,) = rank([outcome(str(i), accuracy=0.5, snd=float(i)) for i in range(4)], "accuracy")
    assert found.spearman is None
    assert found.regret == 0
