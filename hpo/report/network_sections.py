"""The sections about the final network: its weights, its predictions, and another domain."""

from __future__ import annotations

from collections.abc import Iterator

from hpo.report import (
    adaptation_views,
    domain_text,
    domain_views,
    network_text,
    plots,
    predictions,
    tables,
    weights,
)
from hpo.report.inputs import ReportInputs
from hpo.report.predictions import ClassPredictions, NumberPredictions
from hpo.report.section import Panel, Section
from hpo.report.summary import validator_table

_OUT_OF_FOLD = (
    "Each row is predicted by networks of the selected configuration that were not trained on it: those of the "
    "re-evaluation. They were trained on fewer rows than the final network, which is therefore slightly better. "
    "The test rows are not shown: looking at them one by one would leak them into your next decisions."
)


def network_sections(inputs: ReportInputs) -> Iterator[Section]:
    yield from _weights(inputs)
    yield from _predictions(inputs)
    yield from _domains(inputs)
    yield from _validators(inputs)


def _weights(inputs: ReportInputs) -> Iterator[Section]:
    layers = weights.layers(inputs)
    if not layers:
        yield Section(
            "There is no final network", "", "So no weights can be shown (refit: none, or training diverged)."
        )
        return
    zeros, total = sum(layer.zeros for layer in layers), sum(layer.weights for layer in layers)
    title = f"{100 * zeros / total:.0f} % of the weights are exactly zero" if zeros else "No weight is exactly zero"
    columns = weights.n_input_columns(inputs)
    unused = network_text.unused(weights.unused_columns(inputs), columns) if columns else ""
    panels = []
    for layer in layers:
        histogram = plots.histogram(layer) if layer.zeros < layer.weights else None
        panels.append(Panel(network_text.zeros(layer.name, layer.zeros, layer.weights), histogram, title=layer.name))
    yield Section(title, "Weights", f"The nonzero weights of the final network by layer. {unused}".strip(), panels)


def _predictions(inputs: ReportInputs) -> Iterator[Section]:
    if inputs.data is None or not inputs.oof_predictions:
        yield Section("There are no out-of-fold predictions", "", inputs.missing_reason)
    elif classes := predictions.class_predictions(inputs):
        yield from _class_predictions(inputs, classes)
    elif numbers := predictions.number_predictions(inputs):
        yield from _number_predictions(inputs, numbers)


def _class_predictions(inputs: ReportInputs, classes: ClassPredictions) -> Iterator[Section]:
    assert inputs.data is not None
    bins = predictions.reliability(classes)
    confusions = "Confusion matrix" if tables.is_matrix(classes) else "Most frequent confusions"
    panels = [
        Panel(
            network_text.reliability(bins, classes),
            plots.reliability(bins),
            title="Calibration: is it as confident as it is accurate?",
        ),
        Panel(network_text.confused(classes), html=tables.confusion(classes), title=confusions),
    ]
    source = " of the source" if inputs.result.test_domain_differs else ""
    share = 100 * len(classes.errors) / len(classes.true)
    yield Section(
        f"{share:.1f} % of held-out rows{source} are misclassified", "Misclassified rows", _OUT_OF_FOLD, panels
    )
    if len(classes.errors):
        panel = Panel("", html=tables.misclassified(inputs.data, classes))
        yield Section("Most confident mistakes", "Most confident mistakes", "", [panel], wide=True)


def _number_predictions(inputs: ReportInputs, numbers: NumberPredictions) -> Iterator[Section]:
    assert inputs.data is not None
    panel = Panel(network_text.residuals(numbers), plots.residuals(numbers, inputs.data.target_name))
    yield Section("Prediction errors", "Prediction errors", _OUT_OF_FOLD, [panel], wide=True)
    panel = Panel("", html=tables.largest_errors(inputs.data, numbers))
    yield Section("Largest errors", "Largest errors", "", [panel], wide=True)


def _domains(inputs: ReportInputs) -> Iterator[Section]:
    comparison = adaptation_views.compare_domains(inputs)
    if comparison is None:
        return
    first, last = comparison.views[0], comparison.views[-1]
    panels = []
    for view in (first, last):
        plane = plots.plane(domain_views.principal_plane(view.source, view.target))
        panels.append(Panel(domain_text.plane_caption(view), plane, title=view.name))
    yield Section(domain_text.distance_title(first, last), "Distance of the domains", domain_text.PLANE_TEXT, panels)
    caption = f"{domain_text.DISTANCE_TEXT} {domain_text.distance_change(comparison.views)}".strip()
    panel = Panel(caption, html=domain_text.divergence_table(comparison.views))
    yield Section("Distance of the domains by representation", "Distance by representation", "", [panel], wide=True)
    if comparison.effect is not None:
        effect = comparison.effect
        panels = [Panel(domain_text.effect_caption(effect), html=domain_text.group_table(effect))]
        if effect.changes:
            panels.append(Panel(domain_text.CHANGES_TEXT, html=domain_text.change_table(effect)))
        yield Section(domain_text.effect_title(effect), "Adaptation", domain_text.TEST_ROWS_TEXT, panels)


def _validators(inputs: ReportInputs) -> Iterator[Section]:
    caption, rows = validator_table(inputs.result)
    if rows:
        panel = Panel(caption, html=tables.table(rows[0], rows[1:]))
        yield Section("Validators: selection without target labels", "Validators", "", [panel], wide=True)
