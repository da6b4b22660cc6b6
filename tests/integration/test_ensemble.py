"""Ensembles end to end: built from a search, compared with its final network, exported, and reproducible."""

import io
import json
import pathlib
import re
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from safetensors.torch import load_file
from sklearn import metrics as sk
from sklearn.datasets import load_wine
from torch import nn

import hpo
from hpo.cli.result_text import ensemble_line, result_lines
from hpo.core.errors import InputError
from hpo.core.samples import Fold
from hpo.core.trial import Trial
from hpo.core.trial_key import TrialKey
from hpo.nn.linear import one_thread
from hpo.regularizers.configs import make_config
from hpo.selection.ensemble import build
from hpo.selection.ensemble.boosting import SHRINKAGE
from hpo.selection.ensemble.context import EnsembleContext
from hpo.selection.result import SearchResult
from hpo.selection.result_parts import EnsembleMember, EnsembleResult
from hpo.space import loader
from hpo.space.settings import EnsembleConfig
from hpo.study.directory import StudyDirectory
from hpo.study.storage import SCHEMA, open_storage
from hpo.study.study import Study
from hpo.study.weights import WeightStore
from hpo.training.population import Population
from hpo.workflows import add_ensemble, completed, prepare
from hpo.workflows import search as searching
from hpo.workflows.callbacks import Watcher
from hpo.workflows.trainer import StudyTrainer
from tests.helpers.refits import loan_table, rows_of_test_part, write_refit_space
from tests.helpers.searches import TINY, Killed, KilledOnClose, Unrecorded, here, outcomes, write_space

pytestmark = pytest.mark.usefixtures("unrecorded")
KINDS = list(build.KINDS)
SIZE = 3
ROOT = pathlib.Path(__file__).parents[2]


@pytest.fixture(scope="module")
def searched(unrecorded, tmp_path_factory):  # noqa: ARG001 - a fixture of a module cannot name it otherwise
    """A store with a search."""
    store = tmp_path_factory.mktemp("ensemble") / "mlruns"
    hpo.search(TINY | {"train": {"epochs": 8, "batch_size": 32}}, store=store)
    return store


def added(store, kind, size=SIZE, recorder=Unrecorded):
    study, config = completed.load(StudyDirectory(store, "tiny")), EnsembleConfig(kind=kind, size=size)
    return add_ensemble.add(study, config, torch.device("cpu"), Watcher(), recorder)


def shop(store, kind):
    """Return the context in which an ensemble is built; the caller must close its study."""
    search = completed.load(StudyDirectory(store, "tiny"))
    experiment = prepare.prepare(search.space, search.base)
    study = Study(experiment.space, search.directory.journal, experiment.data.fingerprint)
    store = WeightStore(search.directory.weights)
    trainer = StudyTrainer(experiment, study, store, Unrecorded(), Watcher())
    return EnsembleContext(experiment, study, search.result, EnsembleConfig(kind=kind, size=SIZE), trainer)


# ---- made, scored, kept


@pytest.mark.parametrize(
    ("kind", "task", "split"),
    [
        ("bagging", "classification", "groups"),
        ("bagging", "regression", "time"),
        ("greedy", "classification", "hold-out"),
        ("greedy", "regression", "time"),
        ("stacking", "regression", "folds"),
        ("stacking", "classification", "time, hold-out"),
        ("snapshot", "regression", "groups"),
        ("boosting", "classification", "time"),
        ("boosting", "regression", "hold-out"),
    ],
)
def test_an_exported_ensemble_predicts_the_scored_predictions(tmp_path, kind, task, split):
    store = tmp_path / "here" / "mlruns"
    path = write_refit_space(store, task, split, ensemble={"kind": kind, "size": SIZE}, finalists=0)
    ran = here("search", "--space", path, "--store", store, "--json")
    assert ran.exit_code == 0, ran.stderr
    result, folder = SearchResult.from_json(json.loads(ran.stdout)), tmp_path / "weights"
    (entry,) = result.ensembles.values()
    assert (
        here(
            "export", "--store", store, "--weights", folder, "--ensemble", kind, "-o", tmp_path / "best.yaml"
        ).exit_code
        == 0
    )
    raw, data = loan_table(task), prepare.load(path).data
    test = rows_of_test_part(raw, data)
    raw.drop(columns="repaid").iloc[test].to_csv(tmp_path / "new.csv", index=False)
    found = pd.read_csv(io.StringIO(here("predict", tmp_path / "new.csv", "--weights", folder).stdout))
    true = raw["repaid"].iloc[test].to_numpy()
    if task == "regression":
        assert entry.test["loss"] == pytest.approx(sk.mean_squared_error(true, found["prediction"]), rel=1e-4)
    else:
        assert entry.test["accuracy"] == pytest.approx((found["prediction"] == true).mean())
        assert entry.test["loss"] == pytest.approx(sk.log_loss(true == "yes", found["probability_yes"]), abs=1e-5)
    assert entry.single == result.test
    assert result.test_evaluations == 2
    # Before a single validation part there is no other; and what a bootstrap leaves out is not behind what it has.
    unknown = split == "time, hold-out" or ("time" in split and kind == "bagging")
    assert (entry.expected == {}) == unknown


@pytest.mark.exhaustive
@pytest.mark.parametrize("kind", KINDS)
def test_building_it_again_gives_the_same_ensemble_and_leaves_the_trials(searched, kind):
    before, weight_store = outcomes(searched), WeightStore(StudyDirectory(searched, "tiny").weights)
    first = added(searched, kind)
    weights = weight_store.load(first.weights)
    test_evaluations = completed.load(StudyDirectory(searched, "tiny")).result.test_evaluations
    assert added(searched, kind) == first
    again = weight_store.load(first.weights)
    assert all(again[name].equal(weights[name]) for name in weights)
    result = completed.load(StudyDirectory(searched, "tiny")).result
    assert (outcomes(searched), result.ensembles[kind], result.test_evaluations) == (
        before,
        first,
        test_evaluations + 1,
    )
    assert sum(member.share for member in first.members) == pytest.approx(1)


def test_repeating_a_search_returns_its_ensembles(searched):
    added(searched, "bagging")
    result = hpo.search(TINY | {"train": {"epochs": 8, "batch_size": 32}}, store=searched)
    assert "bagging" in result.ensembles


def test_requesting_an_ensemble_of_a_finished_search_trains_nothing_else(tmp_path):
    hpo.search(TINY, store=tmp_path)
    known = outcomes(tmp_path)
    result = hpo.search(TINY | {"ensemble": {"kind": "snapshot", "size": 2}}, store=tmp_path)
    assert result.ensembles.keys() == {"snapshot"}
    assert outcomes(tmp_path) == known
    plain = hpo.search(TINY, store=tmp_path)
    assert plain.ensembles == {}


def test_ensembles_lost_with_a_new_result_are_noted(tmp_path, monkeypatch):
    store = tmp_path / "mlruns"
    hpo.search(TINY | {"ensemble": {"kind": "snapshot", "size": 2}}, store=store)
    monkeypatch.setattr(StudyDirectory, "mlflow", lambda *_, **__: {"tracking_uri": "http://elsewhere:5000"})
    ran = here("search", "--space", write_space(store), "--store", store)
    assert (
        "This result replaces an earlier one and its ensembles (snapshot); hpo ensemble makes them again." in ran.stderr
    )
    assert "Those at http://elsewhere:5000 stay there, and hpo delete will not remove them." in ran.stderr


def test_initial_weights_from_a_run_are_read_from_the_mlflow_of_the_search(searched, monkeypatch):
    asked = []

    def stop(*_, tracking_uri, **__):
        asked.append(tracking_uri)
        raise InputError("no further.")

    monkeypatch.setattr(StudyDirectory, "mlflow", lambda *_, **__: {"tracking_uri": "http://elsewhere:5000"})
    monkeypatch.setattr(prepare, "prepare", stop)
    with pytest.raises(InputError, match="no further"):
        added(searched, "bagging")
    assert asked == ["http://elsewhere:5000"]


def test_an_interrupted_larger_search_keeps_the_earlier_ensemble(tmp_path):
    space = TINY | {"ensemble": {"kind": "greedy", "size": SIZE}}
    weight_store, label = (
        WeightStore(StudyDirectory(tmp_path, "tiny").weights),
        hpo.search(space, store=tmp_path).ensembles["greedy"].weights,
    )
    before = weight_store.load(label)
    larger = prepare.prepare(loader.parse(space | {"budget": {"trials": 30}}), Path())
    with pytest.raises(Killed):
        searching.search(larger, StudyDirectory(tmp_path, "tiny"), recorder=KilledOnClose)
    after = weight_store.load(label)
    assert before.keys() == after.keys()
    assert all(after[name].equal(tensor) for name, tensor in before.items())


def test_an_interrupted_ensemble_leaves_the_study_unchanged(searched, monkeypatch):
    before = completed.load(StudyDirectory(searched, "tiny")).result
    monkeypatch.setattr(Population, "train_epoch", lambda _: (_ for _ in ()).throw(KeyboardInterrupt))
    with pytest.raises(KeyboardInterrupt):
        added(searched, "greedy")
    assert completed.load(StudyDirectory(searched, "tiny")).result == before
    monkeypatch.undo()
    assert added(searched, "greedy").kind == "greedy"


def test_an_ensemble_interrupted_at_the_end_leaves_the_earlier_one_intact(searched, tmp_path):
    weight_store = WeightStore(StudyDirectory(searched, "tiny").weights)
    entry = added(searched, "bagging")
    with pytest.raises(Killed):
        added(searched, "bagging", size=2, recorder=KilledOnClose)
    ran = here(
        "export",
        "--store",
        searched,
        "--weights",
        tmp_path / "w",
        "--ensemble",
        "bagging",
        "-o",
        tmp_path / "best.yaml",
    )
    assert ran.exit_code == 0
    assert len(json.loads((tmp_path / "w" / "network.json").read_text())["networks"]) == SIZE
    other = added(searched, "bagging", size=2)
    assert weight_store.path(other.weights).exists()
    assert not weight_store.path(entry.weights).exists()  # no ensemble refers to it any more


def test_an_ensemble_added_by_another_process_is_kept(searched):
    early = completed.load(StudyDirectory(searched, "tiny"))
    added(searched, "snapshot", size=2)
    add_ensemble.add(early, EnsembleConfig(kind="bagging", size=2), torch.device("cpu"), Watcher())
    assert completed.load(StudyDirectory(searched, "tiny")).result.ensembles["snapshot"].size == 2


def test_an_exported_average_needs_only_torch(searched, tmp_path, monkeypatch):
    """As docs/ensembles.md shows it."""
    monkeypatch.chdir(tmp_path)
    added(searched, "greedy")
    assert (
        here("export", "--store", searched, "--weights", "best", "--ensemble", "greedy", "-o", "best.yaml").exit_code
        == 0
    )
    frame = load_wine(as_frame=True).data
    frame.to_csv("new.csv", index=False)
    pre = json.loads(Path("best/preprocess.json").read_text())
    inputs = torch.tensor(
        np.column_stack([(frame[f["column"]] - f["mean"]) / f["scale"] for f in pre["features"]]).astype("float32")
    )
    assert pre["temperature"] != 1
    (shown,) = re.findall(r"```python\n(.*?)```", (ROOT / "docs" / "ensembles.md").read_text(), re.DOTALL)
    names = {"json": json, "pathlib": pathlib, "torch": torch, "load_file": load_file, "pre": pre, "inputs": inputs}
    exec(shown, names)
    found = pd.read_csv(io.StringIO(here("predict", "new.csv", "--weights", "best").stdout))
    assert found[[f"probability_{i}" for i in range(3)]].to_numpy() == pytest.approx(
        names["out"].softmax(1).detach().numpy(), abs=1e-6
    )


# ---- each kind


def trained(experiment, samples, trial):
    """Train a single trial and return its weights."""
    alone = Population.from_space(experiment.space, None, samples, rows=len(samples.folds))
    alone.admit(trial)
    last = ""
    while not last:
        (score,) = alone.train_epoch()
        last = score.stop_reason
    return alone.release(trial).weights


def test_out_of_fold_networks_do_not_depend_on_the_rows_they_predict(searched, monkeypatch):
    """Changed targets of the rows that a fold is tested on do not change its network."""
    seen = []

    class TrainingStartedError(Exception):
        """Raised when a training starts."""

    def train(_, title, samples, trials):  # noqa: ARG001 - the signature of the method
        seen.append((samples, trials[0]))
        raise TrainingStartedError

    monkeypatch.setattr(EnsembleContext, "train", train)
    of = shop(searched, "greedy")
    with pytest.raises(TrainingStartedError):
        build.KINDS["greedy"](of)
    of.study.close()
    samples, trial = seen[0]
    trial = replace(trial, epochs=2)
    one = trained(of.experiment, samples.as_samples(), trial)
    y = samples.y.clone()
    y[samples.folds[0].test] = (y[samples.folds[0].test] + 1) % 3
    other = trained(of.experiment, replace(samples.as_samples(), y=y), trial)
    assert all(one[name][0].equal(other[name][0]) for name in one)
    assert not one["out.weight"][1].equal(other["out.weight"][1])
    assert sorted(torch.cat([fold.test for fold in samples.folds]).tolist()) == list(range(len(samples.x)))
    assert all(not len(fold.valid) and not set(fold.test.tolist()) & set(fold.train.tolist()) for fold in samples.folds)


def test_a_snapshot_equals_plain_training_up_to_the_end_of_its_cycle(searched):
    of = shop(searched, "snapshot")
    with one_thread():
        made = build.KINDS["snapshot"](of)
    cycle = max(1, round(of.epochs(of.selected) / 2))
    trial = replace(of.trial(of.selected, "snapshot"), epochs=SIZE * cycle, cycle=cycle)
    for number in range(1, SIZE + 1):
        with one_thread():
            alone = trained(of.experiment, made.data.as_samples(), replace(trial, epochs=number * cycle))
        assert all(made.members[number - 1].weights[name][0].equal(alone[name][-1]) for name in alone)
    of.study.close()


def test_the_learning_rate_restarts_with_every_cycle():
    from hpo.core.trial import Fit
    from hpo.space.settings import TrainConfig
    from hpo.training.state import FitState

    nothing = torch.empty(0, dtype=torch.long)
    trial = Trial(TrialKey(0), "refit", make_config({"learning_rate": 0.5}), 0, epochs=6, cycle=3)
    row = FitState(
        Fit(trial, Fold(0, nothing, nothing)),
        None,
        TrainConfig(),
        None,
        {},
    )
    found = []
    for epoch in range(7):
        row.epoch = epoch
        found.append(row.lr)
    torchs = torch.optim.lr_scheduler.CosineAnnealingWarmRestarts(
        torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=0.5), 3
    )
    expected = []
    for _ in range(7):
        expected.append(torchs.get_last_lr()[0])
        torchs.optimizer.step()
        torchs.step()
    assert found == pytest.approx(expected)


def test_each_boosting_network_is_trained_on_the_shrunk_sum_of_earlier_ones(searched, monkeypatch):
    bases, before = [], EnsembleContext.train

    def train(of, title, samples, trials):
        bases.append(samples.offset)
        return before(of, title, samples, trials)

    monkeypatch.setattr(EnsembleContext, "train", train)
    of = shop(searched, "boosting")
    with one_thread():
        made = build.KINDS["boosting"](of)
    of.study.close()
    assert bases[0].abs().max() == 0
    network, rows_ = of.experiment.networks.network_for(made.members[0].params), len(made.data.x)
    first = SHRINKAGE * network.predict(made.members[0].weights, made.data.x.unsqueeze(0))[0]
    assert bases[1][-rows_:].numpy() == pytest.approx(
        first.numpy(), abs=1e-6
    )  # of the network that has learned from all rows
    assert made.combination.weight.tolist() == pytest.approx([SHRINKAGE] * len(made.members))


def test_greedy_and_stacking_choose_from_the_baselines_and_the_best_trials(searched):
    of = shop(searched, "greedy")
    labels = [outcome.trial.label for outcome in of.pool()]
    assert {"none", "defaults"} < set(labels)
    few = replace(of, config=EnsembleConfig(kind="greedy", pool=1))
    assert [outcome.trial.label for outcome in few.pool()] == labels[:3]
    of.study.close()


# ---- words


def test_the_end_of_a_search_compares_the_ensemble_with_the_final_network(searched):
    entry = EnsembleResult(
        kind="greedy",
        rule="mean",
        networks_per_member=4,
        size=10,
        networks=28,
        members=[EnsembleMember("1", {}, 1.0)],
        expected={"accuracy": 0.978},
        test={"accuracy": 0.981},
        single={"accuracy": 0.975},
        diversity={"disagreement": 0.0312, "error_correlation": 0.614},
        weights="ensemble-greedy",
    )
    result = replace(completed.load(StudyDirectory(searched, "tiny")).result, ensembles={"greedy": entry})
    line = (
        "Greedy ensemble of 7 configurations with 4 networks each (one per fold): test accuracy 0.981, the average "
        "of 5 networks 0.975; expected 0.978 from out-of-fold rows; disagreement 3.1 %, error correlation 0.61."
    )
    assert line in result_lines(result, "mlruns")
    between = ensemble_line(entry, replace(result, test_domain_differs=True))
    assert "expected 0.978 from out-of-fold rows of the source" in between
    single = replace(result, refit=replace(result.refit, networks=1))
    bare = replace(entry, networks_per_member=1, networks=1, expected={}, diversity={}, kind="boosting")
    assert (
        ensemble_line(bare, single) == "Boosting ensemble of 1 network: test accuracy 0.981, the single network 0.975."
    )


def test_the_command_prints_the_members_and_the_next_command(searched):
    ran = here("ensemble", "--store", searched, "--kind", "greedy", "--size", 4, "--pool", 3)
    assert ran.exit_code == 0, ran.stderr
    *lines, test_evaluations, keep = ran.stdout.splitlines()
    assert any(line.startswith("Greedy ensemble of ") for line in lines)
    assert test_evaluations.startswith("The test rows have now been scored ")
    assert keep == f"Keep:    hpo export --study tiny --store {searched} --weights best --ensemble greedy"
    entry = json.loads(
        here("ensemble", "--store", searched, "--kind", "bagging", "--size", 2, "--json", "--quiet").stdout
    )
    assert (entry["kind"], entry["networks"]) == ("bagging", 2)
    assert "greedy" in here("studies", "--store", searched).stdout


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (
            ["ensemble", "--kind", "bagging", "--pool", "3"],
            "--pool is what greedy and stacking choose from; leave it out with --kind bagging.",
        ),
        (
            ["export", "--ensemble", "greedy"],
            "--ensemble chooses the weights to write: name a folder for them with --weights.",
        ),
    ],
)
def test_invalid_options_are_refused(searched, arguments, sentence):
    ran = here(*arguments, "--store", searched)
    assert (ran.exit_code, ran.stderr) == (2, sentence + "\n")


def test_a_missing_ensemble_cannot_be_exported(tmp_path):
    store = tmp_path / "mlruns"
    hpo.search(TINY | {"finalists": 0}, store=store)
    ran = here("export", "--store", store, "--weights", tmp_path / "w", "--ensemble", "snapshot")
    assert (ran.exit_code, ran.stderr) == (
        2,
        "tiny has no ensemble of that kind; make it with: hpo ensemble --study tiny --kind snapshot\n",
    )


@pytest.mark.parametrize("schema", [None, SCHEMA + 1])
def test_a_study_of_another_schema_is_listed_but_refused(searched, tmp_path, schema):
    store = tmp_path / "mlruns"
    shutil.copytree(searched, store)
    storage = open_storage(StudyDirectory(store, "tiny").journal)
    storage.set_attr("schema", schema)
    storage.close()
    assert "tiny   other version " in here("studies", "--store", store).stdout
    sentence = (
        f"The study tiny was stored by another version of hpo (schema {schema or 'none'}, this one reads {SCHEMA}). "
        f"Set study to another name, or remove it with: hpo delete tiny\n"
    )
    search = ["search", "--space", write_space(store, train={"epochs": 8, "batch_size": 32})]
    for command in (["report"], ["export"], ["ensemble"], search):
        ran = here(*command, "--store", store)
        assert (ran.exit_code, ran.stderr) == (2, sentence)
    assert here("delete", "tiny", "--store", store, "--yes").exit_code == 0


def test_an_ensemble_needs_a_final_network_to_compare_with(tmp_path):
    store = tmp_path / "mlruns"
    hpo.search(TINY | {"refit": "none"}, store=store)
    ran = here("ensemble", "--store", store)
    assert (ran.exit_code, ran.stderr) == (
        2,
        "The study tiny: ensemble needs a final network to be compared with; set refit to another value than none.\n",
    )


def test_a_single_configuration_is_refused_by_greedy_and_accepted_by_bagging():
    point = TINY | {"search": {"learning_rate": 0.01}, "budget": {"trials": 1}}
    with pytest.raises(
        InputError,
        match=r"^ensemble: greedy combines several configurations, and this space has a single one; choose bagging\.$",
    ):
        loader.parse(point | {"ensemble": "greedy"})
    assert prepare.prepare(loader.parse(point | {"ensemble": "bagging"}), Path()).space.ensemble == EnsembleConfig(
        kind="bagging"
    )


@pytest.mark.exhaustive
def test_bagging_works_with_modules_and_class_weights(tmp_path):
    """Also for a space with a single point."""
    store = tmp_path / "mlruns"
    data = {"source": "sklearn:wine", "class_weight": "balanced"}
    network = {"kind": "module", "factory": "tests.helpers.factories:plain"}
    search = {"learning_rate": {"low": 1e-3, "high": 1e-1, "log": True}, "weight_decay": 0.1}
    path = write_space(store, data=data, network=network, search=search, ensemble={"kind": "stacking", "size": 2})
    result = hpo.search(path, store=store)
    entry = result.ensembles["stacking"]
    assert (
        here(
            "export", "--store", store, "--weights", tmp_path / "w", "--ensemble", "stacking", "-o", tmp_path / "p.yaml"
        ).exit_code
        == 0
    )
    frame = load_wine(as_frame=True).data.iloc[prepare.load(path).data.origin.test_rows]
    frame.to_csv(tmp_path / "new.csv", index=False)
    found = pd.read_csv(io.StringIO(here("predict", tmp_path / "new.csv", "--weights", tmp_path / "w").stdout))
    assert entry.test["accuracy"] == pytest.approx(
        np.mean(found["prediction"] == prepare.load(path).data.test.reveal().y.numpy())
    )
