"""Sampling from a class-conditional diffusion model: from noise backward, with draws of each image's own key."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Literal, get_args

import torch
from torch import Tensor, nn

from unlearnkit.errors import ConfigurationError, UnknownNameError
from unlearnkit.keyed_draws import derived, normal
from unlearnkit.models.denoising_networks import denoise, null_class
from unlearnkit.models.diffusion_library import diffusers_library

Sampler = Literal["ddim", "ddpm"]

START = 1
"""Stream of the noise that an image starts from; each later step draws from the next one."""


def guided(network: Any, noised: Tensor, steps: Tensor, classes: Tensor, guidance: float) -> Tensor:
    """Return the outputs for classes, the noise guided away from that of no class.

    ``eps = (1 + s) eps(x, c) - s eps(x, null)``, where s is ``guidance`` (Ho and Salimans 2022): 0 is conditional
    alone, in one pass. What others call the guidance scale w is 1 + s. A predicted variance is that of the class.

    Args:
        network: Of diffusers.
        noised: [batch, channels, height, width].
        steps: [batch], int64.
        classes: [batch], int64.
        guidance: s, 0 or above.
    """
    if guidance == 0:
        output: Tensor = denoise(network, noised, steps, classes)
        return output
    both = torch.cat([classes, torch.full_like(classes, null_class(network))])
    with_class, without = denoise(network, noised.repeat(2, 1, 1, 1), steps.repeat(2), both).chunk(2)
    channels = noised.shape[1]
    noise = (1 + guidance) * with_class[:, :channels] - guidance * without[:, :channels]
    return torch.cat([noise, with_class[:, channels:]], 1)


@torch.no_grad()
def sample_values(
    network: nn.Module,
    scheduler: Any,
    classes: Tensor,
    keys: Tensor,
    *,
    steps: int = 50,
    guidance: float = 0.0,
    eta: float = 0.0,
    sampler: Sampler = "ddim",
) -> Tensor:
    """Return images (or latents) in the network's own values, [n, channels, height, width], fp32 or wider.

    Args:
        network: Of diffusers, in eval mode.
        scheduler: A scheduler of diffusers with the schedule that the network was trained with.
        classes: Class of each image, [n], int64.
        keys: What each image's draws are made of, [n], int64.
        steps: Number of steps.
        guidance: s of ``guided``.
        eta: Noise of DDIM's steps: 0 none, 1 that of the posterior.
        sampler: ``ddim``, or ``ddpm``: the posterior of Ho et al. 2020, with the variance that was learned if one was.
    """
    diffusers = diffusers_library()
    config: Any = network.config
    shape = (config.in_channels, config.sample_size, config.sample_size)
    kind = diffusers.DDIMScheduler if sampler == "ddim" else diffusers.DDPMScheduler
    scheduler = kind.from_config(scheduler.config)
    scheduler.set_timesteps(steps)
    weight = next(network.parameters())
    wide = torch.promote_types(weight.dtype, torch.float32)
    keys = derived(keys, 0)  # a thousand steps have streams, which must not be those of a loss
    values = normal(keys, START, shape).to(wide)
    for number, step in enumerate(scheduler.timesteps.tolist()):
        at = torch.full_like(classes, step)
        output = guided(network, values.to(weight.dtype), at, classes, guidance).to(wide)
        last = number == len(scheduler.timesteps) - 1
        noise = None
        if not last and (sampler == "ddpm" or eta > 0):
            noise = normal(keys, START + 1 + number, shape).to(wide)
        if sampler == "ddpm":
            values = ancestral_step(scheduler, output, step, values, noise)
        else:
            if noise is None and eta > 0:
                noise = torch.zeros_like(values)
            values = scheduler.step(
                output[:, : values.shape[1]], step, values, eta=eta,
                # The noise of the clipped image, as in the code of guided diffusion: both belong to one x_t.
                use_clipped_model_output=True, variance_noise=noise, return_dict=False,
            )[0]  # fmt: skip
    return values


def ancestral_step(scheduler: Any, output: Tensor, step: int, values: Tensor, noise: Tensor | None) -> Tensor:
    """Make one step of ``DDPMScheduler`` with noise that is given, which its own ``step`` does not take.

    Args:
        scheduler: A ``DDPMScheduler`` whose timesteps are set.
        output: The network's, [batch, channels or twice as many, height, width].
        step: t.
        values: x_t, [batch, channels, height, width].
        noise: Standard normal, of the same shape; None for the last step.

    Returns:
        x_{t-1}, of the same shape.
    """
    kept = scheduler.alphas_cumprod.to(values.dtype)
    previous = int(scheduler.previous_timestep(step))
    now, before = kept[step], kept[previous] if previous >= 0 else torch.ones_like(kept[0])
    added = 1 - now / before
    predicted, share = output[:, : values.shape[1]], output[:, values.shape[1] :]
    image = (values - (1 - now).sqrt() * predicted) / now.sqrt()
    if scheduler.config.clip_sample:
        image = image.clamp(-scheduler.config.clip_sample_range, scheduler.config.clip_sample_range)
    mean: Tensor = (before.sqrt() * added * image + (now / before).sqrt() * (1 - before) * values) / (1 - now)
    if noise is None:
        return mean
    variance = added * (1 - before) / (1 - now)
    if share.shape[1]:
        fraction = (share + 1) / 2
        variance = (fraction * added.log() + (1 - fraction) * variance.clamp_min(1e-20).log()).exp()
    moved: Tensor = mean + variance.sqrt() * noise
    return moved


def to_bytes(values: Tensor) -> Tensor:
    """Return images in [-1, 1] as bytes, what lies outside cut off.

    >>> to_bytes(torch.tensor([-2.0, -1.0, 0.0, 1.0])).tolist()
    [0, 0, 128, 255]
    """
    return ((values.float() + 1) * 127.5).round().clamp(0, 255).to(torch.uint8)


@torch.no_grad()
def decoded(values: Tensor, vae: Any) -> Tensor:
    """Return the images [n, channels, height, width] uint8 of a network's values.

    Args:
        values: Pixels or latents, [n, channels, height, width].
        vae: Decodes latents; None where the values are pixels.
    """
    if vae is None:
        return to_bytes(values)
    weight = next(vae.parameters())
    latents = values.to(weight.device, weight.dtype) / vae.config.scaling_factor
    return to_bytes(vae.decode(latents, return_dict=False)[0]).to(values.device)


def check_classes(classes: Tensor, known: int) -> None:
    """Refuse classes that are not there; the number of classes itself asks for none.

    Raises:
        ConfigurationError: A class is not there.
    """
    wrong = classes[(classes < 0) | (classes > known)]
    if len(wrong):
        raise ConfigurationError(
            f"`classes` must lie from 0 to {known - 1}, or be {known} for no class. Found {int(wrong[0])}. "
            "Ask for classes of the data that the model was trained on."
        )


def check_protocol(timesteps: int, steps: int, guidance: float, eta: float, sampler: str) -> None:
    """Refuse numbers that sampling cannot work with.

    Raises:
        ConfigurationError: A number is out of its range.
        UnknownNameError: There is no such sampler.
    """
    if sampler not in get_args(Sampler):
        raise UnknownNameError.among("sampler", sampler, get_args(Sampler))
    if not 1 <= steps <= timesteps:
        raise ConfigurationError(
            f"`steps` must lie from 1 to {timesteps}, the steps of the forward process. Found {steps}. Use e.g. "
            f"steps={min(50, timesteps)}."
        )
    if not guidance >= 0:
        raise ConfigurationError(
            f"`guidance` must be 0 (conditional alone) or above. Found {guidance}. Use e.g. 2."
        )
    if not 0 <= eta <= 1:
        raise ConfigurationError(
            f"`eta` must lie in [0, 1], from no noise to that of DDPM. Found {eta}. Use 0 or 1."
        )
    if sampler == "ddpm" and eta != 0:
        raise ConfigurationError(
            f"`eta` must be left out with sampler 'ddpm', whose noise is given. Found {eta}. Use sampler='ddim'."
        )


def require_batch_size(batch_size: int) -> None:
    """Refuse to draw fewer than one image at a time.

    Raises:
        ConfigurationError: It is below 1.
    """
    if batch_size < 1:
        raise ConfigurationError(f"`batch_size` must be at least 1. Found {batch_size}. Use e.g. 256.")


@contextmanager
def evaluating(network: nn.Module) -> Iterator[None]:
    """Keep a network in eval mode inside the block."""
    training = network.training
    network.eval()
    try:
        yield
    finally:
        network.train(training)
