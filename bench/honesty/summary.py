"""The summary of the page in sentences. Every number and every comparison in them is computed."""

from __future__ import annotations

import math

from bench.honesty import cost, numbers, reported
from bench.honesty.numbers import Mean, Records, Share
from bench.honesty.text import MODES, OF_METRIC, mean_text, percent, share_text

_GOAL_WORSE, _GOAL_COVERAGE, _GOAL_HEADROOM, _GOAL_TODAY = 0.05, (0.85, 0.95), 0.5, 3


def sentences(records: Records) -> str:
    """Return the summary as a list; `records` include those of the mode `auto`, the split of `hpo init`."""
    auto = numbers.of_mode(records, "auto")
    groups = {"all tables": auto, "tables that chose no rule": numbers.unseen(auto)}
    lines = [
        _answer(name, metric, some)
        for name, group in groups.items()
        for metric in numbers.followed(group)
        if (some := numbers.of_metric(group, metric))
    ]
    lines.append(_worse(groups))
    lines += [_coverage(records), _probability(auto), _cost(records)]
    return "\n".join(f"- {line}" for line in lines)


def _answer(group: str, metric: str, records: Records) -> str:
    """Compare what is handed over with the plain tuner, the rule `safe` and the oracle."""
    ours, plain, averaged, today, oracle = (
        numbers.mean_gain(records, who) for who in ("ours", "argmax", "argmax_average", "today", "oracle")
    )
    taken = numbers.headroom(records, "ours")
    return (
        f"**{OF_METRIC[metric].capitalize()}, {group}** (sets: {len(numbers.names(records))}): the answer gains "
        f"{mean_text(ours)} over the usual defaults. A plain tuner's network gains {mean_text(plain)}, its average of "
        f"as many networks {mean_text(averaged)}, and the rule `safe` {mean_text(today)}. "
        f"{_compared(ours, {'its network': plain, 'its average': averaged})} "
        f"{_times(ours, today)} The oracle gains {mean_text(oracle)}"
        + (
            "."
            if math.isnan(taken)
            else f"; {100 * taken:.0f} % of that is taken (goal: {100 * _GOAL_HEADROOM:.0f} %)."
        )
    )


def _compared(ours: Mean, others: dict[str, Mean]) -> str:
    below = [name for name, mean in others.items() if mean.value > ours.value]
    return f"The plain tuner gains more by {' and by '.join(below)}." if below else "None of these gains more."


def _times(ours: Mean, today: Mean) -> str:
    if today.value <= 0:
        return "The rule `safe` gains nothing, so a ratio to it means nothing."
    return f"That is {ours.value / today.value:.1f} times the gain of `safe` (goal: {_GOAL_TODAY})."


def _worse(groups: dict[str, Records]) -> str:
    shares = {name: numbers.worse(some, "ours") for name, some in groups.items() if some}
    told = "; ".join(f"{share_text(share)} on {name}" for name, share in shares.items())
    return f"**Worse than the defaults** by more than 1 %: {told} (goal: at most {100 * _GOAL_WORSE:.0f} %)."


def _coverage(records: Records) -> str:
    """Give the coverage of the interval by metric and mode, and name those outside the goal."""
    low, high = _GOAL_COVERAGE
    shares: dict[str, Share] = {}
    for metric in numbers.tracked(records):
        for mode in numbers.modes(records):
            share = reported.coverage([r for r in numbers.of_mode(records, mode) if metric in r["metrics"]], metric)
            if share.n:
                shares[f"{OF_METRIC[metric]}, {MODES[mode]}"] = share
    outside = [f"{name} ({percent(share)})" for name, share in shares.items() if not low <= share.value <= high]
    values = [share.value for share in shares.values()]
    return (
        f"**The 90 % interval** contains the test score in {100 * min(values):.0f} to {100 * max(values):.0f} % of the "
        f"searches, by metric and split; outside of {100 * low:.0f} to {100 * high:.0f} %: "
        f"{', '.join(outside) or 'none'}."
    )


def _probability(records: Records) -> str:
    stated = [
        (r["verdict"]["gain"]["probability"], right) for r in records if (right := reported.is_right(r)) is not None
    ]
    if not stated:
        return "**The stated probability**: no verdict was given."
    right = Share(sum(r for _, r in stated), len(stated))
    mean = sum(p for p, _ in stated) / len(stated)
    return (
        f"**The stated probability** that a configuration is better than the defaults is {100 * mean:.0f} % on "
        f"average. It was better on the test rows in {share_text(right)}."
    )


def _cost(records: Records) -> str:
    told = [
        f"{MODES[mode]} {100 * numbers.median(some, cost.after_last_proposal):.0f} % with "
        f"{numbers.median(some, cost.rows_in_flight):.0f} networks in training"
        for mode in numbers.modes(records)
        if (some := numbers.of_mode(records, mode))
    ]
    return f"**After the last proposal** passes this share of a search's wall time (median): {'; '.join(told)}."
