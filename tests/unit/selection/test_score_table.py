"""The final table of a search."""

from dataclasses import replace

import pytest

from hpo.selection.score_table import score_table, table_lines
from tests.helpers.reports import config_scores
from tests.helpers.results import search_result

SCORES = {"loss": 0.31, "accuracy": 0.91, "balanced_accuracy": 0.88}


def result(metric="loss", single=None, baselines=()):
    scores = {
        "search_score": 0.2345,
        "valid": {"loss": 0.2},
        "gap": 0.1,
        "reevaluated": SCORES,
        "expected": SCORES,
        "test": SCORES,
        "test_single": single or SCORES,
    }
    made = {name: config_scores(label, 0.5, 0.1) for name, label in baselines}
    return search_result(metric=metric, baselines=made, **scores)


def heads(table):
    """Return the titles of the columns."""
    return [" ".join(filter(None, column)) for column in zip(*[row[1:] for row in table[:2]], strict=True)]


def test_the_followed_loss_is_shown_on_the_test_rows():
    table = score_table(result())
    assert heads(table) == ["search loss", "expected loss", "expected acc", "gap", "test loss", "test acc"]
    assert table[2] == ["selected", "0.234", "0.310", "0.910", "0.100", "0.310", "0.910"]


def test_all_columns_are_in_the_followed_metric():
    table = score_table(result("balanced_accuracy"))
    titles = [" ".join(filter(None, column)) for column in zip(*[row[1:] for row in table[:3]], strict=True)]
    assert titles == ["search bal. acc", "expected bal. acc", "gap", "test bal. acc"]
    assert table[3][1] == "0.234"


def test_a_single_network_has_a_row_if_several_are_averaged():
    table = score_table(result(single={"loss": 0.4, "accuracy": 0.9}))
    assert table[3] == ["…a single network", "–", "0.310", "0.910", "–", "0.400", "0.900"]
    assert len(score_table(result())) == 3


@pytest.mark.parametrize("selected", ["0", "defaults", "defaults_fast"])
@pytest.mark.parametrize("label", ["defaults", "defaults_fast", "defaults_faster"])
def test_the_table_fits_80_columns(selected, label):
    baselines = (("ablation", "ablation-0"), ("defaults", label), ("none", "none"))
    lines = table_lines(replace(result(single={"loss": 0.4}, baselines=baselines), trial=selected))
    assert max(map(len, lines)) <= 80


def test_defaults_at_another_learning_rate_are_named_in_two_lines():
    baselines = (("defaults", "defaults_faster"), ("none", "none"))
    names = [row[0] for row in score_table(result(baselines=baselines))[2:]]
    assert names == ["selected", "usual defaults at 10×", "  learning rate", "no regularization"]
    table = score_table(replace(result(baselines=baselines), trial="defaults_faster"))
    assert [row[0] for row in table[2:]] == [
        "selected: usual defaults",
        "  at 10× learning rate",
        "no regularization",
    ]
    assert table[2][1:] == score_table(result())[2][1:]
    assert set(table[3][1:]) == {""}
