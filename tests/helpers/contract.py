"""Which member of the family is tested on which network by which point of the contract."""

from functools import cache, partial

from hpo.regularizers import STRENGTHS, overrides
from hpo.regularizers.base import HOOKS, Regularizer
from hpo.testing import CONTRACT, Case, default_value_equals_absence, same, stacked_fits_equal_single_fits
from tests.helpers.training import FACTORIES, network, shifted, suited, trained

# A regularizer that changes minibatches does not see the network, so only the others are tested on a module.
MODULE_MEMBERS = [
    name for name, member in STRENGTHS.items() if type(member).batch is Regularizer.batch and "mlp" not in member.needs
]
OTHER_KINDS = [kind for kind in FACTORIES if kind != "mixed"]
MODULE_POINTS = (stacked_fits_equal_single_fits, default_value_equals_absence)


def first_with(hook: str, names) -> str | None:
    """Return the first of these members that overrides a hook."""
    return next((name for name in names if overrides(STRENGTHS[name], hook)), None)


ONE_PER_HOOK = [name for name in dict.fromkeys(first_with(hook, STRENGTHS) for hook in HOOKS) if name]
FULL_ON_MODULE = {first_with(hook, MODULE_MEMBERS) for hook in HOOKS} - {None}


def module_points(name: str):
    """Return the points to test on the module `mixed` in the quick run."""
    return CONTRACT if name in FULL_ON_MODULE else MODULE_POINTS


def case_id(value: object) -> str:
    return value if isinstance(value, str) else value.__name__


@cache
def contract_case(name: str, kind: str) -> Case:
    """Make the case of a member on a network; the points share it, and so the trials that it has trained."""
    data = suited(name)
    return Case(STRENGTHS[name], data, partial(network, data, kind=kind))


def check_mixed_depths(name: str, depths: tuple[int, ...]) -> None:
    """Check that trials of these depths, trained in one stack, equal the same trials trained alone."""
    others = {"dropout": 0.3, "weight_decay": 0.5, "l1": 0.1}
    three = Case(STRENGTHS[name], suited(name), network).three_trials()
    trials = [shifted(of, **{**others, **of.params, "depth": depth}) for of, depth in zip(three, depths, strict=True)]
    together = trained(suited(name), trials, batch_norm=True)
    for alone in trials:
        assert same(together[alone.label], trained(suited(name), [alone], batch_norm=True)[alone.label])
