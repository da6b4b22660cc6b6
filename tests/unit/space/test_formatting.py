"""Numbers, names and tables as text."""

import pytest

from hpo.space import formatting


@pytest.mark.parametrize(
    ("value", "error", "text"),
    [
        (0.00001, 0.0213, "0.000 ± 0.021"),
        (0.00702, 0.0084, "0.0070 ± 0.0084"),
        (-0.0221, 0.0083, "−0.0221 ± 0.0083"),
        (0.5, None, "0.500"),
        (0.5, float("nan"), "0.500"),
        (0.0, 0.0, "0.000 ± 0.000"),
        (1234.5, 12.3, "1,234 ± 12"),
        (2e-9, 1e-9, "2e-09 ± 1e-09"),
    ],
)
def test_a_value_and_its_error_have_the_same_decimals(value, error, text):
    assert formatting.format_with_error(value, error) == text


def test_negative_numbers_have_a_minus_sign():
    assert [formatting.format_score(value) for value in (-0.5, -0.001, -1234.0)] == ["−0.500", "−0.001", "−1,234"]
    assert [formatting.format_number(value) for value in (-2, -0.5, 1e-4)] == ["−2", "−0.5", "1.0e-04"]


@pytest.mark.parametrize(
    ("label", "name"),
    [
        ("5", "trial 5"),
        ("none", "no regularization"),
        ("defaults", "the usual defaults"),
        ("ablation-defaults", "the usual defaults without regularization"),
        ("unadapted-7", "trial 7 without adaptation"),
    ],
)
def test_the_name_of_a_trial(label, name):
    assert formatting.trial_name(label) == name


def test_the_words_of_a_head_are_stacked_at_the_bottom():
    head = formatting.stacked_head(["", f"test {formatting.short_metric('balanced_accuracy')}", "gap"])
    assert head == [["", "test", ""], ["", "bal.", ""], ["", "acc", "gap"]]
    assert formatting.align_rows([*head, ["a", "1", "2"]], gap=2)[-1] == "a     1    2"
