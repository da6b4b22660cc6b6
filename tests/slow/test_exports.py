"""Export and prediction for the splits and refit strategies that tests/integration leaves out."""

import pytest

from tests.helpers.refits import check_export

EXPORTED = [
    ("hold-out", "scaled", "regression"),
    ("hold-out", "keep", "classification"),
    ("hold-out", "average", "classification"),
    ("hold-out", "average", "regression"),
    ("folds", "scaled", "classification"),
    ("time, hold-out", "average", "classification"),
    ("time", "average", "regression"),
]


@pytest.mark.exhaustive
@pytest.mark.usefixtures("unrecorded")
@pytest.mark.parametrize(("split", "way", "task"), EXPORTED)
def test_an_exported_network_predicts_as_reported_and_its_configuration_trains_it_again(tmp_path, split, way, task):
    check_export(tmp_path / "here" / "mlruns", split, way, task)
