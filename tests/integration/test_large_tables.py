"""A search whose table has more rows than an epoch, and the batch size that it chooses."""

from pathlib import Path

import pytest

from hpo.cli.result_text import result_lines
from hpo.core import samples
from hpo.core.errors import InputError
from hpo.space import loader
from hpo.study.directory import StudyDirectory
from hpo.workflows import completed, prepare
from tests.helpers.searches import TINY, search_unrecorded, write_space

MOST = 40  # in place of MAX_EPOCH_ROWS
AUTO = {"train": {"epochs": 4}}


def prepared(**changes):
    return prepare.prepare(loader.parse(TINY | changes), Path())


def test_the_batch_size_is_chosen_once_and_noted_if_it_is_not_the_usual_one():
    experiment = prepared(**AUTO)
    assert experiment.space.train.batch_size == 32
    assert experiment.data.notes == ("train.batch_size: auto is 32 for 106 training rows.",)
    usual = prepared(**AUTO, data={"source": "sklearn:digits"})
    assert usual.space.train.batch_size == 64
    assert usual.data.notes == ()


def test_a_given_or_searched_batch_size_stays():
    given = prepared(train={"epochs": 4, "batch_size": 48})
    assert (given.space.train.batch_size, given.data.notes) == (48, ())
    searched = prepared(**AUTO, search={**TINY["search"], "batch_size": {"choices": [16, 48]}})
    assert (searched.space.batch_sizes, searched.data.notes) == ([16, 48], ())


def test_a_study_goes_on_with_the_number_that_auto_stands_for(tmp_path):
    store = tmp_path / "mlruns"
    first = search_unrecorded(write_space(store, **AUTO), store)
    again = search_unrecorded(write_space(store, train={"epochs": 4, "batch_size": 32}), store)
    assert again == first
    with pytest.raises(InputError, match=r"train.batch_size: stored 32, now 48"):
        search_unrecorded(write_space(store, train={"epochs": 4, "batch_size": 48}), store)


def test_the_note_on_epochs_holds_for_folds_of_different_sizes(monkeypatch):
    """Over time, each fold has more training rows than the one before."""
    monkeypatch.setattr(samples, "MAX_EPOCH_ROWS", MOST)
    experiment = prepared(**AUTO, data={"source": "sklearn:wine", "split": {"time": "alcohol", "folds": 3}})
    sizes = [len(fold.train) for fold in experiment.data.folds]
    assert min(sizes) <= MOST < max(sizes)  # or the example is a bad one
    assert (
        f"An epoch trains on 40 of the {max(sizes)} training rows, so the 4 epochs of a trial are at most "
        f"{160 / max(sizes):.1f} passes over those of the largest fold, and 4.0 passes over those of the smallest."
    ) in experiment.data.notes


def test_a_large_table_is_searched_exported_and_trained_again(tmp_path, monkeypatch):
    store = tmp_path / "mlruns"
    monkeypatch.setattr(samples, "MAX_EPOCH_ROWS", MOST)
    result = search_unrecorded(write_space(store, **AUTO), store)
    assert result.notes[-1] == (
        "An epoch trains on 40 of the 106 training rows, so the 4 epochs of a trial are at most 1.5 passes over them."
    )
    assert f"epochs of {MOST} rows." in "\n".join(result_lines(result, str(store)))
    study = completed.load(StudyDirectory(store, "tiny"))
    path = store.parent / "best.yaml"
    path.write_text(study.configuration(store.parent, "yaml"))
    assert f"of {MOST} rows\n" in path.read_text()
    point = loader.load(path)
    assert (point.train.batch_size, point.exported["epoch_rows"]) == (32, MOST)
    again = search_unrecorded(path, store)
    assert again.valid == result.valid
