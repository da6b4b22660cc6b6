"""Searches with too few data, diverging networks or too little memory: each ends with a result and its notes."""

import numpy as np
import pytest
import torch

from hpo.cli.messages import study_rows
from hpo.cli.result_text import result_lines
from hpo.core.trial import Outcome
from hpo.report import page
from hpo.selection.entrants import select_finalists
from hpo.study.directory import StudyDirectory
from hpo.study.storage import read_attrs
from hpo.training.stack import Stack
from hpo.workflows import prepare, search
from hpo.workflows.search import Watcher
from tests.helpers.searches import here, outcomes, write_space
from tests.helpers.tables import loans
from tests.helpers.training import diverge

pytestmark = pytest.mark.usefixtures("unrecorded")
DIVERGES = {"learning_rate": {"low": 1e25, "high": 1e30, "log": True}, "depth": 1, "dropout": {"low": 0.0, "high": 0.5}}


def space(folder, split, raw=None, drop=("who", "month"), **changes):
    """A space over loans with eight people or twelve months, or over another table."""
    rows = 144
    if raw is None:
        raw = loans(rows).drop(columns=[f"survey_{i}" for i in range(1, 7)])
        raw = raw.assign(who=np.arange(rows) % split.pop("people", 8), month=np.arange(rows) * 7 % 12)
    raw.to_csv(folder / "t.csv", index=False)
    data = {"source": "t.csv", "target": "repaid", "drop": list(drop), "split": split}
    return write_space(folder / "mlruns", **{"data": data} | changes)


def searched(path, watcher=None):
    """Return the result and the lines that the command prints at the end."""
    store = path.parent / "mlruns"
    result = search.search(prepare.load(path), StudyDirectory(store, "tiny"), watcher=watcher)
    return result, result_lines(result, "mlruns")


class Notes(Watcher):
    def __init__(self):
        self.notes = []

    def note(self, sentence):
        self.notes.append(sentence)


# ---- few groups, few times


@pytest.mark.exhaustive
@pytest.mark.parametrize(
    ("split", "fits"),
    [
        ({"groups": "who", "people": 6}, 8),
        ({"groups": "who", "folds": 5, "people": 8}, 10),
        ({"groups": "who", "folds": 3, "people": 5}, 6),
        ({"time": "month", "folds": 3}, 3),
        ({"time": "month"}, 1),
        ({"time": "month", "valid": 0.4}, 1),
    ],
)
def test_few_groups_or_times_are_enough_for_a_result(tmp_path, split, fits):
    watcher = Notes()
    result, lines = searched(space(tmp_path, dict(split)), watcher)
    assert result.test["loss"] > 0
    assert len(result.reevaluated_scores["loss"]) <= fits
    if "people" not in split:  # over time a second draw would be the first
        assert not any("fresh-2" in label for label in outcomes(tmp_path / "mlruns"))
    (expected,) = [line for line in lines if line.startswith("Expect accuracy")]
    assert "(90 % interval " in expected
    low, high = result.score["accuracy"].interval
    assert 0 <= low < high <= 1
    assert fits > 1 or result.verdict.significant is False
    assert any(line.startswith("Final network: the average of 5 networks, trained on all ") for line in lines)


@pytest.mark.parametrize(
    ("split", "more", "said"),
    [
        (
            {"time": "month"},
            {},
            "Only 1 re-evaluation fit per finalist; a significance test needs 4, so the usual defaults will be "
            "selected. "
            "Set data.split.folds to 4 or more, or finalists: 0.",
        ),
        ({"time": "month", "folds": 3}, {}, "Only 3 re-evaluation fits per finalist; a significance test needs 4, "),
        ({"time": "month", "folds": 4}, {}, ""),
        ({"time": "month"}, {"finalists": 0}, ""),
        ({"folds": 2}, {}, ""),
        ({"time": "month"}, {"search": {"learning_rate": 0.01}, "budget": {"trials": 1}}, ""),
    ],
)
def test_too_few_re_evaluation_fits_for_a_test_are_noted_before_the_search(tmp_path, split, more, said):
    checked = here("check", space(tmp_path, dict(split), **more))
    assert checked.exit_code == 0
    assert ("note: Only " in checked.stdout) == bool(said)
    assert f"note: {said}" in checked.stdout or not said


# ---- a metric that a fold does not define


def test_selection_works_on_the_folds_that_define_the_metric(tmp_path):
    """Three rows of a rare class cannot be in each of four new folds, but one is in the search's validation part."""
    raw = loans(144).assign(who=0, month=0)
    raw["repaid"] = np.where(np.arange(144) % 36 == 5, "no", "yes")
    path = space(tmp_path, {}, raw, train={"epochs": 4, "batch_size": 32, "metric": "roc_auc"})
    result, lines = searched(path)
    known = [Outcome.from_json(o) for o in outcomes(tmp_path / "mlruns").values() if o["trial"]["role"] == "finalist"]
    undefined = [np.isnan(np.array(o.fold_curves["valid_roc_auc"], dtype=float)).all(0) for o in known]
    assert any(one.any() and not one.all() for one in undefined)  # or the table above is a bad example
    scores = result.reevaluated_scores["roc_auc"]
    assert None in scores
    assert 0 < result.reevaluated["roc_auc"] < 1  # of the rows of all folds together
    assert 0 < result.verdict.fits <= len([s for s in scores if s is not None])
    assert result.verdict.gain is not None
    assert all(found.reevaluated is not None and found.standard_error for found in result.finalists.values())
    assert not any("nan" in line for line in lines)


def test_the_defaults_are_selected_with_a_note_if_no_fold_defines_the_metric(tmp_path, monkeypatch):
    path, before = space(tmp_path, {}, train={"epochs": 4, "batch_size": 32, "metric": "roc_auc"}), Stack.evaluate

    def evaluate(stack, weights):
        evaluated = before(stack, weights)
        if stack.rows[0].fit.trial.role == "finalist":
            evaluated.scores["valid"]["roc_auc"] = torch.full((len(stack.rows),), torch.nan)
        return evaluated

    def undefined(names, *_):
        return {name: torch.tensor([torch.nan]) for name in names}

    monkeypatch.setattr(Stack, "evaluate", evaluate)
    monkeypatch.setattr("hpo.selection.evidence.compute_metrics", undefined)
    result, lines = searched(path)
    assert result.trial.startswith("defaults")
    assert (result.verdict.gain, result.verdict.fits) == (None, 0)
    assert result.reevaluated["roc_auc"] is None
    assert result.score["roc_auc"].interval == [None, None]
    assert result.test["roc_auc"] > 0
    assert not any("nan" in line for line in lines)


# ---- networks that diverge


def test_the_defaults_are_selected_if_all_other_finalists_diverge_in_the_re_evaluation(tmp_path, monkeypatch):
    diverge(monkeypatch, lambda trial: trial.role == "finalist" and not trial.label.startswith("defaults-"))
    result, lines = searched(space(tmp_path, {}))
    assert result.trial == "defaults"
    assert lines[0] == "The usual defaults are selected: every other configuration diverged in the re-evaluation."
    assert {label for label, found in result.finalists.items() if found.reevaluated is None} == (
        result.finalists.keys() - {"defaults"}
    )
    assert any(line.startswith("All rules (") and line.endswith(") select it.") for line in lines)
    assert not any("nan" in line or "inf " in line for line in lines)


def test_there_is_a_result_if_the_defaults_diverge_as_well(tmp_path, monkeypatch):
    diverge(monkeypatch, lambda trial: trial.role == "finalist")
    result, lines = searched(space(tmp_path, {}))
    assert result.trial == "defaults"
    assert result.reevaluated["loss"] is None
    assert result.test["loss"] > 0
    assert lines[0].startswith("The usual defaults are selected: every other")


@pytest.mark.parametrize("after", [0, 2])
def test_a_configuration_is_selected_and_reported_if_all_others_diverge(tmp_path, monkeypatch, after):
    monkeypatch.setattr("hpo.report.write", page.write)
    diverge(monkeypatch, lambda trial: trial.label.partition("-")[0] in ("none", "defaults", "ablation"), after)
    regularized = {
        "learning_rate": {"low": 1e-2, "high": 1e-1, "log": True},
        "depth": 1,
        "dropout": {"low": 0.1, "high": 0.5},
    }
    result, lines = searched(space(tmp_path, {}, search=regularized))
    assert result.trial.isdigit()
    assert (
        lines[0] == "The usual defaults diverged in the re-evaluation, so "
        f"trial {result.trial} is selected without a comparison."
    )
    written = StudyDirectory(tmp_path / "mlruns", "tiny").report.read_text()
    assert "usual defaults</td>" in written
    assert ("<h3>usual defaults</h3>" in written) == (after > 0)  # what has no epoch has no curve


def test_an_absurd_range_of_learning_rates_ends_with_the_defaults_or_an_error(tmp_path):
    """The usual learning rate is clipped to the space, so no usable configuration is left."""
    path = space(tmp_path, {}, search=DIVERGES)
    ran = here("search", "--space", path, "--store", tmp_path / "mlruns")
    assert ran.exit_code == 1
    assert "trials diverged" in ran.stderr
    assert "Lower search.learning_rate" in ran.stderr


@pytest.mark.parametrize(("way", "other"), [("scaled", "average"), ("average", "scaled")])
def test_a_diverged_final_network_is_noted_and_another_refit_is_possible(tmp_path, monkeypatch, way, other):
    with monkeypatch.context() as patch:
        diverge(patch, lambda trial: trial.role == "refit")
        result, lines = searched(space(tmp_path, {}, refit=way))
    assert (result.refit.kind, result.refit.weights, result.test) == (way, None, {})
    sentence = (
        "The final network diverged, so there is none: the learning rate is too high for all rows. "
        "Lower search.learning_rate."
    )
    assert lines.count(sentence) == 1
    assert study_rows(StudyDirectory(tmp_path / "mlruns", "tiny"))[0][1] == "finished"
    store, weights = tmp_path / "mlruns", tmp_path / "weights"
    refused = here("export", "--store", store, "--weights", weights)
    assert (refused.exit_code, refused.stdout) == (2, "")
    assert (
        refused.stderr
        == f"tiny has no network, because its final network diverged; search it again with --refit {other}.\n"
    )
    assert not weights.exists()
    assert here("search", "--space", tmp_path / "tiny.yaml", "--store", store, "--refit", other).exit_code == 0
    assert here("export", "--store", store, "--weights", weights).exit_code == 0


# ---- memory and time


def test_out_of_memory_in_the_finals_does_not_change_the_row_budget(tmp_path, monkeypatch):
    """A larger budget must continue with as many trials at once as before, otherwise it would be another search."""
    expected, _ = searched(space(tmp_path, {}))
    (tmp_path / "short").mkdir()
    before = Stack.train_epoch

    def train_epoch(stack):
        if len(stack.rows) > 6 and stack.rows[0].fit.trial.role == "finalist":
            raise torch.OutOfMemoryError("out of memory")
        before(stack)

    monkeypatch.setattr(Stack, "train_epoch", train_epoch)
    watcher = Notes()
    result, _ = searched(space(tmp_path / "short", {}), watcher)
    assert any(note.startswith("Out of memory: from now on ") for note in watcher.notes)
    attrs = read_attrs(StudyDirectory(tmp_path / "short/mlruns", "tiny").journal)
    assert attrs["rows"] == result.slots == expected.slots
    for key in ("trial", "reevaluated", "test", "finalists", "selected"):
        assert getattr(result, key) == getattr(expected, key), key


def test_a_re_evaluation_that_the_end_of_the_time_cuts_off_leaves_the_best_score_of_the_search(tmp_path, monkeypatch):
    """With more time, it is trained again."""
    before, watcher = select_finalists, Notes()

    def without_time(study, space, number):
        study.stop_after(-1)
        return before(study, space, number)

    with monkeypatch.context() as patch:
        patch.setattr("hpo.workflows.select.select_finalists", without_time)
        result, _ = searched(space(tmp_path, {}), watcher)
    cut_off = [o for o in outcomes(tmp_path / "mlruns").values() if o["trial"]["role"] == "finalist"]
    assert {(o["state"], o["epochs"]) for o in cut_off} == {("pruned", 1)}
    assert any(
        note.startswith("The time budget ended during the re-evaluation, so the best trial is")
        for note in watcher.notes
    )
    known = outcomes(tmp_path / "mlruns").values()
    judged = [o for o in known if o["state"] == "complete" and o["trial"]["role"] in ("search", "baseline")]
    best = min(judged, key=lambda o: o["value"])
    assert (result.trial, result.verdict, result.finalists) == (best["trial"]["label"], None, {})
    assert result.test["loss"] > 0
    assert not [o for o in known if o["trial"]["role"] == "ablation"]  # there is no time for another network
    again, _ = searched(space(tmp_path, {}, budget={"trials": 8}))
    (tmp_path / "fresh").mkdir()
    fresh, _ = searched(space(tmp_path / "fresh", {}, budget={"trials": 8}))
    assert again.verdict == fresh.verdict is not None
    assert (again.trial, again.finalists, again.test) == (fresh.trial, fresh.finalists, fresh.test)


def test_a_failing_report_does_not_cost_the_result(tmp_path, monkeypatch):
    def broken(*_):
        raise KeyError("loss")

    monkeypatch.setattr("hpo.report.write", broken)
    watcher = Notes()
    experiment, directory = prepare.load(space(tmp_path, {})), StudyDirectory(tmp_path / "mlruns", "tiny")
    result = search.search(experiment, directory, watcher=watcher)
    said = (
        "The report could not be written because of a bug in hpo (KeyError: 'loss'); the result is complete without it."
    )
    assert watcher.notes.count(said) == 1
    assert result.report_seconds is None
    assert not any(line.startswith("Read:") for line in result_lines(result, "mlruns"))
    assert search.search(experiment, directory) == result
