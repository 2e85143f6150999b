"""Samples: DDIM against a loop written by hand, DDPM against diffusers' own step, guidance by its convention."""

from __future__ import annotations

import math

import pytest
import torch

from tests.models.diffusion_parts import COLOUR, GREY, built
from unlearnkit.errors import ConfigurationError, UnknownNameError
from unlearnkit.keyed_draws import derived, normal, row_keys
from unlearnkit.models.denoising_networks import denoise
from unlearnkit.models.diffusion_library import diffusers_library
from unlearnkit.models.diffusion_sampling import (
    ancestral_step,
    check_classes,
    check_protocol,
    decoded,
    evaluating,
    guided,
    require_batch_size,
    sample_values,
    to_bytes,
)
from unlearnkit.models.noise_schedule import build_scheduler

CLASSES = torch.tensor([3, 0, 9])
KEYS = row_keys(0, 5, torch.arange(3))


def parts(kind="unet", **arguments):
    model = built(kind, **arguments)
    return model.network.eval(), model.scheduler


@pytest.mark.parametrize("eta", [0.0, 0.7, 1.0])
@pytest.mark.parametrize(("steps", "guidance"), [(10, 0.0), (4, 2.0), (1, 0.0)])
@torch.no_grad()
def test_ddim_is_the_loop_of_its_paper(steps, guidance, eta):
    """Song et al. 2021, eq. 12 and 16, the image clipped and its noise with it."""
    network, scheduler = parts()
    kept = scheduler.alphas_cumprod.double().tolist()
    found = sample_values(network, scheduler, CLASSES, KEYS, steps=steps, guidance=guidance, eta=eta)
    draws = derived(KEYS, 0)
    x = normal(draws, 1, (1, 8, 8))
    times = [1000 // steps * number for number in reversed(range(steps))]
    for number, t in enumerate(times):
        at = torch.full((3,), t)
        eps = denoise(network, x, at, CLASSES)
        if guidance:
            eps = (1 + guidance) * eps - guidance * denoise(network, x, at, torch.full((3,), 10))
        now, before = kept[t], kept[times[number + 1]] if number + 1 < steps else 1.0
        image = ((x - math.sqrt(1 - now) * eps) / math.sqrt(now)).clamp(-1, 1)
        eps = (x - math.sqrt(now) * image) / math.sqrt(1 - now)
        sigma = eta * math.sqrt((1 - before) / (1 - now) * (1 - now / before))
        x = math.sqrt(before) * image + math.sqrt(max(0.0, 1 - before - sigma**2)) * eps
        if number + 1 < steps:
            x = x + sigma * normal(draws, 2 + number, (1, 8, 8))
    torch.testing.assert_close(found, x, atol=2e-4, rtol=1e-3)


@pytest.mark.parametrize("learned", [False, True])
@pytest.mark.parametrize("clip", [False, True])
def test_an_ancestral_step_is_that_of_diffusers_with_the_same_noise(learned, clip):
    scheduler = build_scheduler(learned_variance=learned, clip=clip)
    scheduler.set_timesteps(50)
    x, output = torch.randn(2, 3, 4, 4), torch.randn(2, 6 if learned else 3, 4, 4)
    for t in (980, 500, 20, 0):
        torch.manual_seed(t)
        # Diffusers draws as many channels as the outputs have left after the variance is split off.
        expected = scheduler.step(output, t, x).prev_sample
        torch.manual_seed(t)
        noise = torch.randn(2, 3, 4, 4)
        found = ancestral_step(scheduler, output, t, x, noise if t else None)
        torch.testing.assert_close(found, expected, atol=1e-4, rtol=1e-4)


@torch.no_grad()
def test_ddpm_with_fixed_variance_is_ddim_with_eta_1():
    network, scheduler = parts()
    given = network, scheduler, CLASSES, KEYS
    first = sample_values(*given, steps=20, sampler="ddpm")
    torch.testing.assert_close(first, sample_values(*given, steps=20, eta=1.0), atol=1e-3, rtol=1e-3)


@torch.no_grad()
def test_guidance_is_counted_from_zero_and_leaves_the_variance_alone():
    network, _ = parts("dit", learned_variance=True)
    x, steps = torch.randn(3, 1, 8, 8), torch.tensor([5, 50, 500])
    with_class = denoise(network, x, steps, CLASSES)
    without = denoise(network, x, steps, torch.full((3,), 10))
    assert torch.equal(guided(network, x, steps, CLASSES, 0.0), with_class)
    found = guided(network, x, steps, CLASSES, 2.0)
    # In the notation of others: eps(null) + w (eps(c) - eps(null)) with w = 1 + s = 3.
    other = without[:, :1] + 3.0 * (with_class[:, :1] - without[:, :1])
    torch.testing.assert_close(found[:, :1], other)
    torch.testing.assert_close(found[:, 1:], with_class[:, 1:])


@torch.no_grad()
def test_guidance_by_zero_asks_the_network_once():
    network, scheduler = parts()
    sizes = []
    network.register_forward_pre_hook(lambda _, given: sizes.append(len(given[0])))
    sample_values(network, scheduler, CLASSES, KEYS, steps=2)
    sample_values(network, scheduler, CLASSES, KEYS, steps=2, guidance=1.0)
    assert sizes == [3, 3, 6, 6]


@pytest.mark.parametrize(
    "protocol",
    [{}, {"eta": 1.0}, {"sampler": "ddpm"}, {"guidance": 1.0}],
    ids=["ddim", "eta", "ddpm", "guided"],
)
@pytest.mark.parametrize("kind", ["unet", "dit"])
@torch.no_grad()
def test_an_image_is_a_function_of_its_class_and_key(kind, protocol):
    network, scheduler = parts(kind, traits=COLOUR)
    classes, keys = torch.tensor([3, 0, 4, 1]), row_keys(1, 0, torch.arange(4))
    before = torch.random.get_rng_state()
    whole = sample_values(network, scheduler, classes, keys, steps=5, **protocol)
    assert torch.equal(before, torch.random.get_rng_state())
    assert torch.equal(whole, sample_values(network, scheduler, classes, keys, steps=5, **protocol))
    order = torch.tensor([2, 0])
    part = sample_values(network, scheduler, classes[order], keys[order], steps=5, **protocol)
    torch.testing.assert_close(part, whole[order], atol=1e-4, rtol=1e-4)
    other = sample_values(network, scheduler, classes, keys + 1, steps=5, **protocol)
    assert not torch.allclose(other, whole, atol=1e-2)


@torch.no_grad()
def test_the_learned_variance_reaches_the_samples():
    network, scheduler = parts("dit", learned_variance=True)
    given = network, scheduler, CLASSES, KEYS
    first = sample_values(*given, steps=5, sampler="ddpm")
    network.proj_out_2.bias.view(2, 2, 2)[..., 1] += 1.0
    second = sample_values(*given, steps=5, sampler="ddpm")
    assert not torch.allclose(first, second)
    assert torch.equal(sample_values(*given, steps=5), sample_values(*given, steps=5))


def test_bytes_are_decoded_by_an_autoencoder_where_there_is_one():
    vae = diffusers_library().AutoencoderKL(block_out_channels=(8,), norm_num_groups=4, scaling_factor=0.25)
    latents = torch.randn(2, 4, 4, 4)
    with torch.no_grad():
        expected = to_bytes(vae.decode(latents / 0.25).sample)
    assert torch.equal(decoded(latents, vae), expected)
    assert torch.equal(decoded(latents, None), to_bytes(latents))


def test_evaluating_gives_the_mode_back():
    network, _ = parts()
    for training in (True, False):
        network.train(training)
        with evaluating(network):
            assert not any(part.training for part in network.modules())
        assert all(part.training == training for part in network.modules())


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"steps": 0}, "`steps` must lie from 1 to 100.*Found 0. Use e.g. steps=50"),
        ({"steps": 101}, "Found 101"),
        ({"guidance": -0.5}, "`guidance` must be 0 .*Found -0.5"),
        ({"guidance": math.nan}, "`guidance` must be 0 .*Found nan"),
        ({"eta": 1.5}, r"`eta` must lie in \[0, 1\].*Found 1.5"),
        ({"eta": 0.5, "sampler": "ddpm"}, "`eta` must be left out with sampler 'ddpm'"),
    ],
)
def test_numbers_that_cannot_be_are_refused(change, words):
    with pytest.raises(ConfigurationError, match=words):
        check_protocol(
            **{"timesteps": 100, "steps": 10, "guidance": 0.0, "eta": 0.0, "sampler": "ddim"} | change
        )


def test_names_classes_and_batches_that_cannot_be_are_refused():
    with pytest.raises(UnknownNameError, match="`sampler` must be one of: ddim, ddpm. Found 'euler'"):
        check_protocol(100, 10, 0.0, 0.0, "euler")
    check_classes(torch.tensor([0, GREY.classes]), GREY.classes)
    for wrong in (-1, 11):
        with pytest.raises(
            ConfigurationError, match=rf"`classes` must lie from 0 to 9, or be 10 .*Found {wrong}"
        ):
            check_classes(torch.tensor([0, wrong]), 10)
    with pytest.raises(ConfigurationError, match="`batch_size` must be at least 1. Found 0"):
        require_batch_size(0)
