"""The report is one self-contained page with a plot for everything that was measured."""

import base64
import io
import json
import re
from html import escape

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from safetensors.torch import load_file

from hpo.report.tables import png
from tests.helpers.pages import plots, titles, without_plotly
from tests.helpers.searches import here, outcomes, search_unrecorded, write_space

NUMBERS = {"study": "numbers", "data": {"source": "sklearn:diabetes"}}
LONGER = {"study": "longer", "budget": {"trials": 24}, "pruner": "none"}
POINT = {"search": {"learning_rate": 0.01, "depth": 1, "dropout": 0.2}, "budget": {"trials": 1}}
GRID = {
    "learning_rate": {"choices": [0.001, 0.01, 0.03]},
    "depth": {"choices": [1, 2]},
    "weight_decay": {"choices": [0.0, 0.1, 1.0]},
}


@pytest.fixture(scope="module")
def searched(tmp_path_factory):
    """Return a function that searches a space without MLflow and returns the store, the result and the page."""
    searches = {}

    def search(**changes):
        key = json.dumps(changes)
        if key not in searches:
            store = tmp_path_factory.mktemp("searched") / "mlruns"
            result = search_unrecorded(write_space(store, **changes), store).to_json()
            searches[key] = (store, result, (store / "studies" / result["study"] / "report.html").read_text())
        return searches[key]

    return search


def points(trace):
    """Return all coordinates of a trace."""
    return [v for name in ("x", "y") for v in ([] if isinstance(trace.get(name), dict) else trace.get(name) or [])]


@pytest.mark.parametrize(
    "changes",
    [{}, LONGER, NUMBERS, POINT, {"finalists": 0}, {"objectives": ["valid_loss", "nonzero_share"]}, {"refit": "none"}],
)
def test_every_plot_has_an_element_and_finite_data(searched, changes):
    _, _, page = searched(**changes)
    figures = plots(page)
    assert len(figures) == page.count('<div class="plot"') > 0
    assert all(figure["data"] for figure in figures)
    values = [value for figure in figures for trace in figure["data"] for value in points(trace)]
    assert all(np.isfinite(value) for value in values if isinstance(value, float))
    text = re.sub(r"<.*?>", " ", without_plotly(page).split('<script type="application/json"')[0])
    assert "nan" not in text.lower().split()


def test_the_page_loads_nothing(searched):
    _, _, page = searched()
    assert not re.search(r"""(src|href)=(?!["'](data:|#))""", without_plotly(page))
    assert "@import" not in without_plotly(page)
    assert page.count("Plotly.react") >= 1
    assert len(page.encode()) < 6e6


def test_the_page_has_all_sections_and_the_score_of_the_search(searched):
    _, result, page = searched(**LONGER)
    assert f"{result['study']}: " in re.search(r"<h1>(.*?)</h1>", page)[1]
    assert f"{result['reevaluated']['loss']:.3f}" in page
    names = re.findall(r'<a href="#s\d+">(.*?)</a>', page)
    assert names[:7] == [
        "Training and validation loss",
        "Train–valid gap",
        "Hyperparameter importance",
        "Learning rate × weight decay",
        "Best trials",
        "Best score",
        "Finalists",
    ]
    assert names[-2:] == ["Networks that trained together", "What to do next"]
    assert page.index("<dl>") < page.index('<p class="lead">')  # the answer comes first
    assert titles(page)[-1] == "What to do next"
    assert any(title.endswith("of held-out rows are misclassified") for title in titles(page))


def test_notes_of_the_search_are_on_the_page(searched):
    _, result, page = searched(study="freezes", search=POINT["search"] | {"freeze": {"low": 0, "high": 1}}, finalists=0)
    assert any("these are random" in note for note in result["notes"])
    assert all(f'<p class="note">{escape(note)}</p>' in page for note in result["notes"])


def test_each_development_row_is_predicted_once(searched):
    store, result, page = searched()
    predictions = load_file(store / "studies/tiny/unseen" / f"{result['trial']}.safetensors")
    assert sorted(predictions["rows"].tolist()) == list(range(142))  # a fifth of 178 rows is the test part
    wrong = int(re.search(r"([\d,]+) of 142 rows are misclassified|All 142", page)[1] or 0)
    assert f"{100 * wrong / 142:.1f} % of held-out rows are misclassified" in page


def test_residuals_are_those_of_the_re_evaluation(searched):
    """The average of the draws has at most the mean squared error of a single draw."""
    store, result, _ = searched(**NUMBERS)
    residuals = load_file(store / "studies/numbers/unseen" / f"{result['trial']}.safetensors")["predictions"]
    loss = result["reevaluated"]["loss"]
    assert 0.5 * loss < float(residuals.square().mean()) < 1.02 * loss  # folds differ by a row


def test_missing_sections_are_replaced_by_a_sentence(searched):
    assert {"There was no re-evaluation", "There are no out-of-fold predictions"} <= set(
        titles(searched(finalists=0)[2])
    )
    assert "There is no final network" in titles(searched(refit="none")[2])
    assert "Too few trials for plots of the search" in titles(searched(**POINT)[2])


@pytest.mark.exhaustive
def test_the_caption_counts_the_trials_of_the_plotted_pareto_front(searched):
    """The front of the result includes the baselines, which are not plotted."""
    slow = {
        "study": "front",
        "search": {"learning_rate": {"low": 1e-6, "high": 1e-3, "log": True}, "dropout": {"low": 0.3, "high": 0.6}},
        "train": {"epochs": 40, "batch_size": 16},
        "objectives": ["valid_loss", "gap"],
    }
    _, result, page = searched(**LONGER | slow)  # the baselines have the highest learning rate
    (plot,) = (plot for plot in plots(page) if any(trace.get("name") == "Pareto front" for trace in plot["data"]))
    counts = {trace["name"]: len(trace["x"]) for trace in plot["data"]}
    assert {trial["trial"] for trial in result["front"]} & {"none", "defaults"}
    caption = f"{counts['Pareto front']} of {sum(counts.values())} complete trials (without the baselines) are on the"
    assert caption in without_plotly(page)


def test_the_command_writes_the_same_page_again(searched, tmp_path):
    store, _, page = searched()
    ran = here("report", "--store", store, "--study", "tiny", "-o", tmp_path / "again.html")
    assert ran.exit_code == 0
    assert ran.stderr.startswith(f"Wrote {tmp_path / 'again.html'} (")
    assert (tmp_path / "again.html").read_text() == page


def test_the_page_is_written_from_the_store_if_the_data_file_is_missing(tmp_path):
    store = tmp_path / "here" / "mlruns"
    store.parent.mkdir()
    rows = np.random.default_rng(0).normal(size=(120, 3))
    lines = ["a,b,y", *(f"{a:.4f},{b:.4f},{'yes' if a + b + c > 0 else 'no'}" for a, b, c in rows)]
    (store.parent / "mine.csv").write_text("\n".join(lines))
    data = {"source": "mine.csv", "target": "y"}
    space = write_space(store, study="mine", data=data, search=GRID, sampler="grid", budget={"trials": 20})
    search_unrecorded(space, store)
    (store.parent / "mine.csv").unlink()
    assert here("report", "--store", store, "-o", tmp_path / "page.html").exit_code == 0
    page = (tmp_path / "page.html").read_text()
    assert f"{store.parent / 'mine.csv'} does not exist; name " in page
    assert ">Hyperparameter importance</a>" in page
    assert len(outcomes(store, "mine")) > 20


def test_a_page_that_cannot_be_written_is_an_error_of_one_sentence(searched, tmp_path):
    store, _, _ = searched()
    ran = here("report", "--store", store, "-o", tmp_path / "nowhere" / "page.html")
    assert (ran.exit_code, ran.stderr.count("\n")) == (2, 1)
    assert "name another file with -o" in ran.stderr


@pytest.mark.parametrize("channels", [1, 3])
def test_a_png_holds_the_pixels(channels):
    pixels = np.arange(4 * channels, dtype=np.uint8).reshape(2, 2, channels)
    image = Image.open(io.BytesIO(png(pixels)))
    assert image.format == "PNG"
    assert np.array_equal(np.asarray(image).reshape(pixels.shape), pixels)


@pytest.mark.parametrize("channels", [2, 4])
def test_rows_that_a_browser_cannot_show_as_images_are_listed(tmp_path, channels):
    store = tmp_path / "here" / "mlruns"
    store.parent.mkdir()
    draw = np.random.default_rng(0)
    pixels = draw.normal(size=(80, 4 * channels))
    table = pd.DataFrame(pixels, columns=[f"p{i}" for i in range(4 * channels)]).assign(y=draw.choice(["a", "b"], 80))
    table.to_csv(store.parent / "mine.csv", index=False)
    data, network = {"source": "mine.csv", "target": "y"}, {"width": 8, "image": [channels, 2, 2]}
    search_unrecorded(write_space(store, study="mine", data=data, network=network, budget={"trials": 3}), store)
    page = (store / "studies/mine/report.html").read_text()
    assert '<ol class="rows">' in page
    assert "data:image/png" not in without_plotly(page)


def test_names_and_values_of_the_data_are_escaped(tmp_path):
    evil = "<!--<script>"
    store = tmp_path / "here" / "mlruns"
    store.parent.mkdir()
    draw = np.random.default_rng(0)
    table = pd.DataFrame(
        {f"a{evil}": draw.normal(size=80), "b": draw.choice([evil, "</script>"], 80), evil: draw.normal(size=80)}
    )
    table.to_csv(store.parent / "mine.csv", index=False)
    space = write_space(store, study="mine", data={"source": "mine.csv", "target": evil}, budget={"trials": 3})
    search_unrecorded(space, store)
    page = without_plotly((store / "studies/mine/report.html").read_text())
    assert "<!--" not in page
    assert page.count("<script") == page.count("</script>") == 2
    assert any("predicted &lt;!--&lt;script&gt;" in json.dumps(plot) for plot in plots(page))


def test_misclassified_digits_are_shown_as_images(searched):
    _, _, page = searched(
        study="digits", data={"source": "sklearn:digits"}, train={"epochs": 2, "batch_size": 256}, budget={"trials": 4}
    )
    images = re.findall(r'src="data:image/png;base64,([^"]+)"', without_plotly(page))
    assert len(images) == 24
    assert Image.open(io.BytesIO(base64.b64decode(images[0]))).size == (8, 8)
