"""All regularizers from a space file to predictions: each is searched in its default range, together with all others
that are possible on the same data."""

import io

import pandas as pd
import pytest
import torch
from sklearn.datasets import load_digits

from hpo.regularizers import FAMILY, STRENGTHS
from tests.helpers.searches import here, outcomes, write_space
from tests.helpers.tables import loans, reviews, synonyms

pytestmark = pytest.mark.usefixtures("unrecorded")
TEXT = {
    "columns": ["review"],
    "features": 60,
    "ngrams": [1, 2],
    "synonyms": "synonyms.csv",
    "back_translation": "tests.helpers.factories:shouted",
}


def digits() -> pd.DataFrame:
    data = load_digits(as_frame=True).frame
    return data.sample(300, random_state=0)


def few_loans() -> pd.DataFrame:
    return loans(300)


def abroad() -> pd.DataFrame:
    """Loans of another domain, with higher debts."""
    table = loans(200, seed=1)
    return table.assign(debt_ratio=table["debt_ratio"] + 0.2, income=table["income"] * 0.7)


def bears(member, kind):
    return not {"text", "image", "target", "auxiliary", "generated"} & set(member.needs) - {kind}


# What is predicted → (table, data, network)
KINDS = {
    "table": (few_loans, {"target": "repaid"}, {"width": None}),
    "image": (digits, {}, {"width": None, "image": [1, 8, 8]}),
    "text": (reviews, {"target": "again", "text": TEXT}, {"width": None}),
    "target": (few_loans, {"target": {"source": "abroad.csv", "column": "repaid"}}, {"width": None}),
}


def test_at_least_one_kind_of_data_bears_each_member():
    assert all(any(bears(member, kind) for kind in (*KINDS, "auxiliary", "generated")) for member in FAMILY.values())
    assert len(FAMILY) >= 25


@pytest.mark.exhaustive
@pytest.mark.parametrize("kind", KINDS)
def test_every_member_is_searched_together_and_the_network_predicts(store, kind):
    frame, data, network = KINDS[kind]
    frame().to_csv(store.parent / "rows.csv", index=False)
    abroad().to_csv(store.parent / "abroad.csv", index=False)
    synonyms().to_csv(store.parent / "synonyms.csv", index=False)
    search = {"learning_rate": "auto"} | {name: "auto" for name, member in FAMILY.items() if bears(member, kind)}
    search |= {
        "epochs": {"choices": [2, 3]},
        "batch_size": {"choices": [32, 64]},
        "width": {"choices": [4, 8]},
    }  # small ones
    path = write_space(
        store,
        data={"source": "rows.csv", **data},
        network=network,
        search=search,
        train={"metric": "loss"},
        sampler="random",
        budget={"trials": 10},
    )
    ran = here("search", "--space", path, "--store", store)
    assert ran.exit_code == 0, ran.output
    trials = [o["trial"]["params"] for label, o in outcomes(store).items() if label.isdigit()]
    assert len(trials) == 8
    assert all(params.keys() >= search.keys() for params in trials)
    named = STRENGTHS.keys() & search.keys()
    assert all(len({params[name] for params in trials}) > 1 for name in named)  # none is stuck at off
    assert any(sum(params[name] != STRENGTHS[name].default_value for name in named) > 5 for params in trials)
    best = store.parent / "best"
    assert here("export", "--store", store, "--weights", best, "-o", store.parent / "best.yaml").exit_code == 0
    said = pd.read_csv(io.StringIO(here("predict", store.parent / "rows.csv", "--weights", best).stdout))
    assert len(said) == len(frame())
    assert torch.isfinite(torch.tensor(said.filter(like="probability").to_numpy(dtype=float))).all()
    again = here("check", store.parent / "best.yaml")
    assert again.exit_code == 0, again.output
