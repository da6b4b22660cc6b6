"""What the benchmark counts and concludes; it is run by `make bench`, never here."""

from collections import Counter

import pytest

from bench import flat, profile
from bench.book import Book
from bench.judge import Goal, faster
from bench.rows import flops
from bench.runs import thinned
from hpo.nn.mlp import Mlp


@pytest.mark.parametrize(
    ("depth", "trained", "scored"),
    [
        (1, 3 * (4 * 5 + 5 * 3) - 4 * 5, 4 * 5 + 5 * 3),
        (3, 3 * (4 * 5 + 2 * 5 * 5 + 5 * 3) - 4 * 5, 4 * 5 + 2 * 5 * 5 + 5 * 3),
    ],
)
def test_flops_are_those_counted_by_hand(depth, trained, scored):
    """Two a weight and product: of a trained row three products a layer but the first's, of a scored row one."""
    assert flops(Mlp(4, 3, depth, 5), 10, 7) == 2 * (10 * trained + 7 * scored)


def test_thinned_configurations_are_as_deep_on_average():
    configurations = [{"depth": 1 + i % 5} for i in range(50)]
    chosen = thinned(configurations, 10)
    assert len(set(chosen)) == 10
    assert Counter(configurations[i]["depth"] for i in chosen) == dict.fromkeys(range(1, 6), 2)
    assert sorted(thinned(configurations, 99)) == list(range(50))


def test_what_was_measured_is_not_measured_again_unless_its_sources_change(tmp_path):
    source, made = tmp_path / "code.py", []
    source.write_text("one")

    def once(seed):
        return Book(tmp_path / "book", [source]).once(
            {"seed": seed}, lambda: made.append(seed) or {"score": (seed, 0.5)}
        )

    assert [once(seed) for seed in (1, 2, 1)] == [{"seed": seed, "score": [seed, 0.5]} for seed in (1, 2, 1)]
    assert made == [1, 2]
    source.write_text("two")
    once(1)
    assert made == [1, 2, 1]
    with pytest.raises(ZeroDivisionError):
        Book(tmp_path / "book", [source]).once({"seed": 3}, lambda: 1 / 0)
    assert Book(tmp_path / "book", [source]).get({"seed": 3}) is None


def test_a_verdict_names_the_missing_part():
    assert Goal("", 15.0, 6.5, " ×").missed_by == "8.5 ×"
    assert Goal("", 60.0, 60.01, " %").missed_by == "–"


def test_the_faster_run_counts_and_is_compared_on_as_many_cores():
    runs = [("hpo", 2.0), ("tight", 6.0), ("workers", 1.0), ("ray", 8.0), ("ray", 9.0), ("tight", 5.0), ("hpo", 2.5)]
    result = {
        "widths": [64],
        "one_core": ["hpo", "tight"],
        "runs": [{"what": what, "width": 64, "epochs": 100, "startup": 1.0, "ms": ms} for what, ms in runs],
    }
    ratios = {
        run["what"]: (run["ms"], run["slower"], run["ratio_ms"], run["ms_with_startup"]) for run in faster(result)
    }
    assert ratios == {
        "hpo": (2.0, 2.5, 1.0, 12.0),
        "tight": (5.0, 6.0, 2.5, 15.0),
        "workers": (1.0, 1.0, 1.0, 11.0),
        "ray": (8.0, 9.0, 8.0, 18.0),
    }


@pytest.mark.parametrize("module", [flat, profile])
def test_every_timed_function_exists(module):
    timed = [pair for pairs in module.PARTS.values() for pair in pairs]
    assert [(owner, name) for owner, name in timed if not hasattr(owner, name)] == []
