"""RLW: random loss weighting."""

from __future__ import annotations

import torch

from unlearnkit.gradients import Weights
from unlearnkit.strategies.base import Losses, LossStrategy, seed_of


class RLW(LossStrategy):
    """Random weights ``softmax(z)``, z normal, drawn anew in each round (Lin et al. 2021; paper 001, item 5).

    The draw is a function of (seed, round): the same on every rank, and the same again after a resume.

    Args:
        seed: Seed of the draws.

    >>> import torch
    >>> weights = RLW(seed=1).weights({"retain": torch.tensor(2.0), "forget": torch.tensor(-1.0)})
    >>> 0 < weights.retain.item() < 1, round((weights.retain + weights.forget).item(), 6)
    (True, 1.0)
    """

    def __init__(self, seed: int = 0) -> None:
        super().__init__()
        self.seed = seed

    def weights(self, losses: Losses) -> Weights:
        """Return the round's draw."""
        generator = torch.Generator().manual_seed(seed_of(self.seed, self.round))
        normal = torch.randn(2, generator=generator, dtype=torch.float64)
        retain, forget = normal.softmax(0).to(losses["retain"]).unbind()
        return Weights(retain, forget)
