"""The end of a search, and two searches side by side, as a person reads them: plain lines of text."""

from __future__ import annotations

import math
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from hpo.core.metrics import display_metric, labelled_metric
from hpo.report.summary import adaptation_lines, criteria_table, first_line, regularization_line
from hpo.space.formatting import score, strengths, table, trial_name
from hpo.study.directory import StudyDirectory
from hpo.tracking.mlflow_server import HOST, PORT, link
from hpo.workflows.compare import Difference
from hpo.workflows.completed import CompletedStudy

_ROWS = {
    "selected": "selected",
    "unadapted": "…without adaptation",
    "ablation": "…without regularization",
    "defaults": "usual defaults",
    "none": "no regularization",
}


def result_lines(result: Mapping[str, Any], store: str) -> list[str]:
    """The end of a search: a verdict, the selected configuration, the table, and where to look."""
    report = StudyDirectory(Path(store), result["study"]).report
    lines: list[str] = []
    if verdict := first_line(result):
        lines += [verdict, ""]
    params = [f"  {line}" for line in strengths(result["selected"])]
    lines += [
        f"Selected: {trial_name(result['trial'])}",
        *params,
        *_rules(result),
        "",
        *_scores(result),
        "",
        *_front(result),
    ]
    lines += [*_expected(result), *_criteria(result), *_refit(result)]
    lines += [line for entry in result["ensembles"].values() for line in ensemble_lines(entry, result)]
    if adapted := " ".join(adaptation_lines(result)):
        lines.append(adapted)
    if gained := regularization_line(result):
        lines.append(gained)
    elsewhere = "" if store == "mlruns" else f" --store {shlex.quote(store)}"
    counts = result["trials"]
    total = sum(counts.values())
    lines += [
        f"{total} trial{'s' if total != 1 else ''}: {counts['complete']} finished, {counts['pruned']} pruned, "
        f"{counts['failed']} diverged · {result['epochs_trained']:,} of {result['epochs_possible']:,} possible epochs"
        f"{_afterwards(result)} · {result['seconds']:.0f} s",
        "",
        f"Look:    hpo ui --study {result['study']}{elsewhere}",
        f"         {link(result['experiment_id'], result['run_id'], _base(result['tracking_uri']))}",
        *(
            [f"Read:    {report} ({result['report_seconds']:.1f} s to write)"]
            if result["report_seconds"] is not None
            else []
        ),
        f"Keep:    hpo export --study {result['study']}{elsewhere} -o best.yaml",
    ]
    return lines


def _afterwards(result: Mapping[str, Any]) -> str:
    """What was trained after the search, in epochs of single networks."""
    later = sum(epochs for role, epochs in result["fit_epochs"].items() if role != "search")
    return f", {later:,} to select and to train the final network" if later else ""


def _base(tracking_uri: str) -> str:
    return tracking_uri.rstrip("/") if tracking_uri.startswith("http") else f"http://{HOST}:{PORT}"


def _scores(result: Mapping[str, Any]) -> list[str]:
    other = display_metric(result["task"], result["metric"])
    short = {"accuracy": "acc", "balanced_accuracy": "bal. acc"}.get(other, other)
    entries = {"selected": result, **result["baselines"]}
    fresh = bool(result["fresh"])
    source, target = (", source", ", target") if result.get("unpromised") else ("", "")
    columns = (
        ["search loss", "fresh loss", f"fresh {short}{source}"] if fresh else ["valid loss", f"valid {short}{source}"]
    )
    followed = (
        [result["metric"]] if labelled_metric(result["metric"]) != result["metric"] else []
    )  # what asks for no labels
    columns += [f"{'fresh' if fresh else 'valid'} {name.replace('_', ' ')}" for name in followed]
    rows = [["", *columns, "train–valid gap", f"test {short}{target}"]]
    trials = [entries[key]["trial"] for key in ("none", "defaults", "ablation") if key in entries]
    alike = [
        key for key in result["baselines"] if entries[key]["trial"] == result["trial"]
    ]  # is the selected one itself
    if "ablation" in entries and trials.count(entries["ablation"]["trial"]) > 1:
        alike = ["ablation", *alike]  # is a baseline itself, and stands there
    names = _ROWS | {"selected": "selected: " + _ROWS[alike[-1]] if alike and alike[-1] != "ablation" else "selected"}
    for key in (key for key in _ROWS if key in entries and key not in alike):
        valid, seen, test = (entries[key][part] for part in ("valid", "fresh", "test"))
        gap = valid["loss"] - entries[key]["train"]["loss"] if valid else None
        scores = (
            (valid.get("loss"), seen.get("loss"), seen.get(other)) if fresh else (valid.get("loss"), valid.get(other))
        )
        scores += tuple((seen if fresh else valid).get(name) for name in followed)
        rows.append([names[key], *map(score, (*scores, gap, test.get(other)))])
    return ["  " + line for line in table(rows)]


def _rules(result: Mapping[str, Any]) -> list[str]:
    """What each rule selects, the one that counts first."""
    rules = result["rules"]
    if not rules:
        return (
            ["By its score in the search alone (finalists: 0), a part of which is luck."] if result["baselines"] else []
        )
    own = result["rule"]
    if len(set(rules.values())) == 1:
        return [f"All rules ({', '.join(rules)}) select it."]
    others = [f"{rule} would take {trial_name(label)}" for rule, label in rules.items() if rule != own]
    return [f"Selected by {own}; {', '.join(others)}."]


def _front(result: Mapping[str, Any]) -> list[str]:
    """The Pareto front, where there are several objectives."""
    if not result["front"]:
        return []
    goals = list(result["front"][0]["values"])
    head = ["no trial beats these in all objectives", *(goal.replace("_", " ") for goal in goals)]
    rows = [[trial_name(one["trial"]), *(score(one["values"][goal]) for goal in goals)] for one in result["front"]]
    return [*("  " + line for line in table([head, *rows])), ""]


def _expected(result: Mapping[str, Any]) -> list[str]:
    """The score on its way from the search to the test, and where the test was expected."""
    name = display_metric(result["task"], result["metric"])
    found = result["score"].get(name)
    if not found:
        return []
    low, high = found["interval"]
    interval = (
        f"90 % interval {score(low)} to {score(high)}"
        if low is not None
        else "a single validation part gives no interval, data.split.folds does"
    )
    if result.get("unpromised"):
        return [
            f"On the source, {name.replace('_', ' ')} is {score(found['fresh'])} ({interval}): {score(found['search'])} in the search → "
            f"{score(found['fresh'])} on fresh splits and seeds. Of the target that says nothing."
        ]
    test = "" if found["test"] is None else f" → {score(found['test'])} on the test rows"
    return [
        f"Expect {name.replace('_', ' ')} {score(found['fresh'])} ({interval}): "
        f"{score(found['search'])} in the search → {score(found['fresh'])} on fresh splits and seeds{test}."
    ]


def _criteria(result: Mapping[str, Any]) -> list[str]:
    aid, rows = criteria_table(result)
    return [aid, *("  " + line for line in table(rows)), ""] if rows else []


def _refit(result: Mapping[str, Any]) -> list[str]:
    """How the final network was made, and whether another way would be better."""
    said = result["refit"]
    if said["kind"] == "none":
        untouched = "the test part is untouched" if not result["looks"] else "the test part was scored before"
        return [f"No final network was trained (refit: none): {untouched}."]
    if said["weights"] is None:
        return [
            "The final network diverged, so there is none: the learning rate does not bear all rows. Lower search.learning_rate."
        ]
    made = {
        "scaled": f"trained on {said['rows']:,} rows, validation rows among them, for {said['epochs']} epochs",
        "keep": "the one of the search",
        "average": "one a fold, their predictions averaged",
    }[said["kind"]]
    metric = labelled_metric(result["metric"])
    ways = [f"{way} {score(found[metric])}" for way, found in said["compared"].items()]
    compared = f" (by folds within folds, valid {metric}: {', '.join(ways)})" if ways else ""
    return [f"Final network: {made}{compared}.", *_again(result)]


def _again(result: Mapping[str, Any]) -> list[str]:
    """A warning of a test part that is no longer untouched."""
    return (
        [f"The test part has now been scored {result['looks']} times: choose by the fresh scores."]
        if result["looks"] > 1
        else []
    )


def ensemble_lines(entry: Mapping[str, Any], result: Mapping[str, Any]) -> list[str]:
    """An ensemble beside the single network: on the test part, by how much its members differ, and what was expected."""
    name = display_metric(result["task"], result["metric"])
    said, apart, size = name.replace("_", " "), entry["diversity"], entry["networks"] // entry["each"]
    single = result["refit"]["kind"] != "average"
    differ = []
    if "disagreement" in apart:
        percent = result["task"] == "classification"
        differ.append(
            f"disagreement {100 * apart['disagreement']:.1f} %"
            if percent
            else f"disagreement {score(apart['disagreement'])}"
        )
    if "error_correlation" in apart:
        differ.append(f"error correlation {apart['error_correlation']:.2f}")
    expected, rows = entry["expected"].get(name), "rows of the source" if result.get("unpromised") else "rows"
    return [
        f"{entry['kind'].capitalize()} ensemble of {_members(entry, size)}: test {said} {score(entry['test'].get(name))}, "
        f"the {'single network' if single else 'average of folds'} {score(entry['single'].get(name))}"
        + (f"; expected {score(expected)} from {rows} that it had not seen" if expected is not None else "")
        + (f"; {', '.join(differ)}." if differ else ".")
    ]


def ensemble_ending(entry: Mapping[str, Any], result: Mapping[str, Any], store: str) -> list[str]:
    """What `hpo ensemble` says at its end: the shares of the members, the line of a search's ending, and what to do with it."""
    shares = sorted(((one["share"], one["trial"]) for one in entry["members"]), reverse=True)
    distinct = len({trial for _, trial in shares}) > 1
    lines = [", ".join(f"{trial_name(trial)} {100 * share:.0f} %" for share, trial in shares)] if distinct else []
    elsewhere = "" if store == "mlruns" else f" --store {shlex.quote(store)}"
    return [
        *lines,
        *ensemble_lines(entry, result),
        *_again(result),
        f"Keep:    hpo export --study {result['study']}{elsewhere} --weights best --ensemble {entry['kind']}",
    ]


def _members(entry: Mapping[str, Any], size: int) -> str:
    """What an ensemble consists of."""
    if entry["each"] > 1:
        return f"{size} configuration{'s' if size > 1 else ''}, each {entry['each']} networks on folds"
    return f"{size} network{'s' if size > 1 else ''}"


def comparison(first: CompletedStudy, second: CompletedStudy, differences: Sequence[Difference]) -> list[str]:
    """What two searches selected, side by side, and whether it differs beyond noise."""
    rows = [
        [
            "",
            *(f"fresh {d.metric.replace('_', ' ')}" for d in differences),
            *(f"test {d.metric.replace('_', ' ')}" for d in differences),
        ]
    ]
    for i, search in enumerate((first, second)):
        fresh = [score(d.scores[i]) for d in differences]
        rows.append([search.place.name, *fresh, *(score(search.result["test"].get(d.metric)) for d in differences)])
    lines = [*("  " + line for line in table(rows)), ""]
    for search in (first, second):
        line, *more = strengths(search.result["selected"])
        lines += [
            f"{search.place.name} selected {trial_name(search.result['trial'])}:  {line}",
            *(f"  {one}" for one in more),
        ]
    lines.append("")
    for d in differences:
        pairs = f"{d.fits} fresh fits in pairs" if d.fits != 1 else "1 pair of fresh fits"
        how = pairs if d.paired else "fresh fits on different splits"
        by = f"± {d.standard_error:.2g} (standard error, {how})" if math.isfinite(d.standard_error) else f"over {how}"
        verdict = "they differ beyond noise" if d.beyond_noise else "no difference beyond noise"
        name = d.metric.replace("_", " ")
        lines.append(
            f"By {name}, {second.place.name} is {score(abs(d.gain))} {'better' if d.gain >= 0 else 'worse'} than {first.place.name}, "
            f"{by}: {verdict}."
        )
    return lines
