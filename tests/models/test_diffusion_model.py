"""DiffusionModel: losses are functions of keys, and equal their closed forms."""

from __future__ import annotations

import copy
import math

import pytest
import torch

from tests.models.diffusion_parts import COLOUR, GREY, LATENT, batch, built, save_vae
from unlearnkit.batches import ImageTraits
from unlearnkit.errors import ConfigurationError, DataNotFoundError, UnknownNameError
from unlearnkit.keyed_draws import row_keys
from unlearnkit.models import DiffusionModel
from unlearnkit.models.denoising_networks import denoise
from unlearnkit.models.learned_variance import variational_bound

KINDS = ["unet", "dit"]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("traits", [GREY, COLOUR, LATENT])
def test_it_speaks_the_protocol(kind, traits):
    model, given = built(kind, traits), batch(traits=traits)
    predicted, found = model(given), model.noised(given)
    assert predicted.shape == given["inputs"].shape
    expected = (predicted - found.noise).square().sum((1, 2, 3))
    torch.testing.assert_close(model.losses(given), expected)
    assert model.counts(given).tolist() == [traits.channels * traits.height**2] * 4
    assert built(kind, traits, reduction="sum").counts(given).tolist() == [1] * 4
    with pytest.raises(ConfigurationError, match="`objective` must be one of losses"):
        model.units(given)


def test_what_is_noised_is_the_closed_form_of_pixels_from_minus_1_to_1():
    model, given = built(), batch()
    found = model.noised(given)
    kept = model.scheduler.alphas_cumprod[found.steps][:, None, None, None]
    start = given["inputs"].float() / 127.5 - 1
    assert start.min() >= -1 and start.max() <= 1
    torch.testing.assert_close(found.values, kept.sqrt() * start + (1 - kept).sqrt() * found.noise)
    floats = model.noised(given | {"inputs": start})
    assert torch.equal(floats.values, found.values)
    assert torch.equal(model(given), denoise(model.network, found.values, found.steps, found.conditions))


def test_draws_are_the_keys_alone():
    model, given = built(), batch(8)
    found, other = model.noised(given), model.noised(given | {"keys": given["keys"] + 1})
    assert torch.equal(found.noise, model.noised(batch(8, seed=1) | {"keys": given["keys"]}).noise)
    assert not torch.equal(found.noise, other.noise) and not torch.equal(found.steps, other.steps)
    assert torch.equal(model.eval().noised(given).values, found.values)
    for rows in ([0, 1, 2], [7, 3], [4]):
        part = model.noised({name: value[rows] for name, value in given.items()})
        assert all(torch.equal(own, whole[rows]) for own, whole in zip(part, found, strict=True))
    again = model.noised(given, inputs=torch.zeros(8, 1, 8, 8))
    assert torch.equal(again.noise, found.noise) and torch.equal(again.steps, found.steps)


def test_every_step_comes_and_classes_are_dropped_once_a_sample():
    n = 20_000
    traits = ImageTraits(10, 1, 2)
    model = built(traits=traits, multipliers=[1], timesteps=50, class_dropout=0.25)
    given = batch(n, traits)
    found = model.noised(given)
    counts = torch.bincount(found.steps, minlength=50).double()
    assert len(counts) == 50 and ((counts - n / 50) ** 2 / (n / 50)).sum() < 95  # once in 10 000 cases
    dropped = found.conditions == model.null_class
    assert abs(dropped.double().mean() - 0.25) < 4.5 * math.sqrt(0.25 * 0.75 / n)
    assert torch.equal(found.conditions[~dropped], given["targets"][~dropped])
    late = (found.steps >= 25).double()
    assert abs(torch.corrcoef(torch.stack([late, dropped.double()]))[0, 1]) < 4.5 / math.sqrt(n)
    for share, expected in ((0.0, 0), (1.0, n)):
        model.class_dropout = share
        assert int((model.noised(given).conditions == 10).sum()) == expected


def test_conditions_and_steps_of_the_batch_take_the_place_of_drawn_ones():
    model, given = built(class_dropout=1.0), batch()
    asked = given | {"conditions": torch.tensor([9, 0, 10, 3]), "steps": torch.tensor([0, 999, 5, 5])}
    found, plain = model.noised(asked), model.noised(given)
    assert found.conditions.tolist() == [9, 0, 10, 3] and found.steps.tolist() == [0, 999, 5, 5]
    assert torch.equal(found.noise, plain.noise) and plain.conditions.tolist() == [10] * 4
    other = model.noised(asked, condition=torch.tensor([1, 1, 1, 1]))
    assert other.conditions.tolist() == [1] * 4
    assert torch.equal(model(asked), model.predict(found.values, found.steps, found.conditions))
    assert not torch.equal(model.losses(asked), model.losses(given))


@pytest.mark.parametrize("kind", KINDS)
def test_a_learned_variance_adds_its_bound(kind):
    model, given = built(kind, learned_variance=True), batch()
    found = model.noised(given)
    output = denoise(model.network, found.values, found.steps, found.conditions)
    assert output.shape[1] == 2 and torch.equal(model(given), output[:, :1])
    start = given["inputs"].float() / 127.5 - 1
    bound = variational_bound(
        start, found.values, found.steps, output[:, :1], output[:, 1:], model.scheduler.alphas_cumprod
    )
    expected = (output[:, :1] - found.noise).square().sum((1, 2, 3)) + bound
    torch.testing.assert_close(model.losses(given), expected)


@pytest.mark.parametrize("learned", [False, True])
@pytest.mark.parametrize("kind", KINDS)
def test_every_weight_has_a_gradient_and_an_empty_batch_gradients_of_zero(kind, learned):
    model = built(kind, learned_variance=learned, class_dropout=0.5)
    model.losses(batch(8)).sum().backward()
    assert all(p.grad is not None and p.grad.any() for p in model.parameters())
    model.zero_grad()
    losses = model.losses(batch(0))
    losses.sum().backward()
    assert losses.shape == (0,) and all(p.grad is not None and not p.grad.any() for p in model.parameters())
    assert model.counts(batch(0)).shape == (0,)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float64])
@pytest.mark.parametrize("kind", KINDS)
def test_other_types_of_weights(kind, dtype):
    """The noising is never in half precision, where 1 - abar would be lost in the first steps."""
    model, given = built(kind, learned_variance=True), batch()
    reference = model.losses(given)
    other = copy.deepcopy(model).to(dtype)
    losses = other.losses(given)
    wide = torch.promote_types(dtype, torch.float32)
    assert losses.dtype == other.noised(given).values.dtype == wide
    torch.testing.assert_close(
        losses.float(), reference, rtol=0.05 if dtype == torch.bfloat16 else 1e-4, atol=0.5
    )
    assert other(given).dtype == dtype
    assert other.sample(torch.tensor([1]), steps=2).dtype == torch.uint8
    with torch.autocast("cpu", torch.bfloat16):
        assert model.losses(given).dtype == torch.float32


def test_samples_come_in_batches_and_leave_mode_and_generator_alone():
    model = built(dropout=0.5).train()
    classes = torch.tensor([0, 1, 10, 3, 3])
    before = torch.random.get_rng_state()
    whole = model.sample(classes, steps=3)
    assert whole.shape == (5, 1, 8, 8) and whole.dtype == torch.uint8
    assert torch.equal(before, torch.random.get_rng_state()) and model.network.training
    parted = model.sample(classes, steps=3, batch_size=2)
    assert (parted.int() - whole.int()).abs().max() <= 1
    keys = row_keys(0, -1, torch.arange(5))
    assert torch.equal(model.sample(classes, steps=3, keys=keys), whole)
    assert not torch.equal(model.sample(classes, steps=3, seed=1), whole)
    assert model.sample(classes[:0], steps=3).shape == (0, 1, 8, 8)


def test_latents_are_decoded(tmp_path):
    vae = save_vae(tmp_path / "vae")
    model = built("dit", LATENT, vae=vae)
    assert not model.scheduler.config.clip_sample
    images = model.sample(torch.tensor([1, 2]), steps=2)
    assert images.shape == (2, 3, 16, 16)
    names = {name for name, _ in model.named_parameters()} | set(model.state_dict())
    assert all(name.startswith("network.") for name in names), "the autoencoder is not trained"
    with pytest.raises(ConfigurationError, match="`inputs` must be latents"):
        model.losses(batch(traits=LATENT) | {"inputs": torch.zeros(4, 4, 8, 8, dtype=torch.uint8)})
    with pytest.raises(ConfigurationError, match="`vae` must be given .* 4 channels"):
        built("dit", LATENT).sample(torch.tensor([1]), steps=2)
    with pytest.raises(ConfigurationError, match="`vae` must have latents of 6 channels.*Found 4"):
        built("dit", ImageTraits(3, 6, 8), vae=vae).sample(torch.tensor([1]), steps=2)
    nowhere = str(tmp_path / "nowhere")
    with pytest.raises(DataNotFoundError, match="`vae` must be a folder.*nowhere'.*Without a network"):
        built("dit", LATENT, vae=nowhere).sample(torch.tensor([1]), steps=2)


def test_a_seed_is_a_network_and_leaves_the_generator_alone():
    before = torch.random.get_rng_state()
    first, again, other = (built(stir=False, seed=seed) for seed in (1, 1, 2))
    assert torch.equal(before, torch.random.get_rng_state())
    a, b, c = (next(model.parameters()) for model in (first, again, other))
    assert torch.equal(a, b) and not torch.equal(a, c)


def test_it_waits_for_the_data():
    model = DiffusionModel(width=8, timesteps=50)
    assert not model.built and model.timesteps == 50 and model.origin == "from scratch"
    for use in (
        lambda: model.losses(batch()),
        lambda: model.sample(torch.tensor([1])),
        lambda: model.null_class,
    ):
        with pytest.raises(ConfigurationError, match="`model` must be built before it is used"):
            use()
    model.materialize(GREY)
    model.materialize(GREY, weights=False)
    assert model.built and model.training and model.timesteps == 50 and model.null_class == 10
    for other in (ImageTraits(9, 1, 8), ImageTraits(10, 3, 8), ImageTraits(10, 1, 16)):
        with pytest.raises(ConfigurationError, match=r"Found a network with \(10, 1, 8\)"):
            model.materialize(other)


@pytest.mark.parametrize("kind", KINDS)
def test_units_of_sharding_are_the_blocks_that_only_they_themselves_use(kind):
    model = built(kind)
    inside = {id(p) for unit in model.shard_units() for p in unit.parameters()}
    outside = {name for name, p in model.network.named_parameters() if id(p) not in inside}
    # DiT's last layer borrows the embedding of its first block.
    rest = ("pos_embed", "proj_out", "transformer_blocks.0.") if kind == "dit" else (
        "conv_", "time_embedding", "class_embedding",
    )  # fmt: skip
    assert all(name.startswith(rest) for name in outside)


def test_refused(tmp_path):
    model = built()
    with pytest.raises(
        ConfigurationError, match=r"`batch` must hold `keys`.*Found \['index', 'inputs', 'targets'\]"
    ):
        model.losses({name: value for name, value in batch().items() if name != "keys"})
    with pytest.raises(ConfigurationError, match=r"`inputs` must have .*\(1, 8, 8\). Found \(3, 16, 16\)"):
        model.losses(batch(traits=COLOUR))
    with pytest.raises(ConfigurationError, match=r"`class_dropout` must lie in \[0, 1\].*Found 1.5"):
        DiffusionModel(class_dropout=1.5)
    with pytest.raises(UnknownNameError, match="`reduction` must be one of: mean, sum"):
        DiffusionModel(reduction="median")
    with pytest.raises(ConfigurationError, match="`timesteps` must be at least 25"):
        DiffusionModel(timesteps=5)
    with pytest.raises(ConfigurationError, match="`classes` must lie from 0 to 9.*Found 11"):
        model.sample(torch.tensor([11]))
    with pytest.raises(ConfigurationError, match="`batch_size`"):
        model.sample(torch.tensor([1]), batch_size=0)
    with pytest.raises(ConfigurationError, match="`size` of the images must be a multiple of 2"):
        DiffusionModel().materialize(ImageTraits(10, 1, 9))


def test_it_learns_what_there_is_to_learn():
    """One grey image a class: after 150 steps a sample is nearer to its own class's image than to any other's."""
    images = torch.full((3, 1, 4, 4), 20, dtype=torch.uint8)
    for number, part in enumerate(images):
        part[0, number] = 230
    traits = ImageTraits(3, 1, 4)
    model = DiffusionModel(width=16, multipliers=[1], class_dropout=0.0)
    model.materialize(traits)
    optimizer = torch.optim.AdamW(model.parameters(), lr=4e-3)
    rows = torch.arange(3).repeat(32)
    for step in range(150):
        keys = row_keys(0, step, torch.arange(96))
        loss = (model.losses({"inputs": images[rows], "targets": rows, "keys": keys}) / 16).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    drawn = model.sample(rows[:30], steps=20).float().flatten(1)
    distances = torch.cdist(drawn, images.float().flatten(1))
    assert (distances.argmin(1) == rows[:30]).float().mean() > 0.9
