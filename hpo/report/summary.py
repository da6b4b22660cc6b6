"""What a search has found, in a sentence each."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from hpo.core.metrics import METRICS, display_metric, labelled_metric
from hpo.core.statistics import MIN_PAIRS
from hpo.space.formatting import score, trial_name
from hpo.study import ranking

_SURE = 0.05


def first_line(result: Mapping[str, Any]) -> str:
    """Said before anything else: whether anything beats the defaults beyond noise."""
    said = result["verdict"]
    if not said:
        return ""
    if said["gain"] is None and result["trial"] != "defaults":
        return f"The usual defaults diverged on fresh splits, so {trial_name(result['trial'])} is selected without being compared with them."
    if said["rival"] == "defaults" or said["gain"] is None:
        return "The usual defaults are selected: no other configuration came through its fresh fits."
    rival, better = trial_name(said["rival"]), "better" if said["gain"] >= 0 else "worse"
    error = "" if said["standard_error"] is None else f", ± {said['standard_error']:.2g} (standard error)"
    by = f"{abs(said['gain']):.3g} {better}{error}"
    fits = f"{said['fits']} fresh fit{'s' if said['fits'] != 1 else ''}"
    if said["beyond_noise"]:
        return f"{rival[0].upper()}{rival[1:]} beats the usual defaults beyond noise: over {fits} its {result['metric']} is {by}."
    if said["fits"] < MIN_PAIRS and said["gain"] > 0:
        return (
            f"{fits} {'is' if said['fits'] == 1 else 'are'} too few to show that anything beats the usual defaults, so they are selected; "
            f"the {result['metric']} of {rival}, the best of the others, is {by}."
        )
    return (
        f"Nothing beats the usual defaults beyond noise, so they are selected: over {fits} the {result['metric']} of {rival}, the best of the "
        f"others, is {by}."
    )


def adaptation_lines(result: Mapping[str, Any]) -> list[str]:
    """What taking the target into account did on its test rows, against the same without it, and what that did to the source."""
    name = display_metric(result["task"], result["metric"])
    test, unpromised = result["test"].get(name), result.get("unpromised")  # an older hpo did not say
    found = result.get("adaptation")
    if not found:
        return (
            [f"On the target's test rows {name.replace('_', ' ')} is {score(test)}."]
            if unpromised and test is not None
            else []
        )
    twin = result["baselines"][found["twin"]]
    before, better = twin["test"].get(name), found["better"] > found["worse"]
    gains = None not in (before, test) and METRICS[name].sign * (test - before) < 0
    noise = (
        "beyond noise" if found["chance"] < _SURE and better == gains else "within noise"
    )  # or rows and metric do not agree
    how = "McNemar's test" if result["task"] == "classification" else "sign test"
    counts = f"It is better on {found['better']:,} of them and worse on {found['worse']:,} ({how}, p = {score(found['chance'])})"
    fresh = twin["fresh"].get(name), result["fresh"].get(name)
    source = f"; on fresh splits of the source it {_gained(name, *fresh)}" if unpromised and None not in fresh else ""
    return [f"Adaptation {_gained(name, before, test)} on the target's test rows, {noise}.", f"{counts}{source}."]


def _gained(name: str, before: float | None, after: float | None) -> str:
    """`gained 3.1 points of accuracy (0.81 → 0.841)`; there is no number of what diverged."""
    said = name.replace("_", " ")
    if before is None or after is None:
        return f"has {said} {score(before)} → {score(after)}"
    if before == after:
        return f"left {said} at {score(after)}"
    verb, by = "gained" if METRICS[name].sign * (after - before) < 0 else "lost", abs(after - before)
    much = f"{100 * by:.1f} points" if said.endswith("accuracy") else score(by)
    return f"{verb} {much} of {said} ({score(before)} → {score(after)})"


def criteria_table(result: Mapping[str, Any]) -> tuple[str, list[list[str]]]:
    """How far each criterion that needs no labels of the target would have led, where labels tell: how to read it, and the table, its
    head first; no rows where nobody knows."""
    found = result.get("criteria")  # an older hpo had none
    if not found:
        return "", []
    metric = labelled_metric(result["metric"]).replace("_", " ")
    rows = [["without labels of the target", "rank correlation", f"{metric} lost", "would choose"]]
    for one in found:
        spearman = "–" if one["spearman"] is None else f"{one['spearman']:.2f}".replace("-", "−")
        rows.append([one["criterion"].replace("_", " "), spearman, score(one["regret"]), trial_name(one["chosen"])])
    return (
        f"How criteria that need no labels of the target rank {found[0]['trials']} finished trials, against valid {metric} on its labelled rows; "
        f"and what following one would have lost against the best of these trials."
    ), rows


def regularization_line(result: Mapping[str, Any]) -> str:
    """What regularization itself did: against the same learning rate and network without it."""
    none = result["baselines"].get("ablation")
    if not none or not none["valid"] or not result["valid"]:
        return ""
    if not ranking.regularized(result["selected"]):
        return "Regularization did not help: the selected configuration has none."
    gap, gap_none = (found["valid"]["loss"] - found["train"]["loss"] for found in (result, none))
    if gap_none <= 0:
        closed = "there was no train–valid gap to close"
    elif gap >= gap_none:
        closed = "it did not close the train–valid gap"
    else:
        closed = f"it closed {'' if gap <= 0 else f'{100 * (1 - gap / gap_none):.0f} % of '}the train–valid gap of the search"
    said = result["regularization"]
    if not said or said["gain"] is None:
        return f"Regularization: {closed}."
    verb, name = "gained" if said["gain"] >= 0 else "lost", said["metric"].replace("_", " ")
    unit = " points" if name.endswith("accuracy") else ""

    def said_so(value: float) -> str:
        return f"{100 * value:.1f}" if unit else score(value)

    error = "" if said["standard_error"] is None else f" ± {said_so(said['standard_error'])}"
    noise = "" if said["beyond_noise"] else ", which is within noise"
    where = "fresh splits of the source" if result.get("unpromised") else "fresh splits"
    much = f"{verb} {said_so(abs(said['gain']))}{error}{unit} of {name}"
    if unit and said_so(abs(said["gain"])) == "0.0":  # a digit that is not shown has no sign
        much = f"changed {name} by 0.0{error}{unit}"
    return (
        f"Regularization {much} on {where} against the same without it{noise}{_followed(said['followed'])}; {closed}."
    )


def _followed(said: Mapping[str, Any] | None) -> str:
    """What it did to the metric that was followed, where another is shown."""
    if said is None or said["gain"] is None:
        return ""
    error = "" if said["standard_error"] is None else f" ± {score(said['standard_error'])}"
    noise = "" if said["beyond_noise"] else ", within noise"
    return f" ({said['metric'].replace('_', ' ')}: {score(abs(said['gain']))} {'better' if said['gain'] >= 0 else 'worse'}{error}{noise})"
