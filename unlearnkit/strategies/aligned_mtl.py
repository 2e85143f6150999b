"""Aligned-MTL: independent components of the two gradients at one length."""

from __future__ import annotations

import torch

from unlearnkit.gradients import Gram, Weights
from unlearnkit.strategies.base import GramStrategy, Losses

PARALLEL = 1e-5
"""Gradients whose ``sin^2`` is below this are one direction, and rounding."""


class AlignedMTL(GramStrategy):
    """Mean gradient with all singular values made the least: ``s_min G^(-1/2) (1/2, 1/2)`` (Senushkin et al. 2023).

    For two tasks ``d = k ((|g_f|^2 + s - g_r.g_f) g_r + (|g_r|^2 + s - g_r.g_f) g_f)`` with ``s = sqrt(det G)``
    and ``k = 1 / (2 sqrt(|g_r|^2 + |g_f|^2 + 2s) s_max)``. Parallel gradients have one singular value, which is
    the least then: a jump in length, not in direction, that is the method's own. Neither loss is promised to fall.

    >>> import torch
    >>> from unlearnkit.gradients import gram_matrix
    >>> gram = gram_matrix([torch.tensor([3.0, 0.0])], [torch.tensor([0.0, 1.0])])
    >>> weights = AlignedMTL().weights(gram, {})
    >>> round(weights.retain.item(), 6), round(weights.forget.item(), 6)
    (0.166667, 0.5)
    """

    def weights(self, gram: Gram, losses: Losses) -> Weights:
        """Return the two factors; those of a Gram matrix of rank one where the gradients are parallel."""
        a, b, c = gram.rr, gram.ff, gram.rf
        s = (a * b - c**2).clamp_min(0.0).sqrt()
        largest = (a + b) / 2 + (((a - b) / 2) ** 2 + c**2).sqrt()
        k = 1.0 / (2 * (a + b + 2 * s).sqrt() * largest.sqrt())
        parallel = (s**2 <= PARALLEL * a * b) & (c > 0)
        alone = (a.sqrt() + b.sqrt()) / (2 * (a + b))
        return Weights(
            retain=torch.where(parallel, a.sqrt() * alone, k * (b + s - c)),
            forget=torch.where(parallel, b.sqrt() * alone, k * (a + s - c)),
        )
