"""The forward process of a diffusion model: how much noise there is at each of its steps."""

from __future__ import annotations

from typing import Any, Literal, NamedTuple, get_args

from torch import Tensor

from unlearnkit.errors import ConfigurationError, UnknownNameError
from unlearnkit.models.diffusion_library import diffusers_library

Schedule = Literal["linear", "squaredcos_cap_v2"]

FEWEST = 25
"""Steps below which the largest share of noise added in one step of the linear schedule would near 1."""


class Noised(NamedTuple):
    """What a batch becomes by its keys.

    Attributes:
        values: x_t, [batch, channels, height, width].
        steps: t, [batch], int64 from 0.
        noise: eps, of the shape of ``values``.
        conditions: Class that the network is told, [batch], int64; the number of classes stands for none.
    """

    values: Tensor
    steps: Tensor
    noise: Tensor
    conditions: Tensor


def build_scheduler(
    timesteps: int = 1000,
    schedule: Schedule = "linear",
    *,
    learned_variance: bool = False,
    clip: bool = True,
) -> Any:
    """Build diffusers' ``DDPMScheduler``, which holds the schedule and is saved with the network.

    ``linear`` is the schedule of DDPM (Ho et al. 2020), shares of noise from 1e-4 to 0.02 in 1000 steps; in T steps
    they are 1000/T times as large, so that the last step is noise alone. ``squaredcos_cap_v2`` is the cosine of Nichol
    and Dhariwal (2021).

    Args:
        timesteps: Number of steps.
        schedule: Name of the schedule.
        learned_variance: Whether the network predicts the variance of the backward steps.
        clip: Whether sampling clips its prediction of the image to [-1, 1]; not for latents.

    Raises:
        ConfigurationError: There are too few steps.
        UnknownNameError: There is no such schedule.

    >>> float(build_scheduler(100).alphas_cumprod[-1]) < 1e-4
    True
    """
    if schedule not in get_args(Schedule):
        raise UnknownNameError.among("schedule", schedule, get_args(Schedule))
    if timesteps < FEWEST:
        raise ConfigurationError(
            f"`timesteps` must be at least {FEWEST}. Found {timesteps}. Use e.g. 1000; sampling may take fewer steps."
        )
    scale = 1000 / timesteps
    return diffusers_library().DDPMScheduler(
        num_train_timesteps=timesteps,
        beta_start=1e-4 * scale,
        beta_end=0.02 * scale,
        beta_schedule=schedule,
        variance_type="learned_range" if learned_variance else "fixed_small",
        clip_sample=clip,
    )


def with_noise(images: Tensor, noise: Tensor, steps: Tensor, kept: Tensor) -> Tensor:
    """Return ``sqrt(abar_t) x_0 + sqrt(1 - abar_t) eps`` (Ho et al. 2020, eq. 4).

    Args:
        images: x_0, [batch, channels, height, width].
        noise: eps, of the same shape.
        steps: t of each image, [batch], int64 from 0.
        kept: abar of each step, [timesteps], fp32: in half precision ``1 - abar`` would lose its first steps.

    >>> import torch
    >>> clean, noise = torch.zeros(1, 1, 2, 2), torch.ones(1, 1, 2, 2)
    >>> with_noise(clean, noise, torch.tensor([1]), torch.tensor([0.99, 0.75])).unique()
    tensor([0.5000])
    """
    share = kept[steps].to(images.dtype)[:, None, None, None]
    return share.sqrt() * images + (1 - share).sqrt() * noise
