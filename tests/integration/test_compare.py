"""Compare two studies: whether their selections differ, and which studies cannot be compared."""

import dataclasses
from types import SimpleNamespace

import numpy as np
import pytest
from scipy import stats

import hpo
from hpo.cli.result_text import comparison_lines
from hpo.core.errors import InputError
from hpo.study.directory import StudyDirectory
from hpo.workflows import completed
from hpo.workflows.compare import compare
from tests.helpers.searches import TINY, here
from tests.helpers.tables import three_places

APART = (
    "were searched on different rows or columns, so their scores cannot be compared; "
    "search both on the same file, with the same columns read in the same way."
)
STUDIES = {
    "tiny": {},
    "again": {},
    "other-split": {"data": {"source": "sklearn:wine", "split": {"seed": 1}}},
    "accuracy": {"train": TINY["train"] | {"metric": "accuracy"}},
    "balanced": {"data": {"source": "sklearn:wine", "class_weight": "balanced"}},
    "iris": {"data": {"source": "sklearn:iris"}},
    "fewer-columns": {"data": {"source": "sklearn:wine", "drop": ["hue"]}},
    "point": {"search": {"learning_rate": 0.01}, "budget": {"trials": 1}},
    "unproved": {"finalists": 0},
}


@pytest.fixture(scope="module")
def studies(unrecorded, tmp_path_factory):  # noqa: ARG001 - a fixture of a module cannot name it otherwise
    """A store with two searches, and the completed studies."""
    store = tmp_path_factory.mktemp("compare")
    for study, changes in STUDIES.items():
        hpo.search(TINY | {"study": study} | changes, store=store)
    return SimpleNamespace(
        store=store, **{name.replace("-", "_"): completed.load(StudyDirectory(store, name)) for name in STUDIES}
    )


def scored(study, **scores):
    """Return the same study with other re-evaluation scores."""
    changed = {metric: list(values) for metric, values in scores.items()}
    return dataclasses.replace(study, result=dataclasses.replace(study.result, reevaluated_scores=changed))


def test_the_same_selection_does_not_differ(studies):
    ran = here("compare", "tiny", "again", "--store", studies.store)
    assert ran.exit_code == 0, ran.stderr
    assert "By loss, again is 0.000 ± 0.000 better than tiny (± one standard error, " in ran.stdout
    assert ran.stdout.count("the difference is not significant") == 2
    for found in compare(studies.tiny, studies.again):
        assert (found.gain, found.standard_error, found.paired, found.significant) == (0, 0, True, False)
        assert found.fits == len(studies.tiny.result.reevaluated_scores["loss"])
        mean = np.mean(studies.tiny.result.reevaluated_scores[found.metric])
        assert found.scores == pytest.approx((mean, mean))


def test_paired_differences_have_the_corrected_standard_error(studies):
    r = np.random.default_rng(0)
    level = r.normal(size=12)  # which both share: split and seed are the same
    one, two = 1 + level, 0.9 + level + 0.05 * r.normal(size=12)
    (found,) = compare(scored(studies.tiny, loss=one), scored(studies.again, loss=two))
    better, overlap = one - two, studies.tiny.result.test_train_ratio
    error = np.sqrt((1 / 12 + overlap) * better.var(ddof=1))
    assert (found.gain, found.standard_error) == pytest.approx((better.mean(), error))
    assert found.significant == (2 * stats.t.sf(abs(better.mean()) / error, 11) < 0.05)
    assert found.significant
    assert not compare(scored(studies.tiny, loss=one), scored(studies.other_split, loss=two))[0].significant


def test_the_order_of_the_studies_does_not_matter_and_higher_accuracy_is_better(studies):
    one, two = np.linspace(0.6, 0.7, 8), np.linspace(0.8, 0.91, 8)
    (found,) = compare(scored(studies.tiny, accuracy=one), scored(studies.again, accuracy=two))
    (back,) = compare(scored(studies.tiny, accuracy=two), scored(studies.again, accuracy=one))
    assert found.gain == pytest.approx(0.205) == -back.gain
    assert found.scores == pytest.approx((0.65, 0.855))
    assert found.significant
    assert back.significant
    said = comparison_lines(studies.tiny, studies.again, [back])
    assert said[-1].startswith("By accuracy, again is 0.2050 ± 0.0024 ")
    assert " worse than tiny (± one standard error, 8 paired fits): " in said[-1]
    assert said[-1].endswith(": the difference is significant.")


def test_the_table_fits_80_columns(studies):
    scores = np.linspace(0.6, 0.7, 8)
    changed = [
        scored(study, loss=scores, balanced_accuracy=scores, accuracy=scores)
        for study in (studies.tiny, studies.other_split)
    ]
    lines = comparison_lines(*changed, compare(*changed))
    table = lines[: lines.index("")]
    assert max(map(len, table)) <= 80
    assert [line.split() for line in table[:3]] == [
        ["re-eval.", "test"],
        ["re-eval.", "bal.", "re-eval.", "test", "bal.", "test"],
        ["loss", "acc", "acc", "loss", "acc", "acc"],
    ]


def test_scores_on_different_splits_are_not_paired(studies):
    found = compare(studies.tiny, studies.other_split)
    assert [d.paired for d in found] == [False, False]
    one, two = (np.array(s.result.reevaluated_scores["loss"]) for s in (studies.tiny, studies.other_split))
    overlap = studies.tiny.result.test_train_ratio
    each = [np.sqrt((1 / len(x) + overlap) * x.var(ddof=1)) for x in (one, two)]
    assert found[0].gain == pytest.approx(one.mean() - two.mean())
    assert found[0].standard_error == pytest.approx(np.hypot(*each), rel=0.02)
    said = here("compare", "tiny", "other-split", "--store", studies.store).stdout
    assert "(± one standard error, 8 fits on different splits)" in said


def test_only_metrics_of_both_studies_are_compared(studies):
    assert [d.metric for d in compare(studies.tiny, studies.accuracy)] == ["loss", "accuracy"]
    assert compare(scored(studies.tiny, loss=[1.0, 2.0]), studies.accuracy)[0].metric == "loss"


@pytest.mark.parametrize(
    ("second", "sentence"),
    [
        ("iris", f"tiny and iris {APART}"),
        ("fewer-columns", f"tiny and fewer-columns {APART}"),
        ("point", "The study point is a single configuration, which was not re-evaluated; search a space."),
        (
            "unproved",
            "The study unproved was searched with finalists: 0, so nothing was re-evaluated; search it with "
            "finalists: 1 or more.",
        ),
    ],
)
def test_incomparable_studies_are_refused(studies, second, sentence):
    for line in (("tiny", second), (second, "tiny")):
        refused = here("compare", *line, "--store", studies.store)
        assert (refused.exit_code, refused.stdout) == (2, "")
        assert refused.stderr in (f"{sentence}\n", f"{sentence.replace(f'tiny and {second}', f'{second} and tiny')}\n")
    with pytest.raises(InputError):
        compare(studies.tiny, getattr(studies, second.replace("-", "_")))


def test_scores_that_are_not_finite_are_left_out(studies):
    """A new fold may not define a metric; the score is stored as null."""
    one, two = [1.0, None, 1.1, 1.05], [2.0, 2.1, None, 2.2]
    (found,) = compare(scored(studies.tiny, loss=one), scored(studies.again, loss=two))
    assert (found.paired, found.fits, found.gain, found.scores) == (
        True,
        2,
        pytest.approx(-1.075),
        pytest.approx((1.025, 2.1)),
    )
    (found,) = compare(scored(studies.tiny, loss=one), scored(studies.other_split, loss=two))
    assert (found.paired, found.fits, found.scores) == (False, 3, pytest.approx((1.05, 2.1)))
    (found,) = compare(scored(studies.tiny, loss=[1.0, None]), scored(studies.again, loss=[2.0, 2.1]))
    assert (found.fits, found.significant) == (1, False)
    for other in (studies.again, studies.other_split):
        found = compare(
            scored(studies.tiny, loss=[None, None], accuracy=[0.5, 0.6]),
            scored(other, loss=[2.0, 2.1], accuracy=[0.5, 0.6]),
        )
        assert [d.metric for d in found] == ["accuracy"]


def test_finals_with_different_numbers_of_draws_are_compared_on_the_common_draws(studies):
    """A finalist that dropped out after the first draw has no scores of the second."""
    (found,) = compare(scored(studies.tiny, loss=[1.0, 1.1]), scored(studies.again, loss=[2.0, 2.2, 9.0, 9.0]))
    assert (found.fits, found.scores) == (2, pytest.approx((1.05, 2.1)))


def test_losses_with_different_class_weights_are_not_compared(studies):
    assert [d.metric for d in compare(studies.tiny, studies.balanced)] == ["accuracy"]
    assert [d.metric for d in compare(studies.balanced, studies.balanced)] == ["loss", "accuracy"]
    said = here("compare", "tiny", "balanced", "--store", studies.store).stdout
    assert "By accuracy, balanced is " in said
    assert "loss" not in said


def test_a_single_pair_has_no_standard_error(studies):
    """A split by time without folds has a single re-evaluation fit."""
    one, two = scored(studies.tiny, loss=[1.5]), scored(studies.again, loss=[1.25])
    assert (
        comparison_lines(one, two, compare(one, two))[-1]
        == "By loss, again is 0.250 better than tiny over 1 paired fit: the difference is not significant."
    )
    two = scored(studies.other_split, loss=[1.25, 1.0])
    said = (
        "By loss, other-split is 0.375 better than tiny over 1 fit on different splits: "
        "the difference is not significant."
    )
    assert comparison_lines(one, two, compare(one, two))[-1] == said


@pytest.fixture(scope="module")
def domains(unrecorded, tmp_path_factory):  # noqa: ARG001 - a fixture of a module cannot name it otherwise
    """Searches between two domains, by how labels of the target are used."""
    folder = tmp_path_factory.mktemp("domains")
    for name, rows, moved, seed in (("here", 200, 0.0, 0), ("there", 160, 1.0, 1)):
        three_places(rows, moved, seed).to_csv(folder / f"{name}.csv", index=False)

    def search(study, **target):
        data = {
            "source": str(folder / "here.csv"),
            "target": {"column": "y", "source": str(folder / "there.csv"), **target},
        }
        hpo.search(TINY | {"study": study, "data": data, "budget": {"trials": 3}, "refit": "none"}, store=folder)
        return completed.load(StudyDirectory(folder, study))

    return SimpleNamespace(
        none=search("none"),
        same=search("same"),
        few=search("few", labels="few", few=8),
        more=search("more", labels="few", few=12),
    )


@pytest.mark.exhaustive
def test_scores_on_source_rows_and_on_target_rows_are_not_compared(domains):
    sentence = (
        "^none is validated on rows of the source and few on rows of the target, so their re-evaluated scores cannot "
        "be "
        "compared; compare their test scores.$"
    )
    for pair in ((domains.none, domains.few), (domains.few, domains.none)):
        with pytest.raises(InputError, match=sentence):
            compare(*pair)


def test_scores_on_different_labelled_target_rows_are_not_paired(domains):
    assert {found.paired for found in compare(domains.none, domains.same)} == {True}
    assert {found.paired for found in compare(domains.few, domains.more)} == {False}
