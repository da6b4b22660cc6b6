"""Every reader of `READERS` returns the same rows, and refuses broken files in one sentence."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from sklearn.datasets import dump_svmlight_file

from hpo.core.errors import InputError
from hpo.data import readers
from hpo.data.config import DataConfig
from hpo.data.dataset import prepare

ROWS = 40
X = np.random.default_rng(0).normal(size=(ROWS, 3)).round(3)
Y = np.arange(ROWS) % 2
FRAME = pd.DataFrame({**{f"x{i}": X[:, i] for i in range(3)}, "target": Y})
WRITERS = {
    ".csv": lambda path: FRAME.to_csv(path, index=False),
    ".parquet": FRAME.to_parquet,
    ".svmlight": lambda path: dump_svmlight_file(X, Y, str(path)),
    ".libsvm": lambda path: dump_svmlight_file(X, Y, str(path)),
}


def test_every_reader_is_tested():
    assert WRITERS.keys() == readers.READERS.keys()


@pytest.mark.parametrize("suffix", readers.READERS)
@pytest.mark.parametrize("upper", [False, True])
def test_a_file_becomes_rows_with_a_target(tmp_path, suffix, upper):
    path = tmp_path / f"t{suffix.upper() if upper else suffix}"
    WRITERS[suffix](path)
    frame = readers.read_file(path)
    assert len(frame) == ROWS
    assert frame["target"].tolist() == Y.tolist()
    assert list(frame.index) == list(range(ROWS))


@pytest.mark.parametrize("suffix", readers.READERS)
def test_inputs_are_the_same_for_every_format(tmp_path, suffix):
    WRITERS[suffix](tmp_path / f"t{suffix}")
    data = prepare(DataConfig(source=f"t{suffix}"), tmp_path)
    FRAME.to_csv(tmp_path / "again.csv", index=False)
    expected = prepare(DataConfig(source="again.csv"), tmp_path)
    assert data.x.numpy() == pytest.approx(expected.x.numpy(), abs=1e-5)
    assert data.y.equal(expected.y)


@pytest.mark.parametrize("suffix", readers.READERS)
@pytest.mark.parametrize("content", [b"", b"\xff\xfe\x00 broken"])
def test_a_broken_file_is_refused_in_one_sentence(tmp_path, suffix, content):
    path = tmp_path / f"t{suffix}"
    path.write_bytes(content)
    with pytest.raises(InputError) as caught:
        prepare(DataConfig(source=path.name), tmp_path)
    assert str(caught.value).startswith("data.source: ")
    assert str(path) in str(caught.value)
    assert str(caught.value).endswith(".")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("suffix", readers.READERS)
def test_missing_files_and_directories_are_refused(tmp_path, suffix):
    path = tmp_path / f"t{suffix}"
    with pytest.raises(InputError, match=r"does not exist; name a "):
        readers.check_file(path)
    path.mkdir()
    with pytest.raises(InputError, match=r"is a directory; name a "):
        readers.check_file(path)


def test_messages_list_every_suffix():
    with pytest.raises(InputError) as caught:
        readers.check_file(Path("t.xlsx"))
    assert [suffix for suffix in readers.READERS if suffix not in str(caught.value)] == []
