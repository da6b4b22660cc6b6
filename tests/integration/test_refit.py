"""The final network: the rows that each kind of refit trains on, equality of the exported and the tested network, and
a test part that is not read before the final network, or without one."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from sklearn import metrics as sk

import hpo
from hpo.core.errors import InputError
from hpo.data.dataset import Dataset
from hpo.regularizers.configs import make_config
from hpo.selection.result import RefitResult
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


@pytest.mark.parametrize("split", SPLITS)
def test_scaled_trains_on_all_development_rows_for_the_reported_epochs(store, monkeypatch, split):
    """The rows of every batch are identified by their targets."""
    seen, before = {}, Program.train_step

    def step(program, *given):
        for row, batch in zip(program.rows, given[1], strict=True):
            of = row.fit.trial
            y = program.data.y[batch].double() * program.data.target_scale
            seen.setdefault((of.role, of.label), []).extend(y.tolist())
        return before(program, *given)

    monkeypatch.setattr(Program, "train_step", step)
    path = write_refit_space(store, "regression", split)
    result = hpo.search(path, store=store)
    said, data = result.refit, prepare.load(path).data
    mine = np.array(seen["refit", f"{result.trial}-scaled-{said.epochs}"]).reshape(said.epochs, said.rows).round(3)
    whole = data.without_validation()
    expected = (whole.y.double() * whole.target_scale).numpy().round(3)
    assert said.rows == len(expected) == data.n_development == LOAN_ROWS - len(data.test)
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
    mean, y = each.mean(0), whole.test.reveal().y
    assert not torch.allclose(each[0], each[1], atol=1e-4)
    assert result.test["loss"] == pytest.approx(float(torch.nn.functional.nll_loss(mean.log(), y)), abs=1e-5)
    assert result.test["accuracy"] == pytest.approx(float((mean.argmax(1) == y).double().mean()))


@pytest.mark.parametrize(("split", "way", "task"), EXPORTED)  # more in tests/slow
def test_an_export_reproduces_the_test_score_on_raw_rows_and_by_retraining(store, split, way, task):
    check_export(store, split, way, task)


def test_the_kinds_of_refit_are_compared_by_nested_cross_validation(store):
    """The scores are recomputed step by step."""
    path = write_refit_space(store)
    result = hpo.search(path, store=store)
    experiment, known, compared = prepare.load(path), outcomes(store), result.refit.comparison
    fresh = np.array(known[f"{result.trial}-fresh-1"]["fold_curves"]["valid_loss"])  # (epochs, folds)
    found = {"scaled": [], "keep": [], "average": []}
    for fold in range(fresh.shape[1]):
        nested, trial = (
            experiment.data.nested_folds(1, fold),
            hpo.core.trial.Outcome.from_json(known[f"{result.trial}-nested-{fold}"]).trial,
        )
        alone = Population.from_space(experiment.space, None, nested, rows=len(nested.folds))
        alone.admit(trial)
        scores = []
        while not (scores and scores[-1].stop_reason):
            scores += alone.train_epoch()
        learned, network = alone.release(trial).weights, experiment.networks.network_for(trial.params)
        judged = [(nested.x[one.test], nested.y[one.test]) for one in nested.folds]
        chances = [
            network.predict({n: w[i : i + 1] for n, w in learned.items()}, x[None])[0].double().softmax(1)
            for i, (x, _) in enumerate(judged)
        ]
        found["keep"].append(
            np.mean([sk.log_loss(y, p, labels=[0, 1]) for (_, y), p in zip(judged, chances, strict=True)])
        )
        found["average"].append(sk.log_loss(judged[0][1], sum(chances) / len(chances), labels=[0, 1]))
        epoch = int(np.argmin(smooth([score.means["valid_loss"] for score in scores])))
        found["scaled"].append(fresh[min(epoch, len(fresh) - 1), fold])
    assert {way: said["loss"] for way, said in compared.items()} == pytest.approx(
        {way: np.mean(one) for way, one in found.items()}, rel=1e-5
    )
    overlap = np.mean([len(f.valid) / len(f.train) for f in experiment.data.new_folds(1).folds])
    for way, said in compared.items():
        gains = np.subtract(found["scaled"], found[way])
        assert said["gain"] == pytest.approx(gains.mean(), abs=1e-6)
        assert said["standard_error"] == pytest.approx(
            np.sqrt((1 / len(gains) + overlap) * gains.var(ddof=1)), abs=1e-6
        )
    assert compared["scaled"]["gain"] == 0


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
    assert result.refit == RefitResult("none", None, None, None, {})
    assert all(found.test == {} for found in (result, *result.baselines.values()))
    assert not {o["trial"]["role"] for o in outcomes(store).values()} & {"nested", "refit"}
    assert list((store / "studies" / "tiny" / "weights").iterdir()) == []
    with pytest.raises(TypeError, match="'NoneType' object is not callable"):  # with one, that would have been seen
        search.search(replace(sealed, space=prepare.load(path, refit="scaled").space), StudyDirectory(store, "tiny"))


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


def test_the_kinds_of_refit_are_not_compared_without_memory_for_nested_folds(tmp_path, monkeypatch):
    """The search still has a result."""

    def crowded(*_):
        raise InputError("too many.")

    monkeypatch.setattr(Dataset, "nested_folds", crowded)
    result = hpo.search({**TINY, "study": "crowded"}, store=tmp_path)
    assert result.refit.comparison == {}
    assert result.test
