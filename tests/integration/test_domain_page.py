"""What the page tells of another domain, after a whole search."""

import re
from dataclasses import replace
from html import escape
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import confusion_matrix, recall_score

import hpo
from hpo import report
from hpo.cli.result_text import result_lines
from hpo.core.statistics import PairedCounts
from hpo.report import adaptation_views, domain_text, summary
from hpo.report.adaptation_views import Help
from tests.helpers.searches import TINY, Unrecorded, write_space
from tests.integration.test_report_page import own, plots, titles

ADAPTING = {
    "learning_rate": {"low": 1e-3, "high": 0.1},
    "depth": 1,
    "weight_decay": 0.1,
    "coral": {"low": 0.5, "high": 2.0},
}


def table(rows, moved, seed, numbers=False):
    """Three classes around three places, of which another domain has all a little aside."""
    random = np.random.default_rng(seed)
    y = random.integers(3, size=rows)
    x = (
        np.array([[0, 2, 0, 0], [2, 0, 0, 0], [0, 0, 2, 0]])[y]
        + random.normal(size=(rows, 4)) * 0.8
        + moved * np.array([1, 1, 0, 2])
    )
    return pd.DataFrame(x, columns=list("abcd")).assign(
        y=x[:, 0] + 2 * x[:, 2] if numbers else np.array(["one", "three", "two"])[y]
    )


@pytest.fixture(scope="module")
def searched(new_store):
    """Searches between two domains; the result, the page, and what it was made of."""

    def search(numbers=False, another=True, drop=None, **changes):
        store = new_store()
        for name, rows, moved, seed in (("here", 200, 0.0, 0), ("there", 160, 1.0, 1)):
            table(rows, moved, seed, numbers).drop(columns=[drop] if drop and name == "there" else []).to_csv(
                store.parent / f"{name}.csv", index=False
            )
        data = {"source": "here.csv", "target": {"column": "y", "source": "there.csv"} if another else "y"}
        space = write_space(
            store, **{"data": data, "search": ADAPTING, "budget": {"trials": 4}, "select": "best"} | changes
        )
        made = {}
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("hpo.workflows.search.Recorder", Unrecorded)
            write = report.write
            patch.setattr(
                "hpo.report.write", lambda material, path: (made.update(material=material), write(material, path))[1]
            )
            result = hpo.search(space, store=store)
        page = (store / "studies" / result["study"] / "report.html").read_text()
        return SimpleNamespace(result=result, page=page, material=made["material"])

    return search


@pytest.fixture(scope="module")
def scaled(searched):
    return searched()


def test_both_domains_are_shown_in_the_inputs_and_in_the_features(scaled):
    found = adaptation_views.seen(scaled.material)
    assert [view.name for view in found.views] == [
        "Inputs",
        *([f"Features: {scaled.material.twin.name}"]),
        "Features: selected",
    ]
    drawn = [
        plot for plot in plots(scaled.page) if {trace.get("name") for trace in plot["data"]} == {"source", "target"}
    ]
    assert len(drawn) == 2
    for plot in drawn:
        assert [len(trace["x"]) for trace in plot["data"]] == [len(found.views[0].source), 80]
        assert len({trace["marker"]["symbol"] for trace in plot["data"]}) == 2  # not by colour alone
    assert found.views[0].divergence.a_distance > 0.5
    assert found.views[0].source.shape[1] == 4
    assert found.views[-1].source.shape[1] == 8  # the width of the network


def test_help_is_counted_on_the_targets_test_rows(scaled):
    """Word for word from the networks in the vault, by scikit-learn."""
    material, found = scaled.material, adaptation_views.seen(scaled.material).help
    data = material.data.whole()
    true = data.test_y.numpy()
    before = material.twin.network.predict(material.twin.weights, data.test_x[None])[0].argmax(1).numpy()
    after = material.network.predict(material.weights, data.test_x[None])[0].argmax(1).numpy()
    assert (after == true).mean() == pytest.approx(scaled.result["test"]["accuracy"])
    recalls = {
        str(label): said
        for label, *said in zip(
            data.classes, *(recall_score(true, s, average=None) for s in (before, after)), strict=True
        )
    }
    assert {one.name: [one.before, one.after] for one in found.parts} == {
        name: pytest.approx(said) for name, said in recalls.items()
    }
    apart = confusion_matrix(true, after) - confusion_matrix(true, before)
    np.fill_diagonal(apart, 0)
    assert sum(abs(one.after - one.before) for one in found.changes) == np.abs(apart).sum()
    assert (found.balance.better, found.balance.worse) == (
        ((before != true) & (after == true)).sum(),
        ((before == true) & (after != true)).sum(),
    )


def test_the_twin_differs_by_adaptation_alone(scaled):
    entries = scaled.result["baselines"]
    assert scaled.result["trial"].isdigit()  # what was searched
    selected, twin = scaled.result["selected"], entries["unadapted"]["params"]
    assert {key for key in selected if selected[key] != twin[key]} == {"coral"}
    assert twin["coral"] == 0
    assert entries["unadapted"]["fresh"]
    assert scaled.material.twin.name == "without adaptation"


def test_defaults_are_set_beside_a_baseline_that_has_fewer_keys(scaled):
    """*defaults* have a dropout and a weight decay whatever the space names; *none* has what it names."""
    material, baselines = scaled.material, scaled.result["baselines"]
    none = {key: value for key, value in baselines["none"]["params"].items() if key != "weight_decay"}
    assert {"dropout", "weight_decay"} == baselines["defaults"]["params"].keys() - none.keys()
    for selected, besides in (("defaults", True), ("none", False)):
        twin = replace(material.twin, name="no regularization", params=none)
        found = adaptation_views.seen(replace(material, result=material.result | {"trial": selected}, twin=twin)).help
        assert (found.adapts, found.besides) == (False, besides)


def test_the_page_says_it_in_words(scaled):
    shown = re.sub(r"<.*?>", " ", own(scaled.page).split('<script type="application/json"')[0])
    assert "proxy A-distance" in shown
    assert "McNemar" in shown
    assert any("domains are" in title for title in titles(scaled.page))


@pytest.mark.parametrize("refit", ["keep", "average"])
def test_other_ways_to_a_final_network_have_their_own_encoding(searched, refit):
    found = searched(refit=refit, **({} if refit == "keep" else {"finalists": 0}))
    data = found.material.data if refit == "keep" else found.material.data.whole()
    said = found.material.network.predict(
        found.material.weights, data.test_x.expand(len(found.material.weights["out.weight"]), -1, -1)
    )
    assert adaptation_views.seen(found.material).views[-1].target.shape == (80, 8)
    accuracy = (said.softmax(2).mean(0).argmax(1) == data.test_y).double().mean()
    assert float(accuracy) == pytest.approx(found.result["test"]["accuracy"])


def test_numbers_are_told_by_their_size(searched):
    found = searched(numbers=True)
    help_ = adaptation_views.seen(found.material).help
    assert not help_.classes
    assert len(help_.parts) == 5
    errors = [one.after for one in help_.parts]
    assert np.mean(errors) == pytest.approx(found.result["test"]["mae"], rel=1e-4)
    assert "sign test" in found.page


def test_without_another_domain_there_is_no_such_section(searched):
    found = searched(another=False, search=TINY["search"])
    assert adaptation_views.seen(found.material) is None
    assert "proxy A-distance" not in found.page
    assert "unadapted" not in found.result["baselines"]
    assert found.result["adaptation"] is None
    assert summary.adaptation_lines(found.result) == []
    assert summary.criteria_table(found.result) == ("", [])


@pytest.mark.parametrize(
    ("adapts", "besides", "better", "worse", "chance", "title"),
    [
        (True, False, 30, 5, 0.001, "Adaptation helps on the target"),
        (True, False, 5, 30, 0.001, "Adaptation hurts on the target"),
        (True, False, 6, 5, 0.9, "Adaptation helps on the target, within noise"),
        (True, False, 5, 5, 1.0, "Adaptation helps on as many rows of the target as it hurts on"),
        (True, True, 30, 5, 0.001, "Regularization, adaptation among it, helps on the target"),
        (False, True, 30, 5, 0.001, "Regularization, without adaptation, helps on the target"),
    ],
)
def test_a_title_is_no_surer_than_its_test(adapts, besides, better, worse, chance, title):
    assert domain_text.gained(Help("x", adapts, besides, True, (), (), PairedCounts(better, worse, chance))) == title


def test_the_ending_says_what_adaptation_gained_on_the_target_and_did_to_the_source(scaled):
    result, lines = scaled.result, result_lines(scaled.result, "mlruns")
    help_ = adaptation_views.seen(scaled.material).help
    found, twin = result["adaptation"], result["baselines"]["unadapted"]
    assert (found["twin"], found["better"], found["worse"]) == ("unadapted", help_.balance.better, help_.balance.worse)
    assert found["better"] - found["worse"] == round(
        len(scaled.material.data.test_y) * (result["test"]["accuracy"] - twin["test"]["accuracy"])
    )
    (said,) = (line for line in lines if line.startswith("Adaptation "))
    assert f"({twin['test']['accuracy']:.3f} → {result['test']['accuracy']:.3f}) on the target's test rows" in said
    assert (
        f"({twin['fresh']['accuracy']:.3f} → {result['fresh']['accuracy']:.3f})."
        in said.partition("on fresh splits of the source")[2]
    )
    assert any("accuracy on fresh splits of the source against the same without it" in line for line in lines)
    lead, more = summary.adaptation_lines(result)
    assert f'<p class="lead">{escape(lead)}</p><p>{escape(more)}</p>' in scaled.page


def test_a_search_without_finalists_has_the_same_twin(searched):
    result = searched(finalists=0).result
    assert result["adaptation"]["twin"] == "unadapted"
    assert result["baselines"]["unadapted"]["params"] == result["selected"] | {"coral": 0}
    assert not any("fresh" in line for line in summary.adaptation_lines(result))


TOLD = {
    "task": "classification",
    "metric": "infomax",
    "unpromised": True,
    "test": {"accuracy": 0.9},
    "fresh": {"accuracy": 0.5},
    "baselines": {"ablation": {"test": {"accuracy": 0.8}, "fresh": {"accuracy": 0.6}}},
}


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        (
            {"better": 15, "worse": 5, "chance": 0.04},
            "Adaptation gained 10.0 points of accuracy (0.800 → 0.900) on the target's test rows, beyond noise. It is better on 15 of them and worse "
            "on 5 (McNemar's test, p = 0.040); on fresh splits of the source it lost 10.0 points of accuracy (0.600 → 0.500).",
        ),
        (
            {
                "better": 15,
                "worse": 5,
                "chance": 0.04,
                "metric": "roc_auc",
                "test": {"roc_auc": 0.7},
                "unpromised": False,
                "baselines": {"ablation": {"test": {"roc_auc": 0.8}, "fresh": {}}},
            },
            "Adaptation lost 0.100 of roc auc (0.800 → 0.700) on the target's test rows, within noise. It is better on 15 of them and worse on 5 "
            "(McNemar's test, p = 0.040).",
        ),
        (
            {
                "better": 5,
                "worse": 5,
                "chance": 1.0,
                "metric": "brier",
                "test": {"brier": 0.3},
                "unpromised": False,
                "baselines": {"ablation": {"test": {"brier": 0.2}, "fresh": {}}},
            },
            "Adaptation lost 0.100 of brier (0.200 → 0.300) on the target's test rows, within noise. It is better on 5 of them and worse on 5 "
            "(McNemar's test, p = 1.000).",
        ),
        (
            {"better": 1, "worse": 1, "chance": 1.0, "test": {"accuracy": 0.8}, "fresh": {}},
            "Adaptation left accuracy at 0.800 on the target's test rows, within noise. It is better on 1 of them and worse on 1 (McNemar's test, "
            "p = 1.000).",
        ),
        ({"adaptation": None}, "On the target's test rows accuracy is 0.900."),
        ({"adaptation": None, "unpromised": False}, ""),
        ({"adaptation": None, "test": {}}, ""),
    ],
)
def test_gain_on_the_target_in_words(changes, said):
    counts = {key: changes[key] for key in ("better", "worse", "chance") if key in changes}
    assert " ".join(summary.adaptation_lines(TOLD | {"adaptation": {"twin": "ablation", **counts}} | changes)) == said


def test_where_the_test_rows_are_the_sources_nothing_is_said_of_the_target(searched):
    """A target of which nobody knows a label: adapted to, and no more."""
    result = searched(drop="y").result
    assert result["selected"]["coral"] > 0
    assert (result["unpromised"], result["adaptation"]) == (False, None)
    assert not any("the target's test rows" in line for line in result_lines(result, "mlruns"))


def test_how_criteria_rank_is_on_the_page_where_labels_tell(searched):
    found = searched(
        data={"source": "here.csv", "target": {"column": "y", "source": "there.csv", "labels": "few", "few": 8}}
    )
    aid, rows = summary.criteria_table(found.result)
    assert (
        {row[0] for row in rows[1:]}
        == {one["criterion"].replace("_", " ") for one in found.result["criteria"]}
        != set()
    )
    assert "What could have been chosen without labels of the target" in titles(found.page)
    assert all(f"<td>{cell}</td>" in found.page for row in rows[1:] for cell in row)
    assert escape(aid) in found.page
    assert aid in result_lines(found.result, "mlruns")
