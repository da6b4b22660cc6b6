"""The interface of regularizers: stateless objects with hooks that act at fixed points of a training step.

Order of a step: `batch` → forward (`hidden` after each hidden layer) → `loss` → gradient →
[`perturb` → forward → `loss` → gradient, with the same noise] → `gradient` → AdamW (`decay`) →
`after_step`. After the last step of an epoch, `after_epoch` follows.

Hooks take `(s, step, …)`, where `s` (fit,) holds the strength of each network of the stack. Never branch on its
values: one call handles networks with different strengths. If several regularizers use the same hook, they act in
the order of `FAMILY`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import ClassVar, Literal

from torch import Tensor

from hpo.core.samples import Samples
from hpo.nn.parameter import Parameter, WeightMatrices
from hpo.nn.rng import Noise

# The methods that a regularizer may override.
HOOKS = (
    "batch",
    "hidden",
    "extra_parameters",
    "loss",
    "perturb",
    "gradient",
    "decay",
    "after_step",
    "after_epoch",
)


@dataclass(frozen=True)
class Batch:
    """A minibatch for every network of a stack.

    `y` (fit, batch) holds class indices or numbers; if a regularizer of the search has `soft_targets`, classes
    are given as probabilities, (fit, batch, classes). The target fields hold samples of another domain without
    labels; they are None unless a regularizer of the search `uses_target_batch`.
    """

    x: Tensor  # (fit, batch, inputs)
    y: Tensor
    weight: Tensor | None  # (fit, batch)
    offset: Tensor | None  # (fit, batch, outputs), added to the outputs of the network
    index: Tensor  # (fit, batch), the rows of the data set
    target: Tensor | None = None  # (fit, batch, inputs)
    target_offset: Tensor | None = None  # (fit, batch, outputs), added to the outputs for `target`


@dataclass(frozen=True)
class ForwardOutput:
    """The differentiable output of a forward pass.

    It covers the labelled samples and, if there are any, those of another domain. Features are the inputs of the
    last linear layer; None if the network does not expose them.
    """

    batch: Batch
    logits: Tensor  # (fit, batch, outputs), `Batch.offset` included
    features: Tensor | None  # (fit, batch, width)
    target_logits: Tensor | None  # (fit, batch, outputs), `Batch.target_offset` included
    target_features: Tensor | None  # (fit, batch, width)


@dataclass(frozen=True)
class Step:
    """The state of a training step, as hooks see it. Hooks change its tensors in place.

    The fit axis comes first. Fits are sorted by depth, the deepest first, so a tensor of a deep layer holds
    fewer fits: the first ones. Flat tensors (fit, size) hold all parameters and buffers of a fit one after the
    other, with zeros for those that it does not have.
    """

    params: Mapping[str, Tensor]  # the trained parameters by name, (fit, *shape)
    grads: Mapping[str, Tensor]  # their gradients, by the same names
    infos: Mapping[str, Parameter]  # their descriptions, by the same names
    weights: WeightMatrices
    extra: Mapping[str, Tensor]  # (fit, *shape), the `extra_parameters` of regularizers by name
    flat_params: Tensor  # (fit, size), shares its memory with `params`
    previous_params: Tensor | None  # (fit, size), before the update, if a regularizer `needs_previous_weights`
    views: Callable[[Tensor], Mapping[str, Tensor]]  # views of a flat tensor by name, like `params`, sharing memory
    layers: Tensor  # (fit,), the number of layers before the output layer
    buffers: slice  # the part of `flat_params` with buffers: not trained, changed only by the forward pass
    flat_grads: Tensor  # (fit, size), shares its memory with `grads`
    weight_copies: Mapping[str, Tensor]  # (fit, size), by regularizer that `needs_weight_copy`; each may change its own
    lr: Tensor  # (fit,), the scheduled learning rate of this step
    epoch: Tensor  # (fit,), the current epoch, from 1; counted within a cycle if the learning rate restarts
    epochs: Tensor  # (fit,), the maximum number of epochs
    minibatch: int  # the number of the minibatch in the epoch, from 0; the same for all fits
    minibatches: int  # per epoch
    data: Samples
    noise: Mapping[
        str, Mapping[int | str, Noise]
    ]  # by regularizer and by the key given in `needs_rng`; {} in evaluation
    training: bool


class Regularizer:
    """Base class: class attributes to fill in, and hooks that do nothing unless a subclass overrides them."""

    name: ClassVar[str]  # the search key
    summary: ClassVar[str]  # one line for the list of regularizers
    kind: ClassVar[Literal["strength", "structure", "schedule"]] = "strength"
    # The random numbers that it needs: noise[name][site] at each hidden layer, noise[name][parameter name] for each
    # parameter, or noise[name][0] once per step.
    needs_rng: ClassVar[Literal["layer", "parameter", "step"] | None] = None
    soft_targets: ClassVar[bool] = False  # whether it needs class targets as probabilities
    needs_weight_copy: ClassVar[bool] = False  # whether it has its own copy of all values, initially equal to them
    needs_previous_weights: ClassVar[bool] = False  # whether it needs the values before an update
    uses_target_batch: ClassVar[bool] = False  # whether samples of another domain pass through the network as well
    # The properties that a search must have to use this regularizer.
    needs: ClassVar[
        tuple[Literal["classes", "image", "text", "mlp", "target", "features", "generated", "auxiliary"], ...]
    ] = ()
    integer: ClassVar[bool] = False
    choices: ClassVar[tuple[str | bool, ...]] = ()  # all values, if they are not numbers; the least regularized first
    allowed: ClassVar[tuple[float, float]] = (0.0, float("inf"))
    open_high: ClassVar[bool] = True  # whether the upper bound is excluded
    default_value: ClassVar[float | str | bool] = 0.0  # "off" for a strength, else the usual value
    prior: ClassVar[Mapping[str, object]]  # a sensible range, written as in a space file
    direction: ClassVar[Literal[1, 0, -1]] = (
        1  # 1 if larger values regularize more, -1 if smaller ones do, 0 if it is no regularization
    )
    probe: ClassVar[tuple[float | str | bool, float | str | bool]]  # two strengths that must differ in effect
    source: ClassVar[str]  # the paper

    def is_off(self, value: object) -> bool:
        """Return whether `value` is the default value, at which a strength has no effect."""
        return value == self.default_value

    def batch(self, s: Tensor, step: Step, batch: Batch) -> Batch:
        """Return the minibatch for the forward pass. The tensors of `batch` must not be changed in place."""
        del s, step
        return batch

    def hidden(self, s: Tensor, step: Step, h: Tensor, h_in: Tensor, site: int) -> Tensor:
        """Return the output of hidden layer `site`, computed from its original output `h` and its input `h_in`.

        Both are (fit, batch, features). All tensors, `s` included, contain only the fits that have this layer.
        """
        del s, step, h_in, site
        return h

    def extra_parameters(self, features: int, data: Samples) -> tuple[Parameter, ...]:
        """Return the parameters that are trained in addition to those of the network, which has `features` features.

        Their names begin with the name of the regularizer, their role is "regularizer", their depth 0. A matrix
        (inputs, outputs) is initialized as in torch.nn.Linear, everything else with zeros.
        """
        del features, data
        return ()

    def loss(self, s: Tensor, step: Step, output: ForwardOutput) -> Tensor | None:
        """Return a term to add to the loss of each fit, (fit,), or None.

        It must be differentiable in the tensors of `output`, `step.params` and `step.extra`.
        """
        del s, step, output
        return None

    def perturb(self, s: Tensor, step: Step, batch: Batch, input_grad: Tensor) -> Batch:
        """Move to another point after the first gradient; the update uses the gradient at that point.

        The hook changes `step.flat_params` in place (they are restored afterwards) or returns another
        minibatch. `input_grad` is the gradient of the loss with respect to `batch.x`. A regularizer that
        overrides this hook costs a second forward and backward pass, which uses the same noise.
        """
        del s, step, input_grad
        return batch

    def gradient(self, s: Tensor, step: Step) -> None:
        """Change `step.grads` or `step.flat_grads`, which share their memory, before AdamW reads them."""

    def decay(self, s: Tensor) -> Tensor | None:
        """Return the weight decay of AdamW, (fit,).

        At each step, AdamW subtracts this share of every parameter, times the learning rate.
        """
        del s
        return None

    def after_step(self, s: Tensor, step: Step) -> None:
        """Change `step.params`, `step.weights` or `step.flat_params`, which share their memory, after AdamW."""

    def after_epoch(self, s: Tensor, step: Step, flat_params: Tensor) -> Tensor:
        """Return the values (fit, size) to score, to keep as the best and to export, in place of `flat_params`."""
        del s, step
        return flat_params
