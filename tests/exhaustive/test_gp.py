"""The sampler gp repeats itself after kills. Its proposals take seconds each."""

from tests.helpers.studies import check_front, check_resumed


def test_a_killed_search_with_gp_equals_an_uninterrupted_one(tmp_path):
    check_resumed(tmp_path, "gp", "median", attempts=3)


def test_gp_finds_a_front_and_repeats_itself(tmp_path):
    check_front(tmp_path, "gp")
