"""RetainOnly: gradient descent on the retain side, forgetting by neglect."""

from __future__ import annotations

from unlearnkit.batches import Side
from unlearnkit.gradients import Weights
from unlearnkit.strategies.base import Losses, LossStrategy


class RetainOnly(LossStrategy):
    """Descend on ``L_retain`` alone: method GD (paper 001, remark 2.1, c = 1).

    The forget side is not evaluated at all, so a round costs one forward and one backward pass.

    >>> import torch
    >>> weights = RetainOnly().weights({"retain": torch.tensor(2.0)})
    >>> weights.retain.item(), weights.forget.item()
    (1.0, 0.0)
    """

    sides: tuple[Side, ...] = ("retain",)  # type: ignore[misc]

    def weights(self, losses: Losses) -> Weights:
        """Return (1, 0)."""
        one = losses["retain"].new_ones(())
        return Weights(retain=one, forget=one - 1)
