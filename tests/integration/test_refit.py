"""The final network: the rows that each kind of refit trains on, equality of the exported and the tested network, and
a test part that is not read before the final network, or without one."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

import hpo
from hpo.data.dataset import Dataset
from hpo.regularizers.configs import make_config
from hpo.selection.result_parts import RefitResult
from hpo.space import loader
from hpo.study.directory import StudyDirectory
from hpo.study.weights import WeightStore
from hpo.training.population import Population
from hpo.training.program import Program
from hpo.workflows import prepare, search
from tests.helpers.refits import LOAN_ROWS, SPLITS, check_export, write_refit_space
from tests.helpers.searches import TINY, here, outcomes

pytestmark = pytest.mark.usefixtures("unrecorded")
EXPORTED = [
    ("hold-out", "scaled", "classification"),
    ("hold-out", "keep", "regression"),
    ("folds", "average", "regression"),
    ("groups", "average", "classification"),
    ("time", "scaled", "classification"),
]


@pytest.fixture
def store(tmp_path):
    return tmp_path / "here" / "mlruns"


def final(store, result):
    """The weights of the final network, fit axis first."""
    return WeightStore(store / "studies" / result.study / "weights").load(result.refit.weights)


# ---- scaled


@pytest.mark.exhaustive
@pytest.mark.parametrize("split", SPLITS)
def test_scaled_trains_on_all_development_rows_for_the_reported_epochs(store, monkeypatch, split):
    """The rows of every batch of every network are identified by their targets."""
    seen, before = {}, Program.train_step

    def step(program, *given):
        for row, batch in zip(program.rows, given[1], strict=True):
            of = row.fit.trial
            y = program.data.y[batch].double() * program.data.target_scale
            seen.setdefault((of.role, of.label, row.fit.fold.number), []).extend(y.tolist())
        return before(program, *given)

    monkeypatch.setattr(Program, "train_step", step)
    path = write_refit_space(store, "regression", split)
    result = hpo.search(path, store=store)
    said, data = result.refit, prepare.load(path).data
    label = f"{result.trial}-scaled-{said.epochs}"
    mine = np.array([seen["refit", label, i] for i in range(5)]).reshape(5 * said.epochs, said.rows).round(3)
    whole = data.without_validation()
    expected = (whole.y.double() * whole.target_scale).numpy().round(3)
    assert said.rows == len(expected) == data.n_development == LOAN_ROWS - len(data.test)
    assert said.networks == 5
    assert all(sorted(epoch) == sorted(expected) for epoch in mine)
    assert not set(expected) & set((whole.test.reveal().y.double() * whole.target_scale).numpy().round(3))
    assert outcomes(store)[said.weights]["epochs"] == said.epochs <= 5


def smooth(curve):
    """Return the mean of the five epochs around each epoch, or of fewer at the ends."""
    return [
        np.mean([curve[i] for i in range(epoch - 2, epoch + 3) if 0 <= i < len(curve)]) for epoch in range(len(curve))
    ]


def test_the_epochs_are_best_for_the_smoothed_mean_of_the_re_evaluation_curves(store):
    """The network is too large, and is trained too fast and too long, so its validation loss rises again."""
    overfits = {
        "search": {"learning_rate": 0.003, "depth": 2, "weight_decay": {"low": 1e-4, "high": 1e-3}, "dropout": 0.0},
        "network": {"width": 32},
    }
    result = hpo.search(
        write_refit_space(store, **overfits, train={"epochs": 24, "batch_size": 16, "patience": 8}), store=store
    )
    known = [o for label, o in outcomes(store).items() if label.startswith(f"{result.trial}-fresh-")]
    curves = [np.array(o["fold_curves"]["valid_loss"]) for o in known]  # (epochs, folds) each
    longest = max(map(len, curves))
    together = [np.concatenate([c, np.repeat(c[-1:], longest - len(c), axis=0)]) for c in curves]
    mean = np.hstack(together).mean(1)
    best = int(np.argmin(smooth(mean)))
    assert result.refit.epochs == 1 + best
    assert 0 < best != int(np.argmin(mean))
    assert mean[-1] > 1.1 * mean[best]


def test_the_first_network_is_the_same_for_any_number_of_networks(store):
    """Another number of a finished study is trained only if fewer networks are stored."""
    results, weights = {}, {}
    for networks in (1, 3, 2):
        trained, refit = outcomes(store) if results else {}, {"kind": "scaled", "networks": networks}
        results[networks] = hpo.search(write_refit_space(store, refit=refit), store=store)
        weights[networks] = final(store, results[networks])
        assert (outcomes(store) == trained) == (networks == 2)
        assert results[networks].refit.networks == networks
    for name, one in weights[1].items():
        assert one.shape[0] == 1
        assert torch.equal(one, weights[3][name][:1])
        assert not torch.equal(one, weights[3][name][1:2])
        assert torch.equal(weights[3][name], weights[2][name])
    assert results[1].test == results[1].test_single
    assert results[2].test != results[3].test != results[3].test_single
    assert results[2].test_evaluations == 3


def test_every_tested_configuration_has_as_many_networks_and_the_scores_of_the_first(store):
    result = hpo.search(write_refit_space(store, refit={"kind": "scaled", "networks": 3}), store=store)
    experiment = prepare.load(store.parent / "tiny.yaml")
    test = experiment.data.without_validation().test.reveal()
    weights = WeightStore(store / "studies" / result.study / "weights")
    assert result.networks.keys() >= {"selected", "defaults"}
    for name, label in result.networks.items():
        one = result.configurations[name]
        net = weights.load(label), experiment.networks.network_for(make_config(one.params))
        each, y = probabilities(net, test.x), test.y
        assert len(each) == 3
        assert one.test["accuracy"] == pytest.approx(float((each.mean(0).argmax(1) == y).double().mean()))
        assert one.test_single["accuracy"] == pytest.approx(float((each[0].argmax(1) == y).double().mean()))


# ---- keep


def test_keep_reproduces_the_network_of_the_search(store):
    path = write_refit_space(store, refit="keep")
    result = hpo.search(path, store=store)
    experiment = prepare.load(path)
    known = outcomes(store)[result.trial]
    trial = hpo.core.trial.Outcome.from_json(known).trial
    alone = Population.from_space(experiment.space, None, experiment.data.as_samples(), rows=1)
    alone.admit(trial)
    last = ""
    while not last:
        (last,) = [score.stop_reason for score in alone.train_epoch()]
    released = alone.release(trial)
    weights = final(store, result)
    assert weights.keys() == released.weights.keys()
    assert all(torch.equal(weights[name], tensor) for name, tensor in released.weights.items())
    assert released.valid == known["valid"] == result.valid


# ---- average, and what is exported


def probabilities(net, rows):
    """Return the probabilities of each single network, (fits, rows, classes)."""
    weights, network = net
    return network.predict(weights, rows.expand(len(next(iter(weights.values()))), -1, -1)).softmax(2)


@pytest.mark.exhaustive
@pytest.mark.parametrize("split", SPLITS)
def test_average_is_the_mean_of_the_probabilities_of_one_network_per_fold(store, split):
    path = write_refit_space(store, split=split, refit="average")
    result = hpo.search(path, store=store)
    experiment, weights = prepare.load(path), final(store, result)
    whole = experiment.data.without_validation()
    assert len(next(iter(weights.values()))) == len(experiment.data.new_folds(1).folds) == 3
    each = probabilities(
        (weights, experiment.networks.network_for(make_config(result.selected))), whole.test.reveal().x
    )
    mean, y, temperature = each.mean(0), whole.test.reveal().y, result.refit.temperature
    assert not torch.allclose(each[0], each[1], atol=1e-4)
    assert temperature != 1
    for scores, chances in ((result.test, mean), (result.test_single, each[0])):
        loss = torch.nn.functional.cross_entropy(chances.log() / temperature, y)
        assert scores["loss"] == pytest.approx(float(loss), abs=1e-5)
        assert scores["accuracy"] == pytest.approx(float((chances.argmax(1) == y).double().mean()))


@pytest.mark.parametrize(("split", "way", "task"), EXPORTED)  # more in tests/slow
def test_an_export_reproduces_the_test_score_on_raw_rows_and_by_retraining(store, split, way, task):
    check_export(store, split, way, task)


# ---- none


class SealedTestPart:
    """A test part with a length, but without rows."""

    def __init__(self, rows):
        self.count = rows

    def __len__(self):
        return self.count


def test_without_a_final_network_the_test_part_is_untouched(store, monkeypatch):
    path = write_refit_space(store, refit="none")
    experiment = prepare.load(path)
    sealed = replace(experiment, data=replace(experiment.data, test=SealedTestPart(len(experiment.data.test))))
    monkeypatch.setattr(Dataset, "without_validation", None)  # which has the test part in another encoding
    result = search.search(sealed, StudyDirectory(store, "tiny"))
    assert result.refit == RefitResult("none", None, None, None)
    assert all(found.test == {} for found in (result, *result.baselines.values()))
    assert not {o["trial"]["role"] for o in outcomes(store).values()} & {"refit"}
    assert not [file for file in (store / "studies" / "tiny" / "weights").iterdir() if "-fresh-" not in file.name]
    changed = prepare.load(path, changes={"refit": {"kind": "scaled"}}).space
    with pytest.raises(TypeError, match="'NoneType' object is not callable"):  # with one, that would have been seen
        search.search(replace(sealed, space=changed), StudyDirectory(store, "tiny"))


def test_without_a_final_network_there_is_a_configuration_but_no_weights(store):
    ran = here("search", "--space", write_refit_space(store), "--store", store, "--refit", "none")
    assert "No final network was trained (refit: none): the test rows are untouched." in ran.stdout.splitlines()
    refused = here("export", "--store", store, "--weights", store.parent / "weights")
    assert (refused.exit_code, refused.stdout) == (2, "")
    assert (
        refused.stderr
        == "tiny has no network, because it was searched with refit: none; search it again with --refit scaled.\n"
    )
    assert not (store.parent / "weights").exists()
    point = store.parent / "best.yaml"
    assert here("export", "--store", store, "-o", point).exit_code == 0
    assert loader.load(point).refit.kind == "none"
    assert "no result" not in here("studies", "--store", store).stdout
    assert here("search", "--space", write_refit_space(store), "--store", store, "--refit", "scaled").exit_code == 0
    assert here("export", "--store", store, "--weights", store.parent / "weights").exit_code == 0


@pytest.mark.parametrize("way", ["scaled", "keep", "average"])
def test_a_single_configuration_is_refitted_as_specified(store, way):
    """Without an exported number of epochs, it is trained for the best number of epochs of its search trial."""
    point = {key: 0.01 if key != "depth" else 1 for key in TINY["search"]}
    result = hpo.search(write_refit_space(store, search=point, budget={"trials": 1}, refit=way), store=store)
    known = outcomes(store)
    label = f"0-scaled-{known['0']['best_epoch']}" if way == "scaled" else f"0-{way}"
    assert known.keys() == {"0", label}
    if way == "scaled":
        assert result.refit.epochs == known["0"]["best_epoch"] == known[label]["epochs"]


def test_keep_is_refused_with_folds():
    path = Path("s.yaml")
    with pytest.raises(
        hpo.core.errors.InputError,
        match=r"^refit: keep needs a search on one split, and data.split.folds makes a network for",
    ):
        prepare.prepare(
            loader.parse(TINY | {"data": {"source": "sklearn:wine", "split": {"folds": 3}}, "refit": "keep"}), path
        )
