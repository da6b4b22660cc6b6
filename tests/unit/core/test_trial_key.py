"""Trial keys and their strings, which name files, MLflow runs and stored outcomes."""

import pytest

from hpo.core.trial_key import TrialKey

KEYS = {
    "12": TrialKey(12),
    "0": TrialKey(0),
    "none": TrialKey("none"),
    "ablation-12": TrialKey(12).ablation(),
    "unadapted-defaults": TrialKey("defaults").unadapted(),
    "12-fresh-1": TrialKey(12).reevaluation(1),
    "ablation-0-fresh-2": TrialKey(0).ablation().reevaluation(2),
    "12-nested-0": TrialKey(12).nested(0),
    "none-scaled-39": TrialKey("none").refitted("scaled", 39),
    "ablation-7-keep": TrialKey(7).ablation().refitted("keep", None),
    "12-average": TrialKey(12).refitted("average", None),
    "ensemble-12": TrialKey(12, "ensemble"),
    "ensemble-bagging": TrialKey("bagging", "ensemble"),
    "ensemble-boosting-0": TrialKey("boosting", "ensemble", stage=0),
}


@pytest.mark.parametrize("label", KEYS)
def test_a_key_has_one_string_and_a_string_has_one_key(label):
    assert str(KEYS[label]) == label
    assert TrialKey.parse(label) == KEYS[label]


@pytest.mark.parametrize(
    "label", ["", "-1", "12-", "12-fresh-", "12-fresh-1-nested-0", "12-scaled-x", "a b", "12-other"]
)
def test_any_other_string_is_refused(label):
    with pytest.raises(ValueError, match="is not the label of a trial"):
        TrialKey.parse(label)


def test_only_a_trial_of_the_search_itself_has_a_number():
    assert [label for label, key in KEYS.items() if key.is_searched] == ["12", "0"]
    assert TrialKey(12).number == 12
    for key in (TrialKey("none"), TrialKey(12).ablation(), TrialKey(12).reevaluation(1)):
        with pytest.raises(ValueError, match="is not a searched trial"):
            _ = key.number
