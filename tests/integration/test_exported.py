"""An exported configuration is a space of one point that can be searched again, for any network and objectives."""

import json
from dataclasses import replace

import numpy as np
import pytest
import yaml

from hpo.cli.result_text import result_lines
from hpo.core.metrics import METRICS
from hpo.core.selection_rules import DEFAULTS
from hpo.core.statistics import best_epoch
from hpo.report.summary import contribution_table, next_step_lines, regularization_line, verdict_line
from hpo.selection.result import SearchResult
from hpo.selection.result_parts import (
    BestFound,
    ConfigScores,
    ExpectedGain,
    FinalistScores,
    ParetoTrial,
    RefitResult,
    ScorePath,
    Verdict,
)
from hpo.space import loader
from tests.helpers.searches import TINY, here, outcomes, write_space
from tests.helpers.training import diverge

pytestmark = pytest.mark.usefixtures("unrecorded")
SEARCH = {
    "learning_rate": {"low": 1e-3, "high": 1e-1, "log": True},
    "weight_decay": {"low": 1e-4, "high": 1.0, "log": True, "optional": True},
}
PLAIN = {
    "network": {"kind": "module", "factory": "tests.helpers.factories:plain"},
    "search": SEARCH,
}  # which has no nn.Dropout


@pytest.fixture
def store(tmp_path):
    return tmp_path / "here" / "mlruns"


def searched(store, path):
    ran = here("search", "--space", path, "--store", store, "--json")
    assert ran.exit_code == 0, ran.stderr
    return SearchResult.from_json(json.loads(ran.stdout))


@pytest.mark.parametrize("changes", [{}, PLAIN])
def test_each_configuration_of_a_front_is_a_file_that_trains_it_again(store, changes):
    store.parent.mkdir()
    path = write_space(store, objectives=["valid_loss", "nonzero_share", "epochs"], **changes)
    result, folder = searched(store, path), store.parent / "front"
    known = outcomes(store)
    ran = here("export", "--store", store, "--pareto", "-o", folder)
    assert ran.exit_code == 0, ran.stderr
    front = {f"trial-{one.trial}": one for one in result.front}
    assert {file.stem for file in folder.iterdir()} == front.keys() != set()
    for name, one in front.items():
        point = folder / f"{name}.yaml"
        assert loader.load(point).is_point
        again = searched(store, point)
        assert again.study == f"tiny-{name}"
        assert again.valid == one.valid
        drawn = [o for label, o in known.items() if label.startswith(f"{one.trial}-fresh-")]
        curves = [np.array(o["fold_curves"]["valid_loss"]) for o in drawn]
        assert bool(curves) == (one.trial in result.finalists)
        assert again.refit.epochs == (best_epoch(curves, METRICS["loss"]) if curves else one.best_epoch)


def test_the_usual_dropout_of_a_network_without_one_is_not_exported(store, monkeypatch):
    """The defaults contain it in any case, and may be selected."""
    store.parent.mkdir()
    with monkeypatch.context() as patch:
        diverge(patch, lambda trial: trial.role == "finalist" and not trial.label.startswith("defaults"))
        result = searched(store, write_space(store, **PLAIN))
    assert result.trial in DEFAULTS
    assert "dropout" in result.selected
    best = store.parent / "best.yaml"
    assert here("export", "--store", store, "-o", best).exit_code == 0
    assert "dropout" not in yaml.safe_load(best.read_text())["search"]
    assert searched(store, best).valid == result.valid


# ---- the words at the end


@pytest.fixture(scope="module")
def result(unrecorded, tmp_path_factory):  # noqa: ARG001 - a fixture of a module cannot name it otherwise
    import hpo

    return hpo.search(TINY, store=tmp_path_factory.mktemp("words"))


LITTLE = ExpectedGain(0.004, -0.02, 0.03, relative=0.008, probability=0.6, measured=0.01, draws=2)
MUCH = ExpectedGain(0.05, 0.01, 0.09, relative=0.1, probability=0.999, measured=0.08, draws=2)
HARM = ExpectedGain(-0.02, -0.03, -0.01, relative=-0.04, probability=0.001, measured=-0.02, draws=2)
VERDICT = Verdict("3", "defaults", LITTLE, fits=8, significant=False, detectable=0.013)
SAME, OTHER = (
    dict.fromkeys(("expected", "one_se", "fastest"), "defaults"),
    {"expected": "defaults", "one_se": "ablation-3", "fastest": "none"},
)
EXPECTED = {"accuracy": ScorePath(0.9, 0.85, 0.86, [0.8, 0.9], 0.84)}
KEPT = {"trial": "defaults", "metric": "loss", "rule": "expected"}
UNCLEAR = "this evidence cannot tell whether regularization helps"
LITTLE_WORDS = "90 % interval 4.0 % higher to 6.0 % lower; better with probability 60 %"
MUCH_WORDS = "90 % interval 2.0 to 18.0 % lower; better with probability over 99 %"
HARM_WORDS = "90 % interval 2.0 to 6.0 % higher; better with probability below 1 %"
REFIT = RefitResult("scaled", "3-scaled-7", 7, 1234, networks=1, temperature=1.0)
FRONT = [
    ParetoTrial("3", {}, 0, 1, {"valid_loss": 0.5, "nonzero_share": 1.0}, {}, {}),
    ParetoTrial("none", {}, 0, 1, {"valid_loss": 0.75, "nonzero_share": 0.25}, {}, {}),
]


@pytest.mark.parametrize(
    ("changes", "line"),
    [
        (
            KEPT | {"verdict": VERDICT},
            "Nothing is expected to be more than 1 % better than the usual defaults, so they are selected. "
            f"The closest is trial 3 with a 0.8 % lower loss ({LITTLE_WORDS}).",
        ),
        (
            KEPT | {"verdict": replace(VERDICT, reference="defaults_fast"), "trial": "defaults_fast"},
            "Nothing is expected to be more than 1 % better than the usual defaults at 3× learning rate, so they are "
            f"selected. The closest is trial 3 with a 0.8 % lower loss ({LITTLE_WORDS}).",
        ),
        (
            KEPT | {"verdict": VERDICT, "rule": "one_se"},
            "Nothing is expected to be more than 1 % better than the usual defaults, so they are selected. "
            f"The closest is trial 3 with a 0.8 % lower loss ({LITTLE_WORDS}).",
        ),
        (
            KEPT | {"verdict": replace(VERDICT, gain=HARM), "rule": "best"},
            "Nothing is expected to be better than the usual defaults, so they are selected. "
            f"The closest is trial 3 with a 4.0 % higher loss ({HARM_WORDS}).",
        ),
        (
            KEPT | {"verdict": replace(VERDICT, rival="none"), "rule": "safe"},
            "No configuration is significantly better than the usual defaults (select: safe), so they are selected. "
            f"The closest is the baseline without regularization with a 0.8 % lower loss ({LITTLE_WORDS}).",
        ),
        (
            KEPT | {"verdict": replace(VERDICT, rival="defaults", gain=None)},
            "The usual defaults are selected: every other configuration diverged in the re-evaluation.",
        ),
        (
            {"trial": "3", "verdict": replace(VERDICT, gain=None)},
            "The usual defaults diverged in the re-evaluation, so trial 3 is selected without a comparison.",
        ),
        (
            {"trial": "3", "metric": "loss", "verdict": replace(VERDICT, gain=MUCH)},
            f"Trial 3 is expected to have a 10.0 % lower loss than the usual defaults ({MUCH_WORDS}).",
        ),
        (
            {"trial": "3", "metric": "accuracy", "verdict": replace(VERDICT, gain=MUCH)},
            "Trial 3 is expected to have an accuracy 5.0 points higher than the usual defaults (90 % interval "
            "1.0 to 9.0 points higher; better with probability over 99 %).",
        ),
        (
            {"trial": "3", "metric": "loss", "verdict": replace(VERDICT, reference="defaults_fast", gain=MUCH)},
            "Trial 3 is expected to have a 10.0 % lower loss than the usual defaults at 3× learning rate "
            f"({MUCH_WORDS}).",
        ),
        (KEPT | {"rules": SAME}, "All rules (expected, one_se, fastest) select it."),
        (
            KEPT | {"rules": OTHER},
            "Selected by the rule expected. Of the other rules, one_se would select trial 3 without regularization, "
            "fastest would select no regularization.",
        ),
        ({"rules": {}}, "Selected by its score in the search alone (finalists: 0), which is partly luck."),
        (
            {"score": EXPECTED},
            "Expect accuracy 0.860 (90 % interval 0.800 to 0.900): 0.900 in the search → "
            "0.850 re-evaluated on new splits and seeds → 0.840 on the test rows.",
        ),
        (
            {"score": {"accuracy": ScorePath(0.9, 0.85, 0.85, [None, None], None)}},
            "Expect accuracy 0.850 (no interval from a single validation part; set data.split.folds): "
            "0.900 in the search → 0.850 re-evaluated on new splits and seeds.",
        ),
        ({"refit": REFIT}, "Final network: trained on all 1,234 train + validation rows for 7 epochs."),
        (
            {"refit": replace(REFIT, epochs=1, temperature=None)},
            "Final network: trained on all 1,234 train + validation rows for 1 epoch.",
        ),
        (
            {"refit": replace(REFIT, networks=5, temperature=1.234)},
            "Final network: the average of 5 networks, trained on all 1,234 train + validation rows for 7 epochs. "
            "Its logits are divided by 1.23, which calibrates its probabilities.",
        ),
        ({"refit": replace(REFIT, kind="keep")}, "Final network: the network of the search."),
        (
            {"refit": replace(REFIT, kind="average", networks=4)},
            "Final network: the average of 4 networks, one per fold.",
        ),
        (
            {"refit": replace(REFIT, kind="none", weights=None), "test_evaluations": 0},
            "No final network was trained (refit: none): the test rows are untouched.",
        ),
        (
            {"refit": replace(REFIT, kind="none", weights=None), "test_evaluations": 1},
            "No final network was trained (refit: none): the test rows were scored before.",
        ),
        (
            {"test_evaluations": 3},
            "The test rows have now been scored 3 times: choose by the re-evaluated scores, not by the test scores.",
        ),
        (
            {"refit": replace(REFIT, weights=None)},
            "The final network diverged, so there is none: the learning rate is too high for all rows. "
            "Lower search.learning_rate.",
        ),
        ({"front": FRONT}, "no regularization 0.750 0.250"),
        ({"baselines": {}, "trial": "0"}, "Selected: trial 0"),
    ],
)
def test_the_end_of_a_search_in_words(result, changes, line):
    assert line in [" ".join(said.split()) for said in result_lines(replace(result, **changes), "mlruns")]


def test_the_verdict_is_omitted_without_a_comparison_with_the_defaults(result):
    without = replace(result, verdict=None)
    assert verdict_line(without) == ""
    assert result_lines(without, "mlruns")[0].startswith("Selected: ")


@pytest.mark.parametrize(
    ("gain", "changes", "claim"),
    [
        (LITTLE, {}, f"a 0.8 % lower loss than without ({LITTLE_WORDS}); {UNCLEAR}"),
        (MUCH, {}, f"a 10.0 % lower loss than without ({MUCH_WORDS})"),
        (MUCH, {"test_domain_differs": True}, f"a 10.0 % lower loss than without on the source ({MUCH_WORDS})"),
        (HARM, {}, f"a 4.0 % higher loss than without ({HARM_WORDS})"),
        (
            LITTLE,
            {"metric": "accuracy"},
            "an accuracy 0.4 points higher than without (90 % interval 2.0 points lower to 3.0 points higher; better "
            f"with probability 60 %); {UNCLEAR}",
        ),
    ],
)
def test_the_effect_of_regularization_is_shown_in_the_followed_metric(result, gain, changes, claim):
    changed = replace(result, regularization=gain, **{"metric": "loss"} | with_gaps(0.2, 0.4) | changes)
    gap = "Regularization reduced the train–valid gap by 50 %."
    start = "With its regularization, the selected configuration is expected to have"
    assert regularization_line(changed) == f"{start} {claim}. {gap}"


def with_gaps(selected, ablation):
    """Fields of a result whose selected configuration and ablation have these train–valid gaps."""
    scores = {name: {} for name in ("train", "valid", "reevaluated", "expected", "test", "test_single")}
    other = ConfigScores("ablation-3", {}, 0, 1, 1.0, search_score=None, gap=ablation, **scores)
    return {"selected": {"dropout": 0.1}, "gap": selected, "baselines": {"ablation": other}}


@pytest.mark.parametrize(
    ("selected", "ablation", "line"),
    [
        (-0.1, 0.4, "Regularization closed the train–valid gap."),
        (0.1, 0.4, "Regularization reduced the train–valid gap by 75 %."),
        (0.5, 0.4, "Regularization did not reduce the train–valid gap."),
        (0.1, -0.1, "There is no train–valid gap without regularization either."),
    ],
)
def test_without_a_re_evaluation_only_the_gap_is_compared(result, selected, ablation, line):
    assert regularization_line(replace(result, regularization=None, **with_gaps(selected, ablation))) == line


def test_a_configuration_without_regularization_has_no_effect_of_it(result):
    changed = replace(result, **with_gaps(0.2, 0.4) | {"selected": {"dropout": 0.0}})
    assert regularization_line(changed) == "The selected configuration has no regularization."


CONTRIBUTIONS = {
    "metric": "loss",
    "selected": {"learning_rate": 0.01, "dropout": 0.25, "weight_decay": 0.031},
    "contributions": {"dropout": LITTLE, "weight_decay": HARM},
    "regularization": MUCH,
}
ROWS = [
    ["dropout 0.25", "loss −0.8 %", f"{LITTLE_WORDS}: cannot tell"],
    ["weight_decay 0.031", "loss +4.0 %", HARM_WORDS],
    ["all of them", "loss −10.0 %", MUCH_WORDS],
]


@pytest.mark.parametrize(
    ("changes", "rows"),
    [
        ({}, ROWS),
        ({"regularization": None}, ROWS[:2]),
        ({"contributions": {"dropout": LITTLE}}, ROWS[:1]),  # a single regularizer is all of them
        ({"contributions": {}}, []),
    ],
)
def test_each_regularizer_has_a_row_with_what_it_contributes(result, changes, rows):
    changed = replace(result, **CONTRIBUTIONS | changes)
    caption, found = contribution_table(changed)
    assert found == rows
    assert caption == (
        "What each regularizer contributes, compared with the same configuration without it:" if rows else ""
    )
    said = [" ".join(line.split()) for line in result_lines(changed, "mlruns")]
    assert [line for line in said if "; better with" in line and line.startswith(("dropout", "weight", "all of"))] == [
        " ".join(row) for row in rows
    ]


FOUND = BestFound("3", {}, LITTLE, "it is expected to be less than 1 % better than the usual defaults")
DETECTABLE = (
    "With these 8 re-evaluation fits, a measured gain in loss below about 0.013 is not enough; that of trial 3 is "
    "0.010. Smaller gains need more rows."
)
EXPORT = "To use trial 3 all the same: hpo export --study tiny --trial 3 -o trial-3.yaml"


@pytest.mark.parametrize(
    ("changes", "lines"),
    [
        ({}, [DETECTABLE, EXPORT]),
        ({"rules": {"best": "3"}}, [DETECTABLE, f"{EXPORT}; or search again with --select best"]),
        ({"verdict": replace(VERDICT, detectable=None)}, [EXPORT]),
        ({"verdict": replace(VERDICT, gain=None)}, [EXPORT]),
        ({"trial": "7", "verdict": replace(VERDICT, rival="7")}, [EXPORT]),
        ({"best_found": replace(FOUND, reason="")}, []),
        ({"best_found": None}, []),
        ({"verdict": None}, []),
    ],
)
def test_the_next_steps_if_another_configuration_than_the_best_was_selected(result, changes, lines):
    changed = replace(result, **KEPT | {"verdict": VERDICT, "best_found": FOUND, "rules": {}} | changes)
    assert next_step_lines(changed, "--study tiny") == lines
    said = result_lines(changed, "mlruns")
    assert [line for line in said if line.startswith(("With these ", "To use "))] == lines


# ---- the result as JSON and in an interpreter


def test_a_result_survives_json(result):
    restored = SearchResult.from_json(json.loads(json.dumps(result.to_json())))
    assert restored == result
    assert isinstance(restored.finalists["defaults"], FinalistScores)
    full = replace(
        result, front=FRONT, regularization=MUCH, contributions={"dropout": LITTLE}, verdict=VERDICT, best_found=FOUND
    )
    assert SearchResult.from_json(json.loads(json.dumps(full.to_json()))) == full


def test_a_result_shows_the_final_table_and_the_names_of_its_attributes(result):
    lines = repr(result).splitlines()
    assert lines[0].startswith("Selected: ")
    assert set(lines) <= set(result_lines(result, "mlruns"))
    assert any("usual defaults" in line for line in lines)
    assert {"test", "selected", "reevaluated", "to_json"} <= set(dir(result))


def test_the_final_table_fits_80_columns(result):
    wide = replace(result, metric="balanced_accuracy", trial=result.baselines["none"].trial)
    assert max(map(len, repr(wide).splitlines()[3:])) <= 80
