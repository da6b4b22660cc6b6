"""The study and the loop, with synthetic curves in place of training."""

import dataclasses
import json
import math

import pytest

from hpo.core.errors import InputError
from hpo.core.metrics import METRICS
from hpo.core.trial_key import TrialKey
from hpo.study import baselines, ranking, seeds
from hpo.study.storage import read_attrs
from hpo.study.study import Study
from hpo.workflows import loop
from tests.helpers.studies import RANGE, NullSinks, RecordedCurves, make_space, run_study


def test_the_budget_counts_both_baselines_and_every_trial_once(tmp_path):
    study = run_study(tmp_path)
    assert list(study.outcomes)[:2] == ["none", "defaults"]
    assert sorted(int(label) for label in study.outcomes if label.isdigit()) == list(range(28))


def test_baselines_are_never_pruned_and_unknown_to_the_sampler(tmp_path):
    study = run_study(tmp_path)
    assert all(study.outcomes[name].state == "complete" for name in ("none", "defaults"))
    assert len(study.in_memory.trials()) == 28


def test_baselines_are_off_and_the_usual_strengths_clipped_to_the_space():
    none, defaults = baselines.baseline_trials(
        make_space(
            search={
                "learning_rate": {"low": 0.01, "high": 0.1},
                "dropout": {"low": 0.3, "high": 0.5},
                "depth": {"low": 1, "high": 5},
            }
        )
    )
    assert none.params == {"learning_rate": 0.01, "depth": 3, "dropout": 0.0}
    assert defaults.params == {"learning_rate": 0.01, "depth": 3, "dropout": 0.3, "weight_decay": 0.01}


def test_pruning_starts_at_epoch_four_and_the_reason_names_the_epoch(tmp_path):
    pruned = [o for o in run_study(tmp_path).outcomes.values() if o.state == "pruned"]
    assert pruned
    assert min(o.epochs for o in pruned) >= 4
    assert pruned[0].reason == f"median pruner in epoch {pruned[0].epochs}"


def test_off_is_sampled(tmp_path):
    values = [o.trial.params["weight_decay"] for o in run_study(tmp_path).outcomes.values() if o.trial.role == "search"]
    assert 0.0 in values
    assert all(v == 0 or v >= 1e-4 for v in values)
    assert len(set(values)) > 5


def test_the_same_space_gives_the_same_trials(tmp_path):
    first, again = run_study(tmp_path, name="a"), run_study(tmp_path, name="b")
    assert [o.trial for o in first.outcomes.values()] == [o.trial for o in again.outcomes.values()]
    assert first.best().trial == again.best().trial


@pytest.mark.parametrize("sampler", ["tpe", "random", "qmc", "cmaes", "gp"])
def test_every_sampler_completes_and_resumes_without_repeating_itself(tmp_path, sampler):
    few = make_space(sampler=sampler, budget={"trials": 8})
    run_study(tmp_path, few)
    study = run_study(tmp_path, make_space(sampler=sampler, budget={"trials": 14}))
    params = [tuple(o.trial.params.items()) for o in study.outcomes.values() if o.trial.role == "search"]
    assert len(params) == len(set(params)) == 12


def test_the_grid_sampler_tries_each_point_once_and_ends_the_search(tmp_path):
    grid = make_space(
        sampler="grid",
        search={
            "learning_rate": 0.01,
            "weight_decay": 0.0,
            "dropout": {"low": 0.0, "high": 0.5, "step": 0.25},
            "depth": {"choices": [1, 2]},
        },
    )
    study = run_study(tmp_path, grid)
    points = {
        (o.trial.params["dropout"], o.trial.params["depth"])
        for o in study.outcomes.values()
        if o.trial.role == "search"
    }
    assert points == {(d, n) for d in (0.0, 0.25, 0.5) for n in (1, 2)}
    assert len(study.outcomes) == 8


@pytest.mark.parametrize("pruner", ["median", "percentile", "hyperband", "successive_halving", "patient", "none"])
def test_every_pruner_completes(tmp_path, pruner):
    outcomes = run_study(tmp_path, make_space(pruner=pruner)).outcomes.values()
    assert len(outcomes) == 30
    assert any(o.state == "pruned" for o in outcomes) == (pruner not in ("none", "patient"))
    assert min(o.epochs for o in outcomes) >= 4


def test_a_diverged_trial_has_failed_but_is_the_worst_value_for_the_sampler(tmp_path):
    study = run_study(tmp_path, population=RecordedCurves(diverges=lambda t: t.params["dropout"] > 0.6))
    failed = [o for o in study.outcomes.values() if o.state == "failed"]
    assert failed
    assert failed[0].reason == "diverged in epoch 3"
    frozen = study.in_memory.trials()[int(failed[-1].trial.label)]
    assert frozen.state.name == "COMPLETE"
    assert frozen.user_attrs["diverged"] == "diverged in epoch 3"
    assert frozen.value >= max(o.value for o in study.outcomes.values() if o.state == "complete")
    assert study.best().state == "complete"


def test_an_interrupted_search_runs_each_trial_once_with_its_number_parameters_and_seed(tmp_path):
    class Stops(RecordedCurves):
        def release(self, trial):
            if len(self.admitted) > 15:
                raise KeyboardInterrupt
            return super().release(trial)

    stops = Stops()
    with pytest.raises(KeyboardInterrupt):
        run_study(tmp_path, population=stops)
    cut_off = {t.label: t for t, _ in stops.members.values()}
    known = {o["trial"]["label"]: o for o in read_attrs(tmp_path / "journal.log")["outcomes"]}
    assert cut_off
    assert not cut_off.keys() & known.keys()
    resumed = RecordedCurves()
    study = run_study(tmp_path, population=resumed)
    again = {t.label: t for t in resumed.admitted if t.label in cut_off}
    assert again == cut_off
    assert sorted(int(label) for label in study.outcomes if label.isdigit()) == list(range(28))
    assert all(json.loads(json.dumps(study.outcomes[label].to_json())) == o for label, o in known.items())


def test_a_larger_budget_continues_and_a_spent_one_starts_nothing(tmp_path):
    run_study(tmp_path)
    idle = RecordedCurves()
    run_study(tmp_path, population=idle)
    assert idle.admitted == []
    run_study(tmp_path, make_space(budget={"trials": 33}), idle)
    assert [t.label for t in idle.admitted] == ["28", "29", "30"]


def test_another_space_is_refused_with_the_difference(tmp_path):
    run_study(tmp_path)
    with pytest.raises(InputError, match=r"started with another space \(seed: stored 0, now 5\)"):
        Study(make_space(seed=5), tmp_path / "journal.log", "data")
    with pytest.raises(InputError, match="the rows of its data differ"):
        Study(make_space(), tmp_path / "journal.log", "other data")


def test_the_time_budget_prunes_running_trials(tmp_path, monkeypatch):
    now = [0.0]
    monkeypatch.setattr("hpo.study.study.time.time", lambda: now[0])

    class Slow(RecordedCurves):
        def train_epoch(self):
            now[0] += 1
            yield from super().train_epoch()

    outcomes = run_study(tmp_path, make_space(budget={"seconds": 20}), Slow()).outcomes.values()
    assert {o.state for o in outcomes} == {"complete", "pruned"}
    assert [o for o in outcomes if o.reason.startswith("the time was up in epoch")]
    assert max(o.ended for o in outcomes) <= 22


def test_a_torn_last_line_is_cut_off_and_its_trial_trained_again(tmp_path):
    run_study(tmp_path)
    path = tmp_path / "journal.log"
    whole = path.read_bytes()
    path.write_bytes(whole[: whole.rstrip().rfind(b"\n") + 40])
    study = run_study(tmp_path)
    assert sorted(int(label) for label in study.outcomes if label.isdigit()) == list(range(28))


def test_fit_seeds_differ_between_trials_and_repeat_with_the_study_seed():
    drawn = [seeds.fit_seed(make_space(), TrialKey(config)) for config in ("none", "defaults", *range(50))]
    assert len(set(drawn)) == 52
    assert drawn[3] == seeds.fit_seed(make_space(budget={"trials": 5}), TrialKey(1))
    assert drawn[3] != seeds.fit_seed(make_space(seed=1), TrialKey(1))
    assert seeds.fit_seed(make_space(train={"seed": 9}), TrialKey(1)) == 9


def test_the_ablation_is_the_selected_configuration_with_every_regularizer_off(tmp_path):
    best = run_study(tmp_path).best().trial
    ablation = baselines.ablation(best)
    assert ablation.params == {**best.params, "weight_decay": 0.0, "dropout": 0.0}
    assert ablation.seed == best.seed


def test_ranking_prefers_complete_trials_and_uses_the_direction_of_the_metric(tmp_path):
    outcomes = run_study(tmp_path).budget_outcomes()
    best = ranking.best(outcomes, METRICS["loss"])
    assert best.value == min(o.value for o in outcomes if o.state == "complete")
    assert ranking.best(outcomes, METRICS["accuracy"]).value == max(o.value for o in outcomes if o.state == "complete")


@pytest.mark.exhaustive
def test_gp_does_not_propose_a_pruned_point_again(tmp_path):
    """Optuna's GP sampler ignores pruned trials, so they are reported to it as complete; in the study they stay
    pruned."""
    search = {"learning_rate": RANGE, "weight_decay": 0.0, "dropout": {"low": 0.0, "high": 0.9}}
    study = run_study(tmp_path, make_space(sampler="gp", search=search), RecordedCurves(rows=1))
    params = [tuple(o.trial.params.items()) for o in study.outcomes.values() if o.trial.role == "search"]
    assert len(set(params)) == len(params)
    assert any(o.state == "pruned" for o in study.outcomes.values())


def test_trained_values_have_four_digits(tmp_path):
    """The same short number is exported, recorded in MLflow and trained."""
    for outcome in run_study(tmp_path).outcomes.values():
        for value in outcome.trial.params.values():
            assert value == float(f"{value:.4g}")


@pytest.mark.parametrize("metric", ["loss", "accuracy"])
def test_incremental_best_and_counts_equal_those_over_all_outcomes(tmp_path, metric):
    made = make_space(train={"epochs": 8, "patience": 8, "metric": metric})

    class Checked(RecordedCurves):
        def curve_point(self, trial, epoch):
            return dataclasses.replace(super().curve_point(trial, epoch), metric=f"valid_{metric}")

    for study in (
        run_study(tmp_path, made, Checked(diverges=lambda t: t.params["dropout"] > 0.7)),
        run_study(tmp_path, made),
    ):
        judged = study.budget_outcomes()
        assert study.best() == ranking.best(judged, METRICS[metric])
        assert study.counts == {s: sum(o.state == s for o in judged) for s in ("complete", "pruned", "failed")}
        shown = [v for o in judged for v in o.curves[f"valid_{metric}"] if math.isfinite(v)]
        assert study.in_memory.worst[f"valid_{metric}"] == (max if metric == "loss" else min)(shown)


def test_weights_are_saved_only_for_refit_trials_and_before_their_outcomes(tmp_path):
    """Of other trials only the scores are read later."""
    study, told, written = Study(make_space(), tmp_path / "journal.log", "data"), NullSinks(), []

    def save(label, _):
        assert label not in study.outcomes
        written.append(label)

    told.save = save
    loop.run(study, RecordedCurves(), told, told)
    best = study.best().trial
    for role in ("ablation", "finalist", "refit"):
        study.enqueue(dataclasses.replace(best, key=TrialKey(role), role=role))
    loop.run(study, RecordedCurves(), told, told)
    study.close()
    assert study.outcomes.keys() >= {"ablation", "finalist", "refit"}
    assert sorted(written) == ["finalist-valid", "refit"]


def test_the_journal_is_synced_once_a_second_and_on_close(tmp_path, monkeypatch):
    synced = []
    monkeypatch.setattr("hpo.study.journal_storage.os.fdatasync", synced.append)
    monkeypatch.setattr("hpo.study.journal_storage.time.monotonic", lambda: 100.0)
    study = Study(make_space(), tmp_path / "journal.log", "data")
    told = NullSinks()
    loop.run(study, RecordedCurves(), told, told)
    assert len(synced) == 1
    study.close()
    assert len(synced) == 2
