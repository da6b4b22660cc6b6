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
    "without-l1-12": TrialKey(12).without("l1"),
    "without-weight_decay-defaults_fast": TrialKey("defaults_fast").without("weight_decay"),
    "without-l1+dropout-12-fresh-2": TrialKey(12).without("l1").without("dropout").reevaluation(2),
    "without-dropout-3-scaled-20": TrialKey(3).without("dropout").refitted("scaled", 20),
    "ablation-0-fresh-2": TrialKey(0).ablation().reevaluation(2),
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
    "label",
    ["", "-1", "12-", "12-fresh-", "12-fresh-1-keep", "12-scaled-x", "a b", "12-other", "without--12", "without-l1-"],
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


def test_keys_of_variants_with_other_strengths_are_different():
    """A class weight is no regularizer, so it can be left out in addition to all regularizers, or be kept."""
    key = TrialKey(12)
    keys = [key.ablation(), key.without("class_weight"), key.ablation().without("class_weight")]
    keys += [key.without("class_weight").ablation(), key.without("l1"), key.without("l1").without("class_weight")]
    assert len({str(one) for one in keys}) == len(keys)
    assert all(TrialKey.parse(str(one)) == one for one in keys)
