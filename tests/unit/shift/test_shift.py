"""The tests behind `hpo shift` against scikit-learn, scipy and formulas; its verdict on planted shifts, and which
labels it may read.

`make shift` measures how often the verdict is right.
"""

import json
import math

import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner
from scipy import stats
from sklearn.metrics import roc_auc_score

from bench.shift import made, page
from hpo.cli import main
from hpo.shift import (
    column_tests,
    concept_shift,
    covariate_tests,
    domain_classifier,
    label_shares,
    mmd,
    source_model,
    text,
)
from hpo.shift import inputs as shift_inputs
from hpo.shift.domains import Column, Domains, Terms, as_sparse, reduce_dimensions
from hpo.shift.verdict import diagnose, name_shift, run_unlabelled_tests


@pytest.fixture
def rng():
    return np.random.default_rng(0)


def test_the_auc_is_that_of_scikit_learn_and_its_interval_that_of_the_bootstrap(rng):
    s, t = rng.normal(size=300).round(1), rng.normal(0.5, 1.5, 200).round(1)  # with ties
    found = domain_classifier.auc_test("any", s, t)

    def auc(s, t):
        return roc_auc_score(np.repeat([0, 1], [len(s), len(t)]), np.concatenate([s, t]))

    assert found.auc == pytest.approx(auc(s, t))
    drawn = [auc(rng.choice(s, len(s)), rng.choice(t, len(t))) for _ in range(300)]
    assert found.interval == pytest.approx(np.quantile(drawn, [0.025, 0.975]), abs=0.015)
    assert found.p == pytest.approx(stats.mannwhitneyu(t, s, alternative="greater").pvalue)
    assert domain_classifier.auc_test("any", s, rng.permutation(s)).p == pytest.approx(0.5, abs=0.01)


def test_holm_gives_the_result_of_a_worked_example():
    assert column_tests.holm([0.01, 0.04, 0.03, 0.005]).tolist() == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert covariate_tests.bonferroni_minimum([0.2, 0.02, 0.9]) == pytest.approx(0.06)
    assert covariate_tests.bonferroni_minimum([0.6, 0.7]) == 1.0


def test_mmd_equals_the_sum_over_pairs(rng):
    x = rng.normal(size=(7, 2))
    middle = np.median([((a - b) ** 2).sum() for i, a in enumerate(x) for b in x[:i]])

    def mean(pairs):
        return np.mean([math.exp(-((x[i] - x[j]) ** 2).sum() / (2 * middle)) for i, j in pairs])

    s, t = range(3), range(3, 7)
    expected = sum(mean([(i, j) for i in part for j in part if i != j]) for part in (s, t)) - 2 * mean(
        [(i, j) for i in s for j in t]
    )
    assert mmd.unbiased_mmd2(mmd.gaussian_kernel(x), 3) == pytest.approx(expected)


def test_mmd_detects_a_different_spread_and_has_uniform_p_values_without_a_shift(rng):
    x = rng.normal(size=(600, 3))
    assert mmd.mmd_test(x[:300], 1.5 * x[300:]).p == pytest.approx(0.001)
    p = [mmd.mmd_test(*np.split(rng.normal(size=(60, 3)), 2)).p for _ in range(20)]
    assert 0.25 < np.mean(p) < 0.75


def test_numbers_are_compared_by_kolmogorov_smirnov_and_doubled_where_values_are_missing(rng):
    source, target = rng.normal(size=200), rng.normal(0.4, 1, 300)
    expected = stats.ks_2samp(source, target, method="asymp").pvalue
    (shift,) = column_tests.column_shifts([Column("a", "number", source, target)])
    assert (shift.test, shift.p) == ("Kolmogorov–Smirnov", pytest.approx(expected))
    with_missing = [np.append(values, np.full(len(values) // 10, np.nan)) for values in (source, target)]
    (shift,) = column_tests.column_shifts([Column("a", "number", *with_missing)])
    assert (shift.test, shift.p) == ("Kolmogorov–Smirnov", pytest.approx(2 * expected))


def test_categories_are_compared_by_chi_square_and_rare_ones_are_pooled():
    counts = np.array([[30, 50, 20], [60, 55, 40]])
    assert column_tests.chi_square(counts) == pytest.approx(stats.chi2_contingency(counts, correction=False).pvalue)
    with_rare = np.array([[50, 49, 1, 2, 3], [80, 17, 2, 0, 4]])
    pooled = [[50, 49, 6], [80, 17, 6]]
    assert column_tests.chi_square(with_rare) == pytest.approx(stats.chi2_contingency(pooled, correction=False).pvalue)
    assert column_tests.chi_square(np.array([[2, 1], [1, 2]])) == 1.0  # all values are rare: nothing can be tested


def test_divergences_add_half_a_row_to_each_bin():
    p, q = np.array([30.5, 70.5]) / 101, np.array([50.5, 50.5]) / 101
    assert column_tests.divergences(np.array([[30, 70], [50, 50]])) == pytest.approx(
        ((q * np.log(q / p)).sum(), ((q - p) * np.log(q / p)).sum())
    )


def test_column_shifts_are_in_the_units_of_the_column(rng):
    home = [Column("home", "category", np.array(["own"] * 60 + ["rent"] * 40), np.array(["own"] * 20 + ["rent"] * 80))]
    age = [
        Column("age", "number", rng.normal(38, 9, 100), rng.normal(51, 9, 100)),
        Column("same", "number", *rng.normal(size=(2, 100))),
    ]
    gone = np.where(np.arange(100) < 50, np.nan, age[1].target)
    known = column_tests.column_shifts(
        [
            *home,
            *age,
            Column("gone", "number", age[1].source, gone),
            Column("none", "number", gone, np.full(100, np.nan)),
        ]
    )
    by_name = {one.name: one for one in known}
    assert {name for name, one in by_name.items() if one.moved} == {"home", "age", "gone", "none"}
    assert (by_name["home"].before, by_name["home"].after) in ((0.6, 0.2), (0.4, 0.8))
    assert by_name["age"].what == "mean"
    assert by_name["age"].after == pytest.approx(51, abs=3)
    assert (by_name["gone"].what, by_name["gone"].before, by_name["gone"].after) == ("missing", 0.0, 0.5)


def test_values_that_fill_deciles_and_missing_values_have_bins_of_their_own():
    """The divergences are those of the counts of these bins."""
    source, target = np.r_[np.zeros(90), np.full(10, 5.0)], np.r_[np.zeros(30), np.full(50, 5.0), np.full(20, np.nan)]
    (found,) = column_tests.column_shifts([Column("spike", "number", source, target)])
    assert (found.kl, found.psi) == pytest.approx(column_tests.divergences(np.array([[90, 10, 0], [30, 50, 20]])))
    (found,) = column_tests.column_shifts(
        [Column("constant", "number", np.full(50, 3.0), np.r_[np.full(10, 2.0), np.full(20, 4.0)])]
    )
    assert (found.kl, found.psi) == pytest.approx(column_tests.divergences(np.array([[0, 50, 0], [10, 0, 20]])))


def test_a_term_has_shifted_if_a_different_share_of_rows_contains_it():
    source, target = np.zeros((2, 100, 201))
    target[:50, 7] = 1
    found = column_tests.column_shifts(
        [], [Terms("review", [f"word{i}" for i in range(201)], as_sparse(source), as_sparse(target))]
    )
    assert [one.name for one in found if one.moved] == ["review: word7"]


def test_black_box_shift_estimation_inverts_the_confusion_matrix(rng):
    y = np.repeat([0, 1, 2], [50, 30, 20])
    source = rng.dirichlet([1, 1, 1], 100) * 0.4 + 0.6 * np.eye(3)[y]
    confusion = np.array([source[y == c].mean(0) for c in range(3)])  # mean prediction for rows of each class
    shares = np.array([0.1, 0.3, 0.6])
    assert label_shares.black_box_shares(source, y, np.tile(shares @ confusion, (5, 1))) == pytest.approx(shares)


def test_the_wald_test_of_two_classes_is_the_z_test(rng):
    one, two = (np.column_stack([x, 1 - x]) for x in (rng.beta(2, 2, 80), rng.beta(3, 2, 60)))
    z = (one[:, 0].mean() - two[:, 0].mean()) / math.sqrt(one[:, 0].var(ddof=1) / 80 + two[:, 0].var(ddof=1) / 60)
    assert label_shares.wald_test(one, two) == pytest.approx(2 * stats.norm.sf(abs(z)))
    assert label_shares.wald_test(np.full((5, 2), 0.5), np.full((4, 2), 0.5)) == 1.0


def test_counted_label_shares_have_exact_intervals():
    """The limits of 3 of 20 are those of the table of Clopper and Pearson (Biometrika 1934)."""
    rows = np.full((40, 3), 1 / 3)
    domains = Domains(rows, np.arange(40) % 3, rows, ["a", "b", "c"], np.arange(20), np.repeat([0, 1], [3, 17]))
    predicted = source_model.SourcePredictions("any", np.eye(3)[domains.y_s] * 0.7 + 0.1, rows)
    shares = label_shares.estimate_label_shares(domains, predicted)
    assert shares.counted == [0.15, 0.85, 0.0]
    (low, high), _, (none_low, none_high) = shares.counted_intervals
    assert (low, high) == pytest.approx((0.0321, 0.3789), abs=5e-5)
    assert (none_low, none_high) == (0.0, pytest.approx(1 - 0.025 ** (1 / 20)))


def test_resampled_rows_have_the_wanted_shares_without_replacement():
    y = np.repeat([0, 1], [300, 100])
    found = label_shares.resample_to_shares(y, [0.25, 0.75])
    assert np.bincount(y[found]).tolist() == [33, 100]
    assert len(set(found.tolist())) == len(found)


def test_probabilities_are_adjusted_to_label_shares_by_bayes_rule(rng):
    """For known p(y|x), Bayes' rule multiplies the odds by one factor per class."""
    chances = rng.dirichlet([2, 2], 400)
    y = np.repeat([0, 1], [80, 320])
    found = concept_shift.with_label_shares(chances, y)
    assert found.mean(0) == pytest.approx([0.2, 0.8], abs=1e-6)
    factor = (found[:, 1] / found[:, 0]) / (chances[:, 1] / chances[:, 0])
    assert factor == pytest.approx(factor[0])


def test_labels_drawn_from_the_model_have_uniform_p_values_and_others_are_detected(rng):
    p = []
    chances = rng.dirichlet([1, 1], 300)
    target = np.arange(300) >= 200
    weights = np.where(target, 1 / 100, -1 / 200)[:, None]
    values = np.eye(2)[0] - chances[:, [0]]
    for _ in range(40):
        y = (rng.random(300) > chances[:, 0]).astype(int)
        p.append(concept_shift.max_z_test([(values, weights)], chances, y, ~target)[0])
    assert 0.35 < np.mean(p) < 0.65
    assert concept_shift.max_z_test([(values, weights)], chances, np.where(target, 0, y), ~target)[0] == 1 / 2000


def test_the_source_model_predicts_held_out_rows_only():
    """Labels are random, so a loss below that of guessing would show that rows were used for training."""
    rng = np.random.default_rng(1)
    x, y = rng.normal(size=(200, 5)), rng.integers(0, 2, 200)
    found = source_model.predict_domains(x, y, rng.normal(size=(50, 5)), 3)
    assert source_model.cross_entropy(found.source, y).mean() == pytest.approx(math.log(2), abs=0.03)
    assert found.target.shape == (50, 3)  # a class without rows keeps its column


def test_wide_rows_of_both_domains_are_reduced_by_one_projection(rng):
    x = rng.normal(size=(60, 300))
    a, b = reduce_dimensions(x[:40], x[40:])
    assert (a.shape, b.shape) == ((40, 50), (20, 50))
    assert reduce_dimensions(as_sparse(x)[:, :9])[0].shape == (60, 9)


def test_a_numeric_target_becomes_thirds_of_the_source():
    (s, t), names = shift_inputs.target_thirds(np.arange(90.0), np.array([-5.0, 45.0, 200.0]))
    assert np.bincount(s).tolist() == [30, 30, 30]
    assert t.tolist() == [0, 1, 2]
    assert names == ["below 29.7", "29.7 to 59.3", "from 59.3"]
    assert shift_inputs.target_thirds(np.array([0.0] * 80 + [1.0] * 20))[0][0].max() == 1


@pytest.mark.exhaustive
@pytest.mark.parametrize("kind", made.KINDS)
def test_a_planted_shift_is_named(kind):
    expected = () if kind == "none" else (kind,)
    seen = run_unlabelled_tests(made.domains(kind, 1))
    assert seen.kinds == (() if kind == "concept" else expected)  # undetectable without labels
    assert name_shift(made.domains(kind, 1, labels="20 a class"), seen).kinds == expected
    assert name_shift(made.domains(kind, 1, labels="200 rows"), seen).kinds == expected


@pytest.mark.exhaustive
def test_two_shifts_are_both_named():
    assert diagnose(made.domains("covariate and concept", 2, labels="200 rows")).kinds == ("covariate", "concept")


def test_unchanged_label_shares_are_no_prior_shift(rng):
    """Columns and p(y|x) differ, but the counted label shares are the same."""
    y_s, y_t = np.repeat([0, 1], 100), np.repeat([0, 1], 50)
    x_s, x_t = (rng.normal(size=(len(y), 3)) + np.outer(2 * y, [1, 0, 0]) for y in (y_s, y_t))
    x_t[:, [0, 2]] += [1.5, 2]
    known = [Column(f"x{i}", "number", x_s[:, i], x_t[:, i]) for i in range(3)]
    assert diagnose(Domains(x_s, y_s, x_t, ["a", "b"], np.arange(100), y_t, columns=known)).kinds == (
        "covariate",
        "concept",
    )


@pytest.mark.exhaustive
def test_a_prior_shift_in_addition_to_a_covariate_shift_has_the_p_value_of_the_labelled_rows():
    domains = made.domains("covariate and prior", 1, labels="200 rows")
    found = diagnose(domains)
    assert found.kinds == ("covariate", "prior")
    assert text.verdict_sentences(domains, found)[1].startswith(
        f"Prior shift ({text.p_phrase(found.concept.p)}): the label shares differ, class "
    )


# ---- the command


def table(rows: int, seed: int, up: float = 0.0) -> pd.DataFrame:
    r = np.random.default_rng(seed)
    age, income = r.normal(38 + up, 9, rows).round(), np.exp(r.normal(10, 0.5, rows)).round(-2)
    chance = 1 / (1 + np.exp(-(age - 38) / 6 + (np.log(income) - 10)))
    home = r.choice(["own", "rent"], rows)
    return pd.DataFrame(
        {"age": age, "income": income, "home": home, "target": np.where(r.random(rows) < chance, "yes", "no")}
    )


@pytest.fixture
def space(tmp_path):
    table(400, 0).to_csv(tmp_path / "one.csv", index=False)
    table(600, 1, up=9).to_csv(tmp_path / "two.csv", index=False)

    def write(target):
        path = tmp_path / "space.yaml"
        path.write_text(f"study: s\ndata:\n  source: one.csv\n  target: {target}\nsearch: {{learning_rate: auto}}\n")
        return str(path)

    return write


def test_the_command_prints_the_verdict_first_and_columns_in_their_units(space):
    ran = CliRunner().invoke(main, ["shift", "--space", space("{source: two.csv}")])
    assert ran.exit_code == 0, ran.output
    first, verdict, unseen, *rest = ran.output.splitlines()
    assert first == "one → two · source 400 rows · target 300 rows, none of them labelled · test part not used"
    assert verdict.startswith("Covariate shift (p < 0.001): the columns differ (1 of 3 individually; ")
    assert "cannot be detected without labelled target rows" in unseen
    assert any(line.startswith("age      mean 37.7 → 46.8   < 0.001") for line in rest)


@pytest.mark.exhaustive
def test_target_labels_that_are_not_allowed_are_not_read(space, tmp_path):
    """Permuting target labels that are not allowed changes no number."""
    path = space("{source: two.csv}")
    before = CliRunner().invoke(main, ["shift", "--space", path, "--json"]).output
    other = pd.read_csv(tmp_path / "two.csv")
    other["target"] = other["target"].sample(frac=1, random_state=0).to_numpy()
    other.to_csv(tmp_path / "two.csv", index=False)
    assert CliRunner().invoke(main, ["shift", "--space", path, "--json"]).output == before
    found = json.loads(before)
    assert found["kinds"] == ["covariate"]
    assert found["rows"] == {"source": 400, "target": 300, "labelled": 0}
    assert found["concept"] is None


def test_allowed_target_labels_are_read(space):
    found = json.loads(
        CliRunner()
        .invoke(main, ["shift", "--space", space("{source: two.csv, labels: few, few: 30}"), "--json"])
        .output
    )
    assert found["rows"] == {"source": 400, "target": 300, "labelled": 60}
    assert found["prior"]["counted"] == []  # labels drawn by class carry no information on shares
    assert found["concept"]["regions"][0]["rows"] == 60
    found = json.loads(
        CliRunner()
        .invoke(main, ["shift", "--space", space("{source: two.csv, labels: validation-only}"), "--json"])
        .output
    )
    assert found["rows"]["labelled"] == 300
    assert sum(found["prior"]["counted"]) == pytest.approx(1)


def test_a_space_with_one_domain_is_refused_with_one_sentence(space):
    ran = CliRunner().invoke(main, ["shift", "--space", space("target")])
    assert ran.exit_code == 2
    assert (
        ran.output
        == "hpo shift compares two domains, but the space has one; name the other as data.target: {source: FILE}.\n"
    )


# ---- the page of the benchmark


def record(name, labels, kinds, part="planted", size=1.0, seed=0):
    others = {other: list(page.truth(name, other)) for other in made.LABELS}
    return {
        "part": part,
        "name": name,
        "size": size,
        "seed": seed,
        "said": others | {labels: kinds},
        "p": {},
        "seconds": 1.0,
    }


def test_only_the_exact_list_of_kinds_is_right_and_undetectable_kinds_are_not_required():
    assert page.truth("concept", "none") == ()
    assert page.truth("lookalike", "none") == ("covariate",)
    assert page.truth("car", "200 rows") == ()
    records = [
        record("covariate", "none", ["covariate"]),
        record("covariate", "none", ["covariate", "prior"]),
        record("covariate", "none", []),
    ]
    assert page.right(records, "none").hits == 1
    assert page.wrong_verdicts(records) == "none: covariate and prior 1, none 1"


def test_a_missed_aim_is_reported():
    records = [record("prior", "none", ["prior"], seed=i) for i in range(18)] + [
        record("prior", "none", ["covariate"], seed=i) for i in (18, 19)
    ]
    records += [record(kind, "none", list(page.truth(kind, "none"))) for kind in ("none", "covariate", "concept")]
    assert "missed in prior with labels: none." in page.planted(records)
    assert page.planted([*records, *(record("prior", "none", ["prior"]) for _ in range(30))]).endswith("reached.")


def test_the_page_has_all_tables(tmp_path):
    (tmp_path / "shift.md").write_text("before\n<!-- python -m bench.shift -->\nold\n<!-- end -->\nafter\n")
    records = [
        record("prior", "none", ["prior"]),
        record("wine", "none", [], "real"),
        record("prior", "none", [], "sizes", 0.5),
    ]
    records.append(record("lookalike", "none", ["prior"], "hard"))
    about = {"date": "2026-01-01", "cores": 2, "cpu": "a processor", "scikit-learn": "1", "scipy": "1"}
    page.write(records, about, tmp_path)
    page_text = (tmp_path / "shift.md").read_text()
    assert "old" not in page_text
    assert "| prior | none | 0 % (0–79) | 100 % (21–100) |" in page_text
    assert "| wine | 1 of 1 | 1 of 1 | 1 of 1 | – |" in page_text
    assert json.loads((tmp_path / "shift.json").read_text())["records"] == records
