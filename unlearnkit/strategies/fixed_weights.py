"""FixedWeights: static linear scalarization."""

from __future__ import annotations

from unlearnkit.errors import ConfigurationError
from unlearnkit.gradients import Weights
from unlearnkit.strategies.base import Losses, LossStrategy


class FixedWeights(LossStrategy):
    """Descend on ``c * L_retain + (1 - c) * L_forget`` (paper 001, eqs. 1 and 2; extended GDiff).

    With ``AscentNLL`` on the forget side this is ``LSP(theta; c) = c L_R - (1 - c) L_F``.

    Args:
        c: Weight of the retain loss, in [0, 1]; 0.5 is vanilla GDiff.

    Raises:
        ConfigurationError: ``c`` lies outside [0, 1].

    >>> import torch
    >>> weights = FixedWeights(c=0.9).weights({"retain": torch.tensor(2.0)})
    >>> round(weights.retain.item(), 6), round(weights.forget.item(), 6)
    (0.9, 0.1)
    """

    def __init__(self, c: float = 0.5) -> None:
        super().__init__()
        if not 0.0 <= c <= 1.0:
            raise ConfigurationError(
                f"`c` must lie in [0, 1], the weight of the retain loss. Found {c}. "
                "Use 0.5 for vanilla GDiff, nearer 1 to protect the retain data."
            )
        self.c = c

    def weights(self, losses: Losses) -> Weights:
        """Return (c, 1 - c)."""
        c = losses["retain"].new_tensor(self.c)
        return Weights(retain=c, forget=1 - c)
