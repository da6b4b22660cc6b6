"""The finals: the best trials and the baselines are re-evaluated on the same new splits and seeds."""

import math
import shutil
from dataclasses import replace
from itertools import combinations
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

import hpo
from hpo.cli.result_text import result_lines
from hpo.core.metrics import METRICS
from hpo.core.selection_rules import DEFAULT
from hpo.core.trial import Outcome
from hpo.core.trial_key import TrialKey
from hpo.selection import finals
from hpo.selection.finals import Finals
from hpo.space import loader
from hpo.study import baselines, ranking
from hpo.study.directory import StudyDirectory
from hpo.training.experiment import Experiment
from hpo.training.population import Population
from hpo.workflows import completed, prepare
from hpo.workflows import search as searching
from hpo.workflows.callbacks import Watcher
from hpo.workflows.finalize import result_options
from hpo.workflows.trainer import StudyTrainer
from tests.helpers.searches import TINY, Killed, KilledOnClose, Unrecorded, here, outcomes

pytestmark = pytest.mark.usefixtures("unrecorded")
SPACE = TINY | {"finalists": 2, "budget": {"trials": 12}}
LATE = ("finalist", "ablation", "nested", "refit")


def roles(known, *wanted):
    return {label: o for label, o in known.items() if o["trial"]["role"] in wanted}


def fresh_of(known, label):
    """Return the re-evaluation outcomes of one configuration by draw."""
    return {name.removeprefix(f"{label}-fresh-"): o for name, o in known.items() if name.startswith(f"{label}-fresh-")}


@pytest.fixture(scope="module")
def searched(unrecorded, tmp_path_factory):  # noqa: ARG001 - a fixture of a module cannot name it otherwise
    """A search, with the trials that were trained after it and their samples."""
    store, seen = tmp_path_factory.mktemp("finals"), []
    before = StudyTrainer.train

    def late(trainer, trials, samples):
        seen.append((tuple(trials), samples()))
        before(trainer, trials, samples)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(StudyTrainer, "train", late)
        result = hpo.search(SPACE, store=store)
    draws = [(trials, samples) for trials, samples in seen if trials[0].role == "finalist" and len(trials) > 1]
    return SimpleNamespace(
        store=store,
        result=result,
        known=outcomes(store),
        draws=draws,
        experiment=prepare.prepare(loader.parse(SPACE), Path()),
    )


# ---- selection of the finalists


def test_the_finalists_are_the_baselines_and_the_best_trials(searched):
    trials, _ = searched.draws[0]
    entered = {trial.label.removesuffix("-fresh-1") for trial in trials}
    found = [Outcome.from_json(o) for o in roles(searched.known, "search").values()]
    ranked = [o.trial.label for o in ranking.ranked(found, METRICS["loss"])]
    assert entered == {"none", "defaults", *ranked[:2]}
    assert all(
        dict(trial.params) == searched.known[trial.label.removesuffix("-fresh-1")]["trial"]["params"]
        for trial in trials
    )


def test_each_configuration_is_a_finalist_once(searched):
    """Also if it was proposed twice, or equals a baseline."""
    found = {label: Outcome.from_json(o) for label, o in searched.known.items()}
    best, *others = ranking.ranked([o for o in found.values() if o.trial.role == "search"], METRICS["loss"])
    twins = [
        replace(best, trial=replace(best.trial, key=TrialKey(77))),
        replace(best, trial=replace(found["none"].trial, key=TrialKey(78))),
    ]
    study = SimpleNamespace(outcomes=found, search_outcomes=lambda: [best, *twins, *others])
    entered = finals.select_finalists(study, searched.experiment.space)
    assert [o.trial.label for o in entered] == ["none", "defaults", best.trial.label, others[0].trial.label]


# ---- pairs


def test_finalists_share_splits_and_seed_within_a_draw_but_not_across_draws(searched):
    seeds = [{trial.seed for trial in trials} for trials, _ in searched.draws]
    assert all(len(of) == 1 for of in seeds)
    assert (
        len(set.union(*seeds))
        == len(seeds)
        == len(searched.result.reevaluated_scores["loss"]) / len(searched.draws[0][1].folds)
    )
    assert not set.union(*seeds) & {o["trial"]["seed"] for o in roles(searched.known, "search", "baseline").values()}
    rows = [sorted(tuple(sorted((fold.valid % len(of.x)).tolist())) for fold in of.folds) for _, of in searched.draws]
    own = tuple(sorted(searched.experiment.data.folds[0].valid.tolist()))
    assert all(not set(a) & set(b) for a, b in combinations(rows, 2))
    assert all(own not in of for of in rows)


def test_a_re_evaluation_equals_training_the_configuration_on_the_new_splits(searched):
    """The trial is trained without the other finalists, and its fold scores are equal bit for bit."""
    experiment = searched.experiment
    for draw, (trials, samples) in enumerate(searched.draws, 1):
        fresh = experiment.data.new_folds(draw)
        assert samples.x.equal(fresh.x)
        trial = trials[-1]
        alone = Population.from_space(experiment.space, None, fresh, rows=len(fresh.folds))
        alone.admit(trial)
        curve, last = [], ""
        while not last:
            (score,) = alone.train_epoch()
            curve.append(score.values["valid_loss"].tolist())
            last = score.stop_reason
        assert searched.known[trial.label]["fold_curves"]["valid_loss"] == curve


def test_the_ablation_is_re_evaluated_on_the_draws_of_its_configuration(searched):
    ablation = searched.result.baselines["ablation"].trial
    assert ablation == f"ablation-{searched.result.trial}"  # or the search above is a bad example
    mine, its = (fresh_of(searched.known, label) for label in (ablation, searched.result.trial))
    assert mine.keys() == its.keys() == {str(draw) for draw in range(1, len(searched.draws) + 1)}
    for draw, own in mine.items():
        assert own["trial"]["seed"] == its[draw]["trial"]["seed"]
        assert np.shape(own["fold_curves"]["valid_loss"])[1] == np.shape(its[draw]["fold_curves"]["valid_loss"])[1]
    assert ablation not in searched.result.finalists
    assert searched.result.baselines["ablation"].reevaluated.keys() == {"loss", "accuracy"}


# ---- finalists that drop out


class Made:
    """Finals over artificial curves; `offsets` is the loss of each finalist, by label, above that of the best."""

    def __init__(self, experiment: Experiment, offsets: dict[str, float], diverges: frozenset[str] = frozenset()):
        self.offsets, self.diverges, self.trained, self.outcomes = offsets, diverges, [], {}
        self.searched = [
            self.outcome(replace(t, key=TrialKey.parse(label)))
            for label in offsets
            for t in baselines.baseline_trials(experiment.space)[:1]
        ]
        self.finals = Finals(experiment.space, experiment.data, experiment.networks, self, self.train)

    def outcome(self, trial):
        label, draw = (trial.label.partition("-fresh-")[0], int(trial.label.partition("-fresh-")[2] or 0))
        state = "failed" if label in self.diverges else "complete"
        loss = (
            1
            + self.offsets[label]
            + 1e-3 * np.random.default_rng([draw, *label.encode()]).normal(size=(1, 4))
            + np.array([[0.01], [0.0]])
        )
        curves = {f"valid_{name}": loss.tolist() for name in ("loss", "accuracy")}
        means = {name: np.mean(curve, axis=1).tolist() for name, curve in curves.items()}
        return Outcome(
            trial, state, "", 1.0, 2, 2, {}, {"loss": 1.0}, 1.0, means, curves, 8, 0.0, [1.0, 2.0], [0, 1], {}
        )

    def train(self, trials, _):
        self.trained.append([trial.label for trial in trials])
        self.outcomes |= {trial.label: self.outcome(trial) for trial in trials}

    def run(self):
        self.finals.run(self.searched)
        return {label: len(found.reevaluations) for label, found in self.finals.finalists.items()}


def test_clearly_worse_finalists_drop_out_but_never_the_defaults(searched):
    draws = Made(searched.experiment, {"none": 5.0, DEFAULT: 9.0, "0": 0.0, "1": 1e-9, "2": 3.0}).run()
    assert draws[DEFAULT] == draws["0"] == draws["1"] == max(draws.values()) > 1
    assert draws["none"] < draws["0"]
    assert draws["2"] < draws["0"]


def test_diverged_finalists_drop_out_at_once_and_rank_last(searched):
    made = Made(searched.experiment, {"none": 0.1, DEFAULT: 0.1, "0": 0.0, "1": -0.5}, frozenset("1"))
    draws = made.run()
    assert draws["1"] == 1
    assert {c.label: c.mean for c in made.finals.candidates()}["1"] == math.inf
    assert "1" not in made.finals.choices().values()


# ---- again


def search(space, store, recorder=Unrecorded):
    """Search a space with a recorder that does not write to MLflow."""
    experiment = prepare.prepare(loader.parse(space), Path())
    return searching.search(experiment, StudyDirectory(store, experiment.space.study), recorder=recorder)


class Dying(Unrecorded):
    """A recorder that raises Killed after `left` outcomes of trials after the search."""

    left = math.inf

    def record(self, outcome):
        if outcome.trial.role in LATE:
            Dying.left -= 1
            if Dying.left < 0:
                raise Killed


@pytest.fixture(scope="module")
def killed(tmp_path_factory):
    """A store whose search was killed when the first re-evaluation had ended."""
    store = tmp_path_factory.mktemp("killed")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Dying, "left", 0)
        with pytest.raises(Killed):
            search(SPACE, store, Dying)
    return store


@pytest.fixture
def first(searched, tmp_path):
    """The result of the finished search, whose store is copied to `tmp_path`."""
    shutil.copytree(searched.store, tmp_path, dirs_exist_ok=True)
    return hpo.search(SPACE, store=tmp_path)


@pytest.mark.parametrize("after", [1, 2, 5, 9, 13, 15])
def test_finals_that_are_killed_twice_end_with_the_same_result(searched, killed, tmp_path, monkeypatch, after):
    """Ended trials are not trained again, whenever the process is killed."""
    shutil.copytree(killed, tmp_path, dirs_exist_ok=True)
    assert len(roles(outcomes(tmp_path), *LATE)) == 1
    monkeypatch.setattr(Dying, "left", after)
    with pytest.raises(Killed):
        search(SPACE, tmp_path, Dying)
    before = outcomes(tmp_path)
    assert len(roles(before, *LATE)) == after + 1
    again = search(SPACE, tmp_path)
    known = outcomes(tmp_path)
    assert {label: known[label] for label in before} == before
    assert known.keys() == searched.known.keys()
    meanwhile = {"seconds": 0.0, "startup_seconds": 0.0, "report_seconds": None, "tracking_uri": ""}
    assert replace(again, **meanwhile) == replace(searched.result, **meanwhile)


@pytest.mark.parametrize(
    ("change", "added"),
    [
        ({"select": "best"}, {"nested", "refit", "ablation", "finalist"}),
        ({"finalists": 3}, {"finalist", "nested", "refit", "ablation"}),
        ({"refit": "average"}, {"refit"}),
        ({"refit": "keep"}, {"refit"}),
        ({"refit": "none"}, set()),
    ],
)
def test_changed_result_options_of_a_finished_study_need_no_new_search(first, tmp_path, change, added):
    known = outcomes(tmp_path)
    told = []

    class Tells(Watcher):
        def epoch(self, score):
            told.append(score.trial)

    experiment = prepare.prepare(loader.parse(SPACE | change), Path())
    second = searching.search(experiment, StudyDirectory(tmp_path, "tiny"), watcher=Tells())
    assert {trial.role for trial in told} <= added
    assert not {trial.label for trial in told} & known.keys()
    assert outcomes(tmp_path).items() >= known.items()
    assert (first.result_options == second.result_options, second.result_options) == (False, result_options(experiment))
    assert second.trials == first.trials
    fresh = hpo.search(SPACE | change, store=tmp_path / "anew")
    for key in ("trial", "reevaluated", "test", "rules", "finalists", "refit", "score"):
        assert getattr(second, key) == getattr(fresh, key), key


@pytest.mark.parametrize("recorder", [Dying, KilledOnClose])
def test_interrupted_changes_of_result_options_keep_the_earlier_result(first, tmp_path, monkeypatch, recorder):
    other = SPACE | {"refit": "average"}
    monkeypatch.setattr(Dying, "left", 0)
    with pytest.raises(Killed):
        search(other, tmp_path, recorder)
    known = completed.load(StudyDirectory(tmp_path, "tiny"))
    assert (known.result, known.space.refit.kind) == (first, "scaled")
    known.write_network(tmp_path / "net")
    with monkeypatch.context() as patch:
        patch.setattr("hpo.workflows.loop.run", None)
        assert hpo.search(SPACE, store=tmp_path) == first
    second = hpo.search(other, store=tmp_path)
    assert second.refit.kind == completed.load(StudyDirectory(tmp_path, "tiny")).space.refit.kind == "average"
    assert {path.stem for path in StudyDirectory(tmp_path, "tiny").weights.iterdir()} == set(second.networks.values())
    assert second.test_evaluations == 2
    # The networks of the first result were scored before.
    assert hpo.search(SPACE, store=tmp_path).test_evaluations == 2


def test_an_interrupted_larger_budget_keeps_the_earlier_result(first, tmp_path):
    assert "finished" in here("studies", "--store", tmp_path).stdout
    with pytest.raises(Killed):
        search(SPACE | {"budget": {"trials": 14}}, tmp_path, KilledOnClose)
    assert completed.load(StudyDirectory(tmp_path, "tiny")).result == first
    assert "stopped" in here("studies", "--store", tmp_path).stdout
    again = hpo.search(SPACE, store=tmp_path)
    assert (sum(first.trials.values()), sum(again.trials.values())) == (12, 14)
    assert "finished" in here("studies", "--store", tmp_path).stdout


def test_an_unchanged_search_returns_the_stored_result(searched, monkeypatch):
    monkeypatch.setattr("hpo.workflows.loop.run", None)
    assert hpo.search(SPACE, store=searched.store) == searched.result


def test_without_finalists_the_best_trial_is_selected_without_a_re_evaluation(tmp_path):
    result = hpo.search(SPACE | {"study": "plain", "finalists": 0, "refit": "none"}, store=tmp_path)
    known = outcomes(tmp_path, "plain")
    judged = [o for o in known.values() if o["state"] == "complete" and o["trial"]["role"] in ("search", "baseline")]
    assert known[result.trial]["value"] == min(o["value"] for o in judged)
    assert {o["trial"]["role"] for o in known.values()} <= {"search", "baseline", "ablation"}
    assert (result.verdict, result.rules, result.reevaluated, result.test) == (None, {}, {}, {})
    assert result.baselines.keys() == {"ablation", "defaults", "none"}
    assert "Selected by its score in the search alone" in "\n".join(result_lines(result, "mlruns"))
