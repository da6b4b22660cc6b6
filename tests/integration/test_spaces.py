"""The shipped spaces: each is searched with a small budget, and has the properties that its comments promise."""

import shutil
from pathlib import Path

import pytest

from hpo.core import yaml_document
from hpo.export.configuration import as_yaml
from hpo.regularizers import FAMILY, STRENGTHS
from hpo.space import loader
from tests.helpers.searches import here, outcomes

FOLDER = Path(__file__).parents[2] / "search_spaces"
READY = sorted(FOLDER.glob("*.yaml"))


def load(name):
    return loader.load(FOLDER / f"{name}.yaml")


def test_the_list_of_shipped_spaces():
    assert [path.stem for path in READY] == [
        "cocktail",
        "domain_shift",
        "finetune",
        "finetune_source",
        "image",
        "quick",
        "reg",
        "reviews",
        "tabular",
        "text",
    ]


def trained(store):
    """Train a smaller version of the network that `finetune` starts from."""
    space = yaml_document.parse((FOLDER / "finetune_source.yaml").read_text()).value
    space |= {"network": {"width": 8}, "train": {"epochs": 2}, "budget": {"trials": 3}, "finalists": 0}
    (store.parent / "source.yaml").write_text(as_yaml(space))
    assert here("search", "--space", store.parent / "source.yaml", "--store", store, "--quiet").exit_code == 0
    assert (
        here("export", "--study", "finetune_source", "--store", store, "--weights", store.parent / "bank").exit_code
        == 0
    )
    return store.parent / "bank"


@pytest.mark.usefixtures("unrecorded")
@pytest.mark.parametrize("path", READY, ids=lambda path: path.stem)
def test_a_shipped_space_is_searched(path, store):
    for table in (path for path in FOLDER.iterdir() if path.suffix != ".yaml"):
        shutil.copy(table, store.parent)
    space = yaml_document.parse(path.read_text()).value
    space |= {"budget": {"trials": 5}, "finalists": 1, "study": "ready", "refit": "none", "sampler": "random"}
    space["train"] |= {"epochs": 2}
    space["network"] |= {"init": str(trained(store))} if "init" in space["network"] else {"width": 8}
    (store.parent / "space.yaml").write_text(as_yaml(space))
    assert here("search", "--space", store.parent / "space.yaml", "--store", store, "--quiet").exit_code == 0
    found = [one["trial"]["params"] for label, one in outcomes(store, "ready").items() if label.isdigit()]
    assert len(found) == 3
    assert all(params.keys() == {"depth"} | space["search"].keys() for params in found)


@pytest.mark.parametrize("name", ["image", "cocktail", "domain_shift", "finetune", "reviews", "tabular", "text"])
def test_every_strength_of_a_larger_space_can_be_off(name):
    search = load(name).search
    assert all(found.optional or found.low == 0 for key, found in search.items() if key in STRENGTHS)


@pytest.mark.parametrize("name", ["domain_shift", "image", "reg", "reviews", "tabular", "text"])
def test_a_shipped_space_with_folds_uses_the_paired_pruner(name):
    assert load(name).pruner.kind == "median"
    space = yaml_document.parse((FOLDER / f"{name}.yaml").read_text()).value
    space["data"]["split"] = {"folds": 5}
    assert loader.parse(space).pruner.kind == "paired"


def test_digits_are_never_mirrored():
    assert not {"flip"} & load("image").search.keys()
    assert {key for key in load("image").search if key in FAMILY and "image" in FAMILY[key].needs} == {
        "rotation",
        "crop",
        "zoom",
        "color_jitter",
    }


def test_the_cocktail_uses_one_augmentation_at_a_time():
    space = load("cocktail")
    ways = ("mixup", "cutmix", "cutout", "adversarial")
    middle = space.middle()
    for first in range(len(ways)):
        sampled = {way: middle[way] or space.search[way].middle() for way in ways}
        switches = {f"{way}_enabled": i >= first for i, way in enumerate(ways)}
        params = space.params({**middle, **sampled, **switches})
        assert [way for way in ways if params[way]] == [ways[first]]
