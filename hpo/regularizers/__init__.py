"""The family. Adding a member: one file, and one line here; the contract test finds it by itself."""

from hpo.regularizers.adversarial import Adversarial
from hpo.regularizers.base import Regularizer
from hpo.regularizers.color_jitter import ColorJitter
from hpo.regularizers.crop import Crop
from hpo.regularizers.cutmix import CutMix
from hpo.regularizers.cutout import Cutout
from hpo.regularizers.depth import Depth
from hpo.regularizers.dropout import Dropout
from hpo.regularizers.feature_dropout import FeatureDropout
from hpo.regularizers.flip import Flip
from hpo.regularizers.input_noise import InputNoise
from hpo.regularizers.l1 import L1
from hpo.regularizers.label_smoothing import LabelSmoothing
from hpo.regularizers.mixup import Mixup
from hpo.regularizers.rotation import Rotation
from hpo.regularizers.swap_noise import SwapNoise
from hpo.regularizers.weight_decay import WeightDecay
from hpo.regularizers.zoom import Zoom

FAMILY: dict[str, Regularizer] = {
    member.name: member
    for member in (
        Depth(),
        Flip(),
        Rotation(),
        Zoom(),
        Crop(),
        ColorJitter(),
        SwapNoise(),
        FeatureDropout(),
        Cutout(),
        CutMix(),
        Mixup(),
        LabelSmoothing(),
        InputNoise(),
        Dropout(),
        WeightDecay(),
        Adversarial(),
        L1(),
    )
}
STRENGTHS = {name: member for name, member in FAMILY.items() if member.kind == "strength"}
