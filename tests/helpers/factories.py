"""Network factories of a user, valid and invalid."""

import torch
from torch import nn

not_a_function = 3


def small(channels, n_outputs):
    """The README's network, for rows that are 8 × 8 images."""
    return nn.Sequential(
        nn.Conv2d(1, channels, 3),
        nn.GroupNorm(2, channels),
        nn.ReLU(),
        nn.Dropout(),
        nn.AvgPool2d(2),
        nn.Flatten(),
        nn.Linear(9 * channels, n_outputs),
    )


def plain(n_inputs, n_outputs, width=8, style="relu", deep=False):
    activation = {"relu": nn.ReLU, "tanh": nn.Tanh}[style]
    middle = (nn.Linear(width, width), activation()) if deep else ()
    return nn.Sequential(nn.Linear(n_inputs, width), activation(), *middle, nn.Linear(width, n_outputs))


def deep(n_inputs, n_outputs, depth):
    return nn.Sequential(*[nn.Linear(n_inputs, n_inputs) for _ in range(depth)], nn.Linear(n_inputs, n_outputs))


def no_module():
    return "a network"


def fails():
    raise ZeroDivisionError("one half\nsecond line")


def two_outputs(n_inputs):
    return nn.Linear(n_inputs, 2)


def no_parameters(n_outputs):
    return nn.AdaptiveAvgPool1d(n_outputs)


def other_inputs(n_outputs):
    return nn.Linear(7, n_outputs)


def lazy(n_outputs):
    return nn.LazyLinear(n_outputs)


def normed(n_inputs, n_outputs):
    return nn.Sequential(nn.Linear(n_inputs, 4), nn.BatchNorm1d(4), nn.Linear(4, n_outputs))


def ends_otherwise(n_inputs, n_outputs):
    return nn.Sequential(nn.Linear(n_inputs, 6), nn.Unflatten(1, (1, 6)), nn.AdaptiveAvgPool1d(n_outputs), nn.Flatten())


class Named(nn.Module):
    """A head that is called by the name of its argument, before another use of as many outputs is thrown away."""

    def __init__(self, n_inputs, n_outputs):
        super().__init__()
        self.body, self.gate, self.out = nn.Linear(n_inputs, 7), nn.Linear(n_inputs, n_outputs), nn.Linear(7, n_outputs)

    def forward(self, x):
        gate = self.gate(x).sigmoid()
        return self.out(input=torch.tanh(self.body(x))) * gate


class _Odd(nn.Module):
    def __init__(self, n_inputs, n_outputs):
        super().__init__()
        self.out = nn.Linear(n_inputs, n_outputs)


class Unused(_Odd):
    """One layer that forward does not use."""

    def __init__(self, n_inputs, n_outputs):
        super().__init__(n_inputs, n_outputs)
        self.forgotten = nn.Linear(3, 3)

    def forward(self, x):
        return self.out(x)


class Two(_Odd):
    def forward(self, x):
        return self.out(x), x


class Branching(_Odd):
    def forward(self, x):
        return self.out(x) if x.sum() > 0 else self.out(-x)


class Item(_Odd):
    def forward(self, x):
        return self.out(x) * float(x.abs().max())


class Masked(_Odd):
    def forward(self, x):
        return self.out(x) + x[x > 0].mean()


class Functional(_Odd):
    def forward(self, x):
        return self.out(nn.functional.dropout(x, 0.5, self.training))


class Attention(_Odd):
    def __init__(self, n_inputs, n_outputs):
        super().__init__(n_inputs, n_outputs)
        self.attention = nn.MultiheadAttention(1, 1, dropout=0.1, batch_first=True)

    def forward(self, x):
        h = x.unsqueeze(2)
        return self.out(self.attention(h, h, h)[0].squeeze(2))


class Tied(nn.Module):
    """One matrix under two names, and one that is not trained."""

    def __init__(self, n_inputs, n_outputs):
        super().__init__()
        self.one, self.two, self.out = nn.Linear(n_inputs, 5), nn.Linear(n_inputs, 5), nn.Linear(5, n_outputs)
        self.two.weight = self.one.weight
        self.two.bias.requires_grad_(False)
        self.register_buffer("order", torch.arange(n_inputs).flip(0))

    def forward(self, x):
        return self.out(self.one(x) - self.two(x[:, self.order]))


class Sometimes(_Odd):
    """A layer that is used in half of the steps."""

    def __init__(self, n_inputs, n_outputs):
        super().__init__(n_inputs, n_outputs)
        self.middle = nn.Linear(n_inputs, n_inputs)

    def forward(self, x):
        return self.out(self.middle(x) if torch.rand(()) < 0.5 else x)


class Complex(_Odd):
    """A buffer that float32 cannot hold."""

    def __init__(self, n_inputs, n_outputs):
        super().__init__(n_inputs, n_outputs)
        self.register_buffer("turns", torch.polar(torch.ones(n_inputs), torch.arange(n_inputs, dtype=torch.float32)))

    def forward(self, x):
        return self.out((x * self.turns).real)


def shouted(text: str) -> str:
    """What passes for a translation there and back."""
    return text.upper() + "!"
