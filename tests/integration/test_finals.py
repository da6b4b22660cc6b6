"""The finals: the best trials and the baselines are re-evaluated on the same new splits and seeds."""

import math
import shutil
from dataclasses import replace
from itertools import combinations
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch

import hpo
from hpo.cli.result_text import result_lines
from hpo.core import selection_rules as rules
from hpo.core.metrics import METRICS
from hpo.core.selection_rules import DEFAULT
from hpo.core.trial import Outcome, TrainedTrial, Trial
from hpo.core.trial_key import TrialKey
from hpo.regularizers.configs import make_config
from hpo.selection import entrants, finals, out_of_fold
from hpo.selection.finalist import Finalist
from hpo.selection.finals import Finals, n_draws
from hpo.space import loader
from hpo.study import ranking
from hpo.study.directory import StudyDirectory
from hpo.study.storage import open_storage
from hpo.study.weights import WeightStore
from hpo.training.population import Population
from hpo.workflows import completed, prepare
from hpo.workflows import search as searching
from hpo.workflows.callbacks import Watcher
from hpo.workflows.finalize import result_options
from hpo.workflows.trainer import StudyTrainer
from tests.helpers.searches import TINY, Killed, KilledOnClose, Unrecorded, here, outcomes

pytestmark = pytest.mark.usefixtures("unrecorded")
SPACE = TINY | {"finalists": 2, "budget": {"trials": 12}}
LATE = ("finalist", "ablation", "refit")


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

    def late(trainer, trials, samples, **more):
        seen.append((tuple(trials), samples()))
        before(trainer, trials, samples, **more)

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
    faster = ("_fast", "_faster")  # baselines that were still improving at their last epoch
    trials = [trial for trial in trials if not trial.label.removesuffix("-fresh-1").endswith(faster)]
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
    entered = entrants.select_finalists(study, searched.experiment.space, 2)
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
    assert {"1"} <= mine.keys() <= its.keys() == {str(draw) for draw in range(1, n_draws(searched.experiment.data) + 1)}
    for draw, own in mine.items():
        assert own["trial"]["seed"] == its[draw]["trial"]["seed"]
        assert np.shape(own["fold_curves"]["valid_loss"])[1] == np.shape(its[draw]["fold_curves"]["valid_loss"])[1]
    assert ablation in searched.result.finalists
    assert searched.result.regularization.draws == len(mine)
    assert searched.result.baselines["ablation"].reevaluated.keys() == {"loss", "accuracy"}


# ---- finalists that drop out


class Made:
    """Finals over made-up networks. `quality` is by how much the logit of the right class exceeds the others, by the
    label of a configuration; the noise of a row is the same for all of them, so that they are paired."""

    def __init__(self, searched, folder, quality, params=None, rest=0.0, **options):
        self.experiment, self.quality, self.rest = searched.experiment, quality, rest
        folder.mkdir(exist_ok=True)
        self.trained, self.outcomes, self.weights = [], {}, WeightStore(folder)
        self.diverges, self.too_late = options.pop("diverges", ()), options.pop("too_late", ())
        space, params = self.experiment.space, params or {}
        base = make_config({"learning_rate": 0.01, "depth": 1, "weight_decay": 0.0, "dropout": 0.0})
        self.searched = [
            Finalist.from_outcome(self.outcome(Trial(TrialKey.parse(label), "search", config, 0)), space)
            for label in quality
            if label.isdigit() or label in ("none", DEFAULT)
            # Different learning rates, so that no two are the same configuration.
            for config in [base.with_values({"learning_rate": 0.01 + len(label) / 100, **params.get(label, {})})]
        ]
        self.finals = Finals(
            space, self.experiment.data, self.experiment.networks, self, self.weights, self.train, **options
        )

    def outcome(self, trial, samples=None):
        label = str(replace(trial.key, draw=None))
        state = "failed" if label in self.diverges else "pruned" if trial.label in self.too_late else "complete"
        folds = len(samples.folds) if samples else 1
        curves = {
            f"valid_{name}": [[1.0 - self.quality.get(label, self.rest)] * folds] for name in ("loss", "accuracy")
        }
        means = {name: [np.mean(curve)] for name, curve in curves.items()}
        scores = {"loss": 1.0}
        return Outcome(trial, state, "", 1.0, 1, 1, scores, scores, 1.0, means, curves, folds, 0.0, [1.0], [0, 1], {})

    def train(self, trials, make_samples):
        self.trained.append([trial.label for trial in trials])
        samples = make_samples()
        for trial in trials:
            outcome = self.outcomes[trial.label] = self.outcome(trial, samples)
            label, logits = str(replace(trial.key, draw=None)), []
            for fold in samples.folds:
                noise = torch.randn(len(fold.valid), 3, generator=torch.Generator().manual_seed(fold.number))
                right = torch.nn.functional.one_hot(samples.y[fold.valid], 3)
                logits.append((self.quality.get(label, self.rest) * right + noise).unsqueeze(0))
            released = TrainedTrial(1, {}, {}, 1.0, 1, {}, valid_logits=logits)
            out_of_fold.save(self.weights, outcome, released, "loss")

    def run(self):
        self.finals.run(self.searched)
        return {label: len(found.reevaluations) for label, found in self.finals.finalists.items()}


def test_clearly_worse_finalists_drop_out_but_never_the_defaults(searched, tmp_path):
    made = Made(searched, tmp_path, {"none": 1.0, DEFAULT: 0.2, "10": 3.0, "100": 3.0, "1": 1.0}, with_variants=False)
    assert made.run() == {"none": 1, DEFAULT: 2, "10": 2, "100": 2, "1": 1}
    assert made.finals.leader.label in ("10", "100")


def test_a_second_draw_for_the_leader_and_the_defaults_is_trained_even_if_no_other_can_be_paid_for(searched, tmp_path):
    asked = []

    def affordable(fits):
        asked.append(fits)
        return False

    quality = {"none": 1.0, DEFAULT: 2.0, "10": 3.0, "100": 3.0}  # the last two are equally good
    made = Made(searched, tmp_path, quality, affordable=affordable, with_variants=False)
    draws = made.run()
    assert (draws["none"], draws[DEFAULT], sorted([draws["10"], draws["100"]])) == (1, 2, [1, 2])
    assert asked == [3 * len(searched.experiment.data.new_folds(1).folds)]
    single = Made(searched, tmp_path / "single", quality, draws=1, with_variants=False)
    assert set(single.run().values()) == {1}


def test_a_stored_second_draw_counts_even_if_no_other_can_be_paid_for(searched, tmp_path):
    """As in another selection of a finished study, or in a resumed search."""
    quality = {"none": 1.0, DEFAULT: 2.0, "10": 3.0, "100": 3.0}
    made = Made(searched, tmp_path, quality, with_variants=False)
    first = made.run()
    again = Made(searched, tmp_path, quality, affordable=lambda _: False, with_variants=False)
    again.outcomes = made.outcomes
    assert again.run() == first
    assert (first["10"], first["100"]) == (2, 2)


def test_the_selected_configuration_is_evaluated_as_often_as_the_defaults(searched, tmp_path):
    """Also a variant, which is at first evaluated on one draw."""
    quality = {"none": 0.5, DEFAULT: 1.0, "10": 2.0, "without-dropout-10": 3.0}
    made = Made(searched, tmp_path, quality, {"10": {"dropout": 0.4, "weight_decay": 0.1}})
    made.run()
    label = made.finals.settle("expected")
    assert label == "without-dropout-10"
    assert len(made.finals.finalists[label].reevaluations) == len(made.finals.finalists[DEFAULT].reevaluations) == 2


def test_variants_of_the_leader_are_candidates_and_can_be_selected(searched, tmp_path):
    """Without each of its strengths, and without all of them; one that is better without regularization loses."""
    params = {"10": {"dropout": 0.4, "weight_decay": 0.1}, "100": {"dropout": 0.1}}
    quality = {"none": 0.5, DEFAULT: 1.0, "10": 2.0, "100": 1.9, "ablation-10": 3.0}
    made = Made(searched, tmp_path, quality, params)
    made.run()
    variants = {"ablation-10", "without-dropout-10", "without-weight_decay-10"}
    assert set(made.finals.finalists) == set(quality) | variants
    assert made.finals.choices()["expected"] == made.finals.leader.label == "ablation-10"
    without = Made(searched, tmp_path / "without", quality, params, with_variants=False)
    without.run()
    assert set(without.finals.finalists) == set(quality) - variants
    assert without.finals.settle("expected") == "10"


def test_a_single_regularizer_has_no_variant_besides_the_ablation(searched, tmp_path):
    made = Made(searched, tmp_path, {"none": 0.5, DEFAULT: 1.0, "10": 2.0}, {"10": {"dropout": 0.4}})
    made.run()
    assert set(made.finals.finalists) == {"none", DEFAULT, "10", "ablation-10"}
    trained = [label for labels in made.trained for label in labels]
    made.finals.settle("expected")
    assert len(trained) == len(set(trained))


def test_diverged_finalists_drop_out_at_once_and_are_not_selected(searched, tmp_path):
    made = Made(searched, tmp_path, {"none": 1.0, DEFAULT: 1.0, "10": 2.0, "1": 9.0}, diverges=("1",))
    draws = made.run()
    assert draws["1"] == 1
    assert {c.label for c in made.finals.candidates() if not c.sound} == {"1"}
    assert made.finals.gain("1", DEFAULT) is None
    assert "1" not in made.finals.choices().values()


@pytest.mark.parametrize("diverges", [("defaults",), ("none", "defaults", "10", "1")])
def test_there_is_a_choice_if_the_defaults_diverge(searched, tmp_path, diverges):
    made = Made(searched, tmp_path, {"none": 1.0, DEFAULT: 1.0, "10": 2.0, "1": 1.5}, diverges=diverges)
    made.run()
    expected = "10" if len(diverges) == 1 else DEFAULT
    assert {made.finals.settle(rule) for rule in ("expected", "best", "safe")} == {expected}


def test_a_finalist_whose_re_evaluation_was_cut_off_is_not_selected(searched, tmp_path):
    """Its outcome proves nothing, whatever it is; the second draw of another one is not confused with the first."""
    late = ("10-fresh-1", "1-fresh-2", "defaults-fresh-2")
    quality = {"none": 1.0, DEFAULT: 1.0, "10": 9.0, "1": 2.0}
    made = Made(searched, tmp_path, quality, too_late=late, with_variants=False)
    assert made.run() == {"none": 1, DEFAULT: 1, "10": 0, "1": 1}
    assert made.finals.settle("expected") == "1"
    assert len(made.finals.finalists["10"].scores("loss")) == 0
    nothing = Made(searched, tmp_path / "none", quality, too_late=("defaults-fresh-1",))
    assert nothing.run()[DEFAULT] == 0
    assert len(nothing.trained) == 1


def test_a_selected_finalist_is_not_evaluated_on_a_later_draw_if_the_time_was_up_in_an_earlier_one(searched, tmp_path):
    """Its logits of the second draw would be taken for those of the first."""
    made = Made(
        searched, tmp_path, {"none": 1.0, DEFAULT: 1.0, "1": 2.0}, too_late=("10-fresh-1",), with_variants=False
    )
    made.run()
    config = made.searched[0].trial.params.with_values({"learning_rate": 0.5})
    assert made.finals.evaluate(Trial(TrialKey(10), "search", config, 0)) is None
    assert made.trained[-1] == ["10-fresh-1"]
    assert "10" not in made.finals.finalists


def test_on_a_large_table_fewer_folds_are_trained():
    """Until there are 10,000 validation rows, or all folds."""

    def folds(n_folds, valid):
        return finals.n_folds(SimpleNamespace(new_fold_sizes=lambda _: [(3 * valid, valid)] * n_folds))

    assert [folds(4, valid) for valid in (50, 2_500, 2_501, 5_000, 9_999, 10_000, 10**6)] == [4, 4, 4, 2, 2, 1, 1]
    assert folds(1, 50) == 1


def test_fewer_folds_are_trained_in_every_draw(searched, tmp_path, monkeypatch):
    monkeypatch.setattr(finals, "n_folds", lambda _: 2)
    made = Made(searched, tmp_path, {"none": 1.0, DEFAULT: 1.0, "10": 3.0}, with_variants=False)
    made.run()
    whole = searched.experiment.data
    assert [len(draw.fold.unique()) for draw in made.finals.draws()] == [2, 2]
    valid = [len(fold.valid) for fold in whole.new_folds(1).folds]
    assert len(made.finals.draws()[0].row) == sum(valid[:2]) == 2 * made.finals.valid_rows
    assert len(made.finals.finalists["10"].scores("loss")) == 4
    expected = made.finals.expectation("10", ["loss"], 5)  # of the rows that both draws have
    assert 0 < expected.average["loss"] < 2 * expected.single["loss"]


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


@pytest.mark.exhaustive
@pytest.mark.parametrize("after", [1, 2, 5, 9, 13])
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
        ({"select": "best"}, {"refit", "ablation", "finalist"}),
        ({"finalists": 3}, {"finalist", "refit", "ablation"}),
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
    stored = {path.stem for path in StudyDirectory(tmp_path, "tiny").weights.iterdir()}
    assert {label for label in stored if "-fresh-" not in label} == set(second.networks.values())
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


TIMED = SPACE | {"budget": {"trials": 12, "seconds": 1000}}


def age(store, seconds):
    """Let the sessions of a study have taken so long."""
    storage = open_storage(StudyDirectory(store, "tiny").journal)
    storage.set_attr("elapsed", seconds)
    storage.close()


@pytest.mark.parametrize("elapsed", [1e4, 900.0])
def test_another_selection_of_a_finished_study_may_exceed_its_time_budget(tmp_path, monkeypatch, elapsed):
    first, choose = search(TIMED, tmp_path / "a"), rules.choose
    other = next(label for label in first.finalists if label.isdigit() and label != first.trial)
    monkeypatch.setattr(rules, "choose", lambda rule, *more: other if rule == "fastest" else choose(rule, *more))
    shutil.copytree(tmp_path / "a", tmp_path / "b")
    known = outcomes(tmp_path / "a")
    age(tmp_path / "a", elapsed)
    with monkeypatch.context() as patch:  # the rest of the time is not searched
        patch.setattr("hpo.workflows.loop.run", None)
        assert search(TIMED, tmp_path / "a") == first
    expected, second = (search(TIMED | {"select": "fastest"}, tmp_path / store) for store in ("b", "a"))
    assert second.trial == other
    trained = {label: o for label, o in outcomes(tmp_path / "a").items() if label not in known}
    assert {o["trial"]["role"] for o in trained.values()} >= {"finalist", "refit"}
    assert {o["state"] for o in trained.values()} == {"complete"}
    for key in ("trial", "reevaluated", "test", "rules", "finalists", "refit", "score", "trials"):
        assert getattr(second, key) == getattr(expected, key), key


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


def test_a_search_whose_dropout_hurts_selects_the_ablation_of_its_best_trial(tmp_path, monkeypatch):
    """All trials have too much dropout, and the learning rate of the baselines is too small for six epochs."""
    monkeypatch.setattr("hpo.study.baselines.faster_baselines", lambda *_: [])
    search = {"learning_rate": {"low": 1e-4, "high": 1e-1, "log": True}, "dropout": {"low": 0.8, "high": 0.85}}
    train = {"epochs": 6, "batch_size": 32}
    result = hpo.search(SPACE | {"study": "harm", "search": search, "train": train}, store=tmp_path)
    variant, _, trial = result.trial.partition("-")
    assert variant == "ablation"
    assert result.selected["dropout"] == 0
    params = outcomes(tmp_path, "harm")[trial]["trial"]["params"]
    assert params["dropout"] >= 0.8
    assert params["learning_rate"] == result.selected["learning_rate"]
    gains = {label: finalist.gain.gain for label, finalist in result.finalists.items()}
    assert gains[result.trial] > gains[trial]
    assert result.test["loss"] > 0
