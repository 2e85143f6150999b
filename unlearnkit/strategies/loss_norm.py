"""LossNorm: divide each loss by its own value."""

from __future__ import annotations

import torch

from unlearnkit.gradients import Weights
from unlearnkit.strategies.base import Losses, LossStrategy


class LossNorm(LossStrategy):
    """Descend on ``L_r/|L_r| + L_f/|L_f|``, denominators held constant (paper 001, sections 2.2 and 4.2).

    With ``AscentNLL`` this is the paper's ``L_R/|L_R| - L_F/|L_F|``, that is ``c/(1-c) = L_F/L_R``.
    The losses are means over all ranks, so every rank uses the same weights.

    >>> import torch
    >>> weights = LossNorm().weights({"retain": torch.tensor(2.0), "forget": torch.tensor(-0.5)})
    >>> weights.retain.item(), weights.forget.item()
    (0.5, 2.0)
    """

    def weights(self, losses: Losses) -> Weights:
        """Return ``(1/|L_r|, 1/|L_f|)``; a loss of exactly zero has no gradient and gets weight zero."""
        inverse = {side: 1.0 / loss.abs() for side, loss in losses.items()}
        finite = {side: torch.where(value.isinf(), 0.0, value) for side, value in inverse.items()}
        return Weights(retain=finite["retain"], forget=finite["forget"])
