"""The regularizers that hpo can search, by name: `FAMILY` holds all, `STRENGTHS` those that act through hooks.

To add one, write a module and add it to `_MEMBERS`; the contract test includes it automatically.
"""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager

from hpo.regularizers.adversarial import Adversarial
from hpo.regularizers.back_translation import BackTranslation
from hpo.regularizers.base import Regularizer
from hpo.regularizers.batch_norm import BatchNorm
from hpo.regularizers.batch_size import BatchSize
from hpo.regularizers.cdan import Cdan
from hpo.regularizers.class_weight import ClassWeight
from hpo.regularizers.color_jitter import ColorJitter
from hpo.regularizers.coral import Coral
from hpo.regularizers.crop import Crop
from hpo.regularizers.cutmix import CutMix
from hpo.regularizers.cutout import Cutout
from hpo.regularizers.dann import Dann
from hpo.regularizers.depth import Depth
from hpo.regularizers.dropout import Dropout
from hpo.regularizers.ema import Ema
from hpo.regularizers.entropy import Entropy
from hpo.regularizers.epochs import Epochs
from hpo.regularizers.feature_dropout import FeatureDropout
from hpo.regularizers.flip import Flip
from hpo.regularizers.freeze import Freeze
from hpo.regularizers.gradient_clip import GradientClip
from hpo.regularizers.gradient_noise import GradientNoise
from hpo.regularizers.group_lasso import GroupLasso
from hpo.regularizers.importance import Importance
from hpo.regularizers.infomax import Infomax
from hpo.regularizers.input_noise import InputNoise
from hpo.regularizers.l1 import L1
from hpo.regularizers.l2 import L2
from hpo.regularizers.l2_sp import L2Sp
from hpo.regularizers.label_smoothing import LabelSmoothing
from hpo.regularizers.layer_lr_decay import LayerLrDecay
from hpo.regularizers.layer_norm import LayerNorm
from hpo.regularizers.lookahead import Lookahead
from hpo.regularizers.max_norm import MaxNorm
from hpo.regularizers.mixup import Mixup
from hpo.regularizers.mmd import Mmd
from hpo.regularizers.multitask import Multitask
from hpo.regularizers.patience import Patience
from hpo.regularizers.random_deletion import RandomDeletion
from hpo.regularizers.random_insertion import RandomInsertion
from hpo.regularizers.random_swap import RandomSwap
from hpo.regularizers.randomization import Randomization
from hpo.regularizers.rotation import Rotation
from hpo.regularizers.sam import Sam
from hpo.regularizers.schedule import Schedule
from hpo.regularizers.skip import Skip
from hpo.regularizers.spectral import Spectral
from hpo.regularizers.swa import Swa
from hpo.regularizers.swap_noise import SwapNoise
from hpo.regularizers.synonym_replacement import SynonymReplacement
from hpo.regularizers.synthetic import Synthetic
from hpo.regularizers.weight_decay import WeightDecay
from hpo.regularizers.width import Width
from hpo.regularizers.zoom import Zoom

# Regularizers that use the same hook act in this order.
_MEMBERS = (
    Depth(),
    Width(),
    Skip(),
    BatchNorm(),
    LayerNorm(),
    BatchSize(),
    Epochs(),
    Patience(),
    Schedule(),
    ClassWeight(),
    Importance(),
    SynonymReplacement(),
    RandomInsertion(),
    RandomDeletion(),
    RandomSwap(),
    BackTranslation(),
    Synthetic(),
    Flip(),
    Rotation(),
    Zoom(),
    Crop(),
    ColorJitter(),
    Randomization(),
    SwapNoise(),
    FeatureDropout(),
    Cutout(),
    CutMix(),
    Mixup(),
    LabelSmoothing(),
    InputNoise(),
    Dropout(),
    Multitask(),
    WeightDecay(),
    L2(),
    L2Sp(),
    Spectral(),
    Mmd(),
    Coral(),
    Dann(),
    Cdan(),
    Entropy(),
    Infomax(),
    GradientNoise(),
    GradientClip(),
    Sam(),
    Adversarial(),
    LayerLrDecay(),
    Lookahead(),
    L1(),
    GroupLasso(),
    MaxNorm(),
    Freeze(),
    Ema(),
    Swa(),
)
FAMILY: dict[str, Regularizer] = {member.name: member for member in _MEMBERS}
STRENGTHS = {name: member for name, member in FAMILY.items() if member.kind == "strength"}
_BUILT_IN = len(FAMILY)


def is_off(key: str, value: object) -> bool:
    """Return whether the search key `key` is a strength that `value` switches off."""
    return key in STRENGTHS and STRENGTHS[key].is_off(value)


def overrides(member: Regularizer, hook: str) -> bool:
    """Return whether a regularizer overrides the hook of this name."""
    return getattr(type(member), hook) is not getattr(Regularizer, hook)


def register(members: Iterable[Regularizer]) -> None:
    """Add the regularizers of plugins to the family, after the built-in ones.

    They are sorted by name, so that their order does not depend on which was loaded first.
    """
    plugins = {**dict(list(FAMILY.items())[_BUILT_IN:]), **{member.name: member for member in members}}
    for family in (FAMILY, STRENGTHS):
        for name in plugins:
            family.pop(name, None)
        family.update(sorted(plugins.items()))


@contextmanager
def registered(members: Iterable[Regularizer]) -> Iterator[None]:
    """Context manager: add regularizers to the family, and restore the family afterwards."""
    originals = FAMILY.copy(), STRENGTHS.copy()
    register(members)
    try:
        yield
    finally:
        for family, original in zip((FAMILY, STRENGTHS), originals, strict=True):
            family.clear()
            family.update(original)
