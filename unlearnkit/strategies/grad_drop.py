"""GradDrop: one sign for each coordinate, drawn by how much of the gradient has it."""

from __future__ import annotations

import torch
from torch import Tensor

from unlearnkit.gradients import Gram, Weights
from unlearnkit.sharding import first_element, local_part
from unlearnkit.strategies.base import GramStrategy, Losses, seed_of

BLOCK = 2**20
"""Coordinates drawn at a time: bounds what the draws hold."""


class GradDrop(GramStrategy):
    """One sign for each coordinate, ``+`` with ``P = (1 + (g_r+g_f)/(|g_r|+|g_f|))/2`` (Chen et al. 2020, algorithm 1).

    What has the other sign in that coordinate is dropped. The original draws at the activations of a shared layer;
    here, as in TorchJD, at the parameters. Where the two agree nothing is dropped. The mean over draws is
    ``g_r + g_f``, by which edge cases are judged. It is no function of the Gram matrix, and promises nothing
    for either loss.

    Draws are a function of (seed, round, parameter, coordinate), so every rank draws for its own rows what one
    process draws for them, without drawing the others'.

    Args:
        seed: Seed of the draws.

    >>> import torch
    >>> g_r, g_f = [torch.tensor([1.0, 2.0, -1.0])], [torch.tensor([3.0, -2.0, -4.0])]
    >>> d = GradDrop().combine(g_r, g_f, None)[0]
    >>> d[0].item(), abs(d[1].item()), d[2].item()
    (4.0, 2.0, -5.0)
    """

    kind = "coordinates"

    def __init__(self, seed: int = 0) -> None:
        super().__init__()
        self.seed = seed

    def weights(self, gram: Gram, losses: Losses) -> Weights:
        """Return (1, 1), the mean over draws."""
        return Weights(retain=torch.ones_like(gram.rr), forget=torch.ones_like(gram.ff))

    @torch.no_grad()
    def combine(self, retain: list[Tensor], forget: list[Tensor], weights: Weights) -> list[Tensor]:
        """Keep one sign in each coordinate, in the memory of ``forget``."""
        for number, (g_r, g_f) in enumerate(zip(retain, forget, strict=True)):
            key, first = seed_of(self.seed, self.round, number), first_element(g_f)
            a, b = local_part(g_r).reshape(-1), local_part(g_f).view(-1)
            for start in range(0, b.numel(), BLOCK):
                x, y = a[start : start + BLOCK], b[start : start + BLOCK]
                total, size = x + y, x.abs() + y.abs()
                positive = (1 + total / size) / 2 > uniform(key, first + start, len(y), y.device)
                y.copy_(
                    torch.where(positive, x.clamp_min(0) + y.clamp_min(0), x.clamp_max(0) + y.clamp_max(0))
                )
        return forget


def uniform(key: int, first: int, count: int, device: torch.device | None = None) -> Tensor:
    """Return one number in [0, 1) for each of ``count`` places from ``first`` on, fp32 of 24 random bits.

    A place's number depends on the key and the place alone (two rounds of a 32-bit integer hash), unlike a
    generator's, which depends on how many were drawn before. The same bits on every device.

    >>> torch.equal(uniform(7, 0, 5)[3:], uniform(7, 3, 2))
    True
    """
    place = torch.arange(first, first + count, dtype=torch.int64, device=device)
    low, high = key & 0xFFFFFFFF, key >> 32
    return (_mixed(_mixed(place & 0xFFFFFFFF ^ low) ^ (place >> 32) ^ high) >> 8).float() * 2.0**-24


def _mixed(x: Tensor) -> Tensor:
    """Hash 32-bit integers held in int64; the multiplier is below 2**31, so that no product overflows."""
    for _ in range(2):
        x = ((x >> 16) ^ x) * 0x45D9F3B & 0xFFFFFFFF
    return (x >> 16) ^ x
