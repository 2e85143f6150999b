"""IMTL-G, Nash-MTL and ConFIG: for two tasks NGDiff's direction at three other lengths.

Each of the three papers asks for a direction that treats its tasks alike. For two tasks only the sum of
the unit vectors does, ``u = g_r/|g_r| + g_f/|g_f|``, which is NGDiff (our derivation; paper 001 does not
say so). With ``cos`` between the two gradients, ``|u| = sqrt(2 (1 + cos))``, and

    NGDiff    u                                             length  sqrt(2 (1 + cos))
    IMTL-G    u / (1/|g_r| + 1/|g_f|)                               |g_r| |g_f| / (|g_r| + |g_f|) sqrt(2 (1 + cos))
    Nash-MTL  u / sqrt(1 + cos)                                     sqrt(2)
    ConFIG    u (|g_r| + |g_f|) / 2                                 (|g_r| + |g_f|) sqrt((1 + cos) / 2)

Adam hides a constant length; one that varies acts on it like a learning-rate schedule. With SGD the four
differ. GeN, refitted in each round, cancels the length.
"""

from __future__ import annotations

from torch import Tensor

from unlearnkit.gradients import Gram, Weights
from unlearnkit.strategies.base import GramStrategy, Losses


def unit_sum(gram: Gram, scale: Tensor) -> Weights:
    """Return the weights of ``scale * (g_r/|g_r| + g_f/|g_f|)``."""
    return Weights(retain=scale * gram.rr.rsqrt(), forget=scale * gram.ff.rsqrt())


class IMTLG(GramStrategy):
    """Equal projections on both unit gradients, weights adding up to 1 (Liu et al. 2021a, IMTL-G; paper 001, item 7).

    ``d = (|g_f| g_r + |g_r| g_f) / (|g_r| + |g_f|)``: NGDiff's direction, about as long as the shorter gradient.

    >>> import torch
    >>> from unlearnkit.gradients import gram_matrix
    >>> weights = IMTLG().weights(gram_matrix([torch.tensor([3.0, 0.0])], [torch.tensor([0.0, 1.0])]), {})
    >>> weights.retain.item(), weights.forget.item()
    (0.25, 0.75)
    """

    def weights(self, gram: Gram, losses: Losses) -> Weights:
        """Return ``(|g_f|, |g_r|) / (|g_r| + |g_f|)``."""
        return unit_sum(gram, 1.0 / (gram.rr.rsqrt() + gram.ff.rsqrt()))


class NashMTL(GramStrategy):
    """Nash's bargain ``G w = 1/w`` between the two gradients (Navon et al. 2022, Nash-MTL).

    For two tasks ``w = (1/|g_r|, 1/|g_f|) / sqrt(1 + cos)``: NGDiff's direction, always ``sqrt(2)`` long.

    >>> import torch
    >>> from unlearnkit.gradients import gram_matrix
    >>> gram = gram_matrix([torch.tensor([3.0, 0.0])], [torch.tensor([4.0, 3.0])])
    >>> weights = NashMTL().weights(gram, {})
    >>> round((gram.retain_effect(weights) * weights.retain).item(), 6), round(gram.norm(weights).item() ** 2, 6)
    (1.0, 2.0)
    """

    normalized = True

    def weights(self, gram: Gram, losses: Losses) -> Weights:
        """Return ``(1/|g_r|, 1/|g_f|) / sqrt(1 + cos)``; exactly opposite gradients leave finite weights."""
        return unit_sum(gram, (1.0 + gram.cosine).clamp_min(1e-15).rsqrt())


class ConFIG(GramStrategy):
    """Sum of unit gradients, as long as both gradients reach along it (Liu et al. 2024, ConFIG).

    ``d = u (|g_r| + |g_f|) / 2`` with ``u = g_r/|g_r| + g_f/|g_f|``: NGDiff's direction, longer with the gradients.

    >>> import torch
    >>> from unlearnkit.gradients import gram_matrix
    >>> weights = ConFIG().weights(gram_matrix([torch.tensor([3.0, 0.0])], [torch.tensor([0.0, 1.0])]), {})
    >>> round(weights.retain.item(), 6), weights.forget.item()
    (0.666667, 2.0)
    """

    def weights(self, gram: Gram, losses: Losses) -> Weights:
        """Return ``(1/|g_r|, 1/|g_f|) (|g_r| + |g_f|) / 2``."""
        return unit_sum(gram, (gram.rr.sqrt() + gram.ff.sqrt()) / 2)
