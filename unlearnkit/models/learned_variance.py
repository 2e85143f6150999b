"""The variational bound that teaches a network the variance of the backward steps (Nichol and Dhariwal 2021)."""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import pad

LEVEL = 1 / 255
"""Half the distance of two grey levels where pixels run from -1 to 1."""


class Posterior(NamedTuple):
    """The Gaussian of x_{t-1}, each part broadcast over [batch, channels, height, width]."""

    mean: Tensor
    log_variance: Tensor


def variational_bound(
    start: Tensor, noised: Tensor, steps: Tensor, noise: Tensor, shares: Tensor, kept: Tensor
) -> Tensor:
    """Return each sample's term of the bound, summed over its values, [batch], bits.

    ``KL(q(x_{t-1} | x_t, x_0) || p(x_{t-1} | x_t))``, and for t = 0 minus the log-likelihood of the grey levels (cut
    into 256 also where x_0 is a latent, as in DiT's code). The mean is that of the predicted noise, held fixed: the
    bound moves the variance alone.

    Args:
        start: x_0, [batch, channels, height, width].
        noised: x_t, of the same shape.
        steps: t, [batch], int64 from 0.
        noise: Predicted noise, of the same shape.
        shares: Predicted logarithm of the variance between its bounds, -1 that of the posterior, 1 that of the forward
            step; of the same shape.
        kept: abar of each step, [timesteps].
    """
    kept = kept.to(start.dtype)
    before = pad(kept[:-1], (1, 0), value=1.0)
    added = 1 - kept / before
    posterior = added * (1 - before) / (1 - kept)
    # The posterior has no variance at t = 0; the bound's decoder takes that of t = 1 there.
    lower = torch.cat([posterior[1:2], posterior[1:]]).log()

    def at(values: Tensor) -> Tensor:
        return values[steps][:, None, None, None]

    def backward(image: Tensor, log_variance: Tensor) -> Posterior:
        towards = at(before.sqrt() * added / (1 - kept)) * image
        return Posterior(
            towards + at((kept / before).sqrt() * (1 - before) / (1 - kept)) * noised, log_variance
        )

    share = (shares + 1) / 2
    image = (noised - at((1 - kept).sqrt()) * noise.detach()) / at(kept.sqrt())
    model = backward(image, share * at(added.log()) + (1 - share) * at(lower))
    divergence = _gaussian_divergence(backward(start, at(lower)), model)
    decoded = -_level_log_likelihood(start, model)
    first = (steps == 0)[:, None, None, None]
    return torch.where(first, decoded, divergence).flatten(1).sum(1) / math.log(2)


def _gaussian_divergence(of: Posterior, from_: Posterior) -> Tensor:
    """Return the Kullback-Leibler divergence between two Gaussians, value by value, nats."""
    difference = of.log_variance - from_.log_variance
    distance = (of.mean - from_.mean) ** 2 * (-from_.log_variance).exp()
    return 0.5 * (-1 - difference + difference.exp() + distance)


def _level_log_likelihood(levels: Tensor, model: Posterior) -> Tensor:
    """Return the log-probability of each value's grey level under a Gaussian, nats; the outer levels have no end."""
    deviation = (0.5 * model.log_variance).exp()
    above, below = (levels - model.mean + LEVEL) / deviation, (levels - model.mean - LEVEL) / deviation
    upper = torch.where(levels > 0.999, torch.ones_like(above), torch.special.ndtr(above))
    lower = torch.where(levels < -0.999, torch.zeros_like(below), torch.special.ndtr(below))
    return (upper - lower).clamp_min(1e-12).log()
