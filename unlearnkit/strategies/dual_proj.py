"""DualProj: the mean gradient, projected on what conflicts with neither."""

from __future__ import annotations

from unlearnkit.gradients import Gram, Weights
from unlearnkit.strategies.base import GramStrategy, Losses


class DualProj(GramStrategy):
    """Nearest to ``(g_r + g_f)/2`` along which neither loss rises (Lopez-Paz and Ranzato 2017, GEM).

    For two tasks at most one gradient conflicts with their mean, the shorter one; what conflicts is removed.

    >>> import torch
    >>> from unlearnkit.gradients import gram_matrix
    >>> gram = gram_matrix([torch.tensor([1.0, 0.0])], [torch.tensor([-3.0, 1.0])])
    >>> weights = DualProj().weights(gram, {})
    >>> weights.retain.item(), weights.forget.item()
    (1.5, 0.5)
    """

    def weights(self, gram: Gram, losses: Losses) -> Weights:
        """Return ``1/2 - min(0, g.(g_r + g_f)) / (2 |g|^2)`` for each gradient g."""
        retain, forget = (own + gram.rf for own in (gram.rr, gram.ff))
        return Weights(
            retain=0.5 - retain.clamp_max(0.0) / (2 * gram.rr),
            forget=0.5 - forget.clamp_max(0.0) / (2 * gram.ff),
        )
