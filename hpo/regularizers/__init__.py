"""The family. Adding a member: one file, and one line here; the contract test finds it by itself."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager

from hpo.regularizers.base import Regularizer
from hpo.regularizers.batch_norm import BatchNorm
from hpo.regularizers.batch_size import BatchSize
from hpo.regularizers.depth import Depth
from hpo.regularizers.dropout import Dropout
from hpo.regularizers.epochs import Epochs
from hpo.regularizers.l1 import L1
from hpo.regularizers.layer_norm import LayerNorm
from hpo.regularizers.patience import Patience
from hpo.regularizers.schedule import Schedule
from hpo.regularizers.skip import Skip
from hpo.regularizers.weight_decay import WeightDecay
from hpo.regularizers.width import Width

FAMILY: dict[str, Regularizer] = {
    member.name: member
    for member in (
        Depth(),
        Width(),
        Skip(),
        BatchNorm(),
        LayerNorm(),
        BatchSize(),
        Epochs(),
        Patience(),
        Schedule(),
        WeightDecay(),
        L1(),
        Dropout(),
    )
}
STRENGTHS = {name: member for name, member in FAMILY.items() if member.kind == "strength"}
_OURS = len(FAMILY)


def join(members: Iterable[Regularizer]) -> None:
    """Has strengths from outside join the family: behind ours, in the order of their names, whichever came first."""
    outside = {**dict(list(FAMILY.items())[_OURS:]), **{member.name: member for member in members}}
    for family in (FAMILY, STRENGTHS):
        for name in outside:
            family.pop(name, None)
        family.update(sorted(outside.items()))


@contextmanager
def joined(members: Iterable[Regularizer]) -> Iterator[None]:
    """Within it, these regularizers belong to the family."""
    before = FAMILY.copy(), STRENGTHS.copy()
    join(members)
    try:
        yield
    finally:
        for family, was in zip((FAMILY, STRENGTHS), before, strict=True):
            family.clear()
            family.update(was)
