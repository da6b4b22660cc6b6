"""Replay the selection of finished searches from their row-level evidence, without training.

For each selection rule and region of practical equivalence: the trimmed mean gain over the defaults, how often the
choice is worse than the defaults by more than 1 %, and how often it is the defaults. The posterior, the calibration
and the rules are those of the code now, not those of the search.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from bench.honesty import numbers, predictions
from bench.honesty.numbers import MODES, TRIMMED, WORSE
from bench.honesty.sets import is_unseen, modes_of
from bench.page import aligned
from hpo.core import posterior
from hpo.core import selection_rules as rules
from hpo.core.posterior import Gain
from hpo.core.selection_rules import DEFAULTS, RULES_WITH_REGION, SELECTION_RULES, Candidate
from hpo.nn.linear import one_thread
from hpo.selection import evidence, expectation
from hpo.selection.evidence import Evidence

REGIONS = (0.0, 0.01, 0.02, 0.03)


@dataclass(frozen=True)
class Replayed:
    """One search: its candidates, and the test gain over the defaults of each."""

    set: str
    seed: int
    mode: str
    metric: str
    develop: int
    test_train_ratio: float
    candidates: Sequence[Candidate]
    gains: Mapping[str, float]

    def chosen(self, rule: str, region: float) -> str:
        """Return the choice of a rule with a region of practical equivalence."""
        return rules.choose(rule, self.candidates, self.test_train_ratio, region)


def replayed(path: Path) -> Replayed:
    """Measure the candidates of a search again, and score the average of their final networks on the test rows."""
    with one_thread():
        found = predictions.load(path)
        about, metric, test = found.about, found.about["metric"], found.test
        measured = evidence.measure(found.draws, metric, about["seed"])
        labels = [label for label in measured.errors if label in test.logits]
        default = min(
            (label for label in measured.errors if label in DEFAULTS), key=lambda d: measured.errors[d].mean()
        )
        gains_over_default = posterior_gains(measured, default)
        errors = {}
        for label in labels:
            expected = expectation.expect(found.draws, label, [], about["networks"], len(test.y), about["seed"])
            score = test.scores([metric], label, expected.temperature)[metric]
            errors[label] = numbers.error(metric, score, len(test.y))
        candidates = []
        for label in labels:
            costs = about["candidates"][label]
            given = {name: costs[name] for name in ("sound", "amount", "work", "nonzero")}
            candidates.append(
                Candidate(label, gains_over_default[label], np.array(costs["scores"], dtype=float), **given)
            )
        gains = {label: 1 - e / errors[default] for label, e in errors.items()}
    identity = (about["set"], about["seed"], about["mode"], metric, about["n_development"])
    return Replayed(*identity, about["test_train_ratio"], candidates, gains)


def posterior_gains(measured: Evidence, default: str) -> dict[str, Gain]:
    """Return the posterior gain of each configuration over the usual defaults, as `Finals` computes it."""
    others = {label: measured.measurement(label, default) for label in measured.errors if label != default}
    prior = posterior.prior_variance(list(others.values()))
    return {default: Gain.zero()} | {label: posterior.posterior_gain(m, prior) for label, m in others.items()}


def table(searches: Sequence[Replayed]) -> str:
    """Compare all rules and regions; some rules have no region."""
    lines = [["rule", "region", "gain %", "error", f"worse by {WORSE:.0%}", "kept defaults", "searches"]]
    for rule in SELECTION_RULES:
        for region in REGIONS if rule in RULES_WITH_REGION else REGIONS[:1]:
            gains: dict[str, list[float]] = {}
            kept = 0
            for search in searches:
                chosen = search.chosen(rule, region)
                kept += chosen in DEFAULTS
                gains.setdefault(search.set, []).append(search.gains[chosen])
            mean, every = numbers.trimmed(gains, TRIMMED), [g for v in gains.values() for g in v]
            worse = sum(g < -WORSE for g in every) / len(every)
            shares = [f"{worse:.1%}", f"{kept / len(every):.0%}", str(len(every))]
            region_text = f"{region:.0%}" if rule in RULES_WITH_REGION else "–"
            lines.append([rule, region_text, f"{100 * mean.value:+.2f}", f"{100 * mean.error:.2f}", *shares])
    return aligned(lines)


def of_mode(searches: Sequence[Replayed], mode: str) -> list[Replayed]:
    """Return the searches of a mode; `auto` has those of the mode that it resolves to."""
    return [s for s in searches if s.mode == (modes_of("auto", s.develop) if mode == "auto" else mode)]


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.honesty.replay", description=__doc__)
    parser.add_argument("folder", type=Path, help="folder of the .npz files of the searches")
    parser.add_argument("--modes", nargs="+", choices=MODES, default=list(MODES), help="default: all")
    parser.add_argument("--sets", nargs="+", help="default: all")
    parser.add_argument("--unseen", action="store_true", help="only tables that no rule was chosen on")
    parser.add_argument("--seeds", type=int, nargs="+", help="default: all")
    parser.add_argument("--processes", type=int, default=2, help="files read at a time; default: %(default)s")
    options = parser.parse_args()
    paths = sorted(p for p in options.folder.glob("*.npz") if not p.name.startswith("unfinished-"))
    with ProcessPoolExecutor(options.processes) as pool:
        searches = [
            s
            for s in pool.map(replayed, paths)
            if (not options.sets or s.set in options.sets)
            and (not options.seeds or s.seed in options.seeds)
            and (is_unseen(s.set) or not options.unseen)
        ]
    for mode in options.modes:
        some = of_mode(searches, mode)
        for metric in dict.fromkeys(s.metric for s in some):
            print(f"\n{mode}, {metric}\n" + table([s for s in some if s.metric == metric]))


if __name__ == "__main__":
    main()
