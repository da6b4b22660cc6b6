"""Every storage keeps a study: attributes, proposals and outcomes, in whole batches, and gives them back when
reopened."""

import pytest
from optuna.distributions import CategoricalDistribution, FloatDistribution
from optuna.study import StudyDirection
from optuna.trial import TrialState, create_trial

from hpo.core.errors import InputError
from hpo.core.trial import Outcome, Trial
from hpo.core.trial_key import TrialKey
from hpo.regularizers.configs import make_config
from hpo.study.storage import SCHEMA, STORAGES, open_storage, read_attrs
from hpo.study.study import Study
from hpo.workflows import loop
from tests.helpers.studies import NullSinks, RecordedCurves, make_space

DISTRIBUTIONS = {
    "learning_rate": FloatDistribution(1e-4, 1e-1, log=True),
    "dropout_enabled": CategoricalDistribution((True, False)),
}


@pytest.fixture(params=STORAGES)
def location(request, tmp_path):
    """A place for a new study: a path, or the URL of a database file for the storages of other schemes."""
    path = tmp_path / "study"
    return path if request.param == "file" else f"{request.param}:///{path}.db"


def create(location):
    storage = open_storage(location)
    attrs = {"space": {"study": "s", "seed": 0}, "deterministic": False}
    storage.create("s", [StudyDirection.MINIMIZE, StudyDirection.MAXIMIZE], attrs)
    return storage


def proposal(number, **system_attrs):
    return create_trial(
        state=TrialState.RUNNING,
        params={"learning_rate": 0.01 + number / 1000, "dropout_enabled": number % 2 == 0},
        distributions=DISTRIBUTIONS,
        system_attrs=system_attrs,
    )


def outcome(number, state="complete", values=None):
    return Outcome(
        trial=Trial(TrialKey(number), "search", make_config({"learning_rate": 0.01}), 7),
        state=state,
        reason="trained all epochs",
        value=0.25,
        best_epoch=2,
        epochs=2,
        train={"loss": 0.125},
        valid={"loss": 0.25},
        nonzero_share=1.0,
        curves={"valid_loss": [0.5, 0.25]},
        fold_curves={},
        fit_epochs=2,
        started=1e9,
        epoch_times=[1e9 + 1, 1e9 + 2],
        rounds=[0, 1],
        values={"valid_loss": 0.25, "seconds": 2.0} if values is None else values,
    )


def test_the_default_storage_is_found():
    assert "file" in STORAGES


def test_a_scheme_without_a_storage_is_refused():
    with pytest.raises(InputError, match=r"^tape://reel cannot hold a study: no storage for tape\. Known: file"):
        open_storage("tape://reel")


def test_nothing_exists_before_a_study_is_created(location):
    storage = open_storage(location)
    assert (storage.exists(), storage.attrs(), storage.trials()) == (False, {}, [])
    storage.close()
    assert read_attrs(location) == {}


def test_attributes_are_replaced_and_read_back(location):
    storage = create(location)
    storage.set_attr("elapsed", 1.5)
    storage.set_attr("elapsed", 2.5)
    storage.set_sampler_attrs({"qmc:position": 1})
    storage.set_sampler_attrs({"qmc:position": 2})
    storage.close()
    for again in (open_storage(location, writable=False), open_storage(location)):
        assert again.exists()
        assert again.attrs() == {"space": {"study": "s", "seed": 0}, "deterministic": False, "elapsed": 2.5}
        assert (again.get_attr("elapsed"), again.get_attr("missing")) == (2.5, None)
        assert again.sampler_attrs() == {"qmc:position": 2}
        again.close()


def test_proposals_come_back_in_the_order_of_their_numbers_with_their_parameters(location):
    storage = create(location)
    for number in range(12):
        storage.add_trial(proposal(number, place=number), {"seed": number, "start_round": number // 4})
    storage.close()
    again = open_storage(location)
    assert [trial.number for trial in again.trials()] == list(range(12))
    for number, trial in enumerate(again.trials()):
        assert trial.params == proposal(number).params
        assert trial.distributions == DISTRIBUTIONS
        assert trial.user_attrs == {"seed": number, "start_round": number // 4}
        assert trial.system_attrs == {"place": number}
        assert trial.state == TrialState.RUNNING
    again.close()


@pytest.mark.parametrize(
    ("state", "values"),
    [("complete", None), ("pruned", {"valid_loss": 0.5, "seconds": 1.0}), ("failed", {})],
)
def test_an_outcome_comes_back_as_it_was_with_the_attributes_that_were_set_after_the_proposal(location, state, values):
    storage, ended = create(location), outcome(1, state, values)
    for number in range(3):
        storage.add_trial(proposal(number, place=number), {"start_round": 0})
    storage.finish_trial(1, ended, {"place": 1, "generation": 3})
    storage.close()
    again = open_storage(location)
    trial = again.trials()[1]
    assert Outcome.from_json(trial.user_attrs["outcome"]) == ended
    assert trial.user_attrs["sampler_attrs"] == {"generation": 3}
    assert trial.state == {"complete": TrialState.COMPLETE, "pruned": TrialState.PRUNED}.get(state, TrialState.FAIL)
    assert ["outcome" in trial.user_attrs for trial in again.trials()] == [False, True, False]
    again.close()


def test_all_outcomes_can_be_read_while_the_study_is_open_for_writing(location):
    storage = create(location)
    for number in range(2):
        storage.add_trial(proposal(number), {})
    storage.finish_trial(1, outcome(1), {})
    storage.set_attr("outcome:none", {"label": "none"})
    attrs = read_attrs(location)
    assert [Outcome.from_json(attrs["outcomes"][0]), attrs["outcomes"][1]] == [outcome(1), {"label": "none"}]
    storage.set_attr("elapsed", 3.0)
    assert read_attrs(location)["elapsed"] == 3.0
    storage.close()


def test_a_batch_is_stored_whole_or_not_at_all(location):
    storage = create(location)
    with storage.batch():
        storage.add_trial(proposal(0), {})
        storage.set_attr("elapsed", 1.0)

    def interrupted():
        with storage.batch():
            storage.finish_trial(0, outcome(0), {})
            storage.set_attr("elapsed", 2.0)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    storage.close()
    again = open_storage(location)
    assert again.get_attr("elapsed") == 1.0
    assert [trial.user_attrs for trial in again.trials()] == [{}]
    again.close()


def search(space, location, population):
    study, sinks = Study(space, location, "data"), NullSinks()
    try:
        loop.run(study, population, sinks, sinks)
    finally:
        study.close()
    return {label: (o.trial, o.curves, o.state) for label, o in study.outcomes.items()}


def test_an_interrupted_study_resumes_from_any_storage_as_if_it_had_not_been(location, tmp_path):
    class Interrupted(RecordedCurves):
        def admit(self, trial):
            if len(self.admitted) == 12:
                raise KeyboardInterrupt
            super().admit(trial)

    space = make_space(budget={"trials": 20})
    with pytest.raises(KeyboardInterrupt):
        search(space, location, Interrupted())
    assert search(space, location, RecordedCurves()) == search(space, tmp_path / "other.log", RecordedCurves())


@pytest.mark.parametrize("schema", [0, SCHEMA - 1, SCHEMA + 1, None])
def test_a_study_of_another_schema_is_refused_with_one_sentence(location, schema):
    search(make_space(budget={"trials": 3}), location, RecordedCurves())
    storage = open_storage(location)
    storage.set_attr("schema", schema)
    storage.close()
    with pytest.raises(
        InputError, match=r"^The study s was stored by another version of hpo \(schema .*remove it with"
    ):
        Study(make_space(), location, "data")
