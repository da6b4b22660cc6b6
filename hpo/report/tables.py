"""The tables, lists and images of the page, as HTML without scripts."""

from __future__ import annotations

import base64
import io
import math
from collections.abc import Sequence
from html import escape

import numpy as np
from PIL import Image

from hpo.data.dataset import Dataset
from hpo.report import sentences
from hpo.report.analysis import Stack
from hpo.report.gains import certainty_text, change_text
from hpo.report.inputs import ReportInputs
from hpo.report.predictions import ClassPredictions, NumberPredictions
from hpo.report.summary import contribution_table
from hpo.report.words import named
from hpo.selection import score_table
from hpo.space.formatting import format_score, trial_name

_MAX_CLASSES = 16  # of a confusion matrix; with more classes, the confusions are listed
_MAX_IMAGES = 24
_MAX_ROWS = 12
_MAX_CONFUSIONS = 24
_MAX_VALUES = 12  # columns of a row that are shown
_CHANNELS = (1, 3)  # numbers of channels that a browser can show: grey, or red, green and blue


def params(inputs: ReportInputs) -> str:
    """Return the selected configuration as a list."""
    pairs = "".join(
        f"<div><dt>{escape(key)}</dt><dd>{escape(value)}</dd></div>"
        for key, value in sentences.params(inputs.result.selected)
    )
    return f"<dl>{pairs}</dl>"


def scores(inputs: ReportInputs) -> str:
    """Return the table of the selected configuration and its baselines."""
    names = {label: name for name, label in inputs.compared.items()}
    head, rows = score_table.score_columns(inputs.result, names)
    return table(["configuration", *head], rows)


def contributions(inputs: ReportInputs) -> str:
    """Return the table of what each strength contributes; "" if that was not measured."""
    caption, rows = contribution_table(inputs.result)
    if not rows:
        return ""
    return f"<p>{escape(caption)}</p>{table(['', 'with it', 'certainty'], rows)}"


def finalists(inputs: ReportInputs) -> str:
    """Return the table of the finalists, best first."""
    result, metric = inputs.result, named(inputs.result.metric)
    compared = f"compared with {trial_name(result.reference)}"
    head = ["configuration", f"search {metric}", f"re-eval. {metric}", compared, "certainty"]
    rows = []
    for label, found in result.finalists.items():
        cells = ["–", "–"]
        if gain := result.gains.get(label):
            certainty = certainty_text(result.metric, gain).replace(" %", "\u00a0%")
            cells = [change_text(result.metric, gain), certainty]
        star = " ★" if label == result.trial else ""
        rows.append([f"{trial_name(label)}{star}", *map(format_score, (found.search, found.reevaluated)), *cells])
    return table(head, rows)


def stacks(stacks: Sequence[Stack]) -> str:
    rows = [[sentences.shape(stack), f"{stack.trials}", f"{stack.mean:.1f}", f"{stack.peak}"] for stack in stacks]
    return table(["stack", "trials", "networks in training, mean", "maximum"], rows)


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return a table of escaped cells that scrolls sideways in a narrow window."""
    first = "".join(f"<th>{escape(cell)}</th>" for cell in head)
    body = "".join("<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in row) + "</tr>" for row in rows)
    return f'<div class="scroll"><table><thead><tr>{first}</tr></thead><tbody>{body}</tbody></table></div>'


def is_matrix(predictions: ClassPredictions) -> bool:
    """Return whether the confusion matrix is small enough to be shown."""
    return len(predictions.classes) <= _MAX_CLASSES


def confusion(predictions: ClassPredictions) -> str:
    """Return the confusion matrix, true classes in rows; for many classes, a list of the most frequent confusions."""
    if not is_matrix(predictions):
        pairs = predictions.confused()[:_MAX_CONFUSIONS]
        return table(["true", "predicted", "count"], [[str(cell) for cell in pair] for pair in pairs])
    names = [escape(str(name)) for name in predictions.classes]
    head = "".join(f"<th>{name}</th>" for name in names)
    body = "".join(
        f"<tr><th>{name}</th>{''.join(_cell(n, i == j) for j, n in enumerate(row))}</tr>"
        for i, (name, row) in enumerate(zip(names, predictions.confusion().tolist(), strict=True))
    )
    return (
        f'<div class="scroll"><table class="matrix"><thead><tr><th>true ↓ predicted →</th>{head}</tr></thead>'
        f"<tbody>{body}</tbody></table></div>"
    )


def _cell(count: int, is_right: bool) -> str:
    return f'<td class="{"right" if is_right else "wrong"}">{count}</td>' if count else "<td></td>"


def misclassified(data: Dataset, predictions: ClassPredictions) -> str:
    """Return the misclassified rows, the most confident first, as images if the data are images."""
    as_images = _are_images(data)
    shown = predictions.errors[: _MAX_IMAGES if as_images else _MAX_ROWS].tolist()
    classes, names = predictions.classes, []
    for i in shown:
        labels = f"actual {classes[predictions.true[i]]}, predicted {classes[predictions.predicted[i]]}"
        names.append((labels, f"confidence {100 * predictions.confidence[i]:.0f}\u00a0%"))
    more = len(predictions.errors) - len(shown)
    note = f'<p class="note">… and {more:,} more.</p>' if more else ""
    rows = predictions.rows[shown].tolist()
    return (_images(data, rows, names) if as_images else _rows(data, rows, [", ".join(name) for name in names])) + note


def largest_errors(data: Dataset, predictions: NumberPredictions) -> str:
    """Return the rows with the largest prediction errors."""
    shown = predictions.worst[:_MAX_ROWS].tolist()
    names = [
        f"actual {format_score(predictions.true[i])}, predicted {format_score(predictions.predicted[i])}" for i in shown
    ]
    return _rows(data, predictions.rows[shown].tolist(), names)


def _rows(data: Dataset, rows: Sequence[int], names: Sequence[str]) -> str:
    """Return rows of the data as a list, each with its name and its first columns."""
    items = []
    for (row, values), name in zip(data.table_rows(rows).iterrows(), names, strict=True):
        cells = " · ".join(f"{column} {_value(value)}" for column, value in list(values.items())[:_MAX_VALUES])
        number = int(str(row)) + 1
        items.append(f'<li><b>{escape(name)}</b> · row {number} <span class="note">{escape(cells)}</span></li>')
    return f'<ol class="rows">{"".join(items)}</ol>'


def _value(value: str | float) -> str:
    """Format a cell of the data; a missing value (NaN or an empty text) is a dash."""
    return (value if isinstance(value, str) else "" if math.isnan(value) else _number(value)) or "–"


def _number(value: float) -> str:
    """Return a number with a minus sign (U+2212)."""
    return f"−{-value:.6g}" if value < 0 else f"{value:.6g}"


def _are_images(data: Dataset) -> bool:
    """Return whether rows are images that a browser can show."""
    return bool(data.image) and data.image[0] in _CHANNELS


def _images(data: Dataset, rows: Sequence[int], names: Sequence[tuple[str, str]]) -> str:
    """Return rows as images on the same scale of brightness, each with two lines of text."""
    channels, height, width = data.image
    pixels = data.x[list(rows)].double().numpy().reshape(-1, channels, height, width)
    low, high = float(pixels.min()), float(pixels.max())
    images = np.rint((pixels - low) / ((high - low) or 1.0) * 255).astype(np.uint8).transpose(0, 2, 3, 1)
    cards = []
    for image, (classes, confidence) in zip(images, names, strict=True):
        source = base64.b64encode(png(image)).decode()
        caption = f"<figcaption>{escape(classes)}<br>{escape(confidence)}</figcaption>"
        alt = escape(f"{classes}, {confidence}")
        cards.append(f'<figure><img alt="{alt}" src="data:image/png;base64,{source}">{caption}</figure>')
    return f'<div class="cards">{"".join(cards)}</div>'


def png(pixels: np.ndarray) -> bytes:
    """Encode `pixels`, bytes of shape (height, width, 1 or 3), as a PNG file."""
    buffer = io.BytesIO()
    Image.fromarray(pixels[..., 0] if pixels.shape[2] == 1 else pixels).save(buffer, format="PNG", optimize=True)
    return buffer.getvalue()
