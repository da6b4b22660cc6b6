"""The last section of the page: commands for the result, and what would make it more certain or better."""

from __future__ import annotations

import shlex
from html import escape

from hpo.core.metrics import METRICS
from hpo.report.analysis import still_improving
from hpo.report.balance import Balance, balance
from hpo.report.inputs import ReportInputs
from hpo.report.section import Panel, Section
from hpo.report.summary import next_step_lines
from hpo.report.words import listed
from hpo.study import ranking

_DEFAULT_STORE = "mlruns"


def section(inputs: ReportInputs) -> Section:
    """Return the section."""
    commands = "".join(
        f"<li><code>{escape(command)}</code> {escape(purpose)}</li>" for command, purpose in _commands(inputs)
    )
    advice = "".join(f"<li>{escape(line)}</li>" for line in _advice(inputs, balance(inputs)))
    panels = [Panel("", html=f'<ul class="commands">{commands}</ul>')]
    panels += [Panel("", html=f"<ul>{advice}</ul>", title="For a better or a more certain result")] if advice else []
    return Section("What to do next", "What to do next", "", panels, wide=True)


def _commands(inputs: ReportInputs) -> list[tuple[str, str]]:
    """Return commands, each with its purpose."""
    options = _options(inputs)
    commands = [(f"hpo export {options} -o best.yaml", "writes the selected configuration")]
    if inputs.result.refit.weights:
        commands.append((f"hpo export {options} --weights best", "writes the final network, for hpo predict"))
    best = ranking.best(inputs.complete_trials, METRICS[inputs.space.train.metric])
    if best is not None and best.trial.label not in (inputs.result.trial, _named_rival(inputs)):
        number = best.trial.label
        purpose = "writes the trial with the best score of the search, which is partly luck"
        commands.append((f"hpo export {options} --trial {number} -o trial-{number}.yaml", purpose))
    return [*commands, (f"hpo ui {options}", "shows all trials in MLflow")]


def _named_rival(inputs: ReportInputs) -> str:
    """Return the label of the trial whose export command stands in the advice, "" for none."""
    verdict = inputs.result.verdict
    return verdict.rival if verdict and next_step_lines(inputs.result, "") else ""


def _options(inputs: ReportInputs) -> str:
    study = f"--study {shlex.quote(inputs.result.study)}"
    return study if inputs.store == _DEFAULT_STORE else f"{study} --store {shlex.quote(inputs.store)}"


def _advice(inputs: ReportInputs, balance: Balance) -> list[str]:
    """Say what would help, each line for a finding of this search."""
    lines = next_step_lines(inputs.result, _options(inputs))
    if balance.standing == "more" and balance.at_bounds:
        lines.append(f"Extend the range of {listed(balance.at_bounds)} in the space file, under a new study name.")
    if balance.standing == "over":
        lines.append("Allow less regularization: lower ranges, or optional: true, under a new study name.")
    if balance.standing in ("unclear", "none_unclear"):
        lines.append("To measure the effect of regularization more precisely: data.split.folds, or more rows.")
    if balance.standing == "unmeasured" and not inputs.result.finalists:
        lines.append("To measure the effect of regularization: finalists: 4.")
    if improving := still_improving(inputs.compared_trainings):
        key = "budget.seconds, which ended training early" if _ended_early(inputs, improving) else "train.epochs"
        lines.append(f"Some networks were still improving at their last epoch: raise {key}.")
    return lines


def _ended_early(inputs: ReportInputs, names: list[str]) -> bool:
    """Return whether one of the compared configurations was trained for fewer epochs than the space says."""
    trainings = [inputs.compared_trainings[name] for name in names]
    return any(o.epochs < inputs.space.train.of(o.trial.params).epochs for o in trainings)
