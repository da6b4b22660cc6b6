"""The parts of the page that are tables, lists and images: HTML, without a script."""

from __future__ import annotations

import base64
import io
import math
from collections.abc import Sequence
from html import escape

import numpy as np
from PIL import Image

from hpo.core.metrics import display_metric, labelled_metric
from hpo.data.dataset import Dataset
from hpo.report import sentences
from hpo.report.analysis import Stack
from hpo.report.inputs import ReportInputs
from hpo.report.predictions import Classified, Predicted
from hpo.space.formatting import score

_MOST_CLASSES = 16  # of a confusion matrix; of more the pairs that are confused are listed
_MOST_ROWS = 24
_MOST_VALUES = 12  # columns of a row
_CHANNELS = (1, 3)  # of an image that a browser can show: grey, or red, green and blue


def params(material: ReportInputs) -> str:
    """The selected configuration."""
    pairs = "".join(
        f"<div><dt>{escape(key)}</dt><dd>{escape(value)}</dd></div>"
        for key, value in sentences.params(material.selected)
    )
    return f"<dl>{pairs}</dl>"


def scores(material: ReportInputs) -> str:
    """The selected configuration beside those it is compared with."""
    result = material.result
    other = display_metric(result["task"], result["metric"])
    name = other.replace("_", " ")
    fresh = bool(result["fresh"])
    followed = (
        [result["metric"]] if labelled_metric(result["metric"]) != result["metric"] else []
    )  # what asks for no labels
    seen, source, target = (
        "fresh" if fresh else "valid",
        *((", source", ", target") if result.get("unpromised") else ("", "")),
    )
    more = [f"{seen} {name}{source}", *(f"{seen} {one.replace('_', ' ')}" for one in followed)]
    head = ["", "search loss", *(["fresh loss"] if fresh else []), *more, "gap", f"test {name}{target}"]
    entries = {entry["trial"]: entry for entry in (*result["baselines"].values(), result)}
    rows = []
    for label, outcome in material.compared.items():
        one = entries[outcome.trial.label]
        scores = [one[seen].get(key) for key in (*(["loss"] if fresh else []), other, *followed)]
        gap = one["valid"]["loss"] - one["train"]["loss"] if one["valid"] else None
        rows.append([label, *map(score, (one["valid"].get("loss"), *scores, gap, one["test"].get(other)))])
    return table(head, rows)


def stacks(found: Sequence[Stack]) -> str:
    rows = [[sentences.shape(one), f"{one.trials}", f"{one.mean:.1f}", f"{one.most}"] for one in found]
    return table(["stack", "trials", "networks at once, mean", "most"], rows)


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    first = "".join(f"<th>{escape(cell)}</th>" for cell in head)
    body = "".join("<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in row) + "</tr>" for row in rows)
    return f'<div class="scroll"><table><thead><tr>{first}</tr></thead><tbody>{body}</tbody></table></div>'


def confusion(found: Classified) -> str:
    """True classes down, predicted ones across; of many classes those that are confused."""
    if len(found.classes) > _MOST_CLASSES:
        rows = [[str(true), str(said), str(count)] for true, said, count in found.confused()[:_MOST_ROWS]]
        return table(["true", "taken for", "times"], rows)
    counts = found.confusion()
    names = [escape(str(name)) for name in found.classes]
    head = "".join(f"<th>{name}</th>" for name in names)
    body = "".join(
        f"<tr><th>{name}</th>{''.join(_cell(n, i == j) for j, n in enumerate(row))}</tr>"
        for i, (name, row) in enumerate(zip(names, counts.tolist(), strict=True))
    )
    return f'<div class="scroll"><table class="matrix"><thead><tr><th>true ↓ said →</th>{head}</tr></thead><tbody>{body}</tbody></table></div>'


def _cell(count: int, right: bool) -> str:
    return f'<td class="{"right" if right else "wrong"}">{count}</td>' if count else "<td></td>"


def wrong(data: Dataset, found: Classified) -> str:
    """The rows that are predicted wrongly, the most confident first."""
    places = found.wrong[: _MOST_ROWS if _pictured(data) else _MOST_ROWS // 2].tolist()
    said = [
        (
            f"{found.classes[found.true[i]]}, said {found.classes[found.predicted[i]]}",
            f"{100 * found.confidence[i]:.0f} % sure",
        )
        for i in places
    ]
    more = len(found.wrong) - len(places)
    note = f'<p class="note">… and {more:,} more.</p>' if more else ""
    rows = found.rows[places].tolist()
    return (
        _images(data, rows, said) if _pictured(data) else _rows(data, rows, [f"{one} ({sure})" for one, sure in said])
    ) + note


def missed(data: Dataset, found: Predicted) -> str:
    """The rows whose numbers are missed most."""
    places = found.worst[: _MOST_ROWS // 2].tolist()
    said = [f"{score(found.true[i])}, said {score(found.predicted[i])}" for i in places]
    return _rows(data, found.rows[places].tolist(), said)


def _rows(data: Dataset, rows: Sequence[int], said: Sequence[str]) -> str:
    """Rows of the table as lines of text, with their first columns."""
    items = []
    for (row, values), one in zip(data.raw(rows).iterrows(), said, strict=True):
        shown_values = [f"{name} {_value(value)}" for name, value in list(values.items())[:_MOST_VALUES]]
        items.append(
            f'<li><b>{escape(one)}</b> · row {int(str(row)) + 1} <span class="note">{escape(" · ".join(shown_values))}</span></li>'
        )
    return f'<ol class="rows">{"".join(items)}</ol>'


def _value(value: str | float) -> str:
    """A cell of the table; missing numbers are not a number there, missing text is empty."""
    return (value if isinstance(value, str) else "" if math.isnan(value) else f"{value:.6g}") or "–"


def _pictured(data: Dataset) -> bool:
    """Whether a row is an image that can be shown: grey, or red, green and blue."""
    return bool(data.image) and data.image[0] in _CHANNELS


def _images(data: Dataset, rows: Sequence[int], said: Sequence[tuple[str, str]]) -> str:
    """Rows as what they are, all on one scale of brightness."""
    channels, height, width = data.image
    pixels = data.x[list(rows)].double().numpy().reshape(-1, channels, height, width)
    low, high = float(pixels.min()), float(pixels.max())
    bytes_ = np.rint((pixels - low) / ((high - low) or 1.0) * 255).astype(np.uint8).transpose(0, 2, 3, 1)
    cards = []
    for image, (what, sure) in zip(bytes_, said, strict=True):
        source = base64.b64encode(png(image)).decode()
        alt = escape(f"{what}, {sure}")
        cards.append(
            f'<figure><img alt="{alt}" src="data:image/png;base64,{source}"><figcaption>{escape(what)}<br>{escape(sure)}</figcaption></figure>'
        )
    return f'<div class="cards">{"".join(cards)}</div>'


def png(pixels: np.ndarray) -> bytes:
    """Encode `pixels`, bytes of shape (height, width, 1 or 3), as a PNG file."""
    buffer = io.BytesIO()
    Image.fromarray(pixels[..., 0] if pixels.shape[2] == 1 else pixels).save(buffer, format="PNG", optimize=True)
    return buffer.getvalue()
