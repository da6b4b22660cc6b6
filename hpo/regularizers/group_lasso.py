import torch
from torch import Tensor

from hpo.regularizers.base import Regularizer, Step


class GroupLasso(Regularizer):
    """Group lasso by its proximal step: the weights that leave one column of the table (of a category, all its inputs) are a group,
    whose norm shrinks after the update by learning rate × strength × √size and stays at zero once it arrives, so that the
    network does not see the column at all. After L1 this is the proximal step of both together."""

    name = "group_lasso"
    summary = "shrinks all weights of an input column together; to true zero, where the column is not needed"
    needs = ("mlp",)
    prior = {"low": 1e-3, "high": 1.0, "log": True, "optional": True}
    probe = (1e-3, 10.0)
    source = (
        "Yuan & Lin, Model selection and estimation in regression with grouped variables, JRSS B 2006; "
        "Scardapane et al., Group sparse regularization for deep neural networks, Neurocomputing 2017"
    )

    def after_step(self, s: Tensor, step: Step) -> None:
        for name, fact in step.infos.items():
            if fact.inputs is not None:
                _threshold_(
                    step.params[name].movedim(fact.inputs + 1, 1), step.data.columns, (step.lr * s).unsqueeze(1)
                )


def _threshold_(weight: Tensor, columns: Tensor, distance: Tensor) -> None:
    """The block soft threshold, in place; weight (fit, inputs, …), `distance` (fit, 1) that of a group of one weight."""
    group = columns if len(columns) else torch.arange(weight.shape[1], device=weight.device)
    squares = weight.square().flatten(2).sum(2).T  # (inputs, fit)
    # index_put_ and not index_add_, which on a GPU adds in any order.
    norms = torch.zeros_like(squares).index_put_((group,), squares, accumulate=True).sqrt_().T
    inputs = torch.zeros_like(squares[:, 0]).index_put_((group,), torch.ones_like(squares[:, 0]), accumulate=True)
    reach = distance * (inputs * weight[0, 0].numel()).sqrt()
    kept = (1 - reach / norms.clamp_min(torch.finfo(norms.dtype).tiny)).clamp_min(0)
    weight.mul_(kept.index_select(1, group).view(*weight.shape[:2], *[1] * (weight.dim() - 2)))
