"""The report of a search between two domains."""

import re
from dataclasses import replace
from html import escape
from types import SimpleNamespace

import numpy as np
import pytest
from sklearn.metrics import confusion_matrix, recall_score

from hpo import report
from hpo.cli.result_text import result_lines
from hpo.core.metrics import average_predictions
from hpo.core.statistics import PairedCounts
from hpo.report import adaptation_views, domain_text, summary
from hpo.report.adaptation_views import TargetEffect
from hpo.report.gains import gain_text
from hpo.selection.result_parts import AdaptationEffect
from tests.helpers.pages import plots, titles, without_plotly
from tests.helpers.reports import config_scores
from tests.helpers.results import search_result
from tests.helpers.searches import TINY, search_unrecorded, write_space
from tests.helpers.tables import three_places

ADAPTING = {
    "learning_rate": {"low": 1e-3, "high": 0.1},
    "depth": 1,
    "weight_decay": 0.1,
    "coral": {"low": 0.5, "high": 2.0},
}


@pytest.fixture(scope="module")
def searched(new_store):
    """Return a function that searches between two domains and returns the result, the page and the report's inputs."""

    def search(numbers=False, another=True, drop=None, **changes):
        store = new_store()
        for name, rows, moved, seed in (("here", 200, 0.0, 0), ("there", 160, 1.0, 1)):
            table = three_places(rows, moved, seed, numbers)
            table = table.drop(columns=[drop] if drop and name == "there" else [])
            table.to_csv(store.parent / f"{name}.csv", index=False)
        data = {"source": "here.csv", "target": {"column": "y", "source": "there.csv"} if another else "y"}
        space = write_space(
            store, **{"data": data, "search": ADAPTING, "budget": {"trials": 4}, "select": "best"} | changes
        )
        written, write = [], report.write

        def record(inputs, path):
            written.append(inputs)
            write(inputs, path)

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("hpo.report.write", record)
            result = search_unrecorded(space, store)
        page = (store / "studies" / result.study / "report.html").read_text()
        (inputs,) = written
        return SimpleNamespace(result=result, page=page, inputs=inputs)

    return search


@pytest.fixture(scope="module")
def scaled(searched):
    return searched()


def test_both_domains_are_shown_in_the_inputs_and_in_the_features(scaled):
    views = adaptation_views.compare_domains(scaled.inputs).views
    assert [view.name for view in views] == [
        "Inputs",
        f"Features: {scaled.inputs.reference.name}",
        "Features: selected",
    ]
    planes = [
        plot for plot in plots(scaled.page) if {trace.get("name") for trace in plot["data"]} == {"source", "target"}
    ]
    assert len(planes) == 2
    for plot in planes:
        assert [len(trace["x"]) for trace in plot["data"]] == [len(views[0].source), 80]
        assert len({trace["marker"]["symbol"] for trace in plot["data"]}) == 2  # distinguishable without colour
    assert views[0].divergence.a_distance > 0.5
    assert views[0].source.shape[1] == 4
    assert views[-1].source.shape[1] == 8  # the width of the network


def test_the_effect_of_adaptation_is_counted_on_the_test_rows_of_the_target(scaled):
    """The counts are those of scikit-learn on the predictions of the stored networks."""
    inputs, effect = scaled.inputs, adaptation_views.compare_domains(scaled.inputs).effect
    data = inputs.data.without_validation()
    test = data.test.reveal()
    true = test.y.numpy()
    before, after = (
        average_predictions("classification", net.network.predict(net.weights, test.x.expand(5, -1, -1)))
        .argmax(1)
        .numpy()
        for net in (inputs.reference, inputs)
    )
    assert (after == true).mean() == pytest.approx(scaled.result.test["accuracy"])
    recalls = zip(*(recall_score(true, predicted, average=None) for predicted in (before, after)), strict=True)
    assert {group.name: [group.before, group.after] for group in effect.groups} == {
        str(label): pytest.approx(recall) for label, recall in zip(data.classes, recalls, strict=True)
    }
    difference = confusion_matrix(true, after) - confusion_matrix(true, before)
    np.fill_diagonal(difference, 0)
    assert sum(abs(change.after - change.before) for change in effect.changes) == np.abs(difference).sum()
    assert (effect.counts.better, effect.counts.worse) == (
        ((before != true) & (after == true)).sum(),
        ((before == true) & (after != true)).sum(),
    )


def test_the_reference_differs_by_adaptation_only(scaled):
    unadapted = scaled.result.baselines["unadapted"]
    assert scaled.result.trial.isdigit()  # a trial of the search
    selected = scaled.result.selected
    assert {key for key in selected if selected[key] != unadapted.params[key]} == {"coral"}
    assert unadapted.params["coral"] == 0
    assert unadapted.reevaluated
    assert scaled.inputs.reference.name == "without adaptation"


def test_configurations_are_compared_by_their_active_strengths(scaled):
    """*defaults* have dropout and weight decay whatever the space contains; *none* has only the keys of the space."""
    inputs, baselines = scaled.inputs, scaled.result.baselines
    none = {key: value for key, value in baselines["none"].params.items() if key != "weight_decay"}
    assert {"dropout", "weight_decay"} == baselines["defaults"].params.keys() - none.keys()
    reference = replace(inputs.reference, name="no regularization", params=none)
    for selected, others_differ in (("defaults", True), ("none", False)):
        changed = replace(inputs, result=replace(inputs.result, trial=selected), reference=reference)
        effect = adaptation_views.compare_domains(changed).effect
        assert (effect.adaptation_differs, effect.others_differ) == (False, others_differ)


def test_the_page_names_the_measures_and_tests(scaled):
    text = re.sub(r"<.*?>", " ", without_plotly(scaled.page).split('<script type="application/json"')[0])
    assert "proxy A-distance" in text
    assert "McNemar" in text
    assert any(title.startswith("Distance of the domains: ") for title in titles(scaled.page))


@pytest.mark.parametrize("refit", ["keep", "average"])
def test_the_final_network_uses_the_encoding_of_its_refit(searched, refit):
    search = searched(refit=refit, **({} if refit == "keep" else {"finalists": 0}))
    inputs = search.inputs
    data = inputs.data if refit == "keep" else inputs.data.without_validation()
    test = data.test.reveal()
    logits = inputs.network.predict(inputs.weights, test.x.expand(len(inputs.weights["out.weight"]), -1, -1))
    assert adaptation_views.compare_domains(inputs).views[-1].target.shape == (80, 8)
    accuracy = (logits.softmax(2).mean(0).argmax(1) == test.y).double().mean()
    assert float(accuracy) == pytest.approx(search.result.test["accuracy"])


def test_numbers_are_compared_by_fifths(searched):
    search = searched(numbers=True)
    effect = adaptation_views.compare_domains(search.inputs).effect
    assert not effect.is_classification
    assert len(effect.groups) == 5
    assert np.mean([group.after for group in effect.groups]) == pytest.approx(search.result.test["mae"], rel=1e-4)
    assert "sign test" in search.page


def test_without_another_domain_there_is_no_such_section(searched):
    search = searched(another=False, search=TINY["search"])
    assert adaptation_views.compare_domains(search.inputs) is None
    assert "proxy A-distance" not in search.page
    assert "unadapted" not in search.result.baselines
    assert search.result.adaptation is None
    assert summary.adaptation_lines(search.result) == []
    assert summary.validator_table(search.result) == ("", [])


@pytest.mark.parametrize(
    ("adaptation_differs", "others_differ", "counts", "title"),
    [
        (True, False, (30, 5, 0.001), "Adaptation helps on the target"),
        (True, False, (5, 30, 0.001), "Adaptation hurts on the target"),
        (True, False, (6, 5, 0.9), "Adaptation makes no significant difference on the target"),
        (True, False, (5, 5, 1.0), "Adaptation makes no significant difference on the target"),
        (True, True, (30, 5, 0.001), "Regularization including adaptation helps on the target"),
        (False, True, (30, 5, 0.001), "Regularization without adaptation helps on the target"),
    ],
)
def test_the_title_states_only_significant_effects(adaptation_differs, others_differ, counts, title):
    effect = TargetEffect("x", adaptation_differs, others_differ, True, (), (), PairedCounts(*counts))
    assert domain_text.effect_title(effect) == title


def test_the_result_states_the_effect_of_adaptation_on_the_target_and_on_the_source(scaled):
    result, lines = scaled.result, result_lines(scaled.result, "mlruns")
    counts = adaptation_views.compare_domains(scaled.inputs).effect.counts
    effect, unadapted = result.adaptation, result.baselines["unadapted"]
    assert (effect.reference, effect.better, effect.worse) == ("unadapted", counts.better, counts.worse)
    assert effect.better - effect.worse == round(
        len(scaled.inputs.data.test) * (result.test["accuracy"] - unadapted.test["accuracy"])
    )
    (line,) = (line for line in lines if line.startswith("Adaptation "))
    assert f"({unadapted.test['accuracy']:.3f} → {result.test['accuracy']:.3f}) on the target's test rows" in line
    assert (
        f"({unadapted.reevaluated['accuracy']:.3f} → {result.reevaluated['accuracy']:.3f})."
        in line.partition("in the re-evaluation on the source")[2]
    )
    (line,) = (line for line in lines if line.startswith("With its regularization"))
    assert f"is expected to have {gain_text('loss', result.regularization)} than without on the source (90 %" in line
    lead, more = summary.adaptation_lines(result)
    assert f'<p class="lead">{escape(lead)}</p><p>{escape(more)}</p>' in scaled.page


def test_a_search_without_finalists_has_the_same_reference(searched):
    result = searched(finalists=0).result
    assert result.adaptation.reference == "unadapted"
    assert result.baselines["unadapted"].params == result.selected | {"coral": 0}
    assert not any("re-evaluation" in line for line in summary.adaptation_lines(result))


def result_on_target(metric, before, after, reevaluated=(None, None), differs=True, counts=None):
    """Return a result whose ablation has the score `before` and whose selected configuration has `after`."""
    means = [{} if mean is None else {metric: mean} for mean in reevaluated]
    ablation = replace(config_scores("ablation-0", 1.0, 0.1), reevaluated=means[0], test={metric: before})
    return search_result(
        metric="infomax" if metric == "accuracy" else metric,
        test_domain_differs=differs,
        test={} if after is None else {metric: after},
        reevaluated=means[1],
        baselines={"ablation": ablation},
        adaptation=counts and AdaptationEffect("ablation", *counts),
    )


@pytest.mark.parametrize(
    ("result", "text"),
    [
        (
            result_on_target("accuracy", 0.8, 0.9, reevaluated=(0.6, 0.5), counts=(15, 5, 0.04)),
            "Adaptation gained 10.0 points of accuracy (0.800 → 0.900) on the target's test rows, a significant "
            "difference. It is better on 15 of them and worse on 5 (McNemar's test, p = 0.040); in the re-evaluation "
            "on the source it lost 10.0 points of accuracy (0.600 → 0.500).",
        ),
        (
            result_on_target("roc_auc", 0.8, 0.7, differs=False, counts=(15, 5, 0.04)),
            "Adaptation lost 0.100 of roc auc (0.800 → 0.700) on the target's test rows, not a significant difference. "
            "It is better on 15 of them and worse on 5 (McNemar's test, p = 0.040).",
        ),
        (
            result_on_target("brier", 0.2, 0.3, differs=False, counts=(5, 5, 1.0)),
            "Adaptation lost 0.100 of brier (0.200 → 0.300) on the target's test rows, not a significant difference. "
            "It is better on 5 of them and worse on 5 (McNemar's test, p = 1.000).",
        ),
        (
            result_on_target("accuracy", 0.8, 0.8, counts=(1, 1, 1.0)),
            "Adaptation left accuracy at 0.800 on the target's test rows, not a significant difference. It is better "
            "on 1 of them and worse on 1 (McNemar's test, p = 1.000).",
        ),
        (result_on_target("accuracy", 0.8, 0.9), "On the target's test rows accuracy is 0.900."),
        (result_on_target("accuracy", 0.8, 0.9, differs=False), ""),
        (result_on_target("accuracy", 0.8, None), ""),
    ],
)
def test_the_effect_on_the_target_in_words(result, text):
    assert " ".join(summary.adaptation_lines(result)) == text


def test_there_is_no_line_on_the_target_if_the_test_rows_are_from_the_source(searched):
    """A target without any labels: the network adapts to it, but nothing can be measured on it."""
    result = searched(drop="y").result
    assert result.selected["coral"] > 0
    assert (result.test_domain_differs, result.adaptation) == (False, None)
    assert not any("the target's test rows" in line for line in result_lines(result, "mlruns"))


def test_the_page_rates_validators_if_there_are_target_labels(searched):
    search = searched(
        data={"source": "here.csv", "target": {"column": "y", "source": "there.csv", "labels": "few", "few": 8}}
    )
    caption, rows = summary.validator_table(search.result)
    validators = {rating.validator.replace("_", " ") for rating in search.result.validators}
    assert {row[0] for row in rows[1:]} == validators != set()
    assert "Validators: selection without target labels" in titles(search.page)
    assert all(f"<td>{cell}</td>" in search.page for row in rows[1:] for cell in row)
    assert escape(caption) in search.page
    assert caption in result_lines(search.result, "mlruns")
