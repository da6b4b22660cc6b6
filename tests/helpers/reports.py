"""Made trials of a search, and the inputs of its report."""

from hpo.core.trial import Outcome, Trial
from hpo.core.trial_key import TrialKey
from hpo.regularizers.configs import make_config
from hpo.report.inputs import ReportInputs
from hpo.selection.result_parts import ConfigScores, ExpectedGain, FinalistScores
from hpo.space import loader
from tests.helpers.results import search_result
from tests.helpers.searches import TINY


def outcome(label, value, gap, role="search", state="complete", **params):
    """Return a trial of one epoch with this validation loss and train–valid gap."""
    config = {"learning_rate": 1e-2, "depth": 1, "weight_decay": 0.0, "dropout": 0.0} | params
    return Outcome(
        trial=Trial(TrialKey.parse(str(label)), role, make_config(config), 0),
        state=state,
        reason="",
        value=value,
        best_epoch=1,
        epochs=1,
        train={"loss": value - gap},
        valid={"loss": value},
        nonzero_share=1.0,
        curves={"train_loss": [value - gap], "valid_loss": [value]},
        fold_curves={},
        fit_epochs=1,
        started=0.0,
        epoch_times=[1.0],
        rounds=[int(label) if str(label).isdigit() else 0] * 2,
        values={},
    )


def with_falling_gap(n=20):
    """Return trials whose gap falls with dropout and whose loss does not depend on it."""
    return [outcome(i, 1.0 + (i * 7 % n) / 100, 0.5 - i / 100, dropout=0.5 * i / n) for i in range(n)]


def gain(low, high):
    """Return an expected gain over a reference whose error is 1, in the middle of its interval."""
    middle = (low + high) / 2
    return ExpectedGain(
        gain=middle,
        low=low,
        high=high,
        relative=middle,
        probability=0.5,
        measured=2 * middle,
        draws=2,
    )


def config_scores(label, loss, gap, params=None):
    """Return the scores of a re-evaluated configuration."""
    scores = {"loss": loss}
    return ConfigScores(
        trial=label,
        params=params or {},
        fit_seed=0,
        best_epoch=1,
        nonzero_share=1.0,
        search_score=loss,
        train={"loss": loss - gap},
        valid=scores,
        gap=gap,
        reevaluated=scores,
        expected=scores,
        test=scores,
        test_single=scores,
    )


def report_inputs(outcomes, selected="0", gap_without=None, **result):
    """Return the inputs of a report in which the trial `selected` is selected.

    `gap_without` is the gap of its ablation; `result` holds further attributes of the result.
    """
    by_label = {o.trial.label: o for o in outcomes}
    chosen = by_label[selected]
    scored = FinalistScores(search=1.0, reevaluated=1.0, standard_error=0.1, fits=4, gain=None)
    baselines = {}
    if gap_without is not None:
        baselines["ablation"] = config_scores(f"ablation-{selected}", chosen.valid["loss"], gap_without)
    attributes = {
        "trial": selected,
        "selected": chosen.trial.params,
        "valid": chosen.valid,
        "gap": chosen.gap,
        "finalists": {selected: scored},
        "baselines": baselines,
    }
    return ReportInputs(
        search_result(**attributes | result), loader.parse(TINY), by_label, lambda params: params["depth"]
    )
