"""ForgetOnly: descend on the forget objective alone."""

from __future__ import annotations

from unlearnkit.batches import Side
from unlearnkit.gradients import Weights
from unlearnkit.strategies.base import Losses, LossStrategy


class ForgetOnly(LossStrategy):
    """Descend on ``L_forget`` alone: GA with ``AscentNLL``, plain NPO with ``NPO`` (paper 001, remark 2.1, c = 0).

    The retain side is not evaluated at all.

    >>> import torch
    >>> weights = ForgetOnly().weights({"forget": torch.tensor(-2.0)})
    >>> weights.retain.item(), weights.forget.item()
    (0.0, 1.0)
    """

    sides: tuple[Side, ...] = ("forget",)  # type: ignore[misc]

    def weights(self, losses: Losses) -> Weights:
        """Return (0, 1)."""
        one = losses["forget"].new_ones(())
        return Weights(retain=one - 1, forget=one)
