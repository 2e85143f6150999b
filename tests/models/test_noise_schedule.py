"""The forward process is the papers' formula, and its images have the closed form's mean and variance."""

from __future__ import annotations

import math

import pytest
import torch

from unlearnkit.errors import ConfigurationError, UnknownNameError
from unlearnkit.keyed_draws import normal, row_keys
from unlearnkit.models.noise_schedule import build_scheduler, with_noise


@pytest.mark.parametrize("timesteps", [25, 100, 1000])
def test_the_linear_schedule_is_ddpms(timesteps):
    scale, kept, expected = 1000 / timesteps, 1.0, []
    for t in range(timesteps):
        kept *= 1 - scale * (1e-4 + (0.02 - 1e-4) * t / (timesteps - 1))
        expected.append(kept)
    found = build_scheduler(timesteps).alphas_cumprod
    torch.testing.assert_close(found.double(), torch.tensor(expected).double(), rtol=1e-4, atol=1e-7)
    assert found[-1] < 1e-4


def test_the_cosine_schedule_is_nichols_and_dhariwals():
    def kept(t):
        return math.cos((t / 1000 + 0.008) / 1.008 * math.pi / 2) ** 2

    expected, product = [], 1.0
    for t in range(1000):
        product *= 1 - min(1 - kept(t + 1) / kept(t), 0.999)
        expected.append(product)
    found = build_scheduler(schedule="squaredcos_cap_v2").alphas_cumprod
    torch.testing.assert_close(found.double(), torch.tensor(expected).double(), rtol=1e-3, atol=1e-9)


def test_what_sampling_needs_is_in_the_scheduler():
    assert build_scheduler(learned_variance=True, clip=False).config.variance_type == "learned_range"
    assert not build_scheduler(clip=False).config.clip_sample
    assert build_scheduler().config.variance_type == "fixed_small" and build_scheduler().config.clip_sample


@pytest.mark.parametrize("step", [0, 10, 200, 999])
def test_noised_images_have_the_mean_and_variance_of_the_closed_form(step):
    """Over 20 000 keys, within 4.5 standard errors."""
    n, kept = 20_000, build_scheduler().alphas_cumprod
    image = torch.tensor([[-1.0, 0.3], [0.7, 1.0]])
    noise = normal(row_keys(0, 0, torch.arange(n)), 1, (1, 2, 2))
    found = with_noise(image.expand(n, 1, 2, 2), noise, torch.full((n,), step), kept)[:, 0].double()
    share = float(kept[step])
    error = math.sqrt((1 - share) / n)
    assert (found.mean(0) - math.sqrt(share) * image).abs().max() < 4.5 * error + 1e-6
    assert (found.var(0) / (1 - share) - 1).abs().max() < 4.5 * math.sqrt(2 / n)


def test_it_is_what_diffusers_adds():
    generator = torch.Generator().manual_seed(0)
    images, noise = (torch.randn(6, 3, 4, 4, generator=generator) for _ in range(2))
    steps, scheduler = torch.tensor([0, 1, 10, 500, 998, 999]), build_scheduler()
    found = with_noise(images, noise, steps, scheduler.alphas_cumprod)
    torch.testing.assert_close(found, scheduler.add_noise(images, noise, steps))


def test_refused():
    with pytest.raises(ConfigurationError, match="`timesteps` must be at least 25. Found 24"):
        build_scheduler(24)
    with pytest.raises(UnknownNameError, match="`schedule` must be one of.*Found 'cosine'"):
        build_scheduler(schedule="cosine")
