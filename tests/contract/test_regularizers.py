"""The contract of every regularizer. New members of the family are discovered automatically."""

import math

import pytest
import torch

from hpo.core.samples import Fold
from hpo.core.trial import Fit
from hpo.nn.backends import BatchedBackend, CpuBackend
from hpo.nn.rng import Noise
from hpo.regularizers import FAMILY, STRENGTHS
from hpo.space import parser
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
from tests.helpers.training import (
    dataset,
    memory,
    population,
    step,
    trained,
    trial,
)

# Every point for every member on the MLP, and for one member per hook on a vmapped module. The remaining pairs of
# member and point on vmapped modules are marked `exhaustive`.
CASES = [(name, "mlp", point) for name in STRENGTHS for point in CONTRACT]
CASES += [(name, "mixed", point) for name in MODULE_MEMBERS for point in module_points(name)]
CASES += [("dropout", kind, point) for kind in OTHER_KINDS for point in MODULE_POINTS]


@pytest.mark.parametrize(("name", "kind", "point"), CASES, ids=case_id)
def test_every_member_keeps_the_contract(name, kind, point):
    point(contract_case(name, kind))


@pytest.mark.parametrize("name", FAMILY)
def test_class_attributes_are_complete_and_valid(name):
    member = FAMILY[name]
    assert member.name == name
    assert member.summary
    assert member.source
    assert member.direction in (1, 0, -1)
    domain, mistakes = parser.parse(name, member.prior, ())
    assert mistakes == []
    assert domain.sampled
    assert [parser.parse(name, value, ())[1] for value in (member.default_value, *member.probe)] == [[], [], []]


def test_weight_decay_shrinks_everything_by_lr_times_strength():
    at_rest = [trial(str(i), learning_rate=0.1, weight_decay=s) for i, s in enumerate((0.5, 0.0))]
    pop = population(dataset())
    for of in at_rest:
        pop.admit(of)
    (stack,) = pop.stacks.values()
    before = stack.tensors.values.clone()
    stack.program.optimizer.set_lr([0.1, 0.1])
    stack.program.optimizer.step()  # all gradients are still zero
    assert torch.allclose(stack.tensors.values[0], before[0] * 0.95)
    assert torch.equal(stack.tensors.values[1], before[1])


@pytest.mark.parametrize("way", [CpuBackend(), BatchedBackend()])
def test_l1_is_the_soft_threshold_of_the_weights(way):
    weights = torch.tensor([[0.05, -0.05, 0.3, -0.3], [0.05, -0.05, 0.3, math.nan]], dtype=torch.float64)
    expected = torch.tensor([[0.0, 0.0, 0.2, -0.2], [0.05, -0.05, 0.3, math.nan]], dtype=torch.float64)
    lr, strengths = torch.tensor([0.1, 0.1], dtype=torch.float64), torch.tensor([1.0, 0.0], dtype=torch.float64)
    STRENGTHS["l1"].after_step(strengths, step(weights=way.weights(memory(weights)), lr=lr))
    assert torch.allclose(weights, expected, equal_nan=True)


def test_l1_leaves_biases_alone():
    fresh = trained(dataset(), [trial("0", l1=1e6)], epochs=1)["0"].weights
    assert all((fresh[name] == 0).all() == name.endswith("weight") for name in fresh)


def test_l1_leaves_true_zeros_in_a_trained_network():
    released = trained(dataset(), [trial("0", l1=3.0), trial("1", l1=0.0)], epochs=5)
    assert released["0"].nonzero_share < 0.8
    assert released["1"].nonzero_share == 1.0


def test_dropout_zeroes_the_stated_share_and_scales_the_rest():
    fits = [Fit(trial(str(i)), Fold(0, *[torch.arange(1)] * 2)) for i in range(3)]
    noise = {"dropout": {0: Noise([fit.stream("dropout/0") for fit in fits], torch.float64)}}
    rates = torch.tensor([0.0, 0.25, 0.8], dtype=torch.float64)
    h = torch.ones(3, 100, 100, dtype=torch.float64)
    out = STRENGTHS["dropout"].hidden(rates, step(noise=noise), h, h, 0)
    share = (out == 0).double().mean((1, 2))
    assert torch.allclose(share, rates, atol=0.02)
    assert torch.allclose(out.max(-1).values.max(-1).values, 1 / (1 - rates))


@pytest.mark.exhaustive
@pytest.mark.parametrize("name", STRENGTHS)
def test_trials_of_different_depth_share_a_stack_without_effect_on_each_other(name):
    check_mixed_depths(name, (1, 2, 3))


@pytest.mark.parametrize("name", ONE_PER_HOOK)
@pytest.mark.parametrize("depths", [(3, 1, 2), (2, 2, 1)])
def test_depths_may_come_in_any_order_and_be_equal(name, depths):
    check_mixed_depths(name, depths)
