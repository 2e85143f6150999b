"""PrimalDual: a price on a retain loss above what is tolerated."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from unlearnkit.errors import ConfigurationError
from unlearnkit.gradients import Weights
from unlearnkit.strategies.base import Losses, LossStrategy


class PrimalDual(LossStrategy):
    """Descend on ``L_f + lambda L_r``, ``lambda <- max(0, lambda + eta (L_r - epsilon))`` (Entesari et al. 2025, PDU).

    The Lagrangian of "forget as well as can be while the retain loss stays at most epsilon". The multiplier moves once
    a round, by the retain loss of all ranks before the step; the public code moves it with every micro-batch. PDU's
    forget side is ``LogitMargin``.

    Args:
        epsilon: The retain loss that is tolerated, nats a token.
        rate: eta, how fast the multiplier moves, 0 or above; 0 holds it.
        start: The multiplier before the first round, 0 or above.
        warmup: Rounds in which it does not move yet.

    Raises:
        ConfigurationError: A number lies outside its range.

    >>> strategy = PrimalDual(epsilon=0.5, rate=2.0)
    >>> losses = {"retain": torch.tensor(1.5), "forget": torch.tensor(3.0)}
    >>> strategy.learn(losses)
    >>> strategy.weights(losses).retain.item()  # 1 + 2 (1.5 - 0.5)
    3.0
    """

    state = "1 multiplier"
    multiplier: Tensor
    """lambda, 0-d float64."""

    def __init__(self, epsilon: float = 0.3, rate: float = 1.0, start: float = 1.0, warmup: int = 0) -> None:
        super().__init__()
        if not math.isfinite(epsilon):
            raise ConfigurationError(
                f"`epsilon` must be a finite loss. Found {epsilon}. Use 0.3, the public code's for TOFU."
            )
        for name, value in {"rate": rate, "start": start, "warmup": warmup}.items():
            if not 0 <= value < math.inf:
                raise ConfigurationError(f"`{name}` must be 0 or above. Found {value}. Use e.g. {name}=1.")
        self.epsilon = epsilon
        self.rate = rate
        self.warmup = warmup
        self.register_buffer("multiplier", torch.tensor(start, dtype=torch.float64))

    def weights(self, losses: Losses) -> Weights:
        """Return (lambda, 1)."""
        return Weights(
            retain=self.multiplier.clone().to(losses["retain"]), forget=torch.ones_like(losses["forget"])
        )

    def learn(self, losses: Losses) -> None:
        """Raise the multiplier where the retain loss is above epsilon, lower it where it is below."""
        if self.round >= self.warmup:
            moved = self.multiplier + self.rate * (losses["retain"].double() - self.epsilon)
            self.multiplier.copy_(moved.clamp_min(0.0))
