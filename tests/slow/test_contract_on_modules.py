"""The points of the contract on vmapped modules that tests/contract leaves out."""

import pytest

from hpo.regularizers import STRENGTHS
from hpo.testing import CONTRACT
from tests.helpers.contract import (
    MODULE_MEMBERS,
    MODULE_POINTS,
    ONE_PER_HOOK,
    OTHER_KINDS,
    case_id,
    check_mixed_depths,
    contract_case,
    module_points,
)

CASES = [(name, "mixed", point) for name in MODULE_MEMBERS for point in CONTRACT if point not in module_points(name)]
CASES += [("dropout", kind, point) for kind in OTHER_KINDS for point in CONTRACT if point not in MODULE_POINTS]


@pytest.mark.exhaustive
@pytest.mark.parametrize(("name", "kind", "point"), CASES, ids=case_id)
def test_every_member_keeps_the_contract_on_modules(name, kind, point):
    point(contract_case(name, kind))


@pytest.mark.exhaustive
@pytest.mark.parametrize("name", [name for name in STRENGTHS if name not in ONE_PER_HOOK])
@pytest.mark.parametrize("depths", [(3, 1, 2), (2, 2, 1)])
def test_depths_may_come_in_any_order_and_be_equal(name, depths):
    check_mixed_depths(name, depths)
