"""The steps of an epoch: every hook acts at its moment, and a trial trains as its own configuration says."""

from dataclasses import replace

import pytest
import torch

from hpo.core.samples import Fold
from hpo.core.trial import Fit
from hpo.nn.rng import Noise, ReplayableNoise
from hpo.regularizers import FAMILY, STRENGTHS
from hpo.regularizers.base import Batch, Regularizer
from hpo.space.settings import TrainConfig
from hpo.testing import run, same
from hpo.training.program import Program
from tests.helpers.training import FACTORIES, Tokens, dataset, population, trained, trial


@pytest.fixture
def member(monkeypatch):
    """Lets a regularizer into the family under the name `own`."""

    def enter(kind):
        for family in (FAMILY, STRENGTHS):
            monkeypatch.setitem(family, "own", type("Own", (kind,), {"name": "own"})())

    return enter


class Seen(Regularizer):
    """Says what it sees at each moment."""

    def __init__(self):
        self.moments = []

    def batch(self, s, step, batch):
        self.moments.append("batch")
        return batch

    def hidden(self, s, step, h, h_in, site):
        self.moments.append(f"hidden {site}")
        return h

    def perturb(self, s, step, batch, slope):
        assert slope.shape == batch.x.shape
        assert slope.abs().sum() > 0
        self.moments.append("perturb")
        return batch

    def gradient(self, s, step):
        self.moments.append("gradient")

    def after_step(self, s, step):
        self.moments.append(f"after step {step.minibatch + 1} of {step.minibatches}")

    def after_epoch(self, s, step, values):
        self.moments.append(f"after epoch {int(step.epoch[0])} of {int(step.epochs[0])}")
        return values


def test_every_hook_is_called_at_its_moment(member):
    member(Seen)
    train = TrainConfig(epochs=7, batch_size=100)
    trained(dataset(), [trial("0", own=0.5)], train, 1)
    assert STRENGTHS["own"].moments == [
        "batch",
        "hidden 0",
        "hidden 1",
        "perturb",
        "hidden 0",
        "hidden 1",
        "gradient",
        "after step 1 of 2",
        "batch",
        "hidden 0",
        "hidden 1",
        "perturb",
        "hidden 0",
        "hidden 1",
        "gradient",
        "after step 2 of 2",
        "after epoch 1 of 7",
    ]


class Away(Regularizer):
    """Goes so far for its gradient."""

    def perturb(self, s, step, batch, slope):
        step.flat_params.add_(s.unsqueeze(1))
        return batch


@pytest.mark.parametrize(
    "kind",
    [
        {},
        {"batch_norm": True},
        {"skip": "shake-shake"},
        {"skip": "shake-drop"},
        {"kind": "resnet"},
        {"kind": "recurrent"},
    ],
    ids=str,
)
def test_at_the_same_place_the_second_gradient_is_the_first_with_the_same_noise(member, kind):
    member(Away)
    plain, twice = trial("0", dropout=0.5), trial("0", dropout=0.5, own=0.0)
    assert same(trained(dataset(), [plain], **kind)["0"], trained(dataset(), [twice], **kind)["0"])
    away = trial("0", dropout=0.5, own=0.1)
    assert not same(trained(dataset(), [plain], **kind)["0"], trained(dataset(), [away], **kind)["0"])


@pytest.mark.parametrize("name", ["sam", "adversarial"])
def test_a_network_of_categories_ascends_though_it_has_no_slope_by_its_inputs(name, monkeypatch):
    monkeypatch.setitem(FACTORIES, "tokens", Tokens)
    off, on = (trained(dataset(), [trial("0", **{name: s})], kind="tokens")["0"] for s in (0.0, 0.5))
    assert same(off, on) == (name == "adversarial")


class Scales(Regularizer):
    """Draws one number a step, before the hidden layers, and uses another one within them."""

    needs_rng = "step"

    def batch(self, s, step, batch):
        return replace(batch, x=batch.x * step.noise["own"][0].uniform((1, 1)))

    def hidden(self, s, step, h, h_in, site):
        return h * step.noise["own"][0].uniform((1, 1))

    def perturb(self, s, step, batch, slope):
        self.drawn = [step.noise["own"][0].uniform((1, 1))]
        return batch

    def after_step(self, s, step):
        self.drawn.append(step.noise["own"][0].uniform((1, 1)))


def test_the_second_pass_sees_the_noise_of_the_first_wherever_a_member_draws(member, monkeypatch):
    member(Scales)
    seen = []

    def differentiate(program, step, *given, **more):
        slope = before(program, step, *given, **more)
        seen.append(program.flat_grads.clone())
        return slope

    before = Program.compute_gradients
    monkeypatch.setattr(Program, "compute_gradients", differentiate)
    trained(dataset(), [trial("0", own=0.1)])
    assert seen
    assert all(torch.equal(*pair) for pair in zip(seen[::2], seen[1::2], strict=True))
    assert not torch.equal(*STRENGTHS["own"].drawn)


def test_weights_come_back_from_where_the_gradient_was_taken(member, monkeypatch):
    member(Away)
    moved, before = [], Program.compute_perturbed_gradients

    def ascend(program, step, *given):
        values = step.flat_params.clone()
        before(program, step, *given)
        moved.append(torch.equal(values, step.flat_params))

    monkeypatch.setattr(Program, "compute_perturbed_gradients", ascend)
    trained(dataset(), [trial("0", own=0.1)])
    assert moved
    assert all(moved)


def test_a_replay_gives_what_was_drawn_again_and_then_goes_on():
    fit = Fit(trial("0"), Fold(0, *[torch.arange(1)] * 2))
    rate = torch.tensor([0.5], dtype=torch.float64)
    noise, fresh = (Noise([fit.stream("a")], torch.float64) for _ in range(2))
    expected = [fresh.dropout(rate, (8, 8)) for _ in range(3)]
    replay = ReplayableNoise(noise)
    first = [replay.dropout(rate, (8, 8)) for _ in range(2)]
    replay.rewind()
    again = [replay.dropout(rate, (8, 8)) for _ in range(2)]
    replay.clear()
    assert all(torch.equal(*pair) for pair in zip([*first, replay.dropout(rate, (8, 8))], expected, strict=True))
    assert all(torch.equal(*pair) for pair in zip(again, first, strict=True))


class Zeros(Regularizer):
    """Has nothing scored but zeros."""

    def after_epoch(self, s, step, values):
        return torch.zeros_like(values)


def test_what_is_scored_after_an_epoch_is_what_is_kept_and_training_goes_on_from_its_own(member):
    member(Zeros)
    pop = population(dataset())
    of = trial("0", own=1.0)
    pop.admit(of)
    curves = run(pop, 2)["0"]
    (stack,) = pop.stacks.values()
    assert stack.tensors.values.abs().sum() > 0
    assert curves["valid_loss"] == pytest.approx([torch.tensor(3.0).log().item()] * 2)
    assert all((w == 0).all() for w in pop.release(of).weights.values())


class Copies(Regularizer):
    """Keeps what it began with."""

    needs_weight_copy = True

    def after_epoch(self, s, step, values):
        return step.weight_copies["own"]


def test_a_copy_of_its_own_begins_as_the_weights_and_stays_with_its_row(member):
    member(Copies)
    first, second, late = (trial(str(i), own=1.0, depth=depth) for i, depth in enumerate((1, 3, 2)))
    pop = population(dataset())
    pop.admit(first)
    pop.admit(second)
    run(pop, 1)
    pop.release(first)
    pop.admit(late)
    curves = run(pop, 3)
    assert all(len(set(curves[of.label]["valid_loss"])) == 1 for of in (second, late))
    assert same(pop.release(late), trained(dataset(), [late])["2"])


class Half(Regularizer):
    """Makes half of every minibatch."""

    soft_targets = True

    def batch(self, s, step, batch):
        assert isinstance(batch, Batch)
        assert torch.equal(batch.y.sum(2), torch.ones(batch.y.shape[:2]))
        half = batch.x.shape[1] // 2
        return replace(batch, x=batch.x[:, :half], y=batch.y[:, :half])


def test_who_mixes_sees_shares_of_classes_and_may_change_the_size_of_a_minibatch(member):
    member(Half)
    released = trained(dataset(), [trial("0", own=1.0)])["0"]
    assert released.valid["accuracy"] > 0.3


# ---- a trial's own epochs, patience, batch size and schedule


@pytest.mark.parametrize(
    ("params", "train"),
    [
        ({"batch_size": 16}, {"batch_size": 16}),
        ({"schedule": "cosine"}, {"schedule": "cosine"}),
        ({"epochs": 3}, {"epochs": 3}),
        ({"patience": 1}, {"patience": 1}),
    ],
    ids=str,
)
def test_a_configuration_may_say_how_it_trains(params, train):
    usual = {"epochs": 5, "batch_size": 32, "patience": 5}
    own = trained(dataset(), [trial("0", **params), trial("1")], TrainConfig(**usual), 5)
    assert same(own["0"], trained(dataset(), [trial("0")], TrainConfig(**usual | train), 5)["0"])
    assert same(own["1"], trained(dataset(), [trial("1")], TrainConfig(**usual), 5)["1"])


def test_a_trial_stops_at_its_own_last_epoch():
    pop = population(dataset(), TrainConfig(epochs=5, batch_size=32, patience=5))
    for of in (trial("0", epochs=2), trial("1", epochs=4)):
        pop.admit(of)
    last = {}
    for epoch in range(1, 5):
        last |= {
            s.trial.label: (epoch, s.stop_reason)
            for s in pop.train_epoch()
            if s.stop_reason and s.trial.label not in last
        }
    assert last == {"0": (2, "trained all 2 epochs"), "1": (4, "trained all 4 epochs")}


# ---- what is added to a network's outputs


def test_a_base_counts_in_training_and_in_scores():
    """Where the base says it all, there is nothing to learn, and the scores are the base's."""
    data = dataset()
    sure = 50.0 * torch.nn.functional.one_hot(data.y, 3).double()
    based = replace(data.as_samples(), offset=sure)
    released = trained(based, [trial("0", learning_rate=1e-3)])["0"]
    assert released.valid["accuracy"] == 1.0
    assert released.valid["loss"] < 1e-9
    assert released.train["loss"] < 1e-9
