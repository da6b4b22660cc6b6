"""The family. Adding a member: one file, and one line here; the contract test finds it by itself."""

from hpo.regularizers.back_translation import BackTranslation
from hpo.regularizers.base import Regularizer
from hpo.regularizers.depth import Depth
from hpo.regularizers.dropout import Dropout
from hpo.regularizers.l1 import L1
from hpo.regularizers.random_deletion import RandomDeletion
from hpo.regularizers.random_insertion import RandomInsertion
from hpo.regularizers.random_swap import RandomSwap
from hpo.regularizers.synonym_replacement import SynonymReplacement
from hpo.regularizers.weight_decay import WeightDecay

FAMILY: dict[str, Regularizer] = {
    member.name: member
    for member in (
        Depth(),
        SynonymReplacement(),
        RandomInsertion(),
        RandomDeletion(),
        RandomSwap(),
        BackTranslation(),
        WeightDecay(),
        L1(),
        Dropout(),
    )
}
STRENGTHS = {name: member for name, member in FAMILY.items() if member.kind == "strength"}
