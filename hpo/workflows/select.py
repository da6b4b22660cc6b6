"""Select a configuration after the search, by re-evaluation if the space requests one."""

from __future__ import annotations

from collections.abc import Sequence

from hpo.core.errors import SearchFailedError
from hpo.core.trial import Outcome, Trial
from hpo.regularizers.active import active_adaptation, active_regularization, is_regularized
from hpo.selection.decision import Selection
from hpo.selection.entrants import select_finalists
from hpo.selection.finalist import Finalist
from hpo.selection.finals import Finals, n_draws
from hpo.study import baselines
from hpo.study.study import Study
from hpo.workflows.session import SearchSession


def select(session: SearchSession) -> tuple[Selection | None, dict[str, Finalist]]:
    """Select a configuration by re-evaluation; return the selection, and the compared configurations by name."""
    study, experiment = session.study, session.experiment
    best = study.best()
    if best is None or not best.valid:
        raise SearchFailedError(_all_diverged(study))
    if experiment.space.is_point or not experiment.space.finalists:
        return None, _without_finals(session, best)
    outcomes = select_finalists(study, experiment.space, session.plan.allot().finalists)
    finals = _finals(session, outcomes)
    session.plan.limit_reevaluation()
    faster = [trial for o in outcomes[:2] for trial in baselines.faster_baselines(o, experiment.space)]
    finals.run(
        [Finalist.from_outcome(outcome, experiment.space) for outcome in outcomes]
        + [Finalist(trial, experiment.space) for trial in faster]
    )
    if _was_cut_off(finals):
        session.watcher.note(
            "The time budget ended during the re-evaluation, so the best trial is selected by its search score alone, "
            "which is partly luck; raise budget.seconds."
        )
        return None, _without_finals(session, best, in_time=False)
    selection = Selection.by_rule(finals, experiment.space.select)
    selected = finals.finalists[selection.selected]
    session.watcher.selected(finals)
    if faster:
        session.watcher.note(
            "A baseline was still improving at its last epoch, so the baselines were also evaluated at higher learning "
            "rates; more epochs (train.epochs) may help all configurations."
        )
    compared = {
        "selected": selected,
        "ablation": finals.find(baselines.ablation(selected.trial)) or selected,
        "defaults": finals.finalists[selection.verdict.reference],
        "none": finals.finalists["none"],
    }
    if _adapts_and_regularizes(selected.trial):
        unadapted = finals.evaluate(baselines.without_adaptation(selected.trial))
        compared |= {"unadapted": unadapted} if unadapted else {}
    if selected.searched is None:  # a variant, which the report shows like any trial
        selected.searched = _trained(session, selected.trial)
    return selection, compared


def _was_cut_off(finals: Finals) -> bool:
    """Return whether the time was up before the usual defaults had been re-evaluated."""
    return not finals.finalists["defaults"].reevaluations


def _finals(session: SearchSession, outcomes: Sequence[Outcome]) -> Finals:
    experiment, plan = session.experiment, session.plan
    allotment = plan.allot()
    return Finals(
        experiment.space,
        experiment.data,
        experiment.networks,
        session.study,
        session.weights,
        session.trainer.train,
        plan.allows,
        with_variants=allotment.variants,
        draws=n_draws(experiment.data) if allotment.second_draw else 1,
        max_epochs=plan.max_epochs(outcomes),
    )


def _without_finals(session: SearchSession, best: Outcome, *, in_time: bool = True) -> dict[str, Finalist]:
    """Return the best trial of the search and its references by name; a single configuration has no references.

    If it is not `in_time`, references that the search has not trained are left out: the best trial stands for them.
    """
    space = session.experiment.space
    if space.is_point:
        return {"selected": Finalist.from_outcome(best, space)}
    has_ablation = in_time and is_regularized(best.trial.params)
    compared = {
        "selected": best,
        "ablation": _trained(session, baselines.ablation(best.trial)) if has_ablation else best,
        **{name: session.study.outcomes[name] for name in ("defaults", "none")},
    }
    if in_time and _adapts_and_regularizes(best.trial):
        compared["unadapted"] = _trained(session, baselines.without_adaptation(best.trial))
    return {name: Finalist.from_outcome(outcome, space) for name, outcome in compared.items()}


def _trained(session: SearchSession, trial: Trial) -> Outcome:
    """Train, on the rows of the search, a configuration that the search did not propose."""
    session.trainer.train([trial], lambda: session.experiment.data)
    return session.study.outcomes[trial.label]


def _adapts_and_regularizes(trial: Trial) -> bool:
    """Return whether some regularizers of a configuration adapt and others do not. If all of them adapt, the ablation
    is the configuration without adaptation."""
    return 0 < len(active_adaptation(trial.params)) < len(active_regularization(trial.params))


def _all_diverged(study: Study) -> str:
    reasons = {o.reason for o in study.budget_outcomes()}
    return (
        f"All {len(study.budget_outcomes())} trials diverged ({min(reasons)}): the loss was not finite. "
        f"Lower search.learning_rate, and look for extreme values in the data."
    )
