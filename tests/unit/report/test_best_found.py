"""The best configuration found, in words: how it compares, why another one was selected, and how to export it."""

from dataclasses import replace

import pytest

from hpo.report.summary import best_found_line, evidence_line, next_step_lines
from hpo.selection.finalist import Finalist
from hpo.selection.result_parts import BestFound, ExpectedGain, FinalistScores, Verdict
from hpo.space import loader
from tests.helpers.reports import outcome
from tests.helpers.results import search_result
from tests.helpers.searches import TINY

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


def test_it_is_compared_with_the_defaults_that_the_gains_are_measured_over() -> None:
    verdict = replace(VERDICT, rival="7", reference="defaults_faster")
    line = best_found_line(search_result(**KEPT | {"trial": "7", "verdict": verdict}))
    assert "a 1.2 % lower loss than the usual defaults at 10× learning rate (90 %" in line


def test_a_finalist_is_compared_with_the_same_defaults() -> None:
    trials = [outcome("12", 1.0, 0.1), replace(outcome("12-fresh-1", 1.0, 0.1), fold_curves={"valid_loss": [[1.0]]})]
    found = Finalist.from_outcome(trials[0], loader.parse(TINY), trials[1:])
    scores = FinalistScores(1.0, 1.0, 0.1, 1, GAIN)
    result = search_result(finalists={"12": scores}, verdict=replace(VERDICT, reference="defaults_fast"))
    assert evidence_line(result, found).startswith(
        "Re-evaluated on new splits and seeds (1 fit). "
        "Expected to have a 1.2 % lower loss than the usual defaults at 3× learning rate (90 %"
    )
    reference = replace(result, verdict=replace(VERDICT, reference="12"))
    assert "Expected" not in evidence_line(reference, found)


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
