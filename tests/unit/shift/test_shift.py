"""What `hpo shift` computes, against scikit-learn, scipy and formulas; what it says of planted shifts, and what it may not know.
How often it is right is measured by `make shift`."""

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
from hpo.shift import column_tests, concept_shift, domain_classifier, label_shares, mmd, multiple_testing, source_model
from hpo.shift import inputs as rows
from hpo.shift import text as words
from hpo.shift.domains import Column, Domains, Terms, narrow, sparse
from hpo.shift.verdict import judge, look, named


@pytest.fixture
def rng():
    return np.random.default_rng(0)


def test_the_area_is_scikit_learns_and_its_interval_as_wide_as_resampling_makes_it(rng):
    s, t = rng.normal(size=300).round(1), rng.normal(0.5, 1.5, 200).round(1)  # with ties
    found = domain_classifier.area("any", s, t)

    def auc(s, t):
        return roc_auc_score(np.repeat([0, 1], [len(s), len(t)]), np.concatenate([s, t]))

    assert found.auc == pytest.approx(auc(s, t))
    drawn = [auc(rng.choice(s, len(s)), rng.choice(t, len(t))) for _ in range(300)]
    assert found.interval == pytest.approx(np.quantile(drawn, [0.025, 0.975]), abs=0.015)
    assert found.p == pytest.approx(stats.mannwhitneyu(t, s, alternative="greater").pvalue)
    assert domain_classifier.area("any", s, rng.permutation(s)).p == pytest.approx(0.5, abs=0.01)


def test_holm_is_the_worked_example():
    assert multiple_testing.holm([0.01, 0.04, 0.03, 0.005]).tolist() == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert multiple_testing.least([0.2, 0.02, 0.9]) == pytest.approx(0.06)
    assert multiple_testing.least([0.6, 0.7]) == 1.0


def test_mmd_is_the_sum_over_pairs(rng):
    x = rng.normal(size=(7, 2))
    middle = np.median([((a - b) ** 2).sum() for i, a in enumerate(x) for b in x[:i]])

    def mean(pairs):
        return np.mean([math.exp(-((x[i] - x[j]) ** 2).sum() / (2 * middle)) for i, j in pairs])

    s, t = range(3), range(3, 7)
    expected = sum(mean([(i, j) for i in part for j in part if i != j]) for part in (s, t)) - 2 * mean(
        [(i, j) for i in s for j in t]
    )
    assert mmd.unbiased(mmd.gaussian(x), 3) == pytest.approx(expected)


def test_the_kernel_sees_another_spread_and_is_not_sure_of_nothing(rng):
    x = rng.normal(size=(600, 3))
    assert mmd.discrepancy(x[:300], 1.5 * x[300:]).p == pytest.approx(0.001)
    p = [mmd.discrepancy(*np.split(rng.normal(size=(60, 3)), 2)).p for _ in range(20)]
    assert 0.25 < np.mean(p) < 0.75


def test_tests_of_columns_are_scipys(rng):
    s, t = rng.normal(size=200), rng.normal(0.2, 1, 300)
    assert column_tests.kolmogorov_smirnov(s, t) == pytest.approx(stats.ks_2samp(s, t, method="asymp").pvalue, rel=0.15)
    counts = np.array([[30, 50, 20], [60, 55, 40]])
    assert column_tests.chi_square(counts) == pytest.approx(stats.chi2_contingency(counts, correction=False).pvalue)
    joined = np.array([[50, 49, 1, 2, 3], [80, 17, 2, 0, 4]])
    assert column_tests.chi_square(joined) == pytest.approx(
        stats.chi2_contingency([[50, 49, 6], [80, 17, 6]], correction=False).pvalue
    )
    p, q = np.array([30.5, 70.5]) / 101, np.array([50.5, 50.5]) / 101
    assert column_tests.divergences(np.array([[30, 70], [50, 50]])) == pytest.approx(
        ((q * np.log(q / p)).sum(), ((q - p) * np.log(q / p)).sum())
    )


def test_columns_that_moved_are_said_in_their_units(rng):
    home = [Column("home", "category", np.array(["own"] * 60 + ["rent"] * 40), np.array(["own"] * 20 + ["rent"] * 80))]
    age = [
        Column("age", "number", rng.normal(38, 9, 100), rng.normal(51, 9, 100)),
        Column("same", "number", *rng.normal(size=(2, 100))),
    ]
    gone = np.where(np.arange(100) < 50, np.nan, age[1].target)
    known = column_tests.moved(
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


def test_what_left_a_value_that_fills_deciles_or_is_missing_counts_as_far():
    """Deciles that are all one value, and missing ones, are bins of their own; divergences by the counts of these."""
    source, target = np.r_[np.zeros(90), np.full(10, 5.0)], np.r_[np.zeros(30), np.full(50, 5.0), np.full(20, np.nan)]
    (found,) = column_tests.moved([Column("spike", "number", source, target)])
    assert (found.kl, found.psi) == pytest.approx(column_tests.divergences(np.array([[90, 10, 0], [30, 50, 20]])))
    (found,) = column_tests.moved(
        [Column("constant", "number", np.full(50, 3.0), np.r_[np.full(10, 2.0), np.full(20, 4.0)])]
    )
    assert (found.kl, found.psi) == pytest.approx(column_tests.divergences(np.array([[0, 50, 0], [10, 0, 20]])))


def test_a_term_moved_if_other_rows_have_it():
    source, target = np.zeros((2, 100, 201))
    target[:50, 7] = 1
    found = column_tests.moved([], [Terms("review", [f"word{i}" for i in range(201)], sparse(source), sparse(target))])
    assert [one.name for one in found if one.moved] == ["review: word7"]


def test_black_box_shift_estimation_inverts_the_confusion_matrix(rng):
    y = np.repeat([0, 1, 2], [50, 30, 20])
    source = rng.dirichlet([1, 1, 1], 100) * 0.4 + 0.6 * np.eye(3)[y]
    confusion = np.array([source[y == c].mean(0) for c in range(3)])  # what rows of a class are predicted on average
    shares = np.array([0.1, 0.3, 0.6])
    assert label_shares.black_box(source, y, np.tile(shares @ confusion, (5, 1))) == pytest.approx(shares)


def test_the_test_of_two_classes_is_the_z_test(rng):
    one, two = (np.column_stack([x, 1 - x]) for x in (rng.beta(2, 2, 80), rng.beta(3, 2, 60)))
    z = (one[:, 0].mean() - two[:, 0].mean()) / math.sqrt(one[:, 0].var(ddof=1) / 80 + two[:, 0].var(ddof=1) / 60)
    assert label_shares.same_means(one, two) == pytest.approx(2 * stats.norm.sf(abs(z)))
    assert label_shares.same_means(np.full((5, 2), 0.5), np.full((4, 2), 0.5)) == 1.0


@pytest.mark.parametrize("hits", [0, 3, 20])
def test_the_interval_of_a_share_is_scipys(hits):
    expected = stats.binomtest(hits, 20).proportion_ci(method="exact")
    assert label_shares.exact(hits, 20) == pytest.approx((expected.low, expected.high))


def test_resampled_rows_have_the_wanted_shares_and_none_is_there_twice():
    y = np.repeat([0, 1], [300, 100])
    found = label_shares.resampled(y, [0.25, 0.75])
    assert np.bincount(y[found]).tolist() == [33, 100]
    assert len(set(found.tolist())) == len(found)


def test_chances_are_brought_to_the_shares_that_a_move_of_labels_makes(rng):
    """For known p(y|x) the result is Bayes' rule: odds times one factor a class."""
    chances = rng.dirichlet([2, 2], 400)
    y = np.repeat([0, 1], [80, 320])
    found = concept_shift.rebalanced(chances, y)
    assert found.mean(0) == pytest.approx([0.2, 0.8], abs=1e-6)
    factor = (found[:, 1] / found[:, 0]) / (chances[:, 1] / chances[:, 0])
    assert factor == pytest.approx(factor[0])


def test_labels_drawn_by_the_model_are_rarely_surprising_and_others_are(rng):
    p = []
    chances = rng.dirichlet([1, 1], 300)
    target = np.arange(300) >= 200
    weights = np.where(target, 1 / 100, -1 / 200)[:, None]
    values = np.eye(2)[0] - chances[:, [0]]
    for _ in range(40):
        y = (rng.random(300) > chances[:, 0]).astype(int)
        p.append(concept_shift.max_z([(values, weights)], chances, y, ~target)[0])
    assert 0.35 < np.mean(p) < 0.65
    assert concept_shift.max_z([(values, weights)], chances, np.where(target, 0, y), ~target)[0] == 1 / 2000


def test_the_source_model_predicts_no_row_that_it_has_seen():
    """Labels are coins: a model that knew its rows would have a loss far below that of guessing."""
    rng = np.random.default_rng(1)
    x, y = rng.normal(size=(200, 5)), rng.integers(0, 2, 200)
    found = source_model.predicted(x, y, rng.normal(size=(50, 5)), 3)
    assert source_model.losses(found.source, y).mean() == pytest.approx(math.log(2), abs=0.03)
    assert found.target.shape == (50, 3)  # a class that no row has is not forgotten


def test_wide_rows_are_narrowed_alike_for_both_domains(rng):
    x = rng.normal(size=(60, 300))
    a, b = narrow(x[:40], x[40:])
    assert (a.shape, b.shape) == ((40, 50), (20, 50))
    assert narrow(sparse(x)[:, :9])[0].shape == (60, 9)


def test_numbers_are_thirds_of_the_source():
    (s, t), names = rows.thirds(np.arange(90.0), np.array([-5.0, 45.0, 200.0]))
    assert np.bincount(s).tolist() == [30, 30, 30]
    assert t.tolist() == [0, 1, 2]
    assert names == ["below 29.7", "29.7 to 59.3", "from 59.3"]
    assert rows.thirds(np.array([0.0] * 80 + [1.0] * 20))[0][0].max() == 1


@pytest.mark.parametrize("kind", made.KINDS)
def test_a_planted_shift_is_named(kind):
    expected = () if kind == "none" else (kind,)
    seen = look(made.domains(kind, 1))
    assert seen.kinds == (() if kind == "concept" else expected)  # nobody can see that without labels
    assert named(made.domains(kind, 1, labels="20 a class"), seen).kinds == expected
    assert named(made.domains(kind, 1, labels="200 rows"), seen).kinds == expected


def test_two_shifts_are_both_named():
    assert judge(made.domains("covariate and concept", 2, labels="200 rows")).kinds == ("covariate", "concept")


def test_label_shares_that_did_not_move_are_no_prior_shift(rng):
    """Columns moved, and labels do not follow them as they did; counted, the label shares are what they were."""
    y_s, y_t = np.repeat([0, 1], 100), np.repeat([0, 1], 50)
    x_s, x_t = (rng.normal(size=(len(y), 3)) + np.outer(2 * y, [1, 0, 0]) for y in (y_s, y_t))
    x_t[:, [0, 2]] += [1.5, 2]
    known = [Column(f"x{i}", "number", x_s[:, i], x_t[:, i]) for i in range(3)]
    assert judge(Domains(x_s, y_s, x_t, ["a", "b"], np.arange(100), y_t, columns=known)).kinds == (
        "covariate",
        "concept",
    )


def test_both_moves_are_named_and_the_surer_p_is_that_of_the_labelled_rows():
    domains = made.domains("covariate and prior", 1, labels="200 rows")
    found = judge(domains)
    assert found.kinds == ("covariate", "prior")
    assert words.sentences(domains, found)[1].startswith(
        f"Prior shift ({words._sure(found.concept.p)}): label shares moved, class "
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


def test_the_command_says_the_verdict_first_and_columns_in_their_units(space):
    said = CliRunner().invoke(main, ["shift", "--space", space("{source: two.csv}")])
    assert said.exit_code == 0, said.output
    first, verdict, unseen, *rest = said.output.splitlines()
    assert first == "one → two · source 400 rows · target 300 rows, none of them labelled · without the test part"
    assert verdict.startswith("Covariate shift (p < 0.001): the columns moved (1 of 3 by themselves; ")
    assert "cannot be seen without labelled target rows" in unseen
    assert any(line.startswith("age     mean 37.7 → 46.8   < 0.001") for line in rest)


def test_no_label_of_the_target_is_seen_that_is_not_allowed(space, tmp_path):
    """Whatever the target's labels are, without allowed ones the result is the same, number by number."""
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


def test_allowed_labels_are_seen(space):
    found = json.loads(
        CliRunner()
        .invoke(main, ["shift", "--space", space("{source: two.csv, labels: few, few: 30}"), "--json"])
        .output
    )
    assert found["rows"] == {"source": 400, "target": 300, "labelled": 60}
    assert found["prior"]["counted"] == []  # drawn by class, their shares say nothing
    assert found["concept"]["regions"][0]["rows"] == 60
    found = json.loads(
        CliRunner()
        .invoke(main, ["shift", "--space", space("{source: two.csv, labels: validation-only}"), "--json"])
        .output
    )
    assert found["rows"]["labelled"] == 300
    assert sum(found["prior"]["counted"]) == pytest.approx(1)


def test_one_domain_is_refused_in_a_sentence(space):
    said = CliRunner().invoke(main, ["shift", "--space", space("target")])
    assert said.exit_code == 2
    assert (
        said.output
        == "hpo shift compares two domains, and the space has one; name another as data.target: {source: FILE}.\n"
    )


# ---- the benchmark's page


def said(name, labels, kinds, part="planted", size=1.0, seed=0):
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


def test_only_the_very_list_of_kinds_is_right_and_what_nobody_can_see_is_not_asked():
    assert page.truth("concept", "none") == ()
    assert page.truth("lookalike", "none") == ("covariate",)
    assert page.truth("car", "200 rows") == ()
    records = [
        said("covariate", "none", ["covariate"]),
        said("covariate", "none", ["covariate", "prior"]),
        said("covariate", "none", []),
    ]
    assert page.right(records, "none").hits == 1
    assert page.instead(records) == "none: covariate and prior 1, none 1"


def test_a_missed_aim_is_said():
    records = [said("prior", "none", ["prior"], seed=i) for i in range(18)] + [
        said("prior", "none", ["covariate"], seed=i) for i in (18, 19)
    ]
    records += [said(kind, "none", list(page.truth(kind, "none"))) for kind in ("none", "covariate", "concept")]
    assert "missed in prior with labels: none." in page.planted(records)
    assert page.planted([*records, *(said("prior", "none", ["prior"]) for _ in range(30))]).endswith("reached.")


def test_the_page_gets_all_its_tables(tmp_path):
    (tmp_path / "shift.md").write_text("before\n<!-- python -m bench.shift -->\nold\n<!-- end -->\nafter\n")
    records = [
        said("prior", "none", ["prior"]),
        said("wine", "none", [], "real"),
        said("prior", "none", [], "sizes", 0.5),
    ]
    records.append(said("lookalike", "none", ["prior"], "hard"))
    about = {"date": "2026-01-01", "cores": 2, "cpu": "a processor", "scikit-learn": "1", "scipy": "1"}
    page.write(records, about, tmp_path)
    text = (tmp_path / "shift.md").read_text()
    assert "old" not in text
    assert "| prior | none | 0 % (0–79) | 100 % (21–100) |" in text
    assert "| wine | 1 of 1 | 1 of 1 | 1 of 1 | – |" in text
    assert json.loads((tmp_path / "shift.json").read_text())["records"] == records
