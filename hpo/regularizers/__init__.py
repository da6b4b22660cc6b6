"""The family. Adding a member: one file, and one line here; the contract test finds it by itself."""

from hpo.regularizers.base import Regularizer
from hpo.regularizers.depth import Depth
from hpo.regularizers.dropout import Dropout
from hpo.regularizers.ema import Ema
from hpo.regularizers.gradient_clip import GradientClip
from hpo.regularizers.gradient_noise import GradientNoise
from hpo.regularizers.group_lasso import GroupLasso
from hpo.regularizers.l1 import L1
from hpo.regularizers.l2 import L2
from hpo.regularizers.lookahead import Lookahead
from hpo.regularizers.max_norm import MaxNorm
from hpo.regularizers.sam import Sam
from hpo.regularizers.spectral import Spectral
from hpo.regularizers.swa import Swa
from hpo.regularizers.weight_decay import WeightDecay

# In this order they act, where several do at one moment.
_MEMBERS = (
    Depth(),
    Dropout(),
    WeightDecay(),
    L2(),
    Spectral(),
    GradientNoise(),
    GradientClip(),
    Sam(),
    L1(),
    GroupLasso(),
    MaxNorm(),
    Lookahead(),
    Ema(),
    Swa(),
)
FAMILY: dict[str, Regularizer] = {member.name: member for member in _MEMBERS}
STRENGTHS = {name: member for name, member in FAMILY.items() if member.kind == "strength"}
