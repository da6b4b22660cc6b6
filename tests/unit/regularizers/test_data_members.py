"""Regularizers that change inputs and targets, compared with their formulas."""

from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch
from torch._subclasses.fake_tensor import FakeTensorMode

from hpo.core.metrics import losses
from hpo.core.samples import Fold, Samples
from hpo.core.trial import Fit
from hpo.nn.device import CPU
from hpo.nn.rng import Noise
from hpo.nn.rng_hashed import HashedNoise
from hpo.regularizers import STRENGTHS
from hpo.regularizers.base import Batch, Regularizer
from hpo.testing import same
from tests.helpers.training import dataset, pictures, step, trained, trial

MEMBERS = [
    n
    for n, member in STRENGTHS.items()
    if type(member).batch is not Regularizer.batch and not {"text", "target", "generated"} & {*member.needs}
    if n != "class_weight"  # it changes neither inputs nor targets: see test_class_weight.py
]
F = torch.nn.functional
IMAGE = (3, 5, 7)
CATEGORIES = torch.tensor([0, 1, 1, 1, 2, 3, 3])


def samples(columns=None, image=(), task="classification"):
    nothing, classes = torch.empty(0), ("a", "b", "c") if task == "classification" else ()
    return Samples(
        task,
        nothing,
        nothing,
        None,
        (),
        classes,
        1.0,
        torch.empty(0, dtype=torch.long) if columns is None else columns,
        image,
    )


def streams(name, fits):
    return [Fit(trial(str(i)), Fold(0, *[torch.arange(1)] * 2)).stream(name) for i in fits]


def acted(name, s, x, data=None, noise=None, y=None, weight=None, base=None):
    """Return the minibatch that a regularizer makes of `x` (fit, batch, inputs) at the strengths `s`."""
    s = torch.as_tensor(s, dtype=x.dtype)
    noise = noise or Noise(streams(name, range(len(s))), x.dtype)
    y = torch.zeros(x.shape[:2], dtype=x.dtype) if y is None else y
    batch = Batch(x, y, weight, base, torch.zeros(x.shape[:2], dtype=torch.long))
    return STRENGTHS[name].batch(s, step(noise={name: {0: noise}}, data=data or samples()), batch)


def always(u):
    """Return a noise whose uniform numbers are all `u`."""
    return SimpleNamespace(uniform=lambda shape: torch.full((1, *shape), u, dtype=torch.float64))


def normal(*shape):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


def numbered(fits, rows, inputs):
    """Return inputs that encode the number of the sample, plus 1, and the number of the input in units of 1/128."""
    return (1 + torch.arange(rows).view(-1, 1) + torch.arange(inputs) / 128).double().expand(fits, -1, -1)


# All of them.

CASES = [
    (name, kind)
    for name in MEMBERS
    for kind in ("image", "table", "categories")
    if kind == "image" or "image" not in STRENGTHS[name].needs
]


def case(name, kind, dtype, fits=6, rows=11):
    """Return data of a kind with a minibatch and strengths, of which the first is off."""
    columns = CATEGORIES if kind == "categories" else None
    data = samples(columns, IMAGE if kind == "image" else ())
    x = normal(fits, rows, {"image": 105, "table": 13, "categories": 7}[kind]).to(dtype)
    y = (
        F.one_hot(torch.arange(rows).expand(fits, -1) % 3, 3).to(dtype)
        if STRENGTHS[name].soft_targets
        else torch.zeros(fits, rows, dtype=torch.long)
    )
    member = STRENGTHS[name]
    s = torch.tensor([member.default_value, *member.probe, *member.probe, member.probe[0]], dtype=dtype)
    return data, x, y, normal(fits, rows).abs().to(dtype), normal(fits, rows, 3).to(dtype), s


def equal(a, b):
    pairs = zip((a.x, a.y, a.weight, a.offset), (b.x, b.y, b.weight, b.offset), strict=True)
    return all(torch.equal(one, other) for one, other in pairs)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize(("name", "kind"), CASES)
def test_a_fit_is_bit_equal_alone_and_in_a_stack_and_the_input_is_not_modified(name, kind, dtype):
    data, x, y, weight, base, s = case(name, kind, dtype)
    before = x.clone()
    together = acted(name, s, x, data, None, y, weight, base)
    assert torch.equal(x, before)
    for i in range(len(s)):
        own = (t[i : i + 1] for t in (y, weight, base))
        alone = acted(name, s[i : i + 1], x[i : i + 1], data, Noise(streams(name, [i]), dtype), *own)
        assert equal(
            alone,
            Batch(*(t[i : i + 1] for t in (together.x, together.y, together.weight, together.offset)), together.index),
        )


@pytest.mark.parametrize(("name", "kind"), CASES)
def test_off_returns_the_input_bit_for_bit_and_on_does_not(name, kind):
    data, x, y, weight, base, s = case(name, kind, torch.float64)
    found = acted(name, s, x, data, None, y, weight, base)
    assert torch.equal(found.x[0], x[0])
    assert torch.equal(found.y[0], y[0])
    assert torch.equal(found.weight[0], weight[0])
    assert torch.equal(found.offset[0], base[0])
    assert not (torch.equal(found.x[2], x[2]) and torch.equal(found.y[2], y[2]))


@pytest.mark.parametrize(("name", "kind"), CASES)
def test_no_regularizer_reads_a_number_or_leaves_the_device(name, kind):
    case_, meta = case(name, kind, torch.float32), torch.device("meta")
    with FakeTensorMode(allow_non_fake_inputs=True):
        data, x, y, weight, base, s = (t.to(meta) for t in case_)
        noise = HashedNoise(range(len(s)), [0] * len(s), torch.float32, meta)
        found = acted(name, s, x, data, noise, y, weight, base)
    assert {t.device for t in (found.x, found.y, found.weight, found.offset)} == {meta}
    assert found.x.shape == x.shape


@pytest.mark.parametrize("name", MEMBERS)
def test_hashed_noise_works_as_well(name):
    kind = "image" if "image" in STRENGTHS[name].needs else "categories"
    data, x, y, weight, base, s = case(name, kind, torch.float32)
    found = acted(name, s, x, data, HashedNoise(range(len(s)), [0] * len(s), torch.float32, CPU), y, weight, base)
    assert torch.equal(found.x[0], x[0])
    assert not (torch.equal(found.x[2], x[2]) and torch.equal(found.y[2], y[2]))


# Noise on inputs.


def test_input_noise_adds_normal_numbers_of_standard_deviation_s():
    s = torch.tensor([0.0, 0.1, 2.0], dtype=torch.float64)
    x = normal(3, 500, 100)
    added = acted("input_noise", s, x).x - x
    assert torch.allclose(added.std((1, 2)), s, rtol=0.02)
    assert (added.mean((1, 2)).abs() <= 4 * s / 50_000**0.5).all()


def test_feature_dropout_sets_columns_to_zero_with_all_their_inputs():
    s, x = torch.tensor([0.1, 0.5, 0.9]), numbered(3, 20_000, 7)
    found = acted("feature_dropout", s, x, samples(CATEGORIES)).x
    gone = found == 0
    assert torch.equal(found[~gone], x[~gone])  # not rescaled
    assert torch.allclose(gone.double().mean(1), s.double().view(-1, 1), atol=0.015)
    assert (gone[..., 1] == gone[..., 2]).all()
    assert (gone[..., 1] == gone[..., 3]).all()
    assert not (gone[..., 0] == gone[..., 1]).all()


def test_swap_noise_takes_a_column_from_another_sample():
    x, s = numbered(3, 500, 7), torch.tensor([0.1, 0.5, 1.0])
    found = acted("swap_noise", s, x, samples(CATEGORIES)).x
    sample = found.floor() - 1
    assert torch.equal(found % 1, x % 1)
    other = sample != torch.arange(500).view(-1, 1)
    assert torch.allclose(other.double().mean(1), s.double().view(-1, 1), atol=0.08)
    assert (sample[..., 1] == sample[..., 2]).all()
    assert (sample[..., 5] == sample[..., 6]).all()
    assert (sample[2, :, 0] != sample[2, :, 1]).all()  # columns from different samples


@pytest.mark.parametrize("name", ["swap_noise", "mixup", "cutmix"])
def test_a_single_sample_is_not_changed(name):
    x = normal(2, 1, 13)
    assert torch.equal(acted(name, [1.0, 1.0], x).x, x)


# Mixing.


def test_mixup_mixes_inputs_and_targets_by_one_share_a_minibatch():
    x = numbered(400, 5, 2)
    found = acted("mixup", torch.full((400,), 1.0), x, y=x[..., 0])
    assert torch.allclose(found.x[..., 0], found.y)
    share = (x[..., 0] - found.y)[:, 1:]  # from a partner whose number is one less
    assert torch.allclose(share, share[:, :1].expand(-1, 4))
    assert share.min() > 0
    assert share.max() < 1
    assert share[:, 0].std() == pytest.approx(12**-0.5, rel=0.1)  # Beta(1, 1) is uniform
    assert torch.allclose(found.x[:, 0, 0], x[:, 0, 0] + 4 * share[:, 0])  # the partner of the first is the last


@pytest.mark.parametrize("name", ["mixup", "cutmix"])
@pytest.mark.parametrize("task", ["classification", "regression"])
def test_the_loss_of_a_mixture_is_the_mixture_of_losses(name, task):
    """Each sample has its own weight and offset; squared errors are compared up to terms without predictions."""
    x, weight, base = normal(2, 6, 10), normal(2, 6).abs(), normal(2, 6, 3 if task == "classification" else 1)
    classes = torch.arange(12).view(2, 6) % 3
    y = F.one_hot(classes, 3).double() if task == "classification" else normal(2, 6)
    found = acted(name, [1.0, 1.0], x, samples(task=task), None, y, weight, base)
    share = (acted(name, [1.0, 1.0], x, samples(), None, x[..., 0] * 0 + torch.arange(6)).y[:, 3] - 3).neg()
    assert (share > 0).any()

    def lost(logits, of):
        y, weight = of
        return losses(task, logits, y, weight) * weight.sum(1)

    def mixture(logits):
        rolled = (y.roll(1, 1), weight.roll(1, 1))
        return (1 - share) * lost(logits, (y, weight)) + share * lost(logits, rolled)

    one, other = normal(2, 6, base.shape[2]), normal(2, 6, base.shape[2]) * 2
    mine = lost(one, (found.y, found.weight)) - lost(other, (found.y, found.weight))
    assert torch.allclose(mine, mixture(one) - mixture(other))
    assert torch.allclose(found.offset, base + share.view(-1, 1, 1) * (base.roll(1, 1) - base))


def test_cutmix_replaces_a_rectangle_of_an_image_and_mixes_targets_by_its_area():
    x = numbered(300, 4, 105)
    found = acted("cutmix", torch.full((300,), 1.0), x, samples(image=IMAGE), y=x[..., 0])
    replaced = (found.x[:, 1] != x[:, 1]).unflatten(1, IMAGE)
    assert torch.equal(found.x[:, 1], torch.where(replaced.flatten(1), x[:, 0], x[:, 1]))
    assert (replaced == replaced[:, :1]).all()  # in all channels
    rows, columns = replaced[:, 0].any(2), replaced[:, 0].any(1)
    assert torch.equal(replaced[:, 0], rows.unsqueeze(2) & columns.unsqueeze(1))
    assert ((rows[:, 1:] != rows[:, :-1]).sum(1) <= 2).all()  # connected
    assert ((columns[:, 1:] != columns[:, :-1]).sum(1) <= 2).all()
    assert torch.allclose(x[:, 1, 0] - found.y[:, 1], replaced.double().mean((1, 2, 3)))
    assert replaced.double().mean() == pytest.approx(0.32, abs=0.03)  # a half, minus the part outside the image


def test_cutmix_replaces_columns_of_a_table_and_mixes_targets_by_how_many():
    x = numbered(2000, 4, 7)
    found = acted("cutmix", torch.full((2000,), 0.3), x, samples(CATEGORIES), y=x[..., 0])
    replaced = (found.x != x)[:, 1]
    assert (replaced == (found.x != x)[:, 2]).all()  # the same part of all samples
    assert (replaced[:, 1] == replaced[:, 3]).all()
    share = replaced[:, [0, 1, 4, 5]].double().mean(1)
    assert torch.allclose(x[:, 1, 0] - found.y[:, 1], share)
    assert share.mean() == pytest.approx(0.15, abs=0.02)
    assert (share > 0).double().mean() == pytest.approx(
        0.3 * 0.8, abs=0.04
    )  # a share of u leaves all four with (1 - u)^4


def test_label_smoothing_equals_torch():
    logits, classes = normal(2, 8, 5), torch.arange(16).view(2, 8) % 5
    found = acted("label_smoothing", [0.0, 0.3], logits, y=F.one_hot(classes, 5).double()).y
    expected = [F.cross_entropy(logits[i], classes[i], label_smoothing=s) for i, s in enumerate((0.0, 0.3))]
    assert torch.allclose(losses("classification", logits, found, None), torch.stack(expected))


# Parts set to zero.


def test_cutout_sets_a_square_of_an_image_to_zero():
    x, s = torch.ones(3, 2000, 64, dtype=torch.float64), torch.tensor([0.25, 0.5, 0.9])
    gone = (acted("cutout", s, x, samples(image=(1, 8, 8))).x == 0).view(3, 2000, 8, 8)
    rows, columns = gone.any(3), gone.any(2)
    assert torch.equal(gone, rows.unsqueeze(3) & columns.unsqueeze(2))
    assert torch.equal(rows.sum(2).amax(1), torch.tensor([2, 4, 8]))
    inner = gone[0, :, 2:6, 2:6].double().mean()  # no patch of two pixels lies outside completely
    assert inner == pytest.approx((2 / 8) ** 2, rel=0.05)
    assert not torch.equal(gone[0, 0], gone[0, 1])


def test_cutout_sets_a_share_of_the_columns_to_zero():
    s = torch.tensor([0.25, 0.6])
    gone = acted("cutout", s, torch.ones(2, 4000, 7, dtype=torch.float64), samples(CATEGORIES)).x == 0
    assert (gone[..., 1] == gone[..., 3]).all()
    count = gone[..., [0, 1, 4, 5]].sum(2)
    assert (count[0] == 1).all()  # a quarter of four
    assert set(count[1].tolist()) == {2, 3}
    assert count[1].double().mean() == pytest.approx(2.4, abs=0.03)
    assert torch.allclose(gone.double().mean(1), s.double().view(-1, 1), atol=0.03)


def test_cutout_removes_all_columns_equally_often():
    x = torch.ones(1000, 1, 5, dtype=torch.float64)
    gone = acted("cutout", torch.full((1000,), 0.4), x).x == 0
    assert (gone.sum(2) == 2).all()
    assert torch.allclose(gone.double().mean(0), torch.tensor(0.4).double(), atol=0.07)


# Images.


def images(fits=1, rows=3, image=(2, 6, 6)):
    return normal(fits, rows, *image).flatten(2), samples(image=image)


def test_rotation_by_a_right_angle_is_rot90():
    x, data = images()
    found = acted("rotation", [90.0], x, data, always(1.0)).x
    assert torch.allclose(found, torch.rot90(x.unflatten(2, data.image), 1, (3, 4)).flatten(2))


def test_zoom_equals_the_affine_grid_of_torch():
    x, data = images(image=(1, 5, 8))
    found = acted("zoom", [0.5], x, data, always(1.0)).x
    theta = torch.tensor([[1 / 1.5, 0, 0], [0, 1 / 1.5, 0]], dtype=torch.float64).expand(3, 2, 3)
    grid = F.affine_grid(theta, [3, 1, 5, 8], align_corners=False)
    expected = F.grid_sample(x.view(3, 1, 5, 8), grid, padding_mode="border", align_corners=False)
    assert torch.allclose(found, expected.view(x.shape))


def test_crop_pads_with_the_border_and_crops():
    x, data = images(image=(2, 8, 12))
    found = acted("crop", [0.25], x, data, always(0.999)).x
    padded = F.pad(x.view(3, 2, 8, 12), (3, 3, 2, 2), mode="replicate")
    assert torch.equal(found, padded[..., 4:, 6:].flatten(1).view(x.shape))


def test_crop_draws_all_shifts_equally_often():
    data = samples(image=(1, 8, 8))
    x = torch.arange(64.0).double().expand(2, 20_000, 64)
    centre = acted("crop", [0.25, 0.0], x, data).x[..., 36] - 36
    down, right = (centre / 8).round(), centre - (centre / 8).round() * 8
    for shift in (down[0], right[0]):
        assert torch.allclose(torch.bincount(shift.long() + 2) / 20_000, torch.full((5,), 0.2), atol=0.02)
    assert (centre[1] == 0).all()


def test_flip_mirrors_a_share_of_the_images():
    x, data = images(fits=2, rows=4000)
    mirrored = x.unflatten(2, data.image).flip(4).flatten(2)
    found = acted("flip", [0.2, 1.0], x, data).x
    changed = (found == mirrored).all(2)
    assert torch.equal(found[~changed], x[~changed])
    assert torch.allclose(changed.double().mean(1), torch.tensor([0.2, 1.0]).double(), atol=0.03)


def test_color_jitter_changes_contrast_and_brightness():
    x, data = images(rows=500)
    found = acted("color_jitter", [0.4], x, data).x
    factor, change = found.std(2) / x.std(2), found.mean(2) - x.mean(2)
    assert torch.allclose((found - found.mean(2, keepdim=True)) / factor.unsqueeze(2), x - x.mean(2, keepdim=True))
    for away in (factor - 1, change):
        assert 0.38 < away.abs().max() <= 0.4
        assert away.std() == pytest.approx(0.8 * 12**-0.5, rel=0.15)


# Simulated domains.


def test_randomization_draws_a_domain_within_s_for_each_sample():
    """All inputs of a sample are equal, so that they reveal its offset, noise and missing columns, and with others
    its scale.
    """
    s = torch.tensor([0.5, 1.0], dtype=torch.float64)
    flat, ends = (torch.full((2, 1000, 1000), value).double() for value in (0.0, 100.0))
    of_flat, of_ends = (acted("randomization", s, x) for x in (flat, ends))
    missing = (of_flat.x == 0).double()
    share = missing.mean(2)
    left = of_flat.x.sum(2) / (1 - missing).sum(2)  # the offset, up to the noise
    spread_ = ((of_flat.x - left.unsqueeze(2)).square() * (1 - missing)).sum(2).div((1 - missing).sum(2) - 1).sqrt()
    scale = (of_ends.x - of_flat.x).sum(2) / (1 - missing).sum(2) / 100
    for found, low, high, slack in (
        (left, -1, 1, 0.15),
        (spread_, 0, 1, 0.12),
        (share, 0, 0.5, 0.06),
        (scale - 1, -0.5, 0.5, 1e-9),
    ):
        least, most = low * s, high * s
        assert (found.amin(1) >= least - slack).all()
        assert (found.amax(1) <= most + slack).all()
        assert torch.allclose(found.mean(1), (least + most) / 2, atol=0.05)
        assert torch.allclose(found.std(1), (most - least) / 12**0.5, rtol=0.08)  # uniformly


def test_randomization_rotates_images_as_rotation_does():
    x, data = images(rows=400, image=(1, 6, 6))
    quiet = SimpleNamespace(normal=lambda shape: torch.zeros(1, *shape, dtype=torch.float64), uniform=_first(1.0, 0.5))
    found = acted("randomization", [1.0], x, data, quiet).x
    expected = acted("rotation", [90.0], x, data, always(1.0)).x
    present = found != 0
    assert torch.allclose(found[present], expected[present])
    assert present.all()


def _first(value, then):
    """Return uniform numbers that are `value` in the first call and 0.5, which changes nothing, afterwards; no
    column is missing.
    """
    values = iter([value, then, then, then, 0.0])
    return lambda shape: torch.full((1, *shape), next(values, 1.0), dtype=torch.float64)


def test_randomization_does_not_change_the_target_batch():
    x = normal(1, 5, 4)
    batch = Batch(x, x[..., 0], None, None, torch.zeros(1, 5, dtype=torch.long), x.clone())
    noise = {"randomization": {0: Noise(streams("randomization", [0]), x.dtype)}}
    found = STRENGTHS["randomization"].batch(
        torch.ones(1, dtype=torch.float64), step(noise=noise, data=samples()), batch
    )
    assert torch.equal(found.target, x)
    assert not torch.equal(found.x, x)


# Gradient-based.


def test_adversarial_moves_every_input_by_s_in_the_direction_of_the_gradient_sign():
    x, slope = normal(2, 4, 5), normal(2, 5, 4).transpose(1, 2)
    batch = Batch(x, x[..., 0], None, None, torch.zeros(2, 4, dtype=torch.long))
    s = torch.tensor([0.0, 0.3], dtype=torch.float64)
    found = STRENGTHS["adversarial"].perturb(s, step(), batch, slope).x
    assert torch.equal(found, x + s.view(-1, 1, 1) * slope.sign())


# In training.


@pytest.mark.parametrize("kind", ["mlp", "cnn"])
def test_with_all_of_them_in_float32_a_fit_does_not_depend_on_the_number_of_fits(kind):
    half = {name: STRENGTHS[name].probe[0] for name in [*MEMBERS, "adversarial", "class_weight"]}
    data = pictures()
    data = replace(data, x=data.x.float(), class_weights=data.class_weights.float())
    trials = [trial(str(i), **half | {"rotation": 2.0 * i, "mixup": 0.1 * i}) for i in range(7)]
    together = {n: trained(data, trials[:n], epochs=2, kind=kind) for n in (2, 7)}
    for i, rows in ((0, 2), (1, 7), (6, 7)):
        assert same(trained(data, [trials[i]], epochs=2, kind=kind)[str(i)], together[rows][str(i)])


@pytest.mark.parametrize("name", [name for name in [*MEMBERS, "adversarial"] if not STRENGTHS[name].needs])
@pytest.mark.parametrize("source", ["sklearn:diabetes", "balanced"])
def test_regression_and_class_weights_work_as_well(name, source):
    data = dataset(class_weight="balanced") if source == "balanced" else dataset(source)
    trials = [trial(label, 7, **{name: s}) for label, s in zip("012", (0.0, *STRENGTHS[name].probe), strict=True)]
    off, weak, strong = trained(data, trials).values()
    assert same(off, trained(data, [trial("0", 7)])["0"])
    assert not same(off, weak)
    assert not same(weak, strong)
    assert all(torch.isfinite(w).all() for w in strong.weights.values())
