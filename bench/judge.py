"""Derive the results of the measurements: faster runs, ratios, shares of the peak, and goals.

Pure functions of docs/bench.json.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

Json = dict[str, Any]

# Goals: ratios to hpo by contender and width, and the share of the peak in a search by width.
TIMES_AS_LONG = {("recipe", 64): 15.0, ("tight", 64): 5.0, ("tight", 128): 3.0, ("tight", 256): 2.0}
SHARE_OF_PEAK = {128: 0.60, 256: 0.60}
SPEEDUP = {128: 1.7, 256: 1.7}  # of two workers on two cores, if the computation dominates
MIXED = "1–5"  # the rows of mixed depths, as in a search


@dataclass(frozen=True)
class Goal:
    """A target value and the measured one."""

    what: str
    aim: float
    reached: float
    unit: str

    @property
    def missed_by(self) -> str:
        """Compare the rounded value, as it is shown, with the goal; "–" if the goal is met."""
        missing = round(self.aim, 1) - round(self.reached, 1)
        return "–" if missing <= 0 else f"{missing:.1f}{self.unit}"


def faster(result: Mapping[str, Any]) -> list[Json]:
    """Return the faster run of each width and contender, relative to hpo on the same number of cores.

    A ratio is the time of a trial-epoch divided by hpo's. `slower` is the time of the other run.
    """
    found = []
    for width in result["widths"]:
        runs = [run for run in result["runs"] if run["width"] == width]
        epochs = next(run["epochs"] for run in runs if run["what"] == "hpo")
        best: dict[str, Json] = {}
        for run in sorted(runs, key=lambda run: run["ms"]):
            whole = run["ms"] + 1000 * run["startup"] / epochs
            best.setdefault(run["what"], run | {"ms_with_startup": whole})["slower"] = run["ms"]
        for run in (best[what] for what in dict.fromkeys(run["what"] for run in runs)):
            own = best["hpo" if run["what"] in result["one_core"] else "workers"]
            found.append(run | {f"ratio_{key}": run[key] / own[key] for key in ("ms", "ms_with_startup")})
    return found


def ratio(result: Mapping[str, Any], what: str, width: int) -> float | None:
    """Return the time relative to hpo, if it was measured."""
    return next((run["ratio_ms"] for run in faster(result) if (run["what"], run["width"]) == (what, width)), None)


def speedup(result: Mapping[str, Any], width: int) -> float | None:
    """Return the speed of hpo's workers on all cores relative to hpo on one."""
    ms = {run["what"]: run["ms"] for run in faster(result) if run["width"] == width}
    return ms["hpo"] / ms["workers"] if "workers" in ms else None


def peak(result: Mapping[str, Any]) -> float:
    """Return the GFLOP/s of the faster library."""
    return float(max(result["rows"]["peak"].values()))


def share(result: Mapping[str, Any], width: int) -> float | None:
    """Return the share of the peak that training reaches with the number of rows of the search, of mixed depths."""
    rows = dict(zip(result["widths"], result["search_rows"], strict=True))
    for cell in result["rows"]["cells"]:
        if (cell["width"], cell["depth"], cell["rows"]) == (width, MIXED, rows.get(width)):
            return float(cell["gflops"] / peak(result))
    return None


def goals(result: Mapping[str, Any]) -> list[Goal]:
    """Return each goal whose two values were measured."""
    ratios = [(f"{what}, width {w}", aim, ratio(result, what, w), " ×") for (what, w), aim in TIMES_AS_LONG.items()]
    ratios += [(f"two workers, width {w}", aim, speedup(result, w), " ×") for w, aim in SPEEDUP.items()]
    shares = [(w, aim, share(result, w)) for w, aim in SHARE_OF_PEAK.items()]
    found = [Goal(what, aim, reached, unit) for what, aim, reached, unit in ratios if reached is not None]
    return found + [
        Goal(f"share of peak, width {w}", 100 * aim, 100 * s, " %") for w, aim, s in shares if s is not None
    ]
