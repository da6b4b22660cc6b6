"""What a regularizer is: an immutable object without state that acts at a few fixed moments of a training step.

Order of a step: `batch` → forward (`hidden` after each hidden layer) → `loss` → gradient → [`ascend` → forward → `loss` → gradient, with
the same noise] → `gradient` → AdamW (`decay`) → `after_step`; and after the last step of an epoch `after_epoch`. Every hook takes
`(s, step, …)`, where `s` is the strength of each row, shape (fit,). A strength is a tensor and the only case is one strength a
row: never branch on its value. Where several members act at one moment, they do so in the order of `FAMILY`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import ClassVar, Literal

from torch import Tensor

from hpo.core.samples import Samples
from hpo.nn.parameter import Parameter, WeightMatrices
from hpo.nn.rng import Noise


@dataclass(frozen=True)
class Batch:
    """A minibatch of every row. `y` (fit, batch) holds classes by index, or numbers; if a named member `mixes`, classes come as
    their shares, (fit, batch, classes)."""

    x: Tensor  # (fit, batch, inputs)
    y: Tensor
    weight: Tensor | None  # (fit, batch)
    offset: Tensor | None  # (fit, batch, outputs), what is added to the network's outputs
    index: Tensor  # (fit, batch), which rows of the data these are
    target: Tensor | None = (
        None  # (fit, batch, inputs), rows of another domain, without labels; None if no named member `adapts`
    )
    target_offset: Tensor | None = None  # (fit, batch, outputs), what is added to the network's outputs for these


@dataclass(frozen=True)
class ForwardOutput:
    """What the networks made of a minibatch, to be differentiated: of its labelled rows, and of those of another domain, where there
    are any. Features are what the last linear layer is given."""

    batch: Batch
    logits: Tensor  # (fit, batch, outputs), `Batch.base` included
    features: Tensor | None  # (fit, batch, width); None if the network does not tell
    target_logits: Tensor | None  # (fit, batch, outputs), `Batch.target_base` included
    target_features: Tensor | None  # (fit, batch, width)


@dataclass(frozen=True)
class Step:
    """What a hook may look at. Tensors have the fit axis first; what hooks change, they change in place.

    Rows are in order of depth, the deepest first, so a tensor of a deep layer has fewer rows: the first ones. The flat tensors hold
    all that a row has, one parameter behind the other, with zeros for what it has not.
    """

    params: Mapping[str, Tensor]  # name → (fit, *shape), those that are trained
    grads: Mapping[str, Tensor]  # the same names: where their gradients are
    infos: Mapping[str, Parameter]  # the same names
    weights: WeightMatrices
    extra: Mapping[str, Tensor]  # (fit, *shape), what regularizers train besides the network, by the names they gave it
    flat_params: Tensor  # (fit, size), flat; the memory of `params`
    previous_params: (
        Tensor | None
    )  # (fit, size), the values before this step's update, if a named member `recalls` them
    views: Callable[
        [Tensor], Mapping[str, Tensor]
    ]  # a flat tensor such as `values` by name, as `params` are, on the same memory
    layers: Tensor  # (fit,), how many layers there are before the output layer
    buffers: slice  # which places of `values` are buffers: not trained, and changed by the forward pass alone
    flat_grads: Tensor  # (fit, size), flat; the memory of `grads`
    weight_copies: Mapping[
        str, Tensor
    ]  # by member that `keeps`: (fit, size), its own copy of `values`, which it may change
    lr: Tensor  # (fit,), as scheduled for this step
    epoch: Tensor  # (fit,), the one in training, from 1; of its cycle, where a learning rate starts again
    epochs: Tensor  # (fit,), how many there will be at most
    minibatch: int  # of the epoch, from 0; the same for all rows
    minibatches: int  # of an epoch
    data: Samples
    noise: Mapping[
        str, Mapping[int | str, Noise]
    ]  # by member, and by what it draws for (see `draws`); empty when evaluating
    training: bool


class Regularizer:
    """The base of the family: facts to fill in, and hooks that do nothing until a member overrides one."""

    name: ClassVar[str]
    summary: ClassVar[str]
    kind: ClassVar[Literal["strength", "structure", "schedule"]] = "strength"
    # Whether it needs random numbers, and where: noise[name][site] at each hidden layer, noise[name][parameter's name] for each
    # parameter, or noise[name][0] once a step.
    needs_rng: ClassVar[Literal["layer", "parameter", "step"] | None] = None
    soft_targets: ClassVar[bool] = False  # whether it wants the target of classes as shares
    needs_weight_copy: ClassVar[bool] = (
        False  # whether it has a copy of all values of its own, which begins as these do
    )
    needs_previous_weights: ClassVar[bool] = False  # whether it wants to know what the values were before an update
    uses_target_batch: ClassVar[bool] = (
        False  # whether rows of another domain are to pass through the network beside the labelled ones
    )
    # Without which it cannot act.
    needs: ClassVar[
        tuple[Literal["classes", "image", "text", "mlp", "target", "features", "generated", "auxiliary"], ...]
    ] = ()
    integer: ClassVar[bool] = False
    choices: ClassVar[
        tuple[str | bool, ...]
    ] = ()  # of one whose values are no numbers: all there are, the least regularized first
    allowed: ClassVar[tuple[float, float]] = (0.0, float("inf"))
    open_high: ClassVar[bool] = True  # whether the upper bound itself is excluded
    default_value: ClassVar[float | str | bool] = (
        0.0  # of a strength the value that is "off", of all else the usual one
    )
    prior: ClassVar[Mapping[str, object]]  # a sane range, written as in a space file
    direction: ClassVar[Literal[1, 0, -1]] = 1  # the direction that is more regularized; 0: there is none
    probe: ClassVar[tuple[float | str | bool, float | str | bool]]  # two strengths that must differ in effect
    source: ClassVar[str]

    def batch(self, s: Tensor, step: Step, batch: Batch) -> Batch:
        """Before the forward pass: the minibatch that takes this one's place. Its tensors are not changed in place."""
        del s, step
        return batch

    def hidden(self, s: Tensor, step: Step, h: Tensor, h_in: Tensor, site: int) -> Tensor:
        """After hidden layer `site`: its output `h` and input `h_in`, both (fit, batch, features), of the rows that have
        this layer; `s` is theirs."""
        del s, step, h_in, site
        return h

    def extra_parameters(self, features: int, data: Samples) -> tuple[Parameter, ...]:
        """What it trains besides the network, which has so many `features`: names that begin with its own, role `own`, depth 0. A matrix
        (inputs, outputs) begins as torch.nn.Linear draws it, all else with zeros."""
        del features, data
        return ()

    def loss(self, s: Tensor, step: Step, seen: ForwardOutput) -> Tensor | None:
        """What is added to the loss of each row, (fit,); differentiable in what is `seen`, in `step.params` and in `step.own`."""
        del s, step, seen
        return None

    def perturb(self, s: Tensor, step: Step, batch: Batch, slope: Tensor) -> Batch:
        """After the gradient: goes to where the loss is larger, and the update is made of the gradient that is found there.

        Moves `step.values` in place (they come back), or returns another minibatch; `slope` is the gradient of the loss by
        `batch.x`. Who overrides it costs a second forward and backward pass, which sees the same noise.
        """
        del s, step, slope
        return batch

    def gradient(self, s: Tensor, step: Step) -> None:
        """Before AdamW: changes `step.slopes` or `step.grads`, which are the same memory."""

    def decay(self, s: Tensor) -> Tensor | None:
        """What AdamW takes off every parameter at a step, (fit,), as a share of it and times the learning rate."""
        del s
        return None

    def after_step(self, s: Tensor, step: Step) -> None:
        """After AdamW: changes `step.params`, `step.weights` or `step.values`, which are the same memory."""

    def after_epoch(self, s: Tensor, step: Step, values: Tensor) -> Tensor:
        """After an epoch: the values (fit, size) that are scored, kept as the best and exported, given those that would be."""
        del s, step
        return values
