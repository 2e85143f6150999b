"""UPGrad: the unconflicting projection of each gradient."""

from __future__ import annotations

from unlearnkit.gradients import Gram, Weights
from unlearnkit.strategies.base import GramStrategy, Losses


class UPGrad(GramStrategy):
    """Mean of both gradients, each projected on what conflicts with neither (Quinton and Rey 2024).

    The projection is on the cone ``{d: g_r.d >= 0, g_f.d >= 0}``. For two tasks one projection removes the
    only conflict, so this is PCGrad at half the length.

    >>> import torch
    >>> from unlearnkit.gradients import gram_matrix
    >>> gram = gram_matrix([torch.tensor([1.0, 0.0])], [torch.tensor([-1.0, 1.0])])
    >>> weights = UPGrad().weights(gram, {})
    >>> weights.retain.item(), weights.forget.item()
    (1.0, 0.75)
    """

    def weights(self, gram: Gram, losses: Losses) -> Weights:
        """Return ``(1 - min(0, g_r.g_f)/|g_r|^2, 1 - min(0, g_r.g_f)/|g_f|^2) / 2``."""
        conflict = gram.rf.clamp_max(0.0)
        return Weights(retain=(1.0 - conflict / gram.rr) / 2, forget=(1.0 - conflict / gram.ff) / 2)
