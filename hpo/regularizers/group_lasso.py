import torch
from torch import Tensor

from hpo.regularizers.base import Regularizer, Step


class GroupLasso(Regularizer):
    """Group lasso by its proximal step.

    The weights from one table column (for a category, from all its inputs) form a group. After the update the norm
    of a group shrinks by learning rate × strength × √size and stays at zero once it is reached, so that the network
    ignores the column completely. After L1 this is the proximal step of both penalties together.
    """

    name = "group_lasso"
    summary = "shrinks all weights from an input column together, to exact zeros for columns that are not needed"
    needs = ("mlp",)
    prior = {"low": 1e-3, "high": 1.0, "log": True, "optional": True}
    probe = (1e-3, 10.0)
    source = (
        "Yuan & Lin, Model selection and estimation in regression with grouped variables, JRSS B 2006; "
        "Scardapane et al., Group sparse regularization for deep neural networks, Neurocomputing 2017"
    )

    def after_step(self, s: Tensor, step: Step) -> None:
        for name, info in step.infos.items():
            if info.inputs is not None:
                weight = step.params[name].movedim(info.inputs + 1, 1)
                _block_soft_threshold_(weight, step.data.columns, (step.lr * s).unsqueeze(1))


def _block_soft_threshold_(weight: Tensor, columns: Tensor, distance: Tensor) -> None:
    """Apply the block soft threshold in place.

    `weight` is (fit, inputs, …); `distance`, (fit, 1), is the threshold of a group of one weight.
    """
    group = columns if len(columns) else torch.arange(weight.shape[1], device=weight.device)
    squares = weight.square().flatten(2).sum(2).T  # (inputs, fit)
    # index_put_ rather than index_add_, which adds in no fixed order on a GPU.
    norms = torch.zeros_like(squares).index_put_((group,), squares, accumulate=True).sqrt_().T
    inputs = torch.zeros_like(squares[:, 0]).index_put_((group,), torch.ones_like(squares[:, 0]), accumulate=True)
    thresholds = distance * (inputs * weight[0, 0].numel()).sqrt()
    factor = (1 - thresholds / norms.clamp_min(torch.finfo(norms.dtype).tiny)).clamp_min(0)
    weight.mul_(factor.index_select(1, group).view(*weight.shape[:2], *[1] * (weight.dim() - 2)))
