"""MGDA: multiple-gradient descent."""

from __future__ import annotations

import torch

from unlearnkit.gradients import Gram, Weights
from unlearnkit.strategies.base import GramStrategy, Losses


class MGDA(GramStrategy):
    """Shortest vector between the gradients, ``min |w g_r + (1-w) g_f|`` (Désidéri 2012; Sener and Koltun 2018).

    It is orthogonal to their difference, so both losses fall alike to first order; where one gradient is
    much shorter, it is that gradient, which is why MGDA forgets and keeps slowly.

    >>> import torch
    >>> from unlearnkit.gradients import gram_matrix
    >>> weights = MGDA().weights(gram_matrix([torch.tensor([3.0, 0.0])], [torch.tensor([0.0, 1.0])]), {})
    >>> round(weights.retain.item(), 6), round(weights.forget.item(), 6)
    (0.1, 0.9)
    """

    def weights(self, gram: Gram, losses: Losses) -> Weights:
        """Return ``w = |g_f - g_r|^-2 (g_f - g_r).g_f`` within [0, 1], and ``1 - w``; halves for equal gradients."""
        apart = gram.rr + gram.ff - 2 * gram.rf
        # Each from its own difference: 1 - w loses the digits of a weight that is tiny.
        retain, forget = (((own - gram.rf) / apart).clamp(0.0, 1.0) for own in (gram.ff, gram.rr))
        return Weights(retain=torch.where(apart > 0, retain, 0.5), forget=torch.where(apart > 0, forget, 0.5))
