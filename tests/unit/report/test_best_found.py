"""The best configuration found, in words: how it compares, why another one was selected, and how to export it."""

from dataclasses import replace

import pytest

from hpo.report.summary import best_found_line, next_step_lines
from hpo.selection.result_parts import BestFound, ExpectedGain, Verdict
from tests.helpers.results import search_result

GAIN = ExpectedGain(0.012, -0.004, 0.03, 0.012, 0.9, 0.02, 2)
BEST = BestFound("without-dropout-12", {}, GAIN, "it is not significantly better than the usual defaults")
VERDICT = Verdict("without-dropout-12", "defaults", GAIN, 8, significant=False, detectable=0.05)
KEPT = {"trial": "defaults", "rule": "expected", "verdict": VERDICT, "best_found": BEST}


def test_it_is_named_with_the_reason_if_another_configuration_was_selected() -> None:
    other = search_result(**KEPT | {"trial": "7", "rule": "one_se", "verdict": replace(VERDICT, rival="7")})
    line = best_found_line(other)
    assert line.startswith(
        "Best found: trial 12 without dropout, with a 1.2 % lower loss than the usual defaults (90 %"
    )
    assert line.endswith(f"It is not selected because {BEST.reason}.")


@pytest.mark.parametrize("changes", [{}, {"best_found": None}, {"best_found": replace(BEST, reason="")}])
def test_it_is_not_named_twice(changes: dict[str, object]) -> None:
    assert best_found_line(search_result(**KEPT | changes)) == ""


@pytest.mark.parametrize("trial", ["12", "without-dropout-12"])
def test_the_export_line_fits_trials_and_variants(trial: str) -> None:
    rules = {"expected": "defaults", "best": trial}
    result = search_result(**KEPT | {"best_found": replace(BEST, trial=trial), "rules": rules})
    *_, line = next_step_lines(result, "--study tiny --store 'my runs'")
    file = "trial-12" if trial == "12" else trial
    command = f"hpo export --study tiny --store 'my runs' --trial {trial} -o {file}.yaml"
    assert line.endswith(f"all the same: {command}; or search again with --select best")


def test_there_is_no_next_step_if_the_best_was_selected() -> None:
    assert next_step_lines(search_result(**KEPT | {"best_found": replace(BEST, reason="")}), "") == []
