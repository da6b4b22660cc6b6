"""The page on a search: whole, self-contained, with a figure for everything that there are numbers of."""

import base64
import json
import re
import struct
import zlib
from html import escape

import numpy as np
import pandas as pd
import pytest
from safetensors.torch import load_file

from hpo.report.tables import png
from tests.helpers.searches import here, outcomes, write_space

NUMBERS = {"study": "numbers", "data": {"source": "sklearn:diabetes"}}
LONGER = {"study": "longer", "budget": {"trials": 24}, "pruner": "none"}
POINT = {"search": {"learning_rate": 0.01, "depth": 1, "dropout": 0.2}, "budget": {"trials": 1}}
GRID = {
    "learning_rate": {"choices": [0.001, 0.01, 0.03]},
    "depth": {"choices": [1, 2]},
    "weight_decay": {"choices": [0.0, 0.1, 1.0]},
}


@pytest.fixture(scope="module")
def drawn(tmp_path_factory):
    """Searches a space, without MLflow, and returns the page that the search has written, and its result."""
    made = {}

    def draw(**changes):
        key = json.dumps(changes)
        if key not in made:
            store = tmp_path_factory.mktemp("drawn") / "mlruns"
            with pytest.MonkeyPatch.context() as patch:
                patch.setattr("hpo.workflows.search.Recorder", Silent)
                ran = here("search", "--space", write_space(store, **changes), "--store", store, "--json")
            assert ran.exit_code == 0, ran.stderr
            result = json.loads(ran.stdout)
            made[key] = (store, result, (store / "studies" / result["study"] / "report.html").read_text())
        return made[key]

    return draw


class Silent:
    ids = {"run_id": "none", "experiment_id": "0"}

    def __init__(self, *_): ...
    def record(self, outcome): ...
    def close(self, status, **_): ...
    def abandon(self, status): ...


def plots(page):
    return json.loads(re.search(r'<script type="application/json" id="plots">(.*?)</script>', page, re.DOTALL)[1])


def own(page):
    """The page without plotly's code."""
    return re.sub(r"<script>/\*\*.*?</script>", "", page, count=1, flags=re.DOTALL)


def titles(page):
    return re.findall(r"<h2>(.*?)</h2>", page)


def points(trace):
    return [v for name in ("x", "y") for v in ([] if isinstance(trace.get(name), dict) else trace.get(name) or [])]


@pytest.mark.parametrize(
    "changes",
    [{}, LONGER, NUMBERS, POINT, {"finalists": 0}, {"objectives": ["valid_loss", "nonzero_share"]}, {"refit": "none"}],
)
def test_every_plot_has_its_place_and_something_in_it(drawn, changes):
    _, _, page = drawn(**changes)
    found = plots(page)
    assert len(found) == page.count('<div class="plot"') > 0
    assert all(plot["data"] for plot in found)
    assert not any(
        isinstance(v, float) and not np.isfinite(v) for plot in found for trace in plot["data"] for v in points(trace)
    )
    assert "nan" not in re.sub(r"<.*?>", " ", own(page).split('<script type="application/json"')[0]).lower().split()


def test_the_page_asks_nothing_of_anybody(drawn):
    _, _, page = drawn()
    assert not re.search(r"""(src|href)=(?!["'](data:|#))""", own(page))
    assert "@import" not in own(page)
    assert page.count("Plotly.react") >= 1
    assert len(page.encode()) < 6e6


def test_what_the_search_said_is_on_its_page(drawn):
    _, result, page = drawn(**LONGER)
    assert f"{result['study']}: " in re.search(r"<h1>(.*?)</h1>", page)[1]
    assert f"{result['fresh']['loss']:.3f}" in page
    for title in (
        "train–valid gap",
        "decides about",
        "What the best trials have in common",
        "How the finalists did",
        "of unseen rows",
        "How many networks",
    ):
        assert any(title in found for found in titles(page)), title


def test_what_is_to_be_known_of_the_data_is_on_the_page(drawn):
    _, result, page = drawn(study="freezes", search=POINT["search"] | {"freeze": {"low": 0, "high": 1}}, finalists=0)
    assert any("these are random" in note for note in result["notes"])
    assert all(f'<p class="note">{escape(note)}</p>' in page for note in result["notes"])


def test_the_rows_that_are_shown_are_all_but_the_test_part_and_each_once(drawn):
    store, result, page = drawn()
    said = load_file(store / "studies/tiny/unseen" / f"{result['trial']}.safetensors")
    assert sorted(said["rows"].tolist()) == list(range(142))  # of 178 a fifth is for the test
    wrong = int(re.search(r"([\d,]+) of 142 rows are wrong|All 142", page)[1] or 0)
    assert f"{100 * wrong / 142:.1f} % of unseen rows" in page


def test_what_is_missed_is_in_the_targets_own_units(drawn):
    store, result, _ = drawn(**NUMBERS)
    said = load_file(store / "studies/numbers/unseen" / f"{result['trial']}.safetensors")["said"]
    assert float(said.square().mean()) == pytest.approx(
        result["refit"]["compared"]["average"]["loss"], rel=0.02
    )  # folds differ by a row


def test_a_search_without_finalists_or_a_final_network_says_what_is_not_there(drawn):
    assert {"There were no finalists", "No predictions to look at"} <= set(titles(drawn(finalists=0)[2]))
    assert {"There is no final network", "No predictions to look at"} <= set(titles(drawn(refit="none")[2]))
    assert "Too few trials for pictures of the search" in titles(drawn(**POINT)[2])


def test_trials_that_none_beats_are_counted_as_they_are_drawn(drawn):
    """The result's front has the baselines, too, which nobody proposed and the picture has not."""
    slow = {
        "learning_rate": {"low": 1e-6, "high": 1e-3, "log": True},
        "dropout": {"low": 0.3, "high": 0.6},
    }  # the baselines are quicker
    _, result, page = drawn(**LONGER | {"study": "front", "search": slow, "objectives": ["valid_loss", "gap"]})
    (plot,) = (plot for plot in plots(page) if any(trace.get("name") == "beaten by none" for trace in plot["data"]))
    shown = {trace["name"]: len(trace["x"]) for trace in plot["data"]}
    assert {one["trial"] for one in result["front"]} & {"none", "defaults"}
    said = f"{shown['beaten by none']} of {sum(shown.values())} complete trials, the baselines aside, are beaten by none of the others in all of"
    assert said in own(page)


def test_the_command_writes_the_same_page_again(drawn, tmp_path):
    store, _, page = drawn()
    ran = here("report", "--store", store, "--study", "tiny", "-o", tmp_path / "again.html")
    assert ran.exit_code == 0
    assert ran.stderr.startswith(f"Wrote {tmp_path / 'again.html'} (")
    assert (tmp_path / "again.html").read_text() == page


def test_a_page_is_written_from_the_store_alone_where_the_table_is_gone(tmp_path):
    store = tmp_path / "here" / "mlruns"
    store.parent.mkdir()
    rows = np.random.default_rng(0).normal(size=(120, 3))
    lines = ["a,b,y", *(f"{a:.4f},{b:.4f},{'yes' if a + b + c > 0 else 'no'}" for a, b, c in rows)]
    (store.parent / "mine.csv").write_text("\n".join(lines))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("hpo.workflows.search.Recorder", Silent)
        space = write_space(
            store,
            study="mine",
            data={"source": "mine.csv", "target": "y"},
            search=GRID,
            sampler="grid",
            budget={"trials": 20},
        )
        assert here("search", "--space", space, "--store", store, "--quiet").exit_code == 0
    (store.parent / "mine.csv").unlink()
    assert here("report", "--store", store, "-o", tmp_path / "page.html").exit_code == 0
    page = (tmp_path / "page.html").read_text()
    assert f"{store.parent / 'mine.csv'} does not exist; name " in page
    assert any("decides about" in title for title in titles(page))
    assert len(outcomes(store, "mine")) > 20


def test_a_page_that_cannot_be_written_is_one_sentence(drawn, tmp_path):
    store, _, _ = drawn()
    ran = here("report", "--store", store, "-o", tmp_path / "nowhere" / "page.html")
    assert (ran.exit_code, ran.stderr.count("\n")) == (2, 1)
    assert "name another file with -o" in ran.stderr


def test_an_image_is_a_png_of_its_pixels():
    pixels = np.arange(12, dtype=np.uint8).reshape(2, 2, 3)
    made = png(pixels)
    assert made.startswith(b"\x89PNG\r\n\x1a\n")
    assert struct.unpack(">II", made[16:24]) == (2, 2)
    start = made.index(b"IDAT")
    size = struct.unpack(">I", made[start - 4 : start])[0]
    assert zlib.decompress(made[start + 4 : start + 4 + size]) == bytes([0, 0, 1, 2, 3, 4, 5, 0, 6, 7, 8, 9, 10, 11])


@pytest.mark.parametrize("channels", [2, 4])
def test_an_image_that_no_screen_can_show_is_a_row_of_the_table(tmp_path, channels):
    store = tmp_path / "here" / "mlruns"
    store.parent.mkdir()
    draw = np.random.default_rng(0)
    pixels = draw.normal(size=(80, 4 * channels))
    table = pd.DataFrame(pixels, columns=[f"p{i}" for i in range(4 * channels)]).assign(y=draw.choice(["a", "b"], 80))
    table.to_csv(store.parent / "mine.csv", index=False)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("hpo.workflows.search.Recorder", Silent)
        space = write_space(
            store,
            study="mine",
            data={"source": "mine.csv", "target": "y"},
            network={"width": 8, "image": [channels, 2, 2]},
        )
        ran = here("search", "--space", space, "--store", store, "--quiet")
    assert ran.exit_code == 0, ran.exception
    page = (store / "studies/mine/report.html").read_text()
    assert '<ol class="rows">' in page
    assert "data:image/png" not in own(page)


def test_nothing_of_a_table_is_taken_for_html(tmp_path):
    evil = "<!--<script>"
    store = tmp_path / "here" / "mlruns"
    store.parent.mkdir()
    draw = np.random.default_rng(0)
    table = pd.DataFrame(
        {f"a{evil}": draw.normal(size=80), "b": draw.choice([evil, "</script>"], 80), evil: draw.normal(size=80)}
    )
    table.to_csv(store.parent / "mine.csv", index=False)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("hpo.workflows.search.Recorder", Silent)
        space = write_space(store, study="mine", data={"source": "mine.csv", "target": evil})
        assert here("search", "--space", space, "--store", store, "--quiet").exit_code == 0
    page = own((store / "studies/mine/report.html").read_text())
    assert "<!--" not in page
    assert page.count("<script") == page.count("</script>") == 2
    assert any("predicted &lt;!--&lt;script&gt;" in json.dumps(plot) for plot in plots(page))


def test_digits_are_shown_as_images(drawn):
    _, _, page = drawn(
        study="digits", data={"source": "sklearn:digits"}, train={"epochs": 2, "batch_size": 256}, budget={"trials": 4}
    )
    images = re.findall(r'src="data:image/png;base64,([^"]+)"', own(page))
    assert len(images) == 24
    assert struct.unpack(">II", base64.b64decode(images[0])[16:24]) == (8, 8)
